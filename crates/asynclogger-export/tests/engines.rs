//! Other programs read what was exported: pyarrow, DuckDB, Polars, DataFusion, where Python has them. The interpreter is
//! `$ASYNCLOGGER_PYTHON`, or `python3`.
#![cfg(all(target_os = "linux", feature = "parquet"))]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use asynclogger::{Config, LoggerManager, Overflow, Timestamps, read::LogDir};
use asynclogger_export::{Directory, Export, Format, Partition};

const RECORDS: u64 = 5000;

/// Runs a script, unless a module is missing.
fn python(modules: &[&str], script: &str, arguments: &[&Path]) -> Option<Output> {
    let python = std::env::var("ASYNCLOGGER_PYTHON").unwrap_or_else(|_| "python3".into());
    for module in modules {
        let found = Command::new(&python).args(["-c", &format!("import {module}")]).output();
        if !found.is_ok_and(|found| found.status.success()) {
            println!("skipped: {python} has no module {module}");
            return None;
        }
    }
    let output = Command::new(&python).args(["-c", script]).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    Some(output)
}

/// Logs of two events; the sum of the numbers in the records.
fn write_logs(logs: &Path) -> u64 {
    fs::create_dir(logs).unwrap();
    let config = Config::new(logs.join("base.log")).overflow(Overflow::Block);
    let manager = LoggerManager::new(config.timestamps(Timestamps::On)).unwrap();
    for number in 0..RECORDS {
        let event = if number % 5 == 0 { "rank/v1" } else { "search" };
        manager.log_bytes_with_event(event, number.to_string().as_bytes());
    }
    manager.close().unwrap();
    (0..RECORDS).sum()
}

fn export(format: Format, logs: &Path, lake: &Path) {
    let export = Export::new(format, Directory::new(lake)).host("h");
    let exported = export.run(LogDir::scan(logs).unwrap().logs, |_| ());
    assert!(exported.error.is_none(), "{:?}", exported.error);
    assert_eq!(exported.records(), RECORDS);
}

#[test]
fn engines_count_and_read_parquet() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    let sum = write_logs(&logs);
    export(Format::Parquet, &logs, &lake);
    let check = |modules: &[&str], script: &str| {
        if let Some(output) = python(modules, script, &[&lake]) {
            let found = String::from_utf8(output.stdout).unwrap();
            assert_eq!(
                found.trim(),
                format!("{RECORDS} {sum} rank/v1=1000 search=4000"),
                "{modules:?}"
            );
        }
    };
    check(
        &["pyarrow.dataset"],
        r#"
import sys, pyarrow.dataset as ds
d = ds.dataset(sys.argv[1], partitioning="hive")
t = d.to_table()
types = {f.name: str(f.type) for f in t.schema}
assert types["ts"] == "timestamp[us, tz=UTC]" and types["ts_ns"] == "int64" and types["payload"] == "binary", types
assert types["host"] == types["session"] == types["file"] == "string" and types["shard"] == "int32", types
assert types["seq"] == types["block"] == "int64", types
events = t.column("event").to_pylist()
print(t.num_rows, sum(int(b) for b in t.column("payload").to_pylist()), *(f"{e}={events.count(e)}" for e in sorted(set(events))))
"#,
    );
    check(
        &["duckdb"],
        r#"
import sys, duckdb
q = f"from read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning=true)"
n, s = duckdb.sql(f"select count(*), sum(payload::varchar::bigint) {q}").fetchall()[0]
print(n, s, *(f"{e}={c}" for e, c in duckdb.sql(f"select event, count(*) {q} group by 1 order by 1").fetchall()))
"#,
    );
    check(
        &["polars"],
        r#"
import sys, polars as pl
t = pl.scan_parquet(sys.argv[1] + "/**/*.parquet", hive_partitioning=True).collect()
c = t.group_by("event").len().sort("event").rows()
print(t.height, sum(int(b) for b in t["payload"]), *(f"{e}={n}" for e, n in c))
"#,
    );
    check(
        &["datafusion"],
        r#"
import sys, datafusion, pyarrow as pa
c = datafusion.SessionContext()
c.register_parquet("t", sys.argv[1], table_partition_cols=[("event", pa.string()), ("date", pa.string()), ("hour", pa.string())])
rows = c.sql("select event, payload from t").to_pylist()
events = [r["event"] for r in rows]
print(len(rows), sum(int(r["payload"]) for r in rows), *(f"{e}={events.count(e)}" for e in sorted(set(events))))
"#,
    );
}

#[test]
fn pyarrow_and_python_read_streams_and_lines() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    let sum = write_logs(&logs);
    for format in [Format::Arrow, Format::JsonLines] {
        export(format, &logs, &lake);
    }
    // One stream of all logs.
    let stream = directory.path().join("all.arrows");
    let file = fs::File::create(&stream).unwrap();
    let exported =
        Export::stream(Format::Arrow, file).run(LogDir::scan(&logs).unwrap().logs, |_| ());
    assert_eq!((exported.records(), exported.error.is_none()), (RECORDS, true));
    let refused = Export::stream(Format::Arrow, std::io::sink()).partition(Partition::new());
    assert!(refused.run(Vec::new(), |_| ()).error.is_some());

    let script = r#"
import glob, json, sys, pyarrow.ipc as ipc
def read(path):
    with open(path, "rb") as f:
        r = ipc.open_stream(f)
        assert r.schema.metadata[b"asynclogger.version"], r.schema
        return r.read_all()
tables = [read(p) for p in glob.glob(sys.argv[1] + "/**/*.arrows", recursive=True)]
assert all("event" not in t.column_names for t in tables)
print(sum(t.num_rows for t in tables), sum(int(b) for t in tables for b in t.column("payload").to_pylist()))
t = read(sys.argv[2])
events = t.column("event").to_pylist()
print(t.num_rows, events.count("search"), events.count("rank/v1"))
lines = [json.loads(l) for p in glob.glob(sys.argv[1] + "/**/*.jsonl", recursive=True) for l in open(p)]
assert all(l["len"] == len(l["data"]) and l["ts"].endswith("Z") for l in lines)
print(len(lines), sum(int(l["data"]) for l in lines), sum(l["event"] == "search" for l in lines))
"#;
    if let Some(output) = python(&["pyarrow.ipc"], script, &[&lake, &stream]) {
        let expected = format!("{RECORDS} {sum}\n{RECORDS} 4000 1000\n{RECORDS} {sum} 4000\n");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}
