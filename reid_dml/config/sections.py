"""Options that belong to no single component: of the run, its data, images, networks, training and evaluation.

Data sets, loss terms, optimisers, schedules, samplers and update rules own theirs; `config/schema.py` puts all of them
together.
"""

from __future__ import annotations

from dataclasses import dataclass

from reid_dml.data.images import PIXEL_LIMIT
from reid_dml.data.sets import DATA_SETS, DEFAULT_ROOT
from reid_dml.engine.loggers import LOGGERS
from reid_dml.options import option
from reid_dml.shipped import SCALES


@dataclass(frozen=True)
class Run:
    """The experiment as a whole; these keys stand at the top."""

    experiment: str = option("", "name of the experiment; empty: the config file's name")
    imports: list[str] = option(
        [],
        "modules with parts of your own, as `import` takes them: imported before anything else (docs/extending.md)",
        items=str,
    )
    expected: list[str] = option(
        [], "rows of the published tables to print beside the result (keys of reid_dml/paper/published.py)", items=str
    )
    control: str = option("", "run folder of the control, a finished run that the report shows and links; empty: none")
    scale: str = option(
        "full",
        "full (at its full length) | small (shortened) | smoke (only shows that it runs)",
        choices=SCALES,
    )
    output_dir: str = option("", "run folder; empty: runs/<EXPERIMENT>", path=True)
    seed: int = option(0, "every random number of a run follows from it", least=0)
    device: str = option("auto", "auto | cpu | cuda | cuda:N")
    threads: int = option(
        0,
        "CPU threads; 0: OMP_NUM_THREADS or, where it is not set, the cores that other processes leave free",
        least=0,
        most=4096,
    )


@dataclass(frozen=True)
class Data:
    """The data set and its decoded images."""

    name: str = option(
        "market1501", "the data set, which decides the task (retrieval or classification)", choices=DATA_SETS.names
    )
    train: list[str] = option(
        [], "persons: data sets to train on together, NAME or NAME=ROOT; empty: NAME", items=str, path=True
    )
    test: list[str] = option(
        [],
        "persons: data sets to test on; in training the first one; empty: that of NAME, or the first of TRAIN",
        items=str,
        path=True,
    )
    root: str = option(
        DEFAULT_ROOT, "holds the data sets (folders of your own: the data set itself; csv, npz: the file)", path=True
    )
    stored_size: list[int] = option([160, 64], "height, width the decoded images are kept at", length=2, most=8192)
    cache_dir: str = option(
        "auto",
        'decoded images: a folder | auto (.cache/reid_dml in ROOT, else in the user\'s cache) | "" (none)',
        path=True,
    )
    source: str = option(
        "auto",
        "resident (all images in memory) | streaming (read per batch) | auto",
        choices=("auto", "resident", "streaming"),
    )
    resident_limit_gb: float = option(8.0, "auto: resident up to this size", above=0)
    pixel_limit: int = option(
        PIXEL_LIMIT, "largest width x height of an image, asked of its header before it is decoded", above=0
    )
    skip_broken: bool = option(
        False, "leave out images that cannot be read, with one warning; all are decoded to find them"
    )
    workers: int = option(2, "threads that read or decode images", least=1, most=1024)
    cameras: str = option(
        "required", "ignore: one camera or none, same-camera matches count", choices=("required", "ignore")
    )


@dataclass(frozen=True)
class Semi:
    """Which training images keep their labels."""

    labelled_share: float = option(
        1.0, "share of the training images of each class or person whose labels are used", above=0, most=1
    )
    labelled_identities: int = option(0, "number of persons whose labels are used; 0: all", least=0)
    seed: int = option(0, "which ones; a smaller choice is part of a larger one", least=0)
    unlabelled: str = option(
        "use", "use (the others train without labels) | drop (they are left out)", choices=("use", "drop")
    )


@dataclass(frozen=True)
class Input:
    """What networks see of the images, and augmentation."""

    size: list[int] = option(
        [224, 224], "height, width the networks see (bilinear from the stored size)", length=2, most=8192
    )
    mean: list[float] = option([0.5, 0.5, 0.5], "subtracted from RGB in [0, 1]", length=3)
    std: list[float] = option([0.5, 0.5, 0.5], "divides; 0.5/0.5 scales to [-1, 1]", length=3, above=0)
    flip: float = option(0.5, "probability of a horizontal flip in training", least=0, most=1)
    pad: int = option(
        0, "pixels added on each side of the input, which is then cropped back at a random place", least=0
    )
    pad_mode: str = option("zeros", "zeros (black) | reflect", choices=("zeros", "reflect"))
    brightness: float = option(0.0, "b: factor uniform in [1 - b, 1 + b]", least=0, most=1)
    contrast: float = option(0.0, "likewise", least=0, most=1)
    saturation: float = option(0.0, "likewise", least=0, most=1)
    erase: float = option(0.0, "probability of erasing a random rectangle with the mean colour", least=0, most=1)
    erase_area: list[float] = option([0.02, 0.4], "its least and largest share of the input", length=2)
    erase_aspect: list[float] = option([0.3, 3.33], "its least and largest height / width", length=2)
    crop: str = option(
        "none",
        "none | inception (training: a random window of the stored image, resized; test: its middle)",
        choices=("none", "inception"),
    )
    crop_area: list[float] = option([0.08, 1.0], "its least and largest share of the stored image", length=2)
    crop_aspect: list[float] = option([0.75, 1.3333], "its least and largest height / width", length=2)


