"""Whether features can be used and compared: the one place that decides, for files, rankings, rates and indexes.

What cannot be computed with is refused: values that are not finite, an empty side, different widths, the features of
two models, lengths whose squares leave float32 under Euclidean distance. What can be computed but says little is
doubtful: a zero vector, which has no direction under cosine similarity, and features of an unknown model beside those
of a known one. Rankings, scores and rates go on with a warning, a zero vector having the similarity 0 to everything;
an index refuses doubtful features, which it would keep or answer with arbitrary images.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

import numpy as np

from reid_dml.data.records import JUNK
from reid_dml.errors import UserError

METRICS = ("cosine", "euclidean")
_CHUNK = 256  # rows whose squares are held at a time: they stay in the cache
_LARGEST_SQUARE = float(np.finfo(np.float32).max) / 5  # |a - b|^2 reaches four times as much, and a rounding
_EXTRACT = "extract both with the same networks and options"


class Vectors(Protocol):
    """What is looked at: a `FeatureSet`."""

    @property
    def features(self) -> np.ndarray: ...
    @property
    def person_ids(self) -> np.ndarray: ...
    @property
    def paths(self) -> np.ndarray: ...


AnyVectors = TypeVar("AnyVectors", bound=Vectors)


class FeatureError(UserError, ValueError):
    """Features that cannot be used, or not together."""


class DoubtfulFeatures(UserWarning):
    """Features that can be compared, though the result says little."""


@contextmanager
def warned_before() -> Iterator[None]:
    """While it lasts, doubtful features raise no warning: they were reported already, by file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtfulFeatures)
        yield


def as_numbers(where: str, value: object, shape: str, kinds: str = "biuf") -> np.ndarray:
    """An argument as an array of numbers: arrays as they are, lists and tensors of the CPU as arrays.

    Args:
        where: what the argument is called.
        value: as the caller gave it.
        shape: what it must be, such as `(N, D)`.
        kinds: of numbers that it may hold, as numpy's `dtype.kind`.

    Raises:
        ValueError: something else, or another number of dimensions.
    """
    wanted = f"must be an array {shape} of {'whole ' if 'f' not in kinds else ''}numbers"
    try:
        found = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # tensors of a GPU, or with a gradient; ragged lists
        raise ValueError(f"{where}: {wanted}, got {type(value).__name__} ({error})") from None
    if found.dtype.kind not in kinds and found.size:
        raise ValueError(f"{where}: {wanted}, got {type(value).__name__} of {found.dtype}")
    if found.ndim != shape.count(",") + (not shape.endswith(",)")):
        raise ValueError(f"{where}: {wanted}, got {found.shape}")
    return found


def check_whole_number(where: str, value: object, least: int | None = 1) -> None:
    """Raise `ValueError` for an argument that is no whole number, or too small a one.

    Args:
        where: what the argument is called.
        value: as the caller gave it.
        least: the smallest that it may be; None: any.
    """
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or (least is not None and value < least):
        bound = "" if least is None else f" of at least {least}"
        raise ValueError(f"{where}: must be a whole number{bound}, got {value!r}")


def check_text(where: str, value: object) -> None:
    """Raise `ValueError` for an argument that is no text."""
    if not isinstance(value, str):
        raise ValueError(f"{where}: must be a text, got {type(value).__name__}")


def check_list(where: str, values: object, kind: type) -> None:
    """Raise `ValueError` for an argument that is no list, or another collection, of things of one kind.

    Args:
        where: what the argument is called.
        values: as the caller gave it.
        kind: what each must be.
    """
    wanted = f"must be a list of {kind.__name__}"
    if isinstance(values, (str, bytes)) or not isinstance(values, Collection):
        raise ValueError(f"{where}: {wanted}, got {type(values).__name__}")
    if strange := next((type(value) for value in values if not isinstance(value, kind)), None):
        raise ValueError(f"{where}: {wanted}, got one of {strange.__name__}")


def check_metric(metric: str) -> None:
    """Raise `ValueError` for a metric other than `cosine` and `euclidean`."""
    if metric not in METRICS:
        raise ValueError(f"metric: {metric!r} is not one of {', '.join(METRICS)}")


def check_not_empty(where: str, count: int) -> None:
    """Raise `FeatureError` if a side has no images."""
    if not count:
        raise FeatureError(f"{where}: holds no features; extract those of one image or more")


def check_widths(where: str, width: int, other: str, other_width: int) -> None:
    """Raise `FeatureError` unless features are as wide as others.

    Args:
        where, other: what messages call the two sides: `query`, `gallery`, a file, an index.
        width, other_width: D of each.
    """
    if width != other_width:
        raise FeatureError(f"{where}: features are {width}-d, those of {other} are {other_width}-d; {_EXTRACT}")


