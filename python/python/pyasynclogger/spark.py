"""Logs in Spark.

Spark 4::

    spark.dataSource.register(pyasynclogger.spark.AsyncloggerDataSource)
    spark.read.format("asynclogger").load("/var/log/app").groupBy("event").count()

Spark 3.5, which has no data sources in Python::

    pyasynclogger.spark.read_in_arrow(spark, "/var/log/app").groupBy("event").count()

The paths are local ones, which the driver and all executors see: a disk of this machine with a local cluster, or a
file system that all machines share. Streaming is not supported.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Iterator, List, Optional

from ._partition import PARTITION_BYTES, partitions
from ._spark_rows import SCHEMA, read_partition
from ._time import Time

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from ._paths import Paths
    from ._spark_source import AsyncloggerDataSource

__all__ = ["SCHEMA", "AsyncloggerDataSource", "read_in_arrow"]


def __getattr__(name: str) -> Any:
    if name != "AsyncloggerDataSource":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from ._spark_source import AsyncloggerDataSource
    except ImportError as error:
        raise ImportError(
            "a data source needs pyspark 4.0 or later with pyarrow; "
            "with pyspark 3.5, call pyasynclogger.spark.read_in_arrow"
        ) from error
    return AsyncloggerDataSource


def read_in_arrow(
    spark: SparkSession,
    path: Paths,
    *,
    event: Optional[str] = None,
    since: Optional[Time] = None,
    until: Optional[Time] = None,
    partition_bytes: int = PARTITION_BYTES,
) -> DataFrame:
    """The records of logs as a DataFrame, by ``mapInArrow``: the same rows as the data source has, for Spark 3.5.

    The partitions are made now, by the driver; each is read by one task.
    """
    found = partitions(
        path, event=event, since=since, until=until, partition_bytes=partition_bytes
    )
    if not found:
        return spark.createDataFrame([], SCHEMA)
    rows = [(bytearray(pickle.dumps(partition)),) for partition in found]
    # One row a slice: a task for each partition.
    parallel = spark.sparkContext.parallelize(rows, len(rows))
    return spark.createDataFrame(parallel, "part binary").mapInArrow(_read_rows, SCHEMA)


def _read_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        parts: List[bytes] = batch.column(0).to_pylist()
        for part in parts:
            yield from read_partition(pickle.loads(part))
