"""The examples run, and what they teach is learnt."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


def test_in_the_plain_loop_the_loss_of_both_networks_falls(capsys):
    history = runpy.run_path(str(REPOSITORY / "examples" / "plain_loop.py"))["main"]()
    for first, last in zip(history[0], history[-1], strict=True):
        assert last < 0.5 * first
    assert capsys.readouterr().out.count("epoch ") == len(history)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--run", "nowhere"], "nowhere: not found; name a run folder of reid-dml train"),
        (["--similarity", "75"], "--similarity 75.0: a cosine similarity lies between -1 and 1"),
        (["--similarity", "high"], "invalid float value: 'high'"),
    ],
)
def test_the_tracker_refuses_in_a_line(tmp_path, words, said):
    script = REPOSITORY / "examples" / "tracker.py"
    done = subprocess.run([sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
