"""The config of an experiment at a scale: its file, what the grid and the scale change, and where its run goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.config import flatten, load_config
from reid_dml.config.reading import read_with_bases
from reid_dml.errors import UserError
from reid_dml.paper.experiments import EXPERIMENTS, Experiment

SCALES = ("full", "small", "smoke")
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
# A student's seed beside its teacher's: with the same starting weights and batches it would be the teacher's twin.
_STUDENT_SEED = 100
# Networks that show the same at the smoke scale in less time.
_QUICK = {
    "mobilenet_v1": "mobilenet_v1_0.25",
    "mobilenet_v1_cifar": "mobilenet_v1_0.25",
    "wrn_28_10": "wrn_16_1",
    "resnet32_cifar": "wrn_16_1",
}


def run_folder(runs: Path, name: str, scale: str, seed: int) -> Path:
    """Where the run of an experiment goes, below the folder of all of them."""
    return runs / scale / f"{name}_seed{seed}"


def at_scale(experiment: Experiment, scale: str) -> bool:
    """Whether there is a recipe for it at this scale."""
    return scale == "full" or _overlay(experiment, scale).is_file()


def recipe(experiment: Experiment, scale: str, seed: int, runs: Path, overrides: Sequence[str] = ()) -> CfgNode:
    """The config of a run: the experiment's file and options, and what the file of its scale says, which wins.

    Args:
        experiment: which.
        scale: `full`, `small` or `smoke`.
        seed: counted from 0 for every experiment; a student's is another than its teacher's.
        runs: folder of all runs, in which a teacher is looked for, too.
        overrides: `KEY VALUE ...` that win over everything but the run's name, scale, seed and folder.

    Raises:
        UserError: an option that does not fit, or no recipe at this scale.
    """
    files = [CONFIGS / experiment.config]
    if scale != "full":
        files.append(_overlay(experiment, scale))
        if not files[-1].is_file():
            raise UserError(f"{experiment.name}: there is no recipe at the scale {scale}; use --scale full")
    fixed = [key for _, own in read_with_bases(files[1]) for key in flatten(own)] if scale != "full" else []
    options = {key: given for key, given in experiment.options.items() if key not in fixed}
    options |= experiment.at.get(scale, {})
    if experiment.teacher:
        options["COHORT.TEACHERS"] = [str(_teacher(experiment, scale, seed, runs))]
    own = {
        "EXPERIMENT": experiment.name,
        "SCALE": scale,
        "SEED": seed + (_STUDENT_SEED if experiment.teacher else 0),
        "OUTPUT_DIR": str(run_folder(runs, experiment.name, scale, seed)),
    }
    words = [*_words(options), *overrides]
    if scale == "smoke":
        names = load_config(files, words).COHORT.NETWORKS
        words += _words({"COHORT.NETWORKS": [_QUICK.get(name, name) for name in names]})
    return load_config(files, [*words, *_words(own)])


def _overlay(experiment: Experiment, scale: str) -> Path:
    return CONFIGS / "scales" / f"{scale}_{experiment.family}.yml"


def _teacher(experiment: Experiment, scale: str, seed: int, runs: Path) -> Path:
    """The weights of the first network of the teacher's run: its average where that is what is evaluated."""
    teacher = recipe(EXPERIMENTS[experiment.teacher], scale, seed, runs)
    average = "_ema" if teacher.EMA.ENABLED else ""
    return Path(teacher.OUTPUT_DIR) / f"network_0{average}.safetensors"


def _words(options: Mapping[str, object]) -> list[str]:
    """Options as on a command line."""
    found: list[str] = []
    for key, value in options.items():
        found += [key, value if isinstance(value, str) else json.dumps(value)]
    return found
