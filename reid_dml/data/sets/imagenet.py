"""ImageNet (ILSVRC 2012) and Tiny-ImageNet, as their authors' folders."""

from __future__ import annotations

from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.records import ClassificationData, ImageRecord
from reid_dml.data.sets import register_data
from reid_dml.data.sets.class_folders import holds_class_tree, number_classes, read_class_tree, read_split
from reid_dml.data.sets.places import check_root
from reid_dml.errors import UserError, absolute
from reid_dml.paths import require_file


@register_data(
    "imagenet",
    task="classification",
    terms="ImageNet (Russakovsky et al., 2015) may be used for non-commercial research and education only.",
    research_only=True,
)
def load_imagenet(cfg: CfgNode) -> ClassificationData:
    """`DATA.ROOT`/imagenet with train/<class>/ and val/<class>/."""
    root = check_root(cfg.DATA.ROOT, lambda root: holds_class_tree(root / "imagenet"), "imagenet/")
    return read_class_tree(root / "imagenet", "imagenet", test_names=("val",))


@register_data("tiny_imagenet", task="classification")
def load_tiny_imagenet(cfg: CfgNode) -> ClassificationData:
    """`DATA.ROOT`/tiny-imagenet-200 as it is unpacked; its validation images, since its test images have no labels."""
    name = "tiny-imagenet-200"
    root = check_root(cfg.DATA.ROOT, lambda root: holds_class_tree(root / name), f"{name}/") / name
    if not (root / "train").is_dir():
        raise UserError(
            f"{absolute(root / 'train')}: folder not found; unpack tiny-imagenet-200.zip in {cfg.DATA.ROOT}, or set "
            "DATA.ROOT"
        )
    numbers = number_classes(root / "train")
    return ClassificationData(
        "tiny_imagenet",
        str(root),
        read_split(root / "train", numbers),
        _annotated_images(root / "val", numbers),
        original_ids={number: name for name, number in numbers.items()},
    )


def _annotated_images(split: Path, numbers: dict[str, int]) -> list[ImageRecord]:
    """The images that val_annotations.txt lists, a line each: file name, class and box, separated by tabs."""
    table = require_file(split / "val_annotations.txt", "the list of classes", "unpack tiny-imagenet-200.zip again")
    records = []
    for line, text in enumerate(table.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        name, _, rest = text.partition("\t")
        label = rest.split("\t")[0]
        if label not in numbers:
            raise UserError(f"{table}: line {line}: {label!r} is none of the {len(numbers)} classes of train/")
        path = split / "images" / name
        if not path.is_file():
            raise UserError(f"{absolute(path)}: image not found; line {line} of {table.name} names it")
        records.append(ImageRecord.of_class(str(path), numbers[label]))
    if not records:
        raise UserError(f"{table}: lists no images; unpack tiny-imagenet-200.zip again")
    return records
