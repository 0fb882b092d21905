"""Logs for the tests, written by the command of this repository."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--spark", action="store_true", help="also run the tests that start Spark")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--spark"):
        return
    skip = pytest.mark.skip(reason="Spark takes a minute: give --spark")
    for item in items:
        if "spark" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def command():
    """The command ``asynclogger``: ASYNCLOGGER, or what cargo has built last."""
    built = [ROOT / "target" / profile / "asynclogger" for profile in ("debug", "release")]
    built = sorted((path for path in built if path.exists()), key=lambda path: path.stat().st_mtime)
    found = os.environ.get("ASYNCLOGGER") or (built and built[-1]) or shutil.which("asynclogger")
    if not found:
        pytest.skip("the command asynclogger is not built: cargo build")
    return str(found)


class Writer:
    """Writes logs by the command."""

    def __init__(self, command):
        self.command = command

    def run(self, *arguments, given=b""):
        done = subprocess.run(
            [self.command, *map(str, arguments)], input=given, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    def lines(self, path, lines, *options):
        """One record a line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        given = b"".join(line + b"\n" for line in lines)
        self.run("write", "--durability", "none", *options, path, given=given)

    def events(self, directory, records, *options):
        """Pairs of an event and a record."""
        directory.mkdir(parents=True, exist_ok=True)
        given = b"".join(event.encode() + b"\t" + record + b"\n" for event, record in records)
        self.run("write", "--durability", "none", "--events", directory, *options, given=given)

    def bench(self, path, count, *options, threads=2, size=256):
        """Records of several threads, with times."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.run(
            *("bench", "--count", count, "--threads", threads, "--size", size, "--timestamps"),
            *("--durability", "none", *options, path),
        )


@pytest.fixture(scope="session")
def writer(command):
    return Writer(command)


def numbered(count, size=64):
    """Records that differ."""
    return [b"%012d" % number + b"x" * (size - 12) for number in range(count)]


@pytest.fixture
def small(writer, tmp_path):
    """The directory of a log with 1000 records, and the records."""
    records = numbered(1000)
    writer.lines(tmp_path / "logs" / "app.log", records)
    return tmp_path / "logs", records


#: Many small blocks and several segments: 40,000 records of 64 bytes.
SEGMENTED = ("--shards", 2, "--buffer-size", "256K", "--rotate-size", "1M")


@pytest.fixture(scope="session")
def segmented(writer, tmp_path_factory):
    """A log of several segments. Tests only read it."""
    directory = tmp_path_factory.mktemp("segmented")
    records = numbered(40_000)
    writer.lines(directory / "app.log", records, *SEGMENTED)
    assert len(list(directory.glob("*.log"))) > 2
    return directory, records
