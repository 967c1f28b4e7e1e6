"""Networks: parameter counts, equality with timm, strides, and loading weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from reid_dml.errors import UserError
from reid_dml.models import BACKBONES, ReIDNetwork, build, build_backbone
from reid_dml.models.activations import relu6
from reid_dml.models.build import new_network
from reid_dml.models.weights import load_exact, load_partial, read_tensors
from reid_dml.runs.networks import build_network, load_networks


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


# Width 1.0 is the count behind the paper's Table 1; the others are MobileNet's published ones with a head of
# 100 instead of 1000 classes (0.75: 2,585,560).
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mobilenet_v1", 3_309_476),
        ("mobilenet_v1_cifar", 3_309_476),
        ("mobilenet_v1_cifar_stride16", 3_309_476),
        ("mobilenet_v1_0.75", 1_893_460),
        ("mobilenet_v1_0.5", 869_892),
        ("mobilenet_v1_0.25", 238_772),
    ],
)
def test_parameter_counts_with_100_classes(name, parameters):
    network = ReIDNetwork(build_backbone(name, (32, 32)), 100)
    assert count(network) == parameters
    width = network.feature_dim / 1024
    blocks = [
        (32, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        (256, 256),
        (256, 512),
        *[(512, 512)] * 5,
        (512, 1024),
        (1024, 1024),
    ]
    scaled = [(int(c * width), int(o * width)) for c, o in blocks]
    backbone = int(32 * width) * (27 + 2) + sum(9 * c + 2 * c + c * o + 2 * o for c, o in scaled)
    assert count(network.backbone) == backbone


def test_every_own_backbone_gives_logits_and_pooled_features():
    for name in BACKBONES.names():
        with torch.device("meta"):
            network = ReIDNetwork(build_backbone(name, (64, 32)), 7).eval()
            output = network(torch.empty(2, 3, 64, 32))
        assert output.logits.shape == (2, 7)
        assert output.features.shape == (2, network.feature_dim)


# The paper's MobileNet for 32x32 images halves at 128 -> 256, 256 -> 512 and 512 -> 1024 channels only.
@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("mobilenet_v1_cifar", (32, 32, 32, 16, 8, 4)),
        ("mobilenet_v1_cifar_stride16", (32, 32, 16, 8, 4, 2)),
        ("mobilenet_v1", (16, 16, 8, 4, 2, 1)),
    ],
)
def test_where_mobilenet_halves_the_resolution(name, sides):
    with torch.device("meta"):
        network = build_backbone(name, (32, 32))
        maps = [network.conv_stem(torch.empty(2, 3, 32, 32))]
        for stage in network.blocks:
            maps.append(stage(maps[-1]))
        assert network(torch.empty(2, 3, 32, 32)).shape == maps[-1].shape
    assert tuple(tensor.shape[2] for tensor in maps) == sides


@pytest.mark.parametrize("size", [(64, 32), (65, 33), (33, 64)])
def test_mobilenet_equals_timm_s_tensor_for_tensor(size):
    torch.manual_seed(0)
    theirs = timm.create_model("mobilenetv1_100", num_classes=0, pad_type="same").eval()
    ours = build_backbone("mobilenet_v1", size).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(ours(images).mean((2, 3)), theirs(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("mobilenet_v1_0.25", 32),
        ("mobilenet_v1_cifar", 8),
        ("resnet20_cifar", 4),
        ("wrn_16_1", 4),
        ("resnet18", 32),
        ("mobilenetv3_small_050", 32),
    ],
)
def test_last_stride_doubles_the_last_resolution(name, stride):
    maps = []
    for last in (2, 1):
        network = build_backbone(name, (64, 32), last_stride=last).eval()
        forward = getattr(network, "forward_features", network)
        maps.append(forward(torch.zeros(1, 3, 64, 32)).shape[2:])
    assert tuple(maps[0]) == (64 // stride, 32 // stride)
    assert tuple(maps[1]) == (128 // stride, 64 // stride)


def test_a_timm_network_by_name():
    network = ReIDNetwork(build_backbone("resnet18", (64, 32)), 5).eval()
    assert network(torch.zeros(1, 3, 64, 32)).features.shape == (1, 512)
    vit = ReIDNetwork(build_backbone("vit_tiny_patch16_224", (64, 32)), 5).eval()
    assert vit(torch.zeros(1, 3, 64, 32)).features.shape == (1, 192)


def test_a_network_too_large_for_the_input_is_refused():
    with pytest.raises(UserError, match="cannot build inception_v3 for inputs of 64x32"):
        build_backbone("inception_v3", (64, 32))


def test_batch_norm_options_leave_or_replace_the_network_s_own(make_config):
    own = build_network(
        make_config(
            "COHORT.NETWORKS", "[efficientnet_b0]", "OBJECTIVE.STRATEGY", "independent", "MODEL.BN_MOMENTUM", "0"
        ),
        0,
        5,
    )
    replaced = build_network(make_config("MODEL.BN_EPS", "1e-3", "MODEL.BN_MOMENTUM", "0.01"), 0, 5)
    assert own.backbone.bn1.momentum == 0.1
    assert (replaced.backbone.bn1.eps, replaced.backbone.bn1.momentum) == (1e-3, 0.01)


def test_building_a_network_leaves_the_global_generator_alone(make_config):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    build_network(make_config(), 0, 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_network_suggests_a_neighbour():
    with pytest.raises(UserError, match="no network is called 'mobilenet_1'; did you mean mobilenet_v1"):
        build_backbone("mobilenet_1", (32, 32))
    with pytest.raises(UserError, match=r"MODEL\.LAST_STRIDE: vit_tiny_patch16_224 has no last stage"):
        build_backbone("vit_tiny_patch16_224", (224, 224), last_stride=1)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("convnext_atto", r"halved by windows of 2x2 \(stages\.3\.downsample\.1\)"),
        ("inception_v1", r"halved by windows of 2x2 \(maxpool4\)"),
        ("densenet121", r"halved by windows of 2x2 \(features\.transition3\.pool\)"),
        ("hrnet_w18_small", r"other parts count on the smaller one \(The size of tensor a"),
    ],
)
def test_a_last_stage_that_cannot_keep_its_resolution(name, why):
    with pytest.raises(UserError, match=rf"MODEL\.LAST_STRIDE: the last stage of {name} .*: .*{why}.*; set it to 2"):
        build_backbone(name, (64, 32), last_stride=1)


def test_the_neck_normalises_the_feature_in_evaluation():
    torch.manual_seed(0)
    network = ReIDNetwork(build_backbone("mobilenet_v1_0.25", (32, 32)), 5, neck="bn")
    network.neck.running_mean.fill_(0.5)
    images = torch.randn(4, 3, 32, 32)
    pooled = network.eval().backbone(images).mean((2, 3))
    torch.testing.assert_close(network(images).features, network.neck(pooled))
    network.train()
    assert network.head.bias is None
    assert network(images).features.mean().item() != pytest.approx(0, abs=1e-4)  # pooled, not normalised


def test_networks_of_a_cohort_start_differently_and_repeatably(make_config):
    cfg = make_config()
    first, second, again = (build_network(cfg, index, 5) for index in (0, 1, 0))
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, second.head.weight)


def test_truncated_normal_initialisation(make_config):
    network = build_network(make_config("MODEL.INIT", "truncated_normal", "MODEL.INIT_STD", "0.09"), 0, 500)
    weight = network.head.weight
    assert weight.abs().max() <= 0.18
    assert weight.std().item() == pytest.approx(0.09 * 0.8796, rel=0.02)  # sd of a normal cut at 2 sd
    assert not network.head.bias.any()


def test_what_downloaded_weights_lack_is_initialised_as_asked(make_config, monkeypatch):
    # Nothing is downloaded: what `pretrained` gives are the backbone's own starting weights.
    monkeypatch.setattr(build, "build_backbone", lambda *args, pretrained, **rest: build_backbone(*args, **rest))
    given = ("MODEL.INIT", "truncated_normal", "MODEL.INIT_STD", "0.01", "COHORT.INIT_WEIGHTS", "[imagenet]")
    network, plain = build_network(make_config(*given), 0, 500), build_network(make_config(), 0, 500)
    assert 0 < network.head.weight.abs().max() <= 0.02
    for name, tensor in network.backbone.state_dict().items():
        assert torch.equal(tensor, plain.backbone.state_dict()[name]), name


def test_networks_of_a_cohort_are_built_each_in_its_own_way(make_config):
    cfg = make_config(
        "MODEL.INIT", "[truncated_normal, default]", "MODEL.INIT_STD", "[0.01, 0.09]", "MODEL.DROPOUT", "[0.2, 0.001]",
        "MODEL.BN_MOMENTUM", "[3e-4, 0.1]", "MODEL.BN_EPS", "1e-3",
    )  # fmt: skip
    first, second = (build_network(cfg, index, 500) for index in (0, 1))
    assert first.head.weight.abs().max() <= 0.02
    assert second.head.bias.any()  # torch's own
    assert (first.dropout.probability, second.dropout.probability) == (0.2, 0.001)
    for network, momentum in ((first, 3e-4), (second, 0.1)):
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        assert {(norm.momentum, norm.eps) for norm in norms} == {(momentum, 1e-3)}


def test_dropout_does_not_depend_on_the_global_generator(make_config):
    from reid_dml.models.build import seed_dropout

    network = build_network(make_config("MODEL.DROPOUT", "0.5"), 0, 5).train()
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        seed_dropout(network, 0, 0, "cpu")
        results.append(network.dropout(torch.ones(4, 100)))
    assert torch.equal(*results)
    assert set(results[0].unique().tolist()) == {0.0, 2.0}


def test_dropout_draws_other_numbers_than_the_starting_weights(make_config):
    from reid_dml.models.build import network_seed, new_peer_generator, seed_dropout

    cfg = make_config()
    network = build_network(cfg, 1, 5)
    states = [
        torch.Generator().manual_seed(network_seed(cfg.SEED, 1)).get_state(),  # of the starting weights
        seed_dropout(network, cfg.SEED, 1, "cpu").get_state(),
        new_peer_generator(cfg.SEED, 1, "cpu").get_state(),
        seed_dropout(network, cfg.SEED, 2, "cpu").get_state(),
    ]
    assert len({bytes(state.tolist()) for state in states}) == 4
    # What runs of before began with: a new stream for dropout must not change anybody's starting weights.
    assert network_seed(0, 1) == 2122545592250308646


class TestWeights:
    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        return ReIDNetwork(build_backbone("mobilenet_v1_0.25", (32, 32)), 5)

    def test_a_partial_load_reports_every_tensor(self, network, tmp_path):
        tensors = dict(network.backbone.state_dict())
        del tensors["conv_stem.weight"]
        tensors["blocks.0.0.conv_pw.weight"] = torch.zeros(3, 3)
        tensors["classifier.weight"] = torch.zeros(2)
        save_file(tensors, tmp_path / "w.safetensors")
        report = load_partial(network.backbone, tmp_path / "w.safetensors", what="backbone")
        assert report.missing == ["conv_stem.weight"]
        assert report.unexpected == ["classifier.weight"]
        assert report.mismatched == ["blocks.0.0.conv_pw.weight (3, 3) in the file, (16, 8, 1, 1) here"]
        for name in ("conv_stem.weight", "classifier.weight", "(16, 8, 1, 1)"):
            assert name in str(report)

    def test_a_torch_file_of_tensors_loads(self, network, tmp_path):
        torch.save({"state_dict": {f"module.{k}": v + 1 for k, v in network.state_dict().items()}}, tmp_path / "w.pth")
        before = network.head.weight.clone()
        load_exact(network, tmp_path / "w.pth", what="network 0")
        torch.testing.assert_close(network.head.weight, before + 1)

    def test_a_backbone_starts_from_a_whole_network_s_file(self, network, tmp_path):
        save_file(network.state_dict(), tmp_path / "w.safetensors")
        other = build_backbone("mobilenet_v1_0.25", (32, 32))
        report = load_partial(other, tmp_path / "w.safetensors", what="backbone")
        assert (report.missing, report.unexpected, report.mismatched) == ([], [], [])
        assert torch.equal(other.conv_stem.weight, network.backbone.conv_stem.weight)

    def test_a_network_of_the_same_tensors_but_other_strides_is_named(self, make_config, tmp_path):
        alone = ("OBJECTIVE.STRATEGY", "independent", "COHORT.NETWORKS")
        trained = make_config(*alone, "[mobilenet_v1_cifar]")
        folder = Path(trained.OUTPUT_DIR)
        folder.mkdir()
        (folder / "config.yml").write_text(trained.dump())
        save_file(build_network(trained, 0, 5).state_dict(), folder / "network_0_ema.safetensors")
        with pytest.warns(UserWarning, match=r"COHORT.NETWORKS was \['mobilenet_v1_cifar'\], is \['mobilenet_v1'\]"):
            load_networks(make_config(*alone, "[mobilenet_v1]"), folder, "cpu")

    def test_another_architecture_is_refused(self, network, tmp_path):
        save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
        with pytest.raises(UserError, match="belongs to another architecture"):
            load_partial(network, tmp_path / "w.safetensors", what="network")
        wider = ReIDNetwork(build_backbone("mobilenet_v1_0.5", (32, 32)), 5)
        save_file(wider.state_dict(), tmp_path / "wider.safetensors")
        with pytest.raises(
            UserError, match=r"does not fit network 0: .* mismatched .*use the config it was trained with"
        ):
            load_exact(network, tmp_path / "wider.safetensors", what="network 0")

    def test_starting_weights_of_which_most_do_not_fit_are_refused(self, network, tmp_path):
        own = network.backbone.state_dict()
        counted = sorted(name for name in own if not name.endswith("num_batches_tracked"))
        half, path = -(-len(counted) // 2), str(tmp_path / "w.safetensors")

        def start(names, **others):
            save_file({**{name: own[name] + 1 for name in names}, **others}, path)
            return new_network("mobilenet_v1_0.25", 5, size=(32, 32), seed=0, start=path, what="network 1")

        line = rf"w\.safetensors: fits {half - 1} of the {len(counted)} tensors of network 1 \(mobilenet_v1_0\.25\) .*"
        for others in ({}, {name: torch.zeros(1, 2, 3) for name in counted[half - 1 :]}):
            with pytest.raises(UserError, match=line + r"another architecture; name its network in COHORT\.NETWORKS"):
                start(counted[: half - 1], **others)
        assert torch.equal(start(counted[:half]).backbone.state_dict()[counted[0]], own[counted[0]] + 1)

    def test_starting_weights_may_lack_layers_and_have_another_head(self, tmp_path):
        # As the file that our runs on a CPU started from: no last pointwise convolution, its batch norm, classifier.
        tensors = build_backbone("mobilenet_v1", (64, 32)).state_dict()
        last = [name for name in tensors if name.startswith(("blocks.4.1.conv_pw", "blocks.4.1.bn2"))]
        assert sum(tensors[name].numel() for name in last) > 1024**2
        kept = {name: value for name, value in tensors.items() if name not in last}
        for head in ({}, {"classifier.weight": torch.zeros(7, 1024), "fc.bias": torch.zeros(7)}):
            save_file({**kept, **head}, tmp_path / "w.safetensors")
            new_network("mobilenet_v1", 5, size=(64, 32), seed=0, start=str(tmp_path / "w.safetensors"))

    @pytest.mark.parametrize("suffix", ["safetensors", "pt"])
    def test_a_truncated_file_is_refused(self, network, tmp_path, suffix):
        path = tmp_path / f"w.{suffix}"
        save_file(network.state_dict(), path) if suffix == "safetensors" else torch.save(network.state_dict(), path)
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(UserError, match=rf"w\.{suffix}.*truncated"):
            read_tensors(path)

    def test_a_pickle_that_is_not_weights_is_not_opened(self, tmp_path):
        class Surprise:
            def __reduce__(self):
                return (print, ("this must never run",))

        torch.save({"a": Surprise()}, tmp_path / "w.pt")
        with pytest.raises(UserError, match=r"w\.pt: holds pickled objects"):
            read_tensors(tmp_path / "w.pt")
        for number, first in enumerate(b"(.Nabeqrstu}A{"):
            (tmp_path / f"{number}.pth").write_bytes(bytes([first]) + b" a line of some log file")
            with pytest.raises(UserError, match=rf"{number}\.pth"):
                read_tensors(tmp_path / f"{number}.pth")
        torch.save({0: torch.zeros(1)}, tmp_path / "numbers.pt")
        with pytest.raises(UserError, match="holds no network weights"):
            read_tensors(tmp_path / "numbers.pt")
        torch.save({"epoch": 3}, tmp_path / "n.pt")
        with pytest.raises(UserError, match=r"n\.pt: holds no network weights"):
            read_tensors(tmp_path / "n.pt")

    def test_a_wrong_path_is_refused(self, tmp_path):
        with pytest.raises(UserError, match=r"gone\.safetensors: the weights file not found"):
            read_tensors(tmp_path / "gone.safetensors")
        with pytest.raises(UserError, match=r'gone\.safetensors: .* not found; make it as .* under "Starting weights"'):
            read_tensors("datasets/weights/gone.safetensors")
        (tmp_path / "empty.safetensors").touch()
        with pytest.raises(UserError, match="empty \\(0 bytes\\)"):
            read_tensors(tmp_path / "empty.safetensors")


@pytest.mark.parametrize("name", ["mobilenet_v1_0.25", "resnet20_cifar"])
def test_counters_advance_together_and_only_with_passes_that_learn(name):
    network = ReIDNetwork(build_backbone(name, (32, 32)), 5, neck="bn").train()
    counters = [network.state_dict()[key] for key in network.state_dict() if key.endswith("num_batches_tracked")]
    counters[0].fill_(7)  # as weights of others may have them
    images = torch.randn(4, 3, 32, 32)
    for _ in range(3):
        network(images)
    network.eval()(images)
    assert [int(counter) for counter in counters] == [10, *[3] * (len(counters) - 1)]
    assert len(counters) == sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()) > 10


def test_relu6_has_the_values_and_gradients_of_torch_s():
    values = torch.tensor([-1.0, -0.0, 0.0, 1e-30, 3.0, 5.999999, 6.0, 6.000001, 7.0, torch.nan, torch.inf])
    incoming = torch.arange(1.0, 12.0)
    results = []
    for activation in (partial(relu6, training=True), torch.nn.functional.relu6):
        x = values.clone().requires_grad_()
        result = activation(x * 1)
        (gradient,) = torch.autograd.grad(result, x, incoming)
        results.append((result.detach().numpy().tobytes(), gradient.numpy().tobytes()))
    assert results[0] == results[1]
