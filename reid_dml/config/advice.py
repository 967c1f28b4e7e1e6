"""Options that a training or evaluation would accept but that do nothing: said once, when it starts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from yacs.config import CfgNode

from reid_dml.config.schema import all_options, all_sections, chosen_components, get_option
from reid_dml.options import shown

# Options of no component, the option that switches them on, and the value under which they do nothing.
_SWITCHES = {
    "EMA.DECAY": ("EMA.ENABLED", False),
    "EMA.COUNTER": ("EMA.ENABLED", False),
    "MODEL.INIT_STD": ("MODEL.INIT", "default"),
    "INPUT.PAD_MODE": ("INPUT.PAD", 0),
    "INPUT.ERASE_AREA": ("INPUT.ERASE", 0.0),
    "INPUT.ERASE_ASPECT": ("INPUT.ERASE", 0.0),
    "INPUT.CROP_AREA": ("INPUT.CROP", "none"),
    "INPUT.CROP_ASPECT": ("INPUT.CROP", "none"),
    "TEST.RERANK_K": ("TEST.RERANK", False),
    "TEST.RERANK_LAMBDA": ("TEST.RERANK", False),
    "TEST.EXPAND_ALPHA": ("TEST.EXPAND", 0),
}


def warn_of_idle_options(cfg: CfgNode) -> None:
    """One warning for each option that was changed to no effect, and for each loss that cannot act."""

    def warn(key: str, why: str) -> None:
        warnings.warn(f"{key}: {shown(get_option(cfg, key))}: {why}", stacklevel=3)

    for key, why in _switched_off(cfg):
        warn(key, why)
    if 0 < cfg.TRAIN.STEPS <= cfg.SCHEDULE.WARMUP_STEPS:
        share = cfg.TRAIN.STEPS / cfg.SCHEDULE.WARMUP_STEPS
        warn(
            "SCHEDULE.WARMUP_STEPS",
            f"is not below TRAIN.STEPS {cfg.TRAIN.STEPS}: the learning rate only rises, to {share:.3g} of COHORT.LR, "
            f"and SCHEDULE.NAME {cfg.SCHEDULE.NAME} has no effect; lower it",
        )
    for section in all_sections():
        for key, why in section.idle(cfg):
            warn(key, why)
    for component in chosen_components(cfg):
        component.advise(cfg, warn)


def warn_of_idle_test_options(cfg: CfgNode) -> None:
    """The same of options of an evaluation alone."""
    for key, why in _switched_off(cfg):
        if key.startswith("TEST."):
            warnings.warn(f"{key}: {shown(get_option(cfg, key))}: {why}", stacklevel=2)


def _switched_off(cfg: CfgNode) -> Iterator[tuple[str, str]]:
    """Options that were changed while the one that switches them on is off: (key, why it has no effect)."""
    options = all_options()
    for key, (switch, off) in _SWITCHES.items():
        states = get_option(cfg, switch)
        idle = all(state == off for state in (states if isinstance(states, list) else [states]))
        if idle and get_option(cfg, key) != options[key].default:
            yield key, f"has no effect while {switch} is {off}"
