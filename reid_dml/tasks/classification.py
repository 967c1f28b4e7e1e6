"""Image classification: evaluating a cohort on a test split, each network and the ensemble of their posteriors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from reid_dml.analysis.calibration_sections import calibration_sections
from reid_dml.classification.metrics import (
    CalibrationBins,
    SampleStatistics,
    calibration_bins,
    classification_metrics,
    sample_statistics,
)
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.pipeline.cache import open_images
from reid_dml.data.pipeline.sources import label_rows
from reid_dml.data.records import ClassificationData
from reid_dml.data.stored import StoredImages
from reid_dml.errors import UserError
from reid_dml.inference.forward import shard_rows
from reid_dml.inference.gather import gather_rows
from reid_dml.inference.prediction import predict
from reid_dml.models import ReIDNetwork
from reid_dml.mutual.losses import ensemble_log_probs
from reid_dml.processes import rank
from reid_dml.reporting.classification_table import CLASSIFICATION
from reid_dml.reporting.sections import Section
from reid_dml.reporting.tables import MetricsTable
from reid_dml.tasks.cohort_metrics import with_mean_and_sd


@dataclass
class ClassificationTask:
    """A data set with a test split of the classes that are trained."""

    kind: ClassVar[str] = "classification"
    table: ClassVar[MetricsTable] = CLASSIFICATION

    cfg: CfgNode
    data: ClassificationData
    # Of the last evaluation, by label, for the report.
    bins: dict[str, CalibrationBins] = field(default_factory=dict)

    def __post_init__(self) -> None:
        test = self.cfg.TEST
        for key, wanted in (("RERANK", test.RERANK), ("EXPAND", test.EXPAND), ("FPR", test.FPR)):
            if wanted:
                raise UserError(f"TEST.{key}: is for retrieval, {self.data.name} is a set of classes; leave it out")

    @property
    def uses_heads(self) -> bool:
        return True

    def summary(self) -> str:
        return f"{self.data.name}: {self.data.describe_training('classes')}, {len(self.data.test):,} test images"

    def prepare(self) -> None:
        open_images(self.cfg, self.data.test, "test")

    def evaluate(
        self, networks: Mapping[int, ReIDNetwork], device: str, *, part: int = 0, parts: int = 1
    ) -> dict[str, Any]:
        """Judge every network, and the ensemble by the mean of the posteriors, on process 0.

        The arguments and the layout of the result are those of `RetrievalTask.evaluate`.
        """

        def run(split: str, images: StoredImages, keep: Callable[[Tensor, Tensor], Tensor]) -> dict[int, np.ndarray]:
            rows = shard_rows(len(images), self.cfg.TEST.BATCH_SIZE, part, parts)
            own = images.at(rows)
            found = predict(
                networks,
                own,
                label_rows(own.records, self.data.class_ids),
                AugmentSpec.of(self.cfg),
                keep=keep,
                title=split,
                device=device,
                batch_size=self.cfg.TEST.BATCH_SIZE,
                workers=self.cfg.DATA.WORKERS,
            )
            return gather_rows(found, rows, len(images))

        # Whole posteriors only of the test images, for the ensemble: those of ImageNet's training images fill a disk.
        posteriors = run("test", open_images(self.cfg, self.data.test, "test"), lambda logits, _: logits.log_softmax(1))
        train: dict[int, np.ndarray] = {}
        if self.cfg.TEST.TRAIN_ACCURACY:
            train = run(
                "train", open_images(self.cfg, self.data.train, "train").at(self.data.labelled_rows), sample_statistics
            )
        return self._judge(posteriors, train) if rank() == 0 else {}

    def _judge(self, posteriors: Mapping[int, np.ndarray], train: Mapping[int, np.ndarray]) -> dict[str, Any]:
        log_probs = {index: torch.from_numpy(posteriors[index]) for index in sorted(posteriors)}
        self.bins = {}
        networks = []
        for index, values in log_probs.items():
            found = {"test": self._judge_test(values, f"network {index}")}
            if index in train:
                found = {"train": classification_metrics(SampleStatistics.of(train[index])), **found}
            networks.append({"classification": found})
        results = with_mean_and_sd(networks)
        if len(networks) > 1:
            mean = ensemble_log_probs(list(log_probs.values()))
            results["ensemble"] = {"classification": {"test": self._judge_test(mean, "ensemble")}}
        return results

    def _judge_test(self, log_probs: Tensor, label: str) -> dict[str, float]:
        labels = torch.tensor(label_rows(self.data.test, self.data.class_ids))
        statistics = SampleStatistics.of(sample_statistics(log_probs, labels).numpy())
        self.bins[label] = calibration_bins(statistics.confidence, statistics.rank < 1)
        return classification_metrics(statistics)

    def sections(self, metrics: Mapping[str, Any]) -> list[Section]:
        return calibration_sections(self.bins)
