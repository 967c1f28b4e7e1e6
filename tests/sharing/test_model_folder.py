"""Model folders: the networks of a run, handed on; the same features offline, from a folder or from a hub."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml

from reid_dml import FeatureExtractor, FeatureSet
from reid_dml.config import load_config
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError
from reid_dml.models.summary import summarize
from reid_dml.runs.networks import build_network
from reid_dml.sharing.model_card import CardText, model_card
from reid_dml.sharing.model_folder import record_of, save_model
from tests.conftest import REPOSITORY, killed_draft


@pytest.fixture(scope="module")
def model(tiny_run, tmp_path_factory):
    """A model folder of the tiny run."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    FeatureExtractor.from_run(tiny_run, device="cpu").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def paths(tiny_config):
    return [record.path for record in load_data(load_config(tiny_config)).query]


def test_it_gives_the_features_of_the_run(model, tiny_run, paths):
    for network in ("ensemble", 1):
        run = FeatureExtractor.from_run(tiny_run, network, device="cpu")
        ours = FeatureExtractor.from_pretrained(model, network, device="cpu")
        np.testing.assert_array_equal(ours(paths), run(paths))
        assert ours.model == run.model


def test_what_a_killed_process_left_is_removed(tiny_run, tmp_path):
    draft = killed_draft(tmp_path / "m")
    FeatureExtractor.from_run(tiny_run, device="cpu").save_pretrained(tmp_path / "m")
    assert not draft.exists()


def test_home_and_links_lead_where_they_do_elsewhere(command, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    FeatureExtractor.from_run(tiny_run, device="cpu").save_pretrained("~/m")
    assert (tmp_path / "home" / "m" / "config.yml").is_file()
    for name in ("empty", "not_there"):
        (tmp_path / f"to_{name}").symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "empty").mkdir(parents=True)
    for name in ("empty", "not_there"):
        result = command("save_model", "--run", tiny_run, "--to", tmp_path / f"to_{name}")
        assert result.code == 0, result.err
        assert (tmp_path / f"to_{name}").is_symlink()
        assert (tmp_path / "elsewhere" / name / "config.yml").is_file()
    assert "is not empty" in command("save_model", "--run", tiny_run, "--to", tmp_path / "to_empty").error
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["elsewhere", "home", "to_empty", "to_not_there"]


def test_one_network_of_a_cohort_is_a_model_too(model, tiny_run, paths, tmp_path):
    FeatureExtractor.from_run(tiny_run, 1, device="cpu").save_pretrained(tmp_path / "one")
    assert not (tmp_path / "one" / "network_0.safetensors").exists()
    one = FeatureExtractor.from_pretrained(tmp_path / "one", device="cpu")
    expected = FeatureExtractor.from_pretrained(model, 1, device="cpu")
    np.testing.assert_array_equal(one(paths), expected(paths))
    assert one.model == expected.model


def test_some_networks_of_a_cohort_are_a_model_too(make_config, paths, tmp_path):
    cfg = make_config("COHORT.NETWORKS", "[mobilenet_v1_0.25, osnet_x0_25, mobilenet_v1_0.25]")
    networks = {index: build_network(cfg, index, 5).eval() for index in range(3)}
    FeatureExtractor(cfg, networks, "cpu").save_pretrained(tmp_path / "all")
    for choice in ("0,2", [2, 0]):
        some = FeatureExtractor.from_pretrained(tmp_path / "all", choice, device="cpu")
        expected = FeatureExtractor(cfg, {index: networks[index] for index in (0, 2)}, "cpu")(paths)
        np.testing.assert_array_equal(some(paths), expected)
    some.save_pretrained(tmp_path / "some")
    assert not (tmp_path / "some" / "network_1.safetensors").exists()
    again = FeatureExtractor.from_pretrained(tmp_path / "some", device="cpu")
    np.testing.assert_array_equal(again(paths), expected)
    assert again.model == some.model
    for choice in ("0,0", [], "0,", "0,3", ",", "0;1"):
        with pytest.raises(UserError, match=r"all: network"):
            FeatureExtractor.from_pretrained(tmp_path / "all", choice, device="cpu")


