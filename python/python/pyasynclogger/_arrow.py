"""What needs pyarrow, which is not needed for anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from ._native import Batches


def pyarrow() -> Any:
    """The module pyarrow."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            "pyarrow is not installed: pip install pyarrow. "
            "polars and duckdb take Reader.to_batches() without pyarrow."
        ) from error
    return pyarrow


def reader_of(batches: Batches) -> pa.RecordBatchReader:
    """The stream as pyarrow's own."""
    return pyarrow().RecordBatchReader.from_stream(batches)


def table_of(batches: Batches) -> pa.Table:
    """All batches of the stream."""
    stream = reader_of(batches)
    found = []
    # A loop of Python, so that KeyboardInterrupt ends it between two batches.
    for batch in stream:
        found.append(batch)
    table = pyarrow().Table.from_batches(found, schema=stream.schema)
    # pyarrow groups by no column whose batches have different dictionaries.
    return table.unify_dictionaries()
