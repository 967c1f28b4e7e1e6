"""What the library says while it works, on the terminal of a command; a Python program handles the logger itself."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from reid_dml.text import ERRORS, printable_lines


class TerminalHandler(logging.Handler):
    """Messages on stdout, warnings and errors on stderr, each below a progress bar that may be there."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            if record.levelno < logging.WARNING:
                write_line(text, sys.stdout)
            else:
                write_line(f"{record.levelname.lower()}: {text}", sys.stderr)
        except Exception:
            self.handleError(record)


def write_line(text: str, stream: TextIO) -> None:
    """Write a line at once, but not into the middle of a progress bar."""
    text = printable_lines(text)
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(text, file=stream)
    else:
        print(text, file=stream)
    stream.flush()


@contextmanager
def on_terminal() -> Iterator[None]:
    """While it lasts, the library's log messages (level INFO and above) and its warnings are lines on the terminal.

    Nor does any character of a file's name make its output fail.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)
    logger, handler = logging.getLogger("reid_dml"), TerminalHandler()
    level, show = logger.level, warnings.showwarning
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    warnings.showwarning = _show_warning
    try:
        yield
    finally:
        warnings.showwarning = show
        logger.setLevel(level)
        logger.removeHandler(handler)


@contextmanager
def quietly() -> Iterator[None]:
    """While it lasts, other libraries' warnings about themselves are not shown."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    if issubclass(category, UserWarning):  # others are for programmers
        write_line(f"warning: {message}", sys.stderr)
