"""Several processes: placement of networks, and the same result as one process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from reid_dml.commands import training
from reid_dml.commands.train import train_and_evaluate
from reid_dml.commands.training import plan_training
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError
from reid_dml.mutual.distributed import Placement
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
    ("size", "world", "places", "shards"),
    [
        (2, 1, ((0, 1),), 1),
        (2, 2, ((0,), (1,)), 1),
        (5, 2, ((0, 1, 2), (3, 4)), 1),
        (4, 3, ((0, 1), (2,), (3,)), 1),
        (2, 6, ((0,), (1,)), 3),
    ],
)
def test_networks_are_placed_in_contiguous_shares(size, world, places, shards):
    placements = [Placement.of(size, world, rank) for rank in range(world)]
    assert all((placement.places, placement.shards) == (places, shards) for placement in placements)
    seen = [(index, placement.shard) for placement in placements for index in placement.networks]
    assert sorted(seen) == [(index, shard) for index in range(size) for shard in range(shards)]
    for rank, placement in enumerate(placements):
        assert rank in placement.exchange_ranks(placement.shard)
        assert rank in placement.replica_ranks(rank // shards)


def test_impossible_placements_are_refused():
    with pytest.raises(UserError, match="3 processes for 2 networks: start at most 2, or a multiple of 2"):
        Placement.of(2, 3)
    with pytest.raises(UserError, match=r"TRAIN\.BATCH_SIZE: 9 images cannot be shared out evenly over 2 processes"):
        Placement.of(2, 4, batch_size=9)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["TRAIN.BATCH_SIZE", "2"],
            r"TRAIN\.BATCH_SIZE: 2 processes share each network, and batch norm has no statistics of one image",
        ),
        (
            ["SAMPLER.NAME", "identity", "SAMPLER.IMAGES_PER_IDENTITY", "4"],  # 1 person a shard
            r"TRAIN\.BATCH_SIZE: 2 processes share each network, and each shard of a batch needs whole persons",
        ),
        (
            [
                "SAMPLER.NAME",
                "identity",
                "SAMPLER.IMAGES_PER_IDENTITY",
                "4",
                "TRAIN.BATCH_SIZE",
                "20",
            ],  # 2.5
            r"TRAIN\.BATCH_SIZE: 2 processes share each network, and each shard of a batch needs whole persons",
        ),
        (
            ["SEMI.LABELLED_SHARE", "0.5", "SAMPLER.LABELLED_PER_BATCH", "4"],
            r"SAMPLER\.LABELLED_PER_BATCH: 2 processes share each network, and labelled images would lie in the first",
        ),
        (
            ["OBJECTIVE.CENTER_WEIGHT", "0.01"],
            r"OBJECTIVE\.CENTER_WEIGHT: 2 processes share each network, and its state would move apart",
        ),
    ],
)
def test_what_replicas_of_a_network_cannot_share_is_refused_before_any_data_is_read(
    make_config, monkeypatch, overrides, message
):
    cfg = make_config(*overrides)
    plan_training(cfg)  # two processes for two networks do
    monkeypatch.setattr(training, "world_size", lambda: 4)
    with pytest.raises(UserError, match=message):
        plan_training(cfg)


def run_linear(processes, size, folder, *how):
    folder.mkdir()
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *launch, "-m", "tests.mutual.linear_cohort", str(size), str(folder), *how]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=300)
    return [torch.load(folder / f"{index}.pt") for index in range(size)]


@pytest.mark.parametrize(("size", "worlds"), [(2, (2, 4)), (3, (2, 3))])
def test_any_number_of_processes_computes_the_same(tmp_path, size, worlds):
    """One network a process, several, and several processes a network, after 50 steps in float64 with momentum."""
    alone = run_linear(1, size, tmp_path / "1")
    for world in worlds:
        together = run_linear(world, size, tmp_path / str(world))
        placement = Placement.of(size, world)
        for index, (one, many) in enumerate(zip(alone, together, strict=True)):
            assert_same_training(one, many)
            own = next(len(place) for place in placement.places if index in place)
            assert many["bytes"] == (size - own) * (12 // placement.shards) * 5 * 4
        assert alone[0]["bytes"] is None


@pytest.mark.parametrize(("size", "world"), [(3, 2), (2, 4)])
def test_processes_draw_features_together_as_one_does(tmp_path, size, world):
    """The features of remote networks, of those in one process, and of shards that replicas see."""
    alone, together = (
        run_linear(1, size, tmp_path / "1", "features"),
        run_linear(world, size, tmp_path / "n", "features"),
    )
    placement = Placement.of(size, world)
    for index, (one, many) in enumerate(zip(alone, together, strict=True)):
        assert_same_training(one, many)
        own = next(len(place) for place in placement.places if index in place)
        assert many["bytes"] == (size - own) * (12 // placement.shards) * (5 + 4) * 4


def test_replicas_learn_from_the_pairs_of_their_shards(tmp_path):
    """Triplet and circle loss: the mean over the shards of what each shard's pairs give."""
    alone = run_linear(1, 2, tmp_path / "alone", "pairs", "2")
    together = run_linear(4, 2, tmp_path / "together", "pairs")
    for one, many in zip(alone, together, strict=True):
        assert_same_training(one, many)


