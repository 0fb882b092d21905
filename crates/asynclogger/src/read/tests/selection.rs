//! Blocks by their times, and the last records of a log.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{
    super::{Layout, LogDir, Loss, OwnedRecord, ReadOptions, Reader, Record},
    builder::*,
};
use crate::{Error, format::time::from_nanoseconds};

fn all(mut next: impl FnMut() -> Result<Option<OwnedRecord>, Error>) -> Vec<OwnedRecord> {
    std::iter::from_fn(|| next().expect("read")).collect()
}

fn read_log(log: &mut LogDir) -> Vec<OwnedRecord> {
    all(|| Ok(log.next_record()?.map(Record::into_owned)))
}

fn read_reader(reader: &mut Reader) -> Vec<OwnedRecord> {
    all(|| Ok(reader.next_record()?.map(Record::into_owned)))
}

/// Three segments of two sessions, the last one active; their names do not show the order.
fn log_in(dir: &Path) -> Builder {
    let mut log = Builder::new();
    log.session(0xE).block(0, &records(1, 4, 30)).block(1, &records(2, 3, 30));
    fs::write(dir.join("c.log"), log.rotate()).expect("written");
    log.block(0, &records(3, 5, 30)).block(0, &records(4, 3, 70_000));
    fs::write(dir.join("a.log"), log.rotate()).expect("written");
    log.block(1, &records(5, 2, 30)).end().session(0xF).block(1, &records(6, 2, 30));
    fs::write(dir.join("b.log"), &log.bytes).expect("written");
    log
}

fn time_of(record: &OwnedRecord) -> SystemTime {
    record.time.expect("a record of ours")
}

/// Every time between two blocks, and times before and after all of them; no file can store two of these.
fn bounds(records: &[OwnedRecord]) -> Vec<SystemTime> {
    let after = |it: &OwnedRecord| time_of(it) + Duration::from_nanos(1);
    let mut times: Vec<_> = records.iter().flat_map(|it| [time_of(it), after(it)]).collect();
    let (first, last) = (from_nanoseconds(i64::MIN), from_nanoseconds(i64::MAX));
    let second = Duration::from_secs(1);
    times.extend([first - second, first, last, last + second]);
    times.sort_unstable();
    times.dedup();
    times
}

#[test]
fn blocks_are_chosen_by_their_times() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.log");
    let log = large_sample();
    fs::write(&path, &log.bytes).expect("written");
    let whole = read_reader(&mut Reader::open(&path)?);
    for since in bounds(&whole) {
        for until in bounds(&whole) {
            let mut reader = ReadOptions::new().since(since).until(until).open(&path)?;
            let found = read_reader(&mut reader);
            let expected = whole.iter().filter(|it| since <= time_of(it) && time_of(it) < until);
            assert!(found.iter().eq(expected), "{since:?} to {until:?}");
            let report = reader.report();
            assert!(report.is_whole(), "{report:#?}");
            let skipped = (whole.len() - found.len()) as u64;
            assert_eq!((report.records, report.skipped_records), (found.len() as u64, skipped));
            assert_eq!(report.sessions[0].skipped_records, skipped);
        }
    }
    Ok(())
}

#[test]
fn of_blocks_that_are_not_asked_for_only_the_head_is_read() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.log");
    let log = large_sample();
    let whole = read(log.bytes.clone())?;
    let first = log.parts[1].clone();
    let mut bad = log.bytes.clone();
    // All of the first block but its head.
    bad[first.start + 4096..first.end].fill(0xEE);
    fs::write(&path, &bad).expect("written");
    let second = time_of(&read_reader(&mut Reader::open(&path)?)[0]);
    let mut reader = ReadOptions::new().since(second).open(&path)?;
    assert_eq!(read_reader(&mut reader).len(), whole.records.len() - 90);
    assert!(reader.report().is_whole(), "{:#?}", reader.report());
    // Damage among the selected blocks is found.
    let mut reader = ReadOptions::new().until(second).open(&path)?;
    assert!(read_reader(&mut reader).is_empty());
    assert_eq!(reader.report().lost, Loss::exact(90));
    Ok(())
}

