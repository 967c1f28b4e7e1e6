"""Schedules, optimisers, the watch on losses, the run folder, and training under other conditions."""

from __future__ import annotations

import errno
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reid_dml.commands.train import train_and_evaluate
from reid_dml.engine.guard import NonFiniteGuard
from reid_dml.errors import UserError
from reid_dml.files import save_with, write_text
from reid_dml.models import ReIDNetwork
from reid_dml.mutual.terms.center import Center
from reid_dml.mutual.terms.identity import Identity
from reid_dml.mutual.terms.mimicry import Mimicry
from reid_dml.runs.folder import RunFolder
from tests.conftest import REPOSITORY


def test_files_of_other_kinds_are_no_run(make_config):
    cfg = make_config()
    Path(cfg.OUTPUT_DIR).mkdir()
    (Path(cfg.OUTPUT_DIR) / "mine.safetensors").write_bytes(b"")
    assert not RunFolder(cfg.OUTPUT_DIR).holds_run()
    (Path(cfg.OUTPUT_DIR) / "network_0.safetensors").write_bytes(b"")
    assert RunFolder(cfg.OUTPUT_DIR).holds_run()


def test_the_guard_finds_the_first_bad_step_and_whose_own_loss_it_was():
    guard = NonFiniteGuard([2, 5], 2, "cpu")  # identity loss, whole loss
    nan = float("nan")
    guard.watch(1, torch.tensor([[1.0, 1.0], [2.0, 2.0]]))
    assert guard.found() is None
    # Network 5's logits are NaN, which makes the mimicry of network 2 NaN as well.
    guard.watch(2, torch.tensor([[1.0, nan], [nan, nan]]))
    guard.watch(3, torch.tensor([[float("inf"), nan], [nan, nan]]))
    assert guard.found() == (2, 0, 5)


def test_a_loss_that_is_not_finite_stops_the_run_with_its_last_good_checkpoint(make_config, monkeypatch):
    cfg = make_config("TRAIN.LOG_INTERVAL", "100", "TRAIN.STEPS", "8")
    original, passes = ReIDNetwork.forward, [0]

    def poisoned(self, images):
        output = original(self, images)
        passes[0] += self.training
        # The fifth prediction of network 1: through the KL it makes the loss of network 0 NaN too.
        return output._replace(logits=output.logits * (math.nan if self.training and passes[0] == 10 else 1))

    monkeypatch.setattr(ReIDNetwork, "forward", poisoned)
    with pytest.raises(UserError, match=r"loss of network 1 is not finite at step 5; .*step_000000004"):
        train_and_evaluate(cfg)
    kept = sorted(path.name for path in (Path(cfg.OUTPUT_DIR) / "checkpoints").iterdir())
    assert kept == ["step_000000002", "step_000000004"]
    assert not list(Path(cfg.OUTPUT_DIR).glob("*.safetensors"))


@pytest.mark.parametrize("networks", ["[mobilenet_v1_0.25]", "[mobilenet_v1_0.25, mobilenet_v1_0.25]"])
def test_networks_without_peers_blame_none_for_a_loss_that_is_not_finite(make_config, monkeypatch, networks):
    cfg = make_config("OBJECTIVE.STRATEGY", "independent", "COHORT.NETWORKS", networks, "OBJECTIVE.CENTER_WEIGHT", "1")
    monkeypatch.setattr(Center, "loss", lambda term, inputs: inputs.own.features.sum() * math.inf)
    with pytest.raises(UserError, match=r"network 0 is not finite at step 1 \(.*CENTER_WEIGHT is not\); ") as caught:
        train_and_evaluate(cfg)
    assert "peer's" not in str(caught.value)


def test_a_mimicry_loss_that_is_not_finite_may_be_a_peer_s(make_config, monkeypatch):
    cfg = make_config("OBJECTIVE.CENTER_WEIGHT", "1")
    monkeypatch.setattr(Mimicry, "loss", lambda term, inputs: inputs.own.logits.sum() * math.inf)
    line = (
        r"network 0 is not finite at step 1 \(its identity loss is; the mimicry loss of OBJECTIVE\.STRATEGY is not, by"
    )
    with pytest.raises(UserError, match=line + r" its own prediction or a peer's\); "):
        train_and_evaluate(cfg)


def test_a_sum_of_terms_that_is_not_finite(make_config, monkeypatch):
    cfg = make_config("OBJECTIVE.STRATEGY", "independent", "OBJECTIVE.CENTER_WEIGHT", "1")
    for term in (Center, Identity):
        monkeypatch.setattr(term, "loss", lambda term, inputs: inputs.own.logits.sum() * 0 + 3e38)
    with pytest.raises(
        UserError, match=r"network 0 is not finite at step 1 \(each of its terms is, their sum is not\); "
    ):
        train_and_evaluate(cfg)


