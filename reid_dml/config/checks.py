"""What values options may have, and which cannot go together: checked once, when a config is loaded.

Ranges come from the options themselves, rules between a component's options from the component; what is here concerns
options that belong to none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from yacs.config import CfgNode

from reid_dml.config.schema import all_options, chosen_components, get_option
from reid_dml.data.pipeline.samplers import sampler_kind
from reid_dml.data.sets import DATA_SETS, split_entry
from reid_dml.errors import UserError
from reid_dml.mutual.terms import active_terms
from reid_dml.options import Refuse, shown


def check_config(cfg: CfgNode, source: str | os.PathLike[str], overridden: Collection[str] = ()) -> None:
    """Refuse values out of range and options that cannot go together.

    Args:
        cfg: every option, of the right types.
        source: where the options stand, for messages.
        overridden: keys that were given on the command line instead.

    Raises:
        UserError: naming where, the key and its value.
    """

    def refuse(key: str, why: str) -> None:
        where = "command line" if key in overridden else source
        raise UserError(f"{where}: {key}: {shown(get_option(cfg, key))} {why}")

    _check_values(cfg, refuse)
    for check in (_check_data, _check_input, _check_cohort, _check_training, _check_test):
        check(cfg, refuse)
    for component in chosen_components(cfg):
        component.check(cfg, refuse)


def _check_values(cfg: CfgNode, refuse: Refuse) -> None:
    networks = len(cfg.COHORT.NETWORKS)
    for key, option in all_options().items():
        value = get_option(cfg, key)
        if why := option.problem(value):
            refuse(key, why)
        if option.per_network and len(value) not in (1, networks):
            refuse(key, f"needs 1 or {networks} values, one for each of COHORT.NETWORKS")


def _check_data(cfg: CfgNode, refuse: Refuse) -> None:
    for key in ("DATA.TRAIN", "DATA.TEST"):
        for entry in (entries := get_option(cfg, key)):
            try:
                kind = DATA_SETS.get(split_entry(entry)[0])
            except UserError as unknown:
                refuse(key, f"holds {shown(entry)}: {str(unknown).partition(': ')[2]}")
            if kind.task != "retrieval":
                refuse(
                    key, f"holds {entry}, a set of classes; only sets of persons can be trained on or tested together"
                )
        if len(set(entries)) < len(entries):
            refuse(key, "names a data set twice")


def _check_input(cfg: CfgNode, refuse: Refuse) -> None:
    for key in ("DATA.STORED_SIZE", "INPUT.SIZE"):
        if min(get_option(cfg, key)) < 8:
            refuse(key, "must be at least 8 pixels in both directions")
    if min(cfg.INPUT.SIZE) <= cfg.INPUT.PAD:
        refuse("INPUT.PAD", "must be smaller than both numbers of INPUT.SIZE")
    for key in ("INPUT.ERASE_AREA", "INPUT.CROP_AREA"):
        least, largest = get_option(cfg, key)
        if not 0 < least <= largest <= 1:
            refuse(key, "must be a least and a largest share of the image, in (0, 1]")
    for key in ("INPUT.ERASE_ASPECT", "INPUT.CROP_ASPECT"):
        least, largest = get_option(cfg, key)
        if not 0 < least <= largest:
            refuse(key, "must be a least and a largest ratio, both greater than 0")
    if cfg.INPUT.CROP != "none" and any(s < i for s, i in zip(cfg.DATA.STORED_SIZE, cfg.INPUT.SIZE, strict=True)):
        refuse("INPUT.CROP", "needs DATA.STORED_SIZE to be at least INPUT.SIZE in both directions")


def _check_cohort(cfg: CfgNode, refuse: Refuse) -> None:
    if not cfg.COHORT.NETWORKS:
        refuse("COHORT.NETWORKS", "is empty: name at least one network")
    terms = active_terms(cfg.OBJECTIVE)
    if cfg.COHORT.TEACHERS and not any(term.needs_peers for term in terms):
        refuse("COHORT.TEACHERS", "teach nobody while OBJECTIVE.STRATEGY is independent; set it to dml, for example")
    alone = len(cfg.COHORT.NETWORKS) == 1 and not cfg.COHORT.TEACHERS
    for term in terms:
        if term.needs_peers and alone:
            refuse(
                term.key(),
                f"needs peers, but COHORT.NETWORKS names one network and COHORT.TEACHERS none; set it to {term.off}",
            )
        if term.needs_pairs and not sampler_kind(cfg.SAMPLER).gives_pairs:
            refuse(
                term.key(),
                "needs several images of a person in a batch; set SAMPLER.NAME to identity or cross_camera",
            )
    if cfg.MODEL.LAST_STRIDE not in (1, 2):
        refuse("MODEL.LAST_STRIDE", "must be 1 or 2")


def _check_training(cfg: CfgNode, refuse: Refuse) -> None:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", cfg.DEVICE):
        refuse("DEVICE", "is not one of auto, cpu, cuda, cuda:N")
    if cfg.TRAIN.BATCH_SIZE == 1:
        refuse("TRAIN.BATCH_SIZE", "must be at least 2: batch norm has no statistics of one image")
    if cfg.SEMI.LABELLED_IDENTITIES == 1:
        refuse("SEMI.LABELLED_IDENTITIES", "must be 0 (all) or at least 2: a classifier needs two")
    if cfg.TRAIN.COMPILE == "True" and cfg.TRAIN.RECOMPUTE:
        refuse("TRAIN.COMPILE", "cannot go together with TRAIN.RECOMPUTE True; set one of them to False")


def _check_test(cfg: CfgNode, refuse: Refuse) -> None:
    if cfg.TEST.WEIGHTS == "ema" and not cfg.EMA.ENABLED:
        refuse("TEST.WEIGHTS", "needs EMA.ENABLED True; set it to auto or last")
    if cfg.TEST.INTERVAL % cfg.TRAIN.LOG_INTERVAL:
        refuse(
            "TEST.INTERVAL",
            f"must be a multiple of TRAIN.LOG_INTERVAL {cfg.TRAIN.LOG_INTERVAL}: its numbers stand in lines of the log",
        )
    sizes, networks = cfg.TEST.ENSEMBLE_SIZES, len(cfg.COHORT.NETWORKS)
    if max(sizes, default=0) >= networks:
        refuse(
            "TEST.ENSEMBLE_SIZES",
            f"must be below {networks}, the number of COHORT.NETWORKS: the ensemble of all is evaluated anyway",
        )
    if len(set(sizes)) < len(sizes):
        refuse("TEST.ENSEMBLE_SIZES", "names a number twice")
