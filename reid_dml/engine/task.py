"""What a data set is for: how its networks are judged. One task so far: retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from yacs.config import CfgNode

from reid_dml.data.records import ImageRecord
from reid_dml.data.sets import load_data
from reid_dml.models import ReIDNetwork
from reid_dml.retrieval.features import FeatureSet
from reid_dml.retrieval.task import RetrievalTask


class Task(Protocol):
    """The contract every task fulfils."""

    features: dict[str, FeatureSet]  # of the last evaluation, for the report

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        ...

    @property
    def class_ids(self) -> Sequence[int]:
        """Label of every row of the heads."""
        ...

    @property
    def train(self) -> Sequence[ImageRecord]:
        """Training images."""
        ...

    def summary(self) -> str:
        """The data in one line."""
        ...

    def training_data(self) -> dict[str, Any]:
        """Contents of classes.json: what must not change while a run goes on."""
        ...

    def evaluate(
        self, networks: Mapping[int, ReIDNetwork], device: str, *, part: int = 0, parts: int = 1
    ) -> dict[str, Any]:
        """Metrics of the whole cohort on process 0, an empty dict elsewhere.

        This is process `part` of the `parts` that hold these same networks.
        """
        ...


def build_task(cfg: CfgNode) -> Task:
    """The task of the data set that `DATA.NAME` names, with its data."""
    return RetrievalTask(cfg, load_data(cfg))
