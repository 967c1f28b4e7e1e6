"""Person retrieval: evaluating a cohort on a data set, single-query, multi-query and as an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from yacs.config import CfgNode

from reid_dml.cohort_metrics import ensembles, with_mean_and_sd
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.pipeline.cache import open_images
from reid_dml.data.records import JUNK, UNKNOWN_CAMERA, ImageRecord, ReIDData
from reid_dml.errors import UserError
from reid_dml.features.ensemble import concatenate_features
from reid_dml.features.extraction import extract_features
from reid_dml.features.feature_set import FeatureSet
from reid_dml.inference.rows import gather_rows, shard_rows
from reid_dml.inference.speed import Speed, log_speed
from reid_dml.models import ReIDNetwork
from reid_dml.processes import rank, world_size
from reid_dml.ranking.scoring import ScoringOptions, score
from reid_dml.tasks.train_metrics import train_metrics
from reid_dml.timing import stage

SPLITS = ("query", "gallery", "boxes")


@dataclass(frozen=True)
class RetrievalEvaluation:
    """Metrics, and the features by split of the ensemble, or of the only network."""

    metrics: dict[str, Any] = field(default_factory=dict)
    features: Mapping[str, FeatureSet] = field(default_factory=dict)


@dataclass
class RetrievalTask:
    """A data set with the protocols it is evaluated by."""

    kind: ClassVar[str] = "retrieval"

    cfg: CfgNode
    data: ReIDData

    def __post_init__(self) -> None:
        # Asked now, so that an evaluation does not fail after hours of training.
        if not self.tested:
            return
        count, expand = sum(record.person_id != JUNK for record in self.data.gallery), self.cfg.TEST.EXPAND
        if expand > count:
            raise UserError(
                f"TEST.EXPAND: {expand} is more than the {count:,} gallery images of {self.data.name} without junk; "
                "lower it"
            )

    @property
    def tested(self) -> bool:
        """Whether there is anything to evaluate on; a data set may be there to train on only."""
        return bool(self.data.query)

    @property
    def uses_heads(self) -> bool:
        return self.cfg.TEST.TRAIN_ACCURACY

    def summary(self) -> str:
        trained = self.data.describe_training("persons")
        if self.data.trained_on:
            return f"{self.data.trained_on}: {trained}; {self.data.name}: {self.test_summary()}"
        return f"{self.data.name}: {trained}, {self.test_summary()}"

    def test_summary(self) -> str:
        return f"{len(self.data.query):,} queries, {len(self.data.gallery):,} gallery images"

    def prepare(self) -> None:
        for split, records in self._splits().items():
            open_images(self.cfg, records, split)

    def evaluate(
        self, networks: Mapping[int, ReIDNetwork], device: str, *, shard: int = 0, shards: int = 1
    ) -> RetrievalEvaluation:
        """Extract features and evaluate every network and the ensemble on process 0.

        Args:
            networks: this process's networks by their index in the cohort.
            device: where the networks are.
            shard, shards: of the processes that hold these same networks, which this is and how many there are: they
                share out the images.

        Returns:
            On process 0 with the metrics {"networks": [those of each], "mean", "sd", "ensemble"}, each in the layout
            of metrics files; mean and sd (of the sample) are over the networks and, like the ensemble, absent for one
            network. With `TEST.ENSEMBLE_SIZES` there are also "ensembles", by size, and "indices" where these are not
            the first networks of their cohort. Elsewhere it is empty.
        """
        batch_size = self.cfg.TEST.BATCH_SIZE
        options = {"device": device, "batch_size": batch_size, "workers": self.cfg.DATA.WORKERS}
        spec = AugmentSpec.of(self.cfg)
        records = self._splits()
        features: dict[str, dict[int, np.ndarray]] = {}
        speed = Speed()
        for split in records:
            images = open_images(self.cfg, records[split], split)
            rows = shard_rows(len(images), batch_size, shard, shards)
            with stage(f"features of {split}"):
                own = extract_features(networks, images.at(rows), spec, title=split, speed=speed, **options)
            features[split] = gather_rows(own, rows, len(images))
        log_speed(speed, copies=world_size() // shards)
        train: dict[int, dict[str, Any]] = {}
        if self.cfg.TEST.TRAIN_ACCURACY:
            train = train_metrics(self.cfg, self.data, networks, device, shard=shard, shards=shards)
        return self._evaluate(features, train, records, device) if rank() == 0 else RetrievalEvaluation()

    def headline(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        single = metrics["single_query"]
        return {"mAP": single["mAP"], "rank-1": single["cmc"][0]}

    def _splits(self) -> dict[str, Sequence[ImageRecord]]:
        """The records of every split that is evaluated."""
        records: dict[str, Sequence[ImageRecord]] = {split: getattr(self.data, split) for split in SPLITS}
        if self._no_multi_query():
            records["boxes"] = ()
        return {split: found for split, found in records.items() if found}

    def _no_multi_query(self) -> str:
        """Why multi-query is not run although there may be images for it; empty if nothing speaks against it."""
        if self.cfg.TEST.MULTI_QUERY == "none":
            return "switched off (TEST.MULTI_QUERY none)"
        # Without cameras, the boxes of a person would hold its gallery images too.
        if self.cfg.DATA.CAMERAS == "ignore" or all(r.camera_id == UNKNOWN_CAMERA for r in self.data.query):
            return "it needs the queries' cameras, which are not known"
        return ""

    def _evaluate(
        self,
        features: dict[str, dict[int, np.ndarray]],
        train: Mapping[int, Mapping[str, Any]],
        records: dict[str, Sequence[ImageRecord]],
        device: str,
    ) -> RetrievalEvaluation:
        order, protocols = sorted(features["query"]), self._protocols(device)
        networks = {}
        for index in order:
            metrics = score(self._feature_sets(features, [index], records), protocols)
            if index in train:
                metrics["classification"] = {"train": train[index]}
            networks[index] = metrics
        results = with_mean_and_sd(networks)
        whole = self._feature_sets(features, order, records)

        def of_ensemble(members: Sequence[int]) -> dict[str, Any]:
            sets = whole if len(members) == len(order) else self._feature_sets(features, members, records)
            return score(sets, protocols)

        results |= ensembles(order, self.cfg.TEST.ENSEMBLE_SIZES, of_ensemble)
        if why := self._no_multi_query():
            results["not_run"] = {"multi_query": why}
        return RetrievalEvaluation(results, whole)

    def _protocols(self, device: str) -> ScoringOptions:
        test = self.cfg.TEST
        return ScoringOptions(
            pooling="mean" if test.MULTI_QUERY == "none" else test.MULTI_QUERY,  # without boxes nothing is pooled
            fpr=test.FPR,
            rerank=(*test.RERANK_K, test.RERANK_LAMBDA) if test.RERANK else None,
            expand=test.EXPAND,
            alpha=test.EXPAND_ALPHA,
            device=device,
        )

    def _feature_sets(
        self,
        features: dict[str, dict[int, np.ndarray]],
        indices: Sequence[int],
        records: dict[str, Sequence[ImageRecord]],
    ) -> dict[str, FeatureSet]:
        """Each split's features of one or several networks, rows of length 1."""
        how = self.cfg.TEST.ENSEMBLE
        return {
            split: FeatureSet.of(concatenate_features([found[index] for index in indices], how=how), records[split])
            for split, found in features.items()
        }
