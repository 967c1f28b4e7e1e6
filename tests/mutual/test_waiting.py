"""Processes that wait: as long as it takes for one that works, some minutes (here seconds) for one that is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch.distributed as dist

from reid_dml.errors import UserError
from reid_dml.processes import processes
from tests.conftest import REPOSITORY, launched

LIMIT = 5  # seconds; two processes on a busy machine start that much apart


@pytest.fixture
def start(tmp_path):
    """Start two processes as `torchrun` does, but without an agent that ends one when the other has failed."""
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    started = []

    def run(how):
        for rank in range(2):
            variables = os.environ | {
                "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port),
                "TORCHELASTIC_USE_AGENT_STORE": "True", "REID_DML_TIMEOUT": str(LIMIT),
            }  # fmt: skip
            command = [sys.executable, "-m", "tests.mutual.waiting", how, str(tmp_path / "ready")]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            started.append(subprocess.Popen(command, cwd=REPOSITORY, env=variables, **pipes))
        return started

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_slow_work_of_process_0_keeps_the_others_waiting(start):
    outputs = [process.communicate(timeout=120) for process in start("slow")]
    assert [out.splitlines() for out, _ in outputs] == [["worked in 0", "[0, 1]"], ["worked in 1", "[0, 1]"]], outputs


@pytest.mark.parametrize(
    ("sent", "how", "loses", "words"),
    [
        (signal.SIGSTOP, "working", 0, "process 0 of 2 (counted from 0): no sign of life for 5 s"),
        (signal.SIGSTOP, "waiting", 1, "process 1 of 2 (counted from 0): no sign of life for 5 s"),
        (signal.SIGSTOP, "computing", 1, "another process of this command does not answer"),
        (signal.SIGKILL, "working", 0, "process 0 of 2 (counted from 0): no sign of life for 5 s"),
    ],
)
def test_a_stopped_or_killed_process_ends_the_others_in_a_line(start, tmp_path, sent, how, loses, words):
    found = start(how)
    until = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < until
        time.sleep(0.1)
    found[loses].send_signal(sent)
    sent_at = time.monotonic()
    _, err = found[1 - loses].communicate(timeout=60)
    assert found[1 - loses].returncode == 2, err
    assert time.monotonic() - sent_at < 10 * LIMIT
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert words in line
    assert "Traceback" not in err


@pytest.mark.parametrize("given", ["soon", "0", "-3", "nan", "inf"])
def test_a_timeout_that_is_none_is_refused(monkeypatch, given):
    for name, value in {**launched("2"), "REID_DML_TIMEOUT": given}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="REID_DML_TIMEOUT"), processes("cpu"):
        pass
