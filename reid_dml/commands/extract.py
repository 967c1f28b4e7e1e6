"""Extracting features: the feature file of images."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from yacs.config import CfgNode

from reid_dml.data.broken import usable_records
from reid_dml.data.image_paths import image_records
from reid_dml.data.stored import ImageFiles
from reid_dml.device import keep_freed_memory, resolve_device
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.formats import check_name, write_features
from reid_dml.features.part_folder import PartFolder
from reid_dml.features.part_store import files_fingerprint
from reid_dml.features.resumable import extract_resumably, features_in_parts, open_store, part_positions
from reid_dml.inference.rows import gather_rows
from reid_dml.inference.speed import Speed, log_speed
from reid_dml.processes import gather_objects, processes, rank, world_size
from reid_dml.threads import use_threads

logger = logging.getLogger(__name__)


def extract_images(
    cfg: CfgNode,
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    network: str = "ensemble",
    labels: str = "name",
    cameras: str = "use",
    frame_step: int = 0,
) -> FeatureSet | None:
    """Write the feature file of images, videos, and folders and tables of images, with the networks of
    `MODEL.WEIGHTS`.

    Until it is written, finished parts are kept beside it, and an interrupted extraction goes on behind them.

    Args:
        cfg: names the networks and how images become their inputs.
        output: a name that ends in .npz, .parquet or .mat; one without an ending is a folder of parts, see
            `extract_parts`.
        network: see `runs.networks.NetworkChoice`.
        paths, labels, cameras, frame_step: as for `data.image_paths.image_records`.

    Returns:
        The features on process 0, None on others and for a folder of parts.

    Raises:
        UserError: a file that cannot be written, paths without images, networks that do not fit, an image that
            cannot be read, features that are not finite.
    """
    if not Path(output).suffix:
        extract_parts(cfg, paths, output, network=network, labels=labels, cameras=cameras, frame_step=frame_step)
        return None
    check_name(output)
    keep_freed_memory()
    use_threads(cfg.THREADS)
    with processes(resolve_device(cfg.DEVICE)):
        records = image_records(
            paths,
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


def extract_parts(
    cfg: CfgNode,
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    network: str = "ensemble",
    labels: str = "name",
    cameras: str = "use",
    frame_step: int = 0,
) -> None:
    """Write features as a folder of Parquet files, every process its share: nothing is gathered.

    What is done stays done: a command that is given again makes the parts that are missing, with any number of
    processes.

    Args:
        cfg, paths, network, labels, cameras, frame_step: as for `extract_images`; so are the errors.
        output: the folder, the same for all processes.
    """
    parts = PartFolder(output)
    keep_freed_memory()
    use_threads(cfg.THREADS)
    with processes(resolve_device(cfg.DEVICE)):
        records = image_records(
            paths,
            labels=labels,
            cameras=cameras,
            frame_step=frame_step,
            camera_pattern=cfg.OWN.CAMERA_PATTERN,
        )
        positions = part_positions(len(records), cfg.TEST.BATCH_SIZE)
        own = range(rank(), len(positions), world_size())
        usable = {
            record.path for record in usable_records(cfg, [records[row] for part in own for row in positions[part]])
        }
        extractor = FeatureExtractor.from_config(cfg, network)
        images = ImageFiles(records, cfg.DATA.STORED_SIZE, cfg.DATA.PIXEL_LIMIT)
        rows = {part: np.array([row for row in positions[part] if records[row].path in usable], int) for part in own}
        files = {
            part: parts.file(part, _fingerprint(extractor, images, rows[part], cfg.TEST.BATCH_SIZE))
            for part in own
            if len(rows[part])
        }
        missing = [part for part, file in files.items() if not file.exists()]
        if len(missing) < len(files):
            logger.info("%s: %s parts were done before", output, f"{len(files) - len(missing):,}")
        speed = Speed()
        found = features_in_parts(
            extractor.networks,
            images,
            extractor.spec,
            [rows[part] for part in missing],
            device=extractor.device,
            batch_size=cfg.TEST.BATCH_SIZE,
            workers=cfg.DATA.WORKERS,
            speed=speed,
        )
        with closing(found):
            for part, members in zip(missing, found, strict=True):
                chosen = [records[row] for row in rows[part]]
                parts.save(FeatureSet.of(extractor.join(members), chosen, extractor.model), files[part])
        log_speed(speed)
        done = {part: (file.name, len(rows[part])) for part, file in files.items()}
        whole = dict(sorted(entry for share in gather_objects(done) for entry in share.items()))
        if rank() == 0:
            count = sum(size for _, size in whole.values())
            parts.finish([name for name, _ in whole.values()], count)
            print(f"{output}: {count:,} features in {len(whole):,} parts", flush=True)


def _fingerprint(extractor: FeatureExtractor, images: ImageFiles, rows: np.ndarray, batch_size: int) -> str:
    """Of all that a part follows from: files, what is known of them, networks and options."""
    records = [images.records[row] for row in rows]
    known = [record._replace(path="", pixels=None) for record in records]
    paths = (record.path for record in records)
    return files_fingerprint(paths, extractor.model, images.size, extractor.spec.evaluation(), batch_size, known)
