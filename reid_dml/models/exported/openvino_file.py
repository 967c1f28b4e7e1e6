"""OpenVINO models: an .xml with the graph, beside a .bin with the weights."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from reid_dml.digests import check_file
from reid_dml.errors import UserError
from reid_dml.models.exported.sealing import check_seal
from reid_dml.paths import require_file

READERS, WRITERS = ("openvino",), ("onnx", "onnxscript")  # written by way of ONNX
EXTRA = "openvino"
TITLE = "OpenVINO"
SECTION = "reid_dml"  # of the model's rt_info
BIN_DIGEST = "bin_sha256"
_REMEDY = "copy both files again, or export it again"


def read_about(path: Path) -> dict[str, str]:
    """The entries of the file's section `reid_dml`."""
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, ValueError) as failure:
        raise UserError(f"{path}: is no OpenVINO model ({failure}); export it again") from None
    return {entry.tag: entry.get("value", "") for entry in root.iterfind(f"rt_info/{SECTION}/*")}


def check(path: Path, about: Mapping[str, str]) -> None:
    """Compare both files with their digests."""
    weights = require_file(path.with_suffix(".bin"), "the weights of the OpenVINO model", _REMEDY)
    check_seal(path, about)
    check_file(weights, about.get(BIN_DIGEST, ""), _REMEDY)


def open_file(path: Path, *, device: str, threads: int) -> Callable[[Tensor], Tensor]:
    """The function from images to features, on the CPU.

    Args:
        path: of the .xml.
        device: of the images.
        threads: for one batch.
    """
    import openvino

    core = openvino.Core()
    # Float32 as exported: on some processors OpenVINO would otherwise compute in bfloat16 by itself.
    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    try:
        compiled = core.compile_model(core.read_model(path), "CPU", options)
    except RuntimeError as failure:
        reason = " ".join(str(failure).split())[:160]
        raise UserError(f"{path}: is no model that OpenVINO can run ({reason}); export it again") from None
    own = threading.local()  # a request computes one batch at a time

    def compute(images: Tensor) -> Tensor:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        found = own.request.infer([images.to("cpu", torch.float32).contiguous().numpy()])
        return torch.from_numpy(found[0].copy())

    return compute
