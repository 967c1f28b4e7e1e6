"""Weight files: safetensors (ours) and torch checkpoints of tensors, read without ever running pickled code."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from reid_dml.errors import UserError, require_file
from reid_dml.models.weight_files import read_weights


@dataclass(frozen=True)
class LoadReport:
    """What a load found: tensor names of each kind, `mismatched` with both shapes."""

    path: str
    what: str
    loaded: int
    missing: list[str]
    unexpected: list[str]
    mismatched: list[str]

    def __str__(self) -> str:
        lines = [f"{self.what}: {self.loaded} tensors loaded from {self.path}"]
        for label in ("missing", "unexpected", "mismatched"):
            if names := getattr(self, label):
                lines.append(f"  {len(names)} {label}: {', '.join(names)}")
        return "\n".join(lines)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name. Raises `UserError` for a missing, truncated or foreign file."""
    path = require_file(path, "the weights file", "check MODEL.WEIGHTS or COHORT.INIT_WEIGHTS")
    if path.suffix == ".safetensors":
        try:
            return read_weights(path)[0]
        except (SafetensorError, ValueError, OSError) as error:
            raise UserError(
                f"{path}: not a whole safetensors file, perhaps truncated ({error}); copy it again"
            ) from None
    content = read_torch_file(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors_by_name = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    )
    if not state or not isinstance(state, dict) or not tensors_by_name:
        raise UserError(f"{path}: holds no network weights (a mapping of names to tensors); name a weights file")
    return {name.removeprefix("module."): value for name, value in state.items()}


def read_torch_file(path: str | Path) -> object:
    """`torch.load` of plain data only. Raises `UserError` for anything else, truncated files included."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # a foreign file makes torch's reader fail in a dozen ways
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        if "weights_only" in str(error) or "Unsupported" in str(error):
            why = "holds pickled objects, not only weights; it is not opened, because that could run code"
        else:
            why = f"not a whole torch file, perhaps truncated ({reason})"
        raise UserError(f"{path}: {why}; name a file of plain tensors, such as a .safetensors file") from None


def load_partial(network: nn.Module, path: str | Path, *, what: str, without: Collection[str] = ()) -> LoadReport:
    """Load whatever fits and report all that did not.

    Args:
        network: where the tensors go, by name.
        path: the weights file.
        what: the network in words, for messages.
        without: names of tensors in the file that are passed over.

    Raises:
        UserError: nothing fits, or a file that cannot be read.
    """
    tensors, own = _of_backbone(read_tensors(path), network), network.state_dict()
    tensors = {name: value for name, value in tensors.items() if name not in without}
    fitting = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    report = LoadReport(
        str(path),
        what,
        len(fitting),
        # Counters of batches matter only to cumulative averages, which nobody uses here; many files leave them out.
        sorted(name for name in own.keys() - tensors.keys() if not name.endswith("num_batches_tracked")),
        sorted(tensors.keys() - own.keys()),
        [
            f"{name} {tuple(tensors[name].shape)} in the file, {tuple(own[name].shape)} here"
            for name in sorted(tensors.keys() & own.keys())
            if own[name].shape != tensors[name].shape
        ],
    )
    if not fitting:
        raise UserError(f"{path}: none of its {len(tensors)} tensors fits {what}; it belongs to another architecture")
    network.load_state_dict(fitting, strict=False)
    return report


def _of_backbone(tensors: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The backbone's part of a whole network's tensors, where a backbone alone is to be loaded."""
    prefix = "backbone."
    if hasattr(network, "backbone") or not any(name.startswith(prefix) for name in tensors):
        return tensors
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


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
        for label in ("missing", "unexpected", "mismatched")
        if (names := getattr(report, label))
    ]
    if problems:
        raise UserError(f"{path}: does not fit {what}: {', '.join(problems)}; use the config it was trained with")
