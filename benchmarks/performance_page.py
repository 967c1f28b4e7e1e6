"""docs/performance.md from the records of the benchmarks: what our operations cost beside what they are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reid_dml.cells import markdown_table
from reid_dml.errors import UserError
from reid_dml.reporting.tables import without_empty_columns

_INTRODUCTION = """# Performance

Generated from the records in `results/benchmarks/` by `make results`; nothing here is typed in by hand. In every table
both sides of a ratio were timed alternately in one run, on the machine that the line below it names.
"""


def read_performance(folder: Path) -> list[dict[str, Any]]:
    """The records of these benchmarks, by file name; those of index types belong to another page.

    Raises `UserError` for a file that is no record, and for a folder without any.
    """
    records = []
    for path in sorted(set(folder.glob("*.json")) - set(folder.glob("index_types_*.json"))):
        try:
            record = json.loads(path.read_text())
            known = record["benchmark"] in _SECTIONS
        except (ValueError, TypeError, KeyError):
            known = False
        if not known:
            raise UserError(f"{path}: not a benchmark's record; remove it or run the benchmark again")
        records.append(record)
    if not records:
        raise UserError(f"{folder}: holds no records of benchmarks; check the path")
    return records


def performance_page(records: Sequence[Mapping[str, Any]]) -> str:
    """The page: a section a benchmark, in a fixed order."""
    parts = [_INTRODUCTION]
    for kind, (title, explanation, table) in _SECTIONS.items():
        own = [record for record in records if record["benchmark"] == kind]
        if own:
            parts.append(f"## {title}\n\n{explanation}\n")
        for record in own:
            parts.extend(table(record))
            versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
            parts.append(f"{record['device']}; {versions}; revision `{record['git_revision']}`\n")
        if kind in _ALSO_ON_GPU and own and all(_on_cpu(record) for record in own):
            parts.append("On a GPU: not measured.\n")
    return "\n".join(parts)


def _on_cpu(record: Mapping[str, Any]) -> bool:
    return record["device"].endswith((" threads", " thread"))  # see `describe_device`


def _training(record: Mapping[str, Any]) -> list[str]:
    rows = [["cohort", "input", "batch", "precision", "steps/s", "steps/s in one go", "between steps",
             "ours / plain eager", "ours / plain eager, compiled", "ours / DataLoader",
             "share of the matrix rate"]]  # fmt: skip
    different = [["cohort", "precision", "ours with", "steps/s", "ours / this"]]
    for found in record["cases"].values():
        name = f"{len(found['networks'])} x {found['networks'][0]}"
        ratios = {way: _ratio(ratio) for way, ratio in found["ratios"].items()}
        rows.append([
            name, " x ".join(map(str, found["size"])), str(found["batch"]), found["precision"],
            f"{found['steps_per_second']['ours']:.2f}",
            f"{found['sustained']['steps_per_second']:.2f}" if "sustained" in found else "",
            f"{found['idle_share']:.1%}" if "idle_share" in found else "", ratios.pop("ours / plain eager"),
            ratios.pop("ours / plain eager, compiled", ""), ratios.pop("ours / DataLoader"),
            f"{found['share_of_matrix_rate']:.0%}",
        ])  # fmt: skip
        for way, ratio in ratios.items():
            variant = way.removeprefix("ours / ")
            speed = f"{found['steps_per_second'][variant]:.2f}"
            different.append([name, found["precision"], variant, speed, ratio])
    tables = [markdown_table(without_empty_columns(rows))]
    measured = f"Medians of {record['repeats']} measurements of {record['steps']} steps"
    tables.append(f"{measured}; {record['workers']} workers of the DataLoader.\n")
    tables += [f"{line}.\n" for line in _costs(record["cases"].values())]
    if len(different) > 1:
        tables += [_DIFFERENT, markdown_table(different)]
    return tables


def _costs(cases: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a step of several networks costs beside one of one of them, where both were measured."""
    cases, lines = list(cases), []
    alone = {_kind(found): found for found in cases if len(found["networks"]) == 1}
    for found in cases:
        if len(found["networks"]) > 1 and (one := alone.get(_kind(found))):
            cost = one["steps_per_second"]["ours"] / found["steps_per_second"]["ours"]
            lines.append(f"A step of {len(found['networks'])} x {found['networks'][0]} takes {cost:.2f} x that of one")
    return lines


