"""Analyses of trained networks: from run folders or feature files to figures, each with its numbers as CSV."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
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
    points = _points(records, thumbnails=thumbnails)
    values = {label: found.features for label, found in sets.items()}
    maps = _Maps.of(values, seed=seed, perplexity=perplexity, rotate=rotate)
    scores = {label: silhouette(found, points.groups) for label, found in values.items()}
    figures = _figures(points, maps, scores, thumbnails=thumbnails)
    for name, text in {**figures, "tsne.html": _page(points, maps), "tsne.csv": csv_text(_rows(points, maps))}.items():
        write_text(output / name, text)
        print(output / name)
    for label, score in scores.items():
        if isfinite(score):  # of one identity alone there is none
            print(f"{label}: mean silhouette of identities {score:.4f} (cosine, in feature space)")


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


@dataclass(frozen=True)
class _Points:
    """What stands on every map: the images, their identities as groups and their cameras as shapes."""

    records: Sequence[ImageRecord]
    images: Sequence[np.ndarray | None]  # small copies; None: the file is not there
    groups: np.ndarray  # (N,) number of the identity in `group_names`
    group_names: Sequence[str]
    shapes: np.ndarray  # (N,) number of the camera
    shape_names: Sequence[str]  # of the cameras that are known

    @staticmethod
    def of(records: Sequence[ImageRecord]) -> _Points:
        ids, groups = np.unique([record.person_id for record in records], return_inverse=True)
        cameras, shapes = np.unique([record.camera_id for record in records], return_inverse=True)
        called = {record.label: person_name(record) for record in records}
        views = {record.camera_id: camera_name(record) for record in records}
        shape_names = [f"camera {views[camera]}" for camera in cameras.tolist() if camera >= 0]
        names = [called[number] for number in ids.tolist()]
        return _Points(records, [thumbnail(record) for record in records], groups, names, shapes, shape_names)

    @property
    def text(self) -> str:
        """How many there are, in words."""
        return (
            f"{len(self.records)} images of {len(self.group_names)} identities (colours) under "
            f"{len(np.unique(self.shapes))} cameras (shapes)."
        )


@dataclass(frozen=True)
class _Maps:
    """(N, 2) places of the points: on a map a network, and on one map of all networks where there are several."""

    single: Mapping[str, np.ndarray]
    common: Mapping[str, np.ndarray]
    together: str  # how the networks came onto the common map

    @staticmethod
    def of(values: Mapping[str, np.ndarray], *, seed: int, perplexity: float, rotate: bool) -> _Maps:
        settings: dict[str, Any] = {"seed": seed, "perplexity": perplexity}
        try:
            single = maps_of_networks(values, **settings)
            common = common_map(values, rotate=rotate, **settings) if len(values) > 1 else {}
        except ValueError as error:
            raise UserError(f"tsne: {error}") from None
        return _Maps(single, common, "each network turned onto the first" if rotate else "features as they are")


def _points(records: Sequence[ImageRecord], *, thumbnails: bool) -> _Points:
    """The points of the maps; of too few images, or where `thumbnails` are asked for and none is there, `UserError`."""
    if len(records) < LEAST_IMAGES:
        raise UserError(f"{len(records)} images of the chosen identities; a map needs {LEAST_IMAGES}, choose more")
    points = _Points.of(records)
    if thumbnails and all(image is None for image in points.images):
        raise UserError(f"--thumbnails: {records[0].path}: not found, nor any other image; run from their folder")
    return points


def _figures(points: _Points, maps: _Maps, scores: Mapping[str, float], *, thumbnails: bool) -> dict[str, str]:
    """The maps as SVG by the names of the files; `scores` are the silhouettes of the networks."""
    where: dict[str, Any] = {
        "groups": points.groups,
        "shapes": points.shapes,
        "group_names": points.group_names,
        "shape_names": points.shape_names,
        "images": points.images if thumbnails else (),
    }
    titled = {
        f"{label}\nsilhouette {scores[label]:.3f}" if isfinite(scores[label]) else label: places
        for label, places in maps.single.items()
    }
    figures = {"tsne.svg": draw_maps(titled, title="t-SNE of pooled features, a map a network", **where)}
    if maps.common:
        title = f"One t-SNE map of all networks ({maps.together})"
        figures["tsne_common.svg"] = draw_maps(maps.common, title=title, same_axes=True, **where)
    return figures


def _page(points: _Points, maps: _Maps) -> str:
    """The maps as a page that shows the image of a point."""
    common = [(f"common map: {label}", places) for label, places in maps.common.items()]
    captions = [
        [f"identity {points.group_names[group]}", f"camera {camera_name(record)}", Path(record.path).name]
        for group, record in zip(points.groups, points.records, strict=True)
    ]
    return tsne_page(
        [*maps.single.items(), *common],
        points.images,
        points.groups,
        points.shapes,
        captions=captions,
        title="t-SNE of pooled features",
        text=f"{points.text} " + (f"Common maps: {maps.together}." if common else ""),
        frames=dict.fromkeys(range(len(maps.single), len(maps.single) + len(common)), 0),
    )


def _rows(points: _Points, maps: _Maps) -> list[list[str]]:
    """Header, then a row a point of each map."""
    rows = [["map", "network", "image", "identity", "camera", "x", "y"]]
    persons = [points.group_names[group] for group in points.groups]
    for kind, found in (("own", maps.single), ("common", maps.common)):
        for label, places in found.items():
            rows += [
                [kind, label, _portable(record.path), person, camera_name(record), f"{x:.6g}", f"{y:.6g}"]
                for record, person, (x, y) in zip(points.records, persons, places, strict=True)
            ]
    return rows


def _portable(path: str) -> str:
    """A file with its folder, without what is above on this machine."""
    return "/".join(Path(path).parts[-2:])
