"""Several processes: placement of networks, and the same result as one process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from reid_dml.engine.experiment import train_and_evaluate
from reid_dml.errors import UserError
from reid_dml.mutual.distributed import placement
from tests.conftest import REPOSITORY


def torchrun(processes, tool, *arguments):
    return subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
            f"tools/{tool}.py", *map(str, arguments),
        ],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "world", "places"),
    [(2, 1, [[0, 1]]), (2, 2, [[0], [1]]), (5, 2, [[0, 1, 2], [3, 4]]), (4, 3, [[0, 1], [2], [3]])],
)
def test_networks_are_placed_in_contiguous_shares(size, world, places):
    assert placement(size, world) == places


def test_more_processes_than_networks_are_refused():
    with pytest.raises(UserError, match="3 processes for 2 networks: start at most 2"):
        placement(2, 3)


def test_two_processes_train_the_same_networks_as_one(tiny_config, tiny_run, tmp_path):
    done = torchrun(2, "train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    for index in (0, 1):
        one, two = (load_file(run / f"network_{index}_ema.safetensors") for run in (tiny_run, tmp_path / "run"))
        for name in one:
            torch.testing.assert_close(two[name], one[name], rtol=1e-6, atol=1e-6)
    first, second = (json.loads((run / "result.json").read_text())["metrics"] for run in (tiny_run, tmp_path / "run"))
    assert second["ensemble"]["single_query"]["mAP"] == pytest.approx(
        first["ensemble"]["single_query"]["mAP"], abs=1e-6
    )
    lines = [(run / "metrics.jsonl").read_text().splitlines() for run in (tiny_run, tmp_path / "run")]
    assert len(lines[0]) == len(lines[1]) == 3
    # (K - K_local) * N * C * 4 bytes a step, Sec. 3.3's "small probabilities".
    assert [json.loads(line)["received_bytes_per_step"] for line in lines[1]] == [1 * 8 * 5 * 4] * 3

    # The images of a test are shared out; the result stays the same.
    done = torchrun(
        2, "test_net", "--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, "--json", tmp_path / "m.json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "m.json").read_text()) == first


def test_sequential_updates_are_refused_in_several_processes(tiny_config, tmp_path):
    done = torchrun(
        2, "train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run", "UPDATE.RULE", "sequential"
    )
    assert done.returncode != 0
    assert "error: UPDATE.RULE: sequential works in one process only, 2 were started" in done.stderr
    assert not (tmp_path / "run").exists()


def test_two_processes_accumulate_and_count_what_every_batch_brings(tiny_config, make_config, tmp_path):
    options = ["TRAIN.ACCUMULATION", "3", "TRAIN.PRECISION", "bfloat16", "TRAIN.STEPS", "2", "OPTIM.CLIP_NORM", "1.0"]
    done = torchrun(2, "train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "two", *options)
    assert done.returncode == 0, done.stderr
    train_and_evaluate(make_config("OUTPUT_DIR", str(tmp_path / "one"), *options))
    for index in (0, 1):
        one, two = (load_file(tmp_path / run / f"network_{index}.safetensors") for run in ("one", "two"))
        for name in one:
            torch.testing.assert_close(two[name], one[name], rtol=1e-6, atol=1e-6)
    (line,) = (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["received_bytes_per_step"] == 3 * 8 * 5 * 4
