"""Writers, a kill, rotation, shippers that are killed, a store that fails: and then every record is counted.

See scripts/pipeline.
"""
import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from pipeline_stores import BUCKET, SERVERS, fail, say

# The places between two steps of a shipper: crates/asynclogger-ship/tests/kills.rs.
PLACES = [
    "before-head", "before-upload", "in-upload", "after-upload", "after-verify", "after-journal", "before-batch",
    "before-manifest", "after-manifest", "after-done", "before-delete", "after-delete",
]


class Shipping(threading.Thread):
    """Ships a directory, and kills the shipper at random moments and at named places, until all kills are done; then until
    it is through."""

    def __init__(self, command, directory, store, kills, seed):
        super().__init__(daemon=True)
        self.command, self.directory = command, directory
        self.url, self.environment = f"{store.scheme}://{BUCKET}/logs", store.environment()
        self.kills, self.random = kills, random.Random(seed)
        self.killed_at = collections.Counter()
        self.writers_are_done = threading.Event()
        self.error = None
        self.said = ""

    def args(self, *more):
        return [self.command, "ship", self.directory, "--to", self.url, "--host", f"host-{os.path.basename(self.directory)}",
                "--delete-after-verify", *more]

    def killed(self):
        return sum(self.killed_at.values())

    def run(self):
        while not self.writers_are_done.is_set():
            if self.killed() < self.kills:
                self.once("--watch")
            else:
                self.writers_are_done.wait(0.5)
        # Further kills meet the end.
        for _ in range(3):
            self.once("--finish")
        for _ in range(50):
            done = subprocess.run(
                self.args("--finish"), env=self.environment,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            self.said += done.stdout
            if done.returncode == 0:
                return
        self.error = f"ship does not get through: exit code {done.returncode}\n{done.stdout[-2000:]}"

    def once(self, how):
        """A shipper that is killed, unless it is through before."""
        environment, place = dict(self.environment), None
        limit = self.random.random() * self.random.choice([0.04, 0.2, 0.6, 1.2])
        if self.random.random() < 0.7:
            place, limit = self.random.choice(PLACES), 1.5
            environment["ASYNCLOGGER_SHIP_KILL"] = f"{place}:{self.random.choice([1, 1, 2, 3])}"
        shipper = subprocess.Popen(
            self.args(how), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            said, _ = shipper.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            shipper.send_signal(signal.SIGKILL)
            said, _ = shipper.communicate()
            place = "any moment"
        self.said += said
        if shipper.returncode == -signal.SIGKILL:
            self.killed_at[place] += 1


def counts_of(path, events):
    with open(path, "rb") as counts:
        data = counts.read()
    number = lambda at: int.from_bytes(data[at : at + 8], "little")
    return [(number(16 * event), number(16 * event + 8)) for event in range(events)]


def main():
    parser = argparse.ArgumentParser(prog="scripts/pipeline")
    parser.add_argument("--command", required=True)
    parser.add_argument("--writer", required=True)
    parser.add_argument("--writers", type=int, default=3)
    parser.add_argument("--events", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="the least time that the writers write")
    parser.add_argument("--rate", type=int, default=20000, help="records a second, of each writer")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", choices=SERVERS, default="seaweedfs")
    parser.add_argument("--spark", action="store_true")
    args = parser.parse_args()
    place = tempfile.mkdtemp(prefix="pipeline-")
    store = None
    try:
        store = SERVERS[args.server](place, 10)
        run(args, place, store)
    finally:
        if store:
            store.close()
        shutil.rmtree(place, ignore_errors=True)


def run(args, place, store):
    environment = store.environment()
    writers, shippers = [], []
    for number in range(args.writers):
        directory, maps = f"{place}/writer{number}", f"{place}/maps{number}"
        os.mkdir(directory)
        os.mkdir(maps)
        writers.append(subprocess.Popen([
            args.writer, directory, f"{place}/counts{number}", "3600", str(number),
            str(args.events), str(args.rate), maps,
        ]))
        kills = args.kills // args.writers + (number < args.kills % args.writers)
        shippers.append(Shipping(args.command, directory, store, kills, args.seed * 1000 + number))
    for shipper in shippers:
        shipper.start()

    # The first writer is killed in the middle of its work, and what it had accepted is salvaged.
    time.sleep(args.seconds * 0.6)
    writers[0].send_signal(signal.SIGKILL)
    writers[0].wait()
    salvaged = subprocess.run(
        [args.command, "salvage", "--crash-safe-dir", f"{place}/maps0", f"{place}/writer0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    if salvaged.returncode != 0:
        fail(f"salvage: {salvaged.returncode}\n{salvaged.stdout}")
    end = time.monotonic() + args.seconds * 0.4
    while time.monotonic() < end or any(shipper.killed() < shipper.kills for shipper in shippers):
        if any(writer.poll() is not None for writer in writers[1:]):
            fail("a writer has ended too early")
        time.sleep(0.1)
    for number, writer in enumerate(writers[1:], 1):
        open(f"{place}/counts{number}.stop", "w").close()
    for number, writer in enumerate(writers[1:], 1):
        if writer.wait() != 0:
            fail(f"writer {number} has ended with {writer.returncode}")
    for shipper in shippers:
        shipper.writers_are_done.set()
    for shipper in shippers:
        shipper.join()
        if shipper.error:
            fail(shipper.error)
        if store.secret in shipper.said:
            fail("the shipper has printed a credential")
    killed_at = sum((shipper.killed_at for shipper in shippers), collections.Counter())
    say(f"writers: {args.writers}, one killed and salvaged; shippers killed {sum(killed_at.values())} times: "
        + ", ".join(f"{count} at {place}" for place, count in sorted(killed_at.items())))

    objects = check_manifests(store)
    expected = expected_of(args, place)
    for number in range(args.writers):
        left = [name for name in os.listdir(f"{place}/writer{number}") if name.endswith((".log", ".zst"))]
        records = subprocess.run(
            [args.command, "ls", "--json", f"{place}/writer{number}"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if records.returncode != 0 and "there is no log" not in records.stderr:
            fail(f"ls: {records.returncode}\n{records.stderr}")
        held = sum(json.loads(line)["records"] for line in records.stdout.splitlines())
        if held:
            fail(f"writer {number} still has {held} records in {left}")

    url = f"{store.scheme}://{BUCKET}/logs"
    verified = subprocess.run(
        [args.command, "verify", url], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    say(verified.stdout.splitlines()[-1])
    if verified.returncode != 0:
        fail(f"verify: {verified.returncode}\n{verified.stdout[-2000:]}")

    lake = f"{place}/lake"
    exported = subprocess.run(
        [args.command, "export", url, "--to", "parquet", "--output", lake], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if exported.returncode != 0:
        fail(f"export: {exported.returncode}\n{exported.stdout[-2000:]}")
    found = rows_of_duckdb(lake)
    compare("Parquet", expected, found)
    compare_counts("DataFusion", expected, counts_of_datafusion(lake))
    compare_counts("Polars", expected, counts_of_polars(lake))
    if args.spark:
        raw = f"{place}/raw"
        for key in objects:
            path = f"{raw}/{key.replace('/', '_')}"
            os.makedirs(raw, exist_ok=True)
            with open(path, "wb") as out:
                out.write(store.get(key))
        lines = counts_of_spark(lake, raw)
        compare_counts("Spark, Parquet, 2 executors", expected, lines["parquet"])
        if "raw" in lines:
            compare_counts("Spark, the raw files, 2 executors", expected, lines["raw"])
    say("ok")


def check_manifests(store):
    """Each object is in one manifest, and each that a manifest names is there."""
    keys = store.keys()
    manifests = [key for key in keys if "/_manifest/" in key]
    objects = {key: size for key, size in keys.items() if key not in manifests}
    listed = collections.Counter()
    segments = collections.Counter()
    for manifest in manifests:
        content = json.loads(store.get(manifest))
        if content["gaps"]:
            fail(f"{manifest} has gaps: {content['gaps']}")
        for file in content["files"]:
            key = file["key"] if file["key"].startswith("logs/") else "logs/" + file["key"]
            listed[key] += 1
            segments[file["log"], file["segment"]] += 1
            if objects.get(key) != file["bytes"]:
                fail(f"{manifest} names {key} of {file['bytes']} bytes, and there are {objects.get(key)}")
    twice = [key for key, count in listed.items() if count > 1]
    twice += [segment for segment, count in segments.items() if count > 1]
    missing = [key for key in objects if key not in listed]
    if twice or missing:
        # The same segment in its other form: a request of a killed shipper that arrived late.
        plain = lambda key: key.removesuffix(".zst")
        others = [[other for other in objects if plain(other) == plain(key)] for key in missing]
        fail(f"listed twice: {twice}; not listed: {missing}; the forms of these: {others}")
    numbers = collections.defaultdict(list)
    for log, segment in segments:
        numbers[log].append(segment)
    holes = {log: found for log, found in numbers.items() if sorted(found) != list(range(min(found), max(found) + 1))}
    if holes:
        fail(f"segments are missing: {holes}")
    say(f"{len(objects)} objects in {len(manifests)} manifests, each once")
    return objects


def expected_of(args, place):
    """For each writer and event: how many records were accepted, and how many more may have been (of a killed writer, the
    call that had not returned)."""
    expected = {}
    for writer in range(args.writers):
        for event, (accepted, _) in enumerate(counts_of(f"{place}/counts{writer}", args.events)):
            expected[writer, f"event/{event}"] = (accepted, accepted + (writer == 0))
    total = sum(accepted for accepted, _ in expected.values())
    refused = sum(refused for writer in range(args.writers)
                  for _, refused in counts_of(f"{place}/counts{writer}", args.events))
    say(f"accepted: {total:,} records of {args.writers * args.events} events; refused and declared: {refused:,}")
    return expected


def compare(what, expected, found):
    """`found`: for each writer and event the number of records, of different numbers, the least and the greatest one."""
    if found.keys() != expected.keys():
        fail(f"{what}: {sorted(found)} instead of {sorted(expected)}")
    for place, (least, most) in expected.items():
        rows, different, first, last = found[place]
        if not least <= rows <= most or different != rows or first != 0 or last != rows - 1:
            fail(f"{what}: {place}: {rows} rows, {different} different, {first} to {last}; accepted {least}")
    say(f"{what}: {sum(rows for rows, *_ in found.values()):,} records, each once, none missing")


def compare_counts(what, expected, found):
    by_event = collections.defaultdict(lambda: [0, 0])
    for (_, event), (least, most) in expected.items():
        by_event[event][0] += least
        by_event[event][1] += most
    if found is None:
        say(f"skipped: {what} is not installed")
        return
    for event, (least, most) in by_event.items():
        if not least <= found.get(event, 0) <= most:
            fail(f"{what}: {event}: {found.get(event)} of {least}")
    say(f"{what}: {sum(found.values()):,} records")


def rows_of_duckdb(lake):
    import duckdb

    rows = duckdb.sql(f"""
        WITH rows AS (
            SELECT decode(payload) AS line
            FROM read_parquet('{lake}/**/*.parquet', hive_partitioning = true)
        ), numbers AS (
            SELECT CAST(line->>'writer' AS BIGINT) AS writer, line->>'event' AS event,
                   CAST(line->>'number' AS BIGINT) AS number
            FROM rows
        )
        SELECT writer, event, count(*), count(DISTINCT number), min(number), max(number)
        FROM numbers GROUP BY writer, event
    """).fetchall()
    return {(writer, event): tuple(rest) for writer, event, *rest in rows}


def counts_of_datafusion(lake):
    try:
        from datafusion import SessionContext
    except ImportError:
        return None
    from urllib.parse import unquote

    context, found = SessionContext(), collections.Counter()
    for directory in sorted(os.listdir(lake)):
        context.register_parquet("rows", f"{lake}/{directory}")
        count = context.sql("SELECT count(*) AS n FROM rows").to_pydict()["n"][0]
        found[unquote(directory.partition("=")[2])] += count
        context.deregister_table("rows")
    return found


def counts_of_polars(lake):
    try:
        import polars
    except ImportError:
        return None
    from urllib.parse import unquote

    rows = polars.scan_parquet(f"{lake}/**/*.parquet", hive_partitioning=True)
    counted = rows.group_by("event").len().collect()
    return {unquote(event): count for event, count in counted.iter_rows()}


def counts_of_spark(lake, raw):
    code = os.path.join(os.path.dirname(__file__), "pipeline_spark.py")
    done = subprocess.run([sys.executable, code, lake, raw], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        fail(f"Spark has ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