def check_models(where: str, model: str, other: str, other_model: str, *, for_index: bool = False) -> None:
    """Raise `FeatureError` for features of two models; an unknown one beside a known one is doubtful.

    Args:
        where, other: what messages call the two sides: `query`, `gallery`, a file, an index.
        model, other_model: fingerprint of the networks of each; empty: unknown.
        for_index: refuse what is doubtful.
    """
    if model == other_model:
        return
    message = f"{where}: features of {model_text(model)}, but {other} is of {model_text(other_model)}"
    if for_index or (model and other_model):
        raise FeatureError(f"{message}: they cannot be compared; {_EXTRACT}")
    warnings.warn(
        f"{message}: whether they can be compared is for you to know; {_EXTRACT}", DoubtfulFeatures, stacklevel=3
    )


def check_finite(features: AnyVectors, where: str) -> AnyVectors:
    """The same features, or a `FeatureError` naming the rows that are NaN or infinite."""
    check_vectors(where, features.features, paths=features.paths)
    return features


def check_features(
    where: str, features: Vectors, metric: str, *, for_index: bool = False, any_scale: bool = False
) -> np.ndarray:
    """Check that features can be compared by a metric.

    Junk must be finite like everything else; beyond that it matters to an index only.

    Args:
        where: what messages call the features: `query`, `gallery`, a file.
        features: what is checked.
        metric: `cosine` or `euclidean`.
        for_index: an index is to hold these features or to be searched with them: refuse what is doubtful.
        any_scale: Euclidean distances will be computed of scaled features, so that large ones do no harm.

    Returns:
        (N,) float64, the length of each row.

    Raises:
        FeatureError: naming the rows.
    """
    counted = None if for_index else features.person_ids != JUNK
    return check_vectors(
        where,
        features.features,
        paths=features.paths,
        metric=metric,
        counted=counted,
        for_index=for_index,
        any_scale=any_scale,
    )


def check_vectors(
    where: str,
    vectors: np.ndarray,
    *,
    paths: np.ndarray | None = None,
    metric: str = "",
    counted: np.ndarray | None = None,
    for_index: bool = False,
    any_scale: bool = False,
) -> np.ndarray:
    """`check_features` of a plain array.

    Args:
        where: what messages call the vectors.
        vectors: (N, D) float32.
        paths: (N,) of the images, for messages.
        metric: `cosine`, `euclidean`, or empty: only that all are finite.
        counted: (N,) bool, rows that matter; None: all.
        for_index, any_scale: as for `check_features`.

    Returns:
        (N,) float64, the length of each row.
    """
    squares = row_squares(vectors)
    matters = np.True_ if counted is None else counted
    if found := _named(where, ~np.isfinite(squares), "NaN or infinite", paths):
        raise FeatureError(f"{found}; extract them again, or remove these images")
    if metric == "cosine":
        direction = "all 0, which has no direction for cosine similarity"
        if found := _named(where, (squares == 0) & matters, direction, paths):
            remedy = "remove these images, or use the Euclidean metric"
            if for_index:
                raise FeatureError(f"{found}; {remedy}")
            warnings.warn(f"{found}; they count as similarity 0: {remedy}", DoubtfulFeatures, stacklevel=3)
    if metric == "euclidean" and not any_scale:
        size = "too large for Euclidean distances in float32"
        if found := _named(where, (squares > _LARGEST_SQUARE) & matters, size, paths):
            raise FeatureError(f"{found}; scale them down, or use the cosine metric")
    return np.sqrt(squares)


def check_spread(sides: Mapping[str, tuple[np.ndarray, np.ndarray]], smallest: float) -> None:
    """Refuse features beside which the squares of the smallest leave float32.

    Args:
        sides: by name, the lengths (N,) of its features, NaN for those that do not count, and the paths (N,).
        smallest: the least length that is not 0.
    """
    what = "too different in size from others, more than 1e17 times as long, for Euclidean distances in float32"
    for where, (lengths, paths) in sides.items():
        if found := _named(where, lengths > smallest * 2.0**59, what, paths):
            raise FeatureError(f"{found}; remove these images, or use the cosine metric")


def row_squares(vectors: np.ndarray) -> np.ndarray:
    """Squared lengths of the rows, (N,) float64; not finite where the row is not."""
    squares = np.empty(len(vectors))
    for start in range(0, len(vectors), _CHUNK):
        part = vectors[start : start + _CHUNK].astype(np.float64)
        squares[start : start + _CHUNK] = np.einsum("ij,ij->i", part, part)
    return squares


def _named(where: str, bad: np.ndarray, what: str, paths: np.ndarray | None) -> str:
    """`where: 2 of 9 features are ..., first rows 3 (a.jpg), 4 (b.jpg)` of a mask; empty if it holds no row."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return ""
    first = ", ".join(str(row) if paths is None else f"{row} ({paths[row]})" for row in rows[:3])
    return f"{where}: {len(rows)} of {len(bad)} features are {what}, first rows {first}"


def model_text(fingerprint: str) -> str:
    """What messages call the networks of a fingerprint; empty: unknown ones."""
    return f"model {fingerprint[:12]}" if fingerprint else "an unknown model"
