"""A run that was killed and resumed ends with the same bits as one that was not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from reid_dml.commands import training
from reid_dml.commands.train import train_and_evaluate
from reid_dml.data.pipeline import sources
from reid_dml.engine import checkpoints, progress
from reid_dml.engine.loggers import LoggedRun, Loggers
from reid_dml.engine.progress import Interval, Progress
from reid_dml.errors import UserError
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.mutual.cohort import Member
from reid_dml.runs.folder import RunFolder
from tests.conftest import REPOSITORY


def weights(run):
    files = sorted(Path(run).glob("*.safetensors"))
    assert len(files) == 4  # two networks and their averages
    return {file.name: file.read_bytes() for file in files}


def metrics_without_speed(run):
    lines = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


class Killed(BaseException):
    """Not an Exception: nothing in the library may catch it."""


def interrupt(monkeypatch, target, name, at_call):
    """Make the n-th call of a function die."""
    original, calls = getattr(target, name), [0]

    def dying(*args, **kwargs):
        calls[0] += 1
        if calls[0] == at_call:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(target, name, dying)


# Steps 1-6 with checkpoints after 2, 4 and 6; every checkpoint calls torch.save three times.
@pytest.mark.parametrize("at_call", [1, 2, 3, 6])
@pytest.mark.parametrize("where", ["batch", "save"])
def test_resuming_after_any_interruption_gives_the_same_run(make_config, tiny_run, monkeypatch, where, at_call):
    cfg = make_config()
    target = (sources.BatchSource, "batch") if where == "batch" else (checkpoints.torch, "save")
    interrupt(monkeypatch, *target, at_call)
    with pytest.raises(Killed):
        train_and_evaluate(cfg)
    monkeypatch.undo()
    torch.manual_seed(123)  # whatever the new process starts with must not matter
    train_and_evaluate(cfg, resume=True)
    assert weights(cfg.OUTPUT_DIR) == weights(tiny_run)
    assert metrics_without_speed(cfg.OUTPUT_DIR) == metrics_without_speed(tiny_run)
    first, second = (json.loads((Path(run) / "result.json").read_text()) for run in (cfg.OUTPUT_DIR, tiny_run))
    assert first["metrics"] == second["metrics"]


def test_the_speed_of_an_interval_begun_before_is_that_of_its_rest(tmp_path, monkeypatch):
    clock = iter([10.0, 11.0, 13.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    shown = Progress(tmp_path / "metrics.jsonl", Loggers([], LoggedRun("r", tmp_path)), start=3, total=6)
    for step in (4, 6):  # a line every two steps: one step is left of the first interval
        shown.log(Interval(step, 8, [{"loss": 1.0, "accuracy": 0.0}], [0.1], {}))
    shown.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["images_per_second"] for line in lines] == [8.0, 8.0]


@pytest.mark.parametrize(
    ("number", "at_step", "saved"),
    [(signal.SIGINT, 3, [2, 3]), (signal.SIGTERM, 3, [2, 3]), (signal.SIGINT, 6, [4, 6])],
)
def test_asked_to_stop_it_finishes_the_step_and_saves(make_config, tiny_run, monkeypatch, number, at_step, saved):
    cfg, original, before = make_config(), sources.BatchSource.batch, signal.getsignal(number)

    def batch(self, step):
        if step == at_step - 1:  # nothing would be saved behind step 3; behind step 6 only the evaluation is left
            os.kill(os.getpid(), number)
        return original(self, step)

    monkeypatch.setattr(sources.BatchSource, "batch", batch)
    with pytest.raises(KeyboardInterrupt):
        train_and_evaluate(cfg)
    monkeypatch.undo()
    assert signal.getsignal(number) == before
    assert checkpoints.Checkpoints(RunFolder(cfg.OUTPUT_DIR).checkpoints).steps() == saved
    train_and_evaluate(cfg, resume=True)
    assert weights(cfg.OUTPUT_DIR) == weights(tiny_run)
    assert metrics_without_speed(cfg.OUTPUT_DIR) == metrics_without_speed(tiny_run)


def test_a_process_killed_from_outside_resumes(tiny_config, make_config, tiny_run, tmp_path):
    arguments = ["--config-file", str(tiny_config), "OUTPUT_DIR", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "tools/train_net.py", *arguments], cwd=REPOSITORY, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "run").glob("checkpoints/step_*")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.wait()
    train_and_evaluate(make_config(), resume=True)
    assert weights(tmp_path / "run") == weights(tiny_run)


DYING = """
import os, pathlib, runpy, sys
at_call, sys.argv = int(sys.argv[1]), ["train_net", *sys.argv[2:]]
calls = 0
for name in ("replace", "rename"):
    def dying(self, target, original=getattr(pathlib.Path, name)):
        global calls
        calls += 1
        if calls == at_call:
            os._exit(9)  # leaves like SIGKILL: no clean-up runs
        return original(self, target)
    setattr(pathlib.Path, name, dying)
