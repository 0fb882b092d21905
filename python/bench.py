"""Records a second, by batches and one by one: ``python bench.py [DIRECTORY]``.

Without a directory, a log of 2 million records of 256 bytes is written by the command ``asynclogger`` (or
``$ASYNCLOGGER``) into a temporary directory. Each way is run three times, and the best is printed: the files are then in
the page cache. One process, one thread.
"""

import os
import subprocess
import sys
import tempfile
import time

import pyasynclogger

RECORDS = 2_000_000


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


def to_arrow(directory):
    return pyasynclogger.open(directory).to_arrow().num_rows


def measure(name, read):
    best, records = float("inf"), 0
    for _ in range(3):
        begin = time.perf_counter()
        records = read()
        best = min(best, time.perf_counter() - begin)
    print(f"{name:28} {records / best / 1e6:6.2f} million records/s  ({records:,} records)")


def main():
    with tempfile.TemporaryDirectory() as temporary:
        directory = sys.argv[1] if len(sys.argv) > 1 else temporary
        if directory == temporary:
            written(temporary)
        measure("batches", lambda: by_batches(directory))
        measure("one pyarrow table", lambda: to_arrow(directory))
        measure("one by one", lambda: one_by_one(directory))
        measure("batches, by time", lambda: by_batches(directory, by_time=True))
        measure("one by one, by time", lambda: one_by_one(directory, by_time=True))


if __name__ == "__main__":
    main()
