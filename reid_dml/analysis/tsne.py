"""t-SNE of pooled features: a map of each network, and one map of several networks together. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np

from reid_dml.data.records import DISTRACTOR
from reid_dml.errors import UserError
from reid_dml.extras import require
from reid_dml.features.feature_set import normalize

LEAST_IMAGES = 5  # of a map: fewer points have no neighbourhoods


def choose_persons(
    persons: np.ndarray, *, count: int = 8, wanted: Sequence[int] = (), seed: int = 0, least: int = 2
) -> list[int]:
    """The persons of a map: those wanted, or some drawn from all with enough images.

    Args:
        persons: (N,) int64 ids of the images; junk, distractors and unknown ones are never drawn.
        count: how many to draw; all where there are fewer.
        wanted: ids that are chosen instead.
        seed: of the draw.
        least: images that a person needs to be drawn.

    Returns:
        Ids, rising.

    Raises:
        UserError: a wanted person without an image, or nobody to draw from.
    """
    ids, counts = np.unique(persons[persons > DISTRACTOR], return_counts=True)
    if absent := sorted(set(wanted) - set(ids.tolist())):
        near = f"; the nearest id is {min(ids.tolist(), key=lambda one: abs(one - absent[0]))}" if len(ids) else ""
        raise UserError(f"identity {absent[0]}: has no image among these features{near}")
    if wanted:
        return sorted(set(wanted))
    ids = ids[counts >= least]
    if not len(ids):
        raise UserError(
            f"no identity has {least} images among these features; t-SNE of identities needs features with person ids "
            "(reid-dml extract knows none of a plain folder)"
        )
    return sorted(np.random.default_rng(seed).choice(ids, min(count, len(ids)), replace=False).tolist())


def principal_components(features: np.ndarray, components: int) -> np.ndarray:
    """The coordinates along the first principal axes, (N, min(components, N, D)) float64, centred.

    The sign of each axis is the one that makes its largest coordinate positive.
    """
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    found = (left * scale)[:, :components]
    largest = found[np.abs(found).argmax(0), np.arange(found.shape[1])]
    return found * np.where(largest < 0, -1, 1)


def scikit_learn(module: str) -> ModuleType:
    """A module of scikit-learn, a second to import. Raises `UserError` where that is not installed."""
    return require(f"sklearn.{module}", "viz", "t-SNE")


def tsne(features: np.ndarray, *, seed: int = 0, perplexity: float = 30, components: int = 50) -> np.ndarray:
    """A map (N, 2) float64 of features, by t-SNE (van der Maaten and Hinton, JMLR 2008) of their principal components.

    Starts from the first two components; the same features and seed give the same map.

    Args:
        features: (N, D), at least `LEAST_IMAGES` rows that are not all equal; distances are Euclidean, so rows of
            length 1 for cosine.
        seed: of the optimisation's random numbers.
        perplexity: effective number of neighbours; at most (N - 1) / 3 is used.
        components: principal components that are kept.

    Raises:
        ValueError: too few rows, or rows that are all equal.
    """
    from threadpoolctl import threadpool_limits

    if len(features) < LEAST_IMAGES:
        raise ValueError(f"{len(features)} images; a map needs at least {LEAST_IMAGES}")
    with threadpool_limits(1):  # threads would add up gradients in whatever order they come
        reduced = principal_components(features, components)
        spread = reduced[:, 0].std()
        if spread <= 1e-12 * max(1.0, float(np.abs(features).max())):
            raise ValueError("all features are equal; nothing is to be seen of them")
        start = np.zeros((len(reduced), 2))
        start[:, : reduced.shape[1]] = reduced[:, :2]
        model = scikit_learn("manifold").TSNE(
            2, perplexity=min(perplexity, (len(features) - 1) / 3), init=1e-4 * start / spread, random_state=seed
        )
        return model.fit_transform(reduced).astype(np.float64)


def maps_of_networks(
    features: Mapping[str, np.ndarray], *, seed: int = 0, perplexity: float = 30, components: int = 50
) -> dict[str, np.ndarray]:
    """A t-SNE map of each network by itself, of features scaled to length 1.

    Args:
        features: (N, D_k) by the label of the network.
        seed, perplexity, components: as for `tsne`.
    """
    return {
        label: tsne(normalize(values), seed=seed, perplexity=perplexity, components=components)
        for label, values in features.items()
    }


def common_map(
    features: Mapping[str, np.ndarray],
    *,
    rotate: bool = True,
    seed: int = 0,
    perplexity: float = 30,
    components: int = 50,
) -> dict[str, np.ndarray]:
    """One t-SNE map of all networks' features of the same images, so that places can be compared between networks.

    Args:
        features: (N, D_k) by the label of the network, rows of the same images in the same order.
        rotate: first turn each network's features onto the first network's (`align`): distances within a
            network stay, but axes, which networks from different starting weights have in no common order, agree as
            well as they can. Without it features are put together as they are, and their widths must be equal.
        seed, perplexity, components: as for `tsne`; the components are then of all together.

    Returns:
        (N, 2) by label.

    Raises:
        ValueError: widths or numbers of images that differ.
    """
    scaled = {label: normalize(values).astype(np.float64) for label, values in features.items()}
    if len({len(values) for values in scaled.values()}) > 1:
        raise ValueError("a common map needs features of the same images")
    if rotate:
        width = max(values.shape[1] for values in scaled.values())
        first = next(iter(scaled.values()))
        first = np.pad(first, ((0, 0), (0, width - first.shape[1])))
        scaled = {label: align(values, first) for label, values in scaled.items()}
    widths = {values.shape[1] for values in scaled.values()}
    if len(widths) > 1:
        raise ValueError(f"features are {' and '.join(map(str, sorted(widths)))} wide; turn them onto each other")
    together = tsne(np.concatenate(list(scaled.values())), seed=seed, perplexity=perplexity, components=components)
    return dict(zip(scaled, np.split(together, len(scaled)), strict=True))


def align(features: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Features turned, and mirrored if need be, to lie as near to a target as they can: orthogonal Procrustes.

    Both are centred first; the narrower one is padded with zeros. (Schönemann, Psychometrika 1966.)

    Args:
        features: (N, D).
        target: (N, E), of the same images.

    Returns:
        (N, max(D, E)) float64, with the distances among the rows of `features`.
    """
    width = max(features.shape[1], target.shape[1])
    own, other = (
        np.pad(values - values.mean(0), ((0, 0), (0, width - values.shape[1]))) for values in (features, target)
    )
    left, _, right = np.linalg.svd(own.T @ other)
    return own @ (left @ right)


def silhouette(features: np.ndarray, persons: np.ndarray) -> float:
    """Mean silhouette (Rousseeuw, 1987) of the persons among features under cosine distance: 1 is well apart.

    In the features' own space, not on the map. NaN with fewer than two persons, or as many persons as images.
    """
    if not 1 < len(np.unique(persons)) < len(persons):
        return float("nan")
    return float(scikit_learn("metrics").silhouette_score(normalize(features), persons, metric="cosine"))
