"""Records a second, by batches and one by one: ``python bench.py [DIRECTORY]``.

Without a directory, a log of 2 million records of 256 bytes is written by the command ``asynclogger`` (or
``$ASYNCLOGGER``) into a temporary directory. Each way is run once for the page cache and then five times; the median, the
slowest and the fastest run are printed, by the clock and by the processor's time. One process, one thread.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

import pyasynclogger

RECORDS = 2_000_000
RUNS = 5


def written(directory):
    command = os.environ.get("ASYNCLOGGER", "asynclogger")
    run = [command, "bench", "--count", str(RECORDS), "--size", "256", "--timestamps"]
    run += ["--durability", "none", "--direct", "off", os.path.join(directory, "app.log")]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)


def by_batches(directory, **options):
    batches = pyasynclogger.open(directory, **options).to_batches()
    return sum(batch.num_rows for batch in batches)


def one_by_one(directory, **options):
    return sum(1 for _ in pyasynclogger.open(directory, **options))


def to_arrow(directory, **options):
    return pyasynclogger.open(directory, **options).to_arrow().num_rows


def run(read, directory, **options):
    """The records, and million records a second by the clock and by the processor's time."""
    clock, processor = time.perf_counter(), time.process_time()
    records = read(directory, **options)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return records, records / clock / 1e6, records / processor / 1e6


def spread(speeds):
    return f"{statistics.median(speeds):5.2f} ({min(speeds):.2f} to {max(speeds):.2f})"


def measure(name, read, directory, **options):
    run(read, directory, **options)
    counts, clock, processor = zip(*(run(read, directory, **options) for _ in range(RUNS)))
    [records] = set(counts)
    print(f"{name:22} {spread(clock)}   by processor {spread(processor)}   {records:,} records")


def main():
    with tempfile.TemporaryDirectory() as temporary:
        directory = sys.argv[1] if len(sys.argv) > 1 else temporary
        if directory == temporary:
            written(temporary)
        print("million records/s: the median (slowest to fastest)")
        measure("batches", by_batches, directory)
        measure("one pyarrow table", to_arrow, directory)
        measure("one by one", one_by_one, directory)
        measure("batches, by time", by_batches, directory, by_time=True)
        measure("one by one, by time", one_by_one, directory, by_time=True)


if __name__ == "__main__":
    main()
