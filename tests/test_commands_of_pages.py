"""Every command that the pages show for their readers' own data runs, in the order of its page, on small images."""

from __future__ import annotations

import configparser
import glob
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from reid_dml.commands.cli import entry
from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from reid_dml.data.sets import load_data
from reid_dml.data.sets.pedestrians import Camera, Pedestrian, draw
from reid_dml.features import FeatureSet
from reid_dml.models import build_backbone
from reid_dml.search import Gallery
from tests.conftest import REPOSITORY
from tests.data.test_published_sets import make_msmt17, market_layout
from tests.search.database import server as server
from tests.shown_commands import Shown, shown_commands
from tests.test_pages import blocks, run
from tests.test_pages import programs as programs

PAGES = ["analyses", "classification", "evaluation", "many_machines", "networks", "production", "search", "training"]
# What the examples are called -> which of the tiny runs stands for it.
RUNS = {
    "dml": ["quickstart", "market", "dml", "market_mobilenet_dml"],
    "independent": ["independent", "market_mobilenet_independent", "second"],
}
SMALL = ["TRAIN.STEPS", "2", "TRAIN.CHECKPOINT_INTERVAL", "2", "DEVICE", "cpu", "THREADS", "1"]
SMALL_PERSONS = [*SMALL, "COHORT.NETWORKS", "[mobilenet_v1_0.25, mobilenet_v1_0.25]", "INPUT.SIZE", "[32, 16]",
                 "DATA.STORED_SIZE", "[32, 16]"]  # fmt: skip
# Pages whose commands run in other tests: test_readme, test_pages, test_models_page, test_reproduce and test_installed.
ELSEWHERE = {"README.md", "trackers.md", "own_photos.md", "models.md", "reproduce.md", "installation.md"}
BELOW = {"service.md"}
# Started with launchers on machines that are not here; the services of the page on production: that of service.md is.
NOT_RUN = ("torchrun --nnodes 64", "ExecStart=")
_DATABASE = "postgresql://me@db/reid"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_config):
    """Tiny runs by what they are."""
    found, folder = {}, tmp_path_factory.mktemp("runs")
    # Large enough for a feature map of several positions.
    size = ["INPUT.SIZE", "[64, 32]", "DATA.STORED_SIZE", "[64, 32]", "DATA.ROOT", str(folder / "persons")]
    for name, (config, words) in {
        "dml": [tiny_config, [*size, "TEST.SAVE_FEATURES", "True"]],
        "independent": [tiny_config, [*size, "OBJECTIVE.STRATEGY", "independent"]],
        "classes": [REPOSITORY / "configs" / "cifar" / "quickstart.yml", [*SMALL, "DATA.ROOT", str(folder / "shapes")]],
    }.items():
        found[name] = folder / name
        train_and_evaluate(load_config(config, [*words, "OUTPUT_DIR", str(found[name])]))
    return found


@pytest.fixture
def place(tmp_path, monkeypatch, runs):
    """A working folder in which everything lies that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("runs").mkdir()
    for kind, names in RUNS.items():
        for name in names:
            shutil.copytree(runs[kind], Path("runs") / name)
    for name in ("cifar100_resnet32_dml", "cifar100_resnet32_independent"):
        shutil.copytree(runs["classes"], Path("runs") / name)
    (drawn,) = (runs["dml"].parent / "persons").glob("synthetic-pedestrians-*")
    for name in ("path/to/gallery", "new", "query"):
        shutil.copytree(drawn / "query" if name == "query" else drawn / "bounding_box_test", name)
    shutil.copytree(drawn, "path/to/own")
    Path("datasets").mkdir()
    photos()
    for name in ("photo.jpg", "one.jpg", "a.jpg", "b.jpg", "query/0473_c3s1_122458_00.jpg"):
        cv2.imwrite(name, picture(1, len(name)))
    run = Path("runs/quickstart")
    for split, names in {"query": ["query", "q"], "gallery": ["gallery", "g", "features"], "boxes": ["m"]}.items():
        for name in names:
            shutil.copy(run / f"{split}.npz", f"{name}.npz")
    return tmp_path


def picture(person: int, frame: int) -> np.ndarray:
    return draw(Pedestrian.of(0, person), Camera.of(0, frame % 3), np.random.default_rng([person, frame]))[..., ::-1]


def photos() -> None:
    for folder in ("photos", "path/to/labelled"):
        for person in ("anna", "ben", *map(str, range(18))):
            for camera in ("door", "hall"):
                (Path(folder) / person / camera).mkdir(parents=True)
                for frame in range(2):
                    image = picture(sum(map(ord, person)), frame + 3 * (camera == "hall"))
                    cv2.imwrite(f"{folder}/{person}/{camera}/{frame}.jpg", image)


def prepare_search(call) -> None:
    """What the page's readers have from elsewhere: features of many persons, frames with times, parts."""
    labelled = ["--run", "runs/quickstart", "--images", "photos", "--labels", "folder"]
    for name in ("query", "gallery"):
        call("extract", [*labelled, "--output", f"{name}.npz"])
    Path("frames").mkdir()
    for minute in range(4):
        cv2.imwrite(f"frames/hall_20260131_1230{minute:02}.jpg", picture(minute, minute))
    call("index", ["--index", "frames.index", "--images", "frames", "--run", "runs/quickstart"])
    shutil.copytree("photos", "old")
    call("extract", ["--run", "runs/quickstart", "--images", "old", "--output", "parts"])


