"""What libjpeg says of a damaged file that it decodes nevertheless, with something in place of the missing part.

It says so on the standard error of C alone, without the name of the file, and OpenCV does not pass it on. Here C's
`stderr` is a file in memory while images are decoded; what another part of the process writes there meanwhile is sent
on. That costs a good file some microseconds. Where the C library has no such variable, nothing is heard.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading

import cv2
import numpy as np

_FROM_LIBJPEG = re.compile(r"Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|Invalid SOS")


class DecoderMessages:
    """Decodes images and tells what was said of each, however many threads decode."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._active = 0  # threads that decode
        try:
            library = ctypes.CDLL(None)
            self._stderr = ctypes.c_void_p.in_dll(library, "stderr")
            self._usual = self._stderr.value
            self._memory = os.memfd_create("decoder messages")
            library.fdopen.restype, library.fdopen.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_char_p]
            library.setvbuf.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
            self._file = library.fdopen(self._memory, b"w")
            library.setvbuf(self._file, None, 2, 0)  # no buffer
            self._hears = bool(self._usual and self._file)
        except (AttributeError, OSError, ValueError):
            self._hears = False

    def decode(self, data: bytes) -> tuple[np.ndarray | None, str]:
        """The image (H, W, 3) uint8 BGR, None where there is none, and what libjpeg says of it.

        Raises `cv2.error` where OpenCV does.
        """
        if not self._hears:
            return _decode(data), ""
        with self._changed:
            self._active += 1
            self._stderr.value = self._file
        before = os.lseek(self._memory, 0, os.SEEK_CUR)
        try:
            image = _decode(data)
        finally:
            with self._changed:
                spoken = os.lseek(self._memory, 0, os.SEEK_CUR) != before
                self._active -= 1
                if not self._active:
                    self._stderr.value = self._usual
                    self._changed.notify_all()
        return image, self._said_of(data) if spoken else ""

    def _said_of(self, data: bytes) -> str:
        """What is said of one image, decoded again while no other thread decodes."""
        with self._changed:
            self._changed.wait_for(lambda: not self._active, timeout=10)  # a thread that was interrupted never ends
            before = os.lseek(self._memory, 0, os.SEEK_CUR)
            self._stderr.value = self._file
            try:
                _decode(data)
            finally:
                self._stderr.value = self._usual
                text = os.pread(self._memory, os.lseek(self._memory, 0, os.SEEK_CUR), 0)
                os.ftruncate(self._memory, 0)
                os.lseek(self._memory, 0, os.SEEK_SET)
            foreign = [line for line in text.decode(errors="replace").splitlines() if not _FROM_LIBJPEG.match(line)]
            if foreign:
                os.write(2, ("\n".join(foreign) + "\n").encode())
            lines = text[before:].decode(errors="replace").splitlines()
        return "; ".join(line for line in lines if _FROM_LIBJPEG.match(line))


def _decode(data: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
