"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), sparse and blocked: no (N, N) matrix is ever held.

N images are the queries followed by the gallery. With D the squared Euclidean distances of the features as given and
D*(i, j) = D(i, j) / max_l D(i, l):

    N(i, k)   the k + 1 images nearest to i, itself included
    R(i, k)   = {j in N(i, k): i in N(j, k)}                          k-reciprocal neighbours
    R*(i)     = R(i, k1) with every R(j, k1/2), j in R(i, k1), of which more than 2/3 lies in R(i, k1)
    V(i, j)   = exp(-D*(i, j)) / sum over R*(i), for j in R*(i), else 0
    V'(i)     = mean of V over the k2 images nearest to i             local query expansion
    J(i, j)   = 1 - S / (2 - S), S = sum_l min(V'(i, l), V'(j, l))    Jaccard distance
    result    = (1 - lambda) J + lambda D*

This is the authors' definition; k1/2 is rounded half to even, as theirs. Equal distances rank by position.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import sparse

from reid_dml.features.feature_set import common_offset, power_of_two_scale
from reid_dml.features.validation import as_numbers, check_not_empty, check_vectors, check_whole_number, check_widths
from reid_dml.ranking.threads import row_parts
from reid_dml.threads import cpu_threads

_BLOCK = 512  # rows whose distances to all images are held at a time
_CHUNKS = 64  # parts of a row whose minima bound its k-th smallest entry
_PAIRS = 1 << 14  # pairs whose features are gathered at a time


