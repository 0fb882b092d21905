"""Logs in parts for many readers: each record in one part."""

import pickle
import shutil
import subprocess
import sys
from collections import Counter

import pytest

import pyasynclogger

from conftest import SEGMENTED, numbered


def payloads(partitions):
    return [payload for partition in partitions for _, _, payload in partition.open()]


@pytest.mark.parametrize("size", [1, 100_000, 300_000, 10**9])
def test_all_parts_together_have_each_record_once(segmented, size):
    directory, records = segmented
    partitions = pyasynclogger.partitions(directory, partition_bytes=size)
    assert sorted(payloads(partitions)) == records
    assert sum(partition.payload_bytes for partition in partitions) == 64 * len(records)
    assert (len(partitions) == 1) == (size == 10**9)
    for partition in partitions:
        # No more than a block above the bound.
        assert partition.payload_bytes <= size or partition.blocks == 1


def test_a_compressed_log_is_divided_in_the_same_way(writer, tmp_path):
    records = numbered(40_000)
    writer.lines(tmp_path / "app.log", records, *SEGMENTED, "--compress", "zstd")
    assert list(tmp_path.glob("*.zst"))
    partitions = pyasynclogger.partitions(tmp_path, partition_bytes=200_000)
    assert len(partitions) > 10
    assert sorted(payloads(partitions)) == records


def test_small_logs_share_a_part(writer, tmp_path):
    records = [(f"event-{n % 50}", b"%d" % n) for n in range(1000)]
    writer.events(tmp_path, records)
    [partition] = pyasynclogger.partitions(tmp_path)
    assert len(partition.stretches) == 50
    table = partition.open().to_arrow() if _has_pyarrow() else None
    if table is not None:
        assert Counter(table["event"].to_pylist()) == Counter(event for event, _ in records)
    [one] = pyasynclogger.partitions(tmp_path, event="event-7")
    assert [stretch.event for stretch in one.stretches] == ["event-7"]
    assert len(payloads([one])) == 20


def _has_pyarrow():
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


def test_times_choose_blocks_and_records(segmented):
    directory, _ = segmented
    times = sorted(time_ns for time_ns, _, _ in pyasynclogger.open(directory))
    first, last = times[10_000], times[12_000]
    chosen = pyasynclogger.partitions(
        directory, since=first, until=last, partition_bytes=100_000
    )
    every = pyasynclogger.partitions(directory, partition_bytes=100_000)
    assert 0 < len(chosen) < len(every) / 2
    expected = sum(first <= time_ns < last for time_ns in times)
    assert len(payloads(chosen)) == expected
    assert pyasynclogger.partitions(directory, until="2020-01-01T00:00:00Z") == []


def test_a_part_can_be_read_by_another_process(segmented):
    directory, records = segmented
    partitions = pyasynclogger.partitions(directory, partition_bytes=1_000_000)
    code = (
        "import pickle, sys\n"
        "partition = pickle.load(sys.stdin.buffer)\n"
        "sys.stdout.buffer.write(b''.join(payload for _, _, payload in partition.open()))"
    )
    found = b""
    for partition in partitions:
        assert pickle.loads(pickle.dumps(partition)) == partition
        run = [sys.executable, "-c", code]
        found += subprocess.run(run, input=pickle.dumps(partition), stdout=-1, check=True).stdout
    assert sorted(found[at : at + 64] for at in range(0, len(found), 64)) == records


def test_files_that_were_renamed_since_are_found(segmented, tmp_path):
    directory, records = segmented
    shutil.copytree(directory, tmp_path / "logs")
    partitions = pyasynclogger.partitions(tmp_path / "logs", partition_bytes=1_000_000)
    for index, path in enumerate((tmp_path / "logs").glob("*.log")):
        path.rename(path.with_name(f"renamed-{index}.log"))
    assert sorted(payloads(partitions)) == records


def test_a_file_that_is_gone_is_an_error(segmented, tmp_path):
    directory, _ = segmented
    shutil.copytree(directory, tmp_path / "logs")
    partitions = pyasynclogger.partitions(tmp_path / "logs", partition_bytes=1_000_000)
    [gone, *_] = (tmp_path / "logs").glob("app_*.log")
    gone.unlink()
    [failing] = [part for part in partitions if part.stretches[0].segments[0][1] == gone][:1]
    with pytest.raises(pyasynclogger.ReadError) as raised:
        failing.open()
    assert raised.value.path == gone


def test_damage_costs_the_same_records_as_in_one_reader(segmented, tmp_path):
    directory, records = segmented
    shutil.copytree(directory, tmp_path / "logs")
    for path in (tmp_path / "logs").glob("*.log"):
        data = bytearray(path.read_bytes())
        for place in range(1, 4):
            at = len(data) * place // 4
            data[at : at + 5000] = b"\xff" * 5000
        path.write_bytes(data)
    whole = [payload for _, _, payload in pyasynclogger.open(tmp_path / "logs")]
    assert len(whole) < len(records)
    for size in (1, 300_000):
        partitions = pyasynclogger.partitions(tmp_path / "logs", partition_bytes=size)
        assert Counter(payloads(partitions)) == Counter(whole)


def test_what_is_written_later_is_not_in_the_parts(writer, tmp_path):
    writer.lines(tmp_path / "app.log", numbered(100))
    partitions = pyasynclogger.partitions(tmp_path)
    writer.lines(tmp_path / "app.log", numbered(50))
    assert len(payloads(partitions)) == 100
    assert len(payloads(pyasynclogger.partitions(tmp_path))) == 150
