"""Records one by one."""

import datetime
import pickle
import signal
import sys
import threading
import time
from collections import Counter

import pytest

import pyasynclogger
from file_format import with_version

from conftest import SEGMENTED, numbered


def payloads(reader):
    return [payload for _, _, payload in reader]


def test_every_record_comes_back_once_and_in_its_order(small):
    directory, records = small
    before = time.time_ns() - 60 * 10**9
    with pyasynclogger.open(directory) as reader:
        assert reader.events == ["app"]
        found = list(reader)
        report = reader.report()
    assert [payload for _, _, payload in found] == records
    assert [position.number for _, position, _ in found] == list(range(1000))
    assert all(before < time_ns < time.time_ns() for time_ns, _, _ in found)
    assert (report["records"], report["payload_bytes"], report["whole"]) == (1000, 64_000, True)
    assert report["lost"] == {"at_least": 0, "at_most": 0}
    assert report["dropped"]["total"] == 0
    assert [segment["records"] for segment in report["segments"]] == [1000]
    assert report["segments"][0]["state"] == "closed"


def test_a_position_is_a_value(small):
    directory, _ = small
    (_, first, _), (_, second, _), *_ = pyasynclogger.open(directory)
    assert first < second and first != second
    assert pickle.loads(pickle.dumps(first)) == first
    assert hash(pickle.loads(pickle.dumps(first))) == hash(first)
    assert repr(first) == f"Position(session={first.session}, shard=0, number=0)"


def test_paths_can_be_files_directories_and_lists(segmented, small):
    directory, records = segmented
    files = sorted(directory.glob("*.log"))
    every = pyasynclogger.open(directory)
    assert sorted(payloads(every)) == records
    # Files of one log are one log, in any order, and each once.
    assert sorted(payloads(pyasynclogger.open(files[::-1] + files[:1]))) == records
    one = pyasynclogger.open(str(files[0]))
    alone = len(payloads(one))
    assert 0 < alone < len(records)
    assert [segment["records"] for segment in one.report()["segments"]] == [alone]
    assert len(payloads(pyasynclogger.open([directory, small[0]]))) == 41_000
    assert len(payloads(pyasynclogger.open(f"file://{directory}"))) == 40_000


def test_compressed_segments_are_read(writer, tmp_path):
    records = numbered(40_000)
    writer.lines(tmp_path / "app.log", records, *SEGMENTED, "--compress", "zstd")
    compressed = list(tmp_path.glob("*.log.zst"))
    assert compressed
    assert sorted(payloads(pyasynclogger.open(tmp_path))) == records
    report = pyasynclogger.open(compressed[0])
    assert payloads(report)
    [segment] = report.report()["segments"]
    assert segment["stored_bytes"] < segment["file_bytes"]


def test_an_event_is_chosen_by_its_name(writer, tmp_path):
    counts = {"search": 300, "rank-v1": 200, "a/b": 100}
    records = [(event, b"%d" % number) for event, count in counts.items() for number in range(count)]
    writer.events(tmp_path, records)
    reader = pyasynclogger.open(tmp_path)
    assert sorted(reader.events) == sorted(counts)
    assert len(payloads(reader)) == 600
    logs = reader.report()["logs"]
    assert {log["event"]: log["records"] for log in logs} == counts
    for event, count in counts.items():
        assert len(payloads(pyasynclogger.open(tmp_path, event=event))) == count
    with pytest.raises(pyasynclogger.NotALogError, match="no log of the event"):
        pyasynclogger.open(tmp_path, event="other")
    with pytest.raises(ValueError, match="not a directory"):
        pyasynclogger.open(next(tmp_path.glob("*.log")), event="search")


