"""What the library logs: on the terminal while a command runs, and nowhere unless a program asks for it."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest
from tqdm import tqdm

from reid_dml.ending import run_command

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
