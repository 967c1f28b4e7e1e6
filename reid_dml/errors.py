"""The exceptions a user is meant to read, and what is said of others that are not the code's."""

from __future__ import annotations

import errno
import os

from reid_dml.called import as_called
from reid_dml.launched import torchrun_world_size


class UserError(Exception):
    """Something outside the code is wrong: a file, an option, a disk.

    The message is one line that says what was wrong, where (file, key, row) and what to do.
    """


class BusyError(UserError):
    """Another process holds what this one would write into."""


class UnavailableError(UserError):
    """A server does not answer now; the same call may succeed later."""


_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, then run the command again (training: add --resume)",
    errno.EDQUOT: "the disk quota is used up: free some space, then run the command again (training: add --resume)",
    errno.EFBIG: "the file would exceed the size limit set for this process (see `ulimit -f`): raise it",
    errno.EACCES: "no permission: choose another folder or change its permissions",
    errno.EPERM: "not permitted there: choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder: choose another path",
    errno.EISDIR: "this is a folder where a file is expected: name a file",
    errno.ENOENT: "no such file or folder: check the path",
    errno.EEXIST: "a file of this name is in the way: choose another path",
    errno.EMFILE: "too many open files: raise the limit (`ulimit -n`)",
}


def absolute(path: str | os.PathLike[str]) -> str:
    """The path from the root on: what an error shows of a file that is not there, wherever it was looked for."""
    return os.path.abspath(path)


def describe_os_error(error: OSError) -> str:
    """One line for an operating-system error: the file it concerns and what to do about it."""
    name = error.filename2 or error.filename
    where = absolute(os.fsdecode(name)) if isinstance(name, (str, bytes)) else name or "a file"
    return f"{where}: {_REMEDIES.get(error.errno or 0, error.strerror or str(error))}"


def user_message(error: Exception) -> str:
    """What a user is told of an error that is not the code's: the line; empty for a defect of the code."""
    if isinstance(error, (UserError, UserWarning)):  # a warning is an error where Python was told so
        return as_called(str(error))
    if isinstance(error, OSError):
        # Only errors that concern a file or a disk are the user's; a refused connection is not.
        return describe_os_error(error) if error.errno in _REMEDIES or error.filename is not None else ""
    if isinstance(error, (MemoryError, RuntimeError)):
        if _is_out_of_memory(error):
            return (
                "out of memory: lower TRAIN.BATCH_SIZE, TEST.BATCH_SIZE or INPUT.SIZE, set TRAIN.RECOMPUTE True or "
                "DATA.SOURCE streaming, or use smaller networks"
            )
        return _lost_process(error)
    return ""


def _is_out_of_memory(error: Exception) -> bool:
    # torch.OutOfMemoryError is a RuntimeError; its CPU allocator raises a plain one.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)


def _lost_process(error: Exception) -> str:
    """What to say if a message between processes failed because of another one: gloo and NCCL say so in words only."""
    gone = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
    silent = ("Timed out waiting", "timed out", "Application timeout")
    if torchrun_world_size() > 1:
        if any(sign in str(error) for sign in gone):
            return "another process of this command has ended; what it said tells why"
        if any(sign in str(error) for sign in silent):
            return (
                "another process of this command does not answer, stopped or lost with its machine; start the command "
                "again (training: with --resume)"
            )
    return ""