def _kind(found: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(set(found["networks"]))), tuple(found["size"]), found["batch"], found["precision"]


def _ratio(found: Mapping[str, Any]) -> str:
    return f"{found['median']:.2f} ({found['range'][0]:.2f} to {found['range'][1]:.2f})"


def _scaling(record: Mapping[str, Any]) -> list[str]:
    header = ["networks", "input", "batch", "recomputed", "processes", "steps/s", "network images/s", "memory",
              "per network"]  # fmt: skip
    tables = []
    for name, points in record["groups"].items():
        rows = [header]
        for point in points:
            own = max(point["networks"] / point["processes"], 1)  # several processes may share a network
            rows.append([
                str(point["networks"]), " x ".join(map(str, point["size"])), str(point["batch"]),
                "yes" if point["recompute"] else "no", str(point["processes"]), f"{point['steps_per_second']:.2f}",
                f"{point['steps_per_second'] * point['networks'] * point['batch']:,.0f}",
                f"{point['memory_gb']:.2f} GB", f"{point['memory_gb'] / own:.2f} GB",
            ])  # fmt: skip
        tables += [f"### {_GROUPS[name]}\n", markdown_table(rows)]
    first = next(iter(record["groups"].values()))[0]
    return [f"All networks are {first['network']}.\n", *tables]


def _threads(record: Mapping[str, Any]) -> list[str]:
    rows = [["busy processes beside", "threads", "images/s", "times slower than the best of its turn"]]
    for company, ways in record["company"].items():
        for name, found in ways.items():
            slower = f"{found['times_slower_than_best']:.2f}"
            rows.append([company, name, f"{found['images_per_second']:.0f}", slower])
    return [markdown_table(rows)]


def _startup(record: Mapping[str, Any]) -> list[str]:
    rows = [["command", "seconds"], *([name, _ratio(found)] for name, found in record["seconds"].items())]
    return [markdown_table(rows), f"Medians of {record['repeats']} processes.\n"]


def _input(record: Mapping[str, Any]) -> list[str]:
    rows = [["images", "source", "images/s", "beside"]]
    for name, found in record["cases"].items():
        for way, speed in found["images_per_second"].items():
            ratios = [f"{ratio:.1f} x {pair.removeprefix(way + ' / ')}" for pair, ratio in found["ratios"].items()
                      if pair.startswith(f"{way} / ")]  # fmt: skip
            rows.append([name, way, f"{speed:,.0f}", ", ".join(ratios)])
    return [markdown_table(rows), f"{record['workers']} workers, medians of {record['repeats']}.\n"]


def _extraction(record: Mapping[str, Any]) -> list[str]:
    rows = [["way", "images/s", "beside"]]
    for way, speed in record["images_per_second"].items():
        ratios = [f"{ratio:.2f} x {pair.removeprefix(way + ' / ')}" for pair, ratio in record["ratios"].items()
                  if pair.startswith(f"{way} / ")]  # fmt: skip
        rows.append([way, f"{speed:,.0f}", ", ".join(ratios)])
    what = (f"{len(record['networks'])} x {record['networks'][0]}, {' x '.join(map(str, record['size']))}, "
            f"{record['images']:,} images, medians of {record['repeats']}; {record['waiting']:.1%} of the time spent "
            "waiting for images")  # fmt: skip
    return [markdown_table(rows), f"{what}.\n"]


