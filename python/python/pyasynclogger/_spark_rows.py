"""The rows that Spark gets."""

from __future__ import annotations

from typing import Iterator, Optional, Sequence

import pyarrow as pa

from ._arrow import reader_of
from ._native import Batches
from ._partition import Partition

#: The columns in Spark's words, as Spark shows those of the Parquet files that ``asynclogger export`` writes.
SCHEMA = (
    "event string, ts timestamp, ts_ns bigint, session string, shard int, seq bigint,"
    " host string, file string, block bigint, payload binary"
)


def _plain(column: pa.DataType) -> pa.DataType:
    """The type of a column for Spark, which takes no dictionaries."""
    return column.value_type if pa.types.is_dictionary(column) else column


#: The same in Arrow's words.
_PLAIN = pa.schema([(field.name, _plain(field.type)) for field in pa.schema(Batches)])

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
