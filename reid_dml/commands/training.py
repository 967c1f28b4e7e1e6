"""From a config and a data set to everything a training run works with: the only place that puts it together."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from yacs.config import CfgNode

from reid_dml.compiling import Compiled
from reid_dml.config import per_network
from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.data.pipeline.samplers import sampler_kind
from reid_dml.data.pipeline.samplers.checks import check_sampler
from reid_dml.data.pipeline.sources import Batch, Shard, make_source
from reid_dml.data.records import TrainingData
from reid_dml.engine.optimizers import build_optimizer
from reid_dml.engine.schedules.schedule import Schedule
from reid_dml.engine.step import CudaGraphCapture, make_step
from reid_dml.engine.training import Training
from reid_dml.errors import UserError
from reid_dml.models import ReIDNetwork
from reid_dml.models.backbones import check_name
from reid_dml.models.build import network_seed, new_peer_generator, seed_dropout
from reid_dml.mutual.cohort import Cohort, LocalLinks, Member, assess
from reid_dml.mutual.distributed import DistributedLinks, Placement
from reid_dml.mutual.objective import Objective, build_objective
from reid_dml.mutual.streams import MemberStreams
from reid_dml.mutual.terms import Term
from reid_dml.mutual.updates import UpdateRule, build_rule
from reid_dml.processes import all_gather_objects, rank, world_size
from reid_dml.runs.networks import build_network, load_teachers, weights_files
from reid_dml.runs.sources import known_config

logger = logging.getLogger(__name__)

# Steps after which compiling, some 20 s, has paid for itself on a GPU that takes hundreds of them a second.
_COMPILING_PAYS = 10_000


@dataclass(frozen=True)
class Plan:
    """What a config asks for that needs neither data nor networks."""

    rule: UpdateRule
    objective: Objective
    placement: Placement


def plan_training(cfg: CfgNode) -> Plan:
    """The plan of a config in this number of processes, made before any data is read.

    Raises `UserError` for unknown names and for a number of processes that does not go with the cohort.
    """
    rule, objective = build_rule(cfg.UPDATE), build_objective(cfg.OBJECTIVE)
    for name in cfg.COHORT.NETWORKS:
        check_name(name)
    placement = _place(cfg, objective)
    if world_size() > 1 and not rule.distributed:
        raise UserError(
            f"UPDATE.RULE: {cfg.UPDATE.RULE} works in one process only, {world_size()} were started; "
            "set it to simultaneous"
        )
    return Plan(rule, objective, placement)


def build_training(
    cfg: CfgNode,
    data: TrainingData,
    device: str,
    *,
    plan: Plan | None = None,
    initialise: bool = True,
    planned_steps: int = 0,
) -> Training:
    """Everything that training on a data set works with, on this process. All processes call it together.

    Args:
        cfg: the config.
        data: whose training images are learnt from.
        device: where this process computes.
        plan: of the same config, where it was made before.
        initialise: False spares the starting weights, where a checkpoint will replace them.
        planned_steps: those that the run was to have when it began; 0: `TRAIN.STEPS`.

    Raises:
        UserError: options that do not go with each other, with the data or with the number of processes.
    """
    plan = plan or plan_training(cfg)
    compiled = compiles(cfg, device, planned_steps)
    cohort = _build_cohort(cfg, data.class_names, plan, device, initialise=initialise, compiled=compiled)
    # A graph cannot capture how `recompute` puts the state of torch's generator back. On GPUs several processes talk
    # through NCCL, whose messages can be captured; gloo's cannot.
    graph = cfg.TRAIN.GRAPH and device.startswith("cuda") and not cfg.TRAIN.RECOMPUTE
    shard = Shard(plan.placement.shard, plan.placement.shards)
    source = make_source(cfg, data.train, data.class_ids, AugmentSpec.num_draws, device, shard)
    check_sampler(source.sampler, len(data.train), cfg.TRAIN.BATCH_SIZE)
    return Training(
        cohort=cohort,
        rule=plan.rule,
        objective=plan.objective,
        source=source,
        schedule=Schedule(
            cfg.SCHEDULE,
            plan.objective,
            total=cfg.TRAIN.STEPS,
            learning_rates=per_network(cfg, "COHORT.LR"),
            ema_decay=cfg.EMA.DECAY,
            ema_counts=len(cfg.COHORT.NETWORKS) if cfg.EMA.COUNTER == "updates" else 1,
            device=device,
        ),
        step=make_step(plan.rule, cohort, plan.objective, CudaGraphCapture(cohort) if graph else None),
        placement=plan.placement,
        device=device,
        accumulation=cfg.TRAIN.ACCUMULATION,
    )


def _build_cohort(
    cfg: CfgNode, class_names: Sequence[str], plan: Plan, device: str, *, initialise: bool, compiled: bool
) -> Cohort:
    """This process's share of the cohort, ready to train on the device, with the frozen teachers."""
    size, placement = len(cfg.COHORT.NETWORKS), plan.placement
    rates = per_network(cfg, "COHORT.LR")
    layout = torch.channels_last if cfg.TRAIN.CHANNELS_LAST else torch.contiguous_format
    weigh = Compiled(assess, "the loss") if compiled else assess
    members = []
    for index in placement.networks:
        network = build_network(cfg, index, len(class_names), initialise=initialise)
        network = network.to(device).to(memory_format=layout).train()
        # A copy before the dropout gets its generator: the average is only ever evaluated.
        ema = copy.deepcopy(network).eval().requires_grad_(False) if cfg.EMA.ENABLED else None
        if compiled:
            network.compile_training()
        own = index + size * placement.shard
        generator, peer_generator = (
            seed_dropout(network, cfg.SEED, own, device),
            new_peer_generator(cfg.SEED, own, device),
        )
        optimizer = build_optimizer(cfg.OPTIM, network, rates[index])
        state = plan.objective.new_state(len(class_names), network.feature_dim, device)
        members.append(
            Member(index, network, optimizer, generator, ema, cfg.OPTIM.CLIP_NORM, peer_generator, state, weigh)
        )
    # What else draws from torch's global generator (stochastic depth of a timm network) follows from the seed too.
    torch.manual_seed(network_seed(cfg.SEED, size + rank()))
    if compiled and rank() == 0:
        logger.info("the first step compiles the networks, which takes its time")
    teachers = load_teachers(cfg, class_names, device)
    _warn_of_twins(cfg)
    features = plan.objective.uses_features
    if features:
        terms = [term for term in plan.objective.terms if term.needs_peer_features]
        _check_widths(cfg, terms, members, teachers)
    alone = world_size() == 1
    inputs = partial(_inputs, spec=AugmentSpec.of(cfg), layout=layout)
    return Cohort(
        members,
        size,
        inputs=Compiled(inputs, "augmentation") if compiled else inputs,
        links=LocalLinks() if alone else DistributedLinks(placement, features=features),
        teachers=teachers,
        bfloat16=cfg.TRAIN.PRECISION == "bfloat16",
        streams=MemberStreams.of(size, device) if alone else MemberStreams(),
    )


