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
from reid_dml.runs.folder import OF_THE_PLACE
from reid_dml.shipped import SHIPPED

# A student's seed beside its teacher's: with the same starting weights and batches it would be the teacher's twin.
_STUDENT_SEED = 100
# Options that say where and how a run works; its folder follows from its name.
_FREE = (*(key for key in OF_THE_PLACE if key not in ("OUTPUT_DIR", "MODEL.WEIGHTS")), "TEST.BATCH_SIZE")
# Networks that show the same at the smoke scale in less time.
_QUICK = {
    "mobilenet_v1": "mobilenet_v1_0.25",
    "mobilenet_v1_cifar": "mobilenet_v1_0.25",
    "wrn_28_10": "wrn_16_1",
    "resnet32_cifar": "wrn_16_1",
}


def run_folder(runs: Path, name: str, scale: str, seed: int) -> Path:
    """Where the run of an experiment goes.

    Args:
        runs: folder of all runs.
        name: of the experiment.
        scale, seed: of the run.
    """
    return runs / scale / f"{name}_seed{seed}"


def seed_of(experiment: Experiment, number: int) -> int:
    """The seed of a run by its number, which is in the name of its folder and record."""
    return number + (_STUDENT_SEED if experiment.teacher else 0)


def has_recipe(experiment: Experiment, scale: str) -> bool:
    """Whether there is a recipe for it at this scale."""
    return scale == "full" or _overlay(experiment, scale).is_file()


def recipe(experiment: Experiment, scale: str, seed: int, runs: Path, overrides: Sequence[str] = ()) -> CfgNode:
    """The config of a run: the experiment's file and options, and what the file of its scale says, which wins.

    Args:
        experiment: which.
        scale: `full`, `small` or `smoke`.
        seed: counted from 0 for every experiment; a student's is another than its teacher's.
        runs: folder of all runs, in which a teacher is looked for, too.
        overrides: `KEY VALUE ...` that say where and how it runs, and change nothing of its result.

    Raises:
        UserError: an option that does not fit or would make it another recipe, or no recipe at this scale.
    """
    files = [SHIPPED / experiment.config]
    if scale != "full":
        files.append(_overlay(experiment, scale))
        if not files[-1].is_file():
            raise UserError(f"{experiment.name}: there is no recipe at the scale {scale}; use --scale full")
    fixed = [key for _, own in read_with_bases(files[1]) for key in flatten(own)] if scale != "full" else []
    options = {key: given for key, given in experiment.options.items() if key not in fixed}
    options |= experiment.at.get(scale, {})
    if experiment.teacher:
        options["COHORT.TEACHERS"] = [str(_teacher(experiment, scale, seed, runs))]
    own: dict[str, object] = {
        "EXPERIMENT": experiment.name,
        "SCALE": scale,
        "SEED": seed_of(experiment, seed),
        "OUTPUT_DIR": str(run_folder(runs, experiment.name, scale, seed)),
    }
    if experiment.name != Path(experiment.config).stem:  # the file's published rows are those of another experiment
        own["EXPECTED"] = []
    plain = load_config(files, _words(options)) if overrides else None
    words = [*_words(options), *overrides]
    if plain is not None:
        _check_overrides(plain, load_config(files, words))
    if scale == "smoke":
        names = load_config(files, words).COHORT.NETWORKS
        words += _words({"COHORT.NETWORKS": [_QUICK.get(name, name) for name in names]})
    return load_config(files, [*words, *_words(own)])


def _check_overrides(plain: CfgNode, changed: CfgNode) -> None:
    """Raise `UserError` where options would make it another recipe, whose results must not be taken for this one's."""
    before = flatten(plain)
    for key, value in flatten(changed).items():
        if value != before[key] and key not in _FREE:
            raise UserError(
                f"{key}: cannot be changed here, only where and how a run works "
                f"({', '.join(_FREE)}): for others print the config (reid-dml reproduce config) and change it"
            )


def _overlay(experiment: Experiment, scale: str) -> Path:
    return SHIPPED / "scales" / f"{scale}_{experiment.family}.yml"


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
