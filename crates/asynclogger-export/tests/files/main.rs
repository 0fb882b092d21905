//! Whole logs become files: exact counts and contents, partitions, damage, repetition.
#![cfg(all(target_os = "linux", feature = "parquet"))]

mod fabricated;
mod log;
mod memory;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};
use asynclogger::{
    Config, Logger, LoggerManager, Overflow, Rotation, Timestamps,
    read::{LogDir, ReadOptions},
};
use asynclogger_export::{Decode, Directory, ErrorKind, Export, Exported, Format, Partition};
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder, file::reader::FileReader,
    file::serialized_reader::SerializedFileReader,
};

/// All files below a directory, by their paths relative to it.
fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fn visit(root: &Path, directory: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(root, &path, found);
            } else if let Ok(bytes) = fs::read(&path) {
                // A hidden file can have got its name meanwhile.
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, bytes);
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(directory, directory, &mut found);
    found
}

fn batches(path: &Path) -> Vec<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    builder.build().unwrap().map(Result::unwrap).collect()
}

/// The payloads of all files below a directory.
fn payloads(lake: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for name in tree(lake).keys() {
        for batch in batches(&lake.join(name)) {
            let column = batch.column_by_name("payload").unwrap().as_binary::<i32>().clone();
            found.extend(column.iter().map(|bytes| bytes.unwrap().to_vec()));
        }
    }
    found.sort();
    found
}

fn facts(path: &Path) -> BTreeMap<String, String> {
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let facts = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    facts.into_iter().map(|fact| (fact.key, fact.value.unwrap())).collect()
}

fn scan(directory: &Path) -> Vec<LogDir> {
    LogDir::scan(directory).unwrap().logs
}

fn export(logs: &Path, lake: &Path) -> Exported {
    let exported = Export::new(Format::Parquet, Directory::new(lake)).run(scan(logs), |_| ());
    assert!(exported.error.is_none(), "{:?}", exported.error);
    exported
}

/// A log of `count` records, in buffers of 64 KiB.
fn write_log(path: &Path, count: u32) -> Vec<Vec<u8>> {
    let config = Config::new(path).buffer_size(512 << 10).num_shards(4);
    let config = config.overflow(Overflow::Block);
    let config = config.timestamps(Timestamps::On).rotation(Rotation::new().max_size(1 << 20));
    let logger = Logger::new(config).unwrap();
    let record = |n: u32| {
        let mut record = n.to_le_bytes().to_vec();
        record.resize(200 + (n % 100) as usize, b'a' + (n % 26) as u8);
        record
    };
    let mut records: Vec<Vec<u8>> = (0..count).map(record).collect();
    records.iter().for_each(|record| logger.log_bytes(record));
    let stats = logger.close().unwrap();
    assert_eq!((stats.accepted, stats.dropped_logs), (u64::from(count), 0));
    records.sort();
    records
}

#[test]
fn records_in_are_records_out_and_a_repetition_gives_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    fs::create_dir(&logs).unwrap();
    let records = write_log(&logs.join("a.log"), 20_000);
    let exported = export(&logs, &lake);
    assert_eq!(exported.records(), 20_000);
    assert!(exported.reports.iter().all(|report| report.is_whole()));
    assert_eq!(payloads(&lake), records);
    let first = tree(&lake);
    assert!(first.len() > 2, "one file a segment: {:?}", first.keys());
    assert_eq!(
        exported.files.iter().map(|it| &it.name).collect::<Vec<_>>(),
        first.keys().collect::<Vec<_>>()
    );
    let (mut in_facts, mut in_segments) = (0, 0);
    for name in first.keys() {
        let facts = facts(&lake.join(name));
        in_facts += facts["asynclogger.records"].parse::<u64>().unwrap();
        in_segments += facts["asynclogger.segment_records"].parse::<u64>().unwrap();
        assert_eq!((&*facts["asynclogger.times"], &*facts["asynclogger.lost"]), ("record", "0"));
        assert_eq!((&*facts["asynclogger.event"], &*facts["asynclogger.dropped"]), ("a", "0"));
        assert!(name.starts_with("event=a/date=") && name.contains("/hour="), "{name}");
        for batch in batches(&lake.join(name)) {
            assert!(batch.column_by_name("event").is_none(), "the path has the event");
            let times = batch.column_by_name("ts_ns").unwrap().as_primitive::<Int64Type>().clone();
            assert!(times.values().is_sorted(), "one row group, in the order of time");
        }
    }
    assert_eq!(in_facts, 20_000);
    assert!(in_segments >= 20_000);
    let again = export(&logs, &lake);
    assert_eq!(again.records(), 20_000);
    assert_eq!(tree(&lake), first);
}

