"""LOG.TO: the same numbers to every logger, a failing one given up, and the real packages where they are installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from reid_dml.commands.train import train_and_evaluate
from reid_dml.engine.loggers import LOGGERS, LoggedRun, Logger, Loggers, RunResult
from reid_dml.engine.loggers.wandb import WandB
from reid_dml.engine.trainer import Trainer
from tests.conftest import REPOSITORY

SEEN: list[tuple] = []


class Listener(Logger):
    """Keeps what it is told."""

    def __init__(self, run):
        SEEN.append(("run", run))

    def log(self, values, step):
        SEEN.append(("log", step, dict(values)))

    def end_training(self):
        SEEN.append(("end",))

    def result(self, result):
        SEEN.append(("result", result))

    def abort(self, *, stopped):
        SEEN.append(("abort", stopped))

    def close(self):
        SEEN.append(("close",))


class Failing(Listener):
    def log(self, values, step):
        raise ConnectionError("no\nroute")


@pytest.fixture
def listener(monkeypatch):
    LOGGERS.names()
    monkeypatch.setattr(LOGGERS, "_entries", {**LOGGERS._entries, "listener": Listener, "failing": Failing})
    SEEN.clear()
    return SEEN


def test_a_logger_gets_options_curves_figures_and_the_table(make_config, listener):
    cfg = make_config("LOG.TO", "[tensorboard, listener]", "LOG.PROJECT", "mine")
    train_and_evaluate(cfg)
    kinds = [entry[0] for entry in listener]
    assert kinds == ["run", "log", "log", "log", "end", "result", "close"]
    run, result = listener[0][1], listener[-2][1]
    assert (run.project, run.start, run.options["OBJECTIVE.STRATEGY"]) == ("mine", 0, "dml")
    lines = [json.loads(line) for line in (Path(cfg.OUTPUT_DIR) / "metrics.jsonl").read_text().splitlines()]
    assert [(entry[1], entry[2]["network_1/loss"]) for entry in listener[1:4]] == [
        (line["step"], line["networks"][1]["loss"]) for line in lines
    ]
    record = json.loads((Path(cfg.OUTPUT_DIR) / "result.json").read_text())
    assert result.metrics["ensemble/single_query/mAP"] == record["metrics"]["ensemble"]["single_query"]["mAP"]
    assert result.figures.keys() == {"cmc single_query", "cmc multi_query", "similarity of pairs"}
    assert all(svg.startswith("<svg") for svg in result.figures.values())
    assert result.table[0][:2] == ["", "mAP"]
    assert [row[0] for row in result.table[-2:]] == ["mean", "ensemble"]
    assert f"{100 * result.metrics['ensemble/single_query/mAP']:.2f}" in result.markdown
    assert list(Path(cfg.OUTPUT_DIR).glob("events.*"))


def test_where_it_logs_changes_nothing_and_one_may_log_nowhere(make_config, tiny_run):
    cfg = make_config("LOG.TO", "[]")
    train_and_evaluate(cfg)
    assert not list(Path(cfg.OUTPUT_DIR).glob("events.*"))
    for name in ("network_0.safetensors", "network_1_ema.safetensors"):
        assert (Path(cfg.OUTPUT_DIR) / name).read_bytes() == (tiny_run / name).read_bytes()


def test_one_that_fails_is_given_up_with_one_warning(tmp_path, listener):
    both = Loggers(["failing", "listener"], LoggedRun("r", tmp_path))
    with pytest.warns(UserWarning, match="LOG.TO: failing: no route; the run goes on"):
        both.log({"loss": 1.0}, 1)
    both.log({"loss": 1.0}, 2)
    both.close()
    assert [entry for entry in listener if entry[0] == "log"] == [("log", 1, {"loss": 1.0}), ("log", 2, {"loss": 1.0})]


def test_a_full_disk_is_not_passed_over_where_tensorboard_was_asked_for(tmp_path, listener, monkeypatch):
    monkeypatch.setattr(Failing, "needed", True)
    with pytest.raises(ConnectionError):
        Loggers(["failing"], LoggedRun("r", tmp_path)).log({"loss": 1.0}, 1)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[wandb]", "LOG.TO wandb: needs the package wandb, which is not installed: pip install 'reid_dml[track]'"),
        ("[tensorbord]", "'tensorbord', which is not one of mlflow, tensorboard, trackio, wandb; did you mean"),
        ("7", "LOG.TO"),
    ],
)
def test_what_cannot_be_logged_to_is_one_line_before_any_work(
    command, tiny_config, tmp_path, monkeypatch, value, words
):
    monkeypatch.setattr("reid_dml.extras.find_spec", lambda name: None)
    result = command("train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run", "LOG.TO", value)
    assert words in result.error
    assert not (tmp_path / "run").exists()


SCRIPT = """
import sys
from pathlib import Path
from reid_dml.engine.loggers import LoggedRun, Loggers, RunResult

