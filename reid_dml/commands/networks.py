"""The trained networks that a command was given: a run with `--run`, or a config with weights."""

from __future__ import annotations

import os
from collections.abc import Sequence

from yacs.config import CfgNode

from reid_dml.config import load_config
from reid_dml.errors import UserError
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.runs.networks import NetworkChoice
from reid_dml.runs.sources import run_config


def chosen_config(
    run: str | os.PathLike[str] | None, config_file: str | os.PathLike[str] | None, options: Sequence[str] = ()
) -> CfgNode:
    """The config of the networks a command was given, with `MODEL.WEIGHTS`.

    Args:
        run: a run folder or a weights file, which know their config; or None.
        config_file: a config file, or None.
        options: `KEY VALUE ...` that override either.

    Raises:
        UserError: neither or both of run and config file, or one that cannot be read.
    """
    if run and config_file:
        raise UserError(
            "the networks: give --run or --config-file, not both; --run uses the run's own config, and options "
            "behind it as KEY VALUE"
        )
    if run:
        return run_config(run, options)
    if config_file:
        return load_config(config_file, options)
    words = [*options, ""]
    weights = words[words.index("MODEL.WEIGHTS") + 1] if "MODEL.WEIGHTS" in words else ""
    what = (
        weights
        or "and a run folder, a model folder, one of their .safetensors files, an exported file or hf://owner/name"
    )
    raise UserError(f"networks are needed: give --run {what}")


def open_extractor(
    run: str | os.PathLike[str] | None,
    config_file: str | os.PathLike[str] | None,
    options: Sequence[str],
    network: NetworkChoice = "ensemble",
) -> FeatureExtractor:
    """The networks a command was given, ready to extract features.

    Args:
        run, config_file, options: as for `chosen_config`.
        network: see `runs.networks.NetworkChoice`.

    Raises:
        UserError: as `chosen_config`, or networks that cannot be opened.
    """
    return FeatureExtractor.from_config(chosen_config(run, config_file, options), network)
