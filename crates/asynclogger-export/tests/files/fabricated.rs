//! What no logger writes on demand: given times, a block in two segments, a file of the original.

use std::{collections::BTreeMap, fs, path::Path};

use arrow_array::{Array, cast::AsArray, types::Int64Type};

use super::{batches, export, facts, log::Log, payloads, tree};

const HOUR: i64 = 3_600_000_000_000;
/// 2026-07-01T00:00:00Z.
const MIDNIGHT: i64 = 1_782_864_000_000_000_000;

/// A time and a payload.
type Row = (Option<i64>, Vec<u8>);

/// The rows of each directory.
fn rows(lake: &Path) -> BTreeMap<String, Vec<Row>> {
    let mut found: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for name in tree(lake).keys() {
        let directory = Path::new(name).parent().unwrap().to_str().unwrap().to_owned();
        for batch in batches(&lake.join(name)) {
            let times = batch.column_by_name("ts_ns").unwrap().as_primitive::<Int64Type>();
            let payload = batch.column_by_name("payload").unwrap().as_binary::<i32>();
            let bytes = payload.iter().map(|bytes| bytes.unwrap().to_vec());
            found.entry(directory.clone()).or_default().extend(times.iter().zip(bytes));
        }
    }
    found
}

#[test]
fn the_hours_of_one_block_go_to_two_directories() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    fs::create_dir(&logs).unwrap();
    let records: [(u32, &[u8]); 4] = [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")];
    let mut log = Log::new(MIDNIGHT - 2);
    log.block(MIDNIGHT - 2, &records).end(0, 0);
    fs::write(logs.join("made.log"), &log.bytes).unwrap();
    let exported = export(&logs, &lake);
    assert!(exported.reports[0].is_whole(), "{:?}", exported.reports);
    let before = "event=made/date=2026-06-30/hour=23".to_owned();
    let after = "event=made/date=2026-07-01/hour=00".to_owned();
    let row = |after: i64, bytes: &[u8]| (Some(MIDNIGHT + after), bytes.to_vec());
    let expected = BTreeMap::from([
        (before, vec![row(-2, b"a"), row(-1, b"b")]),
        (after, vec![row(0, b"c"), row(1, b"d")]),
    ]);
    assert_eq!(rows(&lake), expected);
    assert_eq!((exported.records(), exported.files.len()), (4, 2));
}

#[test]
fn a_block_in_two_segments_is_exported_once() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    fs::create_dir(&logs).unwrap();
    let mut first = Log::new(MIDNIGHT);
    first.block(MIDNIGHT, &[(0, b"a"), (1, b"b")]);
    let mut second = first.next_segment();
    first.block(MIDNIGHT + 10, &[(0, b"c"), (1, b"d"), (2, b"e")]);
    second.block(MIDNIGHT + 10, &[(0, b"c"), (1, b"d"), (2, b"e")]);
    second.block(MIDNIGHT + 20, &[(0, b"f")]).end(0, 0);
    fs::write(logs.join("1.log"), &first.bytes).unwrap();
    fs::write(logs.join("2.log"), &second.bytes).unwrap();
    let exported = export(&logs, &lake);
    assert!(exported.reports[0].is_whole(), "{:?}", exported.reports);
    assert_eq!(exported.files.iter().map(|file| file.records).collect::<Vec<_>>(), [5, 1]);
    assert_eq!(payloads(&lake), ["a", "b", "c", "d", "e", "f"].map(|it| it.as_bytes().to_vec()));
}

#[test]
fn a_file_that_is_closed_early_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    fs::create_dir(&logs).unwrap();
    let mut log = Log::new(MIDNIGHT);
    for hour in (0..60).chain([0]) {
        log.block(MIDNIGHT + hour * HOUR, &[(0, b"a")]);
    }
    log.end(7, 2);
    fs::write(logs.join("made.log"), &log.bytes).unwrap();
    let exported = export(&logs, &lake);
    assert_eq!((exported.records(), exported.files.len()), (61, 61));
    let name = |suffix: &str| {
        let log_id = "07".repeat(16);
        format!("event=made/date=2026-07-01/hour=00/{log_id}-000001{suffix}.parquet")
    };
    let (mut early, mut whole) = (Vec::new(), Vec::new());
    for file in &exported.files {
        let facts = facts(&lake.join(&file.name));
        let fact = |name: &str| facts.get(&format!("asynclogger.{name}")).map(String::as_str);
        assert_eq!((fact("records"), fact("times")), (Some("1"), Some("record")));
        let of_segment = ["segment_records", "dropped", "lost", "salvaged"].map(fact);
        if fact("closed_early") == Some("true") {
            assert_eq!(of_segment, [None; 4]);
            early.push(&*file.name);
        } else {
            assert_eq!(of_segment, [Some("61"), Some("7"), Some("0"), Some("2")]);
            whole.push(&*file.name);
        }
    }
    assert_eq!((early.len(), whole.len()), (13, 48));
    assert!(early.contains(&&*name("")) && whole.contains(&&*name(".2")));
    assert_eq!(rows(&lake).len(), 60);
}

#[test]
fn a_file_of_the_original_is_exported_without_times() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    fs::create_dir(&logs).unwrap();
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    for shard in 0..3 {
        let mut valid = Vec::new();
        for number in 0..20 {
            let record = format!("shard {shard}, record {number}");
            valid.extend((record.len() as u32).to_le_bytes());
            valid.extend(record.as_bytes());
            expected.push((None, record.into_bytes()));
        }
        bytes.extend(16_384u32.to_le_bytes());
        bytes.extend((valid.len() as u32).to_le_bytes());
        bytes.extend(valid);
        bytes.resize((shard + 1) * 16_384, 0);
    }
    fs::write(logs.join("old.log"), bytes).unwrap();
    let exported = export(&logs, &lake);
    assert!(exported.reports[0].is_whole(), "{:?}", exported.reports);
    let none = "__HIVE_DEFAULT_PARTITION__";
    let place = format!("event={none}/date={none}/hour={none}");
    assert_eq!(rows(&lake), BTreeMap::from([(place.clone(), expected)]));
    let name = format!("{place}/original-old.log.parquet");
    assert_eq!(exported.files[0].name, name);
    let facts = facts(&lake.join(&name));
    assert_eq!((&*facts["asynclogger.times"], &*facts["asynclogger.records"]), ("none", "60"));
    let batch = batches(&lake.join(&name)).remove(0);
    for column in ["ts", "session"] {
        assert_eq!(batch.column_by_name(column).unwrap().null_count(), 60, "{column}");
    }
}
