"""What values an option may have, and which options cannot go together: checked once, when a config is loaded."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Collection

from yacs.config import CfgNode

from reid_dml.config.reading import flatten, get_option
from reid_dml.errors import UserError

CHOICES: dict[str, tuple[str, ...]] = {
    "SCALE": ("full", "small", "smoke"),
    "DATA.SOURCE": ("auto", "resident", "streaming"),
    "DATA.CAMERAS": ("required", "ignore"),
    "SEMI.UNLABELLED": ("use", "drop"),
    "INPUT.PAD_MODE": ("zeros", "reflect"),
    "INPUT.CROP": ("none", "inception"),
    "SAMPLER.NAME": ("epoch", "identity", "cross_camera"),
    "MODEL.INIT": ("default", "truncated_normal"),
    "MODEL.NECK": ("none", "bn"),
    "OBJECTIVE.PEER_REDUCTION": ("mean", "sum"),
    "OBJECTIVE.ENSEMBLE": ("probs", "logits"),
    "OPTIM.NAME": ("adam", "adamw", "sgd", "rmsprop_tf"),
    "TRAIN.PRECISION": ("float32", "bfloat16"),
    "SCHEDULE.NAME": ("constant", "cosine", "multistep", "staircase"),
    "TEST.WEIGHTS": ("auto", "ema", "last"),
    "TEST.MULTI_QUERY": ("mean", "max", "none"),
    "TEST.ENSEMBLE": ("normalized", "raw"),
}
PER_NETWORK = ("COHORT.INIT_WEIGHTS", "COHORT.LR")
_POSITIVE = (
    "DATA.RESIDENT_LIMIT_GB",
    "DATA.WORKERS",
    "SYNTHETIC.TRAIN_IDENTITIES",
    "SYNTHETIC.TEST_IDENTITIES",
    "SYNTHETIC.CAMERAS",
    "SHAPES.TRAIN_PER_CLASS",
    "SHAPES.TEST_PER_CLASS",
    "SEMI.LABELLED_SHARE",
    "SAMPLER.IMAGES_PER_IDENTITY",
    "MODEL.INIT_STD",
    "OBJECTIVE.TEMPERATURE",
    "OBJECTIVE.CIRCLE_SCALE",
    "OPTIM.EPS",
    "SCHEDULE.GAMMA",
    "TRAIN.BATCH_SIZE",
    "TRAIN.ACCUMULATION",
    "TRAIN.LOG_INTERVAL",
    "TRAIN.CHECKPOINT_INTERVAL",
    "TEST.BATCH_SIZE",
)
_SHARES = (
    "SEMI.LABELLED_SHARE",
    "INPUT.FLIP",
    "INPUT.BRIGHTNESS",
    "INPUT.CONTRAST",
    "INPUT.SATURATION",
    "INPUT.ERASE",
    "MODEL.BN_MOMENTUM",
    "MODEL.DROPOUT",
    "OBJECTIVE.LABEL_SMOOTHING",
    "OBJECTIVE.CIRCLE_MARGIN",
    "OBJECTIVE.CENTER_RATE",
    "EMA.DECAY",
    "OPTIM.ALPHA",
    "SCHEDULE.FINAL",
    "TEST.RERANK_LAMBDA",
)
_NOT_NEGATIVE = (
    "MODEL.BN_EPS",
    "OPTIM.MOMENTUM",
    "SEED",
    "SYNTHETIC.SEED",
    "SHAPES.SEED",
    "SEMI.SEED",
    "SEMI.LABELLED_IDENTITIES",
    "SAMPLER.LABELLED_PER_BATCH",
    "THREADS",
    "INPUT.PAD",
    "OBJECTIVE.WEIGHT",
    "OBJECTIVE.WARMUP_STEPS",
    "OBJECTIVE.ENTROPY_WEIGHT",
    "OBJECTIVE.FEATURE_L2_WEIGHT",
    "OBJECTIVE.TRIPLET_WEIGHT",
    "OBJECTIVE.TRIPLET_MARGIN",
    "OBJECTIVE.CIRCLE_WEIGHT",
    "OBJECTIVE.CENTER_WEIGHT",
    "OPTIM.WEIGHT_DECAY",
    "OPTIM.CLIP_NORM",
    "SCHEDULE.EVERY",
    "SCHEDULE.WARMUP_STEPS",
    "TRAIN.STEPS",
    "TEST.EXPAND",
    "TEST.EXPAND_ALPHA",
)
_LENGTHS = {
    "DATA.STORED_SIZE": 2,
    "INPUT.SIZE": 2,
    "INPUT.MEAN": 3,
    "INPUT.STD": 3,
    "INPUT.ERASE_AREA": 2,
    "INPUT.ERASE_ASPECT": 2,
    "INPUT.CROP_AREA": 2,
    "INPUT.CROP_ASPECT": 2,
    "OPTIM.BETAS": 2,
    "TEST.RERANK_K": 2,
}


Refuse = Callable[[str, str], None]  # of an option, and why


def check_config(cfg: CfgNode, source: str | os.PathLike[str], overridden: Collection[str] = ()) -> None:
    """Refuse values out of range and options that cannot go together; `overridden` options are the command line's."""

    def refuse(key: str, why: str) -> None:
        where = "command line" if key in overridden else source
        raise UserError(f"{where}: {key}: {get_option(cfg, key)!r} {why}")

    for check in (
        _check_values,
        _check_data,
        _check_input,
        _check_cohort,
        _check_training,
        _check_batches,
        _check_test,
    ):
        check(cfg, refuse)


