"""Damaged files: what survives comes, what is lost is told."""

import shutil

import pytest

import pyasynclogger


def damaged(directory, target, place=0.5):
    """A copy of a log with 100 bytes overwritten in one file."""
    shutil.copytree(directory, target, dirs_exist_ok=True)
    path = max(target.glob("*.log"), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    at = int(len(data) * place)
    data[at : at + 100] = b"\xff" * 100
    path.write_bytes(data)
    return path


def test_the_others_come_and_the_lost_are_counted(segmented, tmp_path):
    directory, records = segmented
    path = damaged(directory, tmp_path / "logs")
    reader = pyasynclogger.open(tmp_path / "logs")
    found = [payload for _, _, payload in reader]
    report = reader.report()
    lost = len(records) - len(found)
    assert lost > 0 and len(set(found)) == len(found) and set(found) < set(records)
    assert report["lost"] == {"at_least": lost, "at_most": lost}
    assert (report["records"], report["whole"]) == (len(found), False)
    [damage] = [damage for damage in report["damage"] if damage["lost"]["at_least"]]
    assert (damage["path"], damage["kind"]) == (path, "chunk")
    assert damage["lost"] == report["lost"]
    [segment] = [segment for segment in report["segments"] if segment["lost"]["at_least"]]
    assert segment["path"] == path


@pytest.mark.parametrize("by_time", [False, True])
def test_strict_raises_at_the_end_of_the_records(segmented, tmp_path, by_time):
    directory, records = segmented
    path = damaged(directory, tmp_path / "logs")
    found = []
    with pytest.raises(pyasynclogger.DamageError, match="records are lost") as raised:
        for _, _, payload in pyasynclogger.open(tmp_path / "logs", strict=True, by_time=by_time):
            found.append(payload)
    assert str(path) in str(raised.value)
    plain = [payload for _, _, payload in pyasynclogger.open(tmp_path / "logs", by_time=by_time)]
    assert found == plain and len(found) < len(records)


def test_strict_raises_at_the_end_of_the_batches(segmented, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    directory, _ = segmented
    damaged(directory, tmp_path / "logs")
    rows = pyasynclogger.open(tmp_path / "logs").to_arrow().num_rows
    with pytest.raises(pyasynclogger.DamageError, match="records are lost"):
        pyasynclogger.open(tmp_path / "logs", strict=True).to_arrow()
    # A consumer of the stream sees all batches, and then the text in an error of its own.
    read = 0
    with pytest.raises((OSError, pyarrow.ArrowException), match="records are lost"):
        for batch in pyasynclogger.open(tmp_path / "logs", strict=True).to_batches(500):
            read += batch.num_rows
    assert read == rows


def test_strict_is_quiet_without_damage(segmented):
    directory, records = segmented
    assert sum(1 for _ in pyasynclogger.open(directory, strict=True)) == len(records)
    pytest.importorskip("pyarrow")
    assert pyasynclogger.open(directory, strict=True).to_arrow().num_rows == len(records)


def test_a_missing_segment_is_lost(segmented, tmp_path):
    directory, records = segmented
    shutil.copytree(directory, tmp_path / "logs")
    report = pyasynclogger.open(directory)
    list(report)
    segments = sorted(report.report()["segments"], key=lambda segment: segment["segment"])
    gone = segments[1]
    (tmp_path / "logs" / gone["path"].name).unlink()
    reader = pyasynclogger.open(tmp_path / "logs")
    assert sum(1 for _ in reader) == len(records) - gone["records"]
    [log] = reader.report()["logs"]
    assert log["missing_segments"] == [(gone["segment"], gone["segment"])]
    assert log["lost"] == {"at_least": gone["records"], "at_most": gone["records"]}
    assert not reader.report()["whole"]


def test_a_torn_end_is_read_as_far_as_it_is_there(segmented, tmp_path):
    directory, records = segmented
    shutil.copytree(directory, tmp_path / "logs")
    path = tmp_path / "logs" / "app.log"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + 100])
    reader = pyasynclogger.open(tmp_path / "logs")
    found = {payload for _, _, payload in reader}
    assert found < set(records)
    assert reader.report()["segments"][-1]["ending"] == "torn"


def test_other_files_of_a_directory_are_named_and_passed_over(segmented, tmp_path):
    directory, records = segmented
    shutil.copytree(directory, tmp_path / "logs")
    (tmp_path / "logs" / "text.log").write_bytes(b"no log at all\n" * 100)
    reader = pyasynclogger.open(tmp_path / "logs", strict=True)
    assert sum(1 for _ in reader) == len(records)
    [text] = reader.report()["unreadable"]
    assert "text.log" in text


def test_damage_is_that_of_one_event(writer, tmp_path):
    counts = {"search": 30_000, "click": 1000}
    records = [(event, b"%064d" % n) for event, count in counts.items() for n in range(count)]
    writer.events(tmp_path / "logs", records)
    path = damaged(tmp_path / "logs", tmp_path / "logs-2")
    assert path.name.startswith("search")
    reader = pyasynclogger.open(tmp_path / "logs-2")
    found = sum(1 for _ in reader)
    logs = {log["event"]: log for log in reader.report()["logs"]}
    lost = len(records) - found
    assert lost > 0
    assert logs["search"]["lost"] == {"at_least": lost, "at_most": lost}
    assert logs["click"]["lost"] == {"at_least": 0, "at_most": 0}
    assert logs["click"]["records"] == counts["click"]
    other = pyasynclogger.open(tmp_path / "logs-2", event="click", strict=True)
    assert sum(1 for _ in other) == counts["click"]
    with pytest.raises(pyasynclogger.DamageError):
        list(pyasynclogger.open(tmp_path / "logs-2", event="search", strict=True))


def test_a_part_is_strict_about_what_its_reader_meets(segmented, tmp_path):
    directory, records = segmented
    path = damaged(directory, tmp_path / "logs")
    lost = len(records) - sum(1 for _ in pyasynclogger.open(tmp_path / "logs"))
    partitions = pyasynclogger.partitions(tmp_path / "logs", partition_bytes=1)
    raised, found = [], 0
    for partition in partitions:
        try:
            for _ in partition.open(strict=True):
                found += 1
        except pyasynclogger.DamageError:
            raised.append(partition)
    assert (found, len(raised)) == (len(records) - lost, 1)
    assert raised[0].stretches[0].segments[0][1] == path
