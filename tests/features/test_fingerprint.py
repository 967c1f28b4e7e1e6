"""The fingerprint of a model: equal where features may be compared, different where they may not."""

from __future__ import annotations

import warnings
from hashlib import sha256

import numpy as np
import pytest
import torch
from yacs.config import CfgNode

from reid_dml.config import all_options, default_config, flatten, get_option
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.features.fingerprint import fingerprint
from reid_dml.runs.networks import load_networks


def test_it_is_that_of_the_weights_and_of_what_changes_features(make_config, tiny_run):
    cfg = make_config()
    networks = load_networks(cfg, tiny_run, "cpu")
    one = fingerprint(cfg, networks)
    assert len(one) == 32
    assert fingerprint(cfg, load_networks(cfg, tiny_run, "cpu")) == one
    assert fingerprint(make_config("TEST.BATCH_SIZE", "3", "SEED", "7"), networks) == one
    others = [
        fingerprint(cfg, {0: networks[0]}),
        fingerprint(cfg, {1: networks[1]}),
        fingerprint(make_config("INPUT.SIZE", "[48, 16]"), networks),
        fingerprint(make_config("TEST.ENSEMBLE", "raw"), networks),
        fingerprint(
            make_config("TEST.WEIGHTS", "last"), load_networks(make_config("TEST.WEIGHTS", "last"), tiny_run, "cpu")
        ),
    ]
    with torch.no_grad():
        next(networks[1].parameters())[0] += 1e-6
    others.append(fingerprint(cfg, networks))
    assert len({one, *others}) == 7
    # How an ensemble is joined says nothing of a single network.
    assert fingerprint(make_config("TEST.ENSEMBLE", "raw"), {0: networks[0]}) == others[0]


# A changed value of these is another model.
OF_THE_MODEL = (
    "DATA.STORED_SIZE",
    "EMA.ENABLED",
    "INPUT.CROP",
    "INPUT.MEAN",
    "INPUT.SIZE",
    "INPUT.STD",
    "MODEL.BN_EPS",
    "MODEL.LAST_STRIDE",
    "TEST.ENSEMBLE",
    "TEST.FLIP",
    "TEST.WEIGHTS",
)
REFUSED = ("COHORT.NETWORKS", "MODEL.NECK")  # with these the run's weights do not fit


def test_every_option_that_changes_features_changes_it_and_no_other(make_config, tiny_run):
    cfg = make_config("DATA.STORED_SIZE", "[40, 20]")
    images = [record.path for record in load_data(cfg).query[:4]]
    model, features = _open(cfg, tiny_run, images)
    for key in OF_THE_MODEL:
        other_model, other_features = _open(_changed(cfg, key), tiny_run, images)
        assert other_model != model, key
        assert (other_features.shape, other_features.tolist()) != (features.shape, features.tolist()), key
    for key in REFUSED:
        with pytest.raises(UserError):
            _open(_changed(cfg, key), tiny_run, images)
    # All other options at once: a new one that changes features fails here until the fingerprint counts it.
    rest = [key for key in flatten(default_config()) if key not in (*OF_THE_MODEL, *REFUSED, "TEST.COMPILE")]
    other_model, other_features = _open(_changed(cfg, *rest), tiny_run, images)
    assert other_model == model
    np.testing.assert_array_equal(other_features, features)
    other_model, other_features = _open(_changed(cfg, "TEST.COMPILE"), tiny_run, images)  # rounds otherwise
    assert other_model == model
    np.testing.assert_allclose(other_features, features, atol=1e-6)


def _open(cfg: CfgNode, run, images) -> tuple[str, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the networks were trained otherwise
        extract = FeatureExtractor(cfg, load_networks(cfg, run, "cpu"), "cpu")
    return extract.model, extract(images)


def _changed(cfg: CfgNode, *keys: str) -> CfgNode:
    """The config with other values of some options."""
    changed = cfg.clone()
    changed.defrost()
    for key in keys:
        *sections, name = key.split(".")
        section = get_option(changed, ".".join(sections)) if sections else changed
        section[name] = _other(key, get_option(cfg, key))
    return changed


def _other(key: str, value):
    if key == "COHORT.NETWORKS":
        return value[:1]
    if key == "MODEL.LAST_STRIDE":
        return 1
    if key == "TEST.WEIGHTS":
        return "last"
    if key and (choices := all_options()[key].allowed()):
        if isinstance(value, list):
            return [next(choice for choice in choices if choice not in value)]
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 + 0.1
    if isinstance(value, str):
        return f"{value}x"
    return [_other("", entry) for entry in value] or ["x"]


def test_an_option_at_its_default_leaves_earlier_fingerprints_valid(make_config, tiny_run):
    """Feature files and indexes keep their models when an option comes to be counted."""
    cfg = make_config()
    networks, options = load_networks(cfg, tiny_run, "cpu"), flatten(cfg)
    keys = ("INPUT.SIZE", "INPUT.MEAN", "INPUT.STD", "DATA.STORED_SIZE", "COHORT.NETWORKS", "MODEL.LAST_STRIDE",
            "MODEL.BN_EPS", "TEST.FLIP", "TEST.ENSEMBLE")  # fmt: skip
    options["MODEL.BN_EPS"] = 0.0  # which was one value for all networks
    digest = sha256(repr([(key, options[key]) for key in keys]).encode())
    for index in (0, 1):
        digest.update(f"\n{cfg.COHORT.NETWORKS[index]}".encode())
        for name, tensor in sorted(networks[index].state_dict().items()):
            digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
    assert fingerprint(cfg, networks) == digest.hexdigest()[:32]


def test_only_the_used_networks_own_options_count(make_config, tiny_run):
    cfg, mixed = make_config(), make_config("MODEL.BN_EPS", "[0, 1e-5]")
    networks = load_networks(cfg, tiny_run, "cpu")
    assert fingerprint(mixed, {0: networks[0]}) == fingerprint(cfg, {0: networks[0]})
    assert fingerprint(mixed, {1: networks[1]}) != fingerprint(cfg, {1: networks[1]})
    assert fingerprint(mixed, networks) != fingerprint(cfg, networks)


@pytest.mark.parametrize(("crop", "warns"), [("none", False), ("inception", True)])
def test_another_crop_than_in_training_is_warned_of(make_config, tiny_run, crop, warns):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_networks(make_config("INPUT.CROP", crop), tiny_run, "cpu")
    assert any("INPUT.CROP was 'none', is 'inception'" in str(warning.message) for warning in caught) == warns