def test_weights_that_are_not_finite_are_never_saved(make_config, monkeypatch):
    cfg = make_config("COHORT.LR", "[1e30, 1e-3]", "TRAIN.CHECKPOINT_INTERVAL", "1", "TRAIN.LOG_INTERVAL", "100")
    with pytest.raises(UserError, match=r"of network 0 .* not finite at step \d; .*lower COHORT\.LR"):
        train_and_evaluate(cfg)
    for path in (Path(cfg.OUTPUT_DIR) / "checkpoints").glob("step_*/network_*.pt"):
        state = torch.load(path, weights_only=True)
        assert all(torch.isfinite(value).all() for value in state["network"].values())


def test_the_run_folder_holds_what_it_promises(tiny_run):
    names = {path.name for path in tiny_run.iterdir()}
    assert {"config.yml", "environment.json", "classes.json", "metrics.jsonl", "checkpoints", "result.json"} <= names
    assert {"report.html", "network_0.safetensors", "network_1_ema.safetensors"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    lines = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    for metrics in lines[-1]["networks"]:
        assert metrics["loss"] == pytest.approx(metrics["identity"] + metrics["mimicry"])
    record = json.loads((tiny_run / "result.json").read_text())
    assert {
        "experiment", "dataset", "scale", "objective", "update", "networks", "seed", "steps", "wall_seconds", "device",
        "versions", "git_revision", "metrics",
    } <= record.keys()  # fmt: skip
    metrics = record["metrics"]
    assert metrics.keys() == {"networks", "mean", "sd", "ensemble"}
    single = [found["single_query"]["mAP"] for found in metrics["networks"]]
    assert metrics["mean"]["single_query"]["mAP"] == pytest.approx(sum(single) / 2)
    assert metrics["sd"]["single_query"]["mAP"] == pytest.approx(abs(single[0] - single[1]) / math.sqrt(2))
    assert json.loads((tiny_run / "classes.json").read_text())["person_ids"] == [1, 2, 3, 4, 5]


def test_dml_couples_the_networks_and_independent_training_does_not(make_config, tmp_path, tiny_run):
    runs = {}
    for name, overrides in {
        "pair": ["OBJECTIVE.STRATEGY", "independent"],
        "alone": ["OBJECTIVE.STRATEGY", "independent", "COHORT.NETWORKS", "[mobilenet_v1_0.25]"],
    }.items():
        cfg = make_config("OUTPUT_DIR", str(tmp_path / name), *overrides)
        train_and_evaluate(cfg)
        runs[name] = load_file(tmp_path / name / "network_0.safetensors")
    coupled = load_file(tiny_run / "network_0.safetensors")
    assert all(torch.equal(runs["pair"][name], runs["alone"][name]) for name in runs["pair"])
    assert not torch.equal(runs["pair"]["head.weight"], coupled["head.weight"])


def test_different_architectures_train_together(make_config):
    cfg = make_config(
        "COHORT.NETWORKS", "[mobilenet_v1_0.25, resnet10t, mobilenet_v1_0.5]", "UPDATE.RULE", "sequential"
    )
    train_and_evaluate(cfg)
    metrics = json.loads((Path(cfg.OUTPUT_DIR) / "result.json").read_text())["metrics"]
    assert len(metrics["networks"]) == 3


def test_zero_steps_evaluate_the_starting_weights(make_config):
    cfg = make_config("TRAIN.STEPS", "0")
    train_and_evaluate(cfg)
    assert json.loads((Path(cfg.OUTPUT_DIR) / "result.json").read_text())["steps"] == 0


def test_a_command_prints_what_the_library_logs(command, tiny_config, tiny_run, tmp_path):
    start = f"[{tiny_run / 'network_0.safetensors'}]"
    for name in ("one", "two"):  # a second command of this process does not print it twice
        result = command("train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / name, "TRAIN.STEPS", "0",
                         "COHORT.INIT_WEIGHTS", start)  # fmt: skip
        lines = [line for line in result.out.splitlines() if "tensors loaded from" in line]
        assert [line.split(":")[0] for line in lines] == [
            f"network {index} (mobilenet_v1_0.25) backbone" for index in (0, 1)
        ]


def test_a_full_disk_damages_nothing(tmp_path):
    write_text(tmp_path / "a.txt", "before")

    def fill(draft):
        draft.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device", str(draft))

    with pytest.raises(OSError, match="No space"):
        save_with(tmp_path / "a.txt", fill)
    assert (tmp_path / "a.txt").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_disk_that_fills_up_ends_training_in_one_line(tiny_config, tmp_path):
    # A limit on the size of files is the one "full disk" that every machine can have: write() fails just the same.
    script = (
        "import resource, runpy, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "sys.argv = ['train_net', *sys.argv[1:]]\n"
        "runpy.run_path('tools/train_net.py', run_name='__main__')\n"
    )
    arguments = ["--config-file", str(tiny_config), "OUTPUT_DIR", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "size limit" in next(line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert not list((tmp_path / "run" / "checkpoints").glob("step_*"))
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_folder_without_permission_is_refused(command, tiny_config):
    result = command("train_net", "--config-file", tiny_config, "OUTPUT_DIR", "/sys/reid_dml")
    assert "/sys/reid_dml" in result.error


def test_a_student_learns_from_a_frozen_teacher_of_another_architecture(make_config, tiny_run, tmp_path):
    teacher = tiny_run / "network_0_ema.safetensors"
    before = teacher.read_bytes()
    options = ["COHORT.NETWORKS", "[mobilenet_v1_0.5]", "COHORT.TEACHERS", f"[{teacher}]"]
    taught = make_config("OUTPUT_DIR", str(tmp_path / "taught"), *options)
    train_and_evaluate(taught)
    record = json.loads((tmp_path / "taught" / "result.json").read_text())
    assert record["objective"]["teachers"] == [f"{tiny_run.name}/network_0_ema.safetensors"]
    lines = [json.loads(line) for line in (tmp_path / "taught" / "metrics.jsonl").read_text().splitlines()]
    assert all(line["networks"][0]["mimicry"] > 0 for line in lines)
    assert teacher.read_bytes() == before


def test_an_exported_file_is_no_teacher(make_config, tiny_run, tmp_path):
    shutil.copy(tiny_run / "classes.json", tmp_path)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(UserError, match=r"TEACHERS: .*model\.onnx: an exported file gives features and no classes"):
        train_and_evaluate(make_config("COHORT.TEACHERS", f"[{tmp_path / 'model.onnx'}]"))


def test_a_teacher_of_other_persons_is_refused(make_config, tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "teacher")
    (tmp_path / "teacher" / "classes.json").write_text(json.dumps({"person_ids": [1, 2, 3, 4, 6]}))
    with pytest.raises(UserError, match="the teacher was trained on other persons"):
        train_and_evaluate(make_config("COHORT.TEACHERS", f"[{tmp_path / 'teacher'}]"))


def test_regularisers_are_terms_of_their_own(make_config, tmp_path):
    cfg = make_config(
        "OBJECTIVE.ENTROPY_WEIGHT", "0.1", "OBJECTIVE.FEATURE_L2_WEIGHT", "0.01", "UPDATE.RULE", "fresh_batch"
    )
    train_and_evaluate(cfg)
    for line in (Path(cfg.OUTPUT_DIR) / "metrics.jsonl").read_text().splitlines():
        for metrics in json.loads(line)["networks"]:
            assert metrics["entropy"] < 0 < metrics["feature_l2"]
            terms = ("identity", "mimicry", "entropy", "feature_l2")
            assert metrics["loss"] == pytest.approx(sum(metrics[name] for name in terms))
    record = json.loads((Path(cfg.OUTPUT_DIR) / "result.json").read_text())
    assert record["objective"]["regularisers"] == {"entropy": 0.1, "feature_l2": 0.01}
    assert record["update"] == "fresh_batch"


def test_features_of_different_width_are_refused(make_config):
    cfg = make_config("OBJECTIVE.FEATURE_L2_WEIGHT", "0.01", "COHORT.NETWORKS", "[mobilenet_v1_0.25, mobilenet_v1_0.5]")
    with pytest.raises(UserError, match="256 and 512 wide; only equal widths"):
        train_and_evaluate(cfg)


@pytest.mark.parametrize(("network", "seed", "warned"), [("0.25", 0, 1), ("0.25", 1, 0), ("0.5", 0, 0)])
def test_a_student_that_is_its_teachers_twin_is_warned_of(make_config, tiny_run, network, seed, warned, recwarn):
    name, teacher = f"[mobilenet_v1_{network}]", f"[{tiny_run / 'network_0_ema.safetensors'}]"
    train_and_evaluate(make_config("COHORT.NETWORKS", name, "COHORT.TEACHERS", teacher, "SEED", str(seed)))
    twins = [entry for entry in recwarn if "starting weights and batches" in str(entry.message)]
    assert len(twins) == warned
