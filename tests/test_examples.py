"""The examples run, and what they teach is learnt."""

from __future__ import annotations

import runpy

from tests.conftest import REPOSITORY


def test_in_the_plain_loop_the_loss_of_both_networks_falls(capsys):
    history = runpy.run_path(str(REPOSITORY / "examples" / "plain_loop.py"))["main"]()
    for first, last in zip(history[0], history[-1], strict=True):
        assert last < 0.5 * first
    assert capsys.readouterr().out.count("epoch ") == len(history)
