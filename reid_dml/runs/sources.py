"""Where trained networks come from: a run folder, or a weights file, which knows the config it was trained with.

The header of a weights file carries what it needs away from its run folder: the config without what belongs to the
place and the machine of the training, the network's index and a hash of the classes of its head. The same training
gives the same file, wherever it was. A file without it, of an earlier version, is used beside its config.yml.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.config import default_config, get_option, parse_config
from reid_dml.config.imports import import_parts_of
from reid_dml.data.sets import split_entry
from reid_dml.errors import UserError
from reid_dml.models.exported import is_exported, read_about
from reid_dml.models.weights import read_metadata
from reid_dml.paths import expand_path
from reid_dml.runs.folder import OF_THE_PLACE, RunFolder, config_text
from reid_dml.runs.hub import PREFIX, local_path
from reid_dml.text import small_number

_KEY = "reid_dml"
_FORMAT = 1
MEMBERS_KEY = "members"  # of a header: the networks of a model folder, which may be some of a cohort
WEIGHTS_NAME = re.compile(r"network_(\d+)(_ema)?\.safetensors")


def weights_metadata(folder: RunFolder, index: int) -> dict[str, str]:
    """What the header of a run's weights file says of it."""
    return header(folder.config(), index, classes_hash(folder.class_names()))


def header(cfg: CfgNode, index: int, classes: str) -> dict[str, str]:
    """What a file of networks says of itself.

    Args:
        cfg: what they are built and used by.
        index: of the network in its cohort.
        classes: see `head_classes`.
    """
    content = {
        "format": _FORMAT,
        "network": index,
        "config": config_text(without_place(cfg)),
        "classes": classes,
    }
    return {_KEY: json.dumps(content, sort_keys=True)}


def without_place(cfg: CfgNode) -> CfgNode:
    """A config with the folders, device and speed of its run at their defaults."""
    cfg, defaults = cfg.clone(), default_config()
    cfg.defrost()
    for key in OF_THE_PLACE:
        *parents, name = key.split(".")
        (get_option(cfg, ".".join(parents)) if parents else cfg)[name] = get_option(defaults, key)
    names = [split_entry(entry)[0] for entry in cfg.DATA.TRAIN]  # without the folders of this machine
    cfg.DATA.TRAIN = list(dict.fromkeys(names))
    return cfg


def run_config(path: str | os.PathLike[str], options: Sequence[str] = ()) -> CfgNode:
    """The config of trained networks, with `MODEL.WEIGHTS` naming them and any device that is there.

    Args:
        path: a run folder, a model folder, a weights file, or `hf://owner/name` for a model folder on a hub.
        options: `KEY VALUE ...` that override the config.

    Raises:
        UserError: no run, or a weights file that knows no config.
    """
    named = expand_path(os.fspath(path), "--run")
    path = local_path(named)
    if not path.exists():
        raise UserError(
            f"{path}: not found; name a run folder of reid-dml train, a model folder, one of their .safetensors "
            "files, or hf://owner/name"
        )
    overrides = ["MODEL.WEIGHTS", str(path), "DEVICE", "auto", *options]
    folder = RunFolder.of(path)
    if text := _metadata(path).get("config"):
        return _header_config(str(text), path, overrides)
    if not path.is_dir() and not folder.config_file.is_file():
        raise UserError(
            f"{path}: says nothing of its config, and {folder.config_file} is not there; copy config.yml of its run "
            "beside it, or give --config-file FILE MODEL.WEIGHTS path"
        )
    return folder.config(overrides, handed_on=named.startswith(PREFIX))


def known_config(path: str | os.PathLike[str]) -> CfgNode | None:
    """The config that a run folder or a weights file was trained with; None where nobody knows."""
    path = Path(path)
    folder = RunFolder.of(path)
    if text := _metadata(path).get("config"):
        return _header_config(str(text), path)
    return folder.config() if folder.config_file.is_file() else None


def _header_config(text: str, path: Path, overrides: Sequence[str] = ()) -> CfgNode:
    """The config in a file's header. What the config.yml of its own run imports, a file in a run folder may need."""
    folder = RunFolder.of(path)
    if folder.environment_file.is_file() and folder.config_file.is_file():
        import_parts_of(folder.config_file, overrides, version=0)
    return parse_config(text, path, overrides, version=0)


def network_index(path: str | os.PathLike[str]) -> int:
    """Position in its cohort of a weights file's network; 0 where neither its header nor its name says."""
    index = _metadata(Path(path)).get("network")
    match = WEIGHTS_NAME.fullmatch(Path(path).name)
    return index if isinstance(index, int) else int(match[1]) if match else 0


def members_text(indices: Iterable[int]) -> str:
    """The networks of a model folder, for a header."""
    return " ".join(map(str, sorted(indices)))


def folder_members(folder: RunFolder) -> list[int]:
    """The networks that a model folder says it has; [] of a run folder, which has the whole cohort."""
    for file in sorted(folder.path.glob("network_*.safetensors")):
        numbers = map(small_number, read_metadata(file).get(MEMBERS_KEY, "").split())
        return [number for number in numbers if number is not None]
    return []


def head_classes(path: str | os.PathLike[str]) -> str:
    """Hash of the classes that the rows of a run's or a weights file's heads stand for; empty where nobody knows."""
    path = Path(path)
    folder = RunFolder.of(path)
    if known := _metadata(path).get("classes"):
        return str(known)
    if folder.classes_file.is_file():
        return classes_hash(folder.class_names())
    # A model folder has no list of the persons or classes it was trained on, but its weights know their hash.
    members = folder_members(folder)
    return str(_metadata(folder.weights_file(members[0])).get("classes", "")) if members else ""


def classes_hash(names: Sequence[str]) -> str:
    """A hash of the names of a head's rows, in order."""
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()


def _metadata(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if is_exported(path):
        about = read_about(path)
        return {"config": about["config"], "network": int(about["indices"].split()[0])}
    try:
        content = json.loads(read_metadata(path).get(_KEY, "{}"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
