"""Shared by all tests: tiny data sets and runs, and a way to call the commands."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from yacs.config import CfgNode

from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from reid_dml.ending import run_command
from reid_dml.threads import use_threads

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = """
SCALE: smoke
DATA: {NAME: synthetic, STORED_SIZE: [32, 16]}
SYNTHETIC: {TRAIN_IDENTITIES: 5, TEST_IDENTITIES: 4, CAMERAS: 2, IMAGES_PER_CAMERA: 2}
INPUT: {SIZE: [32, 16]}
COHORT: {NETWORKS: [mobilenet_v1_0.25, mobilenet_v1_0.25], LR: [1.0e-3]}
MODEL: {DROPOUT: 0.1, BN_MOMENTUM: 0.5}
OBJECTIVE: {STRATEGY: dml, LABEL_SMOOTHING: 0.1}
SCHEDULE: {NAME: cosine, WARMUP_STEPS: 2}
EMA: {ENABLED: true, DECAY: 0.9}
TRAIN: {STEPS: 6, BATCH_SIZE: 8, LOG_INTERVAL: 2, CHECKPOINT_INTERVAL: 2}
TEST: {BATCH_SIZE: 16}
"""

# A shell ignores these signals in what it starts in the background (with `nohup` the last), and so would the commands
# that tests start, send them and wait for.
for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)


# Files that take minutes: several processes begin with them, so that none is left with one at the end.
_LONG = ("test_reproduce", "test_distributed", "test_quickstart", "test_real_data", "test_readme", "test_pages",
         "test_commands_of_pages",
         "test_models_page", "test_export", "test_resume", "test_faults", "test_gpu_minutes")  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long files first where pytest-xdist shares the files out."""
    if hasattr(config, "workerinput"):
        places = {name: place for place, name in enumerate(_LONG)}
        items.sort(key=lambda item: places.get(item.path.stem, len(_LONG)))


def launched(processes: str) -> dict[str, str]:
    """Variables that torchrun sets for the first of so many processes."""
    return {"WORLD_SIZE": processes, "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny synthetic data set is drawn, once for all tests."""
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """A config file that trains two small networks in a second."""
    path = tmp_path_factory.mktemp("configs") / "tiny.yml"
    path.write_text(TINY + f"\nTHREADS: 1\nDEVICE: cpu\nOUTPUT_DIR: {path.parent / 'run'}\n")
    path.write_text(path.read_text().replace("NAME: synthetic", f"NAME: synthetic, ROOT: {data_root}"))
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_config: Path) -> Path:
    """The run folder of `tiny_config`; tests must not change it."""
    cfg = load_config(tiny_config)
    train_and_evaluate(cfg)
    return Path(cfg.OUTPUT_DIR)


@pytest.fixture
def make_config(tiny_config: Path, tmp_path: Path) -> Callable[..., CfgNode]:
    """A function from overrides to a tiny config with a run folder of its own."""

    def make(*overrides: str) -> CfgNode:
        return load_config(tiny_config, ["OUTPUT_DIR", str(tmp_path / "run"), *overrides])

    return make


def killed_draft(folder: Path) -> Path:
    """What a process leaves that is killed while it makes a folder."""
    before = set(folder.parent.iterdir())
    words = (
        "import os, pathlib, sys; from reid_dml.files import save_folder\n"
        "save_folder(pathlib.Path(sys.argv[1]), lambda draft: (draft / 'a').touch() or os.kill(os.getpid(), 9))"
    )
    assert subprocess.run([sys.executable, "-c", words, str(folder)], check=False).returncode == -signal.SIGKILL
    (draft,) = set(folder.parent.iterdir()) - before
    return draft


@dataclass
class CommandResult:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a refusal: code 2, a single line, no traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.code == 2, self.err
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., CommandResult]:
    """Run `tools/<name>.py` with arguments, as the shell would, in this process."""

    def run(name: str, *arguments: object) -> CommandResult:
        path = REPOSITORY / "tools" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"tool_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command(module.main)
        out, err = capfd.readouterr()
        return CommandResult(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def behind_the_quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which a much shortened quickstart has run."""
    root, here = tmp_path_factory.mktemp("checkout"), Path.cwd()
    for name in ("tools", "configs", "examples"):
        (root / name).symlink_to(REPOSITORY / name)
    (root / ".venv").symlink_to(sys.prefix)
    (root / "datasets").mkdir()
    os.chdir(root)
    try:
        train_and_evaluate(load_config("quickstart", ["TRAIN.STEPS", "20", "THREADS", "1"]))
    finally:
        os.chdir(here)
    return root


@pytest.fixture(scope="session")
def market_root() -> Path:
    """The folder above the real Market-1501, from REID_DML_DATASETS; the test is skipped without it."""
    root = os.environ.get("REID_DML_DATASETS")
    if not root or not (Path(root) / "Market-1501-v15.09.15").is_dir():
        pytest.skip("REID_DML_DATASETS does not point at a folder with Market-1501-v15.09.15")
    return Path(root)


@pytest.fixture(autouse=True)
def _fixed_threads() -> None:
    use_threads(1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
