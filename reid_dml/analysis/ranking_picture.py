"""Pictures of ranked lists: a row a query, right persons framed green, wrong ones red, unknown ones grey."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from reid_dml.data.images import NO_LIMIT, read_image
from reid_dml.data.records import ImageRecord
from reid_dml.data.videos import file_of
from reid_dml.errors import UserError
from reid_dml.files import save_with
from reid_dml.ranking.ranked_list import RankedList, camera_name, person_name
from reid_dml.text import printable

if TYPE_CHECKING:
    from reid_dml.analysis.activation import ActivationList

SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
_COLOURS = {True: "#1a9a3c", False: "#d92b2b", None: "#9aa0a6"}
_QUERY_COLOUR = "#2b4c7e"
_WIDTH, _TEXT = 1.0, 0.35  # of an image, and height of the text around it, in inches
_SIZE = 7  # of labels, in points
_OPACITY = 0.55  # of a map over its image


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
    figure, grid = _grid(lists, _WIDTH, 2 * _WIDTH)
    for row, entry in zip(grid, lists, strict=True):
        for axes, image, title, colour in _cells(row, entry):
            _draw(axes, read_image(image.path, NO_LIMIT), image, title, colour, height=2)
    _save(figure, path)


def draw_activation(lists: Sequence[ActivationList], path: str | os.PathLike[str]) -> None:
    """Draw the lists, a row a network, every image beside the same with its map over it, and write the picture.

    The format is that of its name. Maps are interpolated linearly between positions.
    """
    height = max(found.inputs.shape[2] / found.inputs.shape[3] for found in lists) * _WIDTH
    figure, grid = _grid([found.entry for found in lists], 2 * _WIDTH, height)
    for row, found in zip(grid, lists, strict=True):
        for number, (axes, image, title, colour) in enumerate(_cells(row, found.entry)):
            pixels = found.inputs[number].transpose(1, 2, 0)
            rows, columns = pixels.shape[:2]
            weights = cv2.resize(found.maps[number], (columns, rows), interpolation=cv2.INTER_LINEAR)
            heat = plt.get_cmap("inferno")(weights)[..., :3]
            shown = np.hstack([pixels, (1 - _OPACITY) * pixels + _OPACITY * heat])
            _draw(axes, shown.clip(0, 1), image, title, colour, height=rows / (2 * columns))
        row[0].set_ylabel(found.network.replace(", ", "\n"), fontsize=_SIZE)
    _save(figure, path)


def _fitting(text: str) -> str:
    """A label no wider than an image: of a longer one, its begin and end, which often tell names apart."""
    shown, kept = text, len(text) // 2
    while kept and TextPath((0, 0), shown, size=_SIZE).get_extents().width > 0.9 * 72 * _WIDTH:
        kept -= 1
        shown = f"{text[:kept]}…{text[len(text) - kept :]}"
    return shown


def _grid(lists: Sequence[RankedList], width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure and its axes, not shown yet: a row a list, a column for the query and for every rank."""
    columns = 1 + max(len(entry.images) for entry in lists)
    size = (width * columns, (height + _TEXT) * len(lists))
    figure, grid = plt.subplots(len(lists), columns, figsize=size, squeeze=False, layout="constrained")
    for axes in grid.flat:
        axes.set_axis_off()
    return figure, grid


def _cells(row: np.ndarray, entry: RankedList) -> Iterator[tuple[Axes, ImageRecord, str, str]]:
    """Axes, image, title and colour of the frame: the query, and the images of its list."""
    yield row[0], entry.query, "query", _QUERY_COLOUR
    columns = zip(row[1:], entry.images, entry.correct, entry.scores, strict=False)
    for rank, (axes, image, correct, score) in enumerate(columns, 1):
        yield axes, image, f"{rank}: {score:.3f}", _COLOURS[correct]


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    def write(draft: Path) -> None:
        figure.savefig(draft, format=Path(path).suffix[1:].lower(), dpi=110)

    try:
        save_with(path, write)
    finally:
        plt.close(figure)


def _draw(axes: Axes, pixels: np.ndarray, image: ImageRecord, title: str, colour: str, *, height: float) -> None:
    """An image, its height in units of its width, in a frame, with what is known of it."""
    axes.set_axis_on()
    axes.imshow(pixels, aspect="auto")
    axes.set_box_aspect(height)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=8, pad=3)
    who, where = person_name(image), camera_name(image)
    lines = [f"person {who}" if who.isdecimal() else who, f"camera {where}"]
    axes.set_xlabel("\n".join(map(_fitting, lines)), fontsize=_SIZE, labelpad=2)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=3)