def compiles(cfg: CfgNode, device: str, planned_steps: int = 0) -> bool:
    """Whether networks and losses go through torch.compile; for one config and kind of device always the same.

    Args:
        cfg: the config.
        device: of the training.
        planned_steps: those that the run was to have when it began, so that one that is lengthened goes on as it began;
            0: `TRAIN.STEPS`.
    """
    if cfg.TRAIN.COMPILE != "auto":
        return cfg.TRAIN.COMPILE == "True"
    return (
        device.startswith("cuda") and not cfg.TRAIN.RECOMPUTE and (planned_steps or cfg.TRAIN.STEPS) >= _COMPILING_PAYS
    )


def _warn_of_twins(cfg: CfgNode) -> None:
    """Say so where a student would start from the starting weights of its own teacher and see the same batches."""
    for path in cfg.COHORT.TEACHERS:
        theirs = known_config(path)
        if theirs is None:
            continue
        names = dict(enumerate(cfg.COHORT.NETWORKS))
        twins = [index for index in weights_files(theirs, path) if theirs.COHORT.NETWORKS[index] == names.get(index)]
        if twins and theirs.SEED == cfg.SEED and rank() == 0:
            warnings.warn(
                f"SEED: is {cfg.SEED} for network {twins[0]} ({names[twins[0]]}) as for its teacher {path}: it has the "
                "same starting weights and batches, which says little of distillation; set SEED to another",
                stacklevel=2,
            )


def _place(cfg: CfgNode, objective: Objective) -> Placement:
    """Where the networks of a config are in this number of processes."""
    batch_size = cfg.TRAIN.BATCH_SIZE
    placement = Placement.of(len(cfg.COHORT.NETWORKS), world_size(), rank(), batch_size=batch_size)
    if placement.shards > 1:
        shard, per_person = batch_size // placement.shards, sampler_kind(cfg.SAMPLER).images_per_person()
        refuse = f"{placement.shards} processes share each network"
        if shard < 2:
            raise UserError(f"TRAIN.BATCH_SIZE: {refuse}, and batch norm has no statistics of one image; raise it")
        if per_person > 1 and (shard % per_person or shard < 2 * per_person):
            raise UserError(
                f"TRAIN.BATCH_SIZE: {refuse}, and each shard of a batch needs whole persons, two at least; raise it"
            )
        if cfg.SAMPLER.LABELLED_PER_BATCH:
            raise UserError(
                f"SAMPLER.LABELLED_PER_BATCH: {refuse}, and labelled images would lie in the first shards only; start "
                "at most as many processes as networks, or set it to 0"
            )
        for term in objective.terms:
            if not term.shardable:
                raise UserError(f"{term.key()}: {refuse}, and its state would move apart; set it to {term.off}")
    return placement


def _check_widths(
    cfg: CfgNode, terms: Sequence[Term], members: Sequence[Member], teachers: Sequence[ReIDNetwork]
) -> None:
    """Raise `UserError` where features that are not alike would be drawn together by these terms."""
    keys = " and ".join(term.key() for term in terms)
    remedy = " and ".join(f"set {term.key()} to {term.off}" for term in terms)
    if any(isinstance(teacher.neck, nn.BatchNorm1d) for teacher in teachers):
        raise UserError(
            f"{keys}: a teacher with MODEL.NECK bn shows its features behind the neck, its students have theirs before "
            f"it; {remedy}"
        )
    own = [network.feature_dim for network in (*(member.network for member in members), *teachers)]
    widths = sorted({width for part in all_gather_objects(own) for width in part})
    if len(widths) > 1:
        raise UserError(
            f"{keys}: the pooled features of {', '.join(cfg.COHORT.NETWORKS)} and teachers are "
            f"{' and '.join(map(str, widths))} wide; only equal widths can be drawn together; {remedy}"
        )


def _inputs(batch: Batch, spec: AugmentSpec, layout: torch.memory_format) -> torch.Tensor:
    return augment(batch.images, batch.draws, spec).contiguous(memory_format=layout)
