"""Figures that are drawn from the trained networks of the papers' experiments, and copies of what was made."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from reid_dml.commands.analyse import analyse_tsne
from reid_dml.commands.analyse_networks import analyse_flatness, analyse_similarity
from reid_dml.errors import BusyError
from reid_dml.files import save_folder, write_bytes
from reid_dml.locks import exclusive
from reid_dml.paper.artifacts import experiments_behind, experiments_of
from reid_dml.paper.kinds import Analysis
from reid_dml.paper.recipes import run_folder
from reid_dml.paper.records import Place
from reid_dml.runs.folder import RunFolder


def keep_copies(chosen: Sequence[str], place: Place, scale: str) -> None:
    """Copy records and figures of what was asked for to the folder that keeps them, whoever made them.

    Args:
        chosen: names of tables, figures and experiments.
        place: where they are, and where copies go.
        scale: of the runs.
    """
    if not place.keep:
        return
    for name in chosen:
        for experiment in experiments_behind(name, scale):
            for run in map(RunFolder, (place.runs / scale).glob(f"{experiment}_seed*")):
                if run.result_file.is_file():
                    _copy(run.result_file, place.keep / scale / f"{run.path.name}.json")
        folder = place.runs / scale / "figures" / name
        # Pages hold images of the data set, and stay. The numbers come last: with them the figure is whole.
        for kind in ("*.svg", "*.csv"):
            for file in folder.glob(kind):
                _copy(file, place.keep / scale / "figures" / name / file.name)


def _copy(source: Path, target: Path) -> None:
    content = source.read_bytes()
    if not target.is_file() or target.read_bytes() != content:
        write_bytes(target, content)


def draw_analysis(name: str, artifact: Analysis, place: Place, scale: str, overrides: Sequence[str]) -> None:
    """Draw a figure from the networks of its runs, unless it was drawn before or they are not there.

    Args:
        name, artifact: of the figure.
        place: where runs and figures are.
        scale: of the runs.
        overrides: `KEY VALUE ...` for the runs.

    Raises:
        UserError: what the analysis refuses.
    """
    folder = place.figures(name, scale)[-1]
    runs = [run_folder(place.runs, experiment, scale, 0) for experiment in experiments_of(artifact, scale)]
    if not all(RunFolder(run).result_file.is_file() for run in runs):
        if not place.drawn(name, scale):
            print(f"not drawn: {name}: the networks of its runs are not all there")
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(folder.parent / f".{name}.lock", f"{folder}: another process draws it"):
            if place.drawn(name, scale):
                return
            print(f"\n=== {name}: {artifact.title}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)  # what was left of one that was not finished
            said = io.StringIO()  # names the files where they are made, before they are put in their place

            def make(draft: Path) -> None:
                try:
                    with redirect_stdout(said):
                        _draw(artifact.command, list(map(str, runs)), draft, overrides)
                finally:
                    print(said.getvalue().replace(str(draft), str(folder)), end="", flush=True)

            save_folder(folder, make)
    except BusyError:
        return


def _draw(command: str, runs: Sequence[str], folder: Path, options: Sequence[str]) -> None:
    if command == "tsne":
        analyse_tsne(runs, [], folder, options=options)
    else:
        draw: dict[str, Callable[..., None]] = {
            "flatness": analyse_flatness,
            "similarity": analyse_similarity,
        }
        draw[command](runs, folder, options=options)
