"""The wheel in an environment of its own, outside the checkout: commands, configs and what they print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from reid_dml.shipped import shipped_names
from tests.conftest import REPOSITORY, CommandResult

# No build isolation: nothing is fetched.
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(source: Path, kind: str, folder: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{kind}", folder], cwd=source, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.splitlines()[-1]


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from the sdist, as an index would serve it."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "checkout").mkdir()
    for name in ("reid_dml", "configs", "tools", "examples", "docs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / "checkout" / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder / "checkout")
    with tarfile.open(build(folder / "checkout", "sdist", folder)) as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in Python 3.11.0 to 3.11.3
        archive.extractall(folder / "unpacked", **safely)
    (unpacked,) = (folder / "unpacked").iterdir()
    (folder / "direct").mkdir()
    direct, wheel = build(folder / "checkout", "wheel", folder / "direct"), build(unpacked, "wheel", folder)
    assert contents(direct) == contents(wheel)
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory):
    """A function that runs a program of a fresh environment, in a folder of its own."""
    root = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / "env"], check=True)
    (site,) = (root / "env").glob("lib/python*/site-packages")
    # Dependencies are those of this environment; an editable install in it stays out.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", root / "env" / "bin" / "python", "install", "--no-deps"]
    subprocess.run([*pip, "--no-index", "--quiet", "--disable-pip-version-check", wheel], check=True)
    (root / "here").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"XDG_CACHE_HOME": str(root / "cache"), "HOME": str(root), "OMP_NUM_THREADS": "1"}

    def run(program: str, *arguments: object, **variables: str) -> CommandResult:
        done = subprocess.run(
            [root / "env" / "bin" / program, *map(str, arguments)],
            cwd=root / "here", env=environment | variables, capture_output=True, text=True,
        )  # fmt: skip
        return CommandResult(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="module")
def trained(installed) -> CommandResult:
    small = ("SYNTHETIC.TRAIN_IDENTITIES", 20, "SYNTHETIC.TEST_IDENTITIES", 10, "TEST.TRAIN_ACCURACY", False)
    return installed("reid-dml", "train", "--config", "quickstart", "TRAIN.STEPS", 20, *small)


def test_the_wheel_holds_every_module_config_and_page_and_nothing_else(wheel):
    names = {name for name in contents(wheel) if not name.startswith("reid_dml-")}
    modules = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "reid_dml").rglob("*.py")}
    page = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("static", "templates")
        for path in (REPOSITORY / "reid_dml" / "service" / folder).iterdir()
    }
    assert names == modules | page | {f"reid_dml/configs/{name}.yml" for name in shipped_names()}


def test_a_config_that_comes_along_is_trained(trained):
    assert trained.code == 0, trained.err
    assert "ensemble" in trained.out


def test_its_features_are_indexed_and_searched(installed, trained):
    run = Path("runs") / "quickstart"
    made = installed("reid-dml", "index", "--index", "g.index", "--features", run / "gallery.npz")
    assert made.code == 0, made.err
    found = installed("reid-dml", "search", "--index", "g.index", "--query", run / "query.npz", "--show", 1)
    assert found.code == 0, found.err


def test_the_module_runs_what_the_command_runs(installed):
    assert installed("python", "-m", "reid_dml", "--help").out == installed("reid-dml", "--help").out


def test_version_says_what_a_report_of_a_defect_needs(installed):
    said = installed("reid-dml", "--version").out
    for word in ("reid-dml 0.", f"Python {sys.version.split()[0]}", "torch ", "CUDA", "cpu: ", "[dev] "):
        assert word in said
    assert "revision" not in said.splitlines()[0]  # it is no checkout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trian",), "did you mean 'train'?"),
        (("train", "--config", "configs/quickstart.yml"), "did you mean quickstart, which comes along?"),
        (("search", "--index", "gone", "--query", "x.npz"), "make one with reid-dml index"),
        (("results",), "the pages are drawn in a checkout of the project"),
    ],
)
def test_refusals_name_the_commands_of_this_user(installed, arguments, words):
    assert words in installed("reid-dml", *arguments).error


def test_a_shell_completes_commands_and_options(installed):
    pytest.importorskip("argcomplete")

    def suggestions(line: str) -> list[str]:
        variables = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
        script = "import os; os.dup2(1, 8); os.execv(__import__('sys').argv[1], ['reid-dml'])"
        path = Path(installed("python", "-c", "import sys; print(sys.prefix)").out.strip()) / "bin" / "reid-dml"
        return installed("python", "-c", script, path, **variables).out.replace("\013", "\n").split()

    assert "train" in suggestions("reid-dml tr")
    assert "market_mobilenet_dml" in suggestions("reid-dml train --config market_mobilenet_d")
    assert "--picture" in [re.sub(r"\W+$", "", word) for word in suggestions("reid-dml search --pic")]
