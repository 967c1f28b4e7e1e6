"""The pages of the papers' tables and figures: Markdown for a repository, and HTML in one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from reid_dml.cells import markdown_table
from reid_dml.paper.parts import Part
from reid_dml.paper.records import Records

_ABOUT_SCALE = {
    "full": "The papers' recipes at their full length.",
    "small": "Shortened recipes (`configs/scales/`): methods may be compared with each other, not with the published "
    "numbers. On Market-1501 all runs start from ImageNet weights, but for InceptionV1, of which there are none.",
    "smoke": "Drawn data and a few steps: they show that everything runs, and nothing else.",
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2129; background: #fff; margin: 2rem auto; max-width: 1080px;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; } h3 { font-size: 1.05rem; margin-top: 1.8rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #e3e5e8; white-space: nowrap; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
tr.ours td { font-weight: 600; } tr.gain td { color: #555; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
details { margin: .5rem 0; } .note { color: #555; }
"""


def scale_headline(scale: str, records: Records) -> str:
    """What a scale is, and how many runs of it there are."""
    found = [record for (_, own), runs in records.items() if own == scale for record in runs.values()]
    devices = ", ".join(sorted({record["device"] for record in found}))
    count = f"{len(found)} run{'s' if len(found) != 1 else ''}"
    return f"{_ABOUT_SCALE[scale]} {count}" + (f" on {devices}." if found else ".")


def _missing(part: Part) -> str:
    missing = f"Not run: {', '.join(f'`{name}`' for name in part.missing)}." if part.missing else ""
    return f"{part.note} {missing}".strip()


def markdown_page(scales: Mapping[str, Sequence[Part]], records: Records, figures: Mapping[str, str]) -> str:
    """Every part of every scale under its headline.

    Args:
        scales: parts by scale; those of which nothing was measured are only named.
        records: of all scales.
        figures: links to the figures by `scale/name`, several under `scale/name-1` and so on.
    """
    lines = []
    for scale, parts in scales.items():
        lines += [f"## At the {scale} scale\n", scale_headline(scale, records), ""]
        for part in parts:
            if not part.measured:
                continue
            lines += [f"### {part.title}\n"]
            links = [link for key, link in figures.items() if key.split("-")[0] == f"{scale}/{part.name}"]
            lines += [f"![{part.title}]({link})\n" for link in links]
            if not part.figures:
                lines.append(markdown_table(part.rows))
            if note := _missing(part):
                lines.append(note + "\n")
        if rest := [part.title for part in parts if not part.measured]:
            lines += ["### Not measured at this scale\n", *(f"- {title}" for title in rest), ""]
    return "\n".join(lines)


def html_page(scales: Mapping[str, Sequence[Part]], records: Records) -> str:
    """The same as one self-contained page with the figures in it."""
    body = ["<h1>Deep mutual learning: published and measured</h1>"]
    for scale, parts in scales.items():
        body += [f"<h2>At the {scale} scale</h2>", f"<p>{escape(scale_headline(scale, records).replace('`', ''))}</p>"]
        for part in parts:
            body.append(f"<h3>{escape(part.title)}</h3>")
            body += [f"<figure>{figure}</figure>" for figure in part.figures]
            table = f'<div class="table">{_table(part.rows)}</div>' if len(part.rows) > 1 else ""
            if part.figures and table:
                table = f"<details><summary>numbers</summary>{table}</details>"
            body.append(table or '<p class="note">not run</p>')
            if note := _missing(part):
                body.append(f'<p class="note">{escape(note.replace("`", ""))}</p>')
    body += ["<h2>How it was measured</h2>", "<ul>", *(f"<li>{escape(line)}</li>" for line in how(records)), "</ul>"]
    page = f"<title>Deep mutual learning: published and measured</title>\n<style>{_STYLE}</style>"
    head = f'<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n{page}'
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n'
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *lines = rows
    found = ["<table><thead><tr>", *(f"<th>{escape(cell)}</th>" for cell in header), "</tr></thead><tbody>"]
    for line in lines:
        source = line[1] if len(line) > 1 else ""
        kind = ' class="ours"' if source == "ours" else ' class="gain"' if source.startswith("gain") else ""
        found.append(f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>")
    return "".join([*found, "</tbody></table>"])


def how(records: Records) -> list[str]:
    """A line about every experiment: scale, steps, seeds, minutes, device, versions and revision."""
    lines = []
    for (name, scale), runs in sorted(records.items()):
        found: list[Mapping[str, Any]] = [record for _, record in sorted(runs.items())]
        first = found[0]
        runs_of = ", ".join(
            f"{record['seed']} ({record['wall_seconds'] / 60:.1f} min, {record['device']})" for record in found
        )
        lines.append(
            f"{name} ({scale}): {first['steps']:,} steps in {first['precision']}; seeds {runs_of}; {_versions(found)}; "
            f"revision {_each(found, 'git_revision')}"
        )
    return lines


def _each(records: Iterable[Mapping[str, Any]], key: str) -> str:
    return " and ".join(dict.fromkeys(str(record.get(key) or "unknown") for record in records))


def _versions(records: Iterable[Mapping[str, Any]]) -> str:
    found = (", ".join(f"{name} {number}" for name, number in record["versions"].items()) for record in records)
    return " and ".join(dict.fromkeys(found))
