"""The tables and figures of the two papers by their names, groups of them, and the runs behind each."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from reid_dml.errors import UserError
from reid_dml.paper.experiments import EXPERIMENTS
from reid_dml.paper.kinds import Analysis, Artifact, Curves, Parameters, Posterior, Sweep, Table
from reid_dml.paper.sweeps import cohort_sizes, fewer_labels
from reid_dml.paper.tables import (
    entropy_table,
    table_2,
    table_3,
    table_3_v1,
    table_4,
    table_4_market,
    table_5,
    variants_table,
)


def _by_method(pair: tuple[str, str]) -> dict[str, str]:
    return dict(zip(("DML", "independent"), pair, strict=True))


_MARKET_PAIR = ("market_mobilenet_dml", "market_mobilenet_independent")
_RESNET_PAIR = ("cifar100_resnet32_dml", "cifar100_resnet32_independent")
_CIFAR_MOBILENET_PAIR = ("cifar100_mobilenet_dml", "cifar100_mobilenet_independent")  # Sec. 4.8, "using MobileNet"

# In the order in which they are run where nothing else is asked for.
ARTIFACTS: dict[str, Artifact] = {
    "table1": Parameters(),
    "table3": table_3(),
    "table2_cifar10": table_2("cifar10"),
    "table2_cifar100": table_2("cifar100"),
    "table5": table_5(),
    "fig3a": cohort_sizes(ensemble=False),
    "fig3b": cohort_sizes(ensemble=True),
    "fig2b": Curves(
        "Fig. 2(b): sequential and simultaneous updates, Market-1501",
        ("loss", "mAP"),
        {"sequential": "market_mobilenet_dml_sequential", "simultaneous": "market_mobilenet_dml"},
        "mAP trapezoid",
    ),
    "table4_market": table_4_market(),
    "table4_cifar": table_4(),
    "entropy": entropy_table(),
    "fig4a": Curves("Fig. 4(a): training loss, CIFAR-100", ("loss",), _by_method(_CIFAR_MOBILENET_PAIR)),
    "fig4a_market": Curves("v1, Fig. 3(a): training loss, Market-1501", ("loss",), _by_method(_MARKET_PAIR)),
    "fig4b": Analysis("Fig. 4(b): rise of the training loss under noise, CIFAR-100", "flatness", _CIFAR_MOBILENET_PAIR),
    "fig4b_market": Analysis(
        "v1, Fig. 3(b): rise of the training loss under noise, Market-1501", "flatness", _MARKET_PAIR
    ),
    "fig4c": Posterior("Fig. 4(c): probability of the top classes, CIFAR-100", _by_method(_RESNET_PAIR)),
    "fig4c_market": Posterior("Probability of the top classes, Market-1501", _by_method(_MARKET_PAIR)),
    "fig5": Analysis("Fig. 5: t-SNE of Market-1501's test features", "tsne", _MARKET_PAIR),
    "similarity": Analysis("Sec. 4.9: do the networks differ? Market-1501", "similarity", _MARKET_PAIR),
    "fig6_market": fewer_labels("market"),
    "fig6_cifar": fewer_labels("cifar100"),
    "fig2a": Curves(
        "Fig. 2(a): MobileNet and InceptionV1 on ImageNet",
        ("top1",),
        _by_method(("imagenet_mobilenet_inception_dml", "imagenet_mobilenet_inception_independent")),
    ),
    "table3_v1": table_3_v1(),
    "variants": variants_table(),
    "table2_cifar10_wd": table_2("cifar10", "_wd"),
    "table2_cifar100_wd": table_2("cifar100", "_wd"),
    "table4_wd": table_4("_wd"),
}
_WEIGHT_DECAY = ("table2_cifar10_wd", "table2_cifar100_wd", "table4_wd")
_BESIDE = ("fig4c_market", "table3_v1", "variants", *_WEIGHT_DECAY)  # what the papers do not print, or print otherwise

# Names of several, and those that the first version of the paper has for the same figures.
GROUPS: dict[str, tuple[str, ...]] = {
    "all": tuple(name for name in ARTIFACTS if name not in _BESIDE),
    "beside": _BESIDE,
    "table2": ("table2_cifar10", "table2_cifar100"),
    "table4": ("table4_cifar", "table4_market"),
    "weight_decay": _WEIGHT_DECAY,
    "fig2": ("fig2a", "fig2b"),
    "fig3": ("fig3a", "fig3b"),
    "fig4": ("fig4a", "fig4b", "fig4c"),
    "fig6": ("fig6_market", "fig6_cifar"),
    "v1/table2": ("table2_cifar100",),
    "v1/table3": ("table3",),
    "v1/table4": ("table4_cifar", "table4_market"),
    "v1/fig2": ("fig3a", "fig3b"),
    "v1/fig3": ("fig4a_market", "fig4b_market", "fig4c"),
    "v1/fig4": ("fig3a", "entropy"),
}


def experiments_of(artifact: Artifact, scale: str) -> list[str]:
    """The runs behind a table or figure at a scale, by name, in its order."""
    return list(dict.fromkeys(run_of(name, scale) for name in _named(artifact, scale)))


def experiments_behind(name: str, scale: str) -> list[str]:
    """The experiments behind a table or figure; of an experiment, itself or the one that stands for it."""
    artifact = ARTIFACTS.get(name)
    return experiments_of(artifact, scale) if artifact else [run_of(name, scale)]


def run_of(name: str, scale: str) -> str:
    """The experiment whose runs stand for this one at a scale."""
    return (EXPERIMENTS[name].same_at_small or name) if scale == "small" else name


def _named(artifact: Artifact, scale: str) -> Iterator[str]:
    if isinstance(artifact, Table):
        yield from (row.experiment for row in artifact.rows if row.experiment and scale in row.scales)
    elif isinstance(artifact, Sweep):
        yield from (name for series in artifact.series for _, name, _ in series.points)
    elif isinstance(artifact, Curves | Posterior):
        yield from artifact.runs.values()
    elif isinstance(artifact, Analysis):
        yield from artifact.experiments


def choose(names: Sequence[str]) -> list[str]:
    """Tables, figures and experiments by their names, groups resolved. Raises `UserError` for an unknown name."""
    known = [*ARTIFACTS, *GROUPS, *EXPERIMENTS]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name.lower(), known, 3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UserError(
                f"no table, figure or experiment is called {name!r}: there are {', '.join(ARTIFACTS)}{hint}"
            )
    return list(dict.fromkeys(one for name in names for one in GROUPS.get(name, (name,))))
