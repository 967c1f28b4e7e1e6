"""The fingerprint of networks: equal where features may be compared, different where they may not."""

from __future__ import annotations

import torch

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
