"""The training loop: steps, a watch on the losses, and callbacks to log, to save and to word a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from reid_dml.engine.checkpoints import Checkpoints
from reid_dml.engine.guard import NonFiniteGuard, first_broken
from reid_dml.engine.interruption import stop_requests
from reid_dml.engine.progress import Interval
from reid_dml.engine.training import Training
from reid_dml.errors import UserError
from reid_dml.mutual.cohort import Member
from reid_dml.mutual.terms import Term
from reid_dml.processes import all_gather_objects, barrier, gather_objects, rank, world_size


@dataclass(frozen=True)
class Callbacks:
    """What a run does beside its steps; each does nothing, or the least, unless given."""

    # On all processes together, at every test interval: test metrics of the cohort as `Interval.test` wants them, on
    # process 0. It must leave networks and random generators as they are.
    test: Callable[[], Mapping[str, Any]] = dict
    # On process 0, at the end of every log interval.
    log: Callable[[Interval], None] = lambda interval: None
    # On all processes together, at every checkpoint: the step, the members that are this process's to write, and the
    # trainer's own state (see `Checkpoints.save`).
    save: Callable[[int, Sequence[Member], Mapping[str, Any]], None] = lambda step, members, state: None
    # The error to raise, on all processes, where losses or weights are not finite.
    failure: Callable[[str], Exception] = UserError


class Trainer:
    """Takes the steps of a run from where it is to the end."""

    def __init__(
        self,
        training: Training,
        *,
        total_steps: int,
        log_interval: int = 50,
        checkpoint_interval: int = 1000,
        test_interval: int = 0,
    ) -> None:
        """Begin at step 0.

        Args:
            training: what is trained, and how.
            total_steps: updates of each network.
            log_interval: steps between two calls of `Callbacks.log`.
            checkpoint_interval: steps between two calls of `Callbacks.save`.
            test_interval: steps between two calls of `Callbacks.test`, a multiple of `log_interval`, of which the last
                step is the end of one; 0: it is never called.
        """
        self.training, self.total_steps = training, total_steps
        self.log_interval, self.checkpoint_interval = log_interval, checkpoint_interval
        self.test_interval = test_interval
        self.members, self.placement, self.device = training.cohort.members, training.placement, training.device
        self.step = 0
        self.logged = 0  # step of the last line of the log; a run may have ended there within an interval
        self.seconds = 0.0  # of training, over all resumed parts
        self._started = 0.0  # on the clock: when it would have started without pauses
        # Sums over the log interval; part of the state, so that a resumed run logs the same lines.
        shape = len(self.members), len(training.columns)
        self.sums = torch.zeros(shape, dtype=torch.float64, device=self.device)
        # A network whose own labels' loss is broken is to blame before one that learns from it.
        terms = sorted(training.objective.terms, key=lambda term: (term.name != "identity", term.needs_peers))
        self._parts = [*terms, None]  # None: the whole loss
        names = [term.name if term else "loss" for term in self._parts]
        self._watched = torch.tensor([training.columns.index(name) for name in names], device=self.device)
        self.guard = NonFiniteGuard([member.index for member in self.members], len(names), self.device)

    def resume(self, checkpoints: Checkpoints) -> None:
        """Continue from the last checkpoint. Raises `UserError` if it is damaged or belongs to other networks."""
        fresh = _dropout_states(self.members)
        last = checkpoints.steps()[-1]
        state = checkpoints.load(last, self.training.cohort)
        try:
            self._restore(state, fresh)
        except (RuntimeError, KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
            folder = checkpoints.path(last)
            raise UserError(
                f"{folder / 'trainer.pt'}: damaged, or not of this cohort ({' '.join(str(error).split())[:200]}); "
                f"remove {folder} to resume from the one before"
            ) from None
        if self.step != last:
            raise UserError(f"{checkpoints.path(last)}: is the checkpoint of step {self.step:,}; give it its own name")

    def _restore(self, state: Mapping[str, Any], fresh: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Put back the trainer's own state.

        Args:
            state: of a checkpoint.
            fresh: of the dropout's generators before it was read.
        """
        self.step, self.seconds = state["step"], state["seconds"]
        begun = self.step % self.log_interval if state["sums"].any() else 0
        self.logged = state.get("logged", self.step - begun)
        self.sums.copy_(state["sums"][[member.index for member in self.members]])
        # Processes that share a network draw different dropout masks; its checkpoint holds those of one of them.
        if len(state["generators"]) != world_size():
            if self.placement.shard > 0:
                self._set_generators(fresh)
        else:
            generators = state["generators"][rank()]
            torch.set_rng_state(generators["cpu"])
            if self.device.startswith(state["device"]):
                self._set_generators(generators["members"])
            if self.device.startswith("cuda") and "cuda" in generators:
                torch.cuda.set_rng_state(generators["cuda"], self.device)

    def train(self, callbacks: Callbacks | None = None) -> None:
        """Take all remaining steps.

        Raises `Callbacks.failure` where losses or weights are not finite; the last good checkpoint stays. Asked to
        stop (see `stop_requests`), it saves where it is and raises `KeyboardInterrupt`.
        """
        callbacks = callbacks or Callbacks()
        self._started = time.perf_counter() - self.seconds
        with stop_requests() as stop:
            while self.step < self.total_steps:
                self.advance()
                last = self.step == self.total_steps
                logs = self.step % self.log_interval == 0 or last
                if logs:
                    self._log(callbacks)
                # Several processes have to agree, which costs a message: only where they talk anyway.
                stops = (logs or world_size() == 1) and any(all_gather_objects(stop.made))
                if self.step % self.checkpoint_interval == 0 or last or stops:
                    self.seconds = time.perf_counter() - self._started
                    self._save(callbacks)
                if stops:
                    barrier()  # process 0 puts the checkpoint in its place
                    raise KeyboardInterrupt
        self.seconds = time.perf_counter() - self._started

    def advance(self) -> None:
        """One step. The device is never waited for."""
        report = self.training.run_step(self.step)
        self.sums += report
        self.step += 1
        self.guard.watch(self.step, report.index_select(1, self._watched))

    def _log(self, callbacks: Callbacks) -> None:
        self._check_losses(callbacks)
        count, self.logged = self.step - self.logged, self.step
        gathered = gather_objects((self._own(self.sums) / count).tolist())
        self.sums.zero_()
        test, test_seconds = self._test(callbacks)
        if rank() > 0:
            return
        extra, received = {}, self.training.cohort.links.received_bytes
        if received is not None:
            # One exchange a batch, all of the same size.
            extra["received_bytes_per_step"] = received * self.training.batches_per_step
        callbacks.log(
            Interval(
                step=self.step,
                images_per_step=self.training.images_per_step,
                networks=[dict(zip(self.training.columns, row, strict=True)) for part in gathered for row in part],
                learning_rates=self.training.schedule.learning_rates(self.step - 1),
                extra=extra,
                test=test,
                test_seconds=test_seconds,
            )
        )

    def _test(self, callbacks: Callbacks) -> tuple[Mapping[str, Any], float]:
        """Test metrics where they are due, and the seconds they took, which are none of the training."""
        if not self.test_interval or (self.step % self.test_interval and self.step < self.total_steps):
            return {}, 0.0
        started = time.perf_counter()
        test = callbacks.test()
        seconds = time.perf_counter() - started
        self._started += seconds
        return test, seconds

    def _save(self, callbacks: Callbacks) -> None:
        self._check_losses(callbacks)
        self._check_weights(callbacks)
        sums = gather_objects(self._own(self.sums).cpu())
        generators = gather_objects(_generator_states(self.device, self.members))
        device = torch.device(self.device).type
        state: dict[str, Any] = {"seconds": self.seconds, "generators": generators, "device": device}
        state["logged"] = self.logged
        if rank() == 0:
            state["sums"] = torch.cat(sums)
        callbacks.save(self.step, self.members if self.placement.shard == 0 else (), state)

    def _check_losses(self, callbacks: Callbacks) -> None:
        """Raise, on every process, if the loss of any network was not finite."""
        found = min((hit for hit in all_gather_objects(self.guard.found()) if hit is not None), default=None)
        if found is not None:
            step, part, network = found
            cause = _cause(self._parts[part])
            raise callbacks.failure(f"the loss of network {network} is not finite at step {step}{cause}")

    def _check_weights(self, callbacks: Callbacks) -> None:
        """Raise, on every process, if the weights of any network are not finite."""
        broken = [index for index in all_gather_objects(first_broken(self.members)) if index is not None]
        if broken:
            raise callbacks.failure(f"the weights of network {broken[0]} are not finite at step {self.step}")

    def _own(self, rows: torch.Tensor) -> torch.Tensor:
        """The members' rows on one of the processes that share them; none on the others."""
        return rows if self.placement.shard == 0 else rows[:0]

    def _set_generators(self, states: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Put back the states of the members' dropout generators."""
        for member, (own, for_peers) in zip(self.members, states, strict=True):
            member.generator.set_state(own)
            member.peer_generator.set_state(for_peers)


def _cause(term: Term | None) -> str:
    """Which part of a loss is not finite, where it is not the identity loss; None: only the whole."""
    if term is None:
        return " (each of its terms is, their sum is not)"
    if term.name == "identity":
        return ""
    whose = ", by its own prediction or a peer's" if term.needs_peers else ""
    return f" (its identity loss is; the {term.name} loss of {term.key()} is not{whose})"


def _dropout_states(members: Sequence[Member]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(member.generator.get_state(), member.peer_generator.get_state()) for member in members]


def _generator_states(device: str, members: Sequence[Member]) -> dict[str, Any]:
    """This process's random generators: torch's own, and those of its members' dropout."""
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    states["members"] = _dropout_states(members)
    if device.startswith("cuda"):
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states
