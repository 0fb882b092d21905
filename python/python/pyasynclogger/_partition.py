"""Logs in parts that many processes or machines read, each part once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

from . import _native
from ._native import Reader
from ._paths import Paths, to_list
from ._time import Time, to_ns

#: Bytes of records in a partition, unless told otherwise.
PARTITION_BYTES = 64 << 20


@dataclass(frozen=True)
class Stretch:
    """A stretch of the blocks of one log, in one segment or in several that follow each other."""

    #: The name of the log.
    event: str
    #: The id of the log; None for a file of the original logger.
    log_id: Optional[str]
    #: The number of each segment, and its file.
    segments: List[Tuple[int, Path]]
    #: The offset of the block before the first one, in the first segment.
    after: Optional[int]
    #: The segment and the offset of the last block.
    last: Tuple[int, int]
    #: Blocks, with those that are passed over since they are not selected or stand in two segments.
    blocks: int
    #: Bytes of the records, as the heads of the blocks say.
    payload_bytes: int


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
        """A reader of this part. It raises an error for a file that is gone or cannot be read.

        ``strict`` is about what this reader meets: also damage before this part in the same file. A block of which
        nothing is left is in no part. Whether logs are whole, ``pyasynclogger.open`` says.
        """
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
    return [
        Partition(tuple(Stretch(**fields) for fields in stretches), first, last)
        for stretches in found
    ]
