"""What runs will take: seconds of training, from the records of runs on the same machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

from reid_dml.models.summary import summarize
from reid_dml.paper.records import Record


class Pace:
    """Seconds of training that runs will take on a device, from records of runs on it."""

    def __init__(self, records: Iterable[Record], device: str, scale: str) -> None:
        """From the records of this device (in words) and scale; the others are left aside."""
        self._of: dict[str, float] = {}  # seconds of one network's step, by the network's name
        alike = [record for record in records if (record["device"], record["scale"]) == (device, scale)]
        one_kind = defaultdict(list)
        for record in alike:
            networks = record["networks"]
            if record["steps"] and len(set(networks)) == 1:
                one_kind[networks[0]].append(record["wall_seconds"] / record["steps"] / len(networks))
        self._of = {name: median(values) for name, values in one_kind.items()}

    def seconds(self, networks: Sequence[str], steps: int, size: tuple[int, int], classes: int = 100) -> float | None:
        """Seconds of a run, networks without a record by their multiply-accumulate operations; None: nothing is known.

        Args:
            networks: of the cohort.
            steps: of the run.
            size: height and width of the inputs.
            classes: rows of the heads.
        """
        if not self._of:
            return None
        total = 0.0
        for name in networks:
            if name not in self._of:
                macs = summarize(name, size, classes).macs
                ratios = [own / summarize(known, size, classes).macs for known, own in list(self._of.items())]
                self._of[name] = median(ratios) * macs
            total += self._of[name]
        return total * steps
