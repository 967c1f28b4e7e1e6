"""Times as they are written, ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime


def moment_of(text: str) -> datetime:
    """The moment that a text writes, without a time zone: of one that has one, in UTC.

    Raises `ValueError` for any other text, and for a moment that UTC has no year 1 to 9999 for.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(str(error)) from None


def tidy_time(text: str) -> str:
    """A time as it is kept, with its time zone if it has one; empty for an empty text. Raises as `moment_of`."""
    if not text:
        return ""
    moment_of(text)
    return datetime.fromisoformat(text).isoformat()
