"""torchvision's classifiers by name: their features, their dropout, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from reid_dml.errors import UserError
from reid_dml.models import ReIDNetwork, build_backbone


@pytest.mark.parametrize(
    ("name", "head"), [("resnet18", "fc"), ("shufflenet_v2_x0_5", "fc"), ("mobilenet_v3_small", "classifier.3")]
)
def test_the_last_layer_on_the_features_gives_torchvision_s_logits(name, head):
    torch.manual_seed(0)
    theirs = models.get_model(name, weights=None).eval()
    ours = ReIDNetwork(build_backbone(f"torchvision/{name}", (64, 64)), 1000).eval()
    missing, unexpected = ours.backbone.load_state_dict(theirs.state_dict(), strict=False)
    assert (missing, unexpected) == ([], [f"{head}.weight", f"{head}.bias"])
    ours.head.load_state_dict(theirs.get_submodule(head).state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images).logits, theirs(images), rtol=1e-5, atol=1e-6)


# One of each family that is quick to build; the width is the one of the layer that was taken out.
@pytest.mark.parametrize(
    ("name", "size", "width"),
    [
        ("efficientnet_b0", (64, 32), 1280),
        ("mnasnet0_5", (64, 32), 1280),
        ("regnet_y_400mf", (64, 32), 440),
        ("densenet121", (64, 32), 1024),
        ("squeezenet1_1", (64, 32), 512),
        ("googlenet", (64, 32), 1024),
        ("inception_v3", (80, 80), 2048),
        ("convnext_tiny", (64, 32), 768),
        ("swin_t", (64, 32), 768),
    ],
)
def test_every_family_gives_logits_and_features_in_training(name, size, width):
    network = ReIDNetwork(build_backbone(f"torchvision/{name}", size), 5).train()
    output = network(torch.randn(2, 3, *size))
    assert (output.logits.shape, output.features.shape) == ((2, 5), (2, width))


def test_the_head_s_dropout_is_ours_alone():
    network = build_backbone("torchvision/mobilenet_v2", (32, 32))
    assert not any(isinstance(module, nn.Dropout) for module in network.modules())


def test_the_last_stride_of_a_resnet():
    network = build_backbone("torchvision/resnet18", (64, 32), last_stride=1)
    assert network.layer4[0].conv1.stride == network.layer4[0].downsample[0].stride == (1, 1)


def test_refusals_name_the_nearest_and_the_reason():
    with pytest.raises(UserError, match=r"no network is called 'torchvision/resnet81'; did you mean torchvision/resn"):
        build_backbone("torchvision/resnet81", (32, 32))
    with pytest.raises(UserError, match=r"no network is called 'mobilenet_v2'; did you mean torchvision/mobilenet_v2"):
        build_backbone("mobilenet_v2", (32, 32))
    with pytest.raises(UserError, match=r"cannot build torchvision/vit_b_16 for inputs of 64x32: .*width"):
        build_backbone("torchvision/vit_b_16", (64, 32))
