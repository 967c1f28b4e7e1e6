"""report.html: one self-contained page about a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from reid_dml.files import write_text
from reid_dml.reporting.sections import Section
from reid_dml.reporting.tables import MetricsTable, ReferenceRow, network_labels, without_empty_columns

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
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .55rem; text-align: right; border-bottom: 1px solid #e3e5e8; white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
tr.published td {{ color: #666; font-style: italic; }}
.plots {{ display: flex; flex-wrap: wrap; gap: 1rem; }} .plots svg {{ width: 500px; max-width: 100%; height: auto; }}
.list {{ display: flex; gap: 6px; margin-bottom: .7rem; overflow-x: auto; }}
figure {{ margin: 0; flex: none; }}
figcaption {{ font-size: 10.5px; line-height: 1.25; color: #444; text-align: center; }}
figure img {{ display: block; width: 64px; height: 128px; border: 4px solid; margin: 0 auto; }}
.query img {{ border-color: #4a5568; }} .query {{ margin-right: 14px; }}
.right img {{ border-color: #1a9a3c; }} .wrong img {{ border-color: #d92b2b; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="facts">{facts}</p>
<h2>{table_title}</h2>
<div class="wide">{table}</div>
{notes}
{sections}
</body>
</html>
"""


def write_report(
    path: Any,
    record: Mapping[str, Any],
    table: MetricsTable,
    sections: Sequence[Section],
    references: Sequence[ReferenceRow] = (),
    terms: Mapping[str, str] | None = None,
) -> None:
    """Write the page.

    Args:
        path: file to write.
        record: a run record (result.json), or the part of it that is known.
        table: how the task shows its metrics.
        sections: what stands below the table.
        references: published rows to show beside ours.
        terms: titles of the curves of the loss terms, by their names in the log.
    """
    metrics = record["metrics"]
    labels = network_labels(record["networks"], record.get("indices"))
    rows = without_empty_columns(table.rows(metrics, labels, references))
    page = _PAGE.format(
        title=escape(record["experiment"]),
        facts=escape(_facts(record)),
        table_title=escape(table.title),
        table=_table(rows, published=len(references)),
        notes="".join(f"<p>{escape(note)}.</p>" for note in table.notes(metrics)),
        sections="\n".join(f"<h2>{escape(section.title)}</h2>\n{section.html}" for section in sections),
    )
    write_text(path, page)


def _facts(record: Mapping[str, Any]) -> str:
    facts = [" + ".join(record["networks"]), f"on {record['dataset']}"]
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


def _table(rows: Sequence[Sequence[str]], *, published: int) -> str:
    def line(cells: Sequence[str], tag: str, kind: str = "") -> str:
        return f"<tr{kind}>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    own, printed = rows[1 : len(rows) - published], rows[len(rows) - published :]
    body = [line(row, "td") for row in own] + [line(row, "td", ' class="published"') for row in printed]
    return f"<table><thead>{line(rows[0], 'th')}</thead><tbody>{''.join(body)}</tbody></table>"