def k_reciprocal_distances(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> np.ndarray:
    """Re-ranked distances of every query to every gallery image, smaller is nearer.

    Args:
        query_features, gallery_features: (Q, D) and (G, D) float32, used as given: the caller normalises them and
            removes junk from the gallery.
        k1: neighbours of the reciprocal sets; k2: images averaged by the local query expansion, 1 for none.
        lambda_value: share of the original distance, in [0, 1].

    Returns:
        (Q, G) float32.

    Raises:
        ValueError: k1, k2 or lambda_value out of range, or features that are no array of two dimensions.
        FeatureError: different widths (it is a ValueError too), an empty side, or features that are not finite.
    """
    for name, value in (("k1", k1), ("k2", k2)):
        check_whole_number(name, value)
    if not isinstance(lambda_value, (int, float, np.floating)) or not 0 <= lambda_value <= 1:
        raise ValueError(f"lambda_value must lie between 0 and 1, got {lambda_value!r}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        query_features = as_numbers("query_features", query_features, "(Q, D)").astype(np.float32, copy=False)
        gallery_features = as_numbers("gallery_features", gallery_features, "(G, D)").astype(np.float32, copy=False)
    check_widths("gallery", gallery_features.shape[1], "query", query_features.shape[1])
    for name, side in (("query", query_features), ("gallery", gallery_features)):
        check_not_empty(name, len(side))
        check_vectors(name, side)
    features = _centred(np.concatenate([query_features, gallery_features]))
    queries, count = len(query_features), len(features)
    depth = min(max(k1 + 1, k2), count)
    half = int(np.around(k1 / 2))

    original = np.empty((queries, len(gallery_features)), np.float32)
    neighbours, largest = _nearest(features, depth, original)
    reciprocal = _reciprocal(neighbours[:, : k1 + 1])
    expanded = _expand(reciprocal, _reciprocal(neighbours[:, : half + 1]))
    weights = _weights(features, expanded, largest)
    if k2 > 1:
        weights = _average(neighbours[:, :k2]) @ weights
    return _mix(weights[:queries], weights[queries:], original, lambda_value)


def _centred(features: np.ndarray) -> np.ndarray:
    """Features moved and scaled, which distances divided by their maximum do not depend on: float32 squares stay in
    range, and a common offset costs no digits. Whole numbers stay whole, so that ties stay ties."""
    features *= power_of_two_scale(float(max(features.max(initial=0), -features.min(initial=0))))
    features -= common_offset(features)
    return features


def _nearest(features: np.ndarray, depth: int, original: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `depth` nearest images of every image, (N, depth) int32, and its largest squared distance (N,).

    Fills `original` (Q, G) with the queries' distances to the gallery divided by that. Neighbours are found in float32
    blocks; those near the boundary are then ordered by distances in float64.
    """
    count, queries = len(features), len(original)
    squares = np.einsum("ij,ij->i", features, features, dtype=np.float64).astype(np.float32)
    slack = np.float32(16 * np.finfo(np.float32).eps) * squares.max()  # rounding of a float32 distance
    columns = -(-count // _CHUNKS) * _CHUNKS
    block = np.full((_BLOCK, columns), np.inf, np.float32)
    neighbours, largest = np.empty((count, depth), np.int32), np.empty(count, np.float32)

    def rank_rows(start: int, rows: range) -> None:
        for row in rows:
            i, distances = start + row, block[row]
            distances[:count] *= -2
            distances[:count] += squares
            distances[:count] += squares[i]
            distances[i] = 0
            np.maximum(distances, 0, out=distances)
            largest[i] = distances[:count].max()
            if i < queries:
                np.divide(distances[queries:count], largest[i] or 1, out=original[i])
            # The depth-th smallest of the parts' minima is no smaller than the depth-th smallest distance.
            bounding = distances.reshape(_CHUNKS, -1).min(0) if depth <= columns // _CHUNKS else distances[:count]
            bound = np.partition(bounding, depth - 1)[depth - 1]
            near = np.flatnonzero(distances[:count] <= bound + slack)
            exact = _squared_distances(features, i, near)
            neighbours[i] = near[np.argsort(exact, kind="stable")[:depth]]

    with ThreadPoolExecutor(cpu_threads()) as pool:
        for start in range(0, count, _BLOCK):
            rows = min(_BLOCK, count - start)
            np.matmul(features[start : start + rows], features.T, out=block[:rows, :count])
            list(pool.map(lambda part, start=start: rank_rows(start, part), row_parts(rows)))
    return neighbours, largest


def _squared_distances(features: np.ndarray, row: int, others: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of one image to some others in float64; exactly 0 to itself."""
    differences = features[others].astype(np.float64) - features[row]
    return np.einsum("ij,ij->i", differences, differences)


def _reciprocal(neighbours: np.ndarray) -> sparse.csr_array:
    """R as a 0/1 matrix (N, N): the neighbours that have the image among their own."""
    count, depth = neighbours.shape
    rows = np.repeat(np.arange(count, dtype=np.int32), depth)
    near = sparse.csr_array((np.ones(rows.size, np.float32), (rows, neighbours.ravel())), shape=(count, count))
    return near.multiply(near.T).tocsr()


def _expand(reciprocal: sparse.csr_array, halves: sparse.csr_array) -> sparse.csr_array:
    """R*: a matrix whose stored entries are the expanded sets."""
    common = reciprocal.multiply(reciprocal @ halves.T).tocsr()  # |R(i) and R(j, k1/2)|, for j in R(i)
    sizes = np.diff(halves.indptr)
    accepted = 3 * common.data > 2 * sizes[common.indices]
    rows = np.repeat(np.arange(common.shape[0]), np.diff(common.indptr))
    chosen = sparse.csr_array(
        (np.ones(accepted.sum(), np.float32), (rows[accepted], common.indices[accepted])), shape=common.shape
    )
    return (reciprocal + chosen @ halves).tocsr()


def _weights(features: np.ndarray, sets: sparse.csr_array, largest: np.ndarray) -> sparse.csr_array:
    """V (N, N): Gaussian weights of the sets' images, every row summing to 1."""
    rows = np.repeat(np.arange(len(features), dtype=np.int32), np.diff(sets.indptr))
    distances = np.empty(len(rows), np.float32)

    def measure(start: int) -> None:
        part = slice(start, start + _PAIRS)
        differences = features[rows[part]] - features[sets.indices[part]]
        np.einsum("ij,ij->i", differences, differences, out=distances[part])

    with ThreadPoolExecutor(cpu_threads()) as pool:
        list(pool.map(measure, range(0, len(rows), _PAIRS)))
    scale = np.where(largest > 0, largest, 1)  # all images equal: every distance is 0
    values = np.exp(-distances / scale[rows])
    sums = np.bincount(rows, values, minlength=len(features))  # of an empty set: 0, and nothing is divided by it
    values = (values / sums[rows]).astype(np.float32)
    return sparse.csr_array((values, sets.indices, sets.indptr), shape=sets.shape)


def _average(neighbours: np.ndarray) -> sparse.csr_array:
    """The (N, N) matrix that averages rows over the neighbours."""
    count, depth = neighbours.shape
    values = np.full(count * depth, 1 / depth, np.float32)
    return sparse.csr_array((values, neighbours.ravel(), np.arange(0, count * depth + 1, depth)), shape=(count, count))


def _mix(query: sparse.csr_array, gallery: sparse.csr_array, original: np.ndarray, lambda_value: float) -> np.ndarray:
    """(1 - lambda) J + lambda D*, written over `original` (Q, G)."""
    by_image = gallery.tocsc()  # for every image, the gallery rows whose set holds it
    starts, lengths = by_image.indptr[:-1], np.diff(by_image.indptr)

    def mix_rows(rows: range) -> None:
        for row in rows:
            own = slice(query.indptr[row], query.indptr[row + 1])
            images, weights = query.indices[own], query.data[own]
            counts = lengths[images]
            # Positions of all entries of these images' columns, one column after the other.
            before = np.cumsum(counts) - counts
            entries = np.arange(counts.sum()) + np.repeat(starts[images] - before, counts)
            common = np.minimum(np.repeat(weights, counts), by_image.data[entries])
            shared = np.bincount(by_image.indices[entries], common, minlength=original.shape[1])
            original[row] *= lambda_value
            original[row] += (1 - lambda_value) * (1 - shared / (2 - shared))

    with ThreadPoolExecutor(cpu_threads()) as pool:
        list(pool.map(mix_rows, row_parts(len(original))))
    return original
