"""Logs in parts that many processes or machines read, each part once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

from . import _native
from ._native import Reader, Stretch
from ._paths import Paths, to_list
from ._time import Time, to_ns

#: Bytes of records in a partition, unless told otherwise.
PARTITION_BYTES = 64 << 20


@dataclass(frozen=True)
class Partition:
    """A part of logs. It can be pickled; the process that opens it needs the same files under the same paths."""

    stretches: Tuple[Stretch, ...]
    since: Optional[int] = None
    until: Optional[int] = None

    @property
    def payload_bytes(self) -> int:
        """Bytes of the records, as the heads of the blocks say."""
        return sum(stretch.payload_bytes for stretch in self.stretches)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return sum(stretch.blocks for stretch in self.stretches)

    def open(self, *, strict: bool = False) -> Reader:
        """A reader of this part. It raises an error for a file that is gone or cannot be read."""
        return _native.open_parts(list(self.stretches), self.since, self.until, strict)


def partitions(
    path: Paths,
    *,
    event: Optional[str] = None,
    since: Optional[Time] = None,
    until: Optional[Time] = None,
    partition_bytes: int = PARTITION_BYTES,
) -> List[Partition]:
    """Divides logs into partitions of about ``partition_bytes`` bytes of records, split between blocks.

    Only the heads of the blocks are read. All partitions together have each record once that was there at this moment,
    also where a block stands in two segments: then one partition has both.
    """
    first, last = to_ns(since), to_ns(until)
    found = _native.plan(
        to_list(path), event=event, since=first, until=last, partition_bytes=partition_bytes
    )
    return [Partition(tuple(stretches), first, last) for stretches in found]