runpy.run_path("tools/train_net.py", run_name="__main__")
"""


# The run renames some 20 files into place: environment, classes, config, three checkpoints of three files and a folder
# each, the weights, the record and the report.
@pytest.mark.parametrize("at_call", [2, 3, 6, 9, 14, 20])
def test_a_process_killed_between_two_file_operations_resumes(make_config, tiny_config, tiny_run, tmp_path, at_call):
    arguments = ["--config-file", str(tiny_config), "OUTPUT_DIR", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(at_call), *arguments], cwd=REPOSITORY, check=False, capture_output=True
    )
    assert done.returncode == 9, done.stderr
    train_and_evaluate(make_config(), resume=True)
    assert weights(tmp_path / "run") == weights(tiny_run)
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


def test_old_checkpoints_go_and_none_is_half(tiny_run):
    folders = sorted(path.name for path in (tiny_run / "checkpoints").iterdir())
    assert folders == ["step_000000004", "step_000000006"]
    for folder in folders:
        assert sorted(p.name for p in (tiny_run / "checkpoints" / folder).iterdir()) == [
            "manifest.json", "network_0.pt", "network_1.pt", "trainer.pt",
        ]  # fmt: skip


def test_a_finished_run_is_not_overwritten(make_config, command, tiny_config, tiny_run):
    before = weights(tiny_run)
    result = command("train_net", "--config-file", tiny_config)
    assert "holds a run already; continue it with --resume" in result.error
    assert weights(tiny_run) == before


def test_an_ended_run_without_checkpoints_is_not_trained_anew(make_config):
    cfg = make_config("TRAIN.STEPS", "2")
    train_and_evaluate(cfg)
    folder = Path(cfg.OUTPUT_DIR)
    before, log = weights(folder), (folder / "metrics.jsonl").read_bytes()
    shutil.rmtree(folder / "checkpoints")
    for steps in ("2", "4"):
        with pytest.raises(UserError, match="checkpoints: holds no checkpoint, though the run has ended"):
            train_and_evaluate(make_config("TRAIN.STEPS", steps), resume=True)
    train_and_evaluate(cfg, resume=None)  # leaves one alone that has ended
    assert (weights(folder), (folder / "metrics.jsonl").read_bytes()) == (before, log)


def test_a_run_that_is_being_lengthened_has_not_ended(make_config, monkeypatch, capsys):
    train_and_evaluate(make_config("TRAIN.STEPS", "2"))
    cfg = make_config("TRAIN.STEPS", "6")
    interrupt(monkeypatch, sources.BatchSource, "batch", 3)  # behind the checkpoint of step 4
    asked = []
    monkeypatch.setattr(training, "compiles", lambda cfg, device, planned: asked.append(planned) or False)
    with pytest.raises(Killed):
        train_and_evaluate(cfg, resume=True)
    monkeypatch.undo()
    assert asked == [2]  # whether it is compiled does not change with its length
    weights_of_step_2 = r"network_0_ema\.safetensors: these weights are of step 2; the run was lengthened to 6 steps"
    with pytest.warns(UserWarning, match=weights_of_step_2):
        FeatureExtractor.from_run(cfg.OUTPUT_DIR, device="cpu")
    train_and_evaluate(cfg, resume=None)
    assert json.loads((Path(cfg.OUTPUT_DIR) / "result.json").read_text())["steps"] == 6
    assert "continues at step 4" in capsys.readouterr().out


def test_what_was_trained_from_step_0_again_has_the_record_of_that_code(make_config, monkeypatch):
    cfg = make_config("TRAIN.STEPS", "2")
    interrupt(monkeypatch, sources.BatchSource, "batch", 1)
    with pytest.raises(Killed):
        train_and_evaluate(cfg)
    monkeypatch.undo()
    monkeypatch.setattr("reid_dml.runs.environment.git_revision", lambda: "another")
    train_and_evaluate(cfg, resume=True)
    found = json.loads((Path(cfg.OUTPUT_DIR) / "environment.json").read_text())
    assert (found["git_revision"], [(part["step"], part["git_revision"]) for part in found["segments"]]) == (
        "another",
        [(0, "another")],
    )


def test_the_log_is_on_the_disk_before_the_checkpoint_behind_it(make_config, monkeypatch):
    done = []
    monkeypatch.setattr(Progress, "sync", lambda self: done.append(("log", self.step)))
    usual = checkpoints.Checkpoints.save
    monkeypatch.setattr(
        checkpoints.Checkpoints,
        "save",
        lambda self, step, *rest: (done.append(("checkpoint", step)), usual(self, step, *rest))[1],
    )
    train_and_evaluate(make_config("TRAIN.STEPS", "4"))
    assert [entry for entry in done if entry[0] == "checkpoint"] == done[1::2]
    assert [kind for kind, _ in done] == ["log", "checkpoint"] * 2


def test_resuming_with_other_options_is_refused_by_name(make_config):
    train_and_evaluate(make_config("TRAIN.STEPS", "2"))
    with pytest.raises(UserError, match=r"OPTIM\.EPS was 1e-08, now 0\.1; TRAIN\.STEPS was 2, now 1"):
        train_and_evaluate(make_config("OPTIM.EPS", "0.1", "TRAIN.STEPS", "1"), resume=True)


def test_a_damaged_checkpoint_is_refused_by_name(make_config):
    cfg = make_config()
    train_and_evaluate(cfg)
    path = Path(cfg.OUTPUT_DIR) / "checkpoints" / "step_000000006" / "network_1.pt"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"network_1\.pt: damaged, or exchanged"):
        train_and_evaluate(cfg, resume=True)
    path.unlink()
    with pytest.raises(UserError, match=r"network_1\.pt: missing .*resume from the one before"):
        train_and_evaluate(cfg, resume=True)


def test_resuming_on_other_images_is_refused(make_config):
    cfg = make_config("TRAIN.STEPS", "2")
    train_and_evaluate(cfg)
    classes = Path(cfg.OUTPUT_DIR) / "classes.json"
    before = json.loads(classes.read_text())
    classes.write_text(json.dumps({**before, "person_ids": [1, 2, 3, 4, 99]}))
    with pytest.raises(UserError, match=r"1 persons are absent \(99, \.\.\.\) and 1 persons are new \(5, \.\.\.\)"):
        train_and_evaluate(cfg, resume=True)
    classes.write_text(json.dumps({**before, "images": "of another list"}))
    with pytest.raises(UserError, match="images were added, removed or renamed"):
        train_and_evaluate(cfg, resume=True)


def test_what_a_run_left_behind_is_not_adopted(make_config):
    cfg = make_config("TRAIN.STEPS", "2")
    train_and_evaluate(cfg)
    (Path(cfg.OUTPUT_DIR) / "config.yml").unlink()
    for resume in (False, True):
        with pytest.raises(UserError, match=r"holds a run already; its config\.yml is missing; put it back"):
            train_and_evaluate(cfg, resume=resume)


def test_resuming_needs_no_starting_weights(make_config, tiny_run, tmp_path):
    start = tmp_path / "start.safetensors"
    start.write_bytes((tiny_run / "network_0.safetensors").read_bytes())
    cfg = make_config("COHORT.INIT_WEIGHTS", f"[{start}]")
    train_and_evaluate(cfg)
    start.unlink()
    train_and_evaluate(cfg, resume=True)


def test_a_checkpoint_of_another_architecture_is_refused(make_config):
    cfg = make_config("TRAIN.STEPS", "2")
    train_and_evaluate(cfg)
    saved = Path(cfg.OUTPUT_DIR) / "checkpoints" / "step_000000002" / "network_0.pt"
    state = torch.load(saved, weights_only=True)
    state["network"]["head.weight"] = torch.zeros(3, 256)
    torch.save(state, saved)
    (saved.parent / "manifest.json").unlink()  # as in earlier versions
    with pytest.raises(UserError, match=r"step_000000002: does not fit network 0 of this config .*head\.weight"):
        train_and_evaluate(cfg, resume=True)


def test_a_second_process_in_the_same_folder_is_refused(make_config):
    cfg = make_config("TRAIN.STEPS", "2")
    train_and_evaluate(cfg)
    with RunFolder(cfg.OUTPUT_DIR).lock(), pytest.raises(UserError, match="another process is training in this folder"):
        train_and_evaluate(cfg, resume=True)


def test_a_checkpoint_of_before_the_peer_generator_was_renamed_is_read():
    def member(seed):
        network = nn.Linear(2, 2)
        peer_generator = torch.Generator().manual_seed(seed)
        return Member(0, network, torch.optim.SGD(network.parameters(), lr=torch.tensor(1.0)), torch.Generator(),
                      peer_generator=peer_generator)  # fmt: skip

    saved, restored = member(1), member(2)
    state = checkpoints.member_state(saved)
    state["spare"] = state.pop("peer_generator")
    del state["terms"]
    checkpoints.restore_member(restored, state, Path("a checkpoint"))
    assert torch.equal(restored.peer_generator.get_state(), saved.peer_generator.get_state())
    del state["spare"]
    with pytest.raises(UserError, match="a checkpoint: does not fit network 0"):
        checkpoints.restore_member(restored, state, Path("a checkpoint"))
