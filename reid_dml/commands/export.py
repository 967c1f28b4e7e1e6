"""Exporting networks to one file for other runtimes, with proof that it gives the same features."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from yacs.config import CfgNode

from reid_dml.config import default_config
from reid_dml.data.image_paths import image_records, is_of_images
from reid_dml.data.records import ImageRecord, ReIDData, evenly_spread
from reid_dml.data.sets import load_data
from reid_dml.digests import file_digest
from reid_dml.errors import UserError
from reid_dml.export.files import write_exported
from reid_dml.export.graph import FeatureGraph
from reid_dml.export.parity import Parity, compare, images_per_second
from reid_dml.export.quantisation import quantise
from reid_dml.extras import check
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.files import sync, user_cache
from reid_dml.models.exported import format_of, is_exported, open_exported
from reid_dml.runs.folder import config_text
from reid_dml.runs.sources import without_place
from reid_dml.threads import cpu_threads, use_threads
from reid_dml.versions import __version__

_EMBEDDED = ("TRAIN_IDENTITIES", 24), ("TEST_IDENTITIES", 24), ("CAMERAS", 2), ("IMAGES_PER_CAMERA", 2)
_BATCH, _SECONDS = 16, 1.0  # of the timing


@dataclass(frozen=True)
class Int8:
    """How to quantise.

    Attributes:
        calibration: folder or table of images to calibrate with; empty: training images of the data that the file is
            compared on.
        images: as many of them at most, evenly spread.
        most_loss: of mAP that is put up with, in percentage points.
    """

    calibration: str = ""
    images: int = 128
    most_loss: float = 2.0


def export_and_print(
    cfg: CfgNode,
    output: str | os.PathLike[str],
    *,
    network: str = "ensemble",
    normalisation: str = "inside",
    data: str = "embedded",
    int8: Int8 | None = None,
) -> Parity:
    """Export the networks of `MODEL.WEIGHTS`, compare the file with them, and only then give it its name.

    Args:
        cfg: names the networks and how images become their inputs.
        output: ends in .onnx, .pt2 or .xml.
        network: see `runs.networks.NetworkChoice`; several are one graph.
        normalisation: `inside`: the graph takes RGB values in [0, 1]; `outside`: normalised ones.
        data: what is compared on: `embedded`, drawn images, or `own`, the test images of the config's data set.
        int8: quantise, and how.

    Returns:
        How near its features are.

    Raises:
        UserError: a name that says no format, a runtime that is not installed, networks that cannot be exported, a file
            that gives other features, or int8 that loses too much.
    """
    path = Path(output)
    module = format_of(path)
    check(module.WRITERS, module.EXTRA, str(path))
    if int8 and path.suffix.lower() != ".onnx":
        raise UserError(f"{path}: int8 is for ONNX Runtime: name a file that ends in .onnx")
    if is_exported(cfg.MODEL.WEIGHTS):
        raise UserError(f"{cfg.MODEL.WEIGHTS}: is exported already; export the run or model folder it was made from")
    if int8 and int8.calibration:  # not found to be wrong behind minutes of export
        if os.path.isfile(int8.calibration) and not is_of_images(int8.calibration):
            raise UserError(f"--calibration {int8.calibration}: is no image, folder, video or table of images")
        image_records([int8.calibration], labels="none")
    use_threads(cfg.THREADS)
    cfg = _on_the_cpu(cfg)
    source = FeatureExtractor.from_config(cfg, network)
    records = _test_data(cfg, data)
    about = describe(source, normalisation)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        draft = folder / path.name
        write_exported(_graph(source, normalisation), (cfg.INPUT.SIZE[0], cfg.INPUT.SIZE[1]), about, draft)
        exported = FeatureExtractor.from_run(draft, device="cpu")
        parity = compare(source, exported, records["query"], records["gallery"])
        print(parity)
        parity.check(path)
        if int8:
            draft = folder / f"int8-{path.name}"
            quantise(folder / path.name, _calibration(int8, records["train"]), exported, draft)
            exported = FeatureExtractor.from_run(draft, device="cpu")
            parity = compare(source, exported, records["query"], records["gallery"])
            print(f"int8: {parity}; {100 * parity.lost:+.2f} points of mAP lost")
            parity.check_loss(path, int8.most_loss)
        speeds = _speeds(source, draft, normalisation)
        if path.suffix.lower() == ".xml":
            draft.with_suffix(".bin").replace(path.with_suffix(".bin"))
        draft.replace(path)
        sync(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    threads = cpu_threads()
    for name, speed in speeds.items():
        plural = "s" if threads > 1 else ""
        print(f"{name}: {speed:,.0f} images/s, {_BATCH} at a time, {threads} thread{plural}")
    print(f"{path}: {path.stat().st_size:,} bytes, {about['feature_width']} wide, {module.TITLE}, {about['input']}")
    print(f"SHA-256 {file_digest(path)}")
    print(f"fingerprint {exported.model}; use it as --run {path}")
    return parity


def describe(source: FeatureExtractor, normalisation: str) -> dict[str, str]:
    """What an exported file says of itself, see `models.exported.ABOUT`; its digest comes when it is written.

    Args:
        source: the networks.
        normalisation: `inside` or `outside` the graph.
    """
    cfg, indices = source.cfg, sorted(source.networks)
    inside = normalisation == "inside"
    kept = without_place(cfg)
    kept.TEST.FLIP = False  # the graph does it
    kept.TEST.TRAIN_ACCURACY = False  # there is no head
    if inside:
        kept.INPUT.MEAN, kept.INPUT.STD = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]
    for key in ("INIT_WEIGHTS", "TEACHERS"):
        kept.COHORT[key] = default_config().COHORT[key]
    return {
        "reid_dml": __version__,
        "height": str(cfg.INPUT.SIZE[0]),
        "width": str(cfg.INPUT.SIZE[1]),
        "feature_width": str(sum(source.networks[index].feature_dim for index in indices)),
        "colour": "RGB",
        "input": "RGB / 255" if inside else "(RGB / 255 - mean) / std",
        "normalisation": normalisation,
        "mean": " ".join(map(str, cfg.INPUT.MEAN)),
        "std": " ".join(map(str, cfg.INPUT.STD)),
        "networks": " ".join(cfg.COHORT.NETWORKS[index] for index in indices),
        "indices": " ".join(map(str, indices)),
        "fingerprint": source.model,
        "precision": "float32",
        "config": config_text(kept),
    }


def _graph(source: FeatureExtractor, normalisation: str) -> FeatureGraph:
    cfg = source.cfg
    mean, std = (cfg.INPUT.MEAN, cfg.INPUT.STD) if normalisation == "inside" else ((), ())
    return FeatureGraph(source.networks, ensemble=cfg.TEST.ENSEMBLE, flip=cfg.TEST.FLIP, mean=mean, std=std)


def _on_the_cpu(cfg: CfgNode) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DEVICE = "cpu"
    return cfg


def _test_data(cfg: CfgNode, data: str) -> dict[str, Sequence[ImageRecord]]:
    """Query, gallery and training images to compare on."""
    if data == "embedded":
        drawn = default_config()
        drawn.DATA.NAME = "synthetic"
        drawn.DATA.ROOT = str(user_cache() / "datasets")  # in nobody's way
        for name, value in _EMBEDDED:
            drawn.SYNTHETIC[name] = value
        found = load_data(drawn)
    else:
        found = load_data(cfg, training=False)
    if not isinstance(found, ReIDData) or not found.query:
        raise UserError(f"DATA.NAME: {found.name} has no query and gallery to compare on; leave out --data own")
    return {"query": found.query, "gallery": found.gallery, "train": found.train}


def _calibration(int8: Int8, train: Sequence[ImageRecord]) -> list[ImageRecord]:
    records = list(image_records([int8.calibration], labels="none")) if int8.calibration else list(train)
    if not records:
        raise UserError("there are no training images to calibrate with; name some with --calibration")
    return [records[row] for row in evenly_spread(len(records), int8.images)]


def _speeds(source: FeatureExtractor, file: Path, normalisation: str) -> dict[str, float]:
    size = source.cfg.INPUT.SIZE
    images = torch.rand(_BATCH, 3, *size).contiguous(memory_format=torch.channels_last)
    theirs, graph = open_exported(file, threads=cpu_threads()), _graph(source, normalisation)
    graph = graph.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def by_torch() -> object:
        return graph(images)

    @torch.inference_mode()
    def by_file() -> object:
        return theirs(images)

    name = f"{format_of(file).TITLE} ({theirs.about['precision']})"
    computes = {"torch (float32)": by_torch, name: by_file}
    return images_per_second(computes, _BATCH, seconds=_SECONDS, clock=time.perf_counter)