def test_times_choose_records(small):
    directory, _ = small
    times = [time_ns for time_ns, _, _ in pyasynclogger.open(directory)]
    cut = times[400]
    late = sum(time_ns >= cut for time_ns in times)
    after = pyasynclogger.open(directory, since=cut)
    assert len(payloads(after)) == late
    assert after.report()["skipped_records"] == 1000 - late
    assert len(payloads(pyasynclogger.open(directory, until=cut))) == 1000 - late
    assert len(payloads(pyasynclogger.open(directory, since=cut, until=cut))) == 0
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.timezone.utc)
    assert len(payloads(pyasynclogger.open(directory, since=now - day, until=now + day))) == 1000
    assert len(payloads(pyasynclogger.open(directory, since=datetime.datetime.now() + day))) == 0
    assert len(payloads(pyasynclogger.open(directory, until="2020-01-01T00:00:00Z"))) == 0
    assert len(payloads(pyasynclogger.open(directory, since="1577836800000000000"))) == 1000
    for far, count in ((-(2**63), 1000), (-1, 1000), (2**63 - 1, 0)):
        assert len(payloads(pyasynclogger.open(directory, since=far))) == count
        assert len(payloads(pyasynclogger.open(directory, until=far))) == 1000 - count
    with pytest.raises(OverflowError):
        pyasynclogger.open(directory, since=2**63)
    with pytest.raises(ValueError, match="ISO 8601"):
        pyasynclogger.open(directory, since="yesterday")
    with pytest.raises(TypeError):
        pyasynclogger.open(directory, since=1.5)


def test_errors_say_which_file(tmp_path):
    (tmp_path / "text.log").write_bytes(b"some text, and no log\n" * 100)
    with pytest.raises(pyasynclogger.NotALogError) as found:
        pyasynclogger.open(tmp_path / "text.log")
    assert found.value.path == tmp_path / "text.log"
    assert isinstance(found.value, pyasynclogger.Error)
    with pytest.raises(pyasynclogger.NotALogError, match="no log in this directory"):
        pyasynclogger.open(tmp_path)
    with pytest.raises(OSError) as missing:
        pyasynclogger.open(tmp_path / "missing.log")
    assert isinstance(missing.value, pyasynclogger.ReadError)
    assert (missing.value.errno, missing.value.path) == (2, tmp_path / "missing.log")
    assert str(tmp_path / "missing.log") in str(missing.value)
    with pytest.raises(ValueError, match="no URL"):
        pyasynclogger.open("s3://bucket/logs")
    with pytest.raises(ValueError, match="no path"):
        pyasynclogger.open([])


def test_a_later_version_is_told_from_damage(small, tmp_path):
    directory, _ = small
    [path] = directory.glob("*.log")
    later = with_version(path.read_bytes(), 99)
    (tmp_path / "later.log").write_bytes(later)
    with pytest.raises(pyasynclogger.UnsupportedVersionError):
        list(pyasynclogger.open(tmp_path / "later.log"))


def test_a_reader_serves_one_way(small):
    directory, _ = small
    reader = pyasynclogger.open(directory)
    next(reader)
    with pytest.raises(ValueError, match="iterated over"):
        reader.to_batches()
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        next(reader)
    assert reader.report()["records"] == 1000


def test_threads_share_a_reader_and_have_their_own(segmented):
    directory, records = segmented
    shared = pyasynclogger.open(directory)
    found = [[] for _ in range(8)]

    def read(index):
        reader = shared if index < 4 else pyasynclogger.open(directory)
        found[index] = payloads(reader)

    threads = [threading.Thread(target=read, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(sum(found[:4], [])) == Counter(records)
    assert all(sorted(own) == records for own in found[4:])


def test_other_threads_run_while_blocks_are_read(segmented):
    """A reader that kept the interpreter's lock would let no other thread count."""
    directory, _ = segmented
    interval = sys.getswitchinterval()
    # The interpreter itself takes the lock away from nobody during the test.
    sys.setswitchinterval(60)
    ticks, is_over = [0], threading.Event()

    def tick():
        while not is_over.is_set():
            ticks[0] += 1
            time.sleep(0)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        before = ticks[0]
        assert sum(1 for _ in pyasynclogger.open(directory)) == 40_000
        assert ticks[0] > before
    finally:
        sys.setswitchinterval(interval)
        is_over.set()
        thread.join()


def test_an_interrupt_ends_a_long_call(segmented):
    """The signal comes while `list` runs, which is one call of C and checks no signals itself."""
    directory, _ = segmented
    reads = 0

    def many():
        nonlocal reads
        while True:
            reads += 1
            yield pyasynclogger.open(directory)

    main = threading.main_thread().ident
    timer = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for reader in many():
            list(reader)
    assert reads >= 1

