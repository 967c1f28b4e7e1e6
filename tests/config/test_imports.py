"""IMPORTS: parts of one's own in a module of one's own, known to every command and to no model of somebody else's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from reid_dml import registry
from reid_dml.config import load_config
from reid_dml.errors import UserError
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.sources import known_config, run_config
from tests.conftest import REPOSITORY

PARTS = """
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from reid_dml.models.backbones import register_backbone
from reid_dml.mutual.terms import WeightedTerm, register_term
from reid_dml.options import option


@register_backbone("two_layers", stage_modules=("0", "2"))
def two_layers(size):
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
    network.num_features = 16
    return network


@register_term("small_logits")
@dataclass(frozen=True)
class SmallLogits(WeightedTerm):
    title: ClassVar[str] = "Mean square of the logits"
    prefix: ClassVar[str] = "SMALL_LOGITS_"
    weight: float = option(0.0, "weight of the mean square of the logits", least=0)

    def loss(self, inputs):
        return inputs.own.logits.square().mean()
"""
OWN = ["COHORT.NETWORKS", "[two_layers, mobilenet_v1_0.25]", "OBJECTIVE.SMALL_LOGITS_WEIGHT", "0.01"]


def reid_dml(*words: object, path: Path | None = None, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """A command in a process of its own, which finds modules in `path`."""
    folders = [str(folder) for folder in (REPOSITORY, path) if folder is not None]
    return subprocess.run(
        [sys.executable, *(prefix or ("-m", "reid_dml")), *map(str, words)],
        cwd=path or REPOSITORY,  # data sets of runs that name no folder are drawn there
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=200,
        text=True,
    )


def refusal(done: subprocess.CompletedProcess) -> str:
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Path:
    """A folder with the module `parts_of_my_own`."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "parts_of_my_own.py").write_text(PARTS)
    return folder


@pytest.fixture(scope="module")
def run(parts, tiny_config) -> Path:
    """A run with a network and a loss term of that module, trained by a command."""
    config = parts / "my.yml"
    config.write_text(f"_BASE_: {tiny_config}\nIMPORTS: [parts_of_my_own]\nOUTPUT_DIR: {parts / 'run'}\n")
    done = reid_dml("train", "--config", config, *OWN, path=parts)
    assert done.returncode == 0, done.stderr
    return parts / "run"


@pytest.fixture(scope="module")
def model(run, parts) -> Path:
    """That run handed on."""
    done = reid_dml("save", "--run", run, "--to", parts / "model", path=parts)
    assert done.returncode == 0, done.stderr
    return parts / "model"


def test_commands_find_the_parts_of_a_run(run, parts, tmp_path):
    for weights in (run, run / "network_0.safetensors"):
        done = reid_dml("test", "--run", weights, path=parts)
        assert done.returncode == 0, done.stderr
    done = reid_dml("analyse", "similarity", "--run", run, "--output", tmp_path / "found", path=parts)
    assert done.returncode == 0, done.stderr


def test_a_run_goes_on_with_its_parts_under_another_name(run, parts, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "moved_parts.py").write_text(PARTS)
    words = ("--resume", "IMPORTS", "moved_parts", "OUTPUT_DIR", tmp_path / "run", "TRAIN.STEPS", "8")
    done = reid_dml("train", "--config", parts / "my.yml", *OWN, *words, path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "moved_parts" in (tmp_path / "run" / "config.yml").read_text()


def test_every_process_of_torchrun_imports_them(parts, tmp_path):
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "reid_dml")
    words = ("train", "--config", parts / "my.yml", *OWN, "OUTPUT_DIR", tmp_path / "run")
    done = reid_dml(*words, path=parts, prefix=launch)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "network_1.safetensors").is_file()


def test_a_model_that_was_handed_on_imports_nothing_by_itself(model, parts, tmp_path):
    shutil.copy(model / "network_0.safetensors", tmp_path / "alone.safetensors")
    for words in (
        ("--run", model),
        ("--run", tmp_path / "alone.safetensors"),
        ("--config", model / "config.yml", "MODEL.WEIGHTS", model),
    ):
        said = refusal(reid_dml("test", *words, path=parts))
        assert "needs parts_of_my_own" in said
        assert "IMPORTS '[parts_of_my_own]'" in said
    done = reid_dml("test", "--run", model, "IMPORTS", "[parts_of_my_own]", path=parts)
    assert done.returncode == 0, done.stderr
    words = ("--run", model, "--output", tmp_path / "found", "IMPORTS", "parts_of_my_own")
    done = reid_dml("analyse", "similarity", *words, path=parts)
    assert done.returncode == 0, done.stderr
    code = f"import parts_of_my_own, reid_dml; print(reid_dml.FeatureExtractor.from_pretrained({str(model)!r}).model)"
    done = reid_dml(path=parts, prefix=("-c", code))
    assert done.returncode == 0, done.stderr


