"""Hiding labels: which training images keep theirs, from a seed, for semi-supervised training (Fig. 6 of the paper)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from yacs.config import CfgNode

from reid_dml.data.records import UNKNOWN_PERSON, ClassificationData, TrainingData
from reid_dml.errors import UserError

Data = TypeVar("Data", bound=TrainingData)


def choose_labelled(
    labels: Sequence[int] | np.ndarray, *, share: float = 1.0, identities: int = 0, seed: int = 0
) -> np.ndarray:
    """Which images keep their labels: (N,) bool.

    With the same seed a smaller choice is part of every larger one, so that a curve over it compares the same images.

    Args:
        labels: (N,) person or class of each image.
        share: of each person's or class's images that keep theirs, rounded, at least one.
        identities: number of persons or classes with labelled images; 0: all.
        seed: of the choice.

    Raises:
        ValueError: more identities than there are.
    """
    labels = np.asarray(labels)
    classes = np.unique(labels)
    if identities > len(classes):
        raise ValueError(f"{identities} identities were asked for, there are {len(classes)}")
    rng = np.random.default_rng([seed, 4])
    chosen = set(rng.permutation(classes)[: identities or len(classes)].tolist())
    kept = np.zeros(len(labels), bool)
    for label in classes:  # each draws, chosen or not: the images of one do not depend on which others are chosen
        rows = rng.permutation(np.flatnonzero(labels == label))
        if int(label) in chosen:
            kept[rows[: max(1, round(share * len(rows)))]] = True
    return kept


def hides_labels(cfg: CfgNode) -> bool:
    """Whether the options of `SEMI` take labels away at all."""
    return cfg.SEMI.LABELLED_SHARE < 1 or cfg.SEMI.LABELLED_IDENTITIES > 0


def hide_labels(cfg: CfgNode, data: Data) -> Data:
    """The data set with the labels of `SEMI` only; the other images have no person, or are left out.

    Raises `UserError` if there are not so many persons, or classes would be left out that the test split has.
    """
    options = cfg.SEMI
    if not hides_labels(cfg):
        return data
    if options.LABELLED_IDENTITIES and isinstance(data, ClassificationData):
        raise UserError(
            f"SEMI.LABELLED_IDENTITIES: the test images of {data.name} are of all its classes, which the networks then "
            "could not name; set it to 0 and SEMI.LABELLED_SHARE instead"
        )
    try:
        kept = choose_labelled(
            [record.label for record in data.train],
            share=options.LABELLED_SHARE,
            identities=options.LABELLED_IDENTITIES,
            seed=options.SEED,
        )
    except ValueError as refusal:
        raise UserError(f"SEMI.LABELLED_IDENTITIES: {refusal}; lower it") from None
    train = [
        record if keep else record._replace(person_id=UNKNOWN_PERSON)
        for record, keep in zip(data.train, kept, strict=True)
    ]
    if options.UNLABELLED == "drop":
        train = [record for record, keep in zip(train, kept, strict=True) if keep]
    return dataclasses.replace(data, train=train, hidden=True)
