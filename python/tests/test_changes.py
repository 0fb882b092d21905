"""Files that change: between a plan and its reading, and while they are read."""

import pickle
import shutil
import subprocess
import time
from collections import Counter

import pytest

import pyasynclogger

from conftest import SEGMENTED, numbered


def payloads(reader):
    return [payload for _, _, payload in reader]


def planned(directory):
    """Partitions as another process gets them."""
    pickled = pickle.dumps(pyasynclogger.partitions(directory, partition_bytes=100_000))
    partitions = pickle.loads(pickled)
    assert len(partitions) > 10
    return partitions


@pytest.fixture
def logs(segmented, tmp_path):
    """A log of several segments that the test may change, and its records."""
    directory, records = segmented
    shutil.copytree(directory, tmp_path / "logs")
    return tmp_path / "logs", records


def test_parts_are_found_after_their_files_were_rotated_and_compressed(logs, writer):
    directory, records = logs
    partitions = planned(directory)
    plain = {path for path in directory.glob("*.log")}
    writer.lines(directory / "app.log", numbered(20_000), *SEGMENTED, "--compress", "zstd")
    # The active file is a new one, and all the planned ones are compressed.
    assert {path for path in directory.glob("*.log")} == {directory / "app.log"}
    assert len(list(directory.glob("*.zst"))) >= len(plain)
    found = [payload for part in partitions for payload in payloads(part.open(strict=True))]
    assert sorted(found) == records


def test_parts_of_deleted_files_fail_and_the_others_are_read(logs, writer):
    directory, records = logs
    reader = pyasynclogger.open(directory)
    assert len(payloads(reader)) == len(records)
    sizes = {segment["segment"]: segment["records"] for segment in reader.report()["segments"]}
    partitions = planned(directory)
    writer.lines(directory / "app.log", [b"one more"], *SEGMENTED, "--keep", "1")
    kept = {segment for part in pyasynclogger.partitions(directory) for it in part.stretches for segment, _ in it.segments}
    gone = set(sizes) - kept
    assert gone and gone != set(sizes)
    found = 0
    for part in partitions:
        files = dict(entry for stretch in part.stretches for entry in stretch.segments)
        missing = [path for segment, path in files.items() if segment in gone]
        if missing:
            with pytest.raises(pyasynclogger.ReadError) as raised:
                part.open()
            assert (raised.value.path, raised.value.errno) == (missing[0], 2)
        else:
            found += len(payloads(part.open()))
    assert found == sum(count for segment, count in sizes.items() if segment in kept)


def test_another_log_in_the_place_of_the_planned_one_is_not_read(logs, writer):
    directory, _ = logs
    partitions = planned(directory)
    shutil.rmtree(directory)
    writer.lines(directory / "app.log", numbered(40_000), *SEGMENTED)
    for part in partitions:
        with pytest.raises((pyasynclogger.NotALogError, pyasynclogger.ReadError)):
            part.open()


def test_a_file_that_was_cut_since_the_plan_is_an_error(logs):
    directory, _ = logs
    partitions = planned(directory)
    path = directory / "app.log"
    # The start of the file alone: no block.
    path.write_bytes(path.read_bytes()[:4096])
    cut = [part for part in partitions if part.stretches[-1].segments[-1][1] == path]
    # The first of them reads to a block that is gone, the others begin after one.
    assert {part.stretches[0].after is None for part in cut} == {True, False}
    for part in cut:
        with pytest.raises(pyasynclogger.NotALogError, match="is gone since the partitions were made"):
            list(part.open())


def count_of(directory):
    """The records that are there; 0 while there is no log."""
    try:
        return len(payloads(pyasynclogger.open(directory)))
    except pyasynclogger.NotALogError:
        return 0


def wait_for(directory, count):
    end = time.monotonic() + 60
    while count_of(directory) != count:
        assert time.monotonic() < end, f"there are {count_of(directory)} records, not {count}"
        time.sleep(0.01)


def test_a_log_that_is_still_written(command, tmp_path):
    directory, records = tmp_path, numbered(150)
    run = [command, "write", "--durability", "none", directory / "app.log"]
    with subprocess.Popen(run, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:

        def write(lines):
            process.stdin.write(b"".join(line + b"\n" for line in lines))
            process.stdin.flush()

        write(records[:100])
        wait_for(directory, 100)
        reader = pyasynclogger.open(directory, strict=True)
        assert payloads(reader) == records[:100]
        report = reader.report()
        assert (report["whole"], report["segments"][0]["ending"]) == (True, "open")
        assert payloads(pyasynclogger.open(directory, by_time=True)) == records[:100]
        [partition] = pyasynclogger.partitions(directory)
        write(records[100:])
        wait_for(directory, 150)
        # The part is what was there when it was made.
        assert payloads(partition.open()) == records[:100]
        process.stdin.close()
        assert process.wait(60) == 0
    reader = pyasynclogger.open(directory, strict=True)
    assert payloads(reader) == records
    assert reader.report()["segments"][0]["ending"] == "clean"


def test_a_file_that_rotates_is_read_to_its_end(logs, writer):
    """What a reader has opened stays the same file, whatever its name is."""
    directory, records = logs
    reader = pyasynclogger.open(directory)
    first = next(reader)
    writer.lines(directory / "app.log", numbered(20_000), *SEGMENTED, "--compress", "zstd")
    found = Counter([first[2], *payloads(reader)])
    # The active file of the opening may have grown until it was rotated.
    assert found >= Counter(records)
    assert found <= Counter(records) + Counter(numbered(20_000))
    assert reader.report()["whole"]


def test_a_file_that_was_empty_at_first_has_its_name(writer, tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "app.log"
    path.touch()
    reader = pyasynclogger.open(tmp_path)
    writer.lines(path, numbered(10))
    table = reader.to_arrow()
    assert table["file"].to_pylist() == [str(path)] * 10
    assert table["event"].to_pylist() == ["app"] * 10
