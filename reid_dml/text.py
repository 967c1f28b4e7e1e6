"""Names of files as text: such that a terminal cannot be harmed by them, and such that every file format takes them.

On Linux a name is any bytes; Python keeps those that are no UTF-8 as lone surrogates, which no UTF-8 file can hold.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

_AMBIGUOUS = re.compile(r"\\(?=x(?:[89a-f][0-9a-f]|5c))")
_SURROGATE = re.compile("[\udc80-\udcff]")
_ESCAPE = re.compile(r"\\x([89a-f][0-9a-f]|5c)")
# Control characters, lone surrogates, and what turns the direction of writing or breaks lines.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: object) -> str:
    r"""Text for terminals, pages and pictures: control characters as \x1b, bytes that are no UTF-8 as \xe9."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if _is_unprintable(char) else char for char in text)


def printable_lines(text: str) -> str:
    """The same of text of several lines, which stay lines."""
    return "\n".join(map(printable, text.split("\n")))


def small_number(text: str) -> int | None:
    """The number that a text of 1 to 18 digits writes; None for any other text. `int` refuses very many digits."""
    return int(text) if text.isdecimal() and len(text) <= 18 else None


def is_utf8(name: str) -> bool:
    """Whether a name can be written in UTF-8 as it is."""
    return not _SURROGATE.search(name)


def is_name(text: str) -> bool:
    """Whether a file can be called so: no zero, and no surrogates but those of bytes that are no UTF-8."""
    try:
        return b"\0" not in text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False


def to_utf8(name: str) -> str:
    r"""A name that UTF-8 can encode, for files: its bytes that are no UTF-8 as \xe9; others stay as they are."""
    if not _SURROGATE.search(name):
        return _AMBIGUOUS.sub(r"\\x5c", name) if "\\x" in name else name
    return _SURROGATE.sub(lambda match: _escaped(match[0]), _AMBIGUOUS.sub(r"\\x5c", name))


def from_utf8(text: str) -> str:
    """The name that `to_utf8` was given."""
    return _ESCAPE.sub(_unescaped, text) if "\\x" in text else text


def _is_unprintable(char: str) -> bool:
    return unicodedata.category(char) in _UNPRINTABLE or char in _BIDIRECTIONAL


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return chr(0xDC00 + code) if code >= 0x80 else chr(code)


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escaped, error.object[error.start : error.end])), error.end


# The way in which files and terminals are written: no name makes them fail.
ERRORS = "reid_dml.printable"
codecs.register_error(ERRORS, _escape_unencodable)
