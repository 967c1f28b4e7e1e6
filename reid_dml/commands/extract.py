"""Extracting features: the feature file of a folder of images."""

from __future__ import annotations

import os
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.broken import usable_records
from reid_dml.data.image_paths import image_records
from reid_dml.data.stored import ImageFiles
from reid_dml.device import keep_freed_memory, resolve_device
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.formats import check_name, write_features
from reid_dml.features.resumable import extract_resumably, open_store
from reid_dml.files import check_output
from reid_dml.inference.rows import gather_rows
from reid_dml.inference.speed import Speed, log_speed
from reid_dml.processes import processes, rank
from reid_dml.threads import use_threads


def extract_folder(
    cfg: CfgNode,
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    network: str = "ensemble",
    labels: str = "name",
    cameras: str = "use",
    frame_step: int = 0,
) -> FeatureSet | None:
    """Write the feature file of a folder, or of a table of images, with the networks of `MODEL.WEIGHTS`.

    Until it is written, finished parts are kept beside it, and an interrupted extraction goes on behind them.

    Args:
        cfg: names the networks and how images become their inputs.
        folder: of images, with sub-folders; or a table, an image or a video.
        output: a name that ends in .npz, .parquet or .mat.
        network: `ensemble` or the index of one network.
        labels, cameras, frame_step: as for `data.image_paths.image_records`.

    Returns:
        The features on process 0, None on others.

    Raises:
        UserError: a file that cannot be written, a folder without images, networks that do not fit, an image that
            cannot be read, features that are not finite.
    """
    check_name(output)
    check_output(output)
    keep_freed_memory()
    use_threads(cfg.THREADS)
    with processes(resolve_device(cfg.DEVICE)):
        records = image_records(
            [folder],
            labels=labels,
            cameras=cameras,
            frame_step=frame_step,
            camera_pattern=cfg.OWN.CAMERA_PATTERN,
        )
        records = usable_records(cfg, records)
        extractor = FeatureExtractor.from_config(cfg, network)
        images = ImageFiles(records, cfg.DATA.STORED_SIZE, cfg.DATA.PIXEL_LIMIT)
        batch_size = cfg.TEST.BATCH_SIZE
        parts = Path(output).with_name(f".{Path(output).name}.parts")
        store = open_store(parts, images, extractor.spec, model=extractor.model, batch_size=batch_size)
        speed = Speed()
        rows, own = extract_resumably(
            extractor.networks,
            images,
            extractor.spec,
            store,
            device=extractor.device,
            batch_size=batch_size,
            workers=cfg.DATA.WORKERS,
            speed=speed,
        )
        log_speed(speed)
        members = gather_rows(own, rows, len(records))
        if rank() > 0:
            return None
        features = FeatureSet.of(extractor.join(members), records, extractor.model)
        write_features(features, output)
        store.remove()
        print(f"{output}: {len(features):,} features of {features.features.shape[1]} dimensions", flush=True)
        return features
