"""FAISS indexes by factory string: making, training, filling and searching them, and removing vectors.

Every index answers with ids we choose, which stay with an image for good. Inverted files keep ids themselves; all
others are wrapped in FAISS's IDMap.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import faiss
import numpy as np

from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet, normalize
from reid_dml.features.validation import check_features, check_text

_LARGEST_HALF = float(np.finfo(np.float16).max)
_GPU_NEIGHBOURS = 2048  # FAISS finds no more on a GPU
_ENOUGH = 39  # vectors per centroid below which FAISS calls a training poor
_BATCH = 16384  # vectors read back at a time


def make_index(factory: str, dimension: int, metric: str) -> faiss.Index:
    """An empty index, untrained where its type needs training.

    Args:
        factory: FAISS's description: `Flat` (exact), `SQfp16`, `HNSW32`, `IVF256,Flat`, `IVF256,PQ32`,
            `OPQ32,IVF256,PQ32`, ...
        dimension: width of the vectors.
        metric: `cosine` (inner product of unit vectors) or `euclidean`.

    Raises:
        UserError: FAISS knows no such index, or not of this width.
    """
    if "IDMap" in factory:
        raise UserError(f"index type {factory!r}: ids are kept anyway; leave out IDMap")
    # FAISS takes these and then ends the process, never ends, or fails in every search.
    if re.search(r"(?<!\d)0+(?!\d)", factory):
        raise UserError(f"index type {factory!r}: a number in it is 0; use 1 or more")
    if "NSG" in factory:
        raise UserError(f"index type {factory!r}: a graph that cannot be filled in batches or added to; use HNSW32")
    if any(int(degree) < 2 for degree in re.findall(r"HNSW(\d+)", factory)):
        raise UserError(f"index type {factory!r}: a graph needs 2 neighbours or more at each vector; use HNSW32")
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    try:
        index = faiss.index_factory(dimension, factory, kind)
    except RuntimeError as error:
        raise UserError(
            f"index type {factory!r}: FAISS cannot make it for {dimension}-d features ({_reason(error)}); use Flat, "
            "SQfp16, HNSW32 or IVF256,PQ32, for example"
        ) from None
    _plain_training(index)
    return index if _keeps_ids(index) else faiss.IndexIDMap(index)


def training_size(index: faiss.Index) -> int:
    """How many vectors a good training needs: at least 50,000, 64 for every cell of an inverted file; 0 for none."""
    if index.is_trained:
        return 0
    core = _core(index)
    return max(50_000, 64 * core.nlist) if isinstance(core, faiss.IndexIVF) else 50_000


def train_index(index: faiss.Index, factory: str, vectors: np.ndarray) -> None:
    """Train an index; warns if the vectors are few.

    Args:
        index: an index that `make_index` made.
        factory: its type, for messages.
        vectors: (N, D) float32, prepared.

    Raises:
        UserError: too few vectors.
    """
    core = _core(index)
    if isinstance(core, faiss.IndexIVF) and core.nlist <= len(vectors) < _ENOUGH * core.nlist:
        warnings.warn(
            f"index type {factory!r}: {len(vectors):,} vectors are few to train {core.nlist:,} cells; name fewer "
            f"cells, or build it of {_ENOUGH * core.nlist:,} images or more",
            stacklevel=2,
        )
    try:
        index.train(vectors)
    except RuntimeError as error:
        raise UserError(
            f"index type {factory!r}: FAISS cannot train it on {len(vectors):,} vectors ({_reason(error)}); use Flat "
            "or a smaller type"
        ) from None


def add_vectors(index: faiss.Index, vectors: np.ndarray, ids: np.ndarray, factory: str) -> None:
    """Add vectors to a trained index.

    Args:
        index: where to.
        vectors: (N, D) float32, prepared.
        ids: (N,) int64, by which searches will name them.
        factory: type of the index, for messages.

    Raises:
        UserError: this type does not take them.
    """
    if "fp16" in factory and max(vectors.max(initial=0), -vectors.min(initial=0)) > _LARGEST_HALF:
        raise UserError(
            f"index type {factory!r}: its numbers of 16 bits end at {_LARGEST_HALF:,.0f}, and features go beyond; "
            "scale them down, or use Flat"
        )
    try:
        index.add_with_ids(vectors, ids)
    except RuntimeError as error:
        raise UserError(
            f"index type {factory!r}: FAISS cannot add {len(vectors):,} vectors to {index.ntotal:,} "
            f"({_reason(error)}); use another type"
        ) from None


def search(index: faiss.Index, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Search an index.

    Args:
        index: a filled index.
        vectors: (Q, D) float32, prepared.
        k: neighbours of each.

    Returns:
        FAISS's scores (Q, k) float32 and ids (Q, k) int64, nearest first, equally near ones by rising id.

    Raises:
        UserError: the index cannot be searched so.
    """
    try:
        scores, ids = index.search(vectors, k)
    except RuntimeError as error:
        raise UserError(
            f"FAISS cannot search this index for {k:,} neighbours ({_reason(error)}); check the search parameters, or "
            "use another type"
        ) from None
    if (scores[:, 1:] == scores[:, :-1]).any():  # FAISS orders equal ones by how its heap happened to be filled
        order = np.lexsort((ids, scores if index.metric_type == faiss.METRIC_L2 else -scores))
        scores, ids = np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
    return scores, ids


