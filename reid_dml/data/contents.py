"""A fingerprint of what training images show, beside their names: were they replaced while a run was interrupted?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from reid_dml.data.records import ImageRecord

_READ = 256 << 20  # bytes that are read of all images together: some tenths of a second


def contents_fingerprint(records: Sequence[ImageRecord]) -> str:
    """SHA-256 of the sizes of all images and the contents of as many, evenly spread, as make 256 MiB.

    The contents of most data sets for re-identification are read whole. Files that are not there count as empty: who
    reads the images says so.
    """
    digest, sizes = sha256(), [_size(record) for record in records]
    digest.update(np.array(sizes, np.int64).tobytes())
    stride = max(1, -(-sum(sizes) // _READ))
    for record in records[::stride]:
        digest.update(_content(record))
    return digest.hexdigest()


def _size(record: ImageRecord) -> int:
    if record.pixels is not None:
        return record.pixels.nbytes
    try:
        return os.stat(record.path).st_size
    except OSError:
        return 0


def _content(record: ImageRecord) -> bytes:
    if record.pixels is not None:
        return record.pixels.tobytes()
    try:
        return Path(record.path).read_bytes()
    except OSError:
        return b""