def test_the_card_names_the_module(model):
    card = (model / "README.md").read_text()
    assert "Python module `parts_of_my_own`" in card
    assert "IMPORTS '[parts_of_my_own]'" in card


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that makes modules for this test; what it imports and notes is forgotten behind it."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_OWN_MODULES", {})

    def make(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    yield make
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def refuse(*words: object, config: str = "quickstart") -> str:
    with pytest.raises(UserError) as refused:
        load_config(config, list(words))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_module_that_is_not_there(tmp_path, monkeypatch):
    assert refuse("IMPORTS", "[no_parts.of_mine]") == (
        "command line: IMPORTS: Python finds no module no_parts; set PYTHONPATH to the folder that holds it, or pip "
        "install its package"
    )
    (tmp_path / "not_on_the_path.py").write_text("")
    (tmp_path / "my.yml").write_text("_BASE_: no.yml\nIMPORTS: not_on_the_path")
    (tmp_path / "no.yml").write_text("SEED: 1")
    said = refuse(config=tmp_path / "my.yml")
    assert said.startswith(f"{tmp_path / 'my.yml'}: IMPORTS: Python finds no module not_on_the_path; ")
    assert said.endswith(f"set PYTHONPATH={tmp_path}")


@pytest.mark.parametrize("name", ["my_parts.py", "folder/my_parts", ".parts", "a-b", ""])
def test_what_is_no_name_of_a_module(name):
    assert f"IMPORTS: {name!r} is no name of a module" in refuse("IMPORTS", [name])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n\nx.y\n", "line 3: AttributeError: 'int' object has no attribute 'y'"),
        ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("x = (\n", "line 1: SyntaxError: '(' was never closed"),
        ("import sys\n\nsys.exit(3)\n", "line 3: ends the program when it is imported, with 3"),
        ("import json\n\njson.loads('{')\n", "line 3: JSONDecodeError: Expecting property name"),
        (
            "from reid_dml.engine.loggers import *\n\n@register_logger('tensorboard')\nclass Own(Logger):\n    pass\n",
            "line 3: ValueError: LOG.TO: 'tensorboard' is registered already, by reid_dml.engine.loggers.tensorboard.",
        ),
    ],
)
def test_a_module_that_fails_names_its_file_and_line(write, tmp_path, text, said):
    write("failing/__init__.py", "from failing import parts\n")
    write("failing/parts.py", text)
    found = refuse("IMPORTS", "failing")
    assert found.startswith(f"command line: IMPORTS: failing: {tmp_path}/failing/parts.py, {said}")


def test_the_last_one_named_counts(write, tmp_path):
    write("first.py", "raise ValueError('is not wanted')")
    write("second.py", "loaded = True")
    write("base.yml", "IMPORTS: [first]")
    write("my.yml", "_BASE_: base.yml\nIMPORTS: [second]\nSYNTHETIC: {}")
    assert load_config(tmp_path / "my.yml").IMPORTS == ["second"]
    assert sys.modules["second"].loaded
    assert load_config(tmp_path / "base.yml", ["OBJECTIVE.STRATEGY", "dml", "IMPORTS", "[]"]).IMPORTS == []
    assert load_config(tmp_path / "base.yml", ["EXPERIMENT", "IMPORTS", "IMPORTS", "second"]).EXPERIMENT == "IMPORTS"


def test_a_run_is_read_as_a_config_of_ones_own_until_it_came_from_a_hub(write, tiny_run, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "config.yml").write_text((run / "config.yml").read_text().replace("IMPORTS: []", "IMPORTS: [harmless]"))
    write("harmless.py", "")
    monkeypatch.setattr("reid_dml.runs.sources.local_path", lambda name: run if name.startswith("hf:") else Path(name))
    with pytest.raises(UserError, match=r"config\.yml: needs harmless, and a model that was handed on"):
        run_config("hf://owner/name")
    assert "harmless" not in sys.modules
    assert run_config("hf://owner/name", ["IMPORTS", "harmless"]).IMPORTS == ["harmless"]
    del sys.modules["harmless"]
    (run / "environment.json").rename(run / "elsewhere.json")  # as a model folder lacks it
    for read in (run_config, known_config, lambda path: RunFolder(path).config()):
        with pytest.raises(UserError, match="needs harmless"):
            read(run)
    (run / "elsewhere.json").rename(run / "environment.json")
    assert run_config(run).IMPORTS == ["harmless"]
    assert "harmless" in sys.modules


@pytest.mark.parametrize("weights", ["network_0.safetensors", "best.safetensors"])
@pytest.mark.parametrize("base", [False, True])
def test_neither_a_base_nor_the_name_of_a_file_makes_a_model_import(write, tmp_path, weights, base):
    write("harmless.py", "")
    write("more/base.yml", "IMPORTS: [harmless]")
    write("model/config.yml", "_BASE_: ../more/base.yml" if base else "IMPORTS: [harmless]")
    save_file({"weight": torch.zeros(1)}, tmp_path / "model" / weights)
    for read in (run_config, known_config):
        for path in (tmp_path / "model", tmp_path / "model" / weights):
            with pytest.raises(UserError, match="needs harmless, and a model that was handed on imports nothing"):
                read(path)
    if weights.startswith("network"):  # a config of one's own may name its base, but not what it imports
        write("my.yml", "_BASE_: model/config.yml")
        assert "needs harmless" in refuse(config=tmp_path / "my.yml")
    assert "harmless" not in sys.modules
    assert run_config(tmp_path / "model", ["IMPORTS", "harmless"]).IMPORTS == ["harmless"]


def test_unknown_names_say_where_parts_of_ones_own_come_from(write):
    hint = "a part of your own is known once IMPORTS names its module"
    for words in (
        ("SAMPLER.NAME", "balanced"),
        ("DATA.TEST", "[my_cameras]"),
        ("LOG.TO", "[my_dashboard]"),
        ("OBJECTIVE.SMALL_LOGITS_WEIGHT", "0.1"),
        ("MINE.SIZE", "3"),
    ):
        assert refuse(*words).endswith(hint), words
    assert refuse("SAMPLER.NAME", "identiti").endswith("did you mean 'identity'?")
    assert refuse("OBJECTIVE.STRATEGI", "dml").endswith("did you mean OBJECTIVE.STRATEGY?")
    assert hint not in refuse("DATA.CAMERAS", "some")  # its values are no parts
    write("parts_without.py", "")
    for words in (("SAMPLER.NAME", "identiti"), ("OBJECTIVE.SMALL_LOGITS_WEIGHT", "0.1")):
        assert refuse("IMPORTS", "parts_without", *words).endswith("; none of IMPORTS [parts_without] registers it")