folder, name = Path(sys.argv[1]), sys.argv[2]
table = [["", "mAP"], ["network 0", "50.00"]]
for start in (0, 2):  # the second goes on with the first
    run = LoggedRun("run", folder, "project", "0123456789abcdef", start, {"OPTIM.NAME": "adam", "INPUT.SIZE": [8, 4]})
    logged = Loggers([name], run)
    for step in (start + 1, start + 2):
        logged.log({"network_0/loss": 1 / step, "images_per_second": 3.0}, step)
    logged.end_training()
    if start:
        logged.result(RunResult(4, {"mean/single_query/mAP": 0.5}, table, "| a |\\n|---|\\n", {"cmc": "<svg></svg>"}))
    logged.close()
"""


def logged(tmp_path, name):
    pytest.importorskip(name)
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:reid_dml", "-c", SCRIPT, tmp_path, name],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert result.returncode == 0, result.stderr
    assert "goes on without it" not in result.stderr
    return result


ABORTED = """
import sys
from pathlib import Path
from mlflow import MlflowClient
from reid_dml.engine.loggers import LoggedRun, Loggers

folder = Path(sys.argv[1])
for number, stopped in enumerate((True, False)):
    logged = Loggers(["mlflow"], LoggedRun("run", folder, "project", f"{number}" * 16))
    logged.abort(stopped=stopped)
    logged.close()
client = MlflowClient((folder / "mlflow").resolve().as_uri())
runs = client.search_runs([client.get_experiment_by_name("project").experiment_id])
statuses = {run.data.tags["reid_dml.run"][0]: run.info.status for run in runs}
print(statuses["0"], statuses["1"])
"""


def test_mlflow_knows_that_a_run_was_stopped_or_failed(tmp_path):
    pytest.importorskip("mlflow")
    words = [sys.executable, "-c", ABORTED, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.split() == ["KILLED", "FAILED"]


@pytest.mark.parametrize(("error", "stopped"), [(KeyboardInterrupt, True), (ValueError, False)])
def test_loggers_are_told_that_a_training_did_not_come_to_its_end(make_config, listener, monkeypatch, error, stopped):
    def fail(*_):
        raise error

    monkeypatch.setattr(Trainer, "advance", fail)
    with pytest.raises(error):
        train_and_evaluate(make_config("LOG.TO", "[listener]"))
    assert listener[-2:] == [("abort", stopped), ("close",)]


@pytest.mark.parametrize("aborted", [False, True])
def test_wandb_is_told_how_a_run_ended(aborted):
    logger, codes = object.__new__(WandB), []  # without the package
    logger._run, logger._exit_code = SimpleNamespace(finish=codes.append), 0
    if aborted:
        logger.abort(stopped=False)
    logger.close()
    assert codes == [int(aborted)]


def test_mlflow_keeps_one_run_in_files(tmp_path):
    logged(tmp_path, "mlflow")
    (run,) = {path.parent.parent for path in (tmp_path / "mlflow").rglob("params/OPTIM.NAME")}
    losses = (run / "metrics" / "network_0" / "loss").read_text().splitlines()
    assert [(line.split()[1], line.split()[2]) for line in losses] == [
        ("1.0", "1"), ("0.5", "2"), (str(1 / 3), "3"), ("0.25", "4"),
    ]  # fmt: skip
    assert (run / "params" / "INPUT.SIZE").read_text() == "[8, 4]"
    assert (run / "artifacts" / "figures" / "cmc.svg").read_text() == "<svg></svg>"
    assert (run / "artifacts" / "result.md").read_text().startswith("| a |")
    assert (run / "metrics" / "mean" / "single_query" / "mAP").read_text().split()[1:] == ["0.5", "4"]


def test_wandb_writes_offline_runs_of_one_id(tmp_path):
    logged(tmp_path, "wandb")
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    # offline-run-<time>-<id>, and a number behind those of the same second.
    assert {path.name.split("-")[3] for path in folders} == {"0123456789abcdef"}
    content = b"".join(path.read_bytes() for path in (tmp_path / "wandb").rglob("*.wandb"))
    for text in (b"network_0/loss", b"OPTIM.NAME", b"mean/single_query/mAP"):
        assert text in content
    assert [path.suffix for path in (tmp_path / "wandb").rglob("media/html/figures/*")] == [".html"]
    assert list((tmp_path / "wandb").rglob("media/table/result*.json"))


def test_trackio_keeps_a_database_in_the_folder(tmp_path):
    import sqlite3

    logged(tmp_path, "trackio")
    (file,) = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(file) as base:
        rows = base.execute("SELECT step, metrics FROM metrics ORDER BY step").fetchall()
        configs = base.execute("SELECT config FROM configs").fetchall()
    losses = {step: json.loads(text)["network_0/loss"] for step, text in rows if "network_0/loss" in str(text)}
    assert losses == {1: 1.0, 2: 0.5, 3: 1 / 3, 4: 0.25}
    assert any("OPTIM.NAME" in str(text) for (text,) in configs)
    assert any("mean/single_query/mAP" in str(text) for _, text in rows)


def test_results_without_table_or_figures_are_taken(tmp_path):
    both = Loggers(["tensorboard"], LoggedRun("r", tmp_path, options={"A": [1]}))
    both.end_training()
    both.result(RunResult(1, {"mAP": 0.5}))
    both.close()
    assert len(list(tmp_path.glob("events.*"))) >= 1
