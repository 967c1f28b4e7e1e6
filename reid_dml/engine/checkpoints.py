"""Checkpoints of the whole training state: one folder a checkpoint, one file a network, all or nothing.

    step_000001000/trainer.pt, network_0.pt, network_1.pt, ...
    step_000001000/manifest.json    the run, the step, and of every file the network and the SHA-256

A checkpoint without a manifest is of an earlier version.
"""

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

from reid_dml.digests import check_file, digest_of, seal_holds, sealed
from reid_dml.errors import UserError
from reid_dml.files import draft_of, read_json, remove_drafts, remove_folder, sync, write_bytes, write_json
from reid_dml.models.weights import read_torch_file
from reid_dml.mutual.cohort import Cohort, Member
from reid_dml.processes import all_gather_objects, barrier, rank

_KEPT = 2  # checkpoints that stay on disk
_MANIFEST = "manifest.json"
_TRAINER = "trainer.pt"


@dataclass
class Checkpoints:
    """The checkpoints in a folder; each process writes its own networks."""

    folder: Path
    run: str = ""  # fingerprint of the run they belong to (see `runs.folder`); empty: of any

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
        draft = draft_of(target)
        if rank() == 0:
            remove_drafts(self.folder)
            draft.mkdir(parents=True)
        barrier()
        try:
            written = {}
            if rank() == 0:
                written[_TRAINER] = _write_state(draft / _TRAINER, {"step": step, **trainer_state})
            for member in members:
                name = _network_file(member.index)
                written[name] = {"network": member.index, **_write_state(draft / name, member_state(member))}
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        files = {name: entry for own in all_gather_objects(written) for name, entry in sorted(own.items())}
        if rank() == 0:
            absent = [name for name in files if not (draft / name).is_file()]
            if absent:
                raise UserError(
                    f"{draft}: {absent[0]} of another process is not there; OUTPUT_DIR must be a folder "
                    "that all machines share"
                )
            write_json(draft / _MANIFEST, sealed({"run": self.run, "step": step, "files": files}))
            remove_folder(target)
            draft.rename(target)
            sync(self.folder)
            for old in [past for past in self.steps() if past <= step][:-_KEPT]:
                remove_folder(self.path(old))

    def check(self, step: int) -> None:
        """Raise `UserError` unless every file of a checkpoint is there, undamaged, and of this step and run."""
        folder = self.path(step)
        manifest = self._manifest(folder)
        if manifest is None:  # of an earlier version
            self._read(step, _TRAINER)
            return
        if manifest["step"] != step:
            raise UserError(f"{folder}: is the checkpoint of step {manifest['step']:,}; give it its own name back")
        if self.run and manifest["run"] and manifest["run"] != self.run:
            raise UserError(f"{folder}: is a checkpoint of another run, of another seed, options or images; remove it")
        for name, entry in manifest["files"].items():
            self._require(folder / name)
            check_file(folder / name, entry["sha256"], _remedy(folder))

    def load(self, step: int, cohort: Cohort) -> dict[str, Any]:
        """Restore every member in place from a checkpoint that `check` accepted; returns the trainer's own state."""
        for member in cohort.members:
            restore_member(member, self._read(step, _network_file(member.index)), self.path(step))
        return self._read(step, _TRAINER)

    def path(self, step: int) -> Path:
        """Folder of the checkpoint after `step` updates."""
        return self.folder / f"step_{step:09d}"

    def _read(self, step: int, name: str) -> dict[str, Any]:
        path = self.path(step) / name
        self._require(path)
        state = read_torch_file(path)
        if not isinstance(state, dict):
            raise UserError(f"{path}: not a checkpoint; {_remedy(path.parent)}")
        return state

    def _require(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path}: missing from the checkpoint; {_remedy(path.parent)}")

    def _manifest(self, folder: Path) -> dict[str, Any] | None:
        file = folder / _MANIFEST
        if not file.is_file():
            return None
        manifest = read_json(file, _remedy(folder))
        try:
            whole = isinstance(manifest["step"], int) and isinstance(manifest["run"], str) and seal_holds(manifest)
            whole = whole and all(isinstance(entry["sha256"], str) for entry in manifest["files"].values())
        except (KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise UserError(f"{file}: damaged; {_remedy(folder)}")
        return manifest


def _network_file(index: int) -> str:
    return f"network_{index}.pt"


def _remedy(folder: Path) -> str:
    return f"remove {folder} to resume from the one before"


def _write_state(path: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Write a file of a checkpoint; returns what its manifest says of it."""
    # Through memory: torch's own writer answers a full disk with an error that does not name it.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    write_bytes(path, content)
    return {"bytes": len(content), "sha256": digest_of([content])}


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
