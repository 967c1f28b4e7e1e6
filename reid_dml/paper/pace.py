"""What runs will take: seconds of training, from the records of runs on the same machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

from reid_dml.models.summary import summarize
from reid_dml.paper.records import Record

_CLASSES = 100  # of the heads, which are a small part of the operations


class Pace:
    """Seconds of training that runs will take on a device, from records of runs on it."""

    def __init__(self, records: Iterable[Record], device: str, scale: str, dataset: str) -> None:
        """From the records of one device, scale and data set: with inputs and batches of one size.

        Args:
            records: of any runs; those of others are left aside.
            device: in words.
            scale: of the recipes.
            dataset: its name.
        """
        wanted = (device, scale, dataset)
        alike = [one for one in records if (one["device"], one["scale"], one["dataset"]) == wanted]
        one_kind = defaultdict(list)
        for record in alike:
            networks = record["networks"]
            if record["steps"] and len(set(networks)) == 1:
                one_kind[networks[0]].append(record["wall_seconds"] / record["steps"] / len(networks))
        # Seconds of one network's step, by the network's name.
        self._measured = {name: median(values) for name, values in one_kind.items()}

    def seconds(self, networks: Sequence[str], steps: int, size: tuple[int, int]) -> float | None:
        """Seconds of a run, networks without a record by their multiply-accumulate operations; None: nothing is known.

        Args:
            networks: of the cohort.
            steps: of the run.
            size: height and width of the inputs.
        """
        if not self._measured:
            return None

        def of_one(name: str) -> float:
            if name in self._measured:
                return self._measured[name]
            ratios = [own / summarize(known, size, _CLASSES).macs for known, own in self._measured.items()]
            return median(ratios) * summarize(name, size, _CLASSES).macs

        return steps * sum(map(of_one, networks))
