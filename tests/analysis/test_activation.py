"""Maps of activation against their closed form, and from a run folder to picture and table."""

from __future__ import annotations

import csv
import shutil
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_dml.analysis.activation import activation_maps, relative_maps
from reid_dml.analysis.flatness import recompute_batch_norm
from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from reid_dml.data.sets import load_data
from reid_dml.models import ReIDNetwork, build_backbone

PATCH = (1, 2)  # row and column


class Colours(nn.Conv2d):
    """A backbone whose map is the image itself, in its three channels."""

    num_features = 3

    def __init__(self) -> None:
        super().__init__(3, 3, 1, bias=False)
        self.weight.data = torch.eye(3)[:, :, None, None]


class Pooling(nn.Module):
    """The same as libraries build theirs: the map is inside, behind it is the pooled feature alone."""

    num_features = 3

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.stem, self.pool = Colours(), pool

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.stem(images)).flatten(1)


class Tokens(nn.Module):
    """Patches become a sequence, whose mean is the feature."""

    num_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = Colours(), nn.LayerNorm(3)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.stem(images).flatten(2).transpose(1, 2)).mean(1)


def mobilenet(size: tuple[int, int], **options: Any) -> tuple[ReIDNetwork, Tensor]:
    """A network with a neck, untrained but for its batch-norm statistics, which are those of the three images."""
    torch.manual_seed(0)
    network = ReIDNetwork(build_backbone("mobilenet_v1_0.25", size), 4, neck="bn", **options)
    images = torch.randn(3, 3, *size)
    recompute_batch_norm(network, [images])
    return network, images


def closed_form(maps: Tensor, feature: Tensor, partner: Tensor) -> Tensor:
    """max(0, g · A(p)) / hw with g = (u - s f / |f|) / |f|, of one map A (C, h, w) and the two features f (C,)."""
    target = partner / partner.norm()
    length = feature.norm()
    gradient = (target - (target @ feature / length) * feature / length) / length
    return torch.einsum("c,chw->hw", gradient, maps).clamp(min=0) / maps[0].numel()


@pytest.mark.parametrize(
    ("backbone", "pool"),
    [
        (Colours(), nn.AdaptiveAvgPool2d(1)),
        (Pooling(nn.AdaptiveAvgPool2d(1)), nn.AdaptiveAvgPool2d(1)),
        # ∂f_c/∂A_c(p) is 1 at the largest value and 0 elsewhere: in the mean over positions 1 / hw too.
        (Pooling(nn.AdaptiveMaxPool2d(1)), nn.AdaptiveMaxPool2d(1)),
    ],
    ids=["map", "mean", "max"],
)
def test_the_map_of_a_pooled_feature_is_the_closed_form(backbone, pool):
    network = ReIDNetwork(backbone, 4)
    images = torch.rand(3, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    found = activation_maps(network, images, [1, 0, 0])
    for row, partner in enumerate((1, 0, 0)):
        expected = closed_form(images[row], pool(images[row]).flatten(), pool(images[partner]).flatten())
        assert expected.max() > 0
        assert np.allclose(found[row], expected, atol=1e-7)


def test_the_map_of_a_real_backbone_behind_a_neck_is_that_of_its_affine_feature():
    network, images = mobilenet((96, 64))
    network.eval()
    with torch.no_grad():
        maps = network.backbone(images)
        scale = network.neck.weight / (network.neck.running_var + network.neck.eps).sqrt()
    feature = ((maps[0].mean((1, 2)) - network.neck.running_mean) * scale).requires_grad_()
    partner = ((maps[1].mean((1, 2)) - network.neck.running_mean) * scale).detach()
    (gradient,) = torch.autograd.grad(F.cosine_similarity(feature, partner, 0), feature)
    expected = torch.einsum("c,chw->hw", gradient * scale, maps[0]).clamp(min=0) / maps[0, 0].numel()
    found = activation_maps(network, images, [1, 0, 0])[0]
    assert found.shape == (3, 2)
    assert found.max() > 0
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))


