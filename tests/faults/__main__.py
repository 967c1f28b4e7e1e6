"""The long fault campaign.

    python -m tests.faults --minutes 60 [--seed 0] [--page docs/reliability.md]

Prints every fault that was not survived and a table; the exit code is 1 if there was one.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from reid_dml.cells import markdown_table
from reid_dml.device import describe_device
from reid_dml.reporting.markdown import fill_marks
from reid_dml.threads import use_threads
from reid_dml.versions import versions
from tests.conftest import TINY
from tests.faults.campaign import Attempt, Campaign


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, metavar="N", help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of every choice (default: 0)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table between the marks of this page")
    arguments = parser.parse_args()
    use_threads(1)
    work = Path(tempfile.mkdtemp(prefix="reid_dml_faults_"))
    config = work / "tiny.yml"
    config.write_text(TINY.replace("NAME: synthetic", f"NAME: synthetic, ROOT: {work / 'data'}"))
    config.write_text(config.read_text() + f"\nTHREADS: 1\nDEVICE: cpu\nOUTPUT_DIR: {work / 'run'}\n")
    attempts = []
    for attempt in _attempts(Campaign(work, config, arguments.seed), time.monotonic() + 60 * arguments.minutes):
        attempts.append(attempt)
        if not attempt.good:
            print(f"{attempt.kind}: {attempt.what}: {attempt.outcome}: {attempt.detail}", flush=True)
    shutil.rmtree(work)
    table = _table(attempts, arguments.minutes, arguments.seed)
    print(table)
    if arguments.page:
        page = fill_marks(arguments.page.read_text(), "campaign", table.rstrip(), arguments.page)
        arguments.page.write_text(page)
    return int(any(not attempt.good for attempt in attempts))


def _attempts(campaign: Campaign, deadline: float) -> Iterator[Attempt]:
    while time.monotonic() < deadline:
        yield campaign.kill()
        yield campaign.error()
        yield from campaign.flips()
        for _ in range(5):
            yield campaign.fuzz_config()
            yield campaign.fuzz_features()


def _table(attempts: Sequence[Attempt], minutes: float, seed: int) -> str:
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    survived: Counter[str] = Counter()
    for attempt in attempts:
        outcomes[attempt.kind][attempt.outcome] += 1
        survived[attempt.kind] += attempt.good
    rows = [["fault", "tried", "survived", "how"]]
    for kind, found in outcomes.items():
        how = ", ".join(f"{outcome} {count}" for outcome, count in found.most_common())
        rows.append([kind, str(found.total()), str(survived[kind]), how])
    rows.append(["all", str(len(attempts)), str(survived.total()), ""])
    made = (
        f"`python -m tests.faults --minutes {minutes:g} --seed {seed}`, n = {len(attempts)}, {describe_device('cpu')}"
    )
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{made}; {libraries}.\n\n{markdown_table(rows)}\n"


if __name__ == "__main__":
    sys.exit(main())
