"""The tables and figures of the two papers: of which runs each is made, and what was published in its cells."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reid_dml.errors import UserError
from reid_dml.paper.experiments import (
    CIFAR_PAIRS,
    CIFAR_SHARES,
    COHORT_SIZES,
    EXPERIMENTS,
    MARKET_IDENTITIES,
    SEMI_SUPERVISED,
    pair_name,
)
from reid_dml.paper.published import PUBLISHED, TABLE_3

MARKET_COLUMNS = ("mAP trapezoid", "rank-1", "multi mAP trapezoid", "multi rank-1")
_SCRATCH = ("full", "smoke")  # scales with runs from scratch: short ones start from ImageNet weights


@dataclass(frozen=True)
class Row:
    """One line of a table: a network of a run, or the mean of all of its networks."""

    label: str
    experiment: str  # empty: somebody else's method
    network: int | str = "mean"  # index, "mean" or "ensemble"
    published: Mapping[str, Mapping[str, float]] = field(
        default_factory=dict
    )  # by paper, by column; percent, entropies in nats
    control: int | None = None  # place in the table of the row that this one is to beat
    scales: tuple[str, ...] = ("full", "small", "smoke")


@dataclass(frozen=True)
class Table:
    """A table, or numbers that stand in the text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Series:
    """One curve of a sweep: a point a run."""

    label: str
    points: tuple[tuple[float, str], ...]  # x, experiment
    network: str = "mean"  # or "ensemble"


@dataclass(frozen=True)
class Sweep:
    """A figure of end results over something that differs between runs."""

    title: str
    x_label: str
    column: str
    series: tuple[Series, ...]
    over_networks: bool = False  # error bars are the spread of a cohort's networks; else of the seeds


@dataclass(frozen=True)
class Curves:
    """A figure of something over the steps of runs."""

    title: str
    quantities: tuple[str, ...]  # of `recorded_curves`, a figure each
    runs: Mapping[str, str]  # experiments by what the legend calls them


@dataclass(frozen=True)
class Analysis:
    """A figure that `tools/analyse.py` draws from the trained networks."""

    title: str
    command: str
    experiments: tuple[str, ...]


@dataclass(frozen=True)
class Parameters:
    """Table 1: the networks' own numbers of parameters, for which nothing is run."""

    title: str = "Table 1: parameters with 100 classes"


Artifact = Parameters | Table | Sweep | Curves | Analysis


def _published(*keys: tuple[str, int] | str) -> dict[str, Mapping[str, float]]:
    """The cells of rows of `published.py` by paper; of a pair (key, number) the row of that number."""
    homes = {key: rows for found in PUBLISHED.values() for key, rows in found.items()}
    pairs = [(key, 0) if isinstance(key, str) else key for key in keys]
    return {("v1" if key.startswith("v1/") else "CVPR"): homes[key][number].cells for key, number in pairs}


def _table_2(data: str, ending: str = "") -> Table:
    rows: list[Row] = []
    for pair in CIFAR_PAIRS:
        key = f"table2/{data}/{pair[0]}_{pair[1]}"
        kinds = list(dict.fromkeys(pair))
        for number, name in enumerate(pair):
            published = _published((f"{key}/independent", kinds.index(name)))
            label = f"{_title(pair)}: {_PRINTED[name]}"
            rows.append(Row(f"{label}, independent", f"{data}_{name}_independent{ending}", "mean", published))
            published = _published((f"{key}/dml", number))
            together = f"{data}_{pair_name(pair)}_dml{ending}"
            rows.append(Row(f"{label} (Net {number + 1}), DML", together, number, published, len(rows) - 1))
    shown = data.replace("cifar", "CIFAR-")
    what = ", with a weight decay of 5e-4" if ending else ""
    return Table(f"Table 2: top-1 accuracy (%) on {shown}{what}", ("top-1",), tuple(rows))


_PRINTED = {
    "resnet32": "ResNet-32",
    "wrn_28_10": "WRN-28-10",
    "mobilenet": "MobileNet",
    "inception_v1": "InceptionV1",
}


def _title(pair: Sequence[str]) -> str:
    return " + ".join(_PRINTED[name] for name in pair)


