"""Blocks that stand in two segments, since a write failed and was repeated: each record comes once."""

from collections import Counter

import pytest

import pyasynclogger
from file_format import is_block, joined, parts

from conftest import SEGMENTED, numbered


def sequence(part):
    return int.from_bytes(part[80:88], "little")


@pytest.fixture(params=["whole", "cut", "damaged"])
def repeated(request, writer, tmp_path):
    """A log of which the second segment begins with the last two blocks of the first one, and its records.

    In the first segment these blocks are whole, or the last one is cut, or damaged inside."""
    records = numbered(40_000)
    writer.lines(tmp_path / "app.log", records, *SEGMENTED)
    plain = pyasynclogger.open(tmp_path)
    assert sum(1 for _ in plain) == len(records)
    by_number = {segment["segment"]: segment["path"] for segment in plain.report()["segments"]}
    first, second = by_number[1], by_number[2]
    before, after = list(parts(first.read_bytes())), list(parts(second.read_bytes()))
    blocks = [part for part in before if is_block(part[0])]
    assert len(blocks) > 3
    again = blocks[-2:]
    moved = [after[0], *again, *after[1:]]
    second.write_bytes(joined(moved, 2, sequence(again[0][0])))
    # The end of the first segment went with the failed write.
    data = b"".join(part for part, _ in before if not part[16:24] == b"ALOGENDS")
    if request.param == "cut":
        data = data[: -len(again[-1][0]) // 2]
    elif request.param == "damaged":
        at = len(data) - len(again[-1][0]) // 2
        data = data[:at] + bytes(100) + data[at + 100 :]
    first.write_bytes(data)
    return tmp_path, records


def test_a_reader_delivers_each_record_once(repeated):
    directory, records = repeated
    found = Counter(payload for _, _, payload in pyasynclogger.open(directory))
    assert found == Counter(records)


@pytest.mark.parametrize("size", [1, 100_000, 300_000, 10**9])
def test_partitions_have_each_record_once(repeated, size):
    directory, records = repeated
    partitions = pyasynclogger.partitions(directory, partition_bytes=size)
    found = [payload for part in partitions for _, _, payload in part.open()]
    assert Counter(found) == Counter(records)
    assert size == 10**9 or len(partitions) > 3
