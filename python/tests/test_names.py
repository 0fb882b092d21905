"""Names and numbers at the ends of their ranges."""

import os

import pytest

import pyasynclogger
from file_format import joined, original, parts

from conftest import numbered

SESSIONS = [1, 2**63 - 1, 2**63, 2**64 - 1]


def payloads(reader):
    return [payload for _, _, payload in reader]


def test_names_that_are_not_utf_8_are_shown_and_chosen(writer, tmp_path):
    names = {b"a\xff": [b"one", b"two"], b"a\xfe": [b"three"], "größe".encode(): [b"four"]}
    for name, records in names.items():
        writer.lines(tmp_path / os.fsdecode(name + b".log"), records)
    reader = pyasynclogger.open(tmp_path)
    assert sorted(reader.events) == ["a\ufffd", "a\ufffd", "größe"]
    assert sorted(payloads(reader)) == [b"four", b"one", b"three", b"two"]
    # By its bytes, as os.listdir has them, a name is one log; as it is shown, both.
    for name, records in names.items():
        assert payloads(pyasynclogger.open(tmp_path, event=os.fsdecode(name))) == records
        [partition] = pyasynclogger.partitions(tmp_path, event=os.fsdecode(name))
        assert payloads(partition.open()) == records
    assert sorted(payloads(pyasynclogger.open(tmp_path, event="a\ufffd"))) == [b"one", b"three", b"two"]
    pytest.importorskip("pyarrow")
    table = pyasynclogger.open(tmp_path).to_arrow()
    assert sorted(table["event"].to_pylist()) == ["a\ufffd", "a\ufffd", "a\ufffd", "größe"]


def test_a_directory_can_be_called_by_bytes(writer, tmp_path):
    directory = os.path.join(os.fsencode(tmp_path), b"logs-\xff")
    os.mkdir(directory)
    writer.run("write", "--durability", "none", os.fsdecode(directory + b"/app.log"), given=b"x\n")
    for path in (directory, os.fsdecode(directory), [directory]):
        assert payloads(pyasynclogger.open(path)) == [b"x"]
    [partition] = pyasynclogger.partitions(directory)
    assert payloads(partition.open()) == [b"x"]


@pytest.mark.parametrize("session", SESSIONS)
def test_a_session_uses_all_64_bits(small, session):
    directory, records = small
    [path] = directory.glob("*.log")
    path.write_bytes(joined(parts(path.read_bytes()), 1, session=session))
    for by_time in (False, True):
        reader = pyasynclogger.open(directory, by_time=by_time, strict=True)
        found = list(reader)
        assert [payload for _, _, payload in found] == records
        assert {position.session for _, position, _ in found} == {session}
    [partition] = pyasynclogger.partitions(directory)
    assert payloads(partition.open()) == records
    pytest.importorskip("pyarrow")
    for by_time in (False, True):
        table = pyasynclogger.open(directory, by_time=by_time).to_arrow()
        assert table["session"].to_pylist() == [f"{session:016x}"] * len(records)


def test_a_file_of_the_original_has_neither_times_nor_sessions(tmp_path):
    records = numbered(100)
    (tmp_path / "old.log").write_bytes(original(records))
    found = list(pyasynclogger.open(tmp_path))
    assert [payload for _, _, payload in found] == records
    assert {time_ns for time_ns, _, _ in found} == {None}
    # Such a file has no name but its own.
    assert payloads(pyasynclogger.open(tmp_path, event="old")) == records
    [partition] = pyasynclogger.partitions(tmp_path)
    assert payloads(partition.open()) == records
    pytest.importorskip("pyarrow")
    table = pyasynclogger.open(tmp_path).to_arrow()
    assert table["payload"].to_pylist() == records
    assert table["seq"].to_pylist() == list(range(100))
    for name in ("ts", "ts_ns", "session", "host"):
        assert table[name].null_count == 100


def test_an_empty_directory_has_no_log(tmp_path):
    for open_it in (pyasynclogger.open, pyasynclogger.partitions):
        with pytest.raises(pyasynclogger.NotALogError, match="there is no log in this directory"):
            open_it(tmp_path)