#[test]
fn a_file_that_is_not_ours_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    fs::create_dir(&logs).unwrap();
    write_log(&logs.join("a.log"), 10);
    for format in [Format::Parquet, Format::Arrow, Format::JsonLines] {
        let run = || Export::new(format, Directory::new(&lake)).run(scan(&logs), |_| ());
        let name = run().files.first().unwrap().name.clone();
        assert!(run().error.is_none(), "our own is replaced");
        fs::write(lake.join(&name), b"precious").unwrap();
        let error = run().error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        assert_eq!(fs::read(lake.join(&name)).unwrap(), b"precious");
    }
    let hidden = tree(&lake).keys().filter(|name| name.contains(".part")).count();
    assert_eq!(hidden, 0);
}

#[test]
fn hostile_names_of_events_stay_in_the_lake() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake/in/it"));
    fs::create_dir(&logs).unwrap();
    let manager = LoggerManager::new(Config::new(logs.join("base.log"))).unwrap();
    let names = ["..", "a/../../b", "a_b", "a/b", "ä", "x=y", "%2F", "a b"];
    for name in names {
        manager.log_bytes_with_event(name, name.as_bytes());
    }
    manager.close().unwrap();
    let exported = export(&logs, &lake);
    assert_eq!(exported.records(), names.len() as u64);
    let found = tree(directory.path());
    let outside = found
        .keys()
        .filter(|name| !name.starts_with("logs/") && !name.starts_with("lake/in/it/event="));
    assert_eq!(outside.count(), 0, "{:?}", found.keys());
    assert_eq!(exported.files.len(), names.len());
    let mut expected: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
    expected.sort();
    assert_eq!(payloads(&lake), expected);
}

#[test]
fn what_survives_damage_is_exported() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    fs::create_dir(&logs).unwrap();
    write_log(&logs.join("a.log"), 20_000);
    let segments: Vec<PathBuf> =
        scan(&logs)[0].segments().iter().map(|it| it.path.clone()).collect();
    let mut bytes = fs::read(&segments[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100].fill(0xff);
    fs::write(&segments[1], bytes).unwrap();
    let mut log = LogDir::open(&segments[0]).unwrap();
    let mut expected = Vec::new();
    while let Some(record) = log.next_record().unwrap() {
        expected.push(record.bytes().to_vec());
    }
    expected.sort();
    let report = log.report();
    assert!(!report.lost.is_none() && expected.len() < 20_000);
    let exported = export(&logs, &lake);
    assert_eq!(exported.records(), expected.len() as u64);
    assert_eq!(payloads(&lake), expected);
    assert_eq!(exported.reports[0].lost, report.lost);
    let lost: Vec<String> = tree(&lake)
        .keys()
        .map(|name| facts(&lake.join(name))["asynclogger.lost"].clone())
        .filter(|lost| lost != "0")
        .collect();
    assert_eq!(lost, [report.segments[1].lost.to_string()]);
}

#[test]
fn jobs_share_the_logs() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let mut records = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        records.extend(write_log(&logs.join(name).with_extension("log"), 3000));
    }
    records.sort();
    let trees = [1, 2, 16].map(|jobs| {
        let lake = directory.path().join(jobs.to_string());
        let export = Export::new(Format::Parquet, Directory::new(&lake)).jobs(jobs);
        let exported = export.run(scan(&logs), |_| ());
        assert!(exported.error.is_none());
        assert_eq!((exported.records(), exported.reports.len()), (15_000, 5));
        assert_eq!(payloads(&lake), records);
        tree(&lake)
    });
    assert!(trees[0] == trees[1] && trees[1] == trees[2], "rows below the limit: the same groups");
}

#[test]
fn settings_without_sense_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let new = || Export::new(Format::Parquet, Directory::new(directory.path()));
    let by_hour = Partition::none().hour(true);
    for export in [new().jobs(0), new().jobs(17), new().level(0), new().partition(by_hour)] {
        assert_eq!(export.run(Vec::new(), |_| ()).error.unwrap().kind(), ErrorKind::Settings);
    }
}

