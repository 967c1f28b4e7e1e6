"""Are these two images of the same person? A similarity, and with a calibrated threshold a decision and probability."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict

from reid_dml.called import as_called
from reid_dml.commands.networks import open_extractor
from reid_dml.data.broken import find_broken, named
from reid_dml.data.image_paths import image_records
from reid_dml.data.stored import ImageFiles
from reid_dml.errors import UserError
from reid_dml.files import write_json
from reid_dml.ranking.thresholds import Threshold
from reid_dml.ranking.verdict import Verdict, judge


def verify_and_print(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    *,
    threshold: str | float | os.PathLike[str] | None = None,
    prior: float = 0.5,
    json: str | os.PathLike[str] | None = None,
    run: str | os.PathLike[str] | None = None,
    config_file: str | os.PathLike[str] | None = None,
    options: Sequence[str] = (),
    network: str = "ensemble",
) -> Verdict:
    """Compare two images, print what follows, and return it.

    Args:
        first, second: image files.
        threshold: a number, or a file of reid-dml calibrate for these networks, which also gives a probability.
        prior: probability of one person before the images are seen, see `ranking.probability`.
        json: file for the result.
        run, config_file, options, network: the networks; see `commands.networks.open_extractor`.

    Raises:
        UserError: a prior not in (0, 1), images that cannot be read, a threshold for another metric or model.
    """
    if not 0 < prior < 1:
        raise UserError(f"--prior {prior}: must lie between 0 and 1")
    limit = None if threshold is None else Threshold.read(threshold)
    metric = (limit.metric if limit else "") or "cosine"
    records = [record for path in (first, second) for record in image_records([path])]
    if len(records) != 2:
        raise UserError(f"{len(records)} images were given; name two image files")
    extractor = open_extractor(run, config_file, options, network)
    if limit:
        limit.check(metric, extractor.model, "the networks")
    size, pixel_limit = extractor.cfg.DATA.STORED_SIZE, extractor.cfg.DATA.PIXEL_LIMIT
    if broken := find_broken(ImageFiles(records, size, pixel_limit))[0]:  # of two, none can be left out
        raise UserError(f"{named(broken, 2, 'cannot be read')}; copy again what is broken, or name other images")
    verdict = judge(extractor.extract(records, "images").features, metric, limit, prior)
    if json:
        write_json(json, asdict(verdict))
    print(as_called("\n".join(_lines(verdict))))
    return verdict


def _lines(verdict: Verdict) -> list[str]:
    name, bound = ("similarity", "at least") if verdict.metric == "cosine" else ("distance", "at most")
    if verdict.same_person is None:
        return [
            f"{name} {verdict.score:.4f}",
            "for a decision give --threshold, a number or a file of reid-dml calibrate --json",
        ]
    answer = "the same person" if verdict.same_person else "different persons"
    lines = [f"{answer}: {name} {verdict.score:.4f}, the same person at {bound} {verdict.threshold:.4f}"]
    if verdict.probability is not None:
        lines.append(
            f"probability of one person {100 * verdict.probability:.1f} %, if {100 * verdict.prior:g} % of the pairs "
            "one asks about show one person (--prior)"
        )
    else:
        lines.append("for a probability give --threshold a file of reid-dml calibrate --json")
    return lines
