"""Maps of what a network compares: a query and its nearest gallery images, as a picture and as CSV."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from reid_dml.analysis.activation import ActivationList, activation_maps, relative_maps
from reid_dml.analysis.ranking_picture import draw_activation
from reid_dml.commands.trained_run import TrainedRun, open_runs, open_selection, some_of
from reid_dml.data.broken import usable_records
from reid_dml.data.image_paths import image_records
from reid_dml.data.images import read_image
from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.data.records import ImageRecord, ReIDData
from reid_dml.data.stored import read_all
from reid_dml.errors import UserError
from reid_dml.files import write_text
from reid_dml.models import ReIDNetwork
from reid_dml.outputs import check_folder
from reid_dml.ranking.ranked_list import RankedList, camera_name, exact_lists, person_name
from reid_dml.reporting.tables import csv_text, format_table
from reid_dml.text import printable


def analyse_activation(
    runs: Sequence[str],
    output: str | os.PathLike[str],
    *,
    query: str,
    gallery: Sequence[str] = (),
    options: Sequence[str] = (),
    k: int = 5,
    images: int = 500,
) -> None:
    """Write `activation.png` and `activation.csv`: a query, its nearest images and their maps, by network.

    Args:
        runs: run folders.
        output: folder for the files.
        query: an image: a file, or a name of the run's data set, where that has no files.
        gallery: images, folders or tables; empty: the gallery of the run's data set (of a set of classes: test images).
        options: `KEY VALUE ...` for the runs.
        k: images of the ranked list.
        images: of the gallery, evenly spread; 0: all.

    Raises:
        UserError: no run, a query that is no single image, no gallery, or a network without a feature map.
    """
    if not runs:
        raise UserError("activation: give --run and a run folder")
    output = Path(output)
    check_folder(output, f"--output {output}")
    lists: list[ActivationList] = []
    for run in open_runs(runs, options, with_data=not gallery):
        first, others = _records(run, query, gallery)
        others = some_of(others, images)
        if not others:
            raise UserError(f"{run.name}: no gallery image besides the query; name others with --gallery")
        records = {record.path: record for record in others}
        features = run.features([first, *others])
        for index, network in run.networks.items():
            label, found = run.label(index), features[run.label(index)]
            (entry,) = exact_lists(found.select(np.arange(1)), found.select(np.arange(1, len(found))), k)
            if not entry.images:
                raise UserError(
                    f"{label}: no gallery image counts for {printable(query)}: they are junk, or of its person in its "
                    "own camera; name others with --gallery, or take more of them with --images"
                )
            entry = replace(entry, query=first, images=[records[image.path] for image in entry.images])
            lists.append(_with_maps(run, label, network, entry))
    draw_activation(lists, output / "activation.png")
    print(output / "activation.png")
    rows = [["network", "image", "rank", "similarity", "person", "camera", "file", "map"]]
    for shown in lists:
        entry = shown.entry
        places = [("query", "", "")] + [("gallery", f"{rank}", f"{s:.4f}") for rank, s in enumerate(entry.scores, 1)]
        for place, image, values in zip(places, (entry.query, *entry.images), shown.maps, strict=True):
            cells = "; ".join(" ".join(f"{value:.3g}" for value in line) for line in values)
            what = [person_name(image), camera_name(image), printable(image.path)]
            rows.append([shown.network, *place, *what, cells])
    write_text(output / "activation.csv", csv_text(rows))
    print(output / "activation.csv")
    print(format_table([row[:-1] for row in rows]))


def _records(run: TrainedRun, query: str, gallery: Sequence[str]) -> tuple[ImageRecord, list[ImageRecord]]:
    """The query and the gallery without it; persons of both as the run's data set numbers them, or as files say."""
    if gallery:
        first = _one_image(query, "name", "use")
        others = usable_records(run.cfg, image_records(gallery, camera_pattern=run.cfg.OWN.CAMERA_PATTERN))
    else:
        others = list(run.data.gallery) if isinstance(run.data, ReIDData) else run.records("test")
        known = {_place(record): record for record in (*run.records("train"), *run.records("test"))}
        first = known.get(query) or known.get(os.path.realpath(query)) or _one_image(query, "none", "ignore")
        if others and others[0].pixels is not None and first.pixels is None:
            first = first._replace(pixels=read_image(first.path, run.cfg.DATA.PIXEL_LIMIT))
    return first, [record for record in others if _place(record) != _place(first)]


def _one_image(query: str, labels: str, cameras: str) -> ImageRecord:
    found = image_records([query], labels=labels, cameras=cameras)
    if len(found) != 1:
        raise UserError(f"--query {printable(query)}: holds {len(found):,} images; name one of them")
    return found[0]


def _place(record: ImageRecord) -> str:
    """What an image is known by: its file, or its name in a data set that holds the pixels."""
    return record.path if record.pixels is not None else os.path.realpath(record.path)


def _with_maps(run: TrainedRun, label: str, network: ReIDNetwork, entry: RankedList) -> ActivationList:
    """A list with the map of every image for its similarity to the query, and of the query for that to the first."""
    stored = read_all(open_selection(run.cfg, [entry.query, *entry.images]), run.cfg.DATA.WORKERS)
    spec = AugmentSpec.of(run.cfg)
    images = torch.from_numpy(stored).to(run.device)
    inputs = augment(images, None, spec).contiguous(memory_format=torch.channels_last)
    try:
        maps = activation_maps(network, inputs, [1] + [0] * len(entry.images))
    except ValueError as error:
        raise UserError(f"{label}: {error}") from None
    seen = augment(images, None, replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))
    return ActivationList(label, entry, seen.cpu().numpy(), relative_maps(maps))
