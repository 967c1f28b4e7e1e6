"""report.html: one self-contained page about a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from reid_dml.cohort_metrics import indices_of
from reid_dml.files import write_text
from reid_dml.report_page.sections import Section
from reid_dml.reporting.data_names import data_of
from reid_dml.reporting.tables import (
    MetricsTable,
    ReferenceRow,
    columns_first,
    network_labels,
    without_empty_columns,
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1d2129; background: #fff; margin: 2rem auto; max-width: 1160px;
  padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; margin-bottom: .2rem; }} h2 {{ font-size: 1.15rem; margin-top: 2.2rem; }}
.facts {{ color: #555; margin-top: 0; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }}
th, td {{ padding: .3rem .5rem; text-align: right; border-bottom: 1px solid #e3e5e8; vertical-align: bottom; }}
th:first-child, td:first-child {{ text-align: left; min-width: 11rem; }}
td:first-child {{ overflow-wrap: anywhere; }}
tr.published td, tr.control td {{ color: #666; font-style: italic; }}
@media (max-width: 900px) {{
  thead {{ display: none; }}
  tr {{ display: block; padding: .5rem 0; border-bottom: 1px solid #e3e5e8; }}
  td {{ display: flex; justify-content: space-between; border: 0; padding: .1rem 0; }}
  td:first-child {{ display: block; font-weight: 600; }}
  td:empty {{ display: none; }}
  td:not(:first-child)::before {{ content: attr(data-column); color: #555; font-style: normal; }}
}}
.plots {{ display: flex; flex-wrap: wrap; gap: 1rem; }} .plots svg {{ width: 500px; max-width: 100%; height: auto; }}
h3 {{ font-size: 1rem; margin: 1.4rem 0 .2rem; }}
.list {{ display: flex; flex-wrap: wrap; gap: 6px; margin-bottom: .9rem; }}
figure {{ margin: 0; flex: none; width: 84px; }}
figcaption {{ font-size: 10.5px; line-height: 1.25; color: #444; text-align: center; }}
figure img {{ display: block; width: 64px; height: 128px; border: 4px solid; margin: 0 auto; }}
.query img {{ border-color: #4a5568; }} .query {{ margin-right: 8px; }}
.unknown img {{ border-color: #9aa0a6; }}
.right img {{ border-color: #1a9a3c; }} .wrong img {{ border-color: #d92b2b; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="facts">{facts}</p>
{control}
<h2>{table_title}</h2>
{table}
{notes}
{sections}
</body>
</html>
"""


class Control(NamedTuple):
    """A run that differs in the one thing that is studied: its record, and where its page is."""

    record: Mapping[str, Any]
    link: str

    @property
    def label(self) -> str:
        """What its row is called."""
        mean = ", mean of the networks" if "mean" in self.record["metrics"] else ""
        return f"control: {self.record['experiment']}{mean}"


def write_report(
    path: Any,
    record: Mapping[str, Any],
    table: MetricsTable,
    sections: Sequence[Section],
    references: Sequence[ReferenceRow] = (),
    control: Control | None = None,
) -> None:
    """Write the page.

    Args:
        path: file to write.
        record: a run record (result.json), or the part of it that is known.
        table: how the task shows its metrics.
        sections: what stands below the table.
        references: published rows to show beside ours.
        control: another run to show and link beside this one.
    """
    metrics = record["metrics"]
    labels = network_labels(record["networks"], indices_of(metrics))
    rows = table.rows(metrics, labels, references)
    below = len(references)
    if control:
        found = control.record["metrics"]
        rows.insert(len(rows) - below, [control.label, *table.cells(found.get("mean", found["networks"][0]))])
    rows = columns_first(without_empty_columns(rows), table.first)
    page = _PAGE.format(
        title=escape(record["experiment"]),
        facts=escape(_facts(record)),
        table_title=escape(table.title),
        table=_table(rows, published=below, control=bool(control)),
        control=_control_line(control) if control else "",
        notes="".join(f"<p>{escape(note)}.</p>" for note in table.notes(metrics)),
        sections="\n".join(f"<h2>{escape(section.title)}</h2>\n{section.html}" for section in sections),
    )
    write_text(path, page)


def _facts(record: Mapping[str, Any]) -> str:
    facts = [" + ".join(record["networks"]), f"on {data_of(record)}"]
    if "steps" in record:
        objective = record["objective"]
        facts += [
            f"objective {objective['strategy']}",
            f"{record['update']} updates",
            f"{record['steps']:,} steps",
            f"seed {record['seed']}",
            f"trained in {record['wall_seconds'] / 60:.1f} min",
            f"scale {record['scale']}",
        ]
    facts += [record["device"], ", ".join(f"{name} {version}" for name, version in record["versions"].items())]
    return " · ".join(facts)


def _control_line(control: Control) -> str:
    link, name = escape(control.link, quote=True), escape(control.record["experiment"])
    return f'<p>Control run, for comparison: <a href="{link}">{name}</a> ({escape(_facts(control.record))}).</p>'


def _table(rows: Sequence[Sequence[str]], *, published: int, control: bool) -> str:
    """The table; every cell names its column, for pages too narrow for a table."""
    header, *body = rows

    def line(cells: Sequence[str], kind: str) -> str:
        label, *values = (escape(cell) for cell in cells)
        named = zip(header[1:], values, strict=True)
        rest = "".join(f'<td data-column="{escape(column, quote=True)}">{value}</td>' for column, value in named)
        return f"<tr{kind}><td>{label}</td>{rest}</tr>"

    own = len(body) - published - control
    kinds = [""] * own + [' class="control"'] * control + [' class="published"'] * published
    lines = "".join(line(row, kind) for row, kind in zip(body, kinds, strict=True))
    head = "".join(f"<th>{escape(cell).replace('-', '&#8209;')}</th>" for cell in header)  # a hyphen that stays
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
