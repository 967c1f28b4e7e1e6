"""What benchmarks work on: drawn images, configs without a file, and a trainer on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path


def benchmark_config(folder: Path, options: Sequence[str] = ()):
    """The default config with these `KEY VALUE ...` options; decoded images and everything else go to the folder."""
    from reid_dml.config import load_config

    path = folder / "benchmark.yml"
    path.write_text(f"OUTPUT_DIR: {folder / 'run'}\nDATA: {{CACHE_DIR: {folder / 'cache'}}}\n")
    return load_config(path, list(options))


def draw_images(folder: Path, count: int, size: tuple[int, int], extension: str):
    """Blurred noise, which compresses about as photographs do."""
    import cv2
    import numpy as np

    from reid_dml.data.records import ImageRecord

    folder.mkdir()
    rng, records = np.random.default_rng(0), []
    for number in range(count):
        coarse = rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
        path = folder / f"{number:06d}{extension}"
        cv2.imwrite(str(path), cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))
        records.append(ImageRecord(str(path), number % 100 + 1, 0))
    return records


def training_step(network: str, size: tuple[int, int], batch: int, device: str) -> Callable[[], None]:
    """One step of SGD of one network on a batch that is there already."""
    import torch

    from reid_dml.models import ReIDNetwork, build_backbone

    model = ReIDNetwork(build_backbone(network, size), 100).to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(batch, 3, *size, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 100, (batch,), device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(images).logits, labels).backward()
        optimizer.step()

    return step


def make_trainer(cfg, records: Sequence, device: str):
    """The trainer of `tools/train_net.py` on these records; `advance` takes one step."""
    from reid_dml.commands.training import build_training
    from reid_dml.data.records import TrainingData
    from reid_dml.engine.trainer import Trainer

    training = build_training(cfg, TrainingData("benchmark", ".", records), device)
    return Trainer(training, total_steps=cfg.TRAIN.STEPS)
