"""A finished run opened again with its data: what analyses of trained networks start from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.pipeline.sources import label_rows
from reid_dml.data.records import ClassificationData, ImageRecord, ReIDData, evenly_spread
from reid_dml.data.sets import load_data
from reid_dml.data.stored import ImageArrays, ImageFiles, StoredImages
from reid_dml.device import keep_freed_memory, resolve_device
from reid_dml.errors import UserError
from reid_dml.features.extraction import extract_features
from reid_dml.features.feature_set import FeatureSet
from reid_dml.inference.prediction import predict
from reid_dml.models import ReIDNetwork
from reid_dml.runs.folder import RunFolder, run_folders
from reid_dml.runs.networks import load_networks
from reid_dml.runs.sources import classes_hash, head_classes
from reid_dml.threads import use_threads


@dataclass(frozen=True)
class TrainedRun:
    """Networks of a run by index, and its config."""

    name: str
    folder: RunFolder
    cfg: CfgNode
    networks: Mapping[int, ReIDNetwork]
    device: str

    @cached_property
    def data(self) -> ReIDData | ClassificationData:
        """The data set they were trained on. Raises `UserError` for one of other classes than the heads'."""
        data = load_data(self.cfg)
        if not (classes := head_classes(self.folder.path)):
            self.folder.class_names()  # says that the list of them is not there
        if classes != classes_hash(data.class_names):
            raise UserError(
                f"{self.folder.path}: the networks' classes are not those of {data.name} in {data.root}; give the "
                "data set the run was trained on (DATA.ROOT path)"
            )
        return data

    def label(self, index: int) -> str:
        """What figures call a network."""
        return f"{self.name}, network {index}"

    def records(self, split: str) -> list[ImageRecord]:
        """Images of a split: `train`, or `test`, which is query and gallery of a retrieval data set.

        Those of a set of classes carry the name of their class as that of a person.
        """
        if isinstance(self.data, ReIDData):
            return list(self.data.train) if split == "train" else [*self.data.query, *self.data.gallery]
        classes = self.data.original_ids
        images = self.data.train if split == "train" else self.data.test
        return [record._replace(person=classes.get(record.label, "")) for record in images]

    def predictions(
        self, records: Sequence[ImageRecord], keep: Callable[[Tensor, Tensor], Tensor]
    ) -> dict[str, np.ndarray]:
        """What `keep` makes of logits and labels (-1: no class of the heads) of images, by the label of the network."""
        labels = torch.tensor(label_rows(records, self.data.class_ids), dtype=torch.int64).to(self.device)
        found = predict(
            self.networks,
            open_selection(self.cfg, records),
            AugmentSpec.of(self.cfg),
            keep=lambda logits, places: keep(logits, labels[places]),
            device=self.device,
            batch_size=self.cfg.TEST.BATCH_SIZE,
            workers=self.cfg.DATA.WORKERS,
            title=self.name,
        )
        return {self.label(index): values for index, values in found.items()}

    def labelled(self, split: str, count: int = 0) -> list[ImageRecord]:
        """Labelled images of the training split, all of another; only so many, evenly spread, unless `count` is 0."""
        records = self.records(split)
        if split == "train":
            records = [records[row] for row in self.data.labelled_rows]
        return some_of(records, count)

    def features(self, records: Sequence[ImageRecord]) -> dict[str, FeatureSet]:
        """Pooled features of images by the label of the network."""
        found = extract_features(
            self.networks,
            open_selection(self.cfg, records),
            AugmentSpec.of(self.cfg),
            title=self.name,
            device=self.device,
            batch_size=self.cfg.TEST.BATCH_SIZE,
            workers=self.cfg.DATA.WORKERS,
        )
        return {self.label(index): FeatureSet.of(values, records) for index, values in found.items()}


def some_of(records: Sequence[ImageRecord], count: int) -> list[ImageRecord]:
    """So many of some images, evenly spread; all of them if `count` is 0 or there are no more."""
    return [records[row] for row in evenly_spread(len(records), count or len(records))]


def open_runs(
    paths: Sequence[str | os.PathLike[str]], options: Sequence[str] = (), *, with_data: bool = True
) -> list[TrainedRun]:
    """Finished runs, by the names of their folders.

    Args:
        paths: run folders, or model folders.
        options: `KEY VALUE ...` that override those they were trained with.
        with_data: whether their data sets will be needed: said now if one is missing, not after the first runs' work.

    Raises:
        UserError: a folder that holds no finished run, a data set that is missing or has other classes than the heads,
            and two folders of one name.
    """
    keep_freed_memory()
    runs: list[TrainedRun] = []
    for name, folder in run_folders(paths, options).items():
        cfg = folder.config(options)
        device = resolve_device(cfg.DEVICE)
        use_threads(cfg.THREADS)
        run = TrainedRun(name, folder, cfg, load_networks(cfg, folder.path, device), device)
        if with_data:
            _ = run.data
        runs.append(run)
    return runs


def open_selection(cfg: CfgNode, records: Sequence[ImageRecord]) -> StoredImages:
    """Some images of a data set, read from their files: too few to decode a whole split for them."""
    if records and records[0].pixels is not None:
        return ImageArrays(records, cfg.DATA.STORED_SIZE)
    return ImageFiles(records, cfg.DATA.STORED_SIZE, cfg.DATA.PIXEL_LIMIT)
