"""One step of a cohort as a function of batches and scalars: run eagerly, or captured once as a CUDA graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from reid_dml.data.pipeline.sources import Batch
from reid_dml.errors import UserError
from reid_dml.mutual.cohort import Cohort
from reid_dml.mutual.objective import Objective, Scalars
from reid_dml.mutual.updates import UpdateRule
from reid_dml.processes import all_gather_objects, rank

logger = logging.getLogger(__name__)

Step = Callable[[Sequence[Batch], Scalars], Tensor]  # the report of `UpdateRule.step`; read it before the next step
_EAGER_STEPS = 3  # at the start: libraries choose their kernels, optimisers make their state


class CaptureFailed(Exception):
    """Work that cannot be captured, and why; none of it was done."""


class GraphCapture(Protocol):
    """Captures work as a graph that can be replayed."""

    def warm_up(self, work: Callable[[], Tensor]) -> tuple[Tensor, str]:
        """Do the work now, on the stream of the capture. Returns its result, and why it cannot be captured, or ""."""
        ...

    def capture(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Capture the work without doing it. Returns the replay, and the tensor that a replay writes the result into.

        Raises `CaptureFailed`.
        """
        ...


def make_step(rule: UpdateRule, cohort: Cohort, objective: Objective, capture: GraphCapture | None = None) -> Step:
    """The step of a rule, with the same result either way.

    Args:
        rule: how the members learn.
        cohort: whom the step trains.
        objective: what they minimise.
        capture: makes the fourth step a graph, which is replayed from then on; None: all steps are eager.
    """

    def step(batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        return rule.step(cohort, objective, batches, scalars)

    def discard_gradients() -> None:
        for member in cohort.members:
            member.optimizer.zero_grad(set_to_none=True)

    return step if capture is None else GraphedStep(step, capture, discard_gradients)


class GraphedStep:
    """Runs its first steps eagerly, captures the next one on tensors of its own, and replays it from then on.

    The first steps are steps of the run like all others. If they, or the capture, show that the step cannot be
    captured, it stays eager, and one line says so. Several processes call it together, and replay or stay eager
    together: the messages of their exchange have to meet.
    """

    def __init__(self, step: Step, capture: GraphCapture, discard_gradients: Callable[[], None]) -> None:
        """A step.

        Args:
            step: what is captured.
            capture: how.
            discard_gradients: drops what a capture that broke off has left, gradients without values.
        """
        self.step, self.capture, self.discard_gradients = step, capture, discard_gradients
        self.calls, self.capturable = 0, True
        self.replay: Callable[[], None] | None = None  # the captured step, on the inputs of the last call
        self._inputs: list[Tensor] = []
        self._report = torch.empty(0)

    def __call__(self, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        self.calls += 1
        if not self.capturable:
            return self.step(batches, scalars)
        if self.calls <= _EAGER_STEPS:
            return self._warm_up(batches, scalars)
        if self.replay is None and (reason := self._capture(batches, scalars)):
            return self._recover(batches, scalars, reason)
        assert self.replay is not None
        torch._foreach_copy_(self._inputs, _tensors(batches, scalars), non_blocking=True)
        self.replay()
        return self._report

    def _warm_up(self, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        report, reason = self.capture.warm_up(lambda: self.step(batches, scalars))
        # Not before: libraries may do this and that only once.
        if self.calls == _EAGER_STEPS and (reason := _of_any_process(reason)):
            self._stay_eager(reason)
        return report

    def _capture(self, batches: Sequence[Batch], scalars: Scalars) -> str:
        """Why the step cannot be captured, here or in another process; empty if it has been, everywhere."""
        own = [replace(batch, **_copies(batch)) for batch in batches]
        numbers, reason = replace(scalars, **_copies(scalars)), ""
        try:
            replay, report = self.capture.capture(lambda: self.step(own, numbers))
        except CaptureFailed as failure:
            reason = str(failure)
        reason = _of_any_process(reason)
        if not reason:
            self.replay, self._report, self._inputs = replay, report, _tensors(own, numbers)
        return reason

    def _recover(self, batches: Sequence[Batch], scalars: Scalars, reason: str) -> Tensor:
        self._stay_eager(reason)
        self.discard_gradients()
        try:
            return self.step(batches, scalars)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # torch 2.11 goes on believing that a capture is under way
            raise UserError(
                f"TRAIN.GRAPH: the step cannot be captured as a CUDA graph ({reason}); set it to False and resume the "
                "run"
            ) from error

    def _stay_eager(self, reason: str) -> None:
        self.capturable = False
        if rank() == 0:
            logger.warning("training goes on without a CUDA graph: %s", reason)


class CudaGraphCapture:
    """Captures work as one CUDA graph: the GPU starts hundreds of kernels by itself, without waiting for Python."""

    def __init__(self, cohort: Cohort) -> None:
        """`cohort`: what the work trains."""
        drawing = [member for member in cohort.members if member.network.draws]
        self.generators = [generator for member in drawing for generator in (member.generator, member.peer_generator)]
        self.said: dict = {}  # warnings of the first steps, each shown once
        # The first steps run on the stream of the capture: gradients are accumulated on the stream of the first pass.
        self.stream = torch.cuda.Stream()

    def warm_up(self, work: Callable[[], Tensor]) -> tuple[Tensor, str]:
        self.stream.wait_stream(torch.cuda.current_stream())
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as caught, torch.cuda.stream(self.stream):
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                result = work()
            finally:
                torch.cuda.set_sync_debug_mode(before)
        torch.cuda.current_stream().wait_stream(self.stream)
        waits = [warning for warning in caught if "called a synchronizing" in str(warning.message)]
        for warning in caught:
            if warning not in waits and not str(warning.message).startswith("Synchronization debug mode"):
                place = warning.filename, warning.lineno
                warnings.warn_explicit(warning.message, warning.category, *place, registry=self.said)
        return result, f"{waits[0].filename}:{waits[0].lineno} waits for the GPU" if waits else ""

    def capture(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        graph = torch.cuda.CUDAGraph()
        # torch 2.11 has to be told of generators; newer torch finds them itself and warns, until it has no such call.
        register = getattr(graph, "register_generator_state", lambda generator: None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for generator in self.generators:
                register(generator)
        # Libraries' own threads may call CUDA meanwhile, as NCCL's watchdog does: only this one must not.
        try:
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                report = work()
        except RuntimeError as error:
            cause = error.__context__ or error  # ending a capture that failed fails too
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            graph.reset()
            raise CaptureFailed(" ".join(str(cause).split())[:200]) from error
        return graph.replay, report


def _of_any_process(reason: str) -> str:
    """The first non-empty reason over all processes; empty if there is none."""
    return next(filter(None, all_gather_objects(reason)), "")


def _tensors(batches: Sequence[Batch], scalars: Scalars) -> list[Tensor]:
    """Everything that differs between two steps."""
    return [tensor for part in (*batches, scalars) for tensor in vars(part).values() if tensor is not None]


def _copies(part: Batch | Scalars) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in vars(part).items() if tensor is not None}
