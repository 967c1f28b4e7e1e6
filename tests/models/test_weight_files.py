"""Weights of other toolkits, and what is no weights file at all."""

from __future__ import annotations

import argparse
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from yacs.config import CfgNode

from reid_dml.errors import UserError
from reid_dml.models import build_backbone
from reid_dml.models.weights import load_exact, load_partial, read_tensors


class Trap:
    """Its pickle would run code."""

    def __reduce__(self):
        return (print, ("this must never run",))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_backbone("mobilenet_v1_0.25", (32, 32))


def marked(network, value=3.0):
    return {name: torch.full_like(tensor, value) for name, tensor in network.state_dict().items()}


def loaded(network, content, path, **kwargs):
    torch.save(content, path, **kwargs)
    report = load_partial(network, path, what="network")
    assert report.loaded == len(network.state_dict())
    assert (report.missing, report.unexpected, report.mismatched) == ([], [], [])
    assert all((tensor == 3).all() for tensor in network.state_dict().values())
    return report


@pytest.mark.parametrize("key", ["model", "net", "model_state_dict", "network", "weights", "generator"])
def test_the_mapping_of_tensors_is_found_under_any_key(network, tmp_path, key):
    report = loaded(network, {key: marked(network), "epoch": 3, "optimizer": {"m": torch.zeros(2)}}, tmp_path / "w.pth")
    assert f"taken from `{key}`" in str(report)


def test_tensors_deep_inside_and_beside_a_number_are_found(network, tmp_path):
    loaded(network, {"trainer": {"state": {"model": {**marked(network), "version": 2}}}}, tmp_path / "w.pth")
    loaded(network, {**marked(network), "epoch": 2}, tmp_path / "w.pth")


@pytest.mark.parametrize(
    "prefix",
    ["model.", "base.", "module.model.", "_orig_mod.", "module._orig_mod.backbone.", "encoder.base.", "my.own.name."],
)
def test_a_common_prefix_is_taken_off_and_named(network, tmp_path, prefix):
    content = {f"{prefix}{name}": value for name, value in marked(network).items()}
    content["classifier.weight"] = torch.zeros(7, 256)
    torch.save(content, tmp_path / "w.pth")
    report = load_partial(network, tmp_path / "w.pth", what="network")
    assert report.loaded == len(network.state_dict())
    assert [*report.outside, *report.unexpected] == ["classifier.weight"]
    taken_off = prefix.replace("_orig_mod.", "").removeprefix("module.")
    assert (f"without `{taken_off}` in front" in str(report)) == bool(taken_off)


def test_of_several_networks_the_one_that_fits_is_taken_and_an_average_only_where_there_is_nothing_else(
    network, tmp_path
):
    states = {"ema": marked(network, 5.0), "discriminator": {"x": torch.zeros(2)}, "state_dict": marked(network)}
    report = loaded(network, states, tmp_path / "w.pth")
    assert "taken from `state_dict`, not from `ema`, `discriminator`" in str(report)


def test_exact_loading_does_not_pass_over_tensors_beside_the_prefix(network, tmp_path):
    content = {f"model.{name}": value for name, value in marked(network).items()}
    torch.save({**content, "other": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"1 outside \(other\)"):
        load_exact(network, tmp_path / "w.pth", what="network")


@pytest.mark.parametrize("legacy", [False, True])
def test_objects_beside_the_tensors_are_passed_over_and_never_run(network, tmp_path, capfd, legacy):
    beside = {
        "rank1": np.float64(0.5), "best": np.int64(3), "curve": np.arange(3), "name": np.str_("x"),
        "args": argparse.Namespace(lr=0.1), "cfg": CfgNode({"A": CfgNode({"B": 1})}), "path": tmp_path, "trap": Trap(),
    }  # fmt: skip
    content = {"state_dict": {f"module.{name}": value for name, value in marked(network).items()}, **beside}
    loaded(network, content, tmp_path / "model.pth.tar-60", _use_new_zipfile_serialization=not legacy)
    assert "never" not in capfd.readouterr().out


def test_a_whole_pickled_network_is_named(tmp_path):
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"holds pickled objects \(torch\.nn\S+, .*save model\.state_dict\(\)"):
        read_tensors(tmp_path / "w.pth")


def test_a_file_without_weights_names_its_keys(tmp_path):
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"holds no network weights .*its keys are epoch, lr"):
        read_tensors(tmp_path / "w.pth")


