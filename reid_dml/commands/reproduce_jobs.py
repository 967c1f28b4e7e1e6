"""The runs that are missing for tables and figures of the papers, and how long their training takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.device import describe_device, resolve_device
from reid_dml.engine.checkpoints import Checkpoints
from reid_dml.errors import UserError
from reid_dml.paper.artifacts import ARTIFACTS, experiments_behind, run_of
from reid_dml.paper.experiments import EXPERIMENTS
from reid_dml.paper.kinds import Analysis
from reid_dml.paper.pace import Pace
from reid_dml.paper.recipes import has_recipe, recipe
from reid_dml.paper.records import Place, Records
from reid_dml.runs.folder import RunFolder
from reid_dml.threads import use_threads


@dataclass(frozen=True)
class Job:
    """A run that is missing."""

    name: str
    seed: int
    cfg: CfgNode

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{self.name}, seed {self.seed}"

    @property
    def begun(self) -> int:
        """Step of its last checkpoint; 0: it has none."""
        return max(Checkpoints(RunFolder(self.cfg.OUTPUT_DIR).checkpoints).steps(), default=0)

    @property
    def missing_teacher(self) -> str:
        """The file of a teacher that is not there yet; empty: it can start."""
        return next((teacher for teacher in self.cfg.COHORT.TEACHERS if not Path(teacher).exists()), "")


def missing_jobs(
    chosen: Sequence[str], place: Place, scale: str, seeds: int, overrides: Sequence[str] = ()
) -> list[Job]:
    """Runs of tables, figures and experiments that have neither a record nor, where they are needed, their networks.

    In the order of the names; of each, all runs of a seed before those of the next; a teacher before its student.

    Args:
        chosen: names, groups resolved.
        place: where runs and records are.
        scale: of the recipes.
        seeds: runs of each experiment.
        overrides: `KEY VALUE ...` for all runs.

    Raises:
        UserError: a record that is damaged or of something else, or a teacher's run without its weights.
    """
    records = place.records()
    jobs: dict[tuple[str, int], Job] = {}

    def add(name: str, seed: int, with_networks: bool) -> None:
        experiment = EXPERIMENTS[name]
        if (name, seed) in jobs or not has_recipe(experiment, scale):
            return
        cfg = recipe(experiment, scale, seed, place.runs, overrides)
        # Records are checked where they are read: one that is here is that of this run.
        if RunFolder(cfg.OUTPUT_DIR).result_file.is_file():
            return
        if cfg.SEED in records.get((name, scale), {}) and not with_networks:
            return
        if experiment.teacher:
            add(run_of(experiment.teacher, scale), seed, True)
        jobs[name, seed] = Job(name, seed, cfg)

    for name in chosen:
        # The networks of one seed are enough to look into them.
        looks_into = isinstance(ARTIFACTS.get(name), Analysis)
        with_networks = looks_into and place.drawn(name, scale) is None
        for seed in range(1 if looks_into else seeds):
            for experiment in experiments_behind(name, scale):
                add(experiment, seed, with_networks)
    for job in jobs.values():
        file = Path(job.missing_teacher)
        if job.missing_teacher and RunFolder.of(file).result_file.is_file():
            raise UserError(f"{file}: not found, though the run has ended; copy it there, or remove {file.parent}")
    return list(jobs.values())


def training_seconds(cfg: CfgNode, records: Records, scale: str) -> float | None:
    """Seconds that the training of a run will take here, from records of this device and threads; None: unknown.

    Args:
        cfg: of the run.
        records: of all runs.
        scale: of its recipe.
    """
    use_threads(cfg.THREADS)
    found = (record for runs in records.values() for record in runs.values())
    pace = Pace(found, describe_device(resolve_device(cfg.DEVICE)), scale, cfg.DATA.NAME)
    return pace.seconds(cfg.COHORT.NETWORKS, cfg.TRAIN.STEPS, tuple(cfg.INPUT.SIZE))
