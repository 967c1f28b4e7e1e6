"""Handing trained networks on: a model folder with all that belongs to them."""

from __future__ import annotations

import os

from yacs.config import CfgNode

from reid_dml.features.extractor import FeatureExtractor
from reid_dml.sharing.model_folder import check_new_folder


def save_model_folder(
    cfg: CfgNode,
    folder: str | os.PathLike[str],
    *,
    network: str = "ensemble",
    licence: str = "other",
    terms: str = "",
) -> None:
    """Write the networks of `MODEL.WEIGHTS` as a model folder, and say what is in it.

    Args:
        cfg: names the networks.
        folder: new or empty.
        network: see `runs.networks.NetworkChoice`.
        licence: of the weights, in the words of the Hugging Face hub.
        terms: of the data they were trained on.

    Raises:
        UserError: as `sharing.model_folder.save_model`.
    """
    folder = check_new_folder(folder)  # before the work
    extractor = FeatureExtractor.from_config(cfg, network)
    extractor.save_pretrained(folder, licence=licence, terms=terms)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        print(f"{entry.path}: {entry.stat().st_size:,} bytes")
    print(f"fingerprint {extractor.model}; use it as --run {folder}")
