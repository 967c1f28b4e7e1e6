"""Every option with its default and one comment; loading, checking and freezing.

A config file may start with `_BASE_: other.yml` or a list of files (relative to itself). Options given later win:
bases in their order, file, command line. yacs does not look inside lists, so per-network options are parallel lists
of length 1 or K.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.config.checks import check_config
from reid_dml.config.reading import get_option, merge, merge_overrides, read_with_bases

_C = CfgNode()
_C.EXPERIMENT = ""  # name of the experiment; empty: the config file's name
_C.EXPECTED = []  # rows of the published tables to print beside the result (keys of reid_dml/paper/published.py)
_C.SCALE = "full"  # full (at its full length) | small (shortened) | smoke (only shows that it runs)
_C.OUTPUT_DIR = ""  # run folder; empty: runs/<EXPERIMENT>
_C.SEED = 0  # every random number of a run follows from it
_C.DEVICE = "auto"  # auto | cpu | cuda | cuda:N
_C.THREADS = 0  # CPU threads; 0: OMP_NUM_THREADS or, where it is not set, the cores this process may use

_C.DATA = CfgNode()
# Persons: market1501 | folder | csv | synthetic
# Classes: cifar10 | cifar100 | imagenet | tiny_imagenet | class_folders | npz | synthetic_shapes
_C.DATA.NAME = "market1501"  # the data set, which decides the task (retrieval or classification)
_C.DATA.ROOT = "datasets"  # holds the data sets (folder, class_folders: the data set itself; csv, npz: the file)
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

_C.SHAPES = CfgNode()
_C.SHAPES.TRAIN_PER_CLASS = 200  # synthetic_shapes: training images of each class
_C.SHAPES.TEST_PER_CLASS = 100  # likewise test images
_C.SHAPES.SEED = 0  # the drawing's own seed

_C.SEMI = CfgNode()
_C.SEMI.LABELLED_SHARE = 1.0  # share of the training images of each class or person whose labels are used
_C.SEMI.LABELLED_IDENTITIES = 0  # number of classes or persons whose labels are used; 0: all
_C.SEMI.SEED = 0  # which ones; a smaller choice is part of a larger one
_C.SEMI.UNLABELLED = "use"  # use (the others train without labels) | drop (they are left out)

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
_C.INPUT.CROP = "none"  # none | inception (training: a random window of the stored image, resized; test: its middle)
_C.INPUT.CROP_AREA = [0.08, 1.0]  # its least and largest share of the stored image
_C.INPUT.CROP_ASPECT = [0.75, 1.3333]  # its least and largest height / width

_C.SAMPLER = CfgNode()
_C.SAMPLER.NAME = "epoch"  # epoch (every image once) | identity (P persons x K images) | cross_camera (of K cameras)
_C.SAMPLER.IMAGES_PER_IDENTITY = 4  # K of identity and cross_camera; P is TRAIN.BATCH_SIZE / K
_C.SAMPLER.LABELLED_PER_BATCH = 0  # epoch: labelled images in every batch (see SEMI); 0: as they come

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
_C.TRAIN.GRAPH = True  # on a GPU: the whole step as one CUDA graph
_C.TRAIN.COMPILE = False  # the backbones' training passes through torch.compile: faster steps, a slow start
_C.TRAIN.RECOMPUTE = False  # compute the backbones' activations again in the backward pass: less memory, more time
_C.TRAIN.CHANNELS_LAST = True  # memory layout; faster on CPUs and tensor cores

_C.TEST = CfgNode()
_C.TEST.BATCH_SIZE = 128  # images per forward pass
_C.TEST.WEIGHTS = "auto"  # auto (EMA where the run has it) | ema | last
_C.TEST.MULTI_QUERY = "mean"  # mean | max over the boxes of the query's identity and camera | none
_C.TEST.ENSEMBLE = "normalized"  # normalized (each member first) | raw (the authors' code)
_C.TEST.FLIP = False  # average the outputs of every image and its mirror image
_C.TEST.RERANK = False  # also rank by k-reciprocal re-ranking (--rerank of tools/test_net.py)
_C.TEST.RERANK_K = [20, 6]  # its neighbours k1, and the images k2 its query expansion averages
_C.TEST.RERANK_LAMBDA = 0.3  # its share of the original distance
_C.TEST.EXPAND = 0  # also expand queries by so many of their nearest gallery images; 0: not run
_C.TEST.EXPAND_ALPHA = 0.0  # exponent of their weights; 0: the average, 3 is usual
_C.TEST.FPR = []  # false-positive rates at which to measure the true-positive rate of "same person?" decisions
_C.TEST.TRAIN_ACCURACY = False  # also evaluate on the training images


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
    check_config(cfg, path, overrides[::2])
    cfg.freeze()
    return cfg


def per_network(cfg: CfgNode, key: str) -> list[Any]:
    """A per-network option as a list of length K."""
    values = get_option(cfg, key)
    return list(values) * len(cfg.COHORT.NETWORKS) if len(values) == 1 else list(values)