def prepare_analyses(call) -> None:
    rng = np.random.default_rng(0)
    persons = np.repeat([3, 17, 22, 30], 8)
    features = rng.normal(size=(32, 16)) + persons[:, None] % 5
    features = features.astype(np.float32)
    FeatureSet(features, persons, np.tile([1, 2], 16), [f"{row}.png" for row in range(32)]).save("query.npz")


def prepare_networks(call) -> None:
    text = (REPOSITORY / "docs" / "networks.md").read_text()
    ((name, config),) = re.findall(r"cat > (\S+) <<'END'\n(.*?)^END$", text, re.S | re.M)
    Path(name).write_text(config)
    torch.save({"state_dict": build_backbone("torchvision/resnet50", (256, 128)).state_dict()}, "model.pth.tar-60")


def prepare_classification(call) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (200, 32, 32, 3), np.uint8), np.arange(200) % 100
    arrays = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    np.savez("datasets/cifar100.npz", **arrays)
    shutil.rmtree("runs/cifar100_resnet32_dml")


def prepare_many_machines(call) -> None:
    paths = sorted(str(path) for path in Path("photos").rglob("*.jpg"))
    Path("list.csv").write_text("path,person_id,camera_id\n" + "".join(f"{p},{p.split('/')[1]},1\n" for p in paths))


def prepare_training(call) -> None:
    persons = ["SYNTHETIC.TRAIN_IDENTITIES", "20", "SYNTHETIC.TEST_IDENTITIES", "3", "SYNTHETIC.IMAGES_PER_CAMERA", "2"]
    load_data(load_config("quickstart", [*persons, "DATA.STORED_SIZE", "[32, 16]", "DATA.ROOT", "drawn"]))
    (folder,) = Path("drawn").glob("synthetic-pedestrians-*")
    folder.rename("datasets/Market-1501-v15.09.15")


def prepare_evaluation(call) -> None:
    make_msmt17(Path("datasets"))
    market_layout(
        Path("datasets/VeRi"), lambda p, c: f"{p:04d}_c{c:03d}_16_0.jpg", ("image_train", "image_query", "image_test")
    )


def prepare_production(call) -> None:
    call("save", ["--run", "runs/independent", "--to", "models/market-2"])


PREPARE = {name.removeprefix("prepare_"): found for name, found in globals().items() if name.startswith("prepare_")}


def test_no_page_is_left_out():
    assert {shown.document for shown in shown_commands()} == {f"{page}.md" for page in PAGES} | ELSEWHERE | BELOW
    assert set(PREPARE) <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page, place, request):
    shown = [one for one in shown_commands([REPOSITORY / "docs" / f"{page}.md"]) if not one.line.startswith(NOT_RUN)]
    assert shown
    PREPARE.get(page, lambda call: None)(entry.call)
    url = ""
    if any(_DATABASE in one.line for one in shown):
        try:
            url = request.getfixturevalue("server").url
        except pytest.skip.Exception:  # what needs no database runs without one
            shown = [one for one in shown if _DATABASE not in one.line]
    for one in shown:
        words = typed(one, url)
        print(one.line, "->", words, flush=True)
        try:
            assert entry.call(one.name, words) in (None, 0)
        except Exception as error:
            raise AssertionError(f"{one.line}: {error}") from error


