"""Numbers as cells of tables, and such tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def percent(value: float | None) -> str:
    """A fraction as a cell; empty where it was not measured."""
    return "" if value is None else f"{100 * value:.2f}"


def nats(value: float | None) -> str:
    """An entropy or a loss as a cell; empty where it was not measured."""
    return "" if value is None else f"{value:.4f}"


def with_sd(mean: str, sd: str) -> str:
    """`mean ± sd` of their cells; the mean alone where it has no deviation, empty where there is no mean."""
    return f"{mean} ± {sd}" if mean and sd else mean


def rank_cells(curve: Sequence[float]) -> list[str]:
    """Rank-1, rank-5 and rank-10 of a CMC, which ends at the size of a small gallery and is flat from there."""
    return [percent(curve[min(rank, len(curve)) - 1]) for rank in (1, 5, 10)]


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table of cells in Markdown, header first."""
    header, *body = rows
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join("---" for _ in header) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return "\n".join(lines) + "\n"