#[test]
fn a_log_given_twice_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    fs::create_dir(&logs).unwrap();
    write_log(&logs.join("a.log"), 10);
    let twice = scan(&logs).into_iter().chain(scan(&logs)).collect();
    let exported = Export::new(Format::Parquet, Directory::new(&lake)).run(twice, |_| ());
    assert_eq!(exported.error.unwrap().kind(), ErrorKind::Settings);
}

#[test]
fn payloads_are_decoded_or_kept() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let logger = Logger::new(Config::new(logs.join("a.log")).num_shards(1)).unwrap();
    let records: [&[u8]; 4] = [b"{\"a\":1}", b"text", b"\xff", b"[1,\n2]"];
    records.iter().for_each(|record| logger.log_bytes(record));
    logger.close().unwrap();
    let run = |decode, keep, lake: &str| {
        let lake = directory.path().join(lake);
        let export = Export::new(Format::Parquet, Directory::new(&lake));
        let exported = export.decode(decode).keep_payload(keep).run(scan(&logs), |_| ());
        assert!(exported.error.is_none(), "{:?}", exported.error);
        let name = &exported.files[0].name;
        let batch = batches(&lake.join(name)).remove(0);
        let text = batch.column(batch.num_columns() - 1).as_string::<i32>();
        let text: Vec<Option<String>> = text.iter().map(|it| it.map(str::to_owned)).collect();
        let payload = batch.column_by_name("payload").unwrap().as_binary::<i32>();
        let payload: Vec<Option<Vec<u8>>> =
            payload.iter().map(|it| it.map(<[u8]>::to_vec)).collect();
        (text, payload, exported.undecoded)
    };
    let some = |index: usize| Some(String::from_utf8(records[index].to_vec()).unwrap());
    let raw = |index: usize| Some(records[index].to_vec());
    assert_eq!(
        run(Decode::Utf8, false, "utf8"),
        (vec![some(0), some(1), None, some(3)], vec![None, None, raw(2), None], 1)
    );
    assert_eq!(
        run(Decode::Json, false, "json"),
        (vec![some(0), None, None, some(3)], vec![None, raw(1), raw(2), None], 2)
    );
    let (text, payload, _) = run(Decode::Json, true, "kept");
    assert_eq!((text, payload), (vec![some(0), None, None, some(3)], (0..4).map(raw).collect()));
}

#[test]
fn a_selection_is_exported_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (logs, lake) = (directory.path().join("logs"), directory.path().join("lake"));
    fs::create_dir(&logs).unwrap();
    write_log(&logs.join("a.log"), 100);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let none = ReadOptions::new().since(later).scan(&logs).unwrap().logs;
    let exported = Export::new(Format::Parquet, Directory::new(&lake)).run(none, |_| ());
    assert_eq!((exported.records(), exported.files.len()), (0, 0));
}

/// Kills exports at many moments; then a whole one gives the same files as one that was never killed.
#[test]
fn a_repetition_after_a_kill_gives_the_same_bytes() {
    const LAKE: &str = "ASYNCLOGGER_EXPORT_TEST";
    let name = "a_repetition_after_a_kill_gives_the_same_bytes";
    if let Ok(directory) = std::env::var(LAKE) {
        let _ = export(&Path::new(&directory).join("logs"), &Path::new(&directory).join("killed"));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let logs = directory.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let records = write_log(&logs.join("a.log"), 20_000);
    let _ = export(&logs, &directory.path().join("whole"));
    let whole = tree(&directory.path().join("whole"));
    let killed = directory.path().join("killed");
    let visible = || {
        let all = if killed.exists() { tree(&killed) } else { BTreeMap::new() };
        all.into_iter().filter(|(name, _)| !name.contains(".part")).collect::<BTreeMap<_, _>>()
    };
    for files in 0..whole.len() {
        // The child is killed when so many of its files are complete.
        let _ = fs::remove_dir_all(&killed);
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact"])
            .env(LAKE, directory.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while visible().len() < files && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        let _ = child.wait().unwrap();
        for (name, bytes) in visible() {
            assert!(whole[&name] == bytes, "{name} is complete, or not there");
        }
    }
    let exported = export(&logs, &killed);
    assert_eq!(exported.records(), 20_000);
    assert!(visible() == whole);
    assert_eq!(payloads(&directory.path().join("whole")), records);
}
