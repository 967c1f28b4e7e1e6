"""Images as a tutorial feeds them: PIL, torchvision and worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torchvision import transforms


@dataclass
class PlainImages(torch.utils.data.Dataset):
    """Image files, or the images themselves (`kept`), and rows of 100 classes."""

    paths: Sequence[str]
    kept: Sequence[np.ndarray] | None
    transform: Callable

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        image = Image.open(self.paths[row]).convert("RGB") if self.kept is None else Image.fromarray(self.kept[row])
        return self.transform(image), row % 100


def plain_loader(
    paths: Sequence[str], size: tuple[int, int], batch: int, workers: int, *, crop: str = "none", decoded: bool
) -> torch.utils.data.DataLoader:
    """`crop`: none, pad (by 4 pixels of reflection, then crop) or inception (a random window, resized).

    `decoded`: with all images in memory, as torchvision's CIFAR data sets have them.
    """
    steps = [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    if crop == "pad":
        steps.insert(0, transforms.RandomCrop(size[0], padding=4, padding_mode="reflect"))
    if crop == "inception":
        steps.insert(0, transforms.RandomResizedCrop(size))
    kept = [np.asarray(Image.open(path).convert("RGB")) for path in paths] if decoded else None
    return torch.utils.data.DataLoader(
        PlainImages(paths, kept, transforms.Compose(steps)), batch, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=True, pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
