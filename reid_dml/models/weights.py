"""Loading weights into a network: which of a file's tensors are meant, what fits and what does not."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from reid_dml.errors import UserError
from reid_dml.models.position_embedding import is_position, resample_positions
from reid_dml.models.weight_files import State, read_metadata, read_states, read_tensors, read_torch_file

__all__ = [
    "LoadReport",
    "is_counter",
    "load_exact",
    "load_neck",
    "load_partial",
    "read_metadata",
    "read_tensors",
    "read_torch_file",
]


_NECK = re.compile(r"(^|\.)(bottleneck|bn_?neck|neck)\.(\d+\.)?$", re.IGNORECASE)


@dataclass(frozen=True)
class LoadReport:
    """What a load found: tensor names of each kind, `mismatched` with both shapes.

    `notes` say where in the file the tensors were, and what was done to make them fit; `outside` are those that stand
    beside the common prefix of the others.
    """

    path: str
    what: str
    loaded: int
    missing: list[str]
    unexpected: list[str]
    mismatched: list[str]
    outside: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.what}: {self.loaded} tensors loaded from {self.path}", *(f"  {note}" for note in self.notes)]
        for label in ("missing", "unexpected", "mismatched", "outside"):
            if names := getattr(self, label):
                lines.append(f"  {len(names)} {label}: {', '.join(names)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Choice:
    """One network of a file, its names without a prefix, beside the network they are for."""

    key: str  # where the file has it
    prefix: str
    tensors: State
    outside: list[str]
    fitting: int
    named: int


def load_partial(network: nn.Module, path: str | Path, *, what: str, without: Collection[str] = ()) -> LoadReport:
    """Load whatever fits and report all that did not.

    Of several networks in the file the one that fits best is taken, the likeliest where several fit alike. A prefix in
    front of all names is taken off where that makes them fit.

    Args:
        network: where the tensors go, by name.
        path: the weights file.
        what: the network in words, for messages.
        without: names of tensors in the file that are passed over.

    Raises:
        UserError: nothing fits, or a file that cannot be read.
    """
    own, states = network.state_dict(), read_states(path)
    choices = [_choose(key, state, own) for key, state in states.items()]
    best = max(choices, key=lambda choice: (choice.fitting, choice.named))  # the first of equals
    tensors = {name: value for name, value in best.tensors.items() if name not in without}
    notes = _notes(best, list(states))
    resampled = resample_positions(network, tensors)
    notes += [
        f"{name} {_shape(tensors[name])} resampled to {_shape(value)}: the file is for images of another size"
        for name, value in resampled.items()
    ]
    tensors |= resampled
    fitting = {name: value for name, value in tensors.items() if _fits(value, own.get(name))}
    different = [name for name in sorted(tensors.keys() & own.keys()) if name not in fitting]
    report = LoadReport(
        str(path),
        what,
        len(fitting),
        sorted(name for name in own.keys() - tensors.keys() if not is_counter(name)),
        sorted(tensors.keys() - own.keys()),
        [f"{name} {_shape(tensors[name])} in the file, {_shape(own[name])} here" for name in different],
        best.outside,
        notes,
    )
    if not fitting:
        raise UserError(_nothing_fits(report, best, list(states), own))
    for name in different:
        if is_position(name):
            warnings.warn(
                f"{path}: {name} is {_shape(tensors[name])}, {_shape(own[name])} is needed, and it cannot be "
                f"resampled: it starts at random; choose INPUT.SIZE as the file's",
                stacklevel=2,
            )
    network.load_state_dict(fitting, strict=False)
    return report


def load_exact(network: nn.Module, path: str | Path, *, what: str, without: Collection[str] = ()) -> None:
    """Load a file that must fit tensor for tensor.

    Args:
        network, path, what, without: as for `load_partial`.

    Raises:
        UserError: naming the first differences.
    """
    report = load_partial(network, path, what=what, without=without)
    problems = [
        f"{len(names)} {label} ({names[0]}{', ...' if len(names) > 1 else ''})"
        for label in ("missing", "unexpected", "mismatched", "outside")
        if (names := getattr(report, label))
    ]
    if problems:
        raise UserError(f"{path}: does not fit {what}: {', '.join(problems)}; use the config it was trained with")


def load_neck(neck: nn.Module, path: str | Path) -> str:
    """Load the batch norm between feature and head of another toolkit's network.

    fast-reid calls it `heads.bottleneck.0`, BoT and what came of it `bottleneck`. It is found by what it is called and
    by its width.

    Args:
        neck: batch norm over the feature (N, D).
        path: the weights file.

    Returns:
        What stands in front of its tensors' names in the file.

    Raises:
        UserError: a file without such a neck, or with several.
    """
    own, tensors = neck.state_dict(), read_tensors(path)
    needed = {name: value for name, value in own.items() if name != "num_batches_tracked"}
    found = []
    for full in tensors:
        prefix = full.removesuffix("running_mean")
        if prefix != full and _NECK.search(prefix):
            state = {name: tensors[prefix + name] for name in needed if prefix + name in tensors}
            if all(_fits(state.get(name, needed[name][:0]), value) for name, value in needed.items()):
                found.append((prefix, state))
    if len(found) != 1:
        what = "no batch-norm neck" if not found else f"several necks ({', '.join(prefix for prefix, _ in found)})"
        raise UserError(f"{path}: has {what} of width {len(own['running_mean'])}; set MODEL.NECK none")
    neck.load_state_dict(found[0][1], strict=False)
    return found[0][0]


def is_counter(name: str) -> bool:
    """Whether a tensor counts the batches of a batch norm.

    Counters matter only to cumulative averages, which nobody uses here; many files leave them out.
    """
    return name.endswith("num_batches_tracked")


def _choose(key: str, state: State, own: Mapping[str, Tensor]) -> _Choice:
    """A network of the file without the prefix in front of its names that makes most of its tensors fit."""
    fitting, named = Counter({"": 0}), Counter({"": 0})
    for name, value in state.items():
        for end in [0, *(place + 1 for place, letter in enumerate(name) if letter == ".")]:
            if (there := own.get(name[end:])) is not None:
                named[name[:end]] += 1
                fitting[name[:end]] += there.shape == value.shape
    # Of equals the shortest: the first network of two.
    prefix = max(named, key=lambda prefix: (fitting[prefix], named[prefix], -len(prefix)))
    tensors = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    outside = sorted(name for name in state if not name.startswith(prefix))
    return _Choice(key, prefix, tensors, outside, fitting[prefix], named[prefix])


def _notes(choice: _Choice, keys: list[str]) -> list[str]:
    notes = []
    if choice.key:
        others = [f"`{key}`" for key in keys if key != choice.key]
        notes.append(f"taken from `{choice.key}`" + (f", not from {', '.join(others)}" if others else ""))
    if choice.prefix:
        notes.append(f"without `{choice.prefix}` in front of the names")
    return notes


def _nothing_fits(report: LoadReport, choice: _Choice, keys: list[str], own: Mapping[str, Tensor]) -> str:
    count = len(choice.tensors) + len(choice.outside)
    where = f" (in `{'`, `'.join(keys)}`)" if keys != [""] else ""
    if report.mismatched:
        reason = f"names are the same, shapes are not: {'; '.join(report.mismatched[:2])}; it is of another width"
    else:
        names = [*choice.tensors, *choice.outside]
        reason = f"the file has {_first(names)}, the network wants {_first(own)}"
    return (
        f"{report.path}: none of its {count} tensors{where} fits {report.what}; it belongs to another architecture: "
        f"{reason}"
    )


def _first(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(name[:80] for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _fits(value: Tensor, own: Tensor | None) -> bool:
    return own is not None and own.shape == value.shape


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
