"""ONNX files, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reid_dml.errors import UserError
from reid_dml.models.exported.sealing import check_seal

READERS, WRITERS = ("onnxruntime",), ("onnx", "onnxscript")
EXTRA = "export"
TITLE = "ONNX Runtime"


def read_about(path: Path) -> dict[str, str]:
    """The metadata of the file."""
    session = _session(path, optimised=False)
    return dict(session.get_modelmeta().custom_metadata_map)


def check(path: Path, about: Mapping[str, str]) -> None:
    """Compare the file with its digest."""
    check_seal(path, about)


def open_file(path: Path, *, device: str, threads: int) -> Callable[[Tensor], Tensor]:
    """The function from images to features.

    Args:
        path: of the file.
        device: a GPU is used where this ONNX Runtime can.
        threads: for one batch.
    """
    session = _session(path, device=device, threads=threads)
    name = session.get_inputs()[0].name

    def compute(images: Tensor) -> Tensor:
        values = images.to("cpu", torch.float32).contiguous().numpy()
        return torch.from_numpy(session.run(None, {name: values})[0])

    return compute


def _session(path: Path, *, device: str = "cpu", threads: int = 1, optimised: bool = True) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as torch's threads here: soon asleep
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda") and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)}))
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as failure:  # ONNX Runtime has an exception of its own for every kind of damage
        reason = " ".join(str(failure).split())[:160]
        raise UserError(f"{path}: is no ONNX file that ONNX Runtime can run ({reason}); export it again") from None
