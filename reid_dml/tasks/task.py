"""What a data set is for: how networks are evaluated on it. Data only; drawing is `analysis` and `reporting`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from yacs.config import CfgNode

from reid_dml.data.records import TrainingData
from reid_dml.data.sets import load_data, task_of
from reid_dml.models import ReIDNetwork
from reid_dml.tasks.classification import ClassificationTask
from reid_dml.tasks.retrieval import RetrievalTask


class Evaluation(Protocol):
    """What an evaluation found; the task's own kind also holds what drawing it needs."""

    @property
    def metrics(self) -> dict[str, Any]:
        """Of the whole cohort, in the layout of metrics files; empty on all processes but the first."""
        ...


class Task(Protocol):
    """The contract every task fulfils."""

    @property
    def kind(self) -> str:
        """Its name in `TASKS`, which run records carry."""
        ...

    @property
    def cfg(self) -> CfgNode:
        """The config, whose `TEST` says how to evaluate."""
        ...

    @property
    def data(self) -> TrainingData:
        """The data set."""
        ...

    @property
    def tested(self) -> bool:
        """Whether there is anything to evaluate on; a data set may be there to train on only."""
        ...

    @property
    def uses_heads(self) -> bool:
        """Whether an evaluation asks the networks for classes of the training split."""
        ...

    def summary(self) -> str:
        """The data in one line."""
        ...

    def test_summary(self) -> str:
        """What is evaluated on, in a few words."""
        ...

    def prepare(self) -> None:
        """Decode what an evaluation will read, so that a damaged image is refused before the training."""
        ...

    def evaluate(
        self, networks: Mapping[int, ReIDNetwork], device: str, *, shard: int = 0, shards: int = 1
    ) -> Evaluation:
        """Evaluate the whole cohort; what was found is on process 0.

        Args:
            networks: this process's networks by their index in the cohort.
            device: where the networks are.
            shard, shards: of the processes that hold these same networks, which this is and how many there are: they
                share out the images.
        """
        ...

    def headline(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """The few numbers by name that stand for the metrics of one network, or of the ensemble."""
        ...


TASKS: dict[str, Callable[[CfgNode, Any], Task]] = {task.kind: task for task in (RetrievalTask, ClassificationTask)}


def build_task(cfg: CfgNode, *, training: bool = True) -> Task:
    """The task of the data set that `DATA.NAME` names, with its data.

    Args:
        cfg: the config.
        training: False: to evaluate only, for which it needs no training images unless their accuracy is asked for.
    """
    kind = TASKS[task_of(cfg)]
    return kind(cfg, load_data(cfg, training=training or cfg.TEST.TRAIN_ACCURACY))
