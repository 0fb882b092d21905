"""Reads the logs of asynclogger: records, Arrow batches, partitions for many readers.

>>> import pyasynclogger
>>> for time_ns, position, payload in pyasynclogger.open("/var/log/app"):  # doctest: +SKIP
...     print(time_ns, position.number, payload)
"""

from __future__ import annotations

from typing import Optional

from . import _native
from ._errors import DamageError, Error, NotALogError, ReadError, UnsupportedVersionError
from ._native import Batches, Position, Reader
from ._partition import Partition, Stretch, partitions
from ._paths import Paths, to_list
from ._time import Time, to_ns

__all__ = [
    "Batches",
    "DamageError",
    "Error",
    "NotALogError",
    "Partition",
    "Position",
    "ReadError",
    "Reader",
    "Stretch",
    "UnsupportedVersionError",
    "open",
    "partitions",
]


def open(  # noqa: A001 - the name of what it does, as in gzip.open
    path: Paths,
    *,
    event: Optional[str] = None,
    since: Optional[Time] = None,
    until: Optional[Time] = None,
    by_time: bool = False,
    strict: bool = False,
) -> Reader:
    """Opens logs for reading.

    ``path`` is a directory (all its logs with all their segments), a file (that file alone), or a list of both.
    ``event`` chooses the logs in a directory that ``Reader.events`` shows under that name. ``since`` and ``until`` choose the records that were logged
    at ``since`` or later and before ``until``: nanoseconds since 1970, a datetime or an ISO 8601 text.

    ``by_time`` delivers the records of all threads, segments and logs in one order by time. Without it they come as they
    stand in the files.

    Damage is no exception: every record that survived is delivered, and ``Reader.report()`` has the rest. With
    ``strict``, a ``DamageError`` at the end says that something is damaged, lost or unread.
    """
    return _native.open(
        to_list(path),
        event=event,
        since=to_ns(since),
        until=to_ns(until),
        by_time=by_time,
        strict=strict,
    )
