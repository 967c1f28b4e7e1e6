"""The published numbers of the two papers that a config or a page compares with; their only home.

Percentages as printed. Market-1501 rows: single query (mAP, rank-1) and multi query (mAP, rank-1); the authors'
evaluation is the trapezoid AP. Sources: CVPR 2018 (Zhang et al., "Deep Mutual Learning") and arXiv 1706.00384v1.
"""

from __future__ import annotations

from collections.abc import Sequence

from reid_dml.errors import UserError
from reid_dml.retrieval.tables import ReferenceRow

# Parameters with 100 classes, by our name of the network.
TABLE_1 = {
    "resnet32_cifar": "0.5M",
    "mobilenet_v1_cifar": "3.3M",
    "inception_v1_cifar": "7.8M",
    "wrn_28_10": "36.5M",
}

# DML rows are the mean of the two networks of a cohort.
TABLE_3 = {
    "cvpr/mobilenet_scratch": ReferenceRow("MobileNet, from scratch (CVPR, Table 3)", (50.15, 76.87), (60.16, 84.06)),
    "cvpr/mobilenet_dml_scratch": ReferenceRow(
        "MobileNet + DML, from scratch (CVPR, Table 3)", (54.71, 79.12), (64.10, 85.63)
    ),
    "cvpr/mobilenet_imagenet": ReferenceRow("MobileNet, ImageNet (CVPR, Table 3)", (65.06, 85.01), (74.53, 90.59)),
    "cvpr/mobilenet_dml_imagenet": ReferenceRow(
        "MobileNet + DML, ImageNet (CVPR, Table 3)", (70.51, 89.34), (78.95, 92.81)
    ),
    "v1/mobilenet_scratch": ReferenceRow("MobileNet, from scratch (arXiv v1, Table 3)", (46.07, 72.18), (54.31, 79.81)),
    "v1/mobilenet_dml_scratch": ReferenceRow(
        "MobileNet + DML, from scratch (arXiv v1, Table 3)", (52.15, 76.90), (60.97, 83.48)
    ),
    "v1/mobilenet_imagenet": ReferenceRow("MobileNet, ImageNet (arXiv v1, Table 3)", (60.68, 83.94), (68.25, 87.89)),
    "v1/mobilenet_dml_imagenet": ReferenceRow(
        "MobileNet + DML, ImageNet (arXiv v1, Table 3)", (68.83, 87.73), (77.14, 91.66)
    ),
}


def published_rows(keys: Sequence[str]) -> list[ReferenceRow]:
    """The rows of these keys. Raises `UserError` for a key nobody published."""
    unknown = [key for key in keys if key not in TABLE_3]
    if unknown:
        raise UserError(f"EXPECTED: {unknown[0]!r} is not one of {', '.join(TABLE_3)}")
    return [TABLE_3[key] for key in keys]