def default_parameters(index: faiss.Index) -> str:
    """How carefully an index searches unless told otherwise: a sixteenth of the cells, 64 candidates of a graph."""
    core = _core(index)
    if isinstance(core, faiss.IndexIVF):
        return f"nprobe={max(1, core.nlist // 16)}"
    return "efSearch=64" if isinstance(core, faiss.IndexHNSW) else ""


def set_parameters(index: faiss.Index, parameters: str) -> None:
    """Set search parameters like `nprobe=32`.

    Raises `UserError` for any that this type of index does not have, and for values that are no numbers from 1 up.
    """
    check_text("parameters", parameters)
    if not parameters:
        return
    for name, value in re.findall(r"([^\s,=]+)=([^\s,]*)", parameters):
        if not re.fullmatch(r"0*[1-9]\d{0,8}", value):  # FAISS would take 0 and fail in every search
            raise UserError(f"search parameters {parameters!r}: {name} must be a whole number of at least 1")
    space: Any = faiss.ParameterSpace()  # the types of FAISS's stubs are those of its C++ signatures
    try:
        space.set_index_parameters(index, parameters)
    except RuntimeError as error:
        raise UserError(
            f"search parameters {parameters!r}: not understood by this type of index ({_reason(error)}); inverted "
            "files have nprobe=N, graphs efSearch=N, exact indexes none"
        ) from None


def prepare(features: FeatureSet, metric: str, where: str) -> np.ndarray:
    """(N, D) vectors as an index of this metric holds them, checked.

    Args:
        features: what an index is to hold or to be searched with.
        metric: `cosine` or `euclidean`.
        where: what messages call the features.

    Raises:
        FeatureError: naming rows that an index can neither hold nor be asked for.
    """
    check_features(where, features, metric, for_index=True)
    return as_vectors(features.features, metric)


def as_vectors(features: np.ndarray, metric: str) -> np.ndarray:
    """(N, D) vectors that FAISS compares by a metric: of length 1 for cosine, as they are for Euclidean."""
    return np.ascontiguousarray(normalize(features) if metric == "cosine" else features)


def remove_ids(index: faiss.Index, ids: np.ndarray, factory: str) -> None:
    """Take vectors out of an index, exactly: the others stay as they are.

    A graph cannot forget: it is built anew from its own stored vectors.

    Args:
        index: a filled index.
        ids: (n,) int64 of the vectors to take out.
        factory: type of the index, for messages.

    Raises:
        UserError: a type that allows neither.
    """
    if isinstance(_core(index), faiss.IndexHNSW):
        _rebuild_without(index, ids)
        return
    removing: Any = index  # an array of ids is taken too, which FAISS's stubs do not say
    try:
        removing.remove_ids(ids)
    except RuntimeError as error:
        raise UserError(
            f"index type {factory!r}: FAISS cannot remove images from it ({_reason(error)}); build the index anew"
        ) from None


def on_gpu(index: faiss.Index) -> faiss.Index | None:
    """A copy on the first GPU, or None where there is none or it does not know this type of index."""
    if not faiss.get_num_gpus():
        return None
    try:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    except RuntimeError:
        return None


def fits_gpu(k: int) -> bool:
    """Whether FAISS can find so many neighbours on a GPU."""
    return k <= _GPU_NEIGHBOURS


def _rebuild_without(index: Any, ids: np.ndarray) -> None:
    stored: Any = faiss.clone_index(index)
    all_ids = faiss.vector_to_array(stored.id_map)
    kept = ~np.isin(all_ids, ids)
    index.reset()  # keeps what was learnt in training
    for start in range(0, len(all_ids), _BATCH):
        stop = min(start + _BATCH, len(all_ids))
        vectors = stored.index.reconstruct_n(start, stop - start)
        mask = kept[start:stop]
        if mask.any():
            index.add_with_ids(np.ascontiguousarray(vectors[mask]), all_ids[start:stop][mask])


def _core(index: faiss.Index) -> Any:
    """The index below id maps, rotations and refinements."""
    core: Any = faiss.downcast_index(index)
    while True:
        if isinstance(core, (faiss.IndexIDMap, faiss.IndexPreTransform)):
            core = faiss.downcast_index(core.index)
        elif isinstance(core, faiss.IndexRefine):
            core = faiss.downcast_index(core.base_index)
        else:
            return core


def _keeps_ids(index: faiss.Index) -> bool:
    inner: Any = faiss.downcast_index(index)
    while isinstance(inner, faiss.IndexPreTransform):
        inner = faiss.downcast_index(inner.index)
    return isinstance(inner, faiss.IndexIVF)


def _plain_training(index: faiss.Index) -> None:
    """Turn off polysemous training and the warnings of small clusterings.

    Polysemous training orders the codes for a filter by Hamming distance that is off, and takes minutes; FAISS also
    warns once for each of its many small clusterings, where `train_index` warns once.
    """
    core = _core(index)
    if hasattr(core, "do_polysemous_training"):
        core.do_polysemous_training = False
    for owner in (core, getattr(core, "pq", None)):
        if owner is not None and hasattr(owner, "cp"):
            owner.cp.min_points_per_centroid = 1


def _reason(error: RuntimeError) -> str:
    """The end of FAISS's message, without the C++ names in front."""
    return " ".join(str(error).split("Error: ")[-1].split(" failed: ")[-1].split(".cpp:")[-1].split())
