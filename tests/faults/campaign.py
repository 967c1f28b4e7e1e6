"""What is done to runs, files and configs, and what must come of it. Everything follows from a seed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from reid_dml.engine.checkpoints import Checkpoints
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.formats import read_features, write_features
from reid_dml.models.weights import read_tensors
from reid_dml.runs.environment import read_environment
from reid_dml.runs.folder import RunFolder
from reid_dml.search.gallery import Gallery
from tests.faults.children import at_change, read_in_child, run_child

_SHORT = ["TRAIN.STEPS", "4", "TRAIN.CHECKPOINT_INTERVAL", "1", "TRAIN.LOG_INTERVAL", "2", "TEST.MULTI_QUERY", "none"]
_ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
_JUNK = ("", "[", "}", "-1", "nan", "1e400", "9" * 30, "&a", "*a", "!!python/name:os.system", "\t", "\0", "é")
_MOST_CHANGES = 130  # of files, in a run of four steps; behind the last one nothing happens


@dataclass(frozen=True)
class Attempt:
    """One fault: of which kind, what was done, whether what must hold holds, and in which way."""

    kind: str
    what: str
    good: bool
    outcome: str
    detail: str = ""


class Campaign:
    """Faults of all kinds in a folder of its own."""

    def __init__(self, work: Path, config: Path, seed: int) -> None:
        """Prepare nothing yet: what a kind of fault needs is made when it is first asked for.

        Args:
            work: an empty folder.
            config: a config file that trains in a second.
            seed: of every choice.
        """
        self.work, self.config, self.random = work, config, random.Random(seed)
        self.count = 0

    @cached_property
    def whole(self) -> Path:
        """A run that nothing happened to."""
        run = self.work / "whole"
        ended = self._train(run, resume=False)
        assert ended.code == 0, ended.text
        return run

    def kill(self) -> Attempt:
        """SIGKILL at a change of a file, then --resume: the run must end with the bits of an undisturbed one."""
        return self._disturb("kill at a change of a file", lambda path: os.kill(os.getpid(), signal.SIGKILL))

    def error(self) -> Attempt:
        """An error of the disk at a change of a file, one line, then --resume to the same bits."""
        number = self.random.choice(_ERRORS)

        def fail(path: str) -> None:
            raise OSError(number, os.strerror(number), path)

        return self._disturb("disk error at a change of a file", fail, errno.errorcode[number])

    def flips(self) -> Iterator[Attempt]:
        """A damage to each kind of file that is read again: refused in one line, or the result is what it was."""
        for name, (file, read) in self._targets.items():
            original = file.read_bytes()
            expected = self._expected(name, read)
            damaged, how = self._damaged(original)
            file.write_bytes(damaged)
            try:
                outcome, value = read_in_child(read, self.work / "answer")
            finally:
                file.write_bytes(original)
            if outcome == "read":
                outcome = "unchanged" if value == expected else "CHANGED"
            yield Attempt(f"damaged {name}", how, outcome in ("refused", "unchanged"), outcome, str(value)[:300])

    def fuzz_config(self) -> Attempt:
        """A config with words exchanged, removed or spoilt: loaded, or refused."""
        words = self.config.read_text().replace(",", " , ").split(" ")
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(words))
            junk = [
                "",
                "[",
                "}",
                "-1",
                "nan",
                "1e400",
                "9" * 30,
                "&a",
                "*a",
                "!!python/name:os.system",
                "\t",
                "\0",
                "é",
            ]
            words[at] = self.random.choice([*junk, self.random.choice(words), words[at][::-1]])
        file = self.work / "fuzzed.yml"
        file.write_text(" ".join(words))
        outcome, value = read_in_child(lambda: bool(load_config(file)), self.work / "answer", seconds=20)
        return Attempt("fuzzed config", " ".join(words)[:80], outcome in ("read", "refused"), outcome, str(value)[:300])

    def fuzz_features(self) -> Attempt:
        """Random bytes behind the right beginning of a feature file: refused."""
        starts = {"npz": b"PK\3\4", "parquet": b"PAR1", "mat": b"MATLAB 5.0 MAT-file" + b" " * 97}
        kind, start = self.random.choice(sorted(starts.items()))
        file = self.work / f"fuzzed.{kind}"
        file.write_bytes(start + self.random.randbytes(self.random.randint(0, 500)) + start[:4])
        outcome, value = read_in_child(lambda: len(read_features(file)), self.work / "answer", seconds=20)
        return Attempt("fuzzed feature file", kind, outcome == "refused", outcome, str(value)[:300])

    def _train(self, run: Path, *, resume: bool, before: Callable[[], None] = lambda: None) -> Any:
        def work() -> None:
            before()
            train_and_evaluate(load_config(self.config, [*_SHORT, "OUTPUT_DIR", str(run)]), resume=resume)

        return run_child(work, self.work / "train.log")

    def _disturb(self, kind: str, act: Callable[[str], None], name: str = "SIGKILL") -> Attempt:
        whole = _result(self.whole)
        self.count += 1
        run, number = self.work / f"run_{self.count}", self.random.randint(1, _MOST_CHANGES)
        what = f"{name} at change {number}"
        first = self._train(run, resume=False, before=lambda: at_change(run, number, act))
        if first.code not in (0, -signal.SIGKILL) and not first.refused:
            return Attempt(kind, what, False, "CRASHED", first.text[-600:])
        again = self._train(run, resume=True)
        if again.code != 0:
            return Attempt(kind, what, False, "NOT RESUMED", again.text[-600:])
        left = [str(path.relative_to(run)) for path in run.rglob(".*") if path.name != ".lock"]
        if left:
            return Attempt(kind, what, False, "LEFT DRAFTS", ", ".join(left))
        equal = _result(run) == whole
        shutil.rmtree(run)
        return Attempt(kind, what, equal, "equal bits" if equal else "OTHER BITS")

    @cached_property
    def _targets(self) -> dict[str, tuple[Path, Callable[[], Any]]]:
        """Every kind of file: one of it, and what is read from it."""
        run = self.work / "damaged_run"
        shutil.copytree(self.whole, run)
        folder, cfg = RunFolder(run), load_config(self.config, [*_SHORT, "OUTPUT_DIR", str(run)])
        environment = read_environment(folder)
        checkpoints = Checkpoints(folder.checkpoints, environment["run"])
        last = checkpoints.path(checkpoints.steps()[-1])
        generator = np.random.default_rng(0)
        ids = np.arange(40)
        paths = np.array([f"{number:04d}.jpg" for number in ids])
        features = FeatureSet(generator.standard_normal((40, 16), np.float32), ids, ids % 3, paths, "m" * 32)
        targets: dict[str, tuple[Path, Callable[[], Any]]] = {
            "weights": (folder.weights_file(0), lambda: _digest(read_tensors(folder.weights_file(0)))),
            "config.yml": (folder.config_file, lambda: folder.check_same(cfg)),
            "classes.json": (folder.classes_file, lambda: folder.check_data(json.loads(classes))),
            "environment.json": (folder.environment_file, lambda: bool(read_environment(folder))),
            "metrics.jsonl": (folder.metrics_file, lambda: isinstance(folder.read_metrics(), list)),
        }
        classes = folder.classes_file.read_text()
        for name in ("network_0.pt", "trainer.pt", "manifest.json"):
            targets[f"checkpoint's {name}"] = last / name, partial(checkpoints.check, checkpoints.steps()[-1])
        for kind in ("npz", "parquet", "mat"):
            file = self.work / f"features.{kind}"
            write_features(features, file)
            targets[f".{kind} of features"] = file, partial(_features, file)
        for factory in ("Flat", "HNSW8", "IVF2,Flat"):
            path = self.work / f"{factory}.index"
            Gallery.build(path, features, factory=factory)
            names = ["index.faiss"] if factory != "Flat" else ["index.faiss", "images.parquet", "manifest.json"]
            for name in names:
                targets[f"{name} ({factory})"] = next(path.rglob(name)), partial(_found, path, features)
        return targets

    @cached_property
    def _known(self) -> dict[str, Any]:
        return {}

    def _expected(self, name: str, read: Callable[[], Any]) -> Any:
        if name not in self._known:
            outcome, self._known[name] = read_in_child(read, self.work / "answer")
            assert outcome == "read", (name, self._known[name])
        return self._known[name]

    def _damaged(self, data: bytes) -> tuple[bytes, str]:
        """Other bytes than these: a flipped bit anywhere or near the beginning, 64 zeros, or a cut."""
        while True:
            spoilt, at = bytearray(data), self.random.randrange(len(data))
            choice = self.random.randrange(5)
            if choice == 0:
                del spoilt[at:]
                how = f"cut to {at} bytes"
            elif choice == 1:
                spoilt[at : at + 64] = bytes(len(spoilt[at : at + 64]))
                how = f"64 zeros at {at}"
            else:
                at = at % 300 if choice == 2 else at
                bit = self.random.randrange(8)
                spoilt[at] ^= 1 << bit
                how = f"bit {bit} of byte {at}"
            if spoilt != data:
                return bytes(spoilt), how


def _result(run: Path) -> dict[str, Any]:
    """What must be the same in two equal runs."""
    files = {file.name: file.read_bytes() for file in sorted(run.glob("*.safetensors"))}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = sorted(path.name for path in (run / "checkpoints").iterdir())
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    return {**files, "lines": [{**line, "images_per_second": 0} for line in lines], "steps": steps, "metrics": metrics}


def _digest(tensors: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()


def _features(file: Path) -> tuple[Any, ...]:
    found = read_features(file)
    ids = found.person_ids.tolist(), found.camera_ids.tolist()
    return found.features.tobytes(), *ids, found.paths.tolist(), found.model


def _found(path: Path, query: FeatureSet) -> bytes:
    found = Gallery.open(path).search(query, 5)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in found)