def test_the_card_has_the_ensemble_of_the_first_networks(make_config):
    def metrics(value: float) -> dict:
        return {"single_query": {"mAP": value, "mINP": value, "cmc": [value] * 10}}

    record = {
        "networks": ["osnet_x0_25"] * 3,
        "metrics": {
            "networks": [metrics(value) for value in (0.1, 0.2, 0.3)],
            "ensembles": {"2": metrics(0.4)},
            "ensemble": metrics(0.5),
        },
        "steps": 1,
        "seed": 0,
        "device": "cpu",
        "dataset": "synthetic",
    }
    cfg = make_config("COHORT.NETWORKS", "[osnet_x0_25, osnet_x0_25, osnet_x0_25]")
    shown = summarize("osnet_x0_25", (32, 16), 5)
    for indices, together in (((0, 1), "40.00"), ((0, 1, 2), "50.00"), ((1, 2), "")):
        card = model_card(
            cfg, record_of(record, indices), dict.fromkeys(indices, shown), "m", CardText(), without_roboflow="no"
        )
        rows = [line for line in card.splitlines() if line.startswith("| all together")]
        assert [row.split("|")[3].strip() for row in rows] == ([together] if together else [])


def test_numbers_that_were_measured_otherwise_are_left_out(command, tiny_run, tmp_path):
    weights, input_size = "the weights were averages, are the last ones", "INPUT.SIZE was [32, 16], is [32, 32]"
    raw = "TEST.ENSEMBLE was 'normalized', is 'raw'"
    cases = [
        (tiny_run, ("TEST.WEIGHTS", "last"), weights, None),
        (tmp_path / "0", (), weights, None),  # handed on further
        (tiny_run / "network_0.safetensors", (), weights, None),
        (tiny_run, ("TEST.FLIP", "True"), "TEST.FLIP was False, is True", None),
        (tiny_run, ("TEST.WEIGHTS", "last", "INPUT.SIZE", "[32,32]"), f"{weights}; {input_size}", None),
        (tiny_run, ("MODEL.LAST_STRIDE", "1"), "MODEL.LAST_STRIDE was 2, is 1", None),
        (tiny_run, ("TEST.ENSEMBLE", "raw"), raw, False),
        (tmp_path / "6", (), raw, False),
        (tiny_run / "network_1_ema.safetensors", ("TEST.ENSEMBLE", "raw"), "", False),
    ]
    for number, (run, options, left_out, together) in enumerate(cases):
        folder = tmp_path / str(number)
        result = command("save_model", "--run", run, "--to", folder, *options)
        assert result.code == 0, result.err
        card, record = (folder / "README.md").read_text(), json.loads((folder / "result.json").read_text())
        assert record.get("left_out", "") == left_out
        assert (f"handed on: {left_out}." in card or f"left out: {left_out}." in card) == bool(left_out)
        shown = "## Measured\n\nNothing: the numbers of the run were measured otherwise" not in card
        assert shown == (together is not None) == bool(record["metrics"])
        assert ("| all together |" in card) == bool(together)


def test_it_holds_no_folder_and_no_person_of_the_training(model, tiny_run, data_root):
    assert {entry.name for entry in model.iterdir()} == {
        *("README.md", "config.yml", "result.json", "network_0.safetensors", "network_1.safetensors")
    }
    places = [str(path).encode() for path in (data_root, tiny_run, tiny_run.parent)]
    for file in model.iterdir():
        content = file.read_bytes()
        assert not any(place in content for place in places), file.name
        assert b"person_ids" not in content, file.name


def test_the_card_says_what_the_record_says(model, tiny_run):
    card, record = (model / "README.md").read_text(), json.loads((tiny_run / "result.json").read_text())
    found = record["metrics"]["ensemble"]["single_query"]
    assert f"| all together | single query | {100 * found['mAP']:.2f} |" in card
    assert f"{record['steps']} steps, seed {record['seed']}, on {record['device']}" in card
    assert "| `network_1.safetensors` | mobilenet_v1_0.25 |" in card
    assert "Roboflow's package `reid` cannot load it: it knows no mobilenet_v1_0.25." in card
    assert card.startswith("---\nlicense: other\n")