def _check_values(cfg: CfgNode, refuse: Refuse) -> None:
    for key, choices in CHOICES.items():
        if get_option(cfg, key) not in choices:
            near = difflib.get_close_matches(str(get_option(cfg, key)), choices, 1)
            refuse(key, f"is not one of {', '.join(choices)}" + (f"; did you mean {near[0]!r}?" if near else ""))
    for key, value in flatten(cfg).items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            refuse(key, "must be a finite number")
    for key, length in _LENGTHS.items():
        if len(get_option(cfg, key)) != length:
            refuse(key, f"needs {length} values")
    for key in _POSITIVE:
        if not get_option(cfg, key) > 0:
            refuse(key, "must be greater than 0")
    for key in _NOT_NEGATIVE:
        if get_option(cfg, key) < 0:
            refuse(key, "must not be negative")
    for key in _SHARES:
        if not 0 <= get_option(cfg, key) <= 1:
            refuse(key, "must lie between 0 and 1")


def _check_data(cfg: CfgNode, refuse: Refuse) -> None:
    if cfg.SYNTHETIC.IMAGES_PER_CAMERA < 2:
        refuse("SYNTHETIC.IMAGES_PER_CAMERA", "must be at least 2: one for the query split, others for the gallery")
    if cfg.SYNTHETIC.CAMERAS < 2 and cfg.DATA.NAME == "synthetic":
        refuse("SYNTHETIC.CAMERAS", "must be at least 2: a match from the query's own camera does not count")


def _check_input(cfg: CfgNode, refuse: Refuse) -> None:
    for key in ("DATA.STORED_SIZE", "INPUT.SIZE"):
        if min(get_option(cfg, key)) < 8:
            refuse(key, "must be at least 8 pixels in both directions")
    if min(cfg.INPUT.STD) <= 0:
        refuse("INPUT.STD", "must be greater than 0")
    if min(cfg.INPUT.SIZE) <= cfg.INPUT.PAD:
        refuse("INPUT.PAD", "must be smaller than both numbers of INPUT.SIZE")
    for key in ("INPUT.ERASE_AREA", "INPUT.CROP_AREA"):
        least, largest = get_option(cfg, key)
        if not 0 < least <= largest <= 1:
            refuse(key, "must be a least and a largest share of the image, in (0, 1]")
    for key in ("INPUT.ERASE_ASPECT", "INPUT.CROP_ASPECT"):
        least, largest = get_option(cfg, key)
        if not 0 < least <= largest:
            refuse(key, "must be a least and a largest ratio, both greater than 0")
    if cfg.INPUT.CROP != "none" and any(s < i for s, i in zip(cfg.DATA.STORED_SIZE, cfg.INPUT.SIZE, strict=True)):
        refuse("INPUT.CROP", "needs DATA.STORED_SIZE to be at least INPUT.SIZE in both directions")


def _check_cohort(cfg: CfgNode, refuse: Refuse) -> None:
    networks = len(cfg.COHORT.NETWORKS)
    if networks == 0:
        refuse("COHORT.NETWORKS", "is empty: name at least one network")
    for key in PER_NETWORK:
        if len(get_option(cfg, key)) not in (1, networks):
            refuse(key, f"needs 1 or {networks} values, one for each of COHORT.NETWORKS")
    if min(cfg.COHORT.LR) <= 0:
        refuse("COHORT.LR", "must be greater than 0")
    peers = networks > 1 or len(cfg.COHORT.TEACHERS) > 0
    if not peers and cfg.OBJECTIVE.STRATEGY != "independent":
        refuse(
            "OBJECTIVE.STRATEGY",
            "needs peers, but COHORT.NETWORKS names one network and COHORT.TEACHERS none; set it to independent",
        )
    if cfg.COHORT.TEACHERS and cfg.OBJECTIVE.STRATEGY == "independent":
        refuse("COHORT.TEACHERS", "teach nobody while OBJECTIVE.STRATEGY is independent; set it to dml, for example")
    if cfg.OBJECTIVE.FEATURE_L2_WEIGHT > 0 and not peers:
        refuse("OBJECTIVE.FEATURE_L2_WEIGHT", "needs peers, but COHORT.NETWORKS names one network")
    if cfg.MODEL.LAST_STRIDE not in (1, 2):
        refuse("MODEL.LAST_STRIDE", "must be 1 or 2")


