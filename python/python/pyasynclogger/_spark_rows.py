"""The rows that Spark gets."""

from __future__ import annotations

from typing import Iterator, Optional, Sequence

import pyarrow as pa

from ._arrow import reader_of
from ._partition import Partition

#: The columns in Spark's words: the names are those of the Parquet files that
#: ``asynclogger export`` writes, where ``session`` is text.
SCHEMA = (
    "event string, ts timestamp, ts_ns bigint, session bigint, shard int, seq bigint,"
    " host string, file string, block bigint, payload binary"
)

#: The same in Arrow's words. Spark takes no dictionaries.
_PLAIN = pa.schema(
    [
        ("event", pa.string()),
        ("ts", pa.timestamp("us", tz="UTC")),
        ("ts_ns", pa.int64()),
        ("session", pa.int64()),
        ("shard", pa.int32()),
        ("seq", pa.int64()),
        ("host", pa.string()),
        ("file", pa.string()),
        ("block", pa.int64()),
        ("payload", pa.binary()),
    ]
)

#: Rows of a batch. Spark has a batch in the memory of the Python worker and in its own.
_BATCH_ROWS = 16384


def read_partition(
    partition: Partition, names: Optional[Sequence[str]] = None
) -> Iterator[pa.RecordBatch]:
    """The records of a partition as batches that Spark takes, with the columns of these names."""
    schema = _PLAIN if names is None else pa.schema([_PLAIN.field(name) for name in names])
    with partition.open() as reader:
        for batch in reader_of(reader.to_batches(_BATCH_ROWS)):
            columns = [batch.column(field.name).cast(field.type) for field in schema]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
