"""The training runs that the tables and figures of the two papers are made from, as a grid over a few config files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Experiment:
    """One training run, but for its scale and seed."""

    name: str
    config: str  # file below configs/
    options: Mapping[str, object] = field(default_factory=dict)  # that differ from the file
    teacher: str = ""  # experiment whose first network teaches, frozen
    at: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # further options by scale
    # Where short runs start from ImageNet weights, a run from scratch and one from ImageNet are the same.
    same_at_small: str = ""

    @property
    def family(self) -> str:
        """The data it is about: `market`, `cifar` or `imagenet`."""
        return self.config.split("/")[0].split("_")[0]


_MARKET = "market_mobilenet_"
_WEIGHTS = "datasets/weights/mobilenet_v1_imagenet.safetensors"
# Options of the authors' networks where the two of a cohort are unlike.
_INCEPTION = {"MODEL.INIT_STD": 0.01, "MODEL.DROPOUT": 0.2}
_INCEPTION_AND_MOBILENET = {
    "COHORT.NETWORKS": ["inception_v1", "mobilenet_v1"],
    "MODEL.INIT_STD": [0.01, 0.09],
    "MODEL.DROPOUT": [0.2, 0.001],
}
# There are no ImageNet weights of this InceptionV1: it starts from scratch at every scale.
_WITHOUT_WEIGHTS = {"small": {"COHORT.INIT_WEIGHTS": [""]}}
_SECOND_WITH_WEIGHTS = {"small": {"COHORT.INIT_WEIGHTS": ["", _WEIGHTS]}}

COHORT_SIZES = (2, 3, 4, 5)
MARKET_IDENTITIES = (100, 200, 300, 400, 500, 600)  # of 751, Fig. 6
CIFAR_SHARES = (10, 20, 40, 60, 80)  # percent of the labels, Fig. 6
SEMI_SUPERVISED = ("single", "dml_labelled", "dml_all")
CIFAR_PAIRS = (
    ("resnet32", "resnet32"),
    ("wrn_28_10", "resnet32"),
    ("mobilenet", "resnet32"),
    ("mobilenet", "mobilenet"),
    ("wrn_28_10", "mobilenet"),
    ("wrn_28_10", "wrn_28_10"),
)
_OURS = {"resnet32": "resnet32_cifar", "wrn_28_10": "wrn_28_10", "mobilenet": "mobilenet_v1_cifar"}


def pair_name(pair: tuple[str, str]) -> str:
    """What a pair of networks is called in the name of an experiment: one name where both are the same."""
    return "_".join(dict.fromkeys(pair))


def _market() -> Iterator[Experiment]:
    over_steps = {"full": {"TEST.INTERVAL": 10_000}}  # Fig. 2(b)
    for kind in ("independent", "dml"):
        yield Experiment(_MARKET + kind, f"{_MARKET}{kind}.yml", at=over_steps)
        yield Experiment(
            f"{_MARKET}{kind}_imagenet",
            f"{_MARKET}{kind}.yml",
            {"COHORT.INIT_WEIGHTS": [_WEIGHTS], "MODEL.INIT": "default"},
            same_at_small=_MARKET + kind,
        )
        # The length that the first version of the paper states.
        yield Experiment(
            f"{_MARKET}{kind}_100k", f"{_MARKET}{kind}.yml", {"TRAIN.STEPS": 100_000}, same_at_small=_MARKET + kind
        )
    yield Experiment(f"{_MARKET}dml_sequential", f"{_MARKET}dml_sequential.yml", at=over_steps)
    for kind in ("entropy", "dml_feature_l2", "dml_authors", "symmetric_kl"):
        yield Experiment(_MARKET + kind, f"{_MARKET}{kind}.yml")
    yield Experiment(f"{_MARKET}distilled", f"{_MARKET}distilled.yml", teacher=f"{_MARKET}independent")
    alone = {**_INCEPTION, "COHORT.NETWORKS": ["inception_v1"]}
    yield Experiment("market_inception_independent", f"{_MARKET}independent.yml", alone, at=_WITHOUT_WEIGHTS)
    yield Experiment(
        "market_inception_mobilenet_dml", f"{_MARKET}dml.yml", _INCEPTION_AND_MOBILENET, at=_SECOND_WITH_WEIGHTS
    )
    yield Experiment(
        "market_mobilenet_distilled_inception", f"{_MARKET}distilled.yml", teacher="market_inception_independent"
    )
    yield from _cohort_sizes()
    for number in MARKET_IDENTITIES:
        few = {"smoke": {"SEMI.LABELLED_IDENTITIES": max(2, number // 100)}}  # of the eight that are drawn
        labels = {"SEMI.LABELLED_IDENTITIES": number}
        yield from _semi_supervised(f"market_{number}", f"{_MARKET}dml.yml", ["mobilenet_v1"], labels, few)
    single = {"COHORT.NETWORKS": ["mobilenet_v1"]}
    yield Experiment("market_751_single", f"{_MARKET}independent.yml", single)


def _cohort_sizes() -> Iterator[Experiment]:
    """Fig. 3. Of two networks each has one peer: sum, mean and ensemble of the peers are the same."""
    for size in COHORT_SIZES[1:]:
        networks = {"COHORT.NETWORKS": ["mobilenet_v1"] * size}
        yield Experiment(f"{_MARKET}dml_k{size}", f"{_MARKET}dml.yml", networks)
        yield Experiment(
            f"{_MARKET}dml_k{size}_sum", f"{_MARKET}dml.yml", {**networks, "OBJECTIVE.PEER_REDUCTION": "sum"}
        )
        # The mean of the peers' probabilities (Eq. 11) has the gradients of Eq. (10); that of their logits has not.
        ensemble = {**networks, "OBJECTIVE.STRATEGY": "dml_e"}
        yield Experiment(f"{_MARKET}dml_e_k{size}", f"{_MARKET}dml.yml", ensemble)
        logits = {**ensemble, "OBJECTIVE.ENSEMBLE": "logits"}
        yield Experiment(f"{_MARKET}dml_e_k{size}_logits", f"{_MARKET}dml.yml", logits)
    # Networks that do not learn from each other are the same in a cohort of any size: the largest has all ensembles.
    largest = {"COHORT.NETWORKS": ["mobilenet_v1"] * COHORT_SIZES[-1], "TEST.ENSEMBLE_SIZES": COHORT_SIZES[1:-1]}
    yield Experiment(f"{_MARKET}independent_k{COHORT_SIZES[-1]}", f"{_MARKET}independent.yml", largest)


def _semi_supervised(
    name: str,
    config: str,
    network: list[str],
    labels: Mapping[str, object],
    at: Mapping[str, Mapping[str, object]] | None = None,
) -> Iterator[Experiment]:
    """Fig. 6, one share of the labels: one network and a cohort on the labelled images, a cohort on all."""
    dropped = {**labels, "SEMI.UNLABELLED": "drop"}
    alone = {**dropped, "COHORT.NETWORKS": network, "OBJECTIVE.STRATEGY": "independent"}
    for kind, options in zip(SEMI_SUPERVISED, (alone, dropped, labels), strict=True):
        yield Experiment(f"{name}_{kind}", config, options, at=at or {})


def _cifar(decay: str = "") -> Iterator[Experiment]:
    """Tables 2 and 4; with the recipe as printed, or with a weight decay and names that end on `_wd`."""
    ending, recipe = ("_wd", {"OPTIM.WEIGHT_DECAY": decay}) if decay else ("", {})
    for data in ("cifar10", "cifar100"):
        common = {"DATA.NAME": data, **recipe}
        for pair in CIFAR_PAIRS:
            options = {**common, "COHORT.NETWORKS": [_OURS[one] for one in pair]}
            name = f"{data}_{pair_name(pair)}"
            yield Experiment(f"{name}_dml{ending}", "cifar/base.yml", {**options, "OBJECTIVE.STRATEGY": "dml"})
            if pair[0] == pair[1]:
                alone = {**options, "OBJECTIVE.STRATEGY": "independent"}
                yield Experiment(f"{name}_independent{ending}", "cifar/base.yml", alone)
    for teacher in ("wrn_28_10", "mobilenet"):
        student = {"COHORT.NETWORKS": ["resnet32_cifar"], "OBJECTIVE.STRATEGY": "dml"}
        yield Experiment(
            f"cifar100_resnet32_distilled_{teacher}{ending}",
            "cifar/base.yml",
            {"DATA.NAME": "cifar100", **recipe, **student},
            teacher=f"cifar100_{teacher}_independent{ending}",
        )


def _cifar_semi_supervised() -> Iterator[Experiment]:
    cohort = {"DATA.NAME": "cifar100", "COHORT.NETWORKS": ["resnet32_cifar"] * 2, "OBJECTIVE.STRATEGY": "dml"}
    for share in CIFAR_SHARES:
        labels = {**cohort, "SEMI.LABELLED_SHARE": share / 100}
        yield from _semi_supervised(f"cifar100_{share}", "cifar/base.yml", ["resnet32_cifar"], labels)


def _imagenet() -> Iterator[Experiment]:
    for kind in ("independent", "dml"):
        name = f"mobilenet_inception_{kind}"
        yield Experiment(f"imagenet_{name}", f"imagenet/{name}.yml", at={"full": {"TEST.INTERVAL": 40_000}})


def _all() -> dict[str, Experiment]:
    found = [*_market(), *_cifar(), *_cifar_semi_supervised(), *_cifar("5e-4"), *_imagenet()]
    return {experiment.name: experiment for experiment in found}


EXPERIMENTS = _all()
