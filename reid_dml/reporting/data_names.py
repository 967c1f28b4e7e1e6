"""What pages call the data of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reid_dml.data.sets.protocol import with_protocol


def data_of(record: Mapping[str, Any]) -> str:
    """The data set of a run's metrics and how it was read, and the one it was trained on where that is another."""
    tested = with_protocol(record["dataset"], record.get("protocol", {}))
    return f"{tested}, trained on {record['trained_on']}" if record.get("trained_on") else tested