def _check_training(cfg: CfgNode, refuse: Refuse) -> None:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", cfg.DEVICE):
        refuse("DEVICE", "is not one of auto, cpu, cuda, cuda:N")
    if not all(0 <= beta < 1 for beta in cfg.OPTIM.BETAS):
        refuse("OPTIM.BETAS", "must lie in [0, 1)")
    if cfg.MODEL.DROPOUT == 1 or cfg.EMA.DECAY == 1:
        refuse("MODEL.DROPOUT" if cfg.MODEL.DROPOUT == 1 else "EMA.DECAY", "must be less than 1")
    if cfg.OPTIM.NAME == "sgd" and cfg.OPTIM.NESTEROV and cfg.OPTIM.MOMENTUM <= 0:
        refuse("OPTIM.NESTEROV", "needs OPTIM.MOMENTUM greater than 0")
    if cfg.SCHEDULE.NAME == "multistep" and not cfg.SCHEDULE.MILESTONES:
        refuse("SCHEDULE.MILESTONES", "must name at least one step for SCHEDULE.NAME multistep")
    if list(cfg.SCHEDULE.MILESTONES) != sorted(set(cfg.SCHEDULE.MILESTONES)):
        refuse("SCHEDULE.MILESTONES", "must name each step once, in rising order")
    if cfg.SCHEDULE.NAME == "staircase" and not cfg.SCHEDULE.EVERY:
        refuse("SCHEDULE.EVERY", "must be at least 1 for SCHEDULE.NAME staircase")
    if cfg.TRAIN.COMPILE and cfg.TRAIN.RECOMPUTE:
        refuse("TRAIN.COMPILE", "cannot go together with TRAIN.RECOMPUTE True; set one of them to False")


def _check_batches(cfg: CfgNode, refuse: Refuse) -> None:
    if cfg.TRAIN.BATCH_SIZE == 1:
        refuse("TRAIN.BATCH_SIZE", "must be at least 2: batch norm has no statistics of one image")
    if cfg.SEMI.LABELLED_IDENTITIES == 1:
        refuse("SEMI.LABELLED_IDENTITIES", "must be 0 (all) or at least 2: a classifier needs two")
    if cfg.SAMPLER.LABELLED_PER_BATCH:
        if cfg.SAMPLER.NAME != "epoch":
            refuse("SAMPLER.LABELLED_PER_BATCH", f"needs SAMPLER.NAME epoch, it is {cfg.SAMPLER.NAME}")
        if cfg.SAMPLER.LABELLED_PER_BATCH >= cfg.TRAIN.BATCH_SIZE:
            refuse("SAMPLER.LABELLED_PER_BATCH", "must leave room for unlabelled images in TRAIN.BATCH_SIZE")
        if cfg.SEMI.UNLABELLED == "drop" or (cfg.SEMI.LABELLED_SHARE == 1 and not cfg.SEMI.LABELLED_IDENTITIES):
            refuse("SAMPLER.LABELLED_PER_BATCH", "needs unlabelled images, but SEMI leaves none")
    if cfg.SAMPLER.NAME != "epoch" and cfg.TRAIN.BATCH_SIZE % cfg.SAMPLER.IMAGES_PER_IDENTITY:
        refuse(
            "TRAIN.BATCH_SIZE",
            f"cannot be shared out to persons of SAMPLER.IMAGES_PER_IDENTITY {cfg.SAMPLER.IMAGES_PER_IDENTITY} images; "
            "set it to a multiple",
        )
    for key in ("OBJECTIVE.TRIPLET_WEIGHT", "OBJECTIVE.CIRCLE_WEIGHT"):
        if get_option(cfg, key) > 0 and cfg.SAMPLER.NAME == "epoch":
            refuse(key, "needs several images of a person in a batch; set SAMPLER.NAME to identity or cross_camera")


def _check_test(cfg: CfgNode, refuse: Refuse) -> None:
    if min(cfg.TEST.RERANK_K) < 1:
        refuse("TEST.RERANK_K", "must be at least 1 both")
    if not all(0 <= rate < 1 for rate in cfg.TEST.FPR):
        refuse("TEST.FPR", "must lie in [0, 1)")
    if cfg.TEST.WEIGHTS == "ema" and not cfg.EMA.ENABLED:
        refuse("TEST.WEIGHTS", "needs EMA.ENABLED True; set it to auto or last")