def _evaluation(record: Mapping[str, Any]) -> list[str]:
    header = ["size", "queries x gallery", "metrics", "bare product", "ratio", "memory above the features", "sorting"]
    rows = [
        [
            name,
            f"{found['queries']:,} x {found['gallery']:,}",
            f"{found['seconds']:.2f} s",
            f"{found['bare_seconds']:.2f} s",
            f"{found['ratio']:.2f}",
            f"{found['memory_gb']:.2f} GB",
            f"{found['sorting_seconds']:.1f} s",
        ]
        for name, found in record["sizes"].items()
    ]
    return [markdown_table([header, *rows])]


def _reranking(record: Mapping[str, Any]) -> list[str]:
    header = ["images", "time", "memory above the features", "beside it on the first images", "largest difference"]
    reference = record.get("reference")
    beside = difference = ""
    if reference:
        beside = (
            f"{reference['images']:,} images: ours {reference['seconds']:.2f} s, dense code "
            f"{reference['dense_seconds']:.1f} s"
        )
        difference = f"{reference['largest_difference']:.0e}"
    size = f"{record['queries']:,} + {record['gallery']:,}, {record['width']}-d, {record['features']}"
    row = [size, f"{record['seconds']:.1f} s", f"{record['memory_gb']:.2f} GB", beside, difference]
    return [markdown_table([header, row])]


def _postgres(record: Mapping[str, Any]) -> list[str]:
    rows = [["search", "p50, ms", "p99, ms", "recall@10"]]
    for name, found in record["milliseconds"].items():
        rows.append([name, f"{found['p50']:.2f}", f"{found['p99']:.2f}", f"{record['recall_at_10'][name]:.3f}"])
    what = f"{record['vectors']:,} vectors of {record['dimension']} dimensions, {record['queries']:,} queries"
    cost = (
        f"{record['postgres']}: {record['import_rows_per_second']:,.0f} rows/s imported from Parquet, indexes of ids, "
        f"paths, persons, cameras and times included; {record['graph']} made in {record['graph_seconds']:.0f} s, by "
        f"FAISS in {record['faiss_graph_seconds']:.0f} s; {record['bytes'] / 1e9:.2f} GB in the database"
    )
    return [f"{what}; {record['threads']} threads of FAISS.\n", markdown_table(rows), f"{cost}.\n"]


def _step_counts(record: Mapping[str, Any]) -> list[str]:
    rows = [["cohort", "step", "operators", "of them convolutions", "generated kernels", "together"]]
    for name, ways in record["cohorts"].items():
        for way, found in ways.items():
            together = found["operators"] + found["kernels"]
            convolutions = sum(found["calls"].get(which, 0) for which in ("convolution", "convolution_backward"))
            numbers = found["operators"], convolutions, found["kernels"], together
            rows.append([name, way, *map(str, numbers)])
    return [f"{record['when']}:\n", markdown_table(rows)]


def _gpu(record: Mapping[str, Any]) -> list[str]:
    rows = [["part", "steps/s", "compiled", "graph", "first five steps", "memory", "otherwise"]]
    for name, found in record["parts"].items():
        if "steps_per_second" in found:
            memory = f"{found['memory_gb']:.1f} GB" if "memory_gb" in found else ""
            yes = ["yes" if found[key] else "no" for key in ("compiled", "graph")]
            rows.append([name, f"{found['steps_per_second']:.1f}", *yes, f"{found['first_seconds']:.1f} s", memory, ""])
        else:
            rows.append([name, "", "", "", "", "", _otherwise(found)])
    return [markdown_table(without_empty_columns(rows))]


def _otherwise(found: Mapping[str, Any]) -> str:
    if "missing" in found:
        return f"missing: {found['missing']}"
    if "summary" in found:
        return "; ".join([found["summary"], *found["failed"]])
    if "images_per_second" in found:
        return ", ".join(f"{way} {speed:,.0f} images/s" for way, speed in found["images_per_second"].items())
    return f"{found['seconds']:.3f} s"


