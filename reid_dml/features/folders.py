"""Features of a folder of anybody's images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.images import list_images
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.records import UNKNOWN_CAMERA, UNKNOWN_PERSON, ImageRecord
from reid_dml.data.sets.market1501 import parse_name
from reid_dml.data.stored import ImageFiles
from reid_dml.device import keep_freed_memory, resolve_device
from reid_dml.errors import UserError, require_file
from reid_dml.features.ensemble import concatenate_features
from reid_dml.features.extraction import extract_features
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.resumable import extract_in_parts
from reid_dml.files import check_output
from reid_dml.inference.gather import gather_rows
from reid_dml.inference.speed import Speed, print_speed
from reid_dml.processes import processes, rank
from reid_dml.runs.networks import choose_network, fingerprint, load_networks
from reid_dml.threads import use_threads


def folder_records(folder: str | os.PathLike[str]) -> list[ImageRecord]:
    """All images below a folder, sorted by path; ids from names in Market's pattern, unknown otherwise.

    Raises `UserError` if there is no such folder or no image in it.
    """
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: folder not found; name a folder of images")
    records = [
        named_record(os.path.join(where, name))
        for where, _, _ in sorted(os.walk(folder))
        for name in list_images(where)
    ]
    if not records:
        raise UserError(f"{folder}: holds no images, nor do its sub-folders; name a folder of images")
    return sorted(records)


def named_record(path: str) -> ImageRecord:
    """The record of one image: ids from a name in Market's pattern, unknown otherwise."""
    try:
        return ImageRecord(path, *parse_name(os.path.basename(path)))
    except ValueError:
        return ImageRecord(path, UNKNOWN_PERSON, UNKNOWN_CAMERA)


def image_records(paths: Sequence[str | os.PathLike[str]]) -> list[ImageRecord]:
    """Image files as given and all images below folders. Raises `UserError` for a path that is neither."""
    records: list[ImageRecord] = []
    for path in paths:
        if Path(path).is_dir():
            records += folder_records(path)
        else:
            records.append(named_record(str(require_file(path, "the image or folder", "check the path"))))
    return records


def extract_records(extractor: FeatureExtractor, records: Sequence[ImageRecord], *, title: str) -> FeatureSet:
    """Features of images through the networks of an extractor, in this process alone."""
    cfg = extractor.cfg
    members = extract_features(
        extractor.networks,
        ImageFiles(records, cfg.DATA.STORED_SIZE),
        extractor.spec,
        device=extractor.device,
        batch_size=cfg.TEST.BATCH_SIZE,
        workers=cfg.DATA.WORKERS,
        title=title,
    )
    joined = concatenate_features([members[index] for index in sorted(members)], how=cfg.TEST.ENSEMBLE)
    return FeatureSet.of(joined, records, extractor.model)


def extract_folder(
    cfg: CfgNode, folder: str | os.PathLike[str], output: str | os.PathLike[str], *, network: str = "ensemble"
) -> FeatureSet | None:
    """Write the feature file of a folder with the networks of `MODEL.WEIGHTS`; None on processes other than 0.

    Until it is written, finished parts are kept beside it, and an interrupted extraction goes on behind them.
    """
    if Path(output).suffix != ".npz":
        raise UserError(f"{output}: a feature file's name ends in .npz")
    check_output(output)
    keep_freed_memory()
    device = resolve_device(cfg.DEVICE)
    use_threads(cfg.THREADS)
    with processes(device):
        records = folder_records(folder)
        networks = choose_network(load_networks(cfg, cfg.MODEL.WEIGHTS, device), network, cfg.MODEL.WEIGHTS)
        parts = Path(output).with_name(f".{Path(output).name}.parts")
        speed, model = Speed(), fingerprint(cfg, networks)
        rows, own = extract_in_parts(
            networks,
            ImageFiles(records, cfg.DATA.STORED_SIZE),
            AugmentSpec.of(cfg),
            parts,
            model=model,
            device=device,
            batch_size=cfg.TEST.BATCH_SIZE,
            workers=cfg.DATA.WORKERS,
            speed=speed,
        )
        print_speed(speed)
        members = gather_rows(own, rows, len(records))
        if rank() > 0:
            return None
        joined = concatenate_features([members[index] for index in sorted(members)], how=cfg.TEST.ENSEMBLE)
        features = FeatureSet.of(joined, records, model)
        features.save(output)
        shutil.rmtree(parts, ignore_errors=True)
        return features
