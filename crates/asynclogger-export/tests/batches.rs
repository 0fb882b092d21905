//! Records become batches: exact contents, order, nulls, texts.
#![cfg(target_os = "linux")]

use std::time::{Duration, UNIX_EPOCH};

use arrow_array::{
    Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Int32Type, Int64Type, TimestampMicrosecondType},
};
use asynclogger::{Config, Logger, Timestamps, read::LogDir};
use asynclogger_export::batches::{BatchBuilder, Columns, Full, Origin, Strings, to_nanoseconds};

fn text(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let texts: &StringArray = batch.column_by_name(column).unwrap().as_string();
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

fn numbers(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().iter().collect()
}

fn payloads(batch: &RecordBatch) -> Vec<Vec<u8>> {
    let payload = batch.column_by_name("payload").unwrap().as_binary::<i32>();
    payload.iter().map(|bytes| bytes.unwrap().to_vec()).collect()
}

#[test]
fn each_record_is_a_row() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let logger = Logger::new(Config::new(&path).timestamps(Timestamps::On)).unwrap();
    let records: Vec<Vec<u8>> = (0..1000u32).map(|n| n.to_string().into_bytes()).collect();
    for record in &records {
        logger.log_bytes(record);
    }
    logger.close().unwrap();

    let mut log = LogDir::open(&path).unwrap();
    let mut rows = BatchBuilder::new(Columns::new());
    let source = rows.source(b"event \xff", Some("host"), "a.log");
    let mut expected = Vec::new();
    while let Some(block) = log.next_block().unwrap() {
        assert!(block.has_times());
        rows.append_block(source, &block).unwrap();
        for record in block.records() {
            expected.push((
                record.time(),
                record.position(),
                block.offset(),
                record.bytes().to_vec(),
            ));
        }
    }
    assert_eq!((rows.rows(), expected.len()), (1000, 1000));
    let batch = rows.finish().unwrap();
    assert_eq!((batch.num_rows(), rows.rows()), (1000, 0));

    let mut found = payloads(&batch);
    assert_eq!(found, expected.iter().map(|it| it.3.clone()).collect::<Vec<_>>());
    found.sort();
    let mut sorted = records.clone();
    sorted.sort();
    assert_eq!(found, sorted);
    assert_eq!(text(&batch, "event"), vec![Some("event \u{fffd}".to_owned()); 1000]);
    assert_eq!(text(&batch, "host"), vec![Some("host".to_owned()); 1000]);
    assert_eq!(text(&batch, "file"), vec![Some("a.log".to_owned()); 1000]);
    let sessions = expected.iter().map(|it| Some(format!("{:016x}", it.1.session())));
    assert_eq!(text(&batch, "session"), sessions.collect::<Vec<_>>());
    let shards = batch.column_by_name("shard").unwrap().as_primitive::<Int32Type>();
    let shards: Vec<u32> = shards.values().iter().map(|shard| *shard as u32).collect();
    assert_eq!(shards, expected.iter().map(|it| it.1.shard()).collect::<Vec<_>>());
    let seq = expected.iter().map(|it| Some(it.1.number() as i64));
    assert_eq!(numbers(&batch, "seq"), seq.collect::<Vec<_>>());
    let offsets = expected.iter().map(|it| Some(it.2 as i64));
    assert_eq!(numbers(&batch, "block"), offsets.collect::<Vec<_>>());
    let times: Vec<Option<i64>> = expected
        .iter()
        .map(|it| it.0.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap())
        .map(|since| Some(since.as_nanos() as i64))
        .collect();
    assert_eq!(numbers(&batch, "ts_ns"), times);
    let ts = batch.column_by_name("ts").unwrap().as_primitive::<TimestampMicrosecondType>();
    let micros = times.iter().map(|time| time.map(|time| time / 1000));
    assert_eq!(ts.iter().collect::<Vec<_>>(), micros.collect::<Vec<_>>());
    assert_eq!(ts.timezone(), Some("UTC"));
}

