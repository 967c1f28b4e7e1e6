"""Which table shows the metrics of which task."""

from __future__ import annotations

from reid_dml.reporting.classification_table import CLASSIFICATION
from reid_dml.reporting.retrieval_table import RETRIEVAL
from reid_dml.reporting.tables import MetricsTable

TABLES: dict[str, MetricsTable] = {"retrieval": RETRIEVAL, "classification": CLASSIFICATION}
