"""A picture of ranked lists: a row a query, right persons framed green, wrong ones red, unknown ones grey."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from reid_dml.data.images import read_image
from reid_dml.data.records import ImageRecord
from reid_dml.data.videos import file_of
from reid_dml.errors import UserError
from reid_dml.files import save_with
from reid_dml.ranking.ranked_list import RankedList, camera_name, person_name
from reid_dml.text import printable

SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
_COLOURS = {True: "#1a9a3c", False: "#d92b2b", None: "#9aa0a6"}
_QUERY_COLOUR = "#2b4c7e"
_CELL = (1.0, 2.35)  # width and height in inches


def check_picture(path: str | os.PathLike[str]) -> None:
    """Raise `UserError` if a picture cannot be written in the format of this name."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: a picture's name ends in {', '.join(SUFFIXES)}")


def draw_lists(lists: Sequence[RankedList], path: str | os.PathLike[str]) -> None:
    """Draw the lists and write the picture, in the format of its name.

    Raises:
        UserError: an image that is not there, as where features came without the paths of their images, or is broken.
    """
    images = [image for entry in lists for image in (entry.query, *entry.images)]
    if absent := [image for image in images if not os.path.isfile(file_of(image.path))]:
        raise UserError(
            f"{path}: not drawn: {len(absent):,} of {len(images):,} images are not there, first "
            f"{printable(absent[0].path)}; a picture needs features that name the files of their images, as paths from "
            "the working folder"
        )
    columns = 1 + max(len(entry.images) for entry in lists)
    figure, grid = plt.subplots(
        len(lists),
        columns,
        figsize=(_CELL[0] * columns, _CELL[1] * len(lists)),
        squeeze=False,
        layout="constrained",
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for row, entry in zip(grid, lists, strict=True):
        _cell(row[0], entry.query, "query", _QUERY_COLOUR)
        columns_of_row = zip(row[1:], entry.images, entry.correct, entry.scores, strict=False)
        for rank, (axes, image, correct, score) in enumerate(columns_of_row, 1):
            _cell(axes, image, f"{rank}: {score:.3f}", _COLOURS[correct])

    def write(draft: Path) -> None:
        figure.savefig(draft, format=Path(path).suffix[1:].lower(), dpi=110)

    try:
        save_with(path, write)
    finally:
        plt.close(figure)


def _cell(axes: Axes, image: ImageRecord, title: str, colour: str) -> None:
    pixels = read_image(image.path)
    axes.set_axis_on()
    axes.imshow(pixels, aspect="auto")
    axes.set_box_aspect(2)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=8, pad=3)
    who, where = person_name(image), camera_name(image)
    axes.set_xlabel(f"{who if not who.isdecimal() else 'person ' + who}\ncamera {where}", fontsize=7, labelpad=2)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=3)