def test_a_bright_patch_that_both_have_gets_the_highest_weight():
    images = torch.full((2, 3, 4, 4), 0.1)
    images[0, 0, PATCH[0], PATCH[1]] = 1  # red, as all of the other image
    images[1, 0] = 1
    found = relative_maps(activation_maps(ReIDNetwork(Colours(), 2), images, [1, 0]))[0]
    assert found[PATCH] == 1
    assert (np.delete(found.ravel(), PATCH[0] * 4 + PATCH[1]) == 0).all()


def test_equal_images_have_no_map_not_one_of_rounding():
    images = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1)
    found = relative_maps(activation_maps(ReIDNetwork(Colours(), 2), images, [1, 0]))
    assert (found == 0).all()


@pytest.mark.parametrize("recompute", [False, True])
def test_a_network_comes_back_as_it_was(recompute):
    network, images = mobilenet((64, 64), dropout=0.5, recompute=recompute)
    network.train()
    network.backbone.bn1.eval()
    for parameter in network.backbone.parameters():
        parameter.requires_grad_(False)
    network.head.weight.grad = torch.ones_like(network.head.weight)

    def state() -> list[object]:
        return [
            {name: value.numpy().tobytes() for name, value in network.state_dict().items()},
            [(value.requires_grad, None if value.grad is None else value.grad.tolist()) for value in parameters],
            [(module.training, len(module._forward_hooks)) for module in network.modules()],
            torch.get_rng_state().tolist(),
            images.requires_grad,
        ]

    parameters = list(network.parameters())
    before = state()
    assert activation_maps(network, images, [1, 0, 0]).max() > 0
    assert state() == before
    with pytest.raises(ValueError, match="no last feature map"):
        activation_maps(network, images[:, :, :32, :32], [1, 0, 0])  # one position
    assert state() == before


def test_what_has_no_map_is_refused():
    with pytest.raises(ValueError, match="no last feature map"):
        activation_maps(ReIDNetwork(Tokens(), 2), torch.rand(2, 3, 4, 4), [1, 0])
    vector = nn.Flatten()
    vector.num_features = 48
    with pytest.raises(ValueError, match="no last feature map"):
        activation_maps(ReIDNetwork(vector, 2), torch.rand(2, 3, 4, 4), [1, 0])


@pytest.mark.parametrize("name", ["resnet18", "torchvision/resnet18", "convnext_atto", "efficientnet_b0"])
def test_maps_inside_the_networks_of_libraries_are_found(name):
    network = ReIDNetwork(build_backbone(name, (64, 64)), 4)
    assert activation_maps(network, torch.rand(2, 3, 64, 64), [1, 0]).shape == (2, 2, 2)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_tokens_of_the_networks_of_libraries_are_refused(name):
    network = ReIDNetwork(build_backbone(name, (224, 224)), 4)
    with pytest.raises(ValueError, match="no last feature map"):
        activation_maps(network, torch.rand(2, 3, 224, 224), [1, 0])


@pytest.fixture(scope="module")
def mapped_run(tmp_path_factory, tiny_config):
    """A run whose last map has two positions."""
    path = str(tmp_path_factory.mktemp("mapped") / "run")
    train_and_evaluate(load_config(tiny_config, ["OUTPUT_DIR", path, "INPUT.SIZE", "[64, 32]", "TRAIN.STEPS", "2"]))
    return path


