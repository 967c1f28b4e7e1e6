"""Deep mutual learning in a loop of one's own: own networks, own data loader, and `student_loss`.

    python examples/plain_loop.py

Nothing of the framework is needed: no config, no run folder. Each network learns from the labels and from what the
other one predicts on the same batch; both predict before either is updated.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from reid_dml.mutual.losses import student_loss


def main(epochs: int = 5) -> list[list[float]]:
    """Train two small networks on drawn images of 4 classes; each epoch's mean loss of each network."""
    torch.manual_seed(0)
    labels = torch.arange(4).repeat(64)
    images = torch.randn(256, 3, 16, 16) + torch.randn(4, 3, 1, 1)[labels]  # noise around a colour of each class
    loader = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)

    networks = [
        nn.Sequential(nn.Conv2d(3, width, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                      nn.Linear(width, 4))
        for width in (8, 16)
    ]  # fmt: skip
    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-2) for network in networks]

    history = []
    for epoch in range(epochs):
        sums = [0.0, 0.0]
        for batch, targets in loader:
            logits = [network(batch) for network in networks]
            for k, optimizer in enumerate(optimizers):
                peers = [other for j, other in enumerate(logits) if j != k]  # student_loss detaches them
                loss = student_loss(logits[k], peers, targets, strategy="dml")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                sums[k] += loss.item()
        history.append([total / len(loader) for total in sums])
        print(f"epoch {epoch}: loss " + " and ".join(f"{loss:.3f}" for loss in history[-1]))
    return history


if __name__ == "__main__":
    main()
