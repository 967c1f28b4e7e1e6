"""safetensors files that know what they are: metadata, and a digest over it and the tensors, checked at every reading.

The bytes of a file follow from its content: safetensors alone writes several entries of metadata in random order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from reid_dml.digests import KEY, check_digest, digest_of, verifies


def weights_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of a file of tensors and metadata, with their digest as the entry `sha256`."""
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = save(own, {**metadata, KEY: _digest(own, metadata)})
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(data)[8 + size :]))


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file; one without a digest is of somebody else, and not checked.

    Raises `UserError` if the digest is another, and what safetensors raises for files that are not whole.
    """
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    if KEY in metadata and verifies():
        found = _digest(tensors, {key: value for key, value in metadata.items() if key != KEY})
        check_digest(path, found, metadata[KEY], "copy it again from where the run was made")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    return digest_of(_parts(tensors, metadata))


def _parts(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Iterator[object]:
    yield json.dumps(metadata, sort_keys=True).encode()
    for name, tensor in sorted(tensors.items()):
        yield f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode()
        yield tensor.reshape(-1).view(torch.uint8).numpy()
