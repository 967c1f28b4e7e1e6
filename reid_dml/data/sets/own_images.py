"""From labelled images of your own to a data set: splits, drawn where none are given, and our numbers of persons."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from yacs.config import CfgNode

from reid_dml.data.drawn_splits import can_be_tested, draw_splits
from reid_dml.data.labels import (
    LabelledImage,
    number_ids,
    records_of,
    special_person,
    without_repeats,
)
from reid_dml.data.person_folders import compile_pattern
from reid_dml.data.records import DISTRACTOR, JUNK, UNKNOWN_PERSON, ImageRecord, ReIDData
from reid_dml.data.sets import own_name
from reid_dml.data.sets.checks import check_data
from reid_dml.errors import UserError
from reid_dml.options import Component, Refuse, option

logger = logging.getLogger(__name__)

SPLITS = ("train", "query", "gallery", "boxes")


@dataclass(frozen=True)
class OwnOptions(Component):
    """How images of your own are read and split."""

    test_share: float = option(
        0.3, "share of the persons to test on where no splits are given; 0: train on all", least=0, below=1
    )
    test_persons: int = option(0, "number of persons to test on, in place of the share; 0: the share", least=0)
    query_images: int = option(1, "query images of each test person and camera; the others are the gallery", above=0)
    seed: int = option(0, "which persons and images; a smaller draw is part of a larger one", least=0)
    camera_pattern: str = option(
        "", "regular expression with a group camera (and time) in paths below a person's folder; empty: sub-folders"
    )

    def check(self, cfg: CfgNode, refuse: Refuse) -> None:
        try:
            compile_pattern(self.camera_pattern)
        except UserError as error:
            refuse("OWN.CAMERA_PATTERN", str(error))


def own_data(cfg: CfgNode, root: str, images: Sequence[LabelledImage], *, tested: bool = True) -> ReIDData:
    """The checked data set of labelled images with their splits.

    Junk (-1) and images of nobody known are neither trained on nor searched for; junk is left out of the gallery too.
    Where nothing is tested there is no gallery, and distractors are left out with them.

    Args:
        cfg: the config.
        root: where the images are from.
        images: with their splits.
        tested: False: there are images to train on only.

    Raises:
        UserError: labels that contradict each other, or splits that no experiment can work on.
    """
    images = without_repeats(images)
    records, names = records_of(images, cameras=cfg.DATA.CAMERAS == "required", numbering=number_ids)
    splits: dict[str, list[ImageRecord]] = {split: [] for split in SPLITS}
    nowhere = {JUNK} if tested else {JUNK, DISTRACTOR}
    left_out = []
    for image, record in zip(images, records, strict=True):
        if record.person_id in nowhere or (record.person_id == UNKNOWN_PERSON and image.split != "gallery"):
            left_out.append(image)
        else:
            splits[image.split].append(record)
    if left_out:
        logger.info(
            "%s: %s images of person -1 (junk)%s or of nobody known are left out, first %s",
            root,
            f"{len(left_out):,}",
            "" if tested else ", distractors",
            left_out[0].place,
        )
    if shared := {record.person_id for record in splits["train"]} & {record.person_id for record in splits["query"]}:
        first = min(shared)
        warnings.warn(
            f"{root}: {len(shared):,} persons are both trained on and searched for, first {names.get(first, first)}: "
            "results will be better than those of persons that the networks have not seen; keep each person in one of "
            "train and query",
            stacklevel=2,
        )
    parts = (sorted(splits[split]) for split in SPLITS)
    return check_data(ReIDData(own_name(root), root, *parts, original_ids=names), tested=tested)


def with_drawn_splits(cfg: CfgNode, root: str, images: Sequence[LabelledImage]) -> tuple[list[LabelledImage], bool]:
    """The images with splits drawn as `OWN` says, and whether there is anything to test on, which one line tells.

    Args:
        cfg: the config.
        root: of the data set.
        images: of the data set, without splits.
    """
    images = without_repeats(images)
    if cfg.DATA.CAMERAS == "ignore":
        images = [image._replace(camera="") for image in images]
    own: dict[str, list[LabelledImage]] = {}
    for image in images:
        if special_person(image.person) is None:
            own.setdefault(image.person, []).append(image)
    wanted = cfg.OWN.TEST_PERSONS or round(cfg.OWN.TEST_SHARE * len(own))
    able = sum(can_be_tested(found) for found in own.values())
    persons = max(0, min(wanted, able, len(own) - 2))  # a classifier needs two persons
    if persons < cfg.OWN.TEST_PERSONS:
        warnings.warn(
            f"{root}: OWN.TEST_PERSONS: {persons} in place of {cfg.OWN.TEST_PERSONS}: of {len(own)} persons two at "
            f"least are trained on, and {able} have images that could find each other",
            stacklevel=2,
        )
    elif not persons and cfg.OWN.TEST_SHARE:
        why = f" ({able} have images that could find each other, two at least are trained on)" if wanted else ""
        warnings.warn(
            f"{root}: OWN.TEST_SHARE: {cfg.OWN.TEST_SHARE:g} of {len(own)} persons draws nobody to test on{why}: all "
            "are trained on, and nothing is evaluated; set OWN.TEST_PERSONS, or add images",
            stacklevel=2,
        )
    if persons:
        logger.info("%s: %d of %d persons are drawn to test on (OWN.TEST_SHARE, OWN.SEED)", root, persons, len(own))
    options = {"query_images": cfg.OWN.QUERY_IMAGES, "seed": cfg.OWN.SEED}
    return draw_splits(images, persons=persons, **options), persons > 0
