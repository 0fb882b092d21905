"""One order over threads, segments and logs."""

import pyasynclogger

from conftest import SEGMENTED


def test_by_time_is_a_stable_sort_of_everything(writer, tmp_path):
    for name in ("one", "two"):
        writer.bench(tmp_path / f"{name}.log", 20_000, *SEGMENTED, size=64)
    as_written = list(pyasynclogger.open(tmp_path))
    times = [time_ns for time_ns, _, _ in as_written]
    assert times != sorted(times)
    by_time = list(pyasynclogger.open(tmp_path, by_time=True))
    assert len(by_time) == 40_000
    # Equal times come in the order of the logs, as in a stable sort of what is there without by_time.
    assert by_time == sorted(as_written, key=lambda record: record[0])


def test_by_time_gives_the_same_batches(writer, tmp_path):
    writer.bench(tmp_path / "app.log", 20_000, *SEGMENTED, size=64)
    pyarrow = __import__("pytest").importorskip("pyarrow")
    reader = pyasynclogger.open(tmp_path, by_time=True)
    table = reader.to_arrow(batch_size=1000)
    assert isinstance(table, pyarrow.Table)
    found = list(pyasynclogger.open(tmp_path, by_time=True))
    assert table["ts_ns"].to_pylist() == [time_ns for time_ns, _, _ in found]
    assert table["payload"].to_pylist() == [payload for _, _, payload in found]
    # A record that is merged has no block.
    assert table["block"].null_count == 20_000
    report = reader.report()
    assert (report["records"], report["whole"]) == (20_000, True)


def test_by_time_and_a_selection(writer, tmp_path):
    writer.bench(tmp_path / "app.log", 20_000, *SEGMENTED, size=64)
    times = [time_ns for time_ns, _, _ in pyasynclogger.open(tmp_path, by_time=True)]
    first, last = times[5000], times[15000]
    chosen = pyasynclogger.open(tmp_path, by_time=True, since=first, until=last)
    expected = [time_ns for time_ns in times if first <= time_ns < last]
    assert [time_ns for time_ns, _, _ in chosen] == expected
