"""The training loop, and building a cohort to run in it."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from reid_dml.config import per_network
from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.data.pipeline.samplers import sampler_kind
from reid_dml.data.pipeline.sources import Batch, BatchSource
from reid_dml.engine.checkpoints import Checkpoints, export_weights
from reid_dml.engine.guard import NonFiniteGuard, first_broken
from reid_dml.engine.interruption import stop_requests
from reid_dml.engine.optimizers import build_optimizer
from reid_dml.engine.progress import Progress
from reid_dml.engine.schedules.schedule import Schedule
from reid_dml.engine.step import CudaGraphRecorder, make_step
from reid_dml.errors import UserError
from reid_dml.models import ReIDNetwork
from reid_dml.models.build import build_network, network_seed, new_peer_generator, seed_dropout
from reid_dml.mutual.cohort import Cohort, Member
from reid_dml.mutual.distributed import DistributedLinks, Placement
from reid_dml.mutual.objective import Objective
from reid_dml.mutual.streams import MemberStreams
from reid_dml.mutual.terms import active_terms
from reid_dml.mutual.updates import UpdateRule
from reid_dml.processes import all_gather_objects, barrier, gather_objects, rank, world_size
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.networks import load_teachers


def build_cohort(
    cfg: CfgNode, persons: Sequence[str], objective: Objective, device: str, *, initialise: bool = True
) -> Cohort:
    """This process's share of the cohort, ready to train on the device, with the frozen teachers.

    `persons` names whom each row of the identity heads stands for (see `runs.folder.class_names`).
    `initialise=False` spares the starting weights, where a checkpoint will replace them.
    """
    size = len(cfg.COHORT.NETWORKS)
    placement = place(cfg)
    rates = per_network(cfg, "COHORT.LR")
    layout = torch.channels_last if cfg.TRAIN.CHANNELS_LAST else torch.contiguous_format
    members = []
    for index in placement.networks:
        network = build_network(cfg, index, len(persons), initialise=initialise)
        network = network.to(device).to(memory_format=layout).train()
        # A copy before the dropout gets its generator: the average is only ever evaluated.
        ema = copy.deepcopy(network).eval().requires_grad_(False) if cfg.EMA.ENABLED else None
        if cfg.TRAIN.COMPILE:
            network.compile_training()
        own = index + size * placement.shard
        generator, peer_generator = (
            seed_dropout(network, cfg.SEED, own, device),
            new_peer_generator(cfg.SEED, own, device),
        )
        optimizer = build_optimizer(cfg.OPTIM, network, rates[index])
        state = objective.new_state(len(persons), network.feature_dim, device)
        members.append(Member(index, network, optimizer, generator, ema, cfg.OPTIM.CLIP_NORM, peer_generator, state))
    # What else draws from torch's global generator (stochastic depth of a timm network) follows from the seed too.
    torch.manual_seed(network_seed(cfg.SEED, size + rank()))
    if cfg.TRAIN.COMPILE and rank() == 0:
        print("the first step compiles the backbones, which takes its time", flush=True)
    teachers = load_teachers(cfg, persons, device)
    if objective.uses_features:
        _check_widths(cfg, members, teachers)
    inputs = partial(_inputs, spec=AugmentSpec.of(cfg), layout=layout)
    cohort = Cohort(members, size, inputs, teachers=teachers, bfloat16=cfg.TRAIN.PRECISION == "bfloat16")
    if world_size() > 1:
        cohort.links = DistributedLinks(placement, features=objective.uses_features)
    else:
        cohort.streams = MemberStreams.of(size, device)
    return cohort


def place(cfg: CfgNode) -> Placement:
    """Where the networks of a config are in this number of processes."""
    batch_size = cfg.TRAIN.BATCH_SIZE
    placement = Placement.of(len(cfg.COHORT.NETWORKS), world_size(), rank(), batch_size=batch_size)
    if placement.shards > 1:
        part, per_person = batch_size // placement.shards, sampler_kind(cfg.SAMPLER).images_per_person()
        refuse = f"{placement.shards} processes share each network"
        if part < 2:
            raise UserError(f"TRAIN.BATCH_SIZE: {refuse}, and batch norm has no statistics of one image; raise it")
        if per_person > 1 and (part % per_person or part < 2 * per_person):
            raise UserError(f"TRAIN.BATCH_SIZE: {refuse}, and each part needs whole persons, two at least; raise it")
        if unshardable := [term for term in active_terms(cfg.OBJECTIVE) if not term.shardable]:
            key = f"OBJECTIVE.{unshardable[0].prefix}WEIGHT"
            raise UserError(f"{key}: {refuse}, whose state would move apart; set it to 0")
    return placement


def _check_widths(cfg: CfgNode, members: Sequence[Member], teachers: Sequence[ReIDNetwork]) -> None:
    if any(isinstance(teacher.neck, nn.BatchNorm1d) for teacher in teachers):
        raise UserError(
            "OBJECTIVE.FEATURE_L2_WEIGHT: a teacher with MODEL.NECK bn shows its features behind the neck, its "
            "students have theirs before it; set it to 0"
        )
    own = [network.feature_dim for network in (*(member.network for member in members), *teachers)]
    widths = sorted({width for part in all_gather_objects(own) for width in part})
    if len(widths) > 1:
        raise UserError(
            f"OBJECTIVE.FEATURE_L2_WEIGHT: the pooled features of {', '.join(cfg.COHORT.NETWORKS)} and teachers are "
            f"{' and '.join(map(str, widths))} wide; only equal widths can be drawn together, set it to 0"
        )


def _inputs(batch: Batch, spec: AugmentSpec, layout: torch.memory_format) -> torch.Tensor:
    return augment(batch.images, batch.draws, spec).contiguous(memory_format=layout)


def build_schedule(cfg: CfgNode, objective: Objective, device: str) -> Schedule:
    """The scalars of every step of a config."""
    return Schedule(
        cfg.SCHEDULE,
        objective,
        total=cfg.TRAIN.STEPS,
        learning_rates=per_network(cfg, "COHORT.LR"),
        ema_decay=cfg.EMA.DECAY,
        device=device,
    )


class Trainer:
    """Runs a rule over batches from a step to the end, with logs, checkpoints and a watch on the losses."""

    def __init__(
        self,
        cfg: CfgNode,
        cohort: Cohort,
        rule: UpdateRule,
        objective: Objective,
        source: BatchSource,
        folder: RunFolder,
        device: str,
    ) -> None:
        self.cfg, self.cohort, self.source, self.folder, self.device = cfg, cohort, source, folder, device
        # A graph cannot record how `recompute` puts the state of torch's generator back. On GPUs several processes
        # talk through NCCL, whose messages can be recorded; gloo's cannot.
        graph = cfg.TRAIN.GRAPH and device.startswith("cuda") and not cfg.TRAIN.RECOMPUTE
        self.update = make_step(rule, cohort, objective, CudaGraphRecorder(cohort) if graph else None)
        self.placement = place(cfg)
        self.schedule = build_schedule(cfg, objective, device)
        self.checkpoints = Checkpoints(folder.checkpoints)
        self.columns = (*objective.terms, "loss", "accuracy")
        self.batches_per_step = rule.batches_per_step(cohort.size) * cfg.TRAIN.ACCUMULATION
        self.step = 0
        self.seconds = 0.0  # of training, over all resumed parts
        # Sums over the log interval; part of the state, so that a resumed run logs the same lines.
        self.sums = torch.zeros(len(cohort.members), len(self.columns), dtype=torch.float64, device=device)
        self.guard = NonFiniteGuard([member.index for member in cohort.members], device)

    def resume(self) -> None:
        """Continue from the last checkpoint."""
        fresh = _dropout_states(self.cohort.members)
        state = self.checkpoints.load(self.checkpoints.steps()[-1], self.cohort)
        self.step, self.seconds = state["step"], state["seconds"]
        indices = [member.index for member in self.cohort.members]
        self.sums.copy_(state["sums"][indices])
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

    def _set_generators(self, states: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Those of the members' dropout."""
        for member, (own, for_peers) in zip(self.cohort.members, states, strict=True):
            member.generator.set_state(own)
            member.peer_generator.set_state(for_peers)

    def train(self) -> None:
        """All remaining steps. Raises `UserError` at a loss that is not finite; the last good checkpoint stays.

        Asked to stop (Ctrl-C, SIGTERM), it saves where it is and raises `KeyboardInterrupt`.
        """
        cfg = self.cfg.TRAIN
        progress = Progress(self.folder, self.step, cfg.STEPS) if rank() == 0 else None
        started = time.perf_counter() - self.seconds
        try:
            with stop_requests() as stop:
                while self.step < cfg.STEPS:
                    self.advance()
                    last = self.step == cfg.STEPS
                    logs = self.step % cfg.LOG_INTERVAL == 0 or last
                    if logs:
                        self._log(progress)
                    # Several processes have to agree, which costs a message: only where they talk anyway.
                    stops = (logs or world_size() == 1) and any(all_gather_objects(stop.made))
                    if self.step % cfg.CHECKPOINT_INTERVAL == 0 or last or stops:
                        self.seconds = time.perf_counter() - started
                        self._save()
                    if stops:
                        barrier()  # process 0 puts the checkpoint in its place
                        raise KeyboardInterrupt
            self.seconds = time.perf_counter() - started
        finally:
            if progress is not None:
                progress.close()
        if self.placement.shard == 0:
            export_weights(self.folder, self.cohort)

    def advance(self) -> None:
        """One step. The device is never waited for."""
        first = self.step * self.batches_per_step
        batches = [self.placement.part(self.source.batch(first + n)) for n in range(self.batches_per_step)]
        report = self.update(batches, self.schedule.scalars(self.step))
        self.sums += report
        self.step += 1
        self.guard.watch(self.step, report[:, 0], report[:, -2])

    def _log(self, progress: Progress | None) -> None:
        self._check()
        count = self.step % self.cfg.TRAIN.LOG_INTERVAL or self.cfg.TRAIN.LOG_INTERVAL
        gathered = gather_objects((self._own(self.sums) / count).tolist())
        self.sums.zero_()
        if progress is not None:
            rows = [dict(zip(self.columns, row, strict=True)) for part in gathered for row in part]
            images = self.cfg.TRAIN.BATCH_SIZE * self.batches_per_step
            extra = {}
            if self.cohort.links.received_bytes is not None:
                # One exchange a batch, all of the same size.
                extra["received_bytes_per_step"] = self.cohort.links.received_bytes * self.cfg.TRAIN.ACCUMULATION
            progress.log(self.step, images, rows, self.schedule.learning_rates(self.step - 1), extra)

    def _own(self, rows: torch.Tensor) -> torch.Tensor:
        """The members' rows, on one of the processes that share them; none on the others."""
        return rows if self.placement.shard == 0 else rows[:0]

    def _check(self) -> None:
        """Raise `UserError`, on every process, if the loss of any network was not finite."""
        found = min((hit for hit in all_gather_objects(self.guard.found()) if hit is not None), default=None)
        if found is not None:
            step, by_peer, network = found
            cause = " (its own identity loss is: a peer's prediction is not)" if by_peer else ""
            raise self._failure(f"the loss of network {network} is not finite at step {step}{cause}")

    def _check_weights(self) -> None:
        """Raise `UserError`, on every process, if the weights of any network are not finite."""
        broken = [index for index in all_gather_objects(first_broken(self.cohort.members)) if index is not None]
        if broken:
            raise self._failure(f"the weights of network {broken[0]} are not finite at step {self.step}")

    def _failure(self, what: str) -> UserError:
        steps = self.checkpoints.steps()
        good = f"the last good checkpoint is {self.checkpoints.path(steps[-1])}" if steps else "there is no checkpoint"
        return UserError(f"{self.folder.path}: {what}; {good}; lower COHORT.LR, or set SCHEDULE.WARMUP_STEPS")

    def _save(self) -> None:
        self._check()
        self._check_weights()
        sums = gather_objects(self._own(self.sums).cpu())
        generators = gather_objects(_generator_states(self.device, self.cohort.members))
        device = torch.device(self.device).type
        state: dict[str, Any] = {"seconds": self.seconds, "generators": generators, "device": device}
        if rank() == 0:
            state["sums"] = torch.cat(sums)
        self.checkpoints.save(self.step, self.cohort.members if self.placement.shard == 0 else (), state)


def _dropout_states(members: Sequence[Member]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(member.generator.get_state(), member.peer_generator.get_state()) for member in members]


def _generator_states(device: str, members: Sequence[Member]) -> dict[str, Any]:
    """This process's random generators: torch's own, and those of its members' dropout."""
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    states["members"] = _dropout_states(members)
    if device.startswith("cuda"):
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states
