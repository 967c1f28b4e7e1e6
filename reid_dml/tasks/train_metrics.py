"""What networks make of the labelled training images (`TEST.TRAIN_ACCURACY`), the same for every task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from reid_dml.classification.metrics import classification_metrics
from reid_dml.classification.posterior import posterior_columns
from reid_dml.classification.statistics import SampleStatistics, sample_statistics
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.pipeline.cache import open_images
from reid_dml.data.pipeline.sources import label_rows
from reid_dml.data.records import TrainingData
from reid_dml.inference.prediction import predict
from reid_dml.inference.rows import gather_rows, shard_rows
from reid_dml.models import ReIDNetwork

_WIDTH = len(SampleStatistics._fields)


def train_metrics(
    cfg: CfgNode,
    data: TrainingData,
    networks: Mapping[int, ReIDNetwork],
    device: str,
    *,
    shard: int = 0,
    shards: int = 1,
) -> dict[int, dict[str, Any]]:
    """Metrics of the posteriors on the labelled training images, without augmentation.

    Args:
        cfg: the config.
        data: whose training images are meant.
        networks, device, shard, shards: as for `Task.evaluate`.

    Returns:
        On process 0 by network: every classification metric by name and, as `posterior`, the mean probability of the
        five top-ranked classes, the true one first (CVPR, Fig. 4c). Elsewhere it is empty.
    """
    images = open_images(cfg, data.train, "train").at(data.labelled_rows)
    rows = shard_rows(len(images), cfg.TEST.BATCH_SIZE, shard, shards)
    own = images.at(rows)
    labels = torch.tensor(label_rows(own.records, data.class_ids), dtype=torch.int64).to(device)
    found = predict(
        networks,
        own,
        AugmentSpec.of(cfg),
        keep=lambda logits, places: _columns(logits, labels[places]),
        title="train",
        device=device,
        batch_size=cfg.TEST.BATCH_SIZE,
        workers=cfg.DATA.WORKERS,
    )
    return {index: _metrics(columns) for index, columns in gather_rows(found, rows, len(images)).items()}


def _columns(logits: Tensor, labels: Tensor) -> Tensor:
    """Statistics and ranked posterior of every image; whole posteriors of ImageNet's training images fill a disk."""
    return torch.cat([sample_statistics(logits, labels), posterior_columns(logits, labels)[:, :-1]], dim=1)


def _metrics(columns: np.ndarray) -> dict[str, Any]:
    statistics, ranked = columns[:, :_WIDTH], columns[:, _WIDTH:]
    return {
        **classification_metrics(SampleStatistics.of(statistics)),
        "posterior": ranked.mean(0, dtype=np.float64).tolist(),
    }
