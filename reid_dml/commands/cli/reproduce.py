"""Every table and figure of the two papers by its name: which there are, running what is missing, ours beside theirs.

    reid-dml reproduce list [NAME ...]                         experiments, published numbers, what is recorded
    reid-dml reproduce run table3 fig3 --scale small --seeds 3 [--minutes M] [KEY VALUE ...]
    reid-dml reproduce report --html report.html               measured beside published
    reid-dml reproduce config market_mobilenet_dml_k4          the config of one run, for reid-dml train

Names: table1 ... table5, fig2a ... fig6, groups (fig3, all, v1/fig2), or single experiments: see docs/reproduce.md.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from math import inf
from pathlib import Path

from reid_dml.commands.arguments import add_no_verify, markdown_file, page_file
from reid_dml.ending import GOES_ON
from reid_dml.errors import UserError
from reid_dml.shipped import SCALES

INTERRUPTED = GOES_ON
_RECORDS = Path("results/paper")


def add_arguments(parser: ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.add_argument(
            "--output", type=Path, default=Path("runs/reproduce"), metavar="DIR", help="run folders (runs/reproduce)"
        )
        command.add_argument(
            "--records",
            type=Path,
            default=_RECORDS,
            metavar="DIR",
            help="records of runs made elsewhere, which are not run again (results/paper)",
        )
        add_no_verify(command)
        return command

    def add_recipe(command: ArgumentParser) -> None:
        command.add_argument("--scale", choices=SCALES, default="full", help="length of the recipes (default: full)")

    listing = add("list", "every table and figure with its runs, what is recorded and the time the rest will take")
    listing.add_argument("names", nargs="*", default=[], metavar="NAME", help="of tables, figures or experiments")
    add_recipe(listing)
    listing.add_argument("--seeds", type=int, default=1, metavar="N", help="runs of each experiment (default: 1)")

    run = add("run", "run what is missing, and go on with what was begun")
    run.add_argument(
        "names", nargs="+", metavar="NAME", help="of tables, figures or experiments; KEY VALUE behind them for all runs"
    )
    add_recipe(run)
    run.add_argument("--seeds", type=int, default=1, metavar="N", help="runs of each experiment (default: 1)")
    run.add_argument("--minutes", type=float, default=0, metavar="M", help="start only what fits, stop when over")
    run.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time, a GPU each where there are any")
    run.add_argument("--keep", type=Path, metavar="DIR", help="copy records and figures there, too")

    report = add("report", "what was measured beside what was published")
    report.add_argument("names", nargs="*", default=[], metavar="NAME", help="of tables and figures (default: all)")
    report.add_argument("--html", type=page_file, metavar="FILE", help="one page with everything in it")
    report.add_argument(
        "--markdown", type=markdown_file, metavar="FILE", help="a page, with its figures in a folder beside it"
    )

    config = add("config", "print the config of one run, which reid-dml train takes")
    config.add_argument("name", metavar="EXPERIMENT")
    add_recipe(config)
    config.add_argument("--seed", type=int, default=0, metavar="S", help="of the run (default: 0)")

    parser.set_defaults(commands=commands.choices)


def parse(parser: ArgumentParser, words: Sequence[str]) -> Namespace:
    arguments, rest = parser.parse_known_args(words)  # KEY VALUE behind options are left over
    if wrong := [word for word in rest if re.match("-[^0-9.]", word) or not hasattr(arguments, "names")]:
        arguments.commands[arguments.command].error(f"unrecognized arguments: {' '.join(wrong)}")
    arguments.names = [*getattr(arguments, "names", []), *rest]
    arguments.typed = tuple(words)  # for --jobs
    return arguments


def run(arguments: Namespace) -> int | None:
    from reid_dml.paper.artifacts import choose
    from reid_dml.paper.records import Place

    names = arguments.names
    first = next((place for place, word in enumerate(names) if word.isupper() or "." in word), len(names))
    names, options = names[:first], names[first:]
    if arguments.command == "run" and not names:
        raise UserError(f"run: no name before {options[0]}; give one that reid-dml reproduce list shows, or all")
    for option in ("seeds", "jobs"):
        if getattr(arguments, option, 1) < 1:
            raise UserError(f"--{option} {getattr(arguments, option)}: must be at least 1")
    if not 0 <= getattr(arguments, "minutes", 0) < inf:
        raise UserError(f"--minutes {arguments.minutes}: must be a finite number that is not negative")
    choose(names)  # a wrong name is refused before anything slow is loaded
    if arguments.records != _RECORDS and not arguments.records.is_dir():  # the usual folder is in checkouts only
        raise UserError(f"--records {arguments.records}: no such folder; correct the path, or leave it out")
    place = Place(arguments.output, getattr(arguments, "keep", None), arguments.records)
    if arguments.command == "run":
        from reid_dml.commands.reproduce import check_places, run_experiments
        from reid_dml.commands.reproduce_schedule import run_side_by_side

        if arguments.jobs > 1:
            check_places(place)  # once for all
            return run_side_by_side(["-m", "reid_dml", "reproduce", *arguments.typed], arguments.jobs)
        chosen = {"scale": arguments.scale, "seeds": arguments.seeds, "minutes": arguments.minutes}
        return run_experiments(names, place, **chosen, overrides=options)
    if arguments.command == "config":
        from reid_dml.commands.reproduce import print_config

        print_config(arguments.name, place, arguments.scale, arguments.seed)
        return None
    from reid_dml.commands.reproduce_report import list_experiments, write_report

    if arguments.command == "list":
        list_experiments(names or ["all"], place, scale=arguments.scale, seeds=arguments.seeds, overrides=options)
        return None
    if options:
        raise UserError(f"report: takes no options such as {options[0]}")
    if not arguments.html and not arguments.markdown:
        raise UserError("report: give --html FILE, --markdown FILE or both")
    html, markdown = (Path(file) if file else None for file in (arguments.html, arguments.markdown))
    write_report(names or ["all"], place, html=html, markdown=markdown)
    return None
