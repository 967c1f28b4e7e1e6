"""Image classification: evaluating a cohort on a test split, each network and the ensemble of their posteriors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from reid_dml.classification.calibration import CalibrationBins, calibration_bins
from reid_dml.classification.metrics import classification_metrics
from reid_dml.classification.statistics import SampleStatistics, sample_statistics
from reid_dml.cohort_metrics import ensemble_label, ensembles, with_mean_and_sd
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.pipeline.cache import open_images
from reid_dml.data.pipeline.sources import label_rows
from reid_dml.data.records import ClassificationData
from reid_dml.errors import UserError
from reid_dml.inference.prediction import predict
from reid_dml.inference.rows import gather_rows, shard_rows
from reid_dml.models import ReIDNetwork
from reid_dml.mutual.losses import ensemble_log_probs
from reid_dml.processes import rank
from reid_dml.tasks.train_metrics import train_metrics


@dataclass(frozen=True)
class ClassificationEvaluation:
    """Metrics, and the calibration of every network and of the ensemble by label."""

    metrics: dict[str, Any] = field(default_factory=dict)
    bins: Mapping[str, CalibrationBins] = field(default_factory=dict)


@dataclass
class ClassificationTask:
    """A data set with a test split of the classes that are trained."""

    kind: ClassVar[str] = "classification"

    cfg: CfgNode
    data: ClassificationData

    def __post_init__(self) -> None:
        test = self.cfg.TEST
        for key, wanted in (("RERANK", test.RERANK), ("EXPAND", test.EXPAND), ("FPR", test.FPR)):
            if wanted:
                raise UserError(f"TEST.{key}: is for retrieval, {self.data.name} is a set of classes; leave it out")

    @property
    def tested(self) -> bool:
        return True

    @property
    def uses_heads(self) -> bool:
        return True

    def summary(self) -> str:
        return f"{self.data.name}: {self.data.describe_training('classes')}, {self.test_summary()}"

    def test_summary(self) -> str:
        return f"{len(self.data.test):,} test images"

    def prepare(self) -> None:
        open_images(self.cfg, self.data.test, "test")

    def evaluate(
        self, networks: Mapping[int, ReIDNetwork], device: str, *, shard: int = 0, shards: int = 1
    ) -> ClassificationEvaluation:
        """Evaluate every network, and the ensemble by the mean of the posteriors, on process 0.

        Args:
            networks, device, shard, shards: as for `RetrievalTask.evaluate`; so is the layout of the metrics.
        """

        images = open_images(self.cfg, self.data.test, "test")
        rows = shard_rows(len(images), self.cfg.TEST.BATCH_SIZE, shard, shards)
        found = predict(
            networks,
            images.at(rows),
            AugmentSpec.of(self.cfg),
            keep=lambda logits, _: logits.log_softmax(1),  # whole posteriors, which the ensemble needs
            title="test",
            device=device,
            batch_size=self.cfg.TEST.BATCH_SIZE,
            workers=self.cfg.DATA.WORKERS,
        )
        posteriors = gather_rows(found, rows, len(images))
        train: dict[int, dict[str, Any]] = {}
        if self.cfg.TEST.TRAIN_ACCURACY:
            train = train_metrics(self.cfg, self.data, networks, device, shard=shard, shards=shards)
        return self._evaluate(posteriors, train) if rank() == 0 else ClassificationEvaluation()

    def headline(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        return {"top1": metrics["classification"]["test"]["top1"]}

    def _evaluate(
        self, posteriors: Mapping[int, np.ndarray], train: Mapping[int, Mapping[str, Any]]
    ) -> ClassificationEvaluation:
        bins: dict[str, CalibrationBins] = {}

        def test_metrics(log_probs: Tensor, label: str) -> dict[str, float]:
            labels = torch.tensor(label_rows(self.data.test, self.data.class_ids))
            statistics = SampleStatistics.of(sample_statistics(log_probs, labels).numpy())
            bins[label] = calibration_bins(statistics.confidence, statistics.rank < 1)
            return classification_metrics(statistics)

        log_probs = {index: torch.from_numpy(posteriors[index]) for index in sorted(posteriors)}
        networks = {}
        for index, values in log_probs.items():
            found: dict[str, Mapping[str, Any]] = {"test": test_metrics(values, f"network {index}")}
            if index in train:
                found = {"train": train[index], **found}
            networks[index] = {"classification": found}
        results = with_mean_and_sd(networks)

        def of_ensemble(members: Sequence[int]) -> dict[str, Any]:
            label = "ensemble" if len(members) == len(log_probs) else ensemble_label(len(members))
            mean = ensemble_log_probs([log_probs[index] for index in members])
            return {"classification": {"test": test_metrics(mean, label)}}

        results |= ensembles(list(log_probs), self.cfg.TEST.ENSEMBLE_SIZES, of_ensemble)
        return ClassificationEvaluation(results, bins)
