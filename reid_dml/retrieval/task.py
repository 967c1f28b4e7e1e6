"""Person retrieval: evaluating a cohort on a data set, single-query, multi-query and as an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from yacs.config import CfgNode

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.records import ImageRecord, ReIDData
from reid_dml.models import ReIDNetwork
from reid_dml.processes import gather_objects, rank
from reid_dml.retrieval.ensemble import concatenate_features
from reid_dml.retrieval.extraction import extract_features, extract_shared, identity_accuracy
from reid_dml.retrieval.features import FeatureSet
from reid_dml.retrieval.scoring import score

SPLITS = ("query", "gallery", "boxes")


@dataclass
class RetrievalTask:
    """A data set with the protocols it is evaluated by."""

    cfg: CfgNode
    data: ReIDData
    # Features of the last evaluation's ensemble by split, for ranked lists.
    features: dict[str, FeatureSet] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        return self.data.name

    @property
    def class_ids(self) -> list[int]:
        return self.data.class_ids

    @property
    def train(self) -> Sequence[ImageRecord]:
        return self.data.train

    def summary(self) -> str:
        return (
            f"{self.data.name}: {len(self.train):,} training images of {len(self.class_ids):,} persons, "
            f"{len(self.data.query):,} queries, {len(self.data.gallery):,} gallery images"
        )

    def training_data(self) -> dict[str, Any]:
        return self.data.training_summary()

    def evaluate(self, networks: Mapping[int, ReIDNetwork], device: str, *, shared: bool = False) -> dict[str, Any]:
        """Extract features and judge every network and the ensemble on process 0.

        Args:
            networks: this process's networks by their index in the cohort; every process has its own, or, with
                `shared`, all have the same and share out the images.
            device: where the networks are.

        Returns:
            On process 0 {"networks": [metrics of each], "mean", "sd", "ensemble"}, each in the layout of metrics
            files; mean and sd (of the sample) are over the networks and, like the ensemble, absent for one network.
            An empty dict elsewhere.
        """
        options = {
            "stored_size": self.cfg.DATA.STORED_SIZE,
            "device": device,
            "batch_size": self.cfg.TEST.BATCH_SIZE,
            "workers": self.cfg.DATA.WORKERS,
        }
        spec = AugmentSpec.of(self.cfg)
        records = {split: getattr(self.data, split) for split in SPLITS}
        if self.cfg.TEST.MULTI_QUERY == "none" or self.cfg.DATA.CAMERAS == "ignore":
            records["boxes"] = ()  # without cameras, the boxes of a person would hold its gallery images too
        extract = extract_shared if shared else extract_features
        found: dict[int, dict[str, Any]] = {index: {} for index in networks}
        for split, images in records.items():
            if images:
                for index, features in extract(networks, images, spec, title=split, **options).items():
                    found[index][split] = features
        if self.cfg.TEST.TRAIN_ACCURACY:
            for index, share in identity_accuracy(networks, self.train, self.class_ids, spec, **options).items():
                found[index]["accuracy"] = share
        if not shared:
            found = {index: own for part in gather_objects(found) for index, own in part.items()}
        return self._judge(found, records) if rank() == 0 else {}

    def _judge(self, found: dict[int, dict[str, Any]], records: dict[str, Sequence[ImageRecord]]) -> dict[str, Any]:
        order = sorted(found)
        results: dict[str, Any] = {"networks": []}
        for index in order:
            sets = self._feature_sets([found[index]], records)
            metrics = self._score(sets)
            if "accuracy" in found[index]:
                metrics["classification"] = {"train": {"top1": found[index]["accuracy"]}}
            results["networks"].append(metrics)
        self.features = sets
        if len(order) > 1:
            results["mean"] = _combine(results["networks"], lambda values: float(np.mean(values)))
            results["sd"] = _combine(results["networks"], lambda values: float(np.std(values, ddof=1)))
            self.features = self._feature_sets([found[index] for index in order], records)
            results["ensemble"] = self._score(self.features)
        return results

    def _score(self, sets: Mapping[str, FeatureSet]) -> dict[str, Any]:
        return score(sets, pooling=self.cfg.TEST.MULTI_QUERY)

    def _feature_sets(
        self, members: Sequence[dict[str, np.ndarray]], records: dict[str, Sequence[ImageRecord]]
    ) -> dict[str, FeatureSet]:
        """Each split's features of one or several networks, rows of length 1."""
        return {
            split: FeatureSet.of(concatenate_features([m[split] for m in members], how=self.cfg.TEST.ENSEMBLE), images)
            for split, images in records.items()
            if images
        }


def _combine(values: Sequence[Any], reduce) -> Any:
    """Reduce nested metrics of equal layout, number by number; counts that agree stay what they are."""
    first = values[0]
    if isinstance(first, dict):
        return {key: _combine([value[key] for value in values], reduce) for key in first}
    if isinstance(first, list):
        return [_combine(list(column), reduce) for column in zip(*values, strict=True)]
    return first if isinstance(first, int) else reduce(values)
