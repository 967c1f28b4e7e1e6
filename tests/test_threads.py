"""One number of threads for everything, whatever was imported first."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from reid_dml import threads
from reid_dml.data.pipeline import cache, shard
from reid_dml.data.sets import load_data
from reid_dml.device import describe_device
from reid_dml.threads import cpu_threads, use_threads
from reid_dml.waiting import wait_briefly
from tests.conftest import REPOSITORY, launched


@pytest.fixture(autouse=True)
def new_process():
    """The load is measured once in a process."""
    threads._free_of.cache_clear()
    yield
    threads._free_of.cache_clear()


SCRIPT = """
import importlib, json, sys
from reid_dml import threads
from reid_dml.threads import cpu_threads, use_threads
threads._busy_cores = lambda: (threads.usable_cores(), 0.0)
assert not {"torch", "faiss", "numpy"} & set(sys.modules)
late = sys.argv[2] == "late"
if late:
    use_threads(int(sys.argv[1]))
for name in sys.argv[3:]:
    importlib.import_module(name)
if not late:
    use_threads(int(sys.argv[1]))
import numpy
from threadpoolctl import threadpool_info
import faiss, torch
pools = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
print(json.dumps([cpu_threads(), torch.get_num_threads(), faiss.omp_get_max_threads(), *pools.values()]))
"""


def numbers(asked, when, first, then, **variables):
    variables = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"} | variables
    command = [sys.executable, "-c", SCRIPT, str(asked), when, first, then]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY, env=variables)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("order", [("torch", "faiss"), ("faiss", "torch")])
def test_the_number_does_not_depend_on_what_was_imported_first(order):
    assert numbers(3, "early", *order) == {3}
    assert numbers(1, "late", *order) == {1}
    assert numbers(0, "early", *order, OMP_NUM_THREADS="3") == {3}
    assert numbers(0, "early", *order) == {threads.usable_cores()}


def test_a_later_command_is_not_bound_by_an_earlier_one(monkeypatch):
    monkeypatch.setattr(threads, "_GIVEN", "")
    monkeypatch.setattr(threads, "_busy_cores", lambda: (threads.usable_cores(), 0.0))
    for asked, found in ((2, 2), (3, 3), (0, threads.usable_cores())):
        use_threads(asked)
        assert cpu_threads() == torch.get_num_threads() == found
    monkeypatch.setattr(threads, "_GIVEN", "5,2")
    use_threads()
    assert cpu_threads() == 5
    use_threads(1)
    assert describe_device("cpu").endswith(", 1 thread")


def test_cores_are_those_of_the_process_and_its_group(monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "_CGROUPS", tmp_path)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert threads.usable_cores() == 8
    for quota, cores in (("max 100000", 8), ("150000 100000", 2), ("20000 100000", 1), ("9900000 100000", 8)):
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
        assert threads.usable_cores() == cores


@pytest.mark.parametrize(
    ("user", "nice", "idle", "expected"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0), (20, 20, 20, 20), 4),
        ((20, 0, 0, 0), (0, 0, 0, 0), (0, 20, 20, 20), 3),
        ((20, 20, 20, 20), (0, 0, 0, 0), (0, 0, 0, 0), 1),
        ((5, 6, 0, 0), (0, 0, 0, 0), (15, 14, 20, 20), 3),  # 0.55 cores
        ((0, 0, 0, 0), (20, 20, 20, 20), (0, 0, 0, 0), 1),  # not to other sessions
        ((20, 20, 20, 20, 20), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0), 1),
    ],
)
def test_threads_are_as_many_as_the_cores_that_others_leave_free(
    user, nice, idle, expected, monkeypatch, tmp_path, caplog
):
    stat = tmp_path / "stat"
    monkeypatch.setattr(threads, "_GIVEN", "")
    monkeypatch.setattr(threads, "_CGROUPS", tmp_path)
    monkeypatch.setattr(threads, "_PROCESSOR_TIMES", stat)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(4)), raising=False)

    def write(*counts):
        lines = [f"cpu{core} {u} {n} 0 {i} 7 0 0 0 0 0" for core, (u, n, i) in enumerate(zip(*counts, strict=True))]
        stat.write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *lines, "intr 5 4 3", ""]))

    def sleep(_):
        write(*([100 + number for number in counts] for counts in (user, nice, idle)))

    write(*([100] * len(user) for _ in range(3)))
    monkeypatch.setattr(threads.time, "sleep", sleep)
    use_threads()
    assert cpu_threads() == torch.get_num_threads() == expected
    assert ("cores busy" in caplog.text) == (expected < 4)


def test_cores_count_as_free_where_the_system_does_not_say(monkeypatch, tmp_path):
    monkeypatch.setattr(threads, "_GIVEN", "")
    monkeypatch.setattr(threads, "_PROCESSOR_TIMES", tmp_path / "missing")
    use_threads()
    assert cpu_threads() == threads.usable_cores()


def test_waiting_threads_sleep_unless_the_user_says_otherwise(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "100")
    wait_briefly()
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.delenv("GOMP_SPINCOUNT")
    script = (
        "import os, sys; from reid_dml.ending import run_command\n"
        "def main():\n"
        "    assert 'torch' not in sys.modules; import torch\n"
        "    print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'])\n"
        "run_command(main)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout == "passive 20000\n", done.stderr


def test_decoding_uses_the_threads_that_were_asked_for(make_config, monkeypatch, tmp_path):
    asked, pool = [], shard.ThreadPoolExecutor
    monkeypatch.setattr(shard, "ThreadPoolExecutor", lambda workers: asked.append(workers) or pool(workers))
    records = load_data(make_config()).train
    for number, others, workers in ((1, "1", 1), (3, "1", 3), (1, "2", min(2, threads.usable_cores()))):
        use_threads(number)
        for name, value in (("LOCAL_WORLD_SIZE", others), *launched(others).items()):
            monkeypatch.setenv(name, value)
        cache.open_images(make_config("DATA.CACHE_DIR", str(tmp_path / f"{number}{others}")), records, "train")
        assert asked.pop() == workers


ENDING = """
import os, torch
from reid_dml.threads import end_threads
torch.set_num_threads(3)
counts = [len(os.listdir("/proc/self/task"))]
for work in (lambda: torch.ones(4_000_000).relu_(), end_threads, lambda: torch.ones(4_000_000).relu_(), end_threads):
    work()
    counts.append(len(os.listdir("/proc/self/task")))
print(*(count - counts[0] for count in counts[1:]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's OpenMP, and /proc")
def test_threads_that_are_not_needed_any_more_end():
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True)
    assert done.stdout.split() == ["2", "0", "2", "0"], done.stderr
