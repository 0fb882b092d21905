from os import PathLike
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, TypedDict, final

import pyarrow

from ._partition import Stretch

class Loss(TypedDict):
    """The number of lost records: exact if both are the same; without a limit if ``at_most`` is None."""

    at_least: int
    at_most: Optional[int]

class Dropped(TypedDict):
    """Records that the logger refused and never wrote, by reason."""

    total: int
    full: int
    busy: int
    too_large: int
    empty: int
    closed: int

class Damage(TypedDict):
    """A damaged part of a file. ``kind`` is as in ``asynclogger verify``."""

    path: PathLike[str]
    offset: int
    len: int
    kind: str
    lost: Loss

class Segment(TypedDict):
    """A file. ``ending`` is clean, open or torn; ``state`` is that of the last session."""

    event: str
    path: PathLike[str]
    segment: int
    records: int
    lost: Loss
    file_bytes: int
    stored_bytes: int
    ending: str
    state: Optional[str]

class Log(TypedDict):
    """A log with all its segments. ``missing_segments`` are runs of numbers, both ends included."""

    event: str
    log_id: Optional[str]
    records: int
    lost: Loss
    dropped: Dropped
    missing_segments: List[Tuple[int, int]]
    unread: List[str]

class Report(TypedDict):
    """What was read so far. It is complete once the end was reached."""

    records: int
    payload_bytes: int
    blocks: int
    skipped_records: int
    salvaged: int
    lost: Loss
    dropped: Dropped
    damage: List[Damage]
    segments: List[Segment]
    logs: List[Log]
    unreadable: List[str]
    whole: bool

@final
class Position:
    """The place of a record in its log: session, shard, and the number of the record in its shard, from 0."""

    session: int
    shard: int
    number: int
    def __new__(cls, session: int, shard: int, number: int) -> Position: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
    def __lt__(self, other: Position) -> bool: ...
    def __le__(self, other: Position) -> bool: ...
    def __gt__(self, other: Position) -> bool: ...
    def __ge__(self, other: Position) -> bool: ...

@final
class Batches:
    """A stream of Arrow batches, which is read once. pyarrow, polars and duckdb take it without a copy."""

    def __arrow_c_stream__(self, requested_schema: Optional[Any] = None) -> Any: ...
    @staticmethod
    def __arrow_c_schema__() -> Any: ...
    def __iter__(self) -> Iterator[pyarrow.RecordBatch]: ...

@final
class Reader:
    """Reads logs once, in one way: iterate over it for records, or take Arrow batches from it.

    A record is a tuple: its time in nanoseconds since 1970 (None in files of the original logger, which have no times),
    its position, its bytes. Several threads may use one reader; each record goes to one of them.
    """

    @property
    def events(self) -> List[str]:
        """The names of the logs that are read."""

    def __iter__(self) -> Reader: ...
    def __next__(self) -> Tuple[Optional[int], Position, bytes]: ...
    def to_batches(self, batch_size: int = 65536) -> Batches:
        """The records as Arrow batches of at most ``batch_size`` rows, and of 64 MiB of payload unless one record is longer."""

    def to_arrow(self, batch_size: int = 65536) -> pyarrow.Table:
        """All records as a table of pyarrow."""

    def report(self) -> Report:
        """What was read so far: records, losses, drops, damage."""

    def close(self) -> None:
        """Closes all files. The report stays."""

    def __enter__(self) -> Reader: ...
    def __exit__(self, *raised: object) -> None: ...

def open(
    paths: Sequence[str],
    *,
    event: Optional[str],
    since: Optional[int],
    until: Optional[int],
    by_time: bool,
    strict: bool,
) -> Reader: ...
def open_parts(
    stretches: Sequence[Stretch], since: Optional[int], until: Optional[int], strict: bool
) -> Reader: ...
def plan(
    paths: Sequence[str],
    *,
    event: Optional[str],
    since: Optional[int],
    until: Optional[int],
    partition_bytes: int,
) -> List[List[Dict[str, Any]]]: ...
