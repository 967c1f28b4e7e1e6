"""Running the experiments of the papers that are missing, and printing the config of one."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from yacs.config import CfgNode

from reid_dml.commands.reproduce_figures import draw_analysis, keep_copies
from reid_dml.commands.reproduce_jobs import Job, missing_jobs
from reid_dml.commands.reproduce_schedule import Work, run_jobs, time_limit
from reid_dml.commands.train import train_and_evaluate
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError
from reid_dml.outputs import check_folder
from reid_dml.paper.artifacts import ARTIFACTS, choose, experiments_behind, experiments_of, run_of
from reid_dml.paper.experiments import EXPERIMENTS
from reid_dml.paper.kinds import Analysis
from reid_dml.paper.recipes import has_recipe, recipe
from reid_dml.paper.records import Place
from reid_dml.runs.folder import config_text


def run_experiments(
    names: Sequence[str],
    place: Place,
    *,
    scale: str,
    seeds: int = 1,
    minutes: float = 0,
    overrides: Sequence[str] = (),
) -> int:
    """Run what is missing, go on with what was begun, and leave to other processes what they work on.

    Args:
        names: of tables, figures, groups of them, or experiments.
        place: where runs and records are.
        scale: of the recipes.
        seeds: runs of each experiment, which differ in their seeds.
        minutes: begin only what fits into them, and stop when they are over; 0: no limit.
        overrides: `KEY VALUE ...` for all runs, of where and how they run.

    Returns:
        The exit code: 2 where a run failed, which the others survive.

    Raises:
        UserError: an unknown name, options that do not fit, or a folder that cannot be written.
    """
    check_places(place)
    chosen = choose(names)
    _check_recipes(chosen, scale)
    work = Work(missing_jobs(chosen, place, scale, seeds, overrides))

    def run(job: Job) -> None:
        _check_data(job.cfg)
        train_and_evaluate(job.cfg, resume=None)
        _keep(work, chosen, place, scale)

    with time_limit(minutes) as left:
        run_jobs(work, run, place, scale, left)
        for name in chosen:
            if isinstance(artifact := ARTIFACTS.get(name), Analysis) and left() > 0:
                with work.surviving(name):
                    draw_analysis(name, artifact, place, scale, overrides)
    _keep(work, chosen, place, scale)
    for job in work.pending:
        if job.missing_teacher and job.title not in work.busy:
            work.failed[job.title] = f"{job.missing_teacher}: the teacher is missing"
        else:
            print(f"not run: {job.title}: does not fit into the time")
    for title, why in work.failed.items():
        print(f"error: {title}: {why}", file=sys.stderr)
    return 2 if work.failed else 0


def check_places(place: Place) -> None:
    """Raise `UserError` unless runs, records and figures can be written where they are to be."""
    check_folder(place.runs, f"--output {place.runs}")
    if place.keep:
        check_folder(place.keep, f"--keep {place.keep}")


def _keep(work: Work, chosen: Sequence[str], place: Place, scale: str) -> None:
    """Copy all that there is. A copy that fails takes nothing from the runs, and the next time makes up for it."""
    title = f"--keep {place.keep}"
    work.failed.pop(title, None)
    with work.surviving(title):
        keep_copies(chosen, place, scale)


def _check_recipes(chosen: Sequence[str], scale: str) -> None:
    """Say what has no recipe at a scale. Raises `UserError` where nothing has one."""
    behind = {name: experiments_behind(name, scale) for name in chosen}
    without = [
        name
        for name, found in behind.items()
        if found and not any(has_recipe(EXPERIMENTS[one], scale) for one in found)
    ]
    if without and len(without) == len(chosen):
        raise UserError(f"{', '.join(without)}: there is no recipe at the scale {scale}; use --scale full")
    for name in without:
        print(f"not run: {name}: there is no recipe at the scale {scale}")


def _check_data(cfg: CfgNode) -> None:
    """Raise `UserError` before a run whose record would not be that of its experiment: CIFAR has unofficial splits."""
    if cfg.DATA.NAME.startswith("cifar") and (found := load_data(cfg).name) != cfg.DATA.NAME:
        raise UserError(f"DATA.ROOT {cfg.DATA.ROOT}: holds {found}, not {cfg.DATA.NAME} (see datasets/README.md)")


def print_config(name: str, place: Place, scale: str, seed: int) -> None:
    """Print the config of a run. Started from it by `reid-dml train`, it counts here, too.

    Args:
        name: of an experiment.
        place: where its run would go.
        scale, seed: of the run.

    Raises:
        UserError: an unknown name, or no recipe at this scale.
    """
    if name not in EXPERIMENTS:
        choose([name])  # says which is near
        runs = ", ".join(experiments_of(ARTIFACTS[name], scale)) if name in ARTIFACTS else "those that `list` shows"
        if not runs:
            raise UserError(f"{name}: nothing is run for it; see reid-dml reproduce report {name}")
        raise UserError(f"{name}: is made of several runs; name one of {runs}")
    print(config_text(recipe(EXPERIMENTS[run_of(name, scale)], scale, seed, place.runs)), end="")
