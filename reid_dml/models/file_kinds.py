"""What a file that should hold weights is instead, by its first bytes: a web page, a pointer, an archive, a text."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

_LOOKED_AT = 4096  # bytes
_FETCH = "fetch it again and look at what arrives"
# First bytes of files that take the place of weights.
_SIGNATURES = (
    (b"\x1f\x8b", "a gzip archive", "unpack it and name the weights file inside"),
    (b"BZh", "a bzip2 archive", "unpack it and name the weights file inside"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it and name the weights file inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and name the weights file inside"),
    (b"Rar!", "a RAR archive", "unpack it and name the weights file inside"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras or MATLAB)", "save its tensors with torch.save or safetensors"),
    (b"\x93NUMPY", "a NumPy array", "save named tensors with torch.save or safetensors"),
    (b"%PDF", "a PDF document", _FETCH),
    (b"\x89PNG", "a picture", "name a weights file"),
    (b"\xff\xd8\xff", "a picture", "name a weights file"),
)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins like safetensors: the length of a header (8 bytes), and the header, which is JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 2**30


def foreign_kind(path: Path) -> str:
    """What a file is that is no weights file, and what to do about it; empty where it may be one."""
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself; run `git lfs pull` where it was cloned, or download the file"
    if re.match(rb"<(!doctype|html|head|body|\?xml)", start, re.IGNORECASE):
        title = re.search(rb"<title[^>]*>([^<]{1,80})", start, re.IGNORECASE)
        named = f" ({' '.join(title[1].decode('utf-8', 'replace').split())!r})" if title else ""
        return f"a web page{named}, not weights: the download failed; {_FETCH}"
    for signature, kind, remedy in _SIGNATURES:
        if head.startswith(signature):
            return f"{kind}, not weights; {remedy}"
    if head[257:262] == b"ustar":
        return "a tar archive, not weights; unpack it and name the weights file inside"
    if head.startswith(b"PK"):
        return _kind_of_zip(path)
    if not head.strip(b"\x00"):
        return f"only zeros in its first {len(head):,} bytes: the download or copy did not end; {_FETCH}"
    return _kind_of_text(head)


def _kind_of_zip(path: Path) -> str:
    """Of a zip file, which torch's own files are, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return ""  # perhaps a torch file that was cut off
    parts = {name.rsplit("/", 1)[-1] for name in names}
    if "constants.pkl" in parts:
        return "a TorchScript program, not weights; in Python save torch.jit.load(path).state_dict() with torch.save"
    if "data.pkl" in parts:
        return ""
    first = ", ".join(repr(name[:60]) for name in names[:3])
    if all(name.endswith(".npy") for name in names):
        return f"a NumPy .npz file ({first}), not weights; save named tensors with torch.save or safetensors"
    return f"a zip archive of other files ({first}), not weights; unpack it and name the weights file inside"


def _kind_of_text(head: bytes) -> str:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not just a character cut in two
            return ""
        text = head[: error.start].decode("utf-8")
    if any(not character.isprintable() and character not in "\t\r\n\f\x1b" for character in text):
        return ""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f"a text ({line[:60]!r}), not weights; {_FETCH}"