#[test]
fn a_torn_block_that_is_not_asked_for_is_told_and_not_delivered() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.log");
    let log = large_sample();
    fs::write(&path, &log.bytes[..log.parts[3].end - 9000]).expect("written");
    let whole = read_reader(&mut Reader::open(&path)?);
    let last = time_of(whole.last().expect("a record"));
    let mut reader = ReadOptions::new().until(last).open(&path)?;
    assert!(read_reader(&mut reader).iter().eq(whole.iter().filter(|it| time_of(it) < last)));
    assert_eq!(reader.report().lost, Reader::open(&path)?.read_to_end()?.lost);
    Ok(())
}

#[test]
fn segments_before_those_that_are_asked_for_are_not_told_of() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    log_in(dir.path());
    let open = |options: ReadOptions| options.open_log(dir.path().join("b.log"));
    let whole = read_log(&mut open(ReadOptions::new())?);
    assert_eq!(whole.len(), 19);
    let mut read_segments = BTreeMap::new();
    for since in bounds(&whole) {
        for until in bounds(&whole) {
            let mut log = open(ReadOptions::new().since(since).until(until))?;
            let found = read_log(&mut log);
            let expected = whole.iter().filter(|it| since <= time_of(it) && time_of(it) < until);
            assert!(found.iter().eq(expected), "{since:?} to {until:?}");
            let report = log.report();
            assert!(report.is_whole(), "{since:?} to {until:?}: {report:#?}");
            assert_eq!(report.records, found.len() as u64);
            *read_segments.entry(report.segments.len()).or_insert(0) += 1;
        }
    }
    assert_eq!(read_segments.into_keys().collect::<Vec<_>>(), [1, 2, 3]);
    let last = time_of(whole.last().expect("a record"));
    let mut log = open(ReadOptions::new().since(last))?;
    assert_eq!((read_log(&mut log).len(), log.report().segments.len()), (2, 1));
    Ok(())
}

/// The options of a log are those of its readers: the caller decides how the files are read.
#[test]
fn a_log_is_read_by_the_layout_that_is_asked_for() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    log_in(dir.path());
    let path = dir.path().join("b.log");
    let whole = read_log(&mut LogDir::open(&path)?);
    for layout in [Layout::Seed, Layout::Capacity] {
        let options = ReadOptions::new().layout(layout);
        let mut log = options.open_log(&path)?;
        let found = read_log(&mut log);
        assert!(found.iter().map(|it| &it.bytes).eq(whole.iter().map(|it| &it.bytes)), "{layout}");
        assert!(found.iter().all(|it| it.time.is_none()));
        let report = log.report();
        assert_eq!((report.records, report.segments.len()), (19, 3));
        assert_eq!(format!("{report:?}"), format!("{:?}", log.verify()?));
        // The cost of all files together, not of the first one alone.
        let each = report.segments.iter().map(|segment| segment.lost.at_most);
        assert_eq!(report.lost.at_most, each.sum::<Option<u64>>());
        log.seek_last(5)?;
        assert!(
            read_log(&mut log)
                .iter()
                .map(|it| &it.bytes)
                .eq(whole[14..].iter().map(|it| &it.bytes))
        );
        let logs = options.scan(dir.path())?.logs;
        assert_eq!(logs.len(), 1);
        assert!(logs.into_iter().all(|mut log| read_log(&mut log).len() == 19));
    }
    Ok(())
}

/// A clock is set back and ahead, within segments and between them: no record is lost by that, and every
/// block is selected by its own time.
#[test]
fn blocks_are_chosen_by_their_times_whatever_the_clock_did() -> Result<(), Error> {
    let hour = 3_600_000_000_000;
    for steps in [[-hour, 0, 0], [0, -hour, 0], [hour, -hour, 0], [-hour, hour, -2 * hour]] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Builder::new();
        log.session(0xE).block(0, &records(1, 4, 30)).block(1, &records(2, 3, 30));
        for (step, name) in steps.iter().zip(["1.log", "2.log", "3.log"]) {
            log.block(0, &records(3, 2, 30));
            log.clock += step;
            log.block(1, &records(4, 2, 30));
            log.clock -= step / 2;
            fs::write(dir.path().join(name), log.rotate()).expect("written");
            log.clock += step / 3;
            log.block(0, &records(5, 2, 30));
        }
        log.block(0, &records(6, 2, 30)).end();
        fs::write(dir.path().join("4.log"), &log.bytes).expect("written");
        let path = dir.path().join("4.log");
        let whole = read_log(&mut LogDir::open(&path)?);
        assert_eq!(whole.len(), log.written.len());
        for since in bounds(&whole) {
            for until in bounds(&whole) {
                let mut log = ReadOptions::new().since(since).until(until).open_log(&path)?;
                let expected =
                    whole.iter().filter(|it| since <= time_of(it) && time_of(it) < until);
                assert!(
                    read_log(&mut log).iter().eq(expected),
                    "{steps:?}: {since:?} to {until:?}"
                );
                assert!(log.report().is_whole(), "{:#?}", log.report());
            }
        }
    }
    Ok(())
}

