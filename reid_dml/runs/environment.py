"""environment.json: on what a run was trained, from its first step on and from each at which that changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reid_dml.device import describe_device
from reid_dml.errors import UserError
from reid_dml.files import read_json, write_json
from reid_dml.processes import world_size
from reid_dml.runs.folder import START_KEYS, RunFolder
from reid_dml.threads import cpu_threads
from reid_dml.versions import git_revision, versions

_REMEDY = "copy it again from where the run was made, or remove it: the record will then lack what it said"
_SAID = {"git_revision": "revision", "contents": "contents of the training images"}


def describe_environment(device: str, contents: str) -> dict[str, Any]:
    """What decides the bits of a result beside the config: this process's device, threads, versions, and the images.

    Args:
        device: of the training.
        contents: fingerprint of the training images (see `data.contents`).
    """
    return {
        "device": describe_device(device),
        "threads": cpu_threads(),
        "processes": world_size(),
        "versions": versions(),
        "git_revision": git_revision(),
        "contents": contents,
    }


def read_environment(folder: RunFolder) -> dict[str, Any]:
    """environment.json: `device`, `versions`, `git_revision` of the start, the `run`'s fingerprint, its `segments`.

    A run without the file, or of an earlier version, has what is known. Raises `UserError` if the file is damaged.
    """
    file = folder.environment_file
    found = read_json(file, _REMEDY) if file.is_file() else {}
    known = {"device": "unknown", "versions": {}, "git_revision": "", "run": "", **found}
    start = {"step": 0, **{key: known[key] for key in ("device", "versions", "git_revision")}}
    known.setdefault("segments", [start] if found else [])
    kinds = {"device": str, "versions": dict, "git_revision": str, "run": str, "segments": list}
    whole = all(isinstance(known[key], kind) for key, kind in kinds.items())
    if not whole or not all(isinstance(part, dict) and isinstance(part.get("step"), int) for part in known["segments"]):
        raise UserError(f"{file}: damaged; {_REMEDY}")
    return known


def run_of(folder: RunFolder) -> str:
    """Fingerprint of the run in a folder; empty where nothing says it."""
    try:
        return read_environment(folder)["run"]
    except UserError:
        return ""


def add_segment(folder: RunFolder, environment: Mapping[str, Any], step: int, now: Mapping[str, Any]) -> list[str]:
    """Write down that the run goes on at a step, if not in the way it did before.

    Args:
        folder: of the run.
        environment: what `read_environment` returned.
        step: of the checkpoint.
        now: what `describe_environment` returns.

    Returns:
        What is different, in words; nothing where bits do not change.
    """
    if step == 0:  # nothing is left of what was trained before
        start = {key: now[key] for key in START_KEYS}
        write_json(folder.environment_file, {**environment, **start, "segments": [{"step": 0, **now}]})
        return []
    segments = [part for part in environment["segments"] if part["step"] < step]
    before = segments[-1] if segments else {}
    differences = _differences(before, now)
    if differences or not segments:
        segments.append({"step": step, **now})
    if segments != environment["segments"] or not folder.environment_file.is_file():
        write_json(folder.environment_file, {**environment, "segments": segments})
    return differences


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for key, value in now.items():
        old = before.get(key)
        if old is None or old == value:
            continue
        if isinstance(value, dict):
            names = [name for name in sorted({*old, *value}) if old.get(name) != value.get(name)]
            found += [f"{name} was {old.get(name)}, is {value.get(name)}" for name in names]
        elif key == "contents":
            found.append(f"{_SAID[key]} have changed")
        else:
            found.append(f"{_SAID.get(key, key)} was {old}, is {value}")
    return found