def test_the_python_of_the_page_on_searching_runs(place, server):
    entry.call("index", ["--index", "market.index", "--features", "gallery.npz"])
    Path("old").mkdir()
    for name in ("old/0001.jpg", "old/0002_c3s1_000001_00.jpg"):
        cv2.imwrite(name, picture(1, len(name)))
    entry.call("extract", ["--run", "runs/quickstart", "--images", "old", "--output", "old.npz"])
    entry.call("extract", ["--run", "runs/quickstart", "--images", "photos", "--labels", "folder", "--output", "p.npz"])
    entry.call("index", ["--index", f"{server.url}#market", "--features", "p.npz", "--overwrite"])
    known = {"features": FeatureSet.load("query.npz"), "feature_set": FeatureSet.load("old.npz")}
    first, second, _ = blocks("search.md", "python")
    before = len(Gallery.open("market.index"))
    exec(first, known)
    assert len(Gallery.open("market.index")) == before
    assert known["scores"].shape == (len(known["features"]), 10)
    exec(second.replace(_DATABASE, server.url), known)
    found, _ = known["gallery"].search(known["features"], k=10, only=known["ImageFilter"](cameras=["hall"]))
    assert {image.camera for image in known["gallery"].images(found[0])} == {"hall"}


def test_the_network_of_the_page_on_networks_can_be_named(tmp_path, programs):
    (code,) = blocks("networks.md", "python")
    before = """
from torch import nn
from reid_dml.models import build_backbone, register_backbone

class MyNetwork(nn.Sequential):
    num_features = 8
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, 3, 2))

"""
    behind = "\nprint(build_backbone('my_network', (64, 32)).num_features)"
    assert run([sys.executable, "-c", before + code + behind], tmp_path, programs) == "8\n"


def test_the_files_of_the_page_on_production_can_be_read():
    (unit,), (scrape,) = blocks("production.md", "ini"), blocks("production.md", "yaml")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(unit)
    assert parser.sections() == ["Unit", "Service", "Install"]
    (job,) = yaml.safe_load(scrape)["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8000"]}]  # where `reid-dml serve` listens


def test_the_service_s_page_runs(place, programs):
    """Its commands up to the service, the service, and its Python beside it."""
    for package in ("fastapi", "uvicorn", "jinja2", "multipart", "prometheus_client", "requests"):
        pytest.importorskip(package)
    *first, serve = shown_commands([REPOSITORY / "docs" / "service.md"])
    for one in first:
        entry.call(one.name, typed(one, ""))
    cv2.imwrite("anna.jpg", picture(5, 5))
    (code,) = blocks("service.md", "python")
    command = [sys.executable, "-m", "reid_dml", serve.name, *typed(serve, ""), "--port", "0", "DEVICE", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    log = place / "service.log"
    with log.open("w") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as service:
        try:
            end = time.monotonic() + 120
            while not (found := re.search(r"http://127\.0\.0\.1:(\d+)\n", log.read_text())):
                assert service.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.1)
            said = run([sys.executable, "-c", code.replace("8000", found[1])], place, programs)
        finally:
            service.kill()
    assert [line.split()[0] for line in said.splitlines()] == ["1", "2", "3", "4", "5"]


def typed(one: Shown, url: str) -> list[str]:
    """The words as a command gets them: patterns as the files they stand for, the database here, and few steps."""
    words = []
    for word in one.words:
        pattern = "*" in word and not one.line.split(word)[0].rstrip(" '").endswith("--remove")
        found = sorted(glob.glob(word)) if pattern else [word.replace(_DATABASE, url)]
        assert found, f"{one.line}: no file is called like {word}"
        words += found
    config = words[words.index("--config-file") + 1] if "--config-file" in words else ""
    if one.name == "train" or (one.name == "test" and config):
        words += SMALL if "cifar" in config else SMALL_PERSONS
    if one.name == "test" and not config:
        words += ["DATA.ROOT", "datasets"]
    if one.name == "index" and _DATABASE in one.line and not {"--add", "--remove"} & set(words):
        words.append("--overwrite")  # the page shows several ways to fill one gallery
    if config.startswith("configs/"):
        words[words.index(config)] = str(REPOSITORY / config)
    return words
