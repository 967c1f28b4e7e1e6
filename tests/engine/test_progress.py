"""What a run says: plain lines off a terminal, and everything in TensorBoard."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reid_dml.commands.presentation import single_numbers
from reid_dml.engine import progress
from reid_dml.engine.loggers import LoggedRun, Loggers
from reid_dml.engine.progress import Interval, Progress
from reid_dml.timing import duration


def test_off_a_terminal_there_are_plain_lines(tmp_path, monkeypatch, capsys):
    clock = iter([0.0, 1.0, 2.0, 60.0, 61.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    with Progress(tmp_path / "metrics.jsonl", Loggers([], LoggedRun("r", tmp_path)), start=0, total=4000) as shown:
        for step in (10, 20, 600, 4000):
            shown.log(Interval(step, 8, [{"loss": 1.0, "accuracy": 0.5}, {"loss": 2.0, "accuracy": 0.25}], [1, 1], {}))
    said = capsys.readouterr().err
    assert "\r" not in said
    assert said.splitlines() == [  # the second came too soon, the last is always said
        "step 10/4,000  loss 1.000/2.000, accuracy 50%/25%, 80 images/s, time left 7 min",
        "step 600/4,000  loss 1.000/2.000, accuracy 50%/25%, 80 images/s, time left 6 min",
        "step 4,000/4,000  loss 1.000/2.000, accuracy 50%/25%, 27200 images/s, time left 0 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3599, "1 h 00 min"), (9000, "2 h 30 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_tensorboard_has_metrics_hyper_parameters_and_all_networks_in_one_chart(tiny_run):
    events = EventAccumulator(str(tiny_run))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"network_0/loss", "network_1/loss", "ensemble/single_query/mAP", "mean/single_query/rank-1"} <= tags
    metrics = json.loads((tiny_run / "result.json").read_text())["metrics"]
    (shown,) = events.Scalars("ensemble/single_query/mAP")
    assert shown.value == pytest.approx(metrics["ensemble"]["single_query"]["mAP"])
    assert not any("num_queries" in tag for tag in tags)
    plugins = events.PluginTagToContent("hparams")
    assert any(b"OBJECTIVE.STRATEGY" in content for content in plugins.values())
    layout = events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    assert rb"network_\d+/loss$" in layout


def test_numbers_by_path():
    found = single_numbers(
        {"networks": [{"single_query": {"mAP": 0.5, "num_queries": 3, "cmc": [0.25] * 6}}], "sd": {}}
    )
    assert found == {
        "network_0/single_query/mAP": 0.5, "network_0/single_query/rank-1": 0.25, "network_0/single_query/rank-5": 0.25,
    }  # fmt: skip
