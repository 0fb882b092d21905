"""Spark, with two executors that are processes of their own."""

import os
import shutil
import sys
from collections import Counter

import pytest

import pyasynclogger

from conftest import SEGMENTED, numbered

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    if not shutil.which("java") and "JAVA_HOME" not in os.environ:
        pytest.skip("java is not installed")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        sql.SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.executor.cores", "1")
        .config("spark.executorEnv.PYTHONPATH", os.pathsep.join(sys.path))
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    if hasattr(session, "dataSource"):
        from pyasynclogger.spark import AsyncloggerDataSource

        session.dataSource.register(AsyncloggerDataSource)
    yield session
    session.stop()


@pytest.fixture(scope="module")
def events(writer, tmp_path_factory):
    """Three events in many blocks, and how many records each has."""
    directory = tmp_path_factory.mktemp("events")
    counts = {"search": 20_000, "rank-v1": 15_000, "a/b": 5_000}
    names = [event for event, count in counts.items() for _ in range(count)]
    records = list(zip(names, numbered(len(names))))
    writer.events(directory, records, *SEGMENTED)
    return directory, counts, records


def loaded(spark, directory, **options):
    if not hasattr(spark, "dataSource"):
        pytest.skip("this pyspark has no data sources in Python")
    reader = spark.read.format("asynclogger").options(**options)
    return reader.load(str(directory))


def counted(frame):
    return {row["event"]: row["count"] for row in frame.groupBy("event").count().collect()}


def test_counts_are_exact_for_each_event_over_two_executors(spark, events):
    from pyspark.sql import functions

    directory, counts, records = events
    frame = loaded(spark, directory, partitionBytes="200000")
    assert frame.rdd.getNumPartitions() > 4
    assert counted(frame) == counts
    pairs = [(row["event"], bytes(row["payload"])) for row in frame.select("event", "payload").collect()]
    assert Counter(pairs) == Counter(records)
    places = frame.select("event", "session", "shard", "seq").distinct().count()
    assert places == len(records)
    # Both executors have read.
    processes = spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
    assert processes == 2
    early = frame.agg(functions.min("ts"), functions.count("ts_ns")).collect()[0]
    assert early[0].year >= 2024 and early[1] == len(records)


def test_the_schema_is_the_promised_one(spark, events):
    directory, _, _ = events
    types = [(field.name, field.dataType.simpleString()) for field in loaded(spark, directory).schema]
    assert types == [
        ("event", "string"),
        ("ts", "timestamp"),
        ("ts_ns", "bigint"),
        ("session", "string"),
        ("shard", "int"),
        ("seq", "bigint"),
        ("host", "string"),
        ("file", "string"),
        ("block", "bigint"),
        ("payload", "binary"),
    ]


def test_options_choose_an_event_and_times(spark, events):
    directory, counts, _ = events
    assert counted(loaded(spark, directory, event="rank-v1")) == {"rank-v1": counts["rank-v1"]}
    times = sorted(time_ns for time_ns, _, _ in pyasynclogger.open(directory))
    since, until = times[1000], times[31_000]
    expected = sum(since <= time_ns < until for time_ns in times)
    chosen = loaded(spark, directory, since=str(since), until=str(until), partitionBytes="300000")
    assert chosen.count() == expected
    assert loaded(spark, directory, until="2020-01-01T00:00:00Z").count() == 0


def test_a_schema_takes_some_of_the_columns(spark, events):
    directory, _, records = events
    frame = spark.read.format("asynclogger").schema("seq bigint, payload binary").load(str(directory))
    assert frame.columns == ["seq", "payload"]
    assert sum(len(row["payload"]) for row in frame.collect()) == 64 * len(records)


def test_wrong_options_are_refused(spark, events):
    directory, _, _ = events
    for options in ({"evnet": "search"}, {"partitionBytes": "64m"}, {"since": "soon"}):
        with pytest.raises(Exception, match="unknown options|number of bytes|ISO 8601"):
            loaded(spark, directory, **options).count()


def test_the_way_of_spark_3_has_the_same_rows(spark, events):
    from pyasynclogger.spark import read_in_arrow

    directory, counts, records = events
    frame = read_in_arrow(spark, directory, partition_bytes=200_000)
    assert frame.rdd.getNumPartitions() > 4
    assert counted(frame) == counts
    assert Counter(bytes(row["payload"]) for row in frame.collect()) == Counter(
        payload for _, payload in records
    )
    nothing = read_in_arrow(spark, directory, until="2020-01-01T00:00:00Z")
    assert (nothing.count(), nothing.columns) == (0, frame.columns)


def test_files_may_be_compressed_since_the_plan_but_not_deleted(spark, writer, tmp_path):
    from pyasynclogger.spark import read_in_arrow

    records = numbered(40_000)
    writer.lines(tmp_path / "app.log", records, *SEGMENTED)
    plain = set(tmp_path.glob("*.log"))
    # This way makes the parts at once.
    frame = read_in_arrow(spark, tmp_path, partition_bytes=200_000)
    writer.lines(tmp_path / "app.log", numbered(20_000), *SEGMENTED, "--compress", "zstd")
    compressed = set(tmp_path.glob("*.zst"))
    assert len(compressed) >= len(plain)
    assert Counter(bytes(row["payload"]) for row in frame.collect()) == Counter(records)
    for path in compressed:
        path.unlink()
    with pytest.raises(Exception, match="cannot open"):
        frame.count()
