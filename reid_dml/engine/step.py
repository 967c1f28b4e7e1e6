"""One step of a cohort as a function of batches and scalars: run as it is, or recorded once and replayed."""

from __future__ import annotations

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

Step = Callable[[Sequence[Batch], Scalars], Tensor]  # the report of `UpdateRule.step`; read it before the next step
_EAGER_STEPS = 3  # at the start: libraries choose their kernels, optimisers make their state


class Recorder(Protocol):
    """What turns work on fixed tensors into a replay of it."""

    def run(self, work: Callable[[], Tensor]) -> tuple[Tensor, str]:
        """Do the work now, where it will be recorded; its result, and why it cannot be recorded, if it cannot."""
        ...

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """The replay and the tensor it writes the result into; nothing is done yet. Raises `UserError`."""
        ...


def make_step(rule: UpdateRule, cohort: Cohort, objective: Objective, *, graph: bool) -> Step:
    """The step of a rule; with `graph` one CUDA graph from the fourth call on, with the same result."""

    def step(batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        return rule.step(cohort, objective, batches, scalars)

    if not graph:
        return step
    generators = [generator for member in cohort.members for generator in (member.generator, member.spare)]
    return RecordedStep(step, CudaGraphRecorder(generators))


class RecordedStep:
    """Runs its first steps as they are, records the next one on tensors of its own, and replays it from then on.

    The first steps are steps of the run like all others. If they show that the step cannot be recorded, it goes on as
    it is, and one line says so.
    """

    def __init__(self, step: Step, recorder: Recorder) -> None:
        self.step, self.recorder = step, recorder
        self.calls, self.recorded = 0, True
        self.replay: Callable[[], None] | None = None  # the recorded step, on the inputs of the last call
        self._inputs: list[Tensor] = []
        self._report = torch.empty(0)

    def __call__(self, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        self.calls += 1
        if self.recorded and self.replay is None and self.calls > _EAGER_STEPS:
            self._record(batches, scalars)
        if self.replay is None:
            return self._run(batches, scalars)
        torch._foreach_copy_(self._inputs, _tensors(batches, scalars), non_blocking=True)
        self.replay()
        return self._report

    def _run(self, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        if not self.recorded:
            return self.step(batches, scalars)
        report, reason = self.recorder.run(lambda: self.step(batches, scalars))
        if reason and self.calls == _EAGER_STEPS:  # libraries may do this and that only once
            self.recorded = False
            print(f"training goes on without a CUDA graph: {reason}", flush=True)
        return report

    def _record(self, batches: Sequence[Batch], scalars: Scalars) -> None:
        own = [replace(batch, **_copies(batch)) for batch in batches]
        numbers = replace(scalars, **_copies(scalars))
        self.replay, self._report = self.recorder.record(lambda: self.step(own, numbers))
        self._inputs = _tensors(own, numbers)


class CudaGraphRecorder:
    """Work as one CUDA graph: the GPU starts hundreds of kernels by itself, without waiting for Python."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        """`generators`: all that the work draws from, besides torch's own."""
        self.generators = generators
        # The first steps run where the graph is recorded: gradients are accumulated on the stream of the first pass.
        self.stream = torch.cuda.Stream()

    def run(self, work: Callable[[], Tensor]) -> tuple[Tensor, str]:
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
            if warning not in waits:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        return result, f"{waits[0].filename}:{waits[0].lineno} waits for the GPU" if waits else ""

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        # Libraries' own threads may call CUDA meanwhile: only this one must not.
        try:
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                report = work()
        except RuntimeError as error:
            cause = error.__context__ or error  # ending a recording that failed fails too
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            # No way back: torch's allocator goes on believing that a recording is under way.
            reason = " ".join(str(cause).split())[:200]
            raise UserError(f"TRAIN.GRAPH: the step cannot be recorded ({reason}); set it to False") from error
        return graph.replay, report


def _tensors(batches: Sequence[Batch], scalars: Scalars) -> list[Tensor]:
    """Everything that differs between two steps."""
    return [tensor for part in (*batches, scalars) for tensor in vars(part).values() if tensor is not None]


def _copies(part: Batch | Scalars) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in vars(part).items() if tensor is not None}
