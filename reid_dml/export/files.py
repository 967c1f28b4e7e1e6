"""Writing a graph as ONNX, a program of torch.export, or an OpenVINO model, each knowing what it is."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reid_dml.digests import KEY, digest_of, file_digest
from reid_dml.errors import UserError
from reid_dml.logs import quietly
from reid_dml.models.exported.openvino_file import BIN_DIGEST, SECTION
from reid_dml.models.exported.program_file import ENTRY, about_digest
from reid_dml.models.exported.sealing import PLACEHOLDER, seal

INPUT, OUTPUT = "images", "features"  # of the graphs
_EXAMPLES = 2  # images at the export; a batch of one would be taken for a constant


def write_exported(graph: nn.Module, size: tuple[int, int], about: Mapping[str, str], path: Path) -> None:
    """Write a graph in the format that the file's name asks for.

    Args:
        graph: maps (N, 3, H, W) to (N, D).
        size: H, W.
        about: what the file says of itself, see `models.exported.ABOUT`; without its digest.
        path: ends in .onnx, .pt2 or .xml (then a .bin is written beside it).

    Raises:
        UserError: a graph that cannot be exported.
    """
    write = {".onnx": _write_onnx, ".pt2": _write_program, ".xml": _write_openvino}[path.suffix.lower()]
    write(graph, torch.zeros(_EXAMPLES, 3, *size), about, path)


def _write_onnx(graph: nn.Module, images: Tensor, about: Mapping[str, str], path: Path) -> None:
    seal_onnx(_onnx_model(graph, images), about, path)


def seal_onnx(model: Any, about: Mapping[str, str], path: Path) -> None:
    """Write an ONNX model with metadata, its digest among them.

    Args:
        model: `onnx.ModelProto`; its own metadata are replaced.
        about: what the file says of itself.
        path: of the file.
    """
    del model.metadata_props[:]
    for key, value in {**about, KEY: PLACEHOLDER}.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(seal(model.SerializeToString()))


def _onnx_model(graph: nn.Module, images: Tensor) -> Any:
    batch = ({0: torch.export.Dim("batch")},)
    with quietly():
        try:
            program = torch.onnx.export(
                graph,
                (images,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=batch,
                verbose=False,
            )
        except Exception as failure:  # whatever an operation without a counterpart raises
            raise _refusal("ONNX", failure) from None
    assert program is not None
    return program.model_proto


def _program(graph: nn.Module, images: Tensor) -> Any:
    try:
        return torch.export.export(graph, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except Exception as failure:  # whatever an operation without a counterpart raises
        raise _refusal("a program of torch.export", failure) from None


def _refusal(what: str, failure: Exception) -> UserError:
    reason = " ".join(str(failure).split())[:200]
    return UserError(f"these networks cannot be exported to {what}: {reason}; try another format")


def _write_program(graph: nn.Module, images: Tensor, about: Mapping[str, str], path: Path) -> None:
    with quietly():
        torch.export.save(_program(graph, images), path)
    with zipfile.ZipFile(path, "a") as archive:
        folder = archive.namelist()[0].partition("/")[0]
        content = {**about, KEY: about_digest(archive, about)}
        archive.writestr(f"{folder}/{ENTRY}", json.dumps(content))


def _write_openvino(graph: nn.Module, images: Tensor, about: Mapping[str, str], path: Path) -> None:
    import openvino

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(_onnx_model(graph, images).SerializeToString())
        model = openvino.Core().read_model(file)
        openvino.save_model(model, path, compress_to_fp16=False)
        weights = file_digest(path.with_suffix(".bin"))
        for key, value in {**about, BIN_DIGEST: weights, KEY: PLACEHOLDER}.items():
            model.set_rt_info(value, [SECTION, key])
        openvino.save_model(model, path, compress_to_fp16=False)
    path.write_bytes(seal(path.read_bytes()))


def int8_fingerprint(model: str, content: bytes) -> str:
    """Fingerprint of quantised networks: others than the model they are of, as their features are others.

    Args:
        model: fingerprint of the networks in float32.
        content: the quantised graph.
    """
    return digest_of([model.encode(), content])[:32]
