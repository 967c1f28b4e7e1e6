"""Analyses of trained networks: from run folders or feature files to figures, each with its numbers as CSV."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reid_dml.analysis.thumbnails import thumbnail
from reid_dml.analysis.tsne import LEAST_IMAGES, choose_persons, common_map, maps_of_networks, scikit_learn, silhouette
from reid_dml.analysis.tsne_page import tsne_page
from reid_dml.commands.trained_run import open_runs
from reid_dml.data.records import ImageRecord
from reid_dml.data.videos import file_of
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.formats import read_features
from reid_dml.features.names import id_of
from reid_dml.files import write_text
from reid_dml.outputs import check_folder
from reid_dml.ranking.ranked_list import camera_name, person_name
from reid_dml.reporting.maps import draw_maps
from reid_dml.reporting.tables import csv_text

_WITHOUT_IDS = (
    "has no images of known identities; t-SNE by identity needs a feature file with person ids (that of a plain folder "
    "of images has none)"
)


def analyse_tsne(
    runs: Sequence[str],
    features: Sequence[str],
    output: str | os.PathLike[str],
    *,
    options: Sequence[str] = (),
    split: str = "test",
    identities: int = 8,
    persons: Sequence[str] = (),
    seed: int = 0,
    perplexity: float = 30,
    rotate: bool = True,
    thumbnails: bool = False,
) -> None:
    """Write `tsne.svg`, `tsne_common.svg`, `tsne.csv` and `tsne.html` of one or several networks.

    Args:
        runs: run folders.
        features: feature files.
        output: folder for the files.
        options: `KEY VALUE ...` for the runs.
        split: images of the runs' data sets: `test` or `train`.
        identities: number of identities to draw.
        persons: ids, or names, to show instead.
        seed: of the draw and of t-SNE.
        perplexity: of t-SNE.
        rotate: turn the networks onto the first for the common map.
        thumbnails: of the images stand above the points of the figures, too.

    Raises:
        UserError: nothing to show, networks of different images, or features without identities.
    """
    if not runs and not features:
        raise UserError("tsne: give --run and a run folder, or --features and a feature file")
    output = Path(output)
    check_folder(output, f"--output {output}")
    scikit_learn("manifold")  # not missed after minutes of reading images
    choice: dict[str, Any] = {"count": identities, "wanted": persons, "seed": seed}
    sets, records = _of_files(features, choice)
    for run in open_runs(runs, options):
        if records is None:
            records = run.records(split)
            chosen = _chosen(records, **choice)
            records = [record for record in records if record.label in chosen]
        elif features and not all(os.path.isfile(file_of(record.path)) for record in records):
            raise UserError(f"{features[0]}: the images it names are not there for {run.name}; run from their folder")
        sets |= run.features(records)
    assert records is not None
    _write_maps(sets, records, output, seed=seed, perplexity=perplexity, rotate=rotate, thumbnails=thumbnails)


def _of_files(
    paths: Sequence[str], choice: Mapping[str, Any]
) -> tuple[dict[str, FeatureSet], list[ImageRecord] | None]:
    """Features of the chosen identities by file, and their images; all files must name the same."""
    sets: dict[str, FeatureSet] = {}
    records = None
    for path in paths:
        found = read_features(path)
        if not (found.person_ids > 0).any():
            raise UserError(f"{path}: {_WITHOUT_IDS}")
        if records is None:
            chosen = _chosen(found.records(), **choice)
        found = found.select(np.isin(found.person_ids, list(chosen)))
        if records is not None and [record.path for record in records] != found.paths.tolist():
            raise UserError(f"{path}: is of other images than {paths[0]}; maps are compared image by image")
        records = found.records()
        sets[f"{Path(path).stem}" if Path(path).stem not in sets else str(path)] = found
    return sets, records


def _chosen(records: Sequence[ImageRecord], *, count: int, wanted: Sequence[str], seed: int) -> set[int]:
    """The persons, or classes, to show, see `choose_persons`; those wanted by id or name."""
    called = {record.label: record.person for record in records if record.person}
    ids = [id_of(person, called) for person in wanted]
    if None in ids:
        raise UserError(f"--persons {wanted[ids.index(None)]}: nobody has this name among these features")
    labels = np.array([record.label for record in records], np.int64)
    return set(choose_persons(labels, count=count, wanted=[number for number in ids if number is not None], seed=seed))


def _write_maps(
    sets: Mapping[str, FeatureSet],
    records: Sequence[ImageRecord],
    output: Path,
    *,
    seed: int,
    perplexity: float,
    rotate: bool,
    thumbnails: bool,
) -> None:
    if len(records) < LEAST_IMAGES:
        raise UserError(f"{len(records)} images of the chosen identities; a map needs {LEAST_IMAGES}, choose more")
    images = [thumbnail(record) for record in records]
    if thumbnails and all(image is None for image in images):
        raise UserError(f"--thumbnails: {records[0].path}: not found, nor any other image; run from their folder")
    persons = np.array([record.person_id for record in records])
    cameras = np.array([record.camera_id for record in records])
    ids, groups = np.unique(persons, return_inverse=True)
    camera_ids, shapes = np.unique(cameras, return_inverse=True)
    called = {record.label: person_name(record) for record in records}
    group_names = [called[number] for number in ids.tolist()]
    values = {label: found.features for label, found in sets.items()}
    settings: dict[str, Any] = {"seed": seed, "perplexity": perplexity}
    try:
        single = maps_of_networks(values, **settings)
        common = common_map(values, rotate=rotate, **settings) if len(values) > 1 else {}
    except ValueError as error:
        raise UserError(f"tsne: {error}") from None
    scores = {label: silhouette(found, persons) for label, found in values.items()}
    titles = {label: f"{label}\nsilhouette {scores[label]:.3f}" for label in single}
    views = {record.camera_id: camera_name(record) for record in records}
    shape_names = [f"camera {views[camera]}" for camera in camera_ids.tolist() if camera >= 0]
    where: dict[str, Any] = {"group_names": group_names, "shape_names": shape_names}
    where["images"] = images if thumbnails else ()
    together = "each network turned onto the first" if rotate else "features as they are"
    figures = {
        "tsne.svg": draw_maps({titles[label]: places for label, places in single.items()}, groups, shapes,
                              title="t-SNE of pooled features, a map a network", **where),
    }  # fmt: skip
    if common:
        figures["tsne_common.svg"] = draw_maps(
            common, groups, shapes, title=f"One t-SNE map of all networks ({together})", same_axes=True, **where
        )
    shown = [*single.items(), *((f"common map: {label}", places) for label, places in common.items())]
    captions = [
        [f"identity {group_names[group]}", f"camera {camera_name(record)}", Path(record.path).name]
        for group, record in zip(groups, records, strict=True)
    ]
    page = tsne_page(
        shown,
        images,
        groups,
        shapes,
        captions=captions,
        title="t-SNE of pooled features",
        text=f"{len(records)} images of {len(ids)} identities (colours) under {len(camera_ids)} cameras (shapes). "
        + (f"Common maps: {together}." if common else ""),
        frames=dict.fromkeys(range(len(single), len(shown)), 0),
    )
    rows = [["map", "network", "image", "identity", "camera", "x", "y"]]
    for kind, maps in (("own", single), ("common", common)):
        for label, places in maps.items():
            rows += [
                [kind, label, _portable(record.path), group_names[group], camera_name(record), f"{x:.6g}", f"{y:.6g}"]
                for record, group, (x, y) in zip(records, groups, places, strict=True)
            ]
    for name, text in {**figures, "tsne.html": page, "tsne.csv": csv_text(rows)}.items():
        write_text(output / name, text)
        print(output / name)
    for label, score in scores.items():
        print(f"{label}: mean silhouette of identities {score:.4f} (cosine, in feature space)")


def _portable(path: str) -> str:
    """A file with its folder, without what is above on this machine."""
    return "/".join(Path(path).parts[-2:])
