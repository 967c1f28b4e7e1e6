"""Reading weight files: safetensors and torch files, whatever else these hold and without running any of its code."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from reid_dml.errors import UserError
from reid_dml.models.file_kinds import foreign_kind, is_safetensors
from reid_dml.models.safetensors_files import read_weights
from reid_dml.paths import require_file

State = dict[str, Tensor]  # tensors by name

# Where checkpoints keep a network, the likeliest first; averages behind the weights they are of.
_KEYS = (
    *("", "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params"),
    *("student", "teacher", "backbone", "encoder", "ema_state_dict", "state_dict_ema", "model_ema", "ema"),
)
# Tensors there are no weights of a network.
_NOT_NETWORKS = re.compile(r"optim|sched|scaler|rng|loss|criterion|terms|callbacks|loops|hyper", re.IGNORECASE)
_DEPTH = 4  # mappings inside each other that are looked into
_UNKNOWN = re.compile(r"GLOBAL (\S+) was not an allowed global")
_MOST_UNKNOWN = 30
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar")  # that weights files mostly have
_MOST_NAMED = 4  # files of a folder, in a message
_STARTING = ("datasets", "weights")  # where the configs that come along look for the weights they start from


class Pickled:
    """Stands for an object of a pickled class that holds no mapping, such as a NumPy number; it knows nothing."""

    def __new__(cls, *_: object) -> Pickled:
        return object.__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


class PickledMapping:
    """Stands for an object of a pickled class that may be a mapping, such as a config: what it maps is kept."""

    def __new__(cls, *_: object) -> OrderedDict:  # type: ignore[misc]  # torch fills plain mappings only
        return OrderedDict()


def read_states(path: str | Path) -> dict[str, State]:
    """Every network in a weights file: {dotted key inside the file: tensors by name}, the likeliest first.

    The key of tensors that are the file's own content is empty. Raises `UserError` for a missing, truncated or foreign
    file, and for one without a mapping of names to tensors.
    """
    inside = _named_like_weights(Path(path))
    remedy = f"name one of its files: {', '.join(inside)}" if inside else "check MODEL.WEIGHTS or COHORT.INIT_WEIGHTS"
    if Path(path).parts[-3:-1] == _STARTING:
        remedy = 'make it as datasets/README.md says under "Starting weights", or name another in COHORT.INIT_WEIGHTS'
    path = require_file(path, "the weights file", remedy)
    if is_safetensors(path) or (path.suffix == ".safetensors" and not foreign_kind(path) and not _is_torch(path)):
        try:
            return {"": _plain_names(read_weights(path)[0])}
        except (SafetensorError, ValueError, OSError) as error:
            raise UserError(
                f"{path}: not a whole safetensors file, perhaps truncated ({error}); copy it again"
            ) from None
    content, unknown = _read_any_torch_file(path)
    states = dict(sorted(_find_states(content), key=lambda entry: _rank(entry[0])))
    if not states and unknown:
        raise UserError(
            f"{path}: holds pickled objects ({', '.join(unknown[:3])}), not tensors by name; they are not opened, "
            "because that could run code: save model.state_dict() where it was made, or name a .safetensors file"
        )
    if not states:
        keys = f"; its keys are {', '.join(map(str, list(content)[:8]))}" if isinstance(content, Mapping) else ""
        raise UserError(f"{path}: holds no network weights (a mapping of names to tensors){keys}; name a weights file")
    return {key: _plain_names(state) for key, state in states.items()}


def _named_like_weights(path: Path) -> list[str]:
    """The first files of a folder whose names end as those of weights do; none of a file."""
    names = sorted(each.name for each in path.iterdir() if each.is_file()) if path.is_dir() else []
    found = [name for name in names if name.endswith(_SUFFIXES)]
    return [*found[:_MOST_NAMED], *(["..."] if len(found) > _MOST_NAMED else [])]


def read_tensors(path: str | Path) -> State:
    """The tensors of a weights file by name, of the likeliest network if it holds several; raises as `read_states`."""
    return next(iter(read_states(path).values()))


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts in the header of a safetensors file; empty for other files and damaged ones."""
    path = Path(path)
    try:
        if not is_safetensors(path):
            return {}
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, ValueError):
        return {}


def read_torch_file(path: str | Path) -> object:
    """`torch.load` of plain data only. Raises `UserError` for anything else, truncated files included."""
    try:
        return _load(path)
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # a foreign file makes torch's reader fail in a dozen ways
        raise _refusal(Path(path), error) from None


def _load(path: str | Path) -> Any:
    with Path(path).open("rb") as file:  # of a path, torch would look at the name
        return torch.load(file, map_location="cpu", weights_only=True)


def _refusal(path: Path, error: Exception) -> UserError:
    if kind := foreign_kind(path):
        return UserError(f"{path}: is {kind}")
    reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
    if "weights_only" in str(error) or "Unsupported" in str(error):
        why = "holds pickled objects, not only weights; it is not opened, because that could run code"
    else:
        why = f"not a whole torch file, perhaps truncated ({reason})"
    return UserError(f"{path}: {why}; name a file of plain tensors, such as a .safetensors file")


def _read_any_torch_file(path: Path) -> tuple[Any, list[str]]:
    """A torch file's content with something inert in place of objects of other classes, and the names of these."""
    if kind := foreign_kind(path):
        raise UserError(f"{path}: is {kind}")
    try:
        unknown = list(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # the format of before torch 1.6, or no torch file
        unknown = []
    for objects in (PickledMapping, Pickled):
        while len(unknown) <= _MOST_UNKNOWN:
            try:
                with torch.serialization.safe_globals(_inert(unknown, objects)):
                    return _load(path), unknown
            except (FileNotFoundError, PermissionError, MemoryError):
                raise
            except Exception as error:
                failure = error
            found = _UNKNOWN.search(str(failure))
            if not found or _full(found[1]) in unknown:
                break
            unknown.append(_full(found[1]))
    raise _refusal(path, ValueError("Unsupported objects") if unknown else failure) from None


def _inert(names: list[str], objects: type) -> list[Callable | tuple[Callable, str]]:
    """What torch is to take for each class or function of these names, none of which is looked up."""
    return [(Pickled if name.startswith(("numpy.", "_codecs.")) else objects, name) for name in map(_full, names)]


def _full(name: str) -> str:
    return name if "." in name else f"builtins.{name}"  # torch leaves that away


def _is_torch(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02")


def _find_states(content: object, key: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    """The mappings of names to tensors in nested mappings, each with where it stands."""
    if not isinstance(content, Mapping) or depth > _DEPTH:
        return
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors and 2 * len(tensors) > len(content):  # an epoch or a version may stand beside them
        yield key, tensors
        return
    for name, value in content.items():
        if isinstance(name, str) and not _NOT_NETWORKS.search(name):
            yield from _find_states(value, f"{key}.{name}" if key else name, depth + 1)


def _rank(key: str) -> tuple[int, int]:
    name = key.rsplit(".", 1)[-1]
    return (_KEYS.index(name) if name in _KEYS else len(_KEYS), key.count("."))


def _plain_names(state: State) -> State:
    """Names without what nn.DataParallel puts in front and torch.compile in between."""
    return {name.replace("_orig_mod.", "").removeprefix("module."): value for name, value in state.items()}
