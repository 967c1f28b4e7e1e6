"""Loss terms, one file each: what a network of the cohort may be trained to minimise.

A term owns everything about it: its options (config keys below `OBJECTIVE`), what it needs of a batch and of the
peers, its loss, its state if it has any, what happens to that behind the backward pass, and its entry in the run
record. To add one: a file here with a class like those beside it, decorated with `register_term` (docs/extending.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

from torch import Tensor
from yacs.config import CfgNode

from reid_dml.data.pipeline.samplers import sampler_kind
from reid_dml.data.pipeline.sources import Batch
from reid_dml.models import Output
from reid_dml.options import Component, Warn, from_section, option_names
from reid_dml.registry import Registry

State = dict[str, Tensor]  # tensors that a term keeps for one network, changed in place


class TermInputs(NamedTuple):
    """What a term may look at when one network learns from one batch.

    Attributes:
        own: the network's output, with a gradient.
        peers: detached outputs of the other networks and of frozen teachers, at least one, for a term that declares
            `needs_peers`; their features, (N, D) of one width, if it declares `needs_peer_features` too. Reading
            what was not asked for raises `UserError`.
        batch: labels (N,) int64, -1 = unlabelled; cameras (N,); `label_count` for means over labelled rows.
        state: what the term keeps for this network.
    """

    own: Output
    peers: Sequence[Output]
    batch: Batch
    state: State


@dataclass(frozen=True)
class Term(Component, ABC):
    """The contract of every loss term; options are fields made with `reid_dml.options.option`.

    What it reads of the peers it has to ask for, by `needs_peers` and `needs_peer_features`: predictions that no term
    asks for are neither made nor sent between processes, and reading them raises `UserError`.
    """

    name: ClassVar[str] = ""  # of its column in logs; set by `register_term`
    title: ClassVar[str]  # of its curve in the report
    unit: ClassVar[str] = ""  # of its values there
    switch: ClassVar[str] = "WEIGHT"  # the option that switches it on, behind its prefix
    off: ClassVar[str | int] = 0  # the value of that option under which it is not `active`, for messages
    order: ClassVar[int] = 10  # of the columns; equal ones by name
    needs_peers: ClassVar[bool] = False  # whether it reads `inputs.peers`; a cohort without any is then refused
    needs_peer_features: ClassVar[bool] = False  # beside needs_peers: their features too, all of one width
    needs_pairs: ClassVar[bool] = False  # several images of a person in a batch
    shardable: ClassVar[bool] = True  # whether processes that share a network may each see a shard of the batch only

    @classmethod
    def key(cls) -> str:
        """The config key that switches it on, for messages."""
        return f"OBJECTIVE.{cls.prefix}{cls.switch}"

    @classmethod
    def unfit(cls) -> str:
        if cls.needs_peer_features and not cls.needs_peers:
            return "needs features of peers and no peers; write needs_peers: ClassVar[bool] = True"
        return super().unfit()

    @property
    @abstractmethod
    def active(self) -> bool:
        """Whether its options switch it on."""

    @abstractmethod
    def loss(self, inputs: TermInputs) -> Tensor:
        """The loss of one network on one batch, a 0-d tensor, before it is weighted.

        Runs inside the captured step: no `.item()`, no shape or branch that depends on data.
        """

    def weight_at(self, step: int) -> float | None:
        """What multiplies the loss at a step (counted from 0); None: nothing does."""
        return None

    def new_state(self, num_classes: int, feature_dim: int) -> State:
        """What it keeps for a network of this head and pooled feature at the start; part of every checkpoint."""
        return {}

    def after_backward(self, inputs: TermInputs) -> None:
        """Change the state, in place, once the batch's gradient is there. Called without gradients."""

    def advise(self, cfg: CfgNode, warn: Warn) -> None:
        if not self.needs_pairs:
            return
        images = sampler_kind(cfg.SAMPLER).images_per_person()
        key, remedy = self.key(), "or lower SAMPLER.IMAGES_PER_IDENTITY"
        if images == cfg.TRAIN.BATCH_SIZE:
            warn(key, f"a batch of one person has no negatives, this loss stays 0; raise TRAIN.BATCH_SIZE {remedy}")
        elif images == 1:
            warn(
                key,
                "a batch with one image of each person has no positives, this loss stays 0; raise "
                "SAMPLER.IMAGES_PER_IDENTITY",
            )

    def record(self) -> dict[str, Any]:
        """What the run record says of it, below `objective`."""
        further = {name.lower(): getattr(self, name) for name in option_names(type(self)) if name != "weight"}
        return {"regularisers": {self.name: self.weight_at(0)}} | (
            {"regulariser_options": {self.name: further}} if further else {}
        )


@dataclass(frozen=True)
class WeightedTerm(Term):
    """A term with a constant `weight` option of its own, off while that is 0."""

    weight: float

    @property
    def active(self) -> bool:
        return self.weight > 0

    def weight_at(self, step: int) -> float:
        return self.weight


RESERVED = ("loss", "accuracy", "learning_rate")  # columns of the log beside the terms
Kind = TypeVar("Kind", bound=type[Term])
TERMS: Registry[type[Term]] = Registry("OBJECTIVE", __name__, Term)


def register_term(name: str) -> Callable[[Kind], Kind]:
    """Make a class of terms known under the name of its column. Raises `ValueError` for a name that is taken."""

    if name in RESERVED:
        raise ValueError(f"OBJECTIVE: {name!r} is another column of the log; give the term another name")

    def register(kind: Kind) -> Kind:
        TERMS.register(name)(kind)
        kind.name = name
        return kind

    return register


def term_kinds() -> list[type[Term]]:
    """All terms, switched on or not, in the order of their columns."""
    return sorted(TERMS.entries().values(), key=lambda kind: (kind.order, kind.name))


def active_terms(section: Mapping[str, Any]) -> list[Term]:
    """The terms that the options of `OBJECTIVE` switch on, in the order of their columns."""
    return [term for kind in term_kinds() if (term := from_section(kind, section)).active]
