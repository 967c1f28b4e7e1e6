"""Sizes of networks, and the command that lists them."""

from __future__ import annotations

import pytest

from reid_dml.models import known_names
from reid_dml.models.summary import summarize


def test_macs_match_their_closed_forms():
    # side, channels and filters of every convolution of ResNet-32
    layers = [(32, 3, 16), *[(32, 16, 16)] * 10, (16, 16, 32), *[(16, 32, 32)] * 9, (8, 32, 64), *[(8, 64, 64)] * 9]
    resnet = sum(side**2 * 9 * channels * filters for side, channels, filters in layers) + 64 * 100
    assert summarize("resnet32_cifar", (32, 32), 100).macs == resnet
    found = summarize("mobilenet_v1", (224, 224), 1000)
    assert (found.macs, found.parameters) == (568_740_352, 4_231_976)  # Howard et al., Table 8: 569M and 4.2M


# Published: 1.5 G (Szegedy et al., 2015, Table 1), 5.2 G (Zagoruyko and Komodakis), 1.8 G (torchvision).
@pytest.mark.parametrize(
    ("name", "side", "giga"), [("inception_v1", 224, 1.5), ("wrn_28_10", 32, 5.2), ("torchvision/resnet18", 224, 1.8)]
)
def test_macs_are_those_published(name, side, giga):
    assert round(summarize(name, (side, side), 1000).macs / 1e9, 1) == giga


def test_the_command_prints_a_table_beside_the_paper_s(command):
    result = command("list_networks", "resnet32_cifar", "inception_v1_cifar", "resnet18")
    assert result.code == 0, result.err
    assert [line.split() for line in result.out.splitlines()[2:]] == [
        ["resnet32_cifar", "470,004", "68.9", "64", "0.5M"],
        ["inception_v1_cifar", "5,702,404", "460.1", "1024", "7.8M"],
        ["resnet18", "11,227,812", "37.1", "512"],
    ]
    assert "0.5M" not in command("list_networks", "resnet32_cifar", "--classes", "10").out


def test_the_command_lists_every_name(command):
    names = command("list_networks", "--names").out.split()
    assert names == known_names()
    assert {"wrn_28_10", "resnet50", "torchvision/resnet50"} <= set(names)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet23_cifar"], "no network is called 'resnet23_cifar'; did you mean resnet32_cifar"),
        (["inception_v1", "--size", "14", "32"], "inputs of 14x32"),
        (["resnet18", "--size", "7", "32"], "--size: must be at least 8"),
        (["resnet18", "--names"], "resnet18: --names prints every known name; leave out one or the other"),
        (["resnet18", "--classes", "0"], "--classes: 0 is not a number from 1 to 10,000,000"),
    ],
)
def test_the_command_refuses_in_one_line(command, arguments, words):
    assert words in command("list_networks", *arguments).error
