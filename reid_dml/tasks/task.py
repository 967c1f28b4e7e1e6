"""What a data set is for: how its networks are judged, and how that is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from yacs.config import CfgNode

from reid_dml.data.records import TrainingData
from reid_dml.data.sets import load_data, task_of
from reid_dml.models import ReIDNetwork
from reid_dml.reporting.sections import Section
from reid_dml.reporting.tables import MetricsTable
from reid_dml.tasks.classification import ClassificationTask
from reid_dml.tasks.retrieval import RetrievalTask


class Task(Protocol):
    """The contract every task fulfils."""

    @property
    def kind(self) -> str:
        """Its name in `TASKS`, which run records carry."""
        ...

    @property
    def table(self) -> MetricsTable:
        """How its metrics are shown."""
        ...

    @property
    def data(self) -> TrainingData:
        """The data set."""
        ...

    @property
    def uses_heads(self) -> bool:
        """Whether an evaluation asks the networks for classes of the training split."""
        ...

    def summary(self) -> str:
        """The data in one line."""
        ...

    def prepare(self) -> None:
        """Decode what an evaluation will read, so that a damaged image is refused before the training."""
        ...

    def evaluate(
        self, networks: Mapping[int, ReIDNetwork], device: str, *, part: int = 0, parts: int = 1
    ) -> dict[str, Any]:
        """Metrics of the whole cohort on process 0, an empty dict elsewhere.

        This is process `part` of the `parts` that hold these same networks.
        """
        ...

    def sections(self, metrics: Mapping[str, Any]) -> list[Section]:
        """What the report shows of the last evaluation besides the table."""
        ...


TASKS: dict[str, Callable[[CfgNode, Any], Task]] = {task.kind: task for task in (RetrievalTask, ClassificationTask)}
TABLES: dict[str, MetricsTable] = {task.kind: task.table for task in (RetrievalTask, ClassificationTask)}


def build_task(cfg: CfgNode) -> Task:
    """The task of the data set that `DATA.NAME` names, with its data."""
    return TASKS[task_of(cfg)](cfg, load_data(cfg))
