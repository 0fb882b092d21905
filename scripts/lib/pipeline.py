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
import socket
import subprocess
import sys
import tempfile
import threading
import time

BUCKET = "pipeline"


def say(text):
    print(text, flush=True)


def fail(text):
    say(f"FAIL: {text}")
    sys.exit(1)


def free_port():
    """A free port of which the port 10,000 above is free, too: SeaweedFS takes both."""
    while True:
        port = random.SystemRandom().randrange(15000, 30000)
        try:
            with socket.socket() as one, socket.socket() as other:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 10000))
            return port
        except OSError:
            continue


def wait_for_port(port, process, what):
    for _ in range(600):
        if process.poll() is not None:
            fail(f"{what} has ended with {process.returncode}")
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    fail(f"{what} does not listen")


class Store:
    """A server for S3 on loopback, and a proxy in front of it that fails every tenth request."""

    def __init__(self, kind, place, every):
        import boto3

        self.port, self.proxy_port = free_port(), free_port()
        bin_dir = os.path.dirname(sys.executable)
        quiet = {"stdout": open(f"{place}/server.out", "w"), "stderr": subprocess.STDOUT}
        if kind == "moto":
            command = [f"{bin_dir}/moto_server", "-H", "127.0.0.1", "-p", str(self.port)]
        else:
            config = f"{place}/identities.json"
            with open(config, "w") as out:
                keys = [{"accessKey": "key", "secretKey": "secret"}]
                everything = ["Admin", "Read", "List", "Write", "Tagging"]
                identity = {"name": "all", "credentials": keys, "actions": everything}
                json.dump({"identities": [identity]}, out)
            os.mkdir(f"{place}/weed")
            command = [
                f"{bin_dir}/weed", "server", f"-dir={place}/weed", "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=64",
                "-volume.max=50", f"-master.port={free_port()}", f"-volume.port={free_port()}",
                f"-filer.port={free_port()}", "-s3", f"-s3.port={self.port}", f"-s3.config={config}",
            ]
        self.processes = [subprocess.Popen(command, **quiet)]
        wait_for_port(self.port, self.processes[0], kind)
        proxy = os.path.join(os.path.dirname(__file__), "fault_proxy.py")
        self.processes.append(
            subprocess.Popen([sys.executable, proxy, str(self.proxy_port), str(self.port), str(every)])
        )
        wait_for_port(self.proxy_port, self.processes[1], "the proxy")
        self.client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1",
            aws_access_key_id="key", aws_secret_access_key="secret",
        )
        for _ in range(100):
            try:
                self.client.create_bucket(Bucket=BUCKET)
                break
            except Exception as error:
                last = error
                time.sleep(0.3)
        else:
            fail(f"no bucket: {last}")

    def environment(self):
        return os.environ | {
            "AWS_ENDPOINT": f"http://127.0.0.1:{self.proxy_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }

    def keys(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def get(self, key):
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


class Shipping(threading.Thread):
    """Ships a directory, and kills the shipper at random moments, until all kills are done; then until it is through."""

    def __init__(self, command, directory, environment, kills, seed):
        super().__init__(daemon=True)
        self.command, self.directory, self.environment = command, directory, environment
        self.kills_left, self.killed, self.random = kills, 0, random.Random(seed)
        self.writers_are_done = threading.Event()
        self.error = None
        self.said = ""

    def args(self, *more):
        to = f"s3://{BUCKET}/logs"
        # Small parts: a kill hits an upload of several parts more often.
        return [self.command, "ship", self.directory, "--to", to, "--host", f"host-{os.path.basename(self.directory)}",
                "--delete-after-verify", *more]

    def run(self):
        while self.kills_left > 0 or not self.writers_are_done.is_set():
            if self.kills_left == 0:
                self.writers_are_done.wait(0.5)
                continue
            finish = ["--finish"] if self.writers_are_done.is_set() else ["--watch"]
            shipper = subprocess.Popen(
                self.args(*finish), env=self.environment,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            try:
                said, _ = shipper.communicate(timeout=self.random.choice([0.02, 0.1, 0.3, 1.0]) * self.random.random() * 2)
            except subprocess.TimeoutExpired:
                shipper.send_signal(signal.SIGKILL)
                said, _ = shipper.communicate()
                self.killed += 1
                self.kills_left -= 1
            else:
                if self.writers_are_done.is_set() and shipper.returncode == 0:
                    # Nothing is left to be killed at.
                    self.kills_left -= 1
            self.said += said
        for _ in range(50):
            done = subprocess.run(
                self.args("--finish"), env=self.environment,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            self.said += done.stdout
            if done.returncode == 0:
                return
        self.error = f"ship does not get through: exit code {done.returncode}\n{done.stdout[-2000:]}"


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
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=int, default=20000, help="records a second, of each writer")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", choices=["moto", "seaweedfs"], default="seaweedfs")
    parser.add_argument("--spark", action="store_true")
    args = parser.parse_args()
    place = tempfile.mkdtemp(prefix="pipeline-")
    store = None
    try:
        store = Store(args.server, place, 10)
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
            args.writer, directory, f"{place}/counts{number}", str(args.seconds), str(number),
            str(args.events), str(args.rate), maps,
        ]))
        kills = args.kills // args.writers + (number < args.kills % args.writers)
        shippers.append(Shipping(args.command, directory, environment, kills, args.seed * 1000 + number))
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
    for number, writer in enumerate(writers[1:], 1):
        if writer.wait() != 0:
            fail(f"writer {number} has ended with {writer.returncode}")
    for shipper in shippers:
        shipper.writers_are_done.set()
    for shipper in shippers:
        shipper.join()
        if shipper.error:
            fail(shipper.error)
        if "secret" in shipper.said:
            fail("the shipper has printed a credential")
    killed = sum(shipper.killed for shipper in shippers)
    say(f"writers: {args.writers}, one killed and salvaged; shippers killed {killed} times")

    objects = check_manifests(store)
    expected = expected_of(args, place)
    for number in range(args.writers):
        left = [name for name in os.listdir(f"{place}/writer{number}") if name.endswith((".log", ".zst"))]
        records = subprocess.run(
            [args.command, "ls", "--json", f"{place}/writer{number}"], stdout=subprocess.PIPE, text=True)
        held = sum(json.loads(line)["records"] for line in records.stdout.splitlines())
        if held:
            fail(f"writer {number} still has {held} records in {left}")

    url = f"s3://{BUCKET}/logs"
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
