"""The weights that a finished run leaves beside its config."""

from __future__ import annotations

from collections.abc import Sequence

from safetensors.torch import save

from reid_dml.files import write_bytes
from reid_dml.mutual.cohort import Member
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.sources import weights_metadata


def export_weights(folder: RunFolder, members: Sequence[Member]) -> None:
    """Write every member's weights, and those of its average, as safetensors that know their config."""
    for member in members:
        metadata = weights_metadata(folder, member.index)
        for network, ema in ((member.network, False), (member.ema, True)):
            if network is not None:
                tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
                write_bytes(folder.weights_file(member.index, ema=ema), save(tensors, metadata))
