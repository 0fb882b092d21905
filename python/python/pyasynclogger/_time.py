"""Times as they are typed, in nanoseconds since 1970."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Optional, Union

#: Nanoseconds since 1970; or a datetime, local time unless it has a zone; or one of both as text (ISO 8601).
Time = Union[int, datetime, str]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def to_ns(time: Optional[Time]) -> Optional[int]:
    """Nanoseconds since 1970."""
    if time is None or (isinstance(time, int) and not isinstance(time, bool)):
        return time
    if isinstance(time, str):
        return _parsed(time)
    if isinstance(time, datetime):
        # Without a zone, astimezone takes local time. Whole numbers: a float has no room for nanoseconds.
        since = time.astimezone(timezone.utc) - _EPOCH
        return since // timedelta(microseconds=1) * 1000
    raise TypeError(f"a time is an int (nanoseconds), a datetime or a str, not {type(time).__name__}")


def _parsed(text: str) -> Optional[int]:
    text = text.strip()
    if text.lstrip("-").isdecimal():
        return int(text)
    # Before Python 3.11, fromisoformat does not know Z.
    zoned = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
    try:
        return to_ns(datetime.fromisoformat(zoned))
    except ValueError:
        raise ValueError(f"{text!r} is neither an ISO 8601 time nor nanoseconds since 1970") from None
