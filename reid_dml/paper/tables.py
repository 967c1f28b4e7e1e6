"""The tables of the two papers, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from reid_dml.paper.experiments import CIFAR_PAIRS, pair_name
from reid_dml.paper.kinds import Row, Table
from reid_dml.paper.published import PRINTED, PUBLISHED, TABLE_3

MARKET_COLUMNS = ("mAP trapezoid", "rank-1", "multi mAP trapezoid", "multi rank-1")
_SCRATCH = ("full", "smoke")  # scales with runs from scratch: short ones start from ImageNet weights


def _published(*keys: tuple[str, int] | str) -> dict[str, Mapping[str, float]]:
    """The cells of rows of `published.py` by paper; of a pair (key, number) the row of that number."""
    homes = {key: rows for found in PUBLISHED.values() for key, rows in found.items()}
    pairs = [(key, 0) if isinstance(key, str) else key for key in keys]
    return {("v1" if key.startswith("v1/") else "CVPR"): homes[key][number].cells for key, number in pairs}


def table_2(data: str, ending: str = "") -> Table:
    """Table 2 on one of the two data sets; with the recipe as printed, or with a weight decay (`_wd`)."""
    rows: list[Row] = []
    for pair in CIFAR_PAIRS:
        key = f"table2/{data}/{pair[0]}_{pair[1]}"
        kinds = list(dict.fromkeys(pair))
        for number, name in enumerate(pair):
            published = _published((f"{key}/independent", kinds.index(name)))
            label = f"{_title(pair)}: {PRINTED[name]}"
            rows.append(Row(f"{label}, independent", f"{data}_{name}_independent{ending}", "mean", published))
            published = _published((f"{key}/dml", number))
            together = f"{data}_{pair_name(pair)}_dml{ending}"
            rows.append(Row(f"{label} (Net {number + 1}), DML", together, number, published, len(rows) - 1))
    shown = data.replace("cifar", "CIFAR-")
    what = ", with a weight decay of 5e-4" if ending else ""
    return Table(f"Table 2: top-1 accuracy (%) on {shown}{what}", ("top-1",), tuple(rows))


def _title(pair: Sequence[str]) -> str:
    return " + ".join(PRINTED[name] for name in pair)


def table_3() -> Table:
    """Table 3, of both versions."""
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


def table_3_v1() -> Table:
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


def variants_table() -> Table:
    """What the method becomes with other update rules and losses."""
    rows = (
        Row("Independent", "market_mobilenet_independent", "mean", {}),
        Row("DML, simultaneous updates", "market_mobilenet_dml", "mean", {}, 0),
        Row("DML, sequential updates", "market_mobilenet_dml_sequential", "mean", {}, 0),
        Row("DML, the authors' code", "market_mobilenet_dml_authors", "mean", {}, 0),
        Row("symmetric KL, Eq. (7)", "market_mobilenet_symmetric_kl", "mean", {}, 0),
    )
    return Table("Variants of the method on Market-1501 (%)", MARKET_COLUMNS, rows)


def table_4(ending: str = "") -> Table:
    """Distillation on CIFAR-100."""
    rows: list[Row] = []
    for teacher in ("wrn_28_10", "mobilenet"):
        pair = (teacher, "resnet32")
        where, base = f"{_title(pair)}: ", f"table2/cifar100/{teacher}_resnet32"
        for number, name in enumerate(pair):
            published = _published((f"{base}/independent", number))
            label = f"{where}{PRINTED[name]}, independent"
            rows.append(Row(label, f"cifar100_{name}_independent{ending}", "mean", published))
        control = len(rows) - 1
        published = _published(f"table4/cifar100/{teacher}_resnet32/distilled")
        distilled = f"cifar100_resnet32_distilled_{teacher}{ending}"
        rows.append(Row(f"{where}{PRINTED[teacher]} distils ResNet-32", distilled, 0, published, control))
        for number, name in enumerate(pair):
            published = _published((f"{base}/dml", number))
            together = f"cifar100_{pair_name(pair)}_dml{ending}"
            rows.append(Row(f"{where}{PRINTED[name]}, DML", together, number, published, control - 1 + number))
    what = ", with a weight decay of 5e-4" if ending else ""
    return Table(f"Table 4: distillation on CIFAR-100, top-1 accuracy (%){what}", ("top-1",), tuple(rows))


def table_4_market() -> Table:
    """Table 4, distillation on Market-1501, of both versions."""
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


def table_5() -> Table:
    """Table 5."""
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


def entropy_table() -> Table:
    """The entropies of Sec. 4.8."""
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