@dataclass(frozen=True)
class CohortOptions:
    """The networks that learn together."""

    networks: list[str] = option(
        ["mobilenet_v1", "mobilenet_v1"], "our own (docs/networks.md), timm's, torchvision/NAME"
    )
    init_weights: list[str] = option(
        [""],
        'a weights file of the backbone | "imagenet" (the library\'s download) | "" (from scratch)',
        per_network=True,
        path=True,
    )
    lr: list[float] = option([2e-4], "learning rate of each network", per_network=True, above=0)
    teachers: list[str] = option(
        [], "frozen teachers of every network: run folders or .safetensors files of runs", items=str, path=True
    )


@dataclass(frozen=True)
class Model:
    """How every network is built around its backbone."""

    weights: str = option(
        "", "for testing and extraction: a run folder (the cohort), or a weights file, another toolkit's too", path=True
    )
    init: list[str] = option(
        ["default"],
        "default (the network's own) | truncated_normal (the authors')",
        choices=("default", "truncated_normal"),
        per_network=True,
    )
    init_std: list[float] = option(
        [0.09],
        "standard deviation of truncated_normal; the authors': 0.09 for MobileNet, 0.01 for InceptionV1",
        per_network=True,
        above=0,
    )
    bn_momentum: list[float] = option(
        [0.0],
        "share of the new batch in the running statistics; 0: the network's own",
        per_network=True,
        least=0,
        most=1,
    )
    bn_eps: list[float] = option([0.0], "added to the variance; 0: the network's own", per_network=True, least=0)
    last_stride: int = option(2, "1: the last stage keeps its resolution")
    neck: str = option(
        "none", "none | bn (batch norm between pooled feature and identity head)", choices=("none", "bn")
    )
    dropout: list[float] = option(
        [0.0],
        "probability of dropping an entry of the feature before the identity head; the authors': 0.001 for MobileNet, "
        "0.2 for InceptionV1",
        per_network=True,
        least=0,
        below=1,
    )


@dataclass(frozen=True)
class Ema:
    """The exponential moving average of every network's weights."""

    enabled: bool = option(False, "keep an exponential moving average of the weights; evaluation uses it")
    decay: float = option(0.9999, "reached from below as (1 + s) / (10 + s)", least=0, below=1)
    counter: str = option(
        "steps",
        "s: steps | updates (of all K networks, K a step: the authors' global_step)",
        choices=("steps", "updates"),
    )


@dataclass(frozen=True)
class Train:
    """Length, batches and speed of the training."""

    steps: int = option(
        200000, "updates of each network, under every update rule; 0 evaluates the starting weights", least=0
    )
    batch_size: int = option(16, "images per batch", above=0)
    accumulation: int = option(1, "batches whose mean gradient makes one update of a network", above=0)
    precision: str = option(
        "float32",
        "float32 | bfloat16 (the networks' passes; weights and losses stay float32)",
        choices=("float32", "bfloat16"),
    )
    log_interval: int = option(50, "steps between two lines of metrics.jsonl", above=0)
    checkpoint_interval: int = option(1000, "steps between two checkpoints", above=0)
    graph: bool = option(True, "on a GPU: the whole step as one CUDA graph")
    compile: str = option(
        "auto",
        "all but the update through torch.compile: faster steps, a slow start (auto: long runs on a GPU)",
        choices=("auto", "True", "False"),
    )
    recompute: bool = option(
        False, "compute the backbones' activations again in the backward pass: less memory, more time"
    )
    channels_last: bool = option(True, "memory layout; faster on CPUs and tensor cores")


@dataclass(frozen=True)
class Log:
    """Where the numbers of a training go beside metrics.jsonl."""

    to: list[str] = option(
        ["tensorboard"],
        "tensorboard | wandb | mlflow | trackio (extra `track`), offline in the run folder; []: only metrics.jsonl",
        choices=LOGGERS.names,
        items=str,
    )
    project: str = option("reid_dml", "project of wandb and trackio, experiment of mlflow")


@dataclass(frozen=True)
class Test:
    """The evaluation."""

    interval: int = option(
        0, "steps between two light evaluations of a training run, of which the report draws curves; 0: none", least=0
    )
    batch_size: int = option(128, "images per forward pass", above=0)
    weights: str = option("auto", "auto (EMA where the run has it) | ema | last", choices=("auto", "ema", "last"))
    multi_query: str = option(
        "mean", "mean | max over the boxes of the query's identity and camera | none", choices=("mean", "max", "none")
    )
    ensemble: str = option(
        "normalized", "normalized (each member first) | raw (the authors' code)", choices=("normalized", "raw")
    )
    ensemble_sizes: list[int] = option(
        [],
        "sizes of further ensembles to evaluate: [2, 3] of the first two networks and of the first three",
        items=int,
        least=2,
    )
    flip: bool = option(False, "average the outputs of every image and its mirror image")
    compile: str = option(
        "auto",
        "networks through torch.compile: more images a second, a slow start (auto: many images on a GPU)",
        choices=("auto", "True", "False"),
    )
    rerank: bool = option(False, "also rank by k-reciprocal re-ranking (--rerank of reid-dml test)")
    rerank_k: list[int] = option(
        [20, 6], "its neighbours k1, and the images k2 its query expansion averages", length=2, least=1
    )
    rerank_lambda: float = option(0.3, "its share of the original distance", least=0, most=1)
    expand: int = option(0, "also expand queries by so many of their nearest gallery images; 0: not run", least=0)
    expand_alpha: float = option(0.0, "exponent of their weights; 0: the average, 3 is usual", least=0)
    fpr: list[float] = option(
        [],
        'false-positive rates at which to measure the true-positive rate of "same person?" decisions',
        items=float,
        least=0,
        below=1,
    )
    train_accuracy: bool = option(False, "also evaluate on the training images")
    save_features: bool = option(
        False, "keep the features of a retrieval evaluation in the run folder: query.npz, gallery.npz and boxes.npz"
    )
