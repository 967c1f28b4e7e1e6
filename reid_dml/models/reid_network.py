"""Backbone, global average pooling, optional batch-norm neck and head: one row a person, or a class of any kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reid_dml.compiling import Compiled


class Output(NamedTuple):
    """What every network returns; nothing else knows how a backbone looks inside."""

    logits: Tensor  # (N, num_classes)
    features: Tensor  # (N, D) pooled feature; behind the neck, if there is one, in evaluation


class Dropout(nn.Module):
    """Inverted dropout that draws from a generator of its own.

    With torch's global generator the masks of one network would depend on how many other networks share its process.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        keep = torch.empty_like(x).bernoulli_(1 - self.probability, generator=self.generator)
        return x * keep / (1 - self.probability)


class ReIDNetwork(nn.Module):
    """Maps images (N, 3, H, W) to `Output(logits (N, num_classes), features (N, feature_dim))`.

    With a batch-norm neck `features` are the pooled ones in training (for metric losses) and the normalised ones in
    evaluation.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        *,
        neck: str = "none",
        dropout: float = 0.0,
        recompute: bool = False,
    ) -> None:
        """A network around a backbone.

        Args:
            backbone: maps images to a feature map (N, C, h, w) or a pooled feature (N, C), with C in `num_features`.
            num_classes: rows of the identity head.
            neck: `none`, or `bn`: the head sees the batch-normalised feature (Luo et al., "Bag of Tricks", 2019).
            dropout: probability of dropping an entry of the feature before the head.
            recompute: a training pass keeps nothing of the backbone but its result and computes the rest again in the
                backward pass (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016), with the same
                result. The graphs of all networks of a cohort are alive at once, so this leaves one network's
                activations instead of K.
        """
        super().__init__()
        self.backbone, self.recompute = backbone, recompute
        self.feature_dim = int(backbone.num_features)  # type: ignore[arg-type]  # nn.Module hides attribute types
        self.neck = nn.BatchNorm1d(self.feature_dim) if neck == "bn" else nn.Identity()
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(self.feature_dim, num_classes, bias=neck != "bn")
        if neck == "bn":
            # A shift of the neck would only move all classes alike: fixed at zero.
            self.neck.bias.requires_grad_(False)
        self._compiled: Compiled[Output] | None = None
        self._compiled_evaluation: Compiled[Output] | None = None
        self._evaluated_shape: torch.Size | None = None

    def compile_training(self) -> None:
        """Send training passes through torch.compile, which fuses what lies between convolutions.

        Evaluation is as before.
        """
        self._compiled = Compiled(self._output, "training")

    def compile_evaluation(self) -> None:
        """Send evaluation passes through torch.compile: those of the first shape of batches that comes.

        Each further shape would be compiled anew; the last batch, and what comes in other numbers, goes on as it is.
        """
        if self._compiled_evaluation is None:
            self._compiled_evaluation = Compiled(self._output, "evaluation")

    @property
    def compiled(self) -> bool:
        """Whether training passes go through torch.compile, and it has not failed so far."""
        return self._compiled is not None and self._compiled.succeeds

    @property
    def num_classes(self) -> int:
        return self.head.out_features

    @property
    def draws(self) -> bool:
        """Whether a training pass draws random numbers from the generator of its dropout."""
        return any(isinstance(module, Dropout) and module.probability > 0 for module in self.modules())

    def forward(self, images: Tensor) -> Output:
        if not self.training:
            return self._evaluated(images)
        # Computed again, a pass has to see every buffer.
        with nullcontext() if self.recompute else _counted_at_once(self):
            return self._compiled(images) if self._compiled else self._output(images)

    def _evaluated(self, images: Tensor) -> Output:
        if self._compiled_evaluation is None:
            return self._output(images)
        self._evaluated_shape = self._evaluated_shape or images.shape
        return (self._compiled_evaluation if images.shape == self._evaluated_shape else self._output)(images)

    def _output(self, images: Tensor) -> Output:
        if self.recompute and torch.is_grad_enabled():
            maps = self._recomputed(images)
        else:
            maps = self.backbone(images)
        pooled = maps.mean((2, 3)) if maps.ndim == 4 else maps
        normalized = self.neck(pooled)
        logits = self.head(self.dropout(normalized))
        return Output(logits, pooled if self.training else normalized)

    def _recomputed(self, images: Tensor) -> Tensor:
        dropouts = [module for module in self.backbone.modules() if isinstance(module, Dropout)]
        states = {dropout.generator: dropout.generator.get_state() for dropout in dropouts if dropout.generator}
        buffers = {id(buffer): buffer.clone() for buffer in self.backbone.buffers()}

        def passes() -> tuple[AbstractContextManager, AbstractContextManager]:
            return nullcontext(), _once_more(self.backbone, states, buffers)

        return checkpoint(self.backbone, images, use_reentrant=False, context_fn=passes)


@contextmanager
def _counted_at_once(network: nn.Module) -> Iterator[None]:
    """While it lasts, batch norm's counters of training batches are out of sight; then all of them advance in one call.

    Nothing reads them but files of weights; one by one they would be an operation for every layer.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    places = [
        (norm, counter)
        for norm in norms
        # Without a momentum the running statistics are averages over all batches, which need their number.
        if (counter := norm.num_batches_tracked) is not None and norm.momentum is not None
    ]
    try:
        for norm, _ in places:
            norm._buffers["num_batches_tracked"] = None
        yield
    finally:
        for norm, counter in places:
            norm._buffers["num_batches_tracked"] = counter
    if places:
        torch._foreach_add_([counter for _, counter in places], 1)


@contextmanager
def _once_more(
    network: nn.Module, states: Mapping[torch.Generator, Tensor], buffers: Mapping[int, Tensor]
) -> Iterator[None]:
    """While it lasts, a forward pass has the random states and batch-norm buffers of an earlier one; no update."""
    now = {generator: generator.get_state() for generator in states}
    try:
        for generator, state in states.items():
            generator.set_state(state)
        with copied_buffers(network, buffers):
            yield
    finally:
        for generator, state in now.items():
            generator.set_state(state)


def use_generator(network: nn.Module, generator: torch.Generator) -> None:
    """Let the network's dropout draw from this generator."""
    for module in network.modules():
        if isinstance(module, Dropout):
            module.generator = generator


@contextmanager
def copied_buffers(network: nn.Module, copies: Mapping[int, Tensor] | None = None) -> Iterator[None]:
    """While it lasts, train-mode passes update copies of the batch-norm buffers, which are discarded.

    The buffers themselves stay untouched: an earlier pass may have saved them for its gradient.

    Args:
        network: whose buffers are meant.
        copies: to begin from, by the id of the buffer; None: the buffers as they are.
    """
    if copies is None:
        copies = {id(buffer): buffer.clone() for buffer in network.buffers()}
    places = [
        (module, name, buffer)
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        for module, name, buffer in places:
            module._buffers[name] = copies[id(buffer)]
        yield
    finally:
        for module, name, buffer in places:
            module._buffers[name] = buffer
