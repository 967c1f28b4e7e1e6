"""Searching an index: ranked lists as tables, a JSON file and a picture. Features from files need no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reid_dml.commands.inputs import Inputs
from reid_dml.data.image_paths import is_of_images
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.validation import check_models
from reid_dml.files import write_json
from reid_dml.ranking.ranked_list import RankedList, camera_name, person_name, search_lists
from reid_dml.ranking.thresholds import Threshold
from reid_dml.reporting.tables import format_table
from reid_dml.search.engines import open_gallery
from reid_dml.search.filters import ImageFilter
from reid_dml.search.interface import AnyGallery
from reid_dml.text import printable


def search_and_print(
    index: str | os.PathLike[str],
    query: str | os.PathLike[str],
    *,
    k: int = 10,
    threshold: str | float | None = None,
    only: ImageFilter | None = None,
    show: int = 5,
    json: str | os.PathLike[str] | None = None,
    picture: str | os.PathLike[str] | None = None,
    parameters: str = "",
    inputs: Inputs | None = None,
) -> list[RankedList]:
    """Search an index, print the first ranked lists, and return all.

    Args:
        index: folder of the index, or `postgresql://...`.
        query: a feature file (.npz, .parquet or .mat), an image, a video, or a folder or table of images.
        k: images to find for a query; all where the index holds fewer.
        threshold: a number, or a file of reid-dml calibrate for this metric and these networks.
        only: what images must be like to be found.
        show: lists to print and to draw.
        json: file for all lists.
        picture: file for a drawing of the first lists.
        parameters: of the search in place of the index's own.
        inputs: what reads the query: networks for images, and what is known of these.
    """
    if picture:
        from reid_dml.analysis.ranking_picture import check_picture, draw_lists  # loads matplotlib

        check_picture(picture)
    limit = None if threshold is None else Threshold.read(threshold)
    gallery = open_gallery(index, parameters=parameters)
    if limit:
        limit.check(gallery.spec.metric, gallery.spec.model, str(gallery.path))  # before the work
    among = gallery.passing(only) if only else None
    inputs = inputs or Inputs()
    if is_of_images(query):
        model = inputs.extractor.model
        check_models("query", model, str(gallery.path), gallery.spec.model, for_index=True)  # before the work
    features = inputs.read(query)
    if is_of_images(query):
        features = _as_in_gallery(features, gallery, cameras=inputs.cameras == "use")
    if k > len(gallery) > 0:
        print(f"{gallery.path} holds {len(gallery):,} images: all of them are ranked, not {k:,}")
        k = len(gallery)
    lists = search_lists(gallery, features, k, threshold=limit, only=among)
    if json:
        write_json(json, as_json(gallery, lists))
    score = "similarity" if gallery.spec.metric == "cosine" else "distance"
    for entry in lists[:show]:
        print(f"{printable(entry.query.path)} (person {person_name(entry.query)}, camera {camera_name(entry.query)})")
        print(format_table(entry.rows(score)) if entry.images else "no image within the threshold", end="\n\n")
    if show < len(lists):
        print(f"{len(lists) - show:,} more queries; print more with --show, or write all with --json")
    if picture:
        draw_lists(lists[:show], picture)
        print(picture)
    return lists


def _as_in_gallery(features: FeatureSet, gallery: AnyGallery, *, cameras: bool) -> FeatureSet:
    """The features of query images, those that the gallery holds too with the person and the camera it knows of them.

    A file's own name may say less, or something else, than the folders or the table that the gallery was made of.
    """
    found = gallery.find(features.paths.tolist())
    if not found:
        return features
    rows = np.array([row for row, path in enumerate(features.paths.tolist()) if path in found])
    records = gallery.images([found[features.paths[row]] for row in rows])
    person_ids, camera_ids = features.person_ids.copy(), features.camera_ids.copy()
    person_ids[rows] = [record.person_id for record in records]
    if cameras:
        camera_ids[rows] = [record.camera_id for record in records]
    names = features.names.joined(gallery.names, str(gallery.path), "the query")
    return replace(features, person_ids=person_ids, camera_ids=camera_ids, names=names)


def as_json(gallery: AnyGallery, lists: Sequence[RankedList]) -> dict[str, Any]:
    """A whole search for a JSON file."""
    spec = gallery.spec
    return {
        "index": str(gallery.path),
        "type": spec.factory,
        "metric": spec.metric,
        "model": spec.model,
        "answers": [entry.as_dict() for entry in lists],
    }