def _cohort(record: Mapping[str, Any]) -> list[str]:
    header = ["networks", "input", "batch", "DML step", "bare networks", "ratio", "range"]
    row = [
        " + ".join(record["networks"]),
        " x ".join(map(str, record["size"])),
        str(record["batch"]),
        f"{record['dml_ms']:.1f} ms",
        f"{record['bare_ms']:.1f} ms",
        f"{record['ratio']:.3f}",
        f"{record['ratios'][0]:.3f} to {record['ratios'][-1]:.3f}, n = {record['repeats']}",
    ]
    return [markdown_table([header, row])]


def _service(record: Mapping[str, Any]) -> list[str]:
    rows = [["request", "p50, ms", "p99, ms", "the same in a loop: p50, ms", "added, ms", "of a processor, ms"]]
    for name in ("embed", "search", "nothing (healthz)"):
        served, plain = record[name]["served"], record[name]["plain"]
        rows.append(
            [
                name,
                f"{served['p50']:.2f}",
                f"{served['p99']:.2f}",
                f"{plain['p50']:.2f}",
                f"{served['p50'] - plain['p50']:+.2f}",
                f"{served['cpu']:.1f} and {plain['cpu']:.1f}",
            ]
        )
    size = (
        f"{record['gallery']:,} images of {record['dimension']} dimensions, {record['requests']} requests of each kind."
    )
    parts = [size + "\n", markdown_table(rows)]
    if crowd := record.get("clients"):
        parts.append(
            f"{crowd['clients']} clients at a time: {crowd['requests']:,} searches, "
            f"{crowd['per second']:.1f} a second, p50 {crowd['p50 ms']:,.0f} ms, p99 {crowd['p99 ms']:,.0f} ms, "
            f"{crowd['not 200']} not answered; "
            f"{crowd['MB when warm']:,.0f} MB when warm, {crowd['MB at the end']:,.0f} MB at the end.\n"
        )
    return parts


