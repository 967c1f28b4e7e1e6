"""CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009)."""

from __future__ import annotations

from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.records import ClassificationData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.class_folders import read_class_tree


@register_data("cifar10", task="classification")
@register_data("cifar100", task="classification")
def load_cifar(cfg: CfgNode) -> ClassificationData:
    """The class folders `DATA.ROOT`/cifar10 or cifar100: the same images, split by whoever made the folders."""
    name = cfg.DATA.NAME
    return read_class_tree(Path(cfg.DATA.ROOT) / name, f"{name} (unofficial split)")
