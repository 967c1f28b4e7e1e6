"""The weights that a finished run leaves beside its config, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from reid_dml.digests import verifies
from reid_dml.errors import UserError
from reid_dml.files import write_bytes
from reid_dml.models.safetensors_files import weights_bytes
from reid_dml.models.weights import read_metadata
from reid_dml.mutual.cohort import Member
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.sources import weights_metadata


def export_weights(folder: RunFolder, members: Sequence[Member], *, run: str, step: int) -> None:
    """Write every member's weights, and those of its average, as safetensors that know their config.

    Args:
        folder: of the run.
        members: whose weights are this process's to write.
        run: its fingerprint.
        step: updates of each network.
    """
    for member in members:
        metadata = weights_metadata(folder, member.index)
        for network, ema in ((member.network, False), (member.ema, True)):
            if network is not None:
                about = {"run": run, "step": str(step), "network": str(member.index), "average": str(ema).lower()}
                content = weights_bytes(network.state_dict(), {**metadata, **about})
                write_bytes(folder.weights_file(member.index, ema=ema), content)


def check_cohort(files: Mapping[int, Path], run: str, *, ema: bool) -> None:
    """Raise `UserError` if weights of a run folder were exchanged: for another network's, step's or run's.

    Args:
        files: by network index.
        run: fingerprint of the folder's run; empty: unknown.
        ema: whether they are those of averages.
    """
    if not verifies():
        return
    about = {index: read_metadata(file) for index, file in files.items()}  # {}: who loads it says what is wrong
    ours = {index: values for index, values in about.items() if "run" in values}
    for index, values in ours.items():
        if (values.get("network"), values.get("average")) != (str(index), str(ema).lower()):
            average = " averaged" if values.get("average") == "true" else ""
            what = f"holds the{average} weights of network {values.get('network')}"
            raise UserError(f"{files[index]}: {what}; give every file its own name back")
        if run and values["run"] != run:
            what = "is of another run, of another seed, options or images"
            raise UserError(f"{files[index]}: {what}; copy the run's own file back")
    for key, what in (("run", "runs"), ("step", "steps")):
        if len(_values(ours.values(), key)) > 1:
            named = ", ".join(f"{files[index].name} of {ours[index].get(key, '?')[:12]}" for index in sorted(ours))
            raise UserError(f"{next(iter(files.values())).parent}: holds weights of several {what}: {named}")


def _values(about: Iterable[Mapping[str, str]], key: str) -> set[str | None]:
    return {values.get(key) for values in about}