def _table_3() -> Table:
    rows: list[Row] = []
    for start, ending, scales in (("from scratch", "", _SCRATCH), ("ImageNet", "_imagenet", Row.scales)):
        key = "scratch" if start == "from scratch" else "imagenet"
        rows += [
            Row(
                f"MobileNet, {start}",
                f"market_mobilenet_independent{ending}",
                "mean",
                _published(f"cvpr/mobilenet_{key}", f"v1/mobilenet_{key}"),
                scales=scales,
            ),
            Row(
                f"MobileNet + DML, {start}",
                f"market_mobilenet_dml{ending}",
                "mean",
                _published(f"cvpr/mobilenet_dml_{key}", f"v1/mobilenet_dml_{key}"),
                control=len(rows),
                scales=scales,
            ),
        ]
    return Table("Table 3: Market-1501 (%)", MARKET_COLUMNS, (*rows, *_others()))


def _others() -> Iterator[Row]:
    """Other people's methods in Table 3; some stand in one version only."""
    own = [key for key in TABLE_3 if "mobilenet" not in key]
    for name in dict.fromkeys(key.split("/")[1] for key in own):
        keys = [key for key in own if key.endswith(f"/{name}")]
        yield Row(TABLE_3[keys[0]][0].label.split(" (")[0], "", published=_published(*keys))


def _table_3_v1() -> Table:
    """The length that the first version states, where CVPR states none."""
    rows: tuple[Row, ...] = (
        Row("MobileNet, from scratch", "market_mobilenet_independent_100k", "mean", _published("v1/mobilenet_scratch")),
        Row(
            "MobileNet + DML, from scratch",
            "market_mobilenet_dml_100k",
            "mean",
            _published("v1/mobilenet_dml_scratch"),
            control=0,
        ),
    )
    rows = tuple(replace(row, scales=("full",)) for row in rows)
    return Table("Table 3 at v1's 100,000 steps: Market-1501 (%)", MARKET_COLUMNS, rows)


def _variants() -> Table:
    rows = (
        Row("Independent", "market_mobilenet_independent", "mean", {}),
        Row("DML, simultaneous updates", "market_mobilenet_dml", "mean", {}, 0),
        Row("DML, sequential updates", "market_mobilenet_dml_sequential", "mean", {}, 0),
        Row("DML, the authors' code", "market_mobilenet_dml_authors", "mean", {}, 0),
        Row("symmetric KL, Eq. (7)", "market_mobilenet_symmetric_kl", "mean", {}, 0),
    )
    return Table("Variants of the method on Market-1501 (%)", MARKET_COLUMNS, rows)


def _table_4(ending: str = "") -> Table:
    """Distillation on CIFAR-100."""
    rows: list[Row] = []
    for teacher in ("wrn_28_10", "mobilenet"):
        pair = (teacher, "resnet32")
        where, base = f"{_title(pair)}: ", f"table2/cifar100/{teacher}_resnet32"
        for number, name in enumerate(pair):
            published = _published((f"{base}/independent", number))
            label = f"{where}{_PRINTED[name]}, independent"
            rows.append(Row(label, f"cifar100_{name}_independent{ending}", "mean", published))
        control = len(rows) - 1
        published = _published(f"table4/cifar100/{teacher}_resnet32/distilled")
        distilled = f"cifar100_resnet32_distilled_{teacher}{ending}"
        rows.append(Row(f"{where}{_PRINTED[teacher]} distils ResNet-32", distilled, 0, published, control))
        for number, name in enumerate(pair):
            published = _published((f"{base}/dml", number))
            together = f"cifar100_{pair_name(pair)}_dml{ending}"
            rows.append(Row(f"{where}{_PRINTED[name]}, DML", together, number, published, control - 1 + number))
    what = ", with a weight decay of 5e-4" if ending else ""
    return Table(f"Table 4: distillation on CIFAR-100, top-1 accuracy (%){what}", ("top-1",), tuple(rows))


