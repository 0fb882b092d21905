"""The data source of Spark 4."""

from __future__ import annotations

from typing import Iterator, List, Optional, Sequence

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import StructType

from ._partition import PARTITION_BYTES, Partition, partitions
from ._spark_rows import SCHEMA, read_partition

#: The options, by the names that Spark gives them: in small letters.
_OPTIONS = {"path", "event", "since", "until", "partitionbytes"}


class LogPartition(InputPartition):
    """A part of logs, which one task reads."""

    def __init__(self, value: Partition) -> None:
        super().__init__(value)


class LogReader(DataSourceReader):
    """Divides logs on the driver and reads the partitions on executors."""

    def __init__(self, options: dict, names: Sequence[str]) -> None:
        self._options = options
        self._names = list(names)

    def partitions(self) -> List[InputPartition]:
        """The parts of the logs, split between blocks. Only heads of blocks are read."""
        found = partitions(
            self._options["path"],
            event=self._options.get("event"),
            since=self._options.get("since"),
            until=self._options.get("until"),
            partition_bytes=_bytes(self._options.get("partitionbytes")),
        )
        return [LogPartition(partition) for partition in found]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """The rows of one part."""
        # Where there is no partition, Spark makes one of its own, without a value.
        if partition.value is None:
            return iter(())
        return read_partition(partition.value, self._names)


class AsyncloggerDataSource(DataSource):
    """Logs as a table.

    ``load`` takes a directory or a file. Options: ``event``, ``since``, ``until`` (ISO 8601, or nanoseconds since 1970),
    ``partitionBytes``. A schema with some of the columns reads only these.
    """

    @classmethod
    def name(cls) -> str:
        """The name for ``format``."""
        return "asynclogger"

    def schema(self) -> str:
        """All columns."""
        return SCHEMA

    def reader(self, schema: StructType) -> DataSourceReader:
        """A reader of these columns."""
        options = {name.lower(): value for name, value in self.options.items()}
        unknown = sorted(set(options) - _OPTIONS)
        if unknown:
            raise ValueError(f"unknown options of format asynclogger: {', '.join(unknown)}")
        if "path" not in options:
            raise ValueError("format asynclogger needs a path: load(directory)")
        self._check(schema)
        return LogReader(options, schema.fieldNames())

    @staticmethod
    def _check(schema: StructType) -> None:
        full = StructType.fromDDL(SCHEMA)
        for field in schema.fields:
            if field.name not in full.fieldNames():
                raise ValueError(f"there is no column {field.name!r}; the columns are: {SCHEMA}")
            own = full[field.name].dataType
            if field.dataType != own:
                raise ValueError(f"the column {field.name!r} has the type {own.simpleString()}")


def _bytes(text: Optional[str]) -> int:
    if text is None:
        return PARTITION_BYTES
    if not text.strip().isdecimal() or int(text) == 0:
        raise ValueError(f"partitionBytes is a number of bytes, not {text!r}")
    return int(text)
