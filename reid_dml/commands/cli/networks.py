"""List networks with their parameters, multiply-accumulate operations (MACs) and width of the pooled feature.

    reid-dml networks                                       # the project's own, for 32x32 images
    reid-dml networks --size 224 224 --classes 1000 mobilenet_v1 resnet50 torchvision/googlenet
    reid-dml networks --names | grep efficientnet           # every name that COHORT.NETWORKS takes

Parameters include the head of so many classes; MACs are those of one image. With 100 classes the numbers of the paper's
Table 1 stand beside ours.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.errors import UserError

_MOST_CLASSES = 10_000_000  # of a head that anybody could hold in memory


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("networks", nargs="*", metavar="NAME", help="networks to list; default: the project's own")
    parser.add_argument("--classes", type=int, default=100, metavar="N", help="classes of the head (default: 100)")
    parser.add_argument("--size", type=int, nargs=2, default=[32, 32], metavar=("H", "W"), help="default: 32 32")
    parser.add_argument("--names", action="store_true", help="print every known name instead")


def run(arguments: Namespace) -> None:
    from reid_dml.models import BACKBONES, known_names
    from reid_dml.models.summary import summarize
    from reid_dml.paper.published import TABLE_1
    from reid_dml.reporting.tables import format_table

    if arguments.names and arguments.networks:
        raise UserError(f"{arguments.networks[0]}: --names prints every known name; leave out one or the other")
    if arguments.names:
        print("\n".join(known_names()))
        return
    if not 1 <= arguments.classes <= _MOST_CLASSES:
        raise UserError(f"--classes: {arguments.classes} is not a number from 1 to {_MOST_CLASSES:,}")
    if min(arguments.size) < 8:
        raise UserError("--size: must be at least 8 pixels in both directions")
    height, width = arguments.size
    rows = [[f"{height}x{width} images", f"parameters ({arguments.classes} classes)", "MACs (M)", "features", "paper"]]
    for name in arguments.networks or sorted(BACKBONES.names()):
        found = summarize(name, (height, width), arguments.classes)
        paper = TABLE_1.get(name, "") if arguments.classes == 100 else ""
        rows.append([name, f"{found.parameters:,}", f"{found.macs / 1e6:,.1f}", str(found.feature_dim), paper])
    print(format_table(rows))