#[test]
fn damage_before_the_last_records_does_not_move_them() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.log");
    let log = large_sample();
    let mut bad = log.bytes.clone();
    // The first chunk of the first block, which has 90 records.
    bad[log.parts[1].start + 4096 + 100] ^= 1;
    fs::write(&path, &bad).expect("written");
    for count in [log.written.len() - 80, log.written.len() - 30, log.written.len() - 26] {
        let mut opened = LogDir::open(&path)?;
        opened.seek_last(count as u64)?;
        let found = read_log(&mut opened);
        assert!(found.len() <= count && found.len() + 5 > count, "{count}: {}", found.len());
        let expected = log.written[log.written.len() - found.len()..].iter().map(|r| r.position);
        assert!(found.iter().map(|it| it.position).eq(expected), "{count}");
    }
    Ok(())
}

#[test]
fn the_last_records_are_found_from_behind() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    log_in(dir.path());
    let open = || LogDir::open(dir.path().join("b.log"));
    let whole = read_log(&mut open()?);
    for count in 0..whole.len() + 3 {
        let mut log = open()?;
        // From any place that the reading has reached.
        for _ in 0..count {
            log.next_record()?;
        }
        log.seek_last(count as u64)?;
        let found = read_log(&mut log);
        assert_eq!(found, whole[whole.len() - count.min(whole.len())..], "{count}");
        assert!(log.report().is_whole(), "{count}: {:#?}", log.report());
        assert_eq!(
            log.report().segments.len(),
            match count {
                0..=4 => 1,
                5..=12 => 2,
                _ => 3,
            }
        );
    }
    // One segment alone, and then the segments after it.
    let mut log = open()?;
    log.retain(|segment| segment.id <= 2);
    log.seek_last(4)?;
    assert_eq!(read_log(&mut log), whole[11..15]);
    log.refresh()?;
    assert_eq!(read_log(&mut log), whole[15..]);
    Ok(())
}

#[test]
fn the_last_records_of_a_growing_file_go_on() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.log");
    let log = large_sample();
    let written = |range: std::ops::Range<usize>| log.written[range].iter().map(|r| r.position);
    // Two blocks, and the beginning of a third, which is being written.
    let cut = log.parts[3].start + 4096 + 70_000;
    fs::write(&path, &log.bytes[..cut]).expect("written");
    let mut opened = ReadOptions::new().follow(true).open_log(&path)?;
    opened.seek_last(40)?;
    let mut found = read_log(&mut opened);
    fs::write(&path, &log.bytes).expect("written");
    found.extend(read_log(&mut opened));
    let first = log.written.len() - found.len();
    assert!(first < log.written.len() - 70, "it begins before the third block");
    assert!(found.iter().map(|it| it.position).eq(written(first..log.written.len())));
    assert!(opened.report().is_whole());
    Ok(())
}

#[test]
fn an_empty_file_is_followed_over_its_rotation() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("b.log");
    fs::write(&path, []).expect("written");
    let mut opened = ReadOptions::new().follow(true).open_log(&path)?;
    opened.seek_last(10)?;
    assert!(read_log(&mut opened).is_empty());
    let mut log = Builder::new();
    log.session(0xE).block(0, &records(1, 4, 30));
    fs::write(&path, &log.bytes).expect("written");
    assert_eq!(read_log(&mut opened).len(), 4);
    fs::write(&path, log.rotate()).expect("written");
    fs::rename(&path, dir.path().join("b_1.log")).expect("renamed");
    log.block(0, &records(2, 3, 30));
    fs::write(&path, &log.bytes).expect("written");
    opened.refresh()?;
    assert_eq!(read_log(&mut opened).len(), 3);
    assert_eq!(opened.finished().len(), 1);
    Ok(())
}