_Tables = Callable[[Mapping[str, Any]], list[str]]
_GROUPS = {
    "networks": "Networks of the cohort",
    "batch": "Images of a batch",
    "size": "Size of the input",
    "recompute": "Activations computed again (`TRAIN.RECOMPUTE`)",
    "same cohort": "The same cohort over more processes, one CPU thread each",
    "two networks each": "Two networks in each process, one CPU thread each",
}
_TRAINING = """`benchmarks/training.py`: the loop of `tools/train_net.py` beside mutual learning as a tutorial writes
it, on batches that are in memory and augmented already ("plain eager"; the networks through torch.compile in
"compiled") or behind PIL, torchvision and worker processes ("DataLoader"). "Between steps" is the share of the time
beyond the captured step alone, over and over. The last column holds the operations of
convolutions and linear layers against those that large matrix products reach in the same time. On a GPU the step is one
CUDA graph."""
_DIFFERENT = """One thing done differently (`TRAIN.CHANNELS_LAST`, `TRAIN.RECOMPUTE`, `TRAIN.COMPILE`, on a GPU
`TRAIN.GRAPH`); above 1 it does not help:
"""
_SCALING = """`benchmarks/scaling.py`: every row is a process of its own. Memory is the largest during training above
what the process held before it built the cohort, of one process; on a GPU, what torch reserved there at most.
"Network images" counts an image once for each network."""
_STARTUP = """`benchmarks/startup.py`: from the start of `tools/train_net.py` to its answer to `--help`, and to the
first step of training on decoded images."""
_INPUT = """`benchmarks/input_pipeline.py`: batches on the device, augmented, from images in memory ("resident") or
read from the decoded cache ("streaming"), beside PIL and torchvision in worker processes, and beside what training
takes."""
_EXTRACTION = """`benchmarks/extraction.py`: from image files, or from the decoded cache, to features in memory, beside
the forward passes of the same networks on batches that are there already: large batches, and batches of 16 as
extraction has them on a CPU."""
_COHORT = """`benchmarks/cohort.py`: a simultaneous DML step, with augmentation, exchange of predictions and mimicry,
beside forward, backward and optimiser of the same networks."""
_STEP_COUNTS = """`benchmarks/step_counts.py`: the calls of torch's operators that compute or move numbers in one step,
views and allocations aside, and the kernels that Inductor (its CPU back end) has generated where the step goes through
torch.compile. On a GPU each operator is a kernel or a few, and small networks wait for the number of kernels.
`cifar`: 2 x resnet32_cifar, batch 64, SGD; `market`: 2 x mobilenet_v1, batch 16, Adam; both with weight averages.
Optimiser, average and casts of the weights stay outside torch.compile: each is one call for a group of parameters as
it is, and next to the convolutions little is left to fuse."""
_GPU = """`benchmarks/gpu.py`: the loop of `tools/train_net.py` (steps a second, the median of timings of 100 steps) and
what else there was time for; `cifar`: 2 x resnet32_cifar, batch 64; `market_224`: 2 x mobilenet_v1, 224 x 224, batch
16; "plain eager": mutual learning as a tutorial writes it, on batches that are on the GPU already."""
_EVALUATION = """`benchmarks/evaluation.py`: CMC, mAP and mINP of drawn 512-d features beside the bare float32 product
of the same shapes, blocked into one reused buffer. "Sorting" is what ordering the gallery of every query takes, from
the first 100 queries. Before each timing the machine rests for 0.1 s (in records of earlier revisions than `16ac925`
it does not): OpenBLAS's threads spin for a while behind a product, and take a core from what comes next."""
_RERANKING = """`benchmarks/reranking.py`: beside the authors' dense NumPy algorithm, which needs several N x N matrices
and is therefore timed on the first images only."""
_POSTGRES = """`benchmarks/postgres.py`: one query at a time, the engines in turn query by query. "FAISS flat" is FAISS
alone, "index folder" our gallery over it; "camera" searches the images of one camera in six."""
_SERVICE = """`benchmarks/service.py`: requests over one connection, in turns with the same work in a loop:
decoding, the forward pass and, for a search, the ten nearest of random features. "Of a processor" are milliseconds of
its time."""
_THREADS = """\
The quickstart's training. `default`: all cores, threads asleep after a short wait, which was the default when this was
recorded (a command now takes the cores that others leave free: beside two busy processes here, one thread); `one
thread`: `THREADS 1`; `spinning`: GNU's OpenMP left alone; `asleep`: `OMP_WAIT_POLICY=passive`.
Medians over the turns."""
_ALSO_ON_GPU = ("training", "scaling", "input_pipeline", "extraction", "cohort")
_SECTIONS: dict[str, tuple[str, str, _Tables]] = {
    "threads": (
        "Threads on an idle and on a busy machine",
        _THREADS,
        _threads,
    ),
    "training": ("Training", _TRAINING, _training),
    "cohort": ("A mutual learning step", _COHORT, _cohort),
    "step_counts": ("Operators and kernels of a step", _STEP_COUNTS, _step_counts),
    "gpu": ("A GPU in a few minutes", _GPU, _gpu),
    "scaling": ("Training at other sizes", _SCALING, _scaling),
    "startup": ("Start", _STARTUP, _startup),
    "input_pipeline": ("Input", _INPUT, _input),
    "extraction": ("Feature extraction", _EXTRACTION, _extraction),
    "evaluation": ("Exact ranking metrics", _EVALUATION, _evaluation),
    "reranking": ("k-reciprocal re-ranking", _RERANKING, _reranking),
    "service": ("The service", _SERVICE, _service),
    "postgres": ("Galleries in PostgreSQL", _POSTGRES, _postgres),
}
