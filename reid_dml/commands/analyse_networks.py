"""Analyses of trained networks' posteriors, minima and differences: figures and CSV from run folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from reid_dml.analysis.flatness import draw_flatness, loss_rises, recompute_batch_norm
from reid_dml.analysis.posterior import draw_posterior
from reid_dml.analysis.similarity import disagreement, linear_cka, overlap_at_k
from reid_dml.classification.posterior import TOP_CLASSES, posterior_columns
from reid_dml.commands.trained_run import TrainedRun, open_runs, open_selection
from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.data.pipeline.sources import label_rows
from reid_dml.data.records import ReIDData
from reid_dml.data.stored import read_all
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.files import write_text
from reid_dml.outputs import check_folder
from reid_dml.ranking.ranked_rows import ranked_rows
from reid_dml.reporting.tables import csv_text, format_table

_PIECE = 64  # images at most in one forward pass of `flatness`


def analyse_posterior(
    runs: Sequence[str],
    output: str | os.PathLike[str],
    *,
    options: Sequence[str] = (),
    top: int = TOP_CLASSES,
    images: int = 0,
) -> None:
    """Write `posterior.svg` (training images) and `posterior.csv` (training and test images).

    Args:
        runs: run folders.
        output: folder for the files.
        options: `KEY VALUE ...` for the runs.
        top: classes, the true one included.
        images: of each split, evenly spread; 0: all.
    """
    opened = _open("posterior", runs, output, options)
    rows = [["network", "split", "images", *(f"p{rank}" for rank in range(1, top + 1)), "entropy"]]
    curves = {}
    for run in opened:
        for split in ("train", "test"):
            found = run.predictions(run.labelled(split, images), partial(posterior_columns, top=top))
            for label, columns in found.items():
                mean = columns.mean(0, dtype=np.float64)
                # The persons of a retrieval test split are no classes: there is no true one to put first.
                known = split == "train" or not isinstance(run.data, ReIDData)
                cells = [f"{value:.6f}" if known else "" for value in mean[:-1]] + [""] * (top + 1 - len(mean))
                rows.append([label, split, str(len(columns)), *cells, f"{mean[-1]:.4f}"])
                if split == "train":
                    curves[label] = mean[:-1].tolist()
    _write(output, "posterior", draw_posterior(curves, "training images"), rows)


def analyse_flatness(
    runs: Sequence[str],
    output: str | os.PathLike[str],
    *,
    options: Sequence[str] = (),
    sigmas: Sequence[float] = (),
    relative: bool = False,
    draws: int = 10,
    images: int = 500,
    recompute: bool = False,
    seed: int = 0,
) -> None:
    """Write `flatness.svg` and `flatness.csv`: the rise of the cross entropy on training images, without augmentation.

    Args:
        runs: run folders.
        output: folder for the files.
        options: `KEY VALUE ...` for the runs.
        sigmas: of the noise; empty: a grid that suits `relative`.
        relative: σ in units of each tensor's root mean square.
        draws: of the noise.
        images: training images, evenly spread; 0: all.
        recompute: batch-norm statistics anew under the noise.
        seed: of the draws.
    """
    opened = _open("flatness", runs, output, options)
    sigmas = sigmas or ((0.02, 0.05, 0.1, 0.15, 0.2) if relative else (0.001, 0.002, 0.005, 0.01, 0.02))
    rows = [["network", "sigma", "relative", "draws", "mean", "sd", "images"]]
    rises = {}
    for run in opened:
        records = run.labelled("train", images)
        labels = torch.tensor(label_rows(records, run.data.class_ids)).to(run.device)
        stored = torch.from_numpy(read_all(open_selection(run.cfg, records), run.cfg.DATA.WORKERS))
        spec = AugmentSpec.of(run.cfg).evaluation()
        # Pieces of nearly one size: batch norm has no statistics of a last one of a single image.
        pieces = torch.tensor_split(stored, -(-len(stored) // _PIECE))
        inputs = [augment(part.to(run.device), None, spec) for part in pieces]
        for index, network in run.networks.items():

            def loss(network: torch.nn.Module = network, labels: torch.Tensor = labels, inputs: list = inputs) -> float:
                parts = [network(part).logits.double() for part in inputs]
                return float(F.cross_entropy(torch.cat(parts), labels))

            found = loss_rises(
                network,
                loss,
                sigmas,
                draws=draws,
                relative=relative,
                seed=seed,
                recompute=partial(recompute_batch_norm, network, inputs) if recompute else None,
            )
            rises[run.label(index)] = found
            for sigma, row in zip(sigmas, found, strict=True):
                sd = f"{row.std(ddof=1):.6g}" if draws > 1 else ""
                rows.append(
                    [
                        run.label(index),
                        f"{sigma:g}",
                        str(relative),
                        str(draws),
                        f"{row.mean():.6g}",
                        sd,
                        str(len(records)),
                    ]
                )
    _write(output, "flatness", draw_flatness(sigmas, rises, relative=relative), rows)


def analyse_similarity(
    runs: Sequence[str],
    output: str | os.PathLike[str],
    *,
    options: Sequence[str] = (),
    k: int = 10,
    images: int = 2000,
) -> None:
    """Write `similarity.csv`: of every two networks, CKA, disagreement and, for retrieval, the overlap of ranked lists.

    The images are those of the first run.

    Args:
        runs: run folders.
        output: folder for the files.
        options: `KEY VALUE ...` for the runs.
        k: length of the ranked lists.
        images: training images (of a set of classes: test images) for CKA and disagreement; 0: all.
    """
    opened = _open("similarity", runs, output, options)
    first = opened[0]
    split = "train" if isinstance(first.data, ReIDData) else "test"
    records = first.labelled(split, images)
    logits: dict[str, np.ndarray] = {}
    features: dict[str, FeatureSet] = {}
    lists: dict[str, np.ndarray] = {}
    for run in opened:
        if run.data.class_names != first.data.class_names:
            raise UserError(f"{run.name}: has other classes than {first.name}; predictions cannot be compared")
        logits |= run.predictions(records, lambda values, _: values)
        features |= run.features(records)
        if isinstance(first.data, ReIDData):
            lists |= _lists(run, first.data, k)
    rows = [["first", "second", "CKA features", "CKA logits", "disagreement", *([f"overlap at {k}"] if lists else [])]]
    for one, other in combinations(logits, 2):
        values = [
            linear_cka(features[one].features, features[other].features),
            linear_cka(logits[one], logits[other]),
            disagreement(logits[one], logits[other]),
        ]
        values += [overlap_at_k(lists[one], lists[other], k)] if lists else []
        rows.append([one, other, *(f"{value:.4f}" for value in values)])
    if len(rows) == 1:
        raise UserError("similarity: one network only; give a run of two, or a second --run")
    _write(output, "similarity", "", rows)


def _lists(run: TrainedRun, data: ReIDData, k: int) -> dict[str, np.ndarray]:
    """Ranked lists of one data set's test images, so that positions of two runs mean the same images."""
    count = len(data.query)
    sets = run.features([*data.query, *data.gallery])
    return {
        label: ranked_rows(found.select(np.arange(count)), found.select(np.arange(count, len(found))), k)[1]
        for label, found in sets.items()
    }


def _open(name: str, runs: Sequence[str], output: str | os.PathLike[str], options: Sequence[str]) -> list[TrainedRun]:
    if not runs:
        raise UserError(f"{name}: give --run and a run folder")
    check_folder(Path(output), f"--output {output}")
    return open_runs(runs, options)


def _write(output: str | os.PathLike[str], name: str, figure: str, rows: Sequence[Sequence[str]]) -> None:
    for suffix, text in (("svg", figure), ("csv", csv_text(rows))):
        if text:
            write_text(Path(output) / f"{name}.{suffix}", text)
            print(Path(output) / f"{name}.{suffix}")
    print(format_table(rows))
