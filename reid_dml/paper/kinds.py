"""What a table or figure of a paper is: of which runs it is made, and what was published in its cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reid_dml.shipped import SCALES


@dataclass(frozen=True)
class Row:
    """One line of a table: a network of a run, or the mean of all of its networks."""

    label: str
    experiment: str  # empty: somebody else's method
    network: int | str = "mean"  # index, "mean" or "ensemble"
    # By paper, by column; percent, entropies in nats.
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    control: int | None = None  # place in the table of the row that this one is to beat
    scales: tuple[str, ...] = SCALES


@dataclass(frozen=True)
class Table:
    """A table, or numbers that stand in the text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Series:
    """One curve of a sweep."""

    label: str
    points: tuple[tuple[float, str, str], ...]  # x, experiment, what of it: see `records.value`


@dataclass(frozen=True)
class Sweep:
    """A figure of end results over something that differs between runs."""

    title: str
    x_label: str
    column: str
    series: tuple[Series, ...]
    over_networks: bool = False  # error bars are the spread of a cohort's networks; else of the seeds


@dataclass(frozen=True)
class Curves:
    """A figure of something over the steps of runs."""

    title: str
    quantities: tuple[str, ...]  # of `recorded_curves`, a figure each
    runs: Mapping[str, str]  # experiments by what the legend calls them
    column: str = ""  # of the tables, whose end results are compared below; empty: none


@dataclass(frozen=True)
class Posterior:
    """A figure of how runs spread their probability over the classes of the training images."""

    title: str
    runs: Mapping[str, str]  # experiments by what the legend calls them


@dataclass(frozen=True)
class Analysis:
    """A figure that `reid-dml analyse` draws from the trained networks."""

    title: str
    command: str
    experiments: tuple[str, ...]


@dataclass(frozen=True)
class Parameters:
    """Table 1: the networks' own numbers of parameters, for which nothing is run."""

    title: str = "Table 1: parameters with 100 classes"


Artifact = Parameters | Table | Sweep | Curves | Posterior | Analysis
