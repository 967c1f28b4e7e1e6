"""Backbones by name: our own, registered with one decorator, every timm network, and every torchvision classifier.

A backbone maps (N, 3, H, W) to a feature map (N, C, h, w) or directly to a pooled feature (N, C), and says its C in
`num_features`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from reid_dml.errors import UserError
from reid_dml.models.torchvision_backbones import PREFIX, build_torchvision, torchvision_names
from reid_dml.registry import Registry, own_parts

Build = Callable[[tuple[int, int]], nn.Module]


@dataclass(frozen=True)
class BackboneEntry:
    """How to build a backbone, and the modules that end its last two resolution stages."""

    build: Build
    stage_modules: tuple[str, str]


BACKBONES: Registry[BackboneEntry] = Registry("COHORT.NETWORKS", "reid_dml.models")


def register_backbone(name: str, *, stage_modules: tuple[str, str]) -> Callable[[Build], Build]:
    """Make a function from the input size to a backbone known under a name in `COHORT.NETWORKS`."""

    def register(build: Build) -> Build:
        BACKBONES.register(name)(BackboneEntry(build, stage_modules))
        return build

    return register


def build_backbone(name: str, size: tuple[int, int], *, last_stride: int = 2, pretrained: bool = False) -> nn.Module:
    """The backbone of a name.

    Args:
        name: our own, timm's, or `torchvision/` and torchvision's.
        size: height and width of the inputs.
        last_stride: 1 keeps the resolution of the last stage (Luo et al., "Bag of Tricks", 2019).
        pretrained: download the library's ImageNet weights.

    Raises:
        UserError: an unknown name, a network whose last stage cannot keep its resolution, or a failed download.
    """
    stages: tuple[str, str] | None
    if name in BACKBONES.names():
        if pretrained:
            raise UserError(
                f"COHORT.INIT_WEIGHTS: imagenet is offered for networks of timm and torchvision only, not for {name}; "
                "name a local weights file, or use mobilenetv1_100"
            )
        entry = BACKBONES.get(name)
        network, stages = entry.build(size), entry.stage_modules
    else:
        network, stages = _build_from_library(name, size, pretrained)
    if last_stride == 1:
        _keep_last_resolution(network, name, stages)
        try:
            _pooled_width(network, size)
        except Exception as error:
            raise UserError(
                f"MODEL.LAST_STRIDE: the last stage of {name} cannot keep its resolution: other parts count on the "
                f"smaller one ({' '.join(str(error).split())[:120]}); set it to 2"
            ) from error
    return network


def check_name(name: str) -> None:
    """Raise `UserError`, with names that are alike, if no network is called so."""
    if name in BACKBONES.names():
        return
    import timm  # takes seconds to import: only where it is needed

    if name not in torchvision_names() and not timm.is_model(name):
        raise UserError(_unknown(name))


def _build_from_library(name: str, size: tuple[int, int], pretrained: bool) -> tuple[nn.Module, tuple[str, str] | None]:
    check_name(name)
    try:
        build = build_torchvision if name.startswith(PREFIX) else _build_timm
        network = build(name, size, pretrained=pretrained)
        width = _pooled_width(network, size)
    except Exception as error:
        if not pretrained:
            raise UserError(
                f"COHORT.NETWORKS: cannot build {name} for inputs of {size[0]}x{size[1]}: {error}"
            ) from error
        raise UserError(
            f"COHORT.INIT_WEIGHTS: the ImageNet weights of {name} could not be downloaded ({error}); name "
            "a local weights file instead"
        ) from error
    network.__dict__["num_features"] = width
    return network, _library_stages(network)


def _build_timm(name: str, size: tuple[int, int], *, pretrained: bool) -> nn.Module:
    import timm

    fixed_size = timm.get_pretrained_cfg(name)
    options: dict[str, Any] = {"img_size": size} if fixed_size is not None and fixed_size.fixed_input_size else {}
    return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)


def _library_stages(network: nn.Module) -> tuple[str, str] | None:
    """Modules that end the last two stages: as timm says, or by the names of torchvision's ResNets."""
    info = getattr(network, "feature_info", None) or []
    stages = [entry["module"] for entry in info if isinstance(entry, dict) and entry.get("module")]
    if len(stages) > 1:
        return stages[-2], stages[-1]
    return ("layer3", "layer4") if hasattr(network, "layer4") else None


def known_names() -> list[str]:
    """Every name of a network: our own, timm's, torchvision's."""
    import timm

    return [*BACKBONES.names(), *timm.list_models(), *torchvision_names()]


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, known_names(), 3)
    if PREFIX + name in torchvision_names():
        near = [PREFIX + name]
    hint = f"did you mean {' or '.join(near)}?" if near else "reid-dml networks prints all names"
    return f"COHORT.NETWORKS: no network is called {name!r}; {hint}{own_parts(name, near)}"


def _pooled_width(network: nn.Module, size: tuple[int, int]) -> int:
    """Width of the pooled feature, asked of the network itself: timm's attributes differ between families."""
    was_training = network.training
    with torch.no_grad():
        width = network.eval()(torch.zeros(1, 3, *size)).shape[1]
    network.train(was_training)
    return width


def _keep_last_resolution(network: nn.Module, name: str, stages: tuple[str, str] | None) -> None:
    """Set the stride-2 layers behind the second-last stage to stride 1."""
    changed, reached = 0, False
    for path, module in network.named_modules():
        in_second_last = stages is not None and f"{path}.".startswith(f"{stages[0]}.")
        reached = reached or in_second_last
        stride = getattr(module, "stride", None)
        if (
            reached
            and not in_second_last
            and isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d))
            and stride in (2, (2, 2))
        ):
            if module.kernel_size in (2, (2, 2)):
                raise UserError(
                    f"MODEL.LAST_STRIDE: the last stage of {name} cannot keep its resolution: it is halved by windows "
                    f"of 2x2 ({path}), which would lose a row and a column at stride 1; set it to 2"
                )
            module.stride = (1, 1)
            changed += 1
    if not changed:
        raise UserError(f"MODEL.LAST_STRIDE: {name} has no last stage whose stride could be 1; set it to 2")
