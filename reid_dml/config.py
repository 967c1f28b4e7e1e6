"""Every option with its default and one comment; loading, checking and freezing.

A config file may start with `_BASE_: other.yml` or a list of files (relative to itself). Options given later win:
bases in their order, file, command line. yacs does not look inside lists, so per-network options are parallel lists
of length 1 or K.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.config_reading import flatten, get_option, merge, merge_overrides, read_with_bases
from reid_dml.errors import UserError

_C = CfgNode()
_C.EXPERIMENT = ""  # name of the experiment; empty: the config file's name
_C.EXPECTED = []  # rows of the published tables to print beside the result (keys of reid_dml/paper/published.py)
_C.SCALE = "full"  # full (the recipe as published) | small (shortened) | smoke (only shows that it runs)
_C.OUTPUT_DIR = ""  # run folder; empty: runs/<EXPERIMENT>
_C.SEED = 0  # every random number of a run follows from it
_C.DEVICE = "auto"  # auto | cpu | cuda | cuda:N
_C.THREADS = 0  # CPU threads; 0: torch's own choice (all cores, or OMP_NUM_THREADS)

_C.DATA = CfgNode()
_C.DATA.NAME = "market1501"  # market1501 | folder | csv | synthetic
_C.DATA.ROOT = "datasets"  # folder that holds the data sets (folder: the data set itself; csv: the file)
_C.DATA.STORED_SIZE = [160, 64]  # height, width the decoded images are kept at
_C.DATA.CACHE_DIR = "auto"  # decoded images: a folder | auto (.cache/reid_dml in ROOT, else in the user's cache) | ""
_C.DATA.SOURCE = "auto"  # resident (all images in memory) | streaming (read per batch) | auto
_C.DATA.RESIDENT_LIMIT_GB = 8.0  # auto: resident up to this size
_C.DATA.WORKERS = 2  # threads that read or decode images
_C.DATA.CAMERAS = "required"  # required | ignore (one camera or none: same-camera matches count)

_C.SYNTHETIC = CfgNode()
_C.SYNTHETIC.TRAIN_IDENTITIES = 80  # identities to train on
_C.SYNTHETIC.TEST_IDENTITIES = 60  # further identities to search for
_C.SYNTHETIC.CAMERAS = 4  # cameras, each with its own colour cast, exposure, blur and viewpoint
_C.SYNTHETIC.IMAGES_PER_CAMERA = 3  # images of one identity in one camera
_C.SYNTHETIC.SEED = 0  # the drawing's own seed: the same data for every training seed

_C.INPUT = CfgNode()
_C.INPUT.SIZE = [224, 224]  # height, width the networks see (bilinear from the stored size)
_C.INPUT.MEAN = [0.5, 0.5, 0.5]  # subtracted from RGB in [0, 1]
_C.INPUT.STD = [0.5, 0.5, 0.5]  # divides; 0.5/0.5 scales to [-1, 1]
_C.INPUT.FLIP = 0.5  # probability of a horizontal flip in training
_C.INPUT.PAD = 0  # pixels added on each side of the input, which is then cropped back at a random place
_C.INPUT.PAD_MODE = "zeros"  # zeros (black) | reflect
_C.INPUT.BRIGHTNESS = 0.0  # b: factor uniform in [1 - b, 1 + b]
_C.INPUT.CONTRAST = 0.0  # likewise
_C.INPUT.SATURATION = 0.0  # likewise
_C.INPUT.ERASE = 0.0  # probability of erasing a random rectangle with the mean colour
_C.INPUT.ERASE_AREA = [0.02, 0.4]  # its least and largest share of the input
_C.INPUT.ERASE_ASPECT = [0.3, 3.33]  # its least and largest height / width

_C.SAMPLER = CfgNode()
_C.SAMPLER.NAME = "epoch"  # epoch (every image once) | identity (P persons x K images) | cross_camera (of K cameras)
_C.SAMPLER.IMAGES_PER_IDENTITY = 4  # K of identity and cross_camera; P is TRAIN.BATCH_SIZE / K

_C.COHORT = CfgNode()
_C.COHORT.NETWORKS = ["mobilenet_v1", "mobilenet_v1"]  # our own (docs/networks.md), timm's, torchvision/NAME
_C.COHORT.INIT_WEIGHTS = [""]  # "" from scratch | "imagenet" (the library's download) | a weights file of the backbone
_C.COHORT.LR = [2e-4]  # learning rate of each network
_C.COHORT.TEACHERS = []  # frozen teachers of every network: run folders or .safetensors files of runs

_C.MODEL = CfgNode()
_C.MODEL.WEIGHTS = ""  # for testing and extraction: a run folder (the cohort) or one .safetensors file
_C.MODEL.INIT = "default"  # default (the network's own) | truncated_normal (the authors')
_C.MODEL.INIT_STD = 0.09  # standard deviation of truncated_normal
_C.MODEL.BN_MOMENTUM = 0.0  # share of the new batch in the running statistics; 0: the network's own
_C.MODEL.BN_EPS = 0.0  # added to the variance; 0: the network's own
_C.MODEL.LAST_STRIDE = 2  # 1: the last stage keeps its resolution
_C.MODEL.NECK = "none"  # none | bn (batch norm between pooled feature and identity head)
_C.MODEL.DROPOUT = 0.0  # probability of dropping an entry of the feature before the identity head

_C.OBJECTIVE = CfgNode()
_C.OBJECTIVE.STRATEGY = "dml"  # independent | dml (Eq. 10) | dml_e (Eq. 11) | symmetric_kl (Eq. 7)
_C.OBJECTIVE.PEER_REDUCTION = "mean"  # mean over the peers (Eq. 10) | sum (the authors' code)
_C.OBJECTIVE.ENSEMBLE = "probs"  # dml_e: average the peers' probs | logits
_C.OBJECTIVE.TEMPERATURE = 1.0  # softens both posteriors of the mimicry term, which is scaled by its square
_C.OBJECTIVE.WEIGHT = 1.0  # weight of the mimicry term
_C.OBJECTIVE.WARMUP_STEPS = 0  # the mimicry weight rises linearly over these steps
_C.OBJECTIVE.ENTROPY_WEIGHT = 0.0  # weight of the confidence penalty on the posterior's entropy (Table 5)
_C.OBJECTIVE.FEATURE_L2_WEIGHT = 0.0  # weight of the squared distance to the peers' pooled features (Table 5)
_C.OBJECTIVE.LABEL_SMOOTHING = 0.0  # share of the target spread evenly over all classes
_C.OBJECTIVE.TRIPLET_WEIGHT = 0.0  # weight of the batch-hard triplet loss (Hermans et al., 2017)
_C.OBJECTIVE.TRIPLET_MARGIN = 0.3  # of Euclidean distances
_C.OBJECTIVE.TRIPLET_SOFT_MARGIN = False  # log(1 + exp(difference)) instead of the margin
_C.OBJECTIVE.CIRCLE_WEIGHT = 0.0  # weight of the circle loss on pairs (Sun et al., 2020)
_C.OBJECTIVE.CIRCLE_MARGIN = 0.25  # m of cosine similarities
_C.OBJECTIVE.CIRCLE_SCALE = 128.0  # gamma
_C.OBJECTIVE.CENTER_WEIGHT = 0.0  # weight of the center loss (Wen et al., 2016); 5e-4 is usual
_C.OBJECTIVE.CENTER_RATE = 0.5  # how far a batch draws the centres of its persons (alpha)

_C.UPDATE = CfgNode()
_C.UPDATE.RULE = "simultaneous"  # simultaneous (Sec. 4.5) | sequential (Algorithm 1) | fresh_batch (the authors' code)

_C.OPTIM = CfgNode()
_C.OPTIM.NAME = "adam"  # adam | adamw | sgd | rmsprop_tf (TensorFlow's, with the learning rate inside the momentum)
_C.OPTIM.BETAS = [0.9, 0.999]  # adam, adamw
_C.OPTIM.EPS = 1e-8  # adam, adamw; rmsprop_tf: inside the root
_C.OPTIM.ALPHA = 0.9  # rmsprop_tf: decay of the mean square, which starts at 1
_C.OPTIM.MOMENTUM = 0.9  # sgd, rmsprop_tf
_C.OPTIM.NESTEROV = True  # sgd
_C.OPTIM.WEIGHT_DECAY = 0.0  # on convolution and linear weights
_C.OPTIM.DECAY_NORM = False  # also on biases and batch norm, as in most CIFAR code
_C.OPTIM.DECAY_DEPTHWISE = True  # also on depthwise convolutions
_C.OPTIM.CLIP_NORM = 0.0  # largest norm of a network's gradient, which is scaled down to it; 0: no limit

_C.SCHEDULE = CfgNode()
_C.SCHEDULE.NAME = "constant"  # constant | cosine | multistep | staircase
_C.SCHEDULE.WARMUP_STEPS = 0  # the learning rate rises linearly over these steps
_C.SCHEDULE.FINAL = 0.0  # cosine: last learning rate as a share of the first
_C.SCHEDULE.MILESTONES = []  # multistep: steps at which the learning rate is multiplied by GAMMA
_C.SCHEDULE.EVERY = 0  # staircase: steps after each of which the learning rate is multiplied by GAMMA
_C.SCHEDULE.GAMMA = 0.1  # multistep, staircase

_C.EMA = CfgNode()
_C.EMA.ENABLED = False  # keep an exponential moving average of every network; evaluation uses it
_C.EMA.DECAY = 0.9999  # reached from below as (1 + s) / (10 + s) at step s

_C.TRAIN = CfgNode()
_C.TRAIN.STEPS = 200000  # updates of each network, under every update rule; 0 evaluates the starting weights
_C.TRAIN.BATCH_SIZE = 16  # images per batch
_C.TRAIN.ACCUMULATION = 1  # batches whose mean gradient makes one update of a network
_C.TRAIN.PRECISION = "float32"  # float32 | bfloat16 (the networks' passes; weights and losses stay float32)
_C.TRAIN.LOG_INTERVAL = 50  # steps between two lines of metrics.jsonl
_C.TRAIN.CHECKPOINT_INTERVAL = 1000  # steps between two checkpoints
_C.TRAIN.CHANNELS_LAST = True  # memory layout; faster on CPUs and tensor cores

_C.TEST = CfgNode()
_C.TEST.BATCH_SIZE = 128  # images per forward pass
_C.TEST.WEIGHTS = "auto"  # auto (EMA where the run has it) | ema | last
_C.TEST.MULTI_QUERY = "mean"  # mean | max over the boxes of the query's identity and camera | none
_C.TEST.ENSEMBLE = "normalized"  # normalized (each member first) | raw (the authors' code)
_C.TEST.TRAIN_ACCURACY = False  # also measure the identity accuracy on the training images

CHOICES: dict[str, tuple[str, ...]] = {
    "SCALE": ("full", "small", "smoke"),
    "DATA.SOURCE": ("auto", "resident", "streaming"),
    "DATA.CAMERAS": ("required", "ignore"),
    "INPUT.PAD_MODE": ("zeros", "reflect"),
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
)
_NOT_NEGATIVE = (
    "MODEL.BN_EPS",
    "OPTIM.MOMENTUM",
    "SEED",
    "SYNTHETIC.SEED",
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
)
_LENGTHS = {
    "DATA.STORED_SIZE": 2,
    "INPUT.SIZE": 2,
    "INPUT.MEAN": 3,
    "INPUT.STD": 3,
    "INPUT.ERASE_AREA": 2,
    "INPUT.ERASE_ASPECT": 2,
    "OPTIM.BETAS": 2,
}


def default_config() -> CfgNode:
    """A fresh, unfrozen copy of every option at its default."""
    return _C.clone()


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> CfgNode:
    """Defaults, the file with its bases, then `KEY VALUE ...` overrides; checked and frozen.

    Raises `UserError` naming the key, the file and the nearest valid key.
    """
    path = Path(path)
    cfg = default_config()
    for source, options in read_with_bases(path):
        merge(cfg, options, source)
    merge_overrides(cfg, overrides)
    if not cfg.EXPERIMENT:
        cfg.EXPERIMENT = path.stem
    if not cfg.OUTPUT_DIR:
        cfg.OUTPUT_DIR = f"runs/{cfg.EXPERIMENT}"
    check_config(cfg, path)
    cfg.freeze()
    return cfg


def per_network(cfg: CfgNode, key: str) -> list[Any]:
    """A per-network option as a list of length K."""
    values = get_option(cfg, key)
    return list(values) * len(cfg.COHORT.NETWORKS) if len(values) == 1 else list(values)


def check_config(cfg: CfgNode, source: str | os.PathLike[str]) -> None:
    """Refuse values out of range and options that cannot go together."""

    def refuse(key: str, why: str) -> None:
        raise UserError(f"{source}: {key}: {get_option(cfg, key)!r} {why}")

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
    for key in ("DATA.STORED_SIZE", "INPUT.SIZE"):
        if min(get_option(cfg, key)) < 8:
            refuse(key, "must be at least 8 pixels in both directions")
    if min(cfg.INPUT.STD) <= 0:
        refuse("INPUT.STD", "must be greater than 0")
    if min(cfg.INPUT.SIZE) <= cfg.INPUT.PAD:
        refuse("INPUT.PAD", "must be smaller than both numbers of INPUT.SIZE")
    if not 0 < cfg.INPUT.ERASE_AREA[0] <= cfg.INPUT.ERASE_AREA[1] <= 1:
        refuse("INPUT.ERASE_AREA", "must be a least and a largest share of the input, in (0, 1]")
    if not 0 < cfg.INPUT.ERASE_ASPECT[0] <= cfg.INPUT.ERASE_ASPECT[1]:
        refuse("INPUT.ERASE_ASPECT", "must be a least and a largest ratio, both greater than 0")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", cfg.DEVICE):
        refuse("DEVICE", "is not one of auto, cpu, cuda, cuda:N")
    if cfg.MODEL.LAST_STRIDE not in (1, 2):
        refuse("MODEL.LAST_STRIDE", "must be 1 or 2")
    if not all(0 <= beta < 1 for beta in cfg.OPTIM.BETAS):
        refuse("OPTIM.BETAS", "must lie in [0, 1)")
    if cfg.MODEL.DROPOUT == 1 or cfg.EMA.DECAY == 1:
        refuse("MODEL.DROPOUT" if cfg.MODEL.DROPOUT == 1 else "EMA.DECAY", "must be less than 1")
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
    if cfg.OPTIM.NAME == "sgd" and cfg.OPTIM.NESTEROV and cfg.OPTIM.MOMENTUM <= 0:
        refuse("OPTIM.NESTEROV", "needs OPTIM.MOMENTUM greater than 0")
    if cfg.SCHEDULE.NAME == "multistep" and not cfg.SCHEDULE.MILESTONES:
        refuse("SCHEDULE.MILESTONES", "must name at least one step for SCHEDULE.NAME multistep")
    if cfg.SCHEDULE.NAME == "staircase" and not cfg.SCHEDULE.EVERY:
        refuse("SCHEDULE.EVERY", "must be at least 1 for SCHEDULE.NAME staircase")
    if cfg.TEST.WEIGHTS == "ema" and not cfg.EMA.ENABLED:
        refuse("TEST.WEIGHTS", "needs EMA.ENABLED True; set it to auto or last")
    if cfg.TRAIN.BATCH_SIZE == 1:
        refuse("TRAIN.BATCH_SIZE", "must be at least 2: batch norm has no statistics of one image")
    if cfg.SYNTHETIC.IMAGES_PER_CAMERA < 2:
        refuse("SYNTHETIC.IMAGES_PER_CAMERA", "must be at least 2: one for the query split, others for the gallery")
    if cfg.SAMPLER.NAME != "epoch" and cfg.TRAIN.BATCH_SIZE % cfg.SAMPLER.IMAGES_PER_IDENTITY:
        refuse(
            "TRAIN.BATCH_SIZE",
            f"cannot be shared out to persons of SAMPLER.IMAGES_PER_IDENTITY {cfg.SAMPLER.IMAGES_PER_IDENTITY} images; "
            "set it to a multiple",
        )
    for key in ("OBJECTIVE.TRIPLET_WEIGHT", "OBJECTIVE.CIRCLE_WEIGHT"):
        if get_option(cfg, key) > 0 and cfg.SAMPLER.NAME == "epoch":
            refuse(key, "needs several images of a person in a batch; set SAMPLER.NAME to identity or cross_camera")
    if cfg.SYNTHETIC.CAMERAS < 2 and cfg.DATA.NAME == "synthetic":
        refuse("SYNTHETIC.CAMERAS", "must be at least 2: a match from the query's own camera does not count")