def test_the_name_of_a_file_does_not_decide_how_it_is_read(network, tmp_path):
    save_file(marked(network), tmp_path / "a.pth")
    torch.save(marked(network), tmp_path / "b.safetensors")
    for name in ("a.pth", "b.safetensors"):
        assert read_tensors(tmp_path / name).keys() == network.state_dict().keys()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><title>Quota exceeded</title>", r"a web page \('Quota exceeded'\).*fetch it again"),
        (b"\n <HTML><body>no", "a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            r"a Git LFS pointer.*git lfs pull",
        ),
        (b'{"error": "not found"}', r"a text \('\{\"error\": \"not found\"\}'\)"),
        ("Zugriff verweigert: größer".encode(), "a text"),
        (b"\x1f\x8b" + bytes(50), "a gzip archive.*unpack it"),
        (bytes(257) + b"ustar" + bytes(300), "a tar archive"),
        (bytes(5000), "only zeros"),
        (b"\x89HDF\r\n\x1a\n" + bytes(30), "an HDF5 file"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, suffix, content, words):
    (tmp_path / f"w.{suffix}").write_bytes(content)
    with pytest.raises(UserError, match=rf"w\.{suffix}: is {words}"):
        read_tensors(tmp_path / f"w.{suffix}")


def test_a_zip_of_something_else_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("weights/model.pth", b"x")
    np.savez(tmp_path / "w.npz", a=np.zeros(2))
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "script.pth")
    for name, words in {
        "w.pth": r"a zip archive of other files \('weights/model.pth'\)",
        "w.npz": "a NumPy .npz file",
        "script.pth": "a TorchScript program",
    }.items():
        with pytest.raises(UserError, match=f"{name}: is {words}"):
            read_tensors(tmp_path / name)


def test_where_nothing_fits_both_sides_are_named(network, tmp_path):
    torch.save({"layer1.0.conv1.weight": torch.zeros(2), "fc.bias": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(
        UserError, match=r"none of its 2 tensors fits it;.*has layer1.0.conv1.weight, fc.bias.*wants conv_stem.weight"
    ):
        load_partial(network, tmp_path / "w.pth", what="it")


class TestPositionEmbeddings:
    def start(self, path, size, name="vit_tiny_patch16_224"):
        torch.manual_seed(0)
        network = build_backbone(name, size)
        return network, load_partial(network, path, what="network")

    @pytest.mark.parametrize("before", [(224, 224), (256, 128), (384, 128)])
    def test_they_are_resampled_to_the_grid_of_the_input(self, tmp_path, before):
        source = build_backbone("vit_tiny_patch16_224", before)
        height, width = before[0] // 16, before[1] // 16
        ramp = torch.arange(height).float()[:, None].expand(height, width).reshape(1, -1, 1) / (height - 1)
        source.pos_embed.data = torch.cat([torch.full((1, 1, 192), 7.0), ramp.expand(1, -1, 192)], 1)
        save_file(source.state_dict(), tmp_path / "w.safetensors")
        network, report = self.start(tmp_path / "w.safetensors", (192, 96))
        assert report.mismatched == []
        assert "pos_embed" in report.notes[0]
        assert (network.pos_embed[0, 0] == 7).all()  # of the class token
        grid = network.pos_embed[0, 1:].reshape(12, 6, 192)
        torch.testing.assert_close(grid[:, 0, 0], torch.linspace(0, 1, 12), atol=0.06, rtol=0)
        torch.testing.assert_close(grid[:, 0], grid[:, 5])

    def test_relative_ones_are_resampled_by_timm(self, tmp_path):
        source = build_backbone("swin_tiny_patch4_window7_224", (224, 224))
        save_file(source.state_dict(), tmp_path / "w.safetensors")
        _, report = self.start(tmp_path / "w.safetensors", (256, 128), "swin_tiny_patch4_window7_224")
        assert not [entry for entry in report.mismatched if "bias_table" in entry]

    def test_what_cannot_be_resampled_is_warned_of(self, tmp_path):
        source = build_backbone("vit_tiny_patch16_224", (224, 224)).state_dict()
        source["pos_embed"] = torch.zeros(1, 1 + 7 * 11, 192)
        save_file(source, tmp_path / "w.safetensors")
        with pytest.warns(UserWarning, match=r"pos_embed is \(1, 78, 192\), \(1, 73, 192\) is.*starts at random"):
            self.start(tmp_path / "w.safetensors", (192, 96))
