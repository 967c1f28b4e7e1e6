"""Extracting features: the networks a command was given, and the feature file of a folder of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.config import load_config
from reid_dml.data.broken import usable_records
from reid_dml.data.image_paths import image_records
from reid_dml.data.stored import ImageFiles
from reid_dml.device import keep_freed_memory, resolve_device
from reid_dml.errors import UserError
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.resumable import extract_resumably, open_store
from reid_dml.files import check_output
from reid_dml.inference.rows import gather_rows
from reid_dml.inference.speed import Speed, log_speed
from reid_dml.processes import processes, rank
from reid_dml.threads import use_threads


def open_extractor(
    run: str | os.PathLike[str] | None,
    config_file: str | os.PathLike[str] | None,
    options: Sequence[str],
    network: str | int = "ensemble",
) -> FeatureExtractor:
    """The networks a command was given.

    Args:
        run: a run folder, or None.
        config_file: a config file, or None.
        options: `KEY VALUE ...` that override the config file.
        network: `ensemble` or the index of one network.

    Raises:
        UserError: neither or both of run and config file, or networks that cannot be opened.
    """
    if run and not config_file and not options:
        return FeatureExtractor.from_run(run, network)
    if config_file and not run:
        return FeatureExtractor.from_config(load_config(config_file, options), network)
    raise UserError(
        "images need networks: give either --run and a run folder, or --config-file FILE MODEL.WEIGHTS path"
    )


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
        output: a name that ends in .npz.
        network: `ensemble` or the index of one network.
        labels, cameras, frame_step: as for `data.image_paths.image_records`.

    Returns:
        The features on process 0, None on others.

    Raises:
        UserError: a file that cannot be written, a folder without images, networks that do not fit, an image that
            cannot be read, features that are not finite.
    """
    if Path(output).suffix != ".npz":
        raise UserError(f"{output}: a feature file's name ends in .npz")
    check_output(output)
    keep_freed_memory()
    use_threads(cfg.THREADS)
    with processes(resolve_device(cfg.DEVICE)):
        records = image_records([folder], labels=labels, cameras=cameras, frame_step=frame_step)
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
        features.save(output)
        store.remove()
        print(f"{output}: {len(features):,} features of {features.features.shape[1]} dimensions", flush=True)
        return features