def test_a_list_of_every_network_is_drawn_and_written(command, mapped_run, data_root, tmp_path):
    query = next(iter(sorted(data_root.rglob("query/*.*"))))
    ask = ("analyse", "activation", "--run", mapped_run, "--query", query, "--k", "3", "--output", tmp_path / "out")
    assert command(*ask).code == 0
    rows = list(csv.DictReader((tmp_path / "out/activation.csv").open()))
    assert [(row["image"], row["rank"]) for row in rows] == 2 * [("query", ""), *(("gallery", n) for n in "123")]
    for start in (0, 4):
        scores = [float(row["similarity"]) for row in rows[start + 1 : start + 4]]
        assert scores == sorted(scores, reverse=True)
    assert all(max(map(float, row["map"].replace(";", "").split())) in (0, 1) for row in rows)
    assert rows[0]["person"] == str(int(query.name[:4]))
    picture = cv2.imread(str(tmp_path / "out/activation.png"))
    assert picture.std() > 10
    # A gallery of its own: the query in it is not found.
    folder = query.parent
    assert command(*ask, "--gallery", folder, "--images", "0").code == 0
    rows = list(csv.DictReader((tmp_path / "out/activation.csv").open()))
    files = [row["file"] for row in rows if row["image"] == "gallery"]
    assert files
    assert str(query) not in files


def test_photos_need_no_data_set_of_the_run(command, mapped_run, data_root, tmp_path):
    """A model folder that was handed on, and images of nobody known."""
    assert command("save_model", "--run", mapped_run, "--to", tmp_path / "model").code == 0
    (tmp_path / "photos").mkdir()
    for number, path in enumerate(sorted(data_root.rglob("query/*.*"))[:3]):
        shutil.copy(path, tmp_path / "photos" / f"{number}{path.suffix}")
    first = min((tmp_path / "photos").iterdir())
    ask = ("analyse", "activation", "--run", tmp_path / "model", "--query", first, "--output", tmp_path / "out")
    elsewhere = ("DATA.ROOT", tmp_path / "nowhere", "DATA.NAME", "market1501")
    assert command(*ask, "--gallery", tmp_path / "photos", *elsewhere).code == 0
    rows = list(csv.DictReader((tmp_path / "out/activation.csv").open()))
    assert [row["rank"] for row in rows] == 2 * ["", "1", "2"]
    assert "not found" in command(*ask, *elsewhere).error


def test_images_of_classes_that_are_no_files_are_named_as_the_data_set_names_them(command, make_config, tmp_path):
    shapes = ("DATA.NAME", "synthetic_shapes", "SHAPES.TRAIN_PER_CLASS", "4", "SHAPES.TEST_PER_CLASS", "2")
    cfg = make_config(*shapes, "INPUT.SIZE", "[64, 64]", "TRAIN.STEPS", "2")
    train_and_evaluate(cfg)
    query, *others = load_data(cfg).test
    ask = ("analyse", "activation", "--run", cfg.OUTPUT_DIR, "--k", "2", "--output", tmp_path / "out")
    assert command(*ask, "--query", query.path).code == 0
    rows = list(csv.DictReader((tmp_path / "out/activation.csv").open()))
    assert rows[0]["file"] == query.path
    assert rows[0]["person"] == load_data(cfg).original_ids[query.label]
    assert {row["file"] for row in rows if row["image"] == "gallery"} <= {record.path for record in others}
    # A picture from elsewhere: nothing is known of it.
    cv2.imwrite(str(tmp_path / "0001_c1.png"), np.zeros((9, 9, 3), np.uint8))
    assert command(*ask, "--query", tmp_path / "0001_c1.png").code == 0
    rows = list(csv.DictReader((tmp_path / "out/activation.csv").open()))
    assert rows[0]["person"] == rows[0]["camera"] == "unknown"


def test_what_cannot_be_mapped_is_refused_in_one_line(command, tiny_run, mapped_run, data_root, tmp_path):
    query = next(iter(sorted(data_root.rglob("query/*.*"))))
    ask = ("analyse", "activation", "--output", tmp_path / "out", "--query")
    assert "give --run" in command(*ask, query).error
    assert "no last feature map" in command(*ask, query, "--run", tiny_run).error  # of one position
    assert "not found" in command(*ask, tmp_path / "absent.jpg", "--run", mapped_run).error
    assert "name one of them" in command(*ask, query.parent, "--run", mapped_run).error
    assert "no gallery image besides" in command(*ask, query, "--run", mapped_run, "--gallery", query).error
    assert "--k 0" in command(*ask, query, "--run", mapped_run, "--k", "0").error
    assert not list((tmp_path).rglob("activation.*"))
