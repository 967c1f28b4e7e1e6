"""What a run folder refuses, what it says of a run that goes on otherwise, and how a run is lengthened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from reid_dml.engine.checkpoints import Checkpoints
from reid_dml.errors import UserError
from reid_dml.models.safetensors_files import read_weights, weights_bytes
from reid_dml.models.weights import read_tensors
from reid_dml.runs import environment
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.log import read_lines
from reid_dml.runs.networks import load_networks
from tests.conftest import REPOSITORY


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a finished run that may be changed."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def flip(path, at=-100):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def without_last_checkpoint(run):
    shutil.rmtree(run / "checkpoints" / "step_000000006")


class TestExchangedAndDamaged:
    @pytest.mark.parametrize("name", ["network_0.pt", "network_1.pt", "trainer.pt", "manifest.json"])
    def test_a_flipped_bit_in_a_checkpoint_is_refused(self, run, make_config, name):
        flip(run / "checkpoints" / "step_000000006" / name)
        with pytest.raises(UserError, match=rf"{name}: damaged.*to resume from the one before"):
            train_and_evaluate(make_config(), resume=True)

    def test_it_is_read_unchecked_where_that_is_asked_for(self, run, make_config, monkeypatch):
        flip(run / "checkpoints" / "step_000000006" / "network_0.pt")
        monkeypatch.setenv("REID_DML_VERIFY", "0")
        Checkpoints(run / "checkpoints").check(6)

    def test_networks_of_another_step_or_index_are_refused(self, run, make_config):
        steps = [run / "checkpoints" / name for name in ("step_000000004", "step_000000006")]
        shutil.copy(steps[0] / "network_0.pt", steps[1] / "network_0.pt")
        with pytest.raises(UserError, match=r"network_0\.pt: damaged, or exchanged"):
            train_and_evaluate(make_config(), resume=True)
        shutil.rmtree(steps[1])
        steps[0].rename(steps[1])
        with pytest.raises(UserError, match="is the checkpoint of step 4"):
            train_and_evaluate(make_config(), resume=True)

    def test_a_checkpoint_of_another_seed_is_refused(self, run, make_config, tmp_path):
        other = make_config("SEED", "1", "OUTPUT_DIR", str(tmp_path / "other"))
        train_and_evaluate(other)
        shutil.rmtree(run / "checkpoints")
        shutil.copytree(tmp_path / "other" / "checkpoints", run / "checkpoints")
        with pytest.raises(UserError, match="is a checkpoint of another run, of another seed"):
            train_and_evaluate(make_config(), resume=True)
        cfg = make_config("MODEL.WEIGHTS", str(run))
        shutil.copy(tmp_path / "other" / "network_1_ema.safetensors", run)
        with pytest.raises(UserError, match=r"network_1_ema\.safetensors: is of another run"):
            load_networks(cfg, run, "cpu")

    def test_weights_under_another_s_name_are_refused(self, run, make_config):
        cfg = make_config()
        shutil.copy(run / "network_1_ema.safetensors", run / "network_0_ema.safetensors")
        with pytest.raises(UserError, match="holds the averaged weights of network 1; give every file its own name"):
            load_networks(cfg, run, "cpu")
        shutil.copy(run / "network_0.safetensors", run / "network_0_ema.safetensors")
        with pytest.raises(UserError, match=r"network_0_ema\.safetensors: holds the weights of network 0"):
            load_networks(cfg, run / "network_0_ema.safetensors", "cpu")

    def test_a_flipped_bit_in_weights_is_refused(self, run):
        flip(run / "network_0.safetensors")
        with pytest.raises(UserError, match=r"network_0\.safetensors: damaged"):
            read_tensors(run / "network_0.safetensors")

    def test_weights_files_follow_from_their_content(self, tmp_path):
        tensors = {"b": torch.zeros(0), "a": torch.tensor([1.5, 2.5], dtype=torch.bfloat16), "c": torch.tensor(3)}
        about = dict.fromkeys("zyxw", "ü")
        (tmp_path / "w.safetensors").write_bytes(weights_bytes(tensors, about))
        found, metadata = read_weights(tmp_path / "w.safetensors")
        assert {name: metadata[name] for name in about} == about
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)
        assert all(torch.equal(load_file(tmp_path / "w.safetensors")[name], tensors[name]) for name in tensors)
        header = (tmp_path / "w.safetensors").read_bytes()[8:200].decode(errors="replace")
        assert header.startswith('{"__metadata__":{"sha256":"')
        assert header.index('"w":') < header.index('"x":') < header.index('"z":')

    @pytest.mark.parametrize("name", ["environment.json", "classes.json", "config.yml"])
    def test_what_a_resume_reads_is_checked_before_the_training(self, run, make_config, name, monkeypatch):
        without_last_checkpoint(run)
        (run / name).write_bytes(b'{"device": "\xff')
        monkeypatch.setattr("reid_dml.commands.train.build_task", pytest.fail)
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            train_and_evaluate(make_config(), resume=True)

    def test_one_bad_line_of_the_log_loses_that_line(self, tmp_path):
        file = tmp_path / "metrics.jsonl"
        lines = [
            json.dumps({"step": step, "images_per_second": 1.0, "networks": [{"loss": 1.0}]})
            for step in range(2, 12, 2)
        ]

        def steps(*changed):
            file.write_text("\n".join(changed) + "\n")
            return [values["step"] for _, values in read_lines(file)]

        assert steps(*lines) == [2, 4, 6, 8, 10]
        with pytest.warns(UserWarning, match=r"metrics\.jsonl: 1 damaged line left out"):
            assert steps(lines[0], lines[1][:-5], *lines[2:]) == [2, 6, 8, 10]
        for step in ("60", "0", "-4", '"6"', "1e9"):  # too far ahead or no step at all
            with pytest.warns(UserWarning, match="1 damaged line"):
                assert steps(*lines[:2], lines[2].replace(": 6", f": {step}", 1), *lines[3:]) == [2, 4, 8, 10]
        with pytest.warns(UserWarning, match="1 damaged line"):
            assert steps(*lines[:4], lines[4].replace("10", "1")) == [2, 4, 6, 8]


class TestGoingOnOtherwise:
    def test_nothing_is_said_where_nothing_changed(self, run, make_config, caplog):
        without_last_checkpoint(run)
        train_and_evaluate(make_config(), resume=True)
        assert "otherwise" not in caplog.text
        assert "segments" not in json.loads((run / "result.json").read_text())

    def test_threads_and_versions_are_said_and_kept(self, run, make_config, caplog, monkeypatch):
        without_last_checkpoint(run)
        monkeypatch.setattr(environment, "cpu_threads", lambda: 7)
        monkeypatch.setattr(environment, "versions", lambda: {**found, "torch": "9.9"})
        found = json.loads((run / "environment.json").read_text())["versions"]
        train_and_evaluate(make_config(), resume=True)
        (line,) = [line for line in caplog.messages if "otherwise" in line]
        assert "threads was 1, is 7" in line
        assert f"torch was {found['torch']}, is 9.9" in line
        assert "results may differ" in line
        record = json.loads((run / "result.json").read_text())
        assert [(part["step"], part["threads"]) for part in record["segments"]] == [(0, 1), (4, 7)]
        assert record["versions"] == found

    def test_images_replaced_under_their_names_are_said(self, run, make_config, caplog, tmp_path, data_root):
        shutil.copytree(data_root, tmp_path / "data")
        without_last_checkpoint(run)
        image = next((tmp_path / "data").rglob("bounding_box_train/*.png"))
        image.write_bytes(next(p for p in image.parent.iterdir() if p != image).read_bytes())
        train_and_evaluate(make_config("DATA.ROOT", str(tmp_path / "data")), resume=True)
        assert "contents of the training images have changed" in caplog.text

    def test_a_run_under_another_name_goes_on_and_keeps_its_own(self, run, tiny_run, tiny_config, tmp_path, capsys):
        without_last_checkpoint(run)
        renamed = tmp_path / "renamed.yml"
        renamed.write_text(tiny_config.read_text())
        cfg = load_config(renamed, ["OUTPUT_DIR", str(run)])
        assert cfg.EXPERIMENT == "renamed"
        train_and_evaluate(cfg, resume=True)
        assert "goes on under its own name, tiny, not renamed" in capsys.readouterr().out
        assert RunFolder(run).config().EXPERIMENT == "tiny"
        assert json.loads((run / "result.json").read_text())["experiment"] == "tiny"
        for file in tiny_run.glob("*.safetensors"):
            assert (run / file.name).read_bytes() == file.read_bytes()


class TestLengthening:
    def test_under_a_schedule_without_an_end_it_is_as_if_it_had_been_that_long(self, make_config, tmp_path, capsys):
        options = ["SCHEDULE.NAME", "constant", "SCHEDULE.WARMUP_STEPS", "2", "TRAIN.LOG_INTERVAL", "4"]
        long = make_config(*options, "OUTPUT_DIR", str(tmp_path / "long"))
        train_and_evaluate(long)
        train_and_evaluate(make_config(*options, "TRAIN.STEPS", "3"))
        with pytest.raises(UserError, match=r"TRAIN\.STEPS was 3, now 2"):
            train_and_evaluate(make_config(*options, "TRAIN.STEPS", "2"), resume=True)
        capsys.readouterr()
        train_and_evaluate(make_config(*options), resume=True)
        assert "lengthened from 3 to 6 steps" in capsys.readouterr().out
        files = sorted((tmp_path / "long").glob("*.safetensors"))
        assert len(files) == 4
        for file in files:
            assert (tmp_path / "run" / file.name).read_bytes() == file.read_bytes()
        assert [line["step"] for line in RunFolder(tmp_path / "run").read_metrics()] == [3, 4, 6]
        record = json.loads((tmp_path / "run" / "result.json").read_text())
        assert record["steps"] == 6
        assert [(part["step"], part["steps"]) for part in record["segments"]] == [(0, 3), (3, 6)]
        assert RunFolder(tmp_path / "run").config().TRAIN.STEPS == 6

    def test_the_log_behind_an_early_end_means_over_its_own_steps(self, make_config):
        options = ["SCHEDULE.NAME", "constant", "COHORT.LR", "[1.0e-9]", "TRAIN.LOG_INTERVAL", "4"]
        train_and_evaluate(make_config(*options, "TRAIN.STEPS", "3"))
        cfg = make_config(*options)
        train_and_evaluate(cfg, resume=True)
        losses = [line["networks"][0]["loss"] for line in RunFolder(cfg.OUTPUT_DIR).read_metrics()]
        assert losses == pytest.approx([losses[0]] * 3, rel=0.3)  # not a quarter at step 4

    def test_a_schedule_that_knows_its_end_differs_and_says_so(self, make_config, caplog):
        train_and_evaluate(make_config("TRAIN.STEPS", "4"))
        train_and_evaluate(make_config(), resume=True)
        assert "cosine was that of 4 steps up to step 4 and is that of 6 from there: not the same" in caplog.text


class TestFolder:
    def test_a_refused_command_changes_nothing(self, run, make_config):
        before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
        with RunFolder(run).lock():
            for resume in (False, True):
                with pytest.raises(UserError, match="another process is training in this folder"):
                    train_and_evaluate(make_config("SEED", "1"), resume=resume)
        assert {path: path.read_bytes() for path in before} == before

    def test_a_folder_in_which_nothing_began_is_not_left(self, tmp_path):
        with pytest.raises(ZeroDivisionError), RunFolder(tmp_path / "new").lock():
            raise ZeroDivisionError
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize(
        "name", ["classes.json", "environment.json", "report.html", "tests/a.json", "query.npz", "checkpoints"]
    )
    def test_files_of_somebody_else_s_are_not_replaced(self, make_config, tmp_path, name):
        file = tmp_path / "run" / name
        file.parent.mkdir(parents=True)
        file.write_text('{"cat": 0, "dog": 1}')
        for resume in (False, True):
            with pytest.raises(UserError, match=f"{name}: is called like a file of a run and is of none here; move it"):
                train_and_evaluate(make_config("TEST.SAVE_FEATURES", "True"), resume=resume)
        assert [path for path in (tmp_path / "run").rglob("*") if path.is_file()] == [file]
        assert file.read_text() == '{"cat": 0, "dog": 1}'

    @pytest.mark.parametrize("names", [["environment.json"], ["environment.json", "classes.json"]])
    def test_what_a_start_left_that_was_killed_before_its_config_blocks_none(self, tiny_run, tmp_path, names):
        for name in names:
            (tmp_path / name).write_bytes((tiny_run / name).read_bytes())
        (tmp_path / "notes.txt").touch()  # of the user's
        RunFolder(tmp_path).check_free(["query"])

    def test_leftovers_of_a_killed_process_go(self, run, make_config):
        (run / "checkpoints" / ".step_000000002.old.reid_dml.tmp").mkdir()
        (run / ".result.json.reid_dml-1-2.tmp").write_text("{")
        train_and_evaluate(make_config(), resume=True)
        assert [path.name for path in run.rglob(".*")] == [".lock"]

    def test_a_removed_output_folder_is_one_line(self, make_config, monkeypatch, capfd):
        cfg = make_config()
        save = Checkpoints.save

        def save_and_remove(*arguments):
            save(*arguments)
            shutil.rmtree(cfg.OUTPUT_DIR)

        monkeypatch.setattr(Checkpoints, "save", save_and_remove)
        with pytest.raises(UserError, match="was removed or replaced while the run used it"):
            train_and_evaluate(cfg)
        assert "Traceback" not in capfd.readouterr().err
        assert not Path(cfg.OUTPUT_DIR).exists()


def start(tool, *arguments, words):
    """A command in a process of its own that has said these words."""
    process = subprocess.Popen(
        [sys.executable, f"tools/{tool}.py", *map(str, arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    said = b""
    deadline = time.monotonic() + 120
    while words not in said and process.poll() is None and time.monotonic() < deadline:
        said += os.read(process.stdout.fileno(), 4096)
    return process


class TestSignals:
    def test_a_closed_terminal_saves_and_ends(self, tiny_config, tmp_path):
        options = ["OUTPUT_DIR", tmp_path / "run", "TRAIN.STEPS", "4000", "TRAIN.CHECKPOINT_INTERVAL", "4000"]
        process = start("train_net", "--config-file", tiny_config, *options, words=b"time left")
        process.send_signal(signal.SIGHUP)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 130, said.decode()
        assert b"interrupted; run the command again with --resume to go on" in said
        assert len(Checkpoints(tmp_path / "run" / "checkpoints").steps()) == 1

    def test_many_ctrl_c_in_an_evaluation_print_no_traceback(self, tiny_config, tiny_run):
        options = ["MODEL.WEIGHTS", tiny_run, "SYNTHETIC.TEST_IDENTITIES", "4"]
        process = start("test_net", "--config-file", tiny_config, *options, words=b"query:")
        for _ in range(4):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        said, _ = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signal.SIGINT), said.decode()  # the last: while Python itself ends
        assert b"Traceback" not in said
        assert b"--resume" not in said
        if process.returncode == 130:
            assert said.count(b"interrupted; run the command again\n") == 1
