"""The published numbers of the two papers that a config or a page compares with; their only home.

Percentages as printed. Sources: CVPR 2018 (Zhang et al., "Deep Mutual Learning") and arXiv 1706.00384v1. Market-1501:
single query (mAP, rank-1) and multi query (mAP, rank-1); the authors' evaluation is the trapezoid AP in both. CIFAR:
top-1. Entropies are in nats.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence

from reid_dml.errors import UserError
from reid_dml.reporting.tables import ReferenceRow

Rows = Mapping[str, tuple[ReferenceRow, ...]]  # by key of EXPECTED: one row, or one a network


def _market(
    label: str, single: tuple[float, float] | tuple[()], multi: tuple[float, float] | tuple[()] = ()
) -> tuple[ReferenceRow, ...]:
    cells = dict(zip(("mAP trapezoid", "rank-1"), single, strict=False))
    cells |= dict(zip(("multi mAP trapezoid", "multi rank-1"), multi, strict=False))
    return (ReferenceRow(label, cells),)


# Parameters with 100 classes, by our name of the network.
TABLE_1 = {
    "resnet32_cifar": "0.5M",
    "mobilenet_v1_cifar": "3.3M",
    "inception_v1_cifar": "7.8M",
    "wrn_28_10": "36.5M",
}

# DML rows are the mean of the two networks of a cohort.
TABLE_3: Rows = {
    "cvpr/mobilenet_scratch": _market("MobileNet, from scratch (CVPR, Table 3)", (50.15, 76.87), (60.16, 84.06)),
    "cvpr/mobilenet_dml_scratch": _market(
        "MobileNet + DML, from scratch (CVPR, Table 3)", (54.71, 79.12), (64.10, 85.63)
    ),
    "cvpr/mobilenet_imagenet": _market("MobileNet, ImageNet (CVPR, Table 3)", (65.06, 85.01), (74.53, 90.59)),
    "cvpr/mobilenet_dml_imagenet": _market("MobileNet + DML, ImageNet (CVPR, Table 3)", (70.51, 89.34), (78.95, 92.81)),
    "v1/mobilenet_scratch": _market("MobileNet, from scratch (arXiv v1, Table 3)", (46.07, 72.18), (54.31, 79.81)),
    "v1/mobilenet_dml_scratch": _market(
        "MobileNet + DML, from scratch (arXiv v1, Table 3)", (52.15, 76.90), (60.97, 83.48)
    ),
    "v1/mobilenet_imagenet": _market("MobileNet, ImageNet (arXiv v1, Table 3)", (60.68, 83.94), (68.25, 87.89)),
    "v1/mobilenet_dml_imagenet": _market(
        "MobileNet + DML, ImageNet (arXiv v1, Table 3)", (68.83, 87.73), (77.14, 91.66)
    ),
    # Other people's methods, as the two papers quote them.
    "cvpr/gated_scnn": _market("Gated S-CNN, from scratch (CVPR, Table 3)", (39.55, 65.88), (48.45, 76.04)),
    "cvpr/k_reciprocal": _market("k-reciprocal, ImageNet (CVPR, Table 3)", (63.63, 77.11)),
    "cvpr/mscan": _market("MSCAN, from scratch (CVPR, Table 3)", (57.53, 80.31), (66.70, 86.79)),
    "cvpr/pdc": _market("PDC, from scratch (CVPR, Table 3)", (63.41, 84.14)),
    "cvpr/dlpar": _market("DLPAR, from scratch (CVPR, Table 3)", (63.40, 81.00)),
    "v1/can": _market("CAN, ImageNet (arXiv v1, Table 3)", (24.40, 48.20)),
    "v1/gated_scnn": _market("Gated S-CNN, from scratch (arXiv v1, Table 3)", (39.55, 65.88), (48.45, 76.04)),
    "v1/siamese_lstm": _market("Siamese LSTM, from scratch (arXiv v1, Table 3)", (), (35.30, 61.60)),
    "v1/k_reciprocal": _market("k-reciprocal, ImageNet (arXiv v1, Table 3)", (63.63, 77.11)),
}

# Market-1501, MobileNet from scratch, single query.
TABLE_5: Rows = {
    "cvpr/table5/independent": _market("Independent (CVPR, Table 5)", (50.15, 76.87)),
    "cvpr/table5/dml": _market("DML (CVPR, Table 5)", (54.71, 79.12)),
    "cvpr/table5/entropy": _market("Independent, Entropy (CVPR, Table 5)", (50.94, 76.34)),
    "cvpr/table5/feature_l2": _market("DML, L2 (CVPR, Table 5)", (51.01, 77.58)),
}

# Networks as the papers print them.
PRINTED = {
    "resnet32": "ResNet-32",
    "wrn_28_10": "WRN-28-10",
    "mobilenet": "MobileNet",
    "inception_v1": "InceptionV1",
}
# Top-1 of one network trained alone.
_ALONE = {
    "cifar10": {"resnet32": 92.47, "wrn_28_10": 95.01, "mobilenet": 93.59},
    "cifar100": {"resnet32": 68.99, "wrn_28_10": 78.69, "mobilenet": 73.65},
}
# Top-1 of the two networks of a cohort with DML.
_TOGETHER = {
    "cifar10": {
        ("resnet32", "resnet32"): (92.68, 92.80),
        ("wrn_28_10", "resnet32"): (95.75, 93.18),
        ("mobilenet", "resnet32"): (94.24, 93.32),
        ("mobilenet", "mobilenet"): (94.10, 94.30),
        ("wrn_28_10", "mobilenet"): (95.73, 94.37),
        ("wrn_28_10", "wrn_28_10"): (95.66, 95.63),
    },
    "cifar100": {
        ("resnet32", "resnet32"): (71.19, 70.75),
        ("wrn_28_10", "resnet32"): (78.96, 70.73),
        ("mobilenet", "resnet32"): (76.13, 71.10),
        ("mobilenet", "mobilenet"): (76.21, 76.10),
        ("wrn_28_10", "mobilenet"): (80.28, 77.39),
        ("wrn_28_10", "wrn_28_10"): (80.28, 80.08),
    },
}


def _table_2(data: str) -> Rows:
    rows: dict[str, tuple[ReferenceRow, ...]] = {}
    for pair, values in _TOGETHER[data].items():
        names, key = [PRINTED[name] for name in pair], f"table2/{data}/{pair[0]}_{pair[1]}"
        rows[f"{key}/independent"] = tuple(
            ReferenceRow(f"{PRINTED[name]}, independent (CVPR, Table 2)", {"top-1": _ALONE[data][name]})
            for name in dict.fromkeys(pair)
        )
        rows[f"{key}/dml"] = tuple(
            ReferenceRow(f"Net {number} {own} beside {peer}, DML (CVPR, Table 2)", {"top-1": value})
            for number, own, peer, value in zip((1, 2), names, reversed(names), values, strict=True)
        )
    return rows


TABLE_2 = {data: _table_2(data) for data in _ALONE}
# Top-1 of ResNet-32 taught by a frozen network; the rows' other numbers are those of Table 2.
TABLE_4: Rows = {
    f"table4/cifar100/{teacher}_resnet32/distilled": (
        ReferenceRow(f"ResNet-32, distilled from {PRINTED[teacher]} (CVPR, Table 4)", {"top-1": value}),
    )
    for teacher, value in (("wrn_28_10", 69.48), ("mobilenet", 69.12))
}

# Single-query mAP on Market-1501 by paper and pair: each network alone, the second taught by the frozen first, DML.
_DISTILLATION = {
    "cvpr": {
        ("inception_v1", "mobilenet"): ((63.91, 50.15), 52.30, (64.42, 58.47)),
        ("mobilenet", "mobilenet"): ((50.15, 49.87), 50.07, (55.28, 54.13)),
    },
    "v1": {
        ("inception_v1", "mobilenet"): ((65.26, 46.07), 49.11, (65.34, 52.87)),
        ("mobilenet", "mobilenet"): ((46.07, 46.07), 45.16, (52.95, 51.26)),
    },
}


def _table_4_market() -> Rows:
    rows: dict[str, tuple[ReferenceRow, ...]] = {}
    for paper, pairs in _DISTILLATION.items():
        where = f"({'CVPR' if paper == 'cvpr' else 'arXiv v1'}, Table 4)"
        for pair, (alone, distilled, together) in pairs.items():
            names, key = [PRINTED[name] for name in pair], f"{paper}/table4/{pair[0]}_{pair[1]}"
            for kind, values in (("independent", alone), ("DML", together)):
                rows[f"{key}/{kind.lower()}"] = tuple(
                    ReferenceRow(f"Net {number} {own} beside {peer}, {kind} {where}", {"mAP trapezoid": value})
                    for number, own, peer, value in zip((1, 2), names, reversed(names), values, strict=True)
                )
            label = f"{names[1]}, distilled from {names[0]} {where}"
            rows[f"{key}/distilled"] = (ReferenceRow(label, {"mAP trapezoid": distilled}),)
    return rows


TABLE_4_MARKET = _table_4_market()


def _entropy(label: str, value: float) -> tuple[ReferenceRow, ...]:
    return (ReferenceRow(f"{label} (CVPR, Sec. 4.8)", {"train entropy": value}),)


# Mean entropy of the posteriors, from the text. Of the two of Market-1501 the paper does not say on which images.
ENTROPY: dict[str, Rows] = {
    "cifar100": {
        "entropy/cifar100/resnet32_resnet32/dml": _entropy("ResNet-32, DML", 1.7099),
        "entropy/cifar100/resnet32_resnet32/independent": _entropy("ResNet-32, independent", 0.2602),
    },
    "market1501": {
        "entropy/market1501/dml": _entropy("MobileNets, DML", 0.2805),
        "entropy/market1501/dml_e": _entropy("MobileNets, DML_e", 0.1562),
    },
}

# By `DATA.NAME`.
PUBLISHED: dict[str, Rows] = {
    "market1501": {**TABLE_3, **TABLE_4_MARKET, **TABLE_5, **ENTROPY["market1501"]},
    "cifar10": TABLE_2["cifar10"],
    "cifar100": {**TABLE_2["cifar100"], **TABLE_4, **ENTROPY["cifar100"]},
}


def published_rows(keys: Sequence[str], dataset: str, trained_on: Sequence[str] = ()) -> list[ReferenceRow]:
    """The rows of these keys that results may stand beside; others are left out with a warning.

    Args:
        keys: of rows.
        dataset: name of the data set that was tested on, as in `DATA.NAME`.
        trained_on: names of those that were trained on; none: it is the one that was tested on.

    Raises:
        UserError: a key nobody published.
    """
    homes = {key: name for name, rows in PUBLISHED.items() for key in rows}
    unknown = [key for key in keys if key not in homes]
    if unknown:
        near = difflib.get_close_matches(unknown[0], homes, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "all are in reid_dml/paper/published.py"
        raise UserError(f"EXPECTED: no published row is called {unknown[0]!r}; {hint}")
    elsewhere = [name for name in trained_on if name != dataset]
    own = [key for key in keys if homes[key] == dataset and not elsewhere]
    if foreign := [key for key in keys if key not in own]:
        home = homes[foreign[0]]
        where = f"of {home}, not of {dataset}" if home != dataset else f"of training on {home} alone"
        warnings.warn(
            f"EXPECTED: the published row {foreign[0]} is {where}: not shown (EXPECTED [] for none)", stacklevel=2
        )
    return [row for key in own for row in PUBLISHED[dataset][key]]