def assert_same_training(one, many):
    for name in ("embedding", "weight", "report"):
        torch.testing.assert_close(many[name], one[name], rtol=0, atol=1e-6)
    assert (one["report"][:-1] != 0).all()  # terms and their sum; the accuracy may be 0


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    return run_linear(2, 2, tmp_path_factory.mktemp("eager") / "run")


@pytest.mark.parametrize(("how", "replays"), [("captured", 47), ("waits", 0), ("breaks_off", 0)])
def test_processes_replay_a_captured_step_together_or_not_at_all(tmp_path, eager, how, replays):
    for found, expected in zip(run_linear(2, 2, tmp_path / "captured", how), eager, strict=True):
        assert found["replays"] == replays
        assert torch.equal(found["weight"], expected["weight"])
        assert torch.equal(found["report"], expected["report"])


def test_a_process_that_dies_stops_the_others_within_seconds(tiny_config, data_root, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights")
    started = time.monotonic()
    done = torchrun(
        2, "train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run", "COHORT.INIT_WEIGHTS",
        f"['', {broken}]",
    )  # fmt: skip
    assert done.returncode != 0
    assert "error: " in done.stderr
    assert "broken.safetensors: is a text" in done.stderr
    assert time.monotonic() - started < 90  # of which most is starting Python twice on a busy machine


def test_four_processes_share_two_networks_and_resume_as_one(tiny_config, make_config, tiny_run, tmp_path):
    steps = ("TRAIN.STEPS", "4", "TEST.INTERVAL", "2")
    done = torchrun(4, "train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run", *steps)
    assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in (tmp_path / "run" / "checkpoints" / "step_000000004").iterdir())
    assert files == ["manifest.json", "network_0.pt", "network_1.pt", "trainer.pt"]
    before = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    generators = torch.load(tmp_path / "run" / "checkpoints" / "step_000000004" / "trainer.pt")["generators"]
    states = [own for process in generators for own, _ in process["members"]]
    assert len({bytes(state.tolist()) for state in states}) == 4  # a dropout of its own for every process
    # All of them share out the evaluations between the steps.
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    single = [network["single_query"] for network in before["networks"]]
    assert [line["step"] for line in lines if "test" in line] == [2, 4]
    assert lines[-1]["test"]["networks"] == [{"mAP": one["mAP"], "rank-1": one["cmc"][0]} for one in single]
    # The same networks judged by one process give the same numbers: nothing to train is left.
    (tmp_path / "run" / "result.json").unlink()
    train_and_evaluate(make_config("TRAIN.STEPS", "4"), resume=True)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["metrics"] == before


def test_processes_that_join_a_run_draw_their_own_dropout(tiny_config, tmp_path):
    options = ["--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run"]
    done = torchrun(2, "train_net", *options, "TRAIN.STEPS", "6", "TRAIN.CHECKPOINT_INTERVAL", "4")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step_000000006")
    done = torchrun(4, "train_net", *options, "--resume", "TRAIN.STEPS", "6", "TRAIN.CHECKPOINT_INTERVAL", "4")
    assert done.returncode == 0, done.stderr
    assert "continues at step 4" in done.stdout
    trainer = torch.load(tmp_path / "run" / "checkpoints" / "step_000000006" / "trainer.pt")
    assert len({bytes(own.tolist()) for process in trainer["generators"] for own, _ in process["members"]}) == 4


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


def test_an_unreadable_image_of_one_process_ends_all_in_a_line_each(tiny_config, make_config, tiny_run, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(load_data(make_config()).root, images)
    broken = sorted(path for path in images.rglob("*.png"))[-1]  # falls to the second of two processes
    broken.write_bytes(b"no image")
    count = len(list(images.rglob("*.png")))
    done = torchrun(
        2, "extract_features", "--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, "--images", images, "--output",
        tmp_path / "features.npz", "TEST.BATCH_SIZE", count // 2 + count % 2,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"error: {broken}" in done.stderr
    assert "rank0]: Traceback" not in done.stderr
    assert "error: another process of this command has ended" in done.stderr


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