/// Rows of two runs, whose times overlap.
fn two_runs(columns: Columns) -> BatchBuilder {
    let mut rows = BatchBuilder::new(columns);
    let (a, b) = (rows.source(b"e", None, "a.log"), rows.source(b"e", Some("h"), "b.log"));
    rows.begin(a, Origin { session: Some(u64::MAX), shard: 3, block: Some(4096) });
    rows.append(Some(10), 0, b"ten").unwrap();
    rows.append(Some(30), 1, b"thirty").unwrap();
    rows.begin(b, Origin { session: None, shard: 0, block: None });
    rows.append(None, 7, b"none").unwrap();
    rows.append(Some(-1), 8, b"").unwrap();
    rows.append(Some(30), 9, b"thirty, too").unwrap();
    rows
}

#[test]
fn rows_come_in_the_order_of_their_times() {
    let mut rows = two_runs(Columns::new().event(false));
    let batches: Vec<RecordBatch> = rows.finish_by_time(9).map(Result::unwrap).collect();
    let sizes: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes, [3, 1, 1]);
    let all = |of: &dyn Fn(&RecordBatch) -> Vec<Option<i64>>| batches.iter().flat_map(of).collect();
    let seq: Vec<Option<i64>> = all(&|batch| numbers(batch, "seq"));
    assert_eq!(seq, [7, 8, 0, 1, 9].map(Some));
    let times: Vec<Option<i64>> = all(&|batch| numbers(batch, "ts_ns"));
    assert_eq!(times, [None, Some(-1), Some(10), Some(30), Some(30)]);
    let blocks: Vec<Option<i64>> = all(&|batch| numbers(batch, "block"));
    assert_eq!(blocks, [None, None, Some(4096), Some(4096), None]);
    let first = &batches[0];
    assert_eq!(text(first, "file"), ["b.log", "b.log", "a.log"].map(|it| Some(it.to_owned())));
    assert_eq!(text(first, "host"), [Some("h".to_owned()), Some("h".to_owned()), None]);
    assert_eq!(text(first, "session"), [None, None, Some("f".repeat(16))]);
    assert_eq!(first.column_by_name("event"), None);
    let ts = first.column_by_name("ts").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(ts.iter().collect::<Vec<_>>(), [None, Some(-1), Some(0)]);
    assert_eq!(rows.rows(), 0);
    assert_eq!(rows.finish().unwrap().num_rows(), 0);
}

#[test]
fn a_dictionary_has_the_same_texts() {
    let mut rows = two_runs(Columns::new().strings(Strings::Dictionary));
    let batch = rows.finish().unwrap();
    let sessions = batch.column_by_name("session").unwrap().as_dictionary::<Int32Type>();
    assert_eq!(sessions.values().as_string::<i32>().value(0), "f".repeat(16));
    assert_eq!((sessions.null_count(), sessions.len()), (3, 5));
    let files = batch.column_by_name("file").unwrap().as_dictionary::<Int32Type>();
    assert_eq!(files.keys().values().to_vec(), [0, 0, 1, 1, 1]);
}

#[test]
fn the_sources_stay_for_the_next_batch() {
    let mut rows = two_runs(Columns::new());
    let _ = rows.finish().unwrap();
    let source = rows.source(b"e", None, "c.log");
    rows.begin(source, Origin { session: None, shard: 0, block: None });
    assert_eq!(rows.append(None, 0, b"x"), Ok::<(), Full>(()));
    let batch = rows.finish().unwrap();
    assert_eq!(
        (text(&batch, "file"), payloads(&batch)),
        (vec![Some("c.log".into())], vec![b"x".to_vec()])
    );
}

#[test]
fn a_time_beyond_64_bits_becomes_the_nearest_one() {
    let second = Duration::from_secs(1);
    assert_eq!(to_nanoseconds(UNIX_EPOCH + second), 1_000_000_000);
    assert_eq!(to_nanoseconds(UNIX_EPOCH - second), -1_000_000_000);
    let far = Duration::from_secs(1 << 40);
    assert_eq!(to_nanoseconds(UNIX_EPOCH + far), i64::MAX);
    // The smallest number stands for no time.
    assert_eq!(to_nanoseconds(UNIX_EPOCH - far), i64::MIN + 1);
}