def _table_4_market() -> Table:
    rows: list[Row] = []
    runs = {
        "inception_v1": ("market_inception_independent", "market_inception_mobilenet_dml", "_inception"),
        "mobilenet": ("market_mobilenet_independent", "market_mobilenet_dml", ""),
    }
    for teacher, (alone, together, ending) in runs.items():
        pair = (teacher, "mobilenet")
        where, key = f"{_title(pair)}: ", f"table4/{teacher}_mobilenet"
        for number, name in enumerate(pair):
            published = _published((f"cvpr/{key}/independent", number), (f"v1/{key}/independent", number))
            # The two MobileNets of the paper are two runs: ours are the two networks of one.
            same = pair[0] == pair[1]
            experiment, network = (alone, number if same else 0) if name == teacher else (runs["mobilenet"][0], 0)
            rows.append(Row(f"{where}Net {number + 1}, independent", experiment, network, published))
        control = len(rows) - 1
        published = _published(f"cvpr/{key}/distilled", f"v1/{key}/distilled")
        student = f"market_mobilenet_distilled{ending}"
        rows.append(Row(f"{where}Net 1 distils Net 2", student, 0, published, control))
        for number in range(2):
            published = _published((f"cvpr/{key}/dml", number), (f"v1/{key}/dml", number))
            rows.append(Row(f"{where}Net {number + 1}, DML", together, number, published, control - 1 + number))
    return Table("Table 4: distillation on Market-1501, mAP (%)", ("mAP trapezoid",), tuple(rows))


def _table_5() -> Table:
    labels = {
        "independent": "Independent",
        "dml": "DML",
        "entropy": "Independent, Entropy",
        "feature_l2": "DML, L2",
    }
    names = {"feature_l2": "dml_feature_l2"}
    rows = [
        Row(
            label,
            f"market_mobilenet_{names.get(kind, kind)}",
            "mean",
            _published(f"cvpr/table5/{kind}"),
            control=None if kind == "independent" else 0,
        )
        for kind, label in labels.items()
    ]
    return Table("Table 5: other regularisers on Market-1501 (%)", ("mAP trapezoid", "rank-1"), tuple(rows))


def _entropy() -> Table:
    rows = (
        Row(
            "CIFAR-100, ResNet-32, independent",
            "cifar100_resnet32_independent",
            "mean",
            _published("entropy/cifar100/resnet32_resnet32/independent"),
        ),
        Row(
            "CIFAR-100, ResNet-32, DML",
            "cifar100_resnet32_dml",
            "mean",
            _published("entropy/cifar100/resnet32_resnet32/dml"),
            control=0,
        ),
        Row("Market-1501, MobileNets, DML", "market_mobilenet_dml_k5", "mean", _published("entropy/market1501/dml")),
        Row(
            "Market-1501, MobileNets, DML_e",
            "market_mobilenet_dml_e_k5",
            "mean",
            _published("entropy/market1501/dml_e"),
            control=2,
        ),
    )
    return Table("Sec. 4.8: mean entropy of the posteriors on training images (nats)", ("train entropy",), rows)


def _cohort_sizes(ensemble: bool) -> Sweep:
    # One network alone is a member of the control; of two each has one peer, whatever is done with peers.
    first = ((1.0, "market_mobilenet_independent"), (2.0, "market_mobilenet_dml"))
    kinds = {
        "DML, mean over the peers": "dml_k{}",
        "DML, sum over the peers": "dml_k{}_sum",
        "DML_e": "dml_e_k{}",
        "DML_e of logits": "dml_e_k{}_logits",
    }
    network = "ensemble" if ensemble else "mean"

    def series_of(label: str, name: str, start: tuple[tuple[float, str], ...]) -> Series:
        rest = ((float(size), f"market_mobilenet_{name.format(size)}") for size in COHORT_SIZES[1:])
        return Series(label, (*start, *rest), network)

    series = [series_of(label, name, first[ensemble:]) for label, name in kinds.items()]
    if ensemble:
        alone = ((2.0, "market_mobilenet_independent"),)
        series.append(series_of("independent", "independent_k{}", alone))
    what = "ensembles of their features" if ensemble else "mean of the networks"
    letter = "b" if ensemble else "a"
    return Sweep(
        f"Fig. 3({letter}): cohort size, {what}", "networks in the cohort", "mAP trapezoid", tuple(series), not ensemble
    )


