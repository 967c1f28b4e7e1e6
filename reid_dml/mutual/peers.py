"""What a loss term sees of the peers: what it has asked for; reading anything else names the term and what to declare.

Predictions that no term asks for are neither made nor sent: without this a term would average over nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from reid_dml.errors import UserError
from reid_dml.models import Output

if TYPE_CHECKING:
    from reid_dml.mutual.terms import Term


def peers_for(term: Term, peers: Sequence[Output]) -> Sequence[Output]:
    """The peers' outputs as a term may read them.

    Args:
        term: whose `needs_peers` and `needs_peer_features` say what it reads.
        peers: detached outputs of the others and of frozen teachers.

    Returns:
        As many outputs, of logits alone unless it needs features. Reading anything else raises `UserError`.
    """
    if not term.needs_peers:
        return _Unasked(term)
    if term.needs_peer_features:
        return peers
    return [cast(Output, _LogitsOnly(peer, term)) for peer in peers]


class _Unasked(Sequence[Output]):
    """The peers of a term that has not asked for any."""

    def __init__(self, term: Term) -> None:
        self.term = term

    def __len__(self) -> int:
        raise _unasked(self.term, "the peers", "needs_peers")

    def __getitem__(self, place: Any) -> Any:
        raise _unasked(self.term, "the peers", "needs_peers")


class _LogitsOnly:
    """The output of a peer, for a term that has not asked for features."""

    def __init__(self, output: Output, term: Term) -> None:
        self.logits, self.term = output.logits, term

    @property
    def features(self) -> Tensor:
        raise _unasked(self.term, "the peers' features", "needs_peer_features")

    def __getitem__(self, place: int) -> Tensor:  # for who unpacks it, as an `Output`
        return self.logits if place == 0 else self.features


def _unasked(term: Term, what: str, attribute: str) -> UserError:
    kind = type(term)
    return UserError(
        f"{term.key()}: the loss term {term.name!r} reads {what} without having asked for them; declare "
        f"`{attribute}: ClassVar[bool] = True` in {kind.__module__}.{kind.__qualname__}"
    )
