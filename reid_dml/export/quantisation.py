"""int8 by ONNX Runtime's static quantisation: ranges of all activations from calibration images."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reid_dml.data.pipeline.augment import augment
from reid_dml.data.records import ImageRecord
from reid_dml.data.stored import ImageFiles
from reid_dml.export.files import INPUT, int8_fingerprint, seal_onnx
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.inference.reading import read_batches
from reid_dml.logs import quietly
from reid_dml.models.exported import read_about

_BATCH = 16


def quantise(file: Path, records: Sequence[ImageRecord], extractor: FeatureExtractor, path: Path) -> None:
    """Write an ONNX file with weights and activations of 8 bits.

    Weights have a scale for each output channel and 7 of their 8 bits, so that sums of products do not overflow on
    processors without instructions for them.

    Args:
        file: in float32.
        records: the calibration images.
        extractor: of that file: how images become its inputs.
        path: of the new file.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    cfg, about = extractor.cfg, read_about(file)
    images = ImageFiles(records, cfg.DATA.STORED_SIZE, cfg.DATA.PIXEL_LIMIT)
    batches = read_batches(images, _BATCH, cfg.DATA.WORKERS)

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(batches, None)
            if batch is None:
                return None
            return {INPUT: augment(batch, None, extractor.spec.evaluation()).numpy()}

    with tempfile.TemporaryDirectory(dir=path.parent) as folder, quietly():
        prepared, found = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)  # batch norm goes into convolutions
        quantize_static(
            str(prepared),
            str(found),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        content = found.read_bytes()
        model = onnx.load_model_from_string(content)
    own = {"precision": "int8", "fingerprint": int8_fingerprint(about["fingerprint"], content)}
    seal_onnx(model, {**{key: value for key, value in about.items() if key != "sha256"}, **own}, path)