def _labels(data: str) -> Sweep:
    names = {
        "single": "one network, labelled images",
        "dml_labelled": "DML, labelled images",
        "dml_all": "DML, all images",
    }
    places: tuple[int, ...]
    if data == "market":
        together = "market_mobilenet_dml"
        full = {"single": "market_751_single", "dml_labelled": together, "dml_all": together}
        places, last, axis, column = MARKET_IDENTITIES, 751, "labelled identities", "mAP trapezoid"
    else:
        together = "cifar100_resnet32_dml"
        full = {"single": "cifar100_resnet32_independent", "dml_labelled": together, "dml_all": together}
        places, last, axis, column = CIFAR_SHARES, 100, "labelled images of each class (%)", "top-1"
    series = tuple(
        Series(
            names[kind],
            (*((float(place), f"{data}_{place}_{kind}") for place in places), (float(last), full[kind])),
        )
        for kind in SEMI_SUPERVISED
    )
    shown = "Market-1501" if data == "market" else "CIFAR-100"
    return Sweep(f"Fig. 6: semi-supervised learning on {shown}", axis, column, series)


def _named_curves(pair: tuple[str, str]) -> dict[str, str]:
    return dict(zip(("DML", "independent"), pair, strict=True))


_MARKET_PAIR = ("market_mobilenet_dml", "market_mobilenet_independent")
_RESNET_PAIR = ("cifar100_resnet32_dml", "cifar100_resnet32_independent")
_CIFAR_MOBILENET_PAIR = ("cifar100_mobilenet_dml", "cifar100_mobilenet_independent")  # Sec. 4.8, "using MobileNet"

# In the order in which they are run where nothing else is asked for.
ARTIFACTS: dict[str, Artifact] = {
    "table1": Parameters(),
    "table3": _table_3(),
    "table2_cifar10": _table_2("cifar10"),
    "table2_cifar100": _table_2("cifar100"),
    "table5": _table_5(),
    "fig3a": _cohort_sizes(ensemble=False),
    "fig3b": _cohort_sizes(ensemble=True),
    "fig2b": Curves(
        "Fig. 2(b): sequential and simultaneous updates, Market-1501",
        ("loss", "mAP"),
        {"sequential": "market_mobilenet_dml_sequential", "simultaneous": "market_mobilenet_dml"},
    ),
    "table4_market": _table_4_market(),
    "table4_cifar": _table_4(),
    "entropy": _entropy(),
    "fig4a": Curves("Fig. 4(a): training loss, CIFAR-100", ("loss",), _named_curves(_CIFAR_MOBILENET_PAIR)),
    "fig4a_market": Curves("v1, Fig. 3(a): training loss, Market-1501", ("loss",), _named_curves(_MARKET_PAIR)),
    "fig4b": Analysis("Fig. 4(b): rise of the training loss under noise, CIFAR-100", "flatness", _CIFAR_MOBILENET_PAIR),
    "fig4b_market": Analysis(
        "v1, Fig. 3(b): rise of the training loss under noise, Market-1501", "flatness", _MARKET_PAIR
    ),
    "fig4c": Analysis("Fig. 4(c): probability of the top classes, CIFAR-100", "posterior", _RESNET_PAIR),
    "fig4c_market": Analysis("Probability of the top classes, Market-1501", "posterior", _MARKET_PAIR),
    "fig5": Analysis("Fig. 5: t-SNE of Market-1501's test features", "tsne", _MARKET_PAIR),
    "similarity": Analysis("Sec. 4.9: do the networks differ? Market-1501", "similarity", _MARKET_PAIR),
    "fig6_market": _labels("market"),
    "fig6_cifar": _labels("cifar100"),
    "fig2a": Curves(
        "Fig. 2(a): MobileNet and InceptionV1 on ImageNet",
        ("top1",),
        _named_curves(("imagenet_mobilenet_inception_dml", "imagenet_mobilenet_inception_independent")),
    ),
    "table3_v1": _table_3_v1(),
    "variants": _variants(),
    "table2_cifar10_wd": _table_2("cifar10", "_wd"),
    "table2_cifar100_wd": _table_2("cifar100", "_wd"),
    "table4_wd": _table_4("_wd"),
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


def run_of(name: str, scale: str) -> str:
    """The experiment whose runs stand for this one at a scale."""
    return (EXPERIMENTS[name].same_at_small or name) if scale == "small" else name


def _named(artifact: Artifact, scale: str) -> Iterator[str]:
    if isinstance(artifact, Table):
        yield from (row.experiment for row in artifact.rows if row.experiment and scale in row.scales)
    elif isinstance(artifact, Sweep):
        yield from (name for series in artifact.series for _, name in series.points)
    elif isinstance(artifact, Curves):
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
