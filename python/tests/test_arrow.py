"""Arrow batches, and what takes them."""

import datetime
import sys

import pytest

import pyasynclogger

from conftest import numbered

pa = pytest.importorskip("pyarrow")

NAMES = ["event", "ts", "ts_ns", "session", "shard", "seq", "host", "file", "block", "payload"]


def test_the_columns_are_those_of_the_records(segmented):
    directory, records = segmented
    table = pyasynclogger.open(directory).to_arrow()
    table.validate(full=True)
    assert table.column_names == NAMES
    found = list(pyasynclogger.open(directory))
    assert table["payload"].to_pylist() == [payload for _, _, payload in found]
    assert table["ts_ns"].to_pylist() == [time_ns for time_ns, _, _ in found]
    assert table["seq"].to_pylist() == [position.number for _, position, _ in found]
    assert table["shard"].to_pylist() == [position.shard for _, position, _ in found]
    sessions = [f"{position.session:016x}" for _, position, _ in found]
    assert table["session"].to_pylist() == sessions
    assert table["event"].unique().to_pylist() == ["app"]
    assert set(table["file"].unique().to_pylist()) == set(map(str, directory.glob("*.log")))
    assert table["host"].null_count == len(records)
    micros = [time_ns // 1000 for time_ns, _, _ in found]
    assert table["ts"].cast(pa.int64()).to_pylist() == micros
    assert table["ts"].type == pa.timestamp("us", tz="UTC")
    assert table["ts"][0].as_py().tzinfo is not None


def test_a_batch_has_no_more_rows_than_asked_for(segmented):
    directory, records = segmented
    for size in (1, 999, 10**6):
        rows = [batch.num_rows for batch in pyasynclogger.open(directory).to_batches(size)]
        assert sum(rows) == len(records)
        assert max(rows) == min(size, len(records))
        # All but the last are full.
        assert set(rows[:-1]) <= {size}
    with pytest.raises(ValueError, match="batch_size"):
        pyasynclogger.open(directory).to_batches(0)


def test_a_stream_is_taken_once(small):
    directory, _ = small
    reader = pyasynclogger.open(directory)
    batches = reader.to_batches()
    assert pa.schema(batches).names == NAMES
    assert pa.table(batches).num_rows == 1000
    with pytest.raises(ValueError, match="taken already"):
        pa.table(batches)
    with pytest.raises(ValueError, match="open another"):
        reader.to_batches()
    assert reader.report()["records"] == 1000


def test_no_record_makes_a_table_without_rows(writer, tmp_path):
    writer.lines(tmp_path / "app.log", [])
    table = pyasynclogger.open(tmp_path).to_arrow()
    assert (table.num_rows, table.column_names) == (0, NAMES)


def test_batches_of_many_events_have_the_right_names(writer, tmp_path):
    counts = {f"event-{index:02}": 10 + index for index in range(20)}
    records = [(event, b"%d" % n) for event, count in counts.items() for n in range(count)]
    writer.events(tmp_path, records)
    table = pyasynclogger.open(tmp_path).to_arrow(batch_size=7)
    counted = table.group_by("event").aggregate([("seq", "count")]).to_pylist()
    assert {row["event"]: row["seq_count"] for row in counted} == counts
    pairs = zip(table["event"].to_pylist(), table["payload"].to_pylist())
    assert sorted(pairs) == sorted(records)


def test_polars_takes_the_stream(segmented):
    polars = pytest.importorskip("polars")
    directory, records = segmented
    frame = polars.DataFrame(pyasynclogger.open(directory).to_batches())
    assert frame.shape == (len(records), len(NAMES))
    assert sorted(frame["payload"].to_list()) == records
    assert frame["event"].cast(polars.String).unique().to_list() == ["app"]
    assert frame["ts"].dtype == polars.Datetime("us", "UTC")


def test_duckdb_takes_the_stream(segmented):
    duckdb = pytest.importorskip("duckdb")
    directory, records = segmented
    batches = pyasynclogger.open(directory).to_batches()
    with duckdb.connect() as connection:
        connection.register("logs", batches)
        counted = connection.sql(
            "select event::varchar, count(*), sum(octet_length(payload))::bigint, min(ts) from logs group by 1"
        )
        [(event, rows, size, first)] = counted.fetchall()
    assert (event, rows, size) == ("app", len(records), 64 * len(records))
    assert abs(datetime.datetime.now(datetime.timezone.utc) - first) < datetime.timedelta(hours=1)


def test_without_pyarrow_an_error_says_so(small, monkeypatch):
    directory, _ = small
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    reader = pyasynclogger.open(directory)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        reader.to_arrow()
    # The reader was not used up.
    assert sum(1 for _ in reader) == 1000


def test_long_records_make_batches_by_bytes(writer, tmp_path):
    records = numbered(300, 1 << 20)
    writer.lines(tmp_path / "app.log", records)
    batches = list(pyasynclogger.open(tmp_path).to_batches())
    assert len(batches) == 5
    assert max(batch["payload"].nbytes for batch in batches) <= (64 << 20) + 65 * 4
    assert sum(batch.num_rows for batch in batches) == 300
