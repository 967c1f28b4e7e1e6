"""Building an index, adding images to it and removing some, batch by batch; an interrupted command is continued."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from reid_dml.digests import file_digest
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.names import Names
from reid_dml.features.validation import check_list, check_metric, check_models, check_text, check_widths
from reid_dml.files import remove_folder, save_with, write_json
from reid_dml.search.index_folder import IMAGES, PLAN, Contents, IndexFolder, IndexSpec, read_index, write_index
from reid_dml.search.index_types import (
    add_vectors,
    default_parameters,
    make_index,
    prepare,
    remove_ids,
    set_parameters,
    train_index,
    training_size,
)
from reid_dml.search.sources import Source
from reid_dml.text import from_utf8, to_utf8

_FILLED, _FILLED_DIGESTS = "filled.faiss", "filled.json"
_BATCH = 8192  # vectors added at a time
_SAVE_SECONDS = 60  # between two copies of a half-filled index


@dataclass(frozen=True)
class Summary:
    """Images, their names, width, model and part sizes of a source."""

    images: pa.Table
    names: Names
    dimension: int
    model: str
    sizes: list[int]


def build_index(
    path: str | os.PathLike[str],
    source: Source,
    *,
    factory: str = "Flat",
    metric: str = "cosine",
    parameters: str = "",
    overwrite: bool = False,
) -> Contents:
    """Build the index in a folder from all features of a source.

    Args:
        path: folder of the index; what an interrupted build of the same features left there is used.
        source: the features.
        factory: type of the index, see `index_types.make_index`.
        metric: `cosine` or `euclidean`.
        parameters: of searches, such as `nprobe=32`; empty: `index_types.default_parameters`.
        overwrite: replace an index that is there, once the new one is whole.

    Raises:
        UserError: an index is there and is not to be replaced; features that cannot be compared or are of several
            models; two images of one path; a type of index that FAISS cannot make of them.
    """
    check_metric(metric)
    for name, value in (("factory", factory), ("parameters", parameters)):
        check_text(name, value)
    folder = IndexFolder(path)
    with folder.lock():
        if folder.exists() and not overwrite:
            raise UserError(
                f"{path}: holds an index; add to it (--add), replace it (--overwrite), or name another folder"
            )
        _begin(folder, source, [factory, metric])
        summary = summarise(source, folder.building, metric)
        if not len(summary.images):
            raise UserError(f"{path}: there are no features to build an index from")
        index = _trained(folder.building, source, summary, factory, metric)
        set_parameters(index, parameters)  # refused before the work of filling
        spec = IndexSpec(
            factory=factory,
            metric=metric,
            dimension=summary.dimension,
            model=summary.model,
            parameters=parameters or default_parameters(index),
            next_id=len(summary.images),
        )
        _fill(index, source, folder.building, spec, len(summary.images))
        contents = Contents(spec, index, summary.images, summary.names)
        folder.write(contents)
        remove_folder(folder.building)
    return contents


def add_images(path: str | os.PathLike[str], source: Source) -> int:
    """Add all features of a source to the index in a folder; returns how many.

    Raises `UserError` if they are of another model or width, or if an image of the same path is there already.
    """
    folder = IndexFolder(path)
    with folder.lock(new=False):
        contents = folder.read(mapped=False)
        spec = contents.spec
        _begin(folder, source, [])
        summary = summarise(source, folder.building, spec.metric, spec, contents.names)
        there = pc.filter(
            summary.images["path"], pc.is_in(summary.images["path"], contents.images["path"].combine_chunks())
        )
        check_new(there.to_pylist(), len(summary.images), path)
        _fill(contents.index, source, folder.building, spec, len(summary.images), first=spec.next_id, save=False)
        ids = pa.array(np.arange(len(summary.images)) + spec.next_id)
        added = summary.images.set_column(0, IMAGES.field("id"), ids)
        images = pa.concat_tables([contents.images, added])
        spec = replace(spec, next_id=spec.next_id + len(added))
        folder.write(Contents(spec, contents.index, images, summary.names))
        remove_folder(folder.building)
    return len(added)


def check_new(there: Sequence[str], count: int, where: object) -> None:
    """Refuse images that are in an index already.

    Args:
        there: their paths.
        count: of all images that are to be added.
        where: what messages call the index.
    """
    if there:
        raise UserError(
            f"{where}: {len(there)} of these {count} images are in the index already, first {there[0]}; remove them "
            "from it first, or add the others only"
        )


def remove_images(
    path: str | os.PathLike[str], names: Sequence[str], *, show: Callable[[list[str]], object] | None = None
) -> int:
    """Remove images from the index; returns how many.

    Args:
        path: folder of the index.
        names: paths as the index has them, or shell patterns such as `*_c3s*`. A name that is the path of an image
            means that image only, whatever signs are in it.
        show: called with the paths of all that goes, before it does.

    Raises:
        UserError: a name fits no image; then nothing is removed.
    """
    folder = IndexFolder(path)
    with folder.lock(new=False):
        contents = folder.read(mapped=False)
        paths = list(map(from_utf8, contents.images["path"].to_pylist()))
        gone = named(paths, names, path)
        if show:
            show([entry for entry, goes in zip(paths, gone, strict=True) if goes])
        ids = contents.images["id"].to_numpy()[gone]
        remove_ids(contents.index, ids, contents.spec.factory)
        folder.write(replace(contents, images=contents.images.filter(pa.array(~gone))))
    return len(ids)


def named(paths: Sequence[str], names: Sequence[str], where: object) -> np.ndarray:
    """Which images are meant by names.

    Args:
        paths: (N,) of all images.
        names: as of `remove_images`.
        where: what messages call the index.

    Returns:
        (N,) bool.

    Raises:
        UserError: a name fits no image. ValueError: what are no names.
    """
    check_list("names", names, str)
    rows = {entry: row for row, entry in enumerate(paths)}
    gone = np.zeros(len(paths), bool)
    for name in names:
        if name in rows:
            gone[rows[name]] = True
            continue
        fits = np.array([fnmatchcase(entry, name) for entry in paths], bool)
        if not fits.any():
            raise UserError(f"{where}: holds no image {name}; nothing was removed")
        gone |= fits
    return gone


def _begin(folder: IndexFolder, source: Source, kind: Sequence[str]) -> None:
    """Make the folder of a build, keeping of an earlier one what holds for this one too."""
    building = folder.building
    file = building / PLAN
    plan: dict[str, Any] = {"source": source.plan(), "kind": list(kind), "generation": folder.generation()}
    try:
        before = json.loads(file.read_bytes())
        same_source, same_kind = before["source"] == plan["source"], before["kind"] == plan["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        same_source = same_kind = False  # not there, or damaged: nothing it says can be built on
    if not same_source:
        remove_folder(building)
    elif not same_kind:
        (building / _FILLED).unlink(missing_ok=True)
    building.mkdir(exist_ok=True)
    write_json(file, plan)


def summarise(
    source: Source, building: Path, metric: str, like: IndexSpec | None = None, names: Names | None = None
) -> Summary:
    """Check every part of a source: features of one width, model and naming, and no image twice.

    Args:
        source: the features.
        building: where work may be kept.
        metric: `cosine` or `euclidean`.
        like: of the index they are to be added to, if there is one.
        names: of that index; they are among those of the summary.

    Raises:
        UserError: what does not fit, naming the part.
    """
    tables, sizes = [IMAGES.empty_table()], list[int]()
    first = ("the index", like.dimension, like.model) if like else None
    names = names or Names()
    for number in range(len(source)):
        name, features = source.part(number, building)
        first = first or (name, features.features.shape[1], features.model)
        other, width, made_by = first
        check_widths(name, features.features.shape[1], other, width)
        check_models(name, features.model, other, made_by, for_index=True)
        prepare(features, metric, name)
        names = names.joined(features.names, other, name)
        tables.append(_images(features, sum(sizes)))
        sizes.append(len(features))
    _, dimension, model = first or ("", 0, "")
    images = pa.concat_tables(tables)
    counts = pc.value_counts(images["path"].combine_chunks())
    if len(repeated := counts.filter(pc.greater(counts.field("counts"), 1))):
        raise UserError(
            f"{len(repeated)} images are named more than once, first {repeated[0]['values']}; give every feature file "
            "and every image once"
        )
    return Summary(images, names, dimension, model, sizes)


def _images(features: FeatureSet, first: int) -> pa.Table:
    ids = np.arange(first, first + len(features))
    times = [time or None for time in features.times.tolist()]
    paths = list(map(to_utf8, features.paths.tolist()))
    columns = [ids, paths, features.person_ids, features.camera_ids, times]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, IMAGES, strict=True)], schema=IMAGES
    )


def _trained(building: Path, source: Source, summary: Summary, factory: str, metric: str) -> faiss.Index:
    """The half-filled index of an interrupted build, or an empty one, trained on a random sample."""
    file = building / _FILLED
    if file.is_file() and file_digest(file) in _saved_digests(building):  # a damaged one is filled anew
        return read_index(file)
    index = make_index(factory, summary.dimension, metric)
    if wanted := min(training_size(index), len(summary.images)):
        chosen = np.sort(np.random.default_rng(0).choice(len(summary.images), wanted, replace=False))
        sample, start = [], 0
        for number, size in enumerate(summary.sizes):
            rows = chosen[(chosen >= start) & (chosen < start + size)] - start
            name, features = source.part(number, building)
            sample.append(prepare(features.select(rows), metric, name))
            start += size
        with tqdm(total=wanted, desc="training", unit="image", leave=False, disable=None) as bar:
            train_index(index, factory, np.concatenate(sample))
            bar.update(wanted)
        _save(index, building)
    return index


def _save(index: faiss.Index, building: Path) -> None:
    """Keep a half-filled index. Its digest is written first, beside earlier ones: one of them is the file's."""

    def write(draft: Path) -> None:
        write_index(index, draft)
        write_json(building / _FILLED_DIGESTS, {"sha256": [*_saved_digests(building)[-2:], file_digest(draft)]})

    save_with(building / _FILLED, write)


def _saved_digests(building: Path) -> list[str]:
    try:
        return list(json.loads((building / _FILLED_DIGESTS).read_bytes())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _fill(
    index: faiss.Index,
    source: Source,
    building: Path,
    spec: IndexSpec,
    count: int,
    *,
    first: int = 0,
    save: bool = True,
) -> None:
    """Add the features of all parts under the ids first, first + 1, ..., going on where a saved index stopped."""
    done, start, saved = index.ntotal if save else 0, 0, time.monotonic()
    with tqdm(total=count, initial=done, desc="indexing", unit="image", leave=False, disable=None) as bar:
        for number in range(len(source)):
            name, features = source.part(number, building)
            for row in range(0, len(features), _BATCH):
                batch = features.select(np.arange(row, min(row + _BATCH, len(features))))
                if start + row < done:
                    continue
                ids = first + start + row + np.arange(len(batch))
                add_vectors(index, prepare(batch, spec.metric, name), ids, spec.factory)
                bar.update(len(batch))
                if save and time.monotonic() - saved > _SAVE_SECONDS:
                    _save(index, building)
                    saved = time.monotonic()
            start += len(features)