@pytest.mark.parametrize(
    ("record", "said", "unsaid"),
    [
        (
            {"dataset": "market1501", "trained_on": "viper + cuhk03_labelled"},
            ["Trained on viper + cuhk03_labelled. Terms of viper, cuhk03_labelled: not known"],
            ["Market-1501 (Zheng", "commercially"],
        ),
        (
            {"dataset": "msmt17_v1", "trained_on": "market1501 + synthetic + dukemtmc"},
            ["Market-1501 (Zheng", "drawn by reid_dml", "DukeMTMC, of which it is made, was withdrawn", "commercially"],
            ["msmt17_v1.", "not known"],
        ),
        (
            {"dataset": "market1501", "trained_on": "msmt17_v1 + prcc"},
            ["MSMT17 (Wei", "Terms of prcc: not known", "commercially"],
            ["Market-1501 (Zheng"],
        ),
        ({"dataset": "market1501_gender"}, ["Market-1501 (Zheng", "commercially"], ["not known"]),
        ({"dataset": "cifar10 (unofficial split)"}, ["CIFAR (Krizhevsky"], ["not known", "commercially"]),
        ({"dataset": "market15012"}, ["not known"], ["Zheng", "commercially"]),
        ({"dataset": "synthetic_shapes"}, ["drawn by reid_dml"], ["not known", "commercially"]),
        ({"dataset": "market1501"}, ["Trained on market1501. Market-1501 (Zheng", "commercially"], ["not known"]),
        ({"dataset": "market1501 (own)"}, ["Terms of the data: not known"], ["Zheng", "commercially"]),
        ({}, ["Terms of the data: not known"], ["Trained on"]),
    ],
)
def test_the_card_names_the_data_trained_on_and_the_terms_of_each(model, record, said, unsaid):
    cfg, results = load_config(model / "config.yml"), {"steps": 1, "seed": 0, "device": "cpu", "metrics": {}}
    summaries = {0: summarize("mobilenet_v1_0.25", (64, 32), 4)}
    card = model_card(cfg, {**results, **record}, summaries, "1a2b", CardText(), without_roboflow="")
    data = card.partition("## Data and its terms")[2].partition("##")[0]
    assert [words for words in said if words not in data] == []
    assert [words for words in unsaid if words in data] == []
    trained_on = record.get("trained_on") or record.get("dataset")
    assert (f", trained on {trained_on} by reid_dml" in card) == bool(trained_on)
    # What whoever hands it on says stands in place of all of it.
    said_so = model_card(cfg, {**results, **record}, summaries, "1a2b", CardText(terms="Ours."), without_roboflow="")
    assert "Zheng" not in said_so
    assert "not known" not in said_so


def test_every_command_takes_it(command, model, tiny_run, paths, tiny_config, tmp_path):
    assert command("extract_features", "--run", model, "--images", paths[0], "--output", tmp_path / "f.npz").code == 0
    config = ("--config-file", tiny_config, "MODEL.WEIGHTS", model)
    other = command("extract_features", *config, "--images", paths[0], "--output", tmp_path / "g.npz")
    assert other.code == 0, other.err
    one, two = (FeatureSet.load(tmp_path / f"{name}.npz") for name in "fg")
    np.testing.assert_array_equal(one.features, two.features)
    assert command("build_index", "--index", tmp_path / "i", "--features", tmp_path / "f.npz").code == 0
    assert command("search_gallery", "--index", tmp_path / "i", "--run", model, "--query", paths[0]).code == 0
    assert command("verify", paths[0], paths[1], "--run", model).code == 0
    # As recorded: the heads are known to be of these classes, though nobody is named.
    tested = command("test_net", *config, "--json", tmp_path / "m.json")
    assert tested.code == 0, tested.err
    assert (
        json.loads((tmp_path / "m.json").read_text()) == json.loads((tiny_run / "result.json").read_text())["metrics"]
    )


def test_the_command_and_its_refusals(command, model, tiny_run, tmp_path):
    result = command("save_model", "--run", tiny_run, "--to", tmp_path / "m", "--licence", "mit", "--terms", "Ours.")
    assert result.code == 0, result.err
    assert "license: mit" in (tmp_path / "m" / "README.md").read_text()
    assert "Trained on synthetic. Ours." in (tmp_path / "m" / "README.md").read_text()
    licence = "ours: as agreed #1"  # a hub reads the lines between the dashes as YAML
    assert command("save_model", "--run", tiny_run, "--to", tmp_path / "called", "--licence", licence).code == 0
    assert yaml.safe_load((tmp_path / "called" / "README.md").read_text().split("---")[1])["license"] == licence
    for blank in ("", " "):
        refused = command("save_model", "--run", tiny_run, "--to", tmp_path / "n", "--licence", blank)
        assert "--licence '': names no licence" in refused.error
    before = (tmp_path / "m" / "README.md").read_bytes()
    assert "is not empty" in command("save_model", "--run", model, "--to", tmp_path / "m").error
    assert (tmp_path / "m" / "README.md").read_bytes() == before
    assert "gone: not found" in command("save_model", "--run", tmp_path / "gone", "--to", tmp_path / "n").error
    assert (
        "network '5' is neither" in command("save_model", "--run", model, "--to", tmp_path / "n", "--network", 5).error
    )
    many = command("save_model", "--run", model, "--to", tmp_path / "n", "--network", "9" * 5000)
    assert "is neither `ensemble` nor one of" in many.error
    (tmp_path / "file").write_text("")
    assert "is a file" in command("save_model", "--run", model, "--to", tmp_path / "file").error
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["called", "file", "m"]


