"""Every torchvision classifier as a backbone, under `torchvision/<its name>`."""

from __future__ import annotations

from typing import Any

from torch import nn

PREFIX = "torchvision/"


def torchvision_names() -> list[str]:
    """Names of torchvision's classifiers, with the prefix."""
    from torchvision import models  # takes seconds to import: only where it is needed

    return [PREFIX + name for name in models.list_models(module=models)]


def build_torchvision(name: str, size: tuple[int, int], *, pretrained: bool) -> nn.Module:
    """A classifier without its last layer, from (N, 3, *size) to the pooled feature (N, D).

    Args:
        name: with the prefix.
        size: height and width of the inputs.
        pretrained: download the ImageNet weights.

    Raises whatever torchvision does for a size it cannot take or weights it cannot download.
    """
    from torchvision import models

    name = name.removeprefix(PREFIX)
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": not pretrained}
    elif name.startswith("vit_"):
        options = {"image_size": size[0]}  # it takes square images only, and says so
    elif name == "maxvit_t":
        options = {"input_size": size}
    network = models.get_model(name, weights="DEFAULT" if pretrained else None, **options)
    _remove_classifier(network)
    return network


def _remove_classifier(network: nn.Module) -> None:
    """Take out the layer that gives the logits (SqueezeNet's is a convolution), and dropout right in front of it.

    Our head has both: its dropout is `MODEL.DROPOUT`.
    """
    leaves = [(path, module) for path, module in network.named_modules() if not any(module.children())]
    last = max(number for number, (_, module) in enumerate(leaves) if isinstance(module, (nn.Linear, nn.Conv2d)))
    network.set_submodule(leaves[last][0], nn.Identity())
    if isinstance(leaves[last - 1][1], nn.Dropout):
        network.set_submodule(leaves[last - 1][0], nn.Identity())
