"""Classification metrics, one file each: functions of the four numbers kept of each image.

To add one: a file here with a function like those beside it, decorated with `register_measure`. It is computed of every
split, and stands in metrics files and tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reid_dml.classification.statistics import SampleStatistics
from reid_dml.registry import Registry

OfSamples = Callable[[SampleStatistics], float]


@dataclass(frozen=True)
class Measure:
    """A metric of one network on one split."""

    of_samples: OfSamples
    title: str  # of its column in tables
    share: bool  # a fraction in [0, 1], shown in percent; else nats
    of_train: bool  # whether tables show it of the training images, too
    order: int


MEASURES: Registry[Measure] = Registry("classification metric", __name__)


def register_measure(
    name: str, *, title: str = "", share: bool = True, of_train: bool = False, order: int = 10
) -> Callable[[OfSamples], OfSamples]:
    """Make a function from the statistics of the images to a number known as a metric.

    Where it raises an error, or gives anything but one finite number, the metric is left out with a warning.

    Args:
        name: its key in metrics files.
        title: of its column in tables; empty: the name.
        share: a fraction in [0, 1], shown in percent; else nats.
        of_train: show it of the training images, too.
        order: of the columns; equal ones by name.
    """

    def register(of_samples: OfSamples) -> OfSamples:
        MEASURES.register(name)(Measure(of_samples, title or name, share, of_train, order))
        return of_samples

    return register


def all_measures() -> dict[str, Measure]:
    """Every metric by name, in the order of their columns."""
    return dict(sorted(MEASURES.entries().items(), key=lambda entry: (entry[1].order, entry[0])))
