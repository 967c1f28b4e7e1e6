"""What networks say of many images, every image read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.stored import StoredImages
from reid_dml.errors import UserError
from reid_dml.inference.forward import read_batches, run_networks
from reid_dml.models import ReIDNetwork
from reid_dml.processes import rank


def predict(
    networks: Mapping[int, ReIDNetwork],
    images: StoredImages,
    labels: Sequence[int],
    spec: AugmentSpec,
    *,
    keep: Callable[[Tensor, Tensor], Tensor],
    device: str,
    batch_size: int = 128,
    workers: int = 2,
    title: str = "images",
) -> dict[int, np.ndarray]:
    """What `keep` makes of (logits (n, C), labels (n,)) of every network, in evaluation mode, in the images' order.

    Returns:
        (N, D) float32 by network, D as `keep` decides.

    Raises:
        UserError: an image that cannot be read, or, naming the first, logits that are not finite.
    """
    rows = torch.tensor(labels, dtype=torch.int64).to(device)
    parts: dict[int, list[np.ndarray]] = {index: [] for index in networks}
    done = 0
    batches = read_batches(images, batch_size, workers, pinned=device != "cpu")
    with tqdm(total=len(images), desc=title, unit="image", leave=False, disable=rank() > 0) as bar:
        for outputs in run_networks(networks, batches, spec, device):
            count = len(next(iter(outputs.values())).logits)
            for index, output in outputs.items():
                logits = output.logits.float()
                if not torch.isfinite(logits).all():
                    bad = done + int((~torch.isfinite(logits)).any(1).nonzero()[0])
                    raise UserError(
                        f"network {index}: the logits of {images.records[bad].path} are NaN or infinite; train it "
                        "anew or check its weights"
                    )
                parts[index].append(keep(logits, rows[done : done + count]).cpu().numpy())
            done += count
            bar.update(count)
    return {index: np.concatenate(part) if part else np.empty((0, 0), np.float32) for index, part in parts.items()}
