"""What the library logs: on the terminal while a command runs, and nowhere unless a program asks for it."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import pytest
from tqdm import tqdm

from reid_dml.ending import run_command
from tests.conftest import REPOSITORY

logger = logging.getLogger("reid_dml.somewhere")


def say() -> None:
    logger.debug("a detail")
    logger.info("10 images decoded")
    logger.warning("the disk is slow")
    warnings.warn("no gt_bbox", stacklevel=1)
    warnings.warn("for programmers", DeprecationWarning, stacklevel=1)


def test_a_command_shows_messages_on_stdout_and_warnings_on_stderr(capsys):
    warnings.simplefilter("always")  # Python shows a warning of the same place once; pytest restores this
    for _ in range(2):  # a second command in the same process says everything once, too
        with pytest.raises(SystemExit):
            run_command(say)
        out, err = capsys.readouterr()
        assert out == "10 images decoded\n"
        assert err == "warning: the disk is slow\nwarning: no gt_bbox\n"
    logger.info("nobody listens")
    assert capsys.readouterr() == ("", "")


def test_messages_stand_above_a_progress_bar(capsys):
    def work() -> None:
        with tqdm(total=2, desc="decoding", file=sys.stderr, mininterval=0) as bar:
            bar.update()
            bar.refresh()
            logger.warning("the disk is slow")

    with pytest.raises(SystemExit):
        run_command(work)
    text = capsys.readouterr().err
    assert "\rwarning: the disk is slow\n" in text or "\nwarning: the disk is slow\n" in text
    line = next(line for line in text.splitlines() if "the disk is slow" in line)
    assert line.rpartition("\r")[2] == "warning: the disk is slow"


PRINTING = "import sys; from reid_dml.ending import run_command; run_command(lambda: print('x' * int(sys.argv[1])))"


@pytest.mark.parametrize("length", [10, 1_000_000])  # written at the end, and at once
def test_a_reader_that_has_gone_ends_a_command_without_a_word(length):
    words = f'"{sys.executable}" -c "{PRINTING}" {length} | true; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert (done.stdout, done.stderr) == ("141\n", "")  # as of a process that SIGPIPE ended


@pytest.mark.parametrize(
    "before", ["WORLD_SIZE= RANK=", "WORLD_SIZE=auto LOCAL_WORLD_SIZE=x", "WORLD_SIZE=2", "RANK=1 LOCAL_RANK=1"]
)
def test_variables_that_torchrun_did_not_set_do_not_matter(before):
    words = f'{before} "{sys.executable}" -c "{PRINTING}" 3'
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "xxx\n", "")


def test_a_command_may_be_started_without_an_output():
    words = f'"{sys.executable}" -c "{PRINTING}" 3 >&-'
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.returncode, done.stderr) == (0, "")