def test_a_network_that_fails_is_not_laid_to_the_record(tiny_run, tmp_path):
    extract = FeatureExtractor.from_run(tiny_run)
    for module in extract.networks[0].backbone.modules():
        module.register_forward_pre_hook(lambda: None)  # takes too few arguments
    with pytest.raises(TypeError, match="takes 0 positional arguments"):
        save_model(extract.networks, extract.cfg, extract.model, tmp_path / "m", CardText())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": 3},
        {"metrics": {"networks": [{"single_query": {"mAP": "much", "cmc": 3}}]}},
        {"objective": "dml"},
        {"steps": "many"},
        {"seed": float("inf")},
        {"dataset": 3, "trained_on": 3},
        {"versions": ["torch"]},
    ],
    ids=str,
)
def test_a_record_with_fields_of_other_types_is_named(command, tiny_run, tmp_path, change):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "result.json").write_text(json.dumps(json.loads((run / "result.json").read_text()) | change))
    error = command("save_model", "--run", run, "--to", tmp_path / "m").error
    assert f"{run / 'result.json'}: has fields that no run writes" in error
    assert "copy it again from where the run was made, or remove it" in error
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run"]


def test_a_damaged_or_exchanged_file_is_named(model, tmp_path):
    shutil.copytree(model, tmp_path / "m")
    first, second = (tmp_path / "m" / f"network_{index}.safetensors" for index in (0, 1))
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    with pytest.raises(UserError, match=r"network_0.safetensors: damaged"):
        FeatureExtractor.from_pretrained(tmp_path / "m")
    shutil.copy(second, first)
    with pytest.raises(UserError, match="give every file its own name back"):
        FeatureExtractor.from_pretrained(tmp_path / "m")
    first.unlink()
    with pytest.raises(UserError, match=r"network_0.safetensors: weights not found"):
        FeatureExtractor.from_pretrained(tmp_path / "m")


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of a Hugging Face hub as a client needs to fetch a model."""

    folder: Path
    asked: list[str]
    revision = "0123456789" * 4

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.asked.append(self.path)
        names = [entry.name for entry in self.folder.iterdir()]
        where, name = self.path.split("?")[0], self.path.split("?")[0].rsplit("/", 1)[-1]
        if where.startswith("/api/models/someone/tiny/tree"):
            content = [{"type": "file", "path": each, "oid": each, "size": self.size(each)} for each in names]
            self.send(json.dumps(content).encode(), body)
        elif where.startswith("/api/models/someone/tiny"):
            content = {"id": "someone/tiny", "sha": self.revision, "siblings": [{"rfilename": each} for each in names]}
            self.send(json.dumps(content).encode(), body)
        elif where.startswith("/someone/tiny/resolve/") and name in names:
            self.send((self.folder / name).read_bytes(), body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def send(self, content: bytes, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hash(content):x}"')
        self.send_header("X-Repo-Commit", self.revision)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def test_a_hub_is_asked_where_a_name_says_so_and_once(model, paths, tmp_path):
    shutil.copytree(model, tmp_path / "remote")
    (tmp_path / "remote" / "pytorch_model.bin").write_bytes(b"a pickle")
    Hub.folder, Hub.asked = tmp_path / "remote", []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(REPOSITORY),
    }

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", f"from reid_dml import FeatureExtractor as F\n{code}"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.stdout + done.stderr

    expected = FeatureExtractor.from_pretrained(model, device="cpu").model
    fetch = "print(F.from_pretrained('someone/tiny', device='cpu').model)"
    try:
        local = f"print(F.from_pretrained({str(model)!r}, device='cpu').model)"
        lines = run(f"{local}\n{fetch}\nF.from_pretrained('someone/other')").splitlines()
    finally:
        server.shutdown()
        server.server_close()
    assert lines[:2] == [expected, expected]
    assert "UserError: hf://someone/other: cannot be fetched" in lines[-1]
    assert any("network_0.safetensors" in path for path in Hub.asked)
    assert not any("pytorch_model.bin" in path and "resolve" in path for path in Hub.asked)
    lines = run(f"{fetch}\nF.from_pretrained('hf://someone/third')").splitlines()  # nobody answers any more
    assert lines[0] == expected  # from the cache
    assert "there is no copy in the cache" in lines[-1]


def test_a_hub_client_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("reid_dml.extras.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"hf://a/b: needs the package huggingface_hub, .* 'reid_dml\[hub\]'"):
        FeatureExtractor.from_pretrained("hf://a/b")
