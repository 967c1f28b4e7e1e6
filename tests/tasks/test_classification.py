"""A whole classification run: record, ensemble, report, and the same from test_net."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reid_dml.commands.results import results_page
from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.data.pipeline.cache import open_images
from reid_dml.data.sets import load_data
from reid_dml.data.stored import read_all
from reid_dml.runs.networks import build_network, load_networks
from reid_dml.tasks.task import build_task
from tests.conftest import REPOSITORY, TINY

NAMES = ("apple", "bee", "car")


def write_tree(root: Path, *, size: int = 16, train: int = 8, test: int = 4) -> Path:
    """Class folders of noise around a colour of each class."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for number, name in enumerate(NAMES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for image in range(count):
                pixels = rng.integers(0, 128, (size, size, 3))
                pixels[..., number] += 100
                cv2.imwrite(str(folder / f"{image:04d}.png"), pixels.astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("trees") / "cifar10")


@pytest.fixture(scope="module")
def tree_config(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("configs") / "tree.yml"
    path.write_text(TINY.replace("NAME: synthetic, STORED_SIZE: [32, 16]", "NAME: cifar10, STORED_SIZE: [16, 16]"))
    path.write_text(path.read_text().replace("INPUT: {SIZE: [32, 16]}", "INPUT: {SIZE: [16, 16], PAD: 2}"))
    path.write_text(path.read_text() + f"\nDEVICE: cpu\nOUTPUT_DIR: {path.parent / 'run'}\n")
    path.write_text(path.read_text().replace("NAME: cifar10,", f"NAME: cifar10, ROOT: {tree.parent},"))
    return path


@pytest.fixture(scope="module")
def tree_run(tree_config):
    torch.set_num_threads(1)
    cfg = load_config(tree_config, ["TEST.TRAIN_ACCURACY", "True"])
    train_and_evaluate(cfg)
    return Path(cfg.OUTPUT_DIR)


def test_ensembles_of_the_first_networks_are_those_of_a_smaller_cohort(tree_config):
    options = ["COHORT.NETWORKS", "[mobilenet_v1_0.25, mobilenet_v1_0.25, mobilenet_v1_0.25]"]
    cfg = load_config(tree_config, [*options, "TEST.ENSEMBLE_SIZES", "[2]"])
    networks = {index: build_network(cfg, index, len(NAMES)).eval() for index in range(3)}
    task = build_task(cfg)
    evaluation = task.evaluate(networks, "cpu")
    pair = task.evaluate({index: networks[index] for index in (0, 1)}, "cpu").metrics
    assert evaluation.metrics["ensembles"] == {"2": pair["ensemble"]}
    assert evaluation.metrics["ensembles"]["2"] != evaluation.metrics["ensemble"]
    assert "ensemble of the first 2" in evaluation.bins


def test_the_record_holds_the_classification_layout(tree_run):
    record = json.loads((tree_run / "result.json").read_text())
    assert (record["task"], record["dataset"]) == ("classification", "cifar10 (unofficial split)")
    names = {"top1", "top5", "ece", "entropy", "loss"}
    for found in (*record["metrics"]["networks"], record["metrics"]["mean"]):
        assert {split: set(found["classification"][split]) for split in found["classification"]} == {
            "train": {*names, "posterior"},
            "test": names,
        }
    assert set(record["metrics"]["ensemble"]["classification"]) == {"test"}
    assert json.loads((tree_run / "classes.json").read_text())["original_ids"] == list(NAMES)


def test_the_training_images_have_a_mean_posterior_by_rank(tree_run, tree_config):
    cfg = load_config(tree_config)
    data = load_data(cfg)
    images = torch.from_numpy(read_all(open_images(cfg, data.train, "train")))
    labels = torch.tensor([record.person_id - 1 for record in data.train])
    inputs = augment(images, None, AugmentSpec.of(cfg).evaluation()).contiguous(memory_format=torch.channels_last)
    networks = json.loads((tree_run / "result.json").read_text())["metrics"]["networks"]
    for index, network in load_networks(cfg, tree_run, "cpu").items():
        with torch.inference_mode():
            probs = network(inputs).logits.double().softmax(1)
        train = networks[index]["classification"]["train"]
        own = probs.gather(1, labels[:, None])
        others = probs.scatter(1, labels[:, None], -1.0).sort(1, descending=True).values[:, :-1][:, :4]
        assert train["posterior"] == pytest.approx(torch.cat([own, others], 1).mean(0).tolist(), rel=1e-5)
        assert train["entropy"] == pytest.approx(-(probs * probs.log()).sum(1).mean().item(), rel=1e-5)
        assert train["loss"] == pytest.approx(-own.log().mean().item(), rel=1e-5)


def test_the_ensemble_is_the_mean_of_the_networks_posteriors(tree_run, tree_config):
    cfg = load_config(tree_config)
    data = load_data(cfg)
    images = torch.from_numpy(read_all(open_images(cfg, data.test, "test")))
    labels = torch.tensor([record.person_id - 1 for record in data.test])
    inputs = augment(images, None, AugmentSpec.of(cfg)).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        posteriors = [net(inputs).logits.softmax(1) for net in load_networks(cfg, tree_run, "cpu").values()]
    metrics = json.loads((tree_run / "result.json").read_text())["metrics"]
    for mean, found in ((posteriors[0], metrics["networks"][0]), (sum(posteriors) / 2, metrics["ensemble"])):
        test = found["classification"]["test"]
        assert test["top1"] == pytest.approx((mean.argmax(1) == labels).double().mean().item())
        assert test["loss"] == pytest.approx(-mean.gather(1, labels[:, None]).log().mean().item(), rel=1e-5)
        assert test["entropy"] == pytest.approx(-(mean * mean.log()).sum(1).mean().item(), rel=1e-5)


def test_testing_repeats_the_metrics_of_training(command, tree_config, tree_run, tmp_path):
    result = command("test_net", "--config-file", tree_config, "--json", tmp_path / "m.json",
                     "MODEL.WEIGHTS", tree_run, "TEST.TRAIN_ACCURACY", "True")  # fmt: skip
    assert result.code == 0, result.err
    assert (
        json.loads((tmp_path / "m.json").read_text()) == json.loads((tree_run / "result.json").read_text())["metrics"]
    )
    assert "ensemble" in result.out
    assert "top-1" in result.out


def test_networks_of_other_classes_are_refused(command, tree_config, tree_run, tree, tmp_path):
    root = tmp_path / "data" / "cifar10"
    shutil.copytree(tree, root)
    for split in ("train", "test"):
        (root / split / "bee").rename(root / split / "dog")
    result = command("test_net", "--config-file", tree_config, "DATA.ROOT", root.parent, "MODEL.WEIGHTS", tree_run)
    assert "other classes than the training split's" in result.error


def test_more_processes_than_batches_share_a_test_split(tree_config, tree_run, tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "tools/test_net.py",
         "--config-file", str(tree_config), "--json", str(tmp_path / "m.json"), "MODEL.WEIGHTS", str(tree_run),
         "TEST.BATCH_SIZE", "50", "THREADS", "1"],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found, expected = (json.loads(path.read_text()) for path in (tmp_path / "m.json", tree_run / "result.json"))
    for one, other in zip(found["networks"], expected["metrics"]["networks"], strict=True):
        assert one["classification"]["test"] == pytest.approx(other["classification"]["test"], rel=1e-5)


def test_a_choice_of_classes_is_refused(command, tree_config, tmp_path):
    result = command("train_net", "--config-file", tree_config, "OUTPUT_DIR", tmp_path / "run",
                     "SEMI.LABELLED_IDENTITIES", "2")  # fmt: skip
    assert "SEMI.LABELLED_IDENTITIES" in result.error
    assert "SEMI.LABELLED_SHARE" in result.error


def test_the_report_and_the_results_page_show_classification(tree_run):
    page = (tree_run / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert page.count("<svg") == 7  # five training curves, two of calibration
    assert "Ranked lists" not in page
    record = json.loads((tree_run / "result.json").read_text())
    top1 = f"{100 * record['metrics']['ensemble']['classification']['test']['top1']:.2f}"
    assert top1 in page
    table = results_page("<!-- runs: begin --><!-- runs: end -->", [record])
    assert f"|  | ensemble | {top1} |" in table


@pytest.mark.parametrize("key", ["cvpr/mobilenet_scratch", "table2/cifar100/resnet32_resnet32/dml"])
def test_published_rows_of_another_data_set_are_not_shown(command, tree_config, tree_run, tmp_path, key):
    result = command("test_net", "--config-file", tree_config, "MODEL.WEIGHTS", tree_run, "EXPECTED", f"[{key}]")
    assert result.code == 0
    assert f"EXPECTED: the published row {key} is of" in result.err
    assert "not of cifar10: not shown" in result.err
    assert "CVPR" not in result.out


def test_protocols_of_retrieval_are_refused(command, tree_config, tree_run):
    result = command("test_net", "--config-file", tree_config, "MODEL.WEIGHTS", tree_run, "--rerank")
    assert "TEST.RERANK: is for retrieval" in result.error


def test_a_weights_file_alone_is_scored_with_a_warning(command, tree_config, tree_run, tmp_path):
    weights = tmp_path / "network_0.safetensors"
    shutil.copy(tree_run / weights.name, weights)
    found = command("test_net", "--run", weights, "DATA.ROOT", load_config(tree_config).DATA.ROOT)
    assert (found.code, "warning" in found.err) == (0, False)  # its header knows the classes
    save_file(load_file(weights), weights)
    result = command("test_net", "--config-file", tree_config, "MODEL.WEIGHTS", weights)
    assert result.code == 0
    assert "classes.json: not found; whether the rows of the heads stand for this data set's classes" in result.err


def test_a_resumed_run_s_config_says_how_it_was_tested(command, tree_config, tree_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tree_run, run)
    options = ["OUTPUT_DIR", run, "TEST.BATCH_SIZE", "3"]
    assert command("train_net", "--config-file", tree_config, "--resume", *options).code == 0
    assert load_config(run / "config.yml").TEST.BATCH_SIZE == 3
    (run / "config.yml").write_text("")
    result = command("train_net", "--config-file", tree_config, "--resume", *options)
    assert "config.yml: is empty" in result.error


def test_one_network_keeps_its_number(command, tree_config, tree_run, tmp_path):
    page = tmp_path / "page.html"
    weights = tree_run / "network_1_ema.safetensors"
    result = command("test_net", "--config-file", tree_config, "MODEL.WEIGHTS", weights, "--report", page)
    assert "network 1 (" in result.out
    assert "network 0 (" not in result.out + page.read_text()


def test_a_damaged_test_image_is_refused_before_the_training(command, tree_config, tree, tmp_path):
    root = tmp_path / "data" / "cifar10"
    shutil.copytree(tree, root)
    image = root / "test" / "bee" / "0001.png"
    image.write_bytes(image.read_bytes()[:40])
    result = command(
        "train_net", "--config-file", tree_config, "OUTPUT_DIR", tmp_path / "run", "DATA.ROOT", root.parent
    )
    assert str(image) in result.error
    assert not (tmp_path / "run").exists()


class TestRefusals:
    @pytest.fixture
    def broken(self, tree, tmp_path):
        root = tmp_path / "data" / "cifar10"
        shutil.copytree(tree, root)
        return root

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda root: (root / "test" / "bee").rename(root / "test" / "wasp"), "wasp: 1 classes of this split are"),
            (lambda root: [p.unlink() for p in (root / "train" / "car").iterdir()], "car: the class has no images"),
            (lambda root: (root / "train" / "car" / "0001.png").write_bytes(b""), "0001.png: image is empty (0 bytes)"),
            (lambda root: shutil.rmtree(root / "test"), "test: folder not found"),
            (lambda root: [shutil.rmtree(p) for p in (root / "train").iterdir()], "train: holds no class folders"),
            (lambda root: [shutil.rmtree(root / "train" / n) for n in NAMES[1:]], "has one class only (apple)"),
            (lambda root: (root / "test" / "car" / "0001.png").write_bytes(b"no image"), "0001.png: image is corrupt"),
        ],
    )
    def test_a_wrong_tree(self, command, tree_config, broken, tmp_path, change, words):
        change(broken)
        result = command("train_net", "--config-file", tree_config, "DATA.ROOT", broken.parent,
                         "OUTPUT_DIR", tmp_path / "run", "TRAIN.STEPS", "1")  # fmt: skip
        assert words in result.error
