"""Checkpoints of the whole training state: one folder a checkpoint, one file a network, all or nothing."""

from __future__ import annotations

import io
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reid_dml.errors import UserError
from reid_dml.files import sync, write_bytes
from reid_dml.models.weights import read_torch_file
from reid_dml.mutual.cohort import Cohort, Member
from reid_dml.processes import all_gather_objects, barrier, rank

_KEPT = 2  # checkpoints that stay on disk


@dataclass
class Checkpoints:
    """`folder/step_000001000/` with `trainer.pt` and `network_K.pt`; each process writes its own networks."""

    folder: Path

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, in order."""
        found = (re.fullmatch(r"step_(\d+)", path.name) for path in self.folder.glob("step_*"))
        return sorted(int(match[1]) for match in found if match)

    def save(self, step: int, members: Sequence[Member], trainer_state: Mapping[str, Any]) -> None:
        """Write the state after `step` updates, on all processes together.

        A crash leaves either the whole checkpoint or none.

        Args:
            step: updates of each network so far.
            members: those that are this process's to write.
            trainer_state: what process 0 writes beside them.
        """
        target = self.path(step)
        draft = target.with_name(f".{target.name}.tmp")
        if rank() == 0:
            for abandoned in self.folder.glob(".step_*.tmp"):
                shutil.rmtree(abandoned)
            draft.mkdir(parents=True)
        barrier()
        try:
            if rank() == 0:
                _write_state(draft / "trainer.pt", {"step": step, **trainer_state})
            for member in members:
                _write_state(draft / f"network_{member.index}.pt", member_state(member))
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        expected = sorted(index for own in all_gather_objects([m.index for m in members]) for index in own)
        if rank() == 0:
            absent = [index for index in expected if not (draft / f"network_{index}.pt").is_file()]
            if absent:
                raise UserError(
                    f"{draft}: network_{absent[0]}.pt of another process is not there; OUTPUT_DIR must be a folder "
                    "that all machines share"
                )
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
            sync(self.folder)
            for old in [past for past in self.steps() if past <= step][:-_KEPT]:
                shutil.rmtree(self.path(old))

    def load(self, step: int, cohort: Cohort) -> dict[str, Any]:
        """Restore every member in place; returns the trainer's own state."""
        for member in cohort.members:
            restore_member(member, self._read(step, f"network_{member.index}.pt"), self.path(step))
        return self._read(step, "trainer.pt")

    def path(self, step: int) -> Path:
        """Folder of the checkpoint after `step` updates."""
        return self.folder / f"step_{step:09d}"

    def _read(self, step: int, name: str) -> dict[str, Any]:
        path = self.path(step) / name
        if not path.is_file():
            raise UserError(
                f"{path}: missing from the checkpoint; remove {self.path(step)} to resume from the one before"
            )
        state = read_torch_file(path)
        if not isinstance(state, dict):
            raise UserError(f"{path}: not a checkpoint; remove {self.path(step)} to resume from the one before")
        return state


def _write_state(path: Path, state: dict[str, Any]) -> None:
    # Through memory: torch's own writer answers a full disk with an error that does not name it.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def member_state(member: Member) -> dict[str, Any]:
    """All that one network needs to continue bit for bit."""
    return {
        "network": member.network.state_dict(),
        "ema": member.ema.state_dict() if member.ema is not None else None,
        "optimizer": member.optimizer.state_dict(),
        "terms": member.term_state,
        "generator": member.generator.get_state(),
        "peer_generator": member.peer_generator.get_state(),
        "device": member.generator.device.type,
    }


def restore_member(member: Member, state: dict[str, Any], where: Path) -> None:
    """Put a `member_state` back.

    Args:
        member: whose state is replaced, in place.
        state: what `member_state` returned.
        where: the checkpoint, for messages.

    Raises:
        UserError: the state belongs to another architecture.
    """
    try:
        state = _upgraded(state)
        member.network.load_state_dict(state["network"])
        if member.ema is not None:
            member.ema.load_state_dict(state["ema"])
        member.optimizer.load_state_dict(state["optimizer"])
        for name, kept in member.term_state.items():
            for key, tensor in kept.items():
                tensor.copy_(state["terms"][name][key])
        if state["device"] == member.generator.device.type:
            member.generator.set_state(state["generator"])
            member.peer_generator.set_state(state["peer_generator"])
        else:
            warnings.warn(
                f"{where}: saved on {state['device']}, continued on {member.generator.device.type}: dropout goes on "
                "with other random numbers",
                stacklevel=2,
            )
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, KeyError, ValueError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{where}: does not fit network {member.index} of this config ({reason}); resume with the "
            "config of this run"
        ) from None
    # load_state_dict also brings what belongs to the device that the state was saved on.
    device = next(member.network.parameters()).device
    for group in member.optimizer.param_groups:
        group["lr"] = torch.as_tensor(group["lr"]).to(device)
        if "capturable" in group:
            group["capturable"] = device.type == "cuda"


def _upgraded(state: dict[str, Any]) -> dict[str, Any]:
    """A state of config version 0, where the network held the center loss's centres, in today's terms."""
    if "terms" in state:
        return state
    network = dict(state["network"])
    centers = network.pop("centers", None)
    ema = state["ema"] and {name: tensor for name, tensor in state["ema"].items() if name != "centers"}
    terms = {} if centers is None else {"center": {"centers": centers}}
    return {**state, "network": network, "ema": ema, "peer_generator": state["spare"], "terms": terms}
