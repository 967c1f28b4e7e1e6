"""What the machinery of a cohort costs: a simultaneous DML step against the bare networks, in turns in one run.

    python benchmarks/cohort.py [--network mobilenet_v1] [--size 128 64] [--batch 16] [--json record.json]

"Bare" is what nobody can do without: forward, cross entropy, backward and the optimiser's step of the same two
networks on the same inputs. The DML step also augments, exchanges predictions, computes the mimicry and reports its
terms.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

# Neighbours: scripts find those by themselves.
from measuring import keep_record, new_parser, new_record, positive, seconds
from workload import benchmark_config

from reid_dml.ending import run_command


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("--network", default="mobilenet_v1", metavar="NAME", help="default: mobilenet_v1")
    parser.add_argument("--size", nargs=2, default=["128", "64"], metavar=("H", "W"), help="default: 128 64")
    parser.add_argument("--batch", default="16", metavar="N", help="images per batch (default: 16)")
    parser.add_argument("--steps", type=positive, default=20, metavar="N", help="of one measurement (default: 20)")
    arguments = parser.parse_args()

    import torch

    from reid_dml.commands.training import build_training
    from reid_dml.device import prepare_training, resolve_device
    from reid_dml.mutual.streams import MemberStreams

    size = f"[{', '.join(arguments.size)}]"
    networks = f"[{arguments.network}, {arguments.network}]"
    with tempfile.TemporaryDirectory() as folder:
        options = [
            "OPTIM.BETAS", "[0.5, 0.999]", "OPTIM.WEIGHT_DECAY", "4.0e-5", "DATA.STORED_SIZE", size,
            "INPUT.SIZE", size, "COHORT.NETWORKS", networks, "TRAIN.BATCH_SIZE", arguments.batch,
        ]  # fmt: skip
        cfg = benchmark_config(Path(folder), options)
        device = resolve_device(cfg.DEVICE)
        prepare_training()
        data = draw_persons(751, cfg.DATA.STORED_SIZE)
        training, bare = (build_training(cfg, data, device) for _ in range(2))
    cohort, schedule, count = training.cohort, training.schedule, cfg.TRAIN.BATCH_SIZE
    cohort.streams = MemberStreams()  # one network after the other, as the bare ones
    (batch,) = training.batches(0)
    inputs = bare.cohort.inputs(batch)

    def dml_step(step: int) -> None:
        training.rule.step(cohort, training.objective, [batch], schedule.scalars(step))

    def bare_step(step: int) -> None:
        for member in bare.cohort.members:
            loss = torch.nn.functional.cross_entropy(member.network(inputs).logits, batch.labels)
            member.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            member.optimizer.step()

    def per_step(run: Callable[[int], None]) -> float:
        def steps() -> None:
            for step in range(arguments.steps):
                run(step)

        return seconds(steps, device) / arguments.steps

    for run in (dml_step, bare_step):
        per_step(run)  # warm-up
    pairs = [(per_step(dml_step), per_step(bare_step)) for _ in range(arguments.repeats)]
    ratios = [dml / alone for dml, alone in pairs]
    record = new_record("cohort", device) | {
        "networks": [arguments.network] * 2,
        "size": list(cfg.INPUT.SIZE),
        "batch": count,
        "repeats": len(pairs),
        "dml_ms": 1000 * statistics.median(dml for dml, _ in pairs),
        "bare_ms": 1000 * statistics.median(alone for _, alone in pairs),
        "ratio": statistics.median(ratios),
        "ratios": sorted(ratios),
    }
    print(f"two {arguments.network}, {' x '.join(arguments.size)}, batch {count}")
    print(f"DML step {record['dml_ms']:.1f} ms, bare networks {record['bare_ms']:.1f} ms")
    print(f"ratio {record['ratio']:.3f} (median of {len(pairs)} pairs, {min(ratios):.3f} to {max(ratios):.3f})")
    keep_record(arguments.json, record)


def draw_persons(count: int, size: Sequence[int]):
    """A training set of one image of noise a person, in memory."""
    import numpy as np

    from reid_dml.data.records import ImageRecord, TrainingData

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)
    records = [ImageRecord(f"{person}.png", person, 0, pixels[person - 1]) for person in range(1, count + 1)]
    return TrainingData("benchmark", ".", records)


if __name__ == "__main__":
    run_command(main)
