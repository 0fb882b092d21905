//! Times of records: of each its own, through damage, and exact in a selection.

use std::{fs, time::SystemTime};

use super::{
    super::{DamageKind, Format, LogDir, OwnedRecord, ReadOptions, Reader, Record},
    builder::*,
};
use crate::{
    Error,
    format::{
        checksum::{crc32c, crc32c_append},
        time::from_nanoseconds,
    },
};

fn owned(reader: &mut Reader) -> Vec<OwnedRecord> {
    std::iter::from_fn(|| reader.next_record().expect("read").map(Record::into_owned)).collect()
}

fn owned_of_log(log: &mut LogDir) -> Vec<OwnedRecord> {
    std::iter::from_fn(|| log.next_record().expect("read").map(Record::into_owned)).collect()
}

fn times(log: &Builder) -> Vec<i128> {
    log.written.iter().map(|record| i128::from(record.time)).collect()
}

#[test]
fn each_record_has_its_own_time() -> Result<(), Error> {
    let log = timed_sample();
    let got = read(log.bytes.clone())?;
    check_losses(&log, &got, "whole");
    assert_eq!(got.times, times(&log));
    assert!(got.report.is_whole(), "{:#?}", got.report);
    assert_eq!(got.report.format, Format::Native { version: 2 });
    // By blocks, too; a block's own time is still that of its seal.
    let mut reader = Reader::from_bytes(log.bytes.clone())?;
    let mut by_blocks = Vec::new();
    while let Some(block) = reader.next_block()? {
        let last = block.records().last().and_then(|record| record.time());
        assert!(last < block.time(), "{last:?}");
        by_blocks.extend(block.records().map(|record| record.time()));
    }
    let expected = log.written.iter().map(|record| Some(from_nanoseconds(record.time)));
    assert!(by_blocks.into_iter().eq(expected));
    Ok(())
}

#[test]
fn blocks_with_and_without_times_stand_in_one_file() -> Result<(), Error> {
    let mut log = Builder::new();
    log.session(1).block(0, &records(1, 3, 9));
    log.is_timed = true;
    log.block(0, &records(2, 3, 9));
    log.is_timed = false;
    log.block(0, &records(3, 3, 9)).end();
    let got = read(log.bytes.clone())?;
    check_losses(&log, &got, "mixed");
    assert_eq!(got.times, times(&log));
    Ok(())
}

/// The head has the times; a tail has them, too, if it has the room. Damage in either costs no record.
#[test]
fn a_damaged_head_costs_times_only_where_the_tail_has_no_room_for_them() -> Result<(), Error> {
    let log = timed_sample();
    let whole = times(&log);
    for (part, count, keeps) in [(1, 9, true), (2, 1500, false), (3, 4, true)] {
        let (head, tail) = (log.parts[part].start, log.parts[part].end - 1);
        for (at, keeps) in [(head + 100, keeps), (tail, true)] {
            let mut bytes = log.bytes.clone();
            bytes[at] ^= 1;
            let got = read(bytes)?;
            check_losses(&log, &got, "damaged metadata");
            assert_eq!(kinds(&got.report), [DamageKind::Metadata]);
            assert_eq!(got.records.len(), log.written.len());
            let is_block_time = log.written.iter().zip(&got.times);
            let is_block_time =
                is_block_time.filter(|(written, time)| i128::from(written.block_time) == **time);
            assert_eq!(is_block_time.count(), if keeps { 0 } else { count }, "part {part}");
            assert_eq!(got.times == whole, keeps);
        }
    }
    Ok(())
}

/// Every byte of a head whose column the tail does not have, and of the tail: never another record's time.
#[test]
fn no_damaged_byte_gives_a_record_the_time_of_another() -> Result<(), Error> {
    let log = timed_sample();
    let block = log.parts[2].clone();
    let places = block.clone().step_by(37).chain(block.start..block.start + 300);
    for at in places {
        let mut bytes = log.bytes.clone();
        bytes[at] ^= 0x10;
        let got = read(bytes)?;
        check_losses(&log, &got, &format!("byte {at:#x}"));
        assert!(!got.report.is_whole(), "byte {at:#x}");
    }
    Ok(())
}

/// A scale that names another greatest entry than its column has is nonsense under a right checksum. The other end of the
/// block says it right.
#[test]
fn a_scale_that_contradicts_its_column_is_damage() -> Result<(), Error> {
    let log = timed_sample();
    let head = log.parts[1].start..log.parts[1].start + 4096;
    let mut bytes = log.bytes.clone();
    let block = &mut bytes[head.clone()];
    block[4096 - 8] ^= 1;
    let checksum = crc32c_append(crc32c(&block[..12]), &block[16..]);
    block[12..16].copy_from_slice(&checksum.to_le_bytes());
    let got = read(bytes)?;
    check_losses(&log, &got, "a wrong scale");
    let damage = &got.report.damage[..];
    assert_eq!(kinds(&got.report), [DamageKind::Metadata]);
    assert_eq!((damage[0].offset, damage[0].len), (head.start as u64, 4096));
    assert_eq!((got.times, got.records.len()), (times(&log), log.written.len()));
    Ok(())
}

/// A torn block has the times of the records that it still has.
#[test]
fn a_torn_block_has_its_times() -> Result<(), Error> {
    let mut log = Builder::new();
    log.with_times().session(1).block(0, &records(1, 60, 2500)).end();
    let block = log.parts[1].clone();
    let got = read(log.bytes[..block.start + 4096 + (70 << 10)].to_vec())?;
    check(&log, &got, "torn");
    assert!(got.records.len() > 20 && got.records.len() < 60);
    assert!(got.times.iter().eq(&times(&log)[..got.times.len()]));
    Ok(())
}

/// Times between all records, and at them.
fn bounds(log: &Builder) -> Vec<i64> {
    let mut bounds: Vec<i64> =
        log.written.iter().flat_map(|record| [record.time, record.time + 1]).collect();
    bounds.extend(log.written.iter().map(|record| record.block_time));
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

fn small() -> Builder {
    let mut log = Builder::new();
    log.session(1).block(0, &records(1, 3, 9)).with_times().block(0, &records(2, 9, 9));
    log.block(1, &records(3, 5, 9)).end();
    log
}

#[test]
fn a_selection_is_exact_to_the_record() -> Result<(), Error> {
    let home = tempfile::tempdir().expect("a directory");
    let (path, log) = (home.path().join("app.log"), small());
    fs::write(&path, &log.bytes).expect("written");
    let whole = owned(&mut Reader::open(&path)?);
    let time = |record: &OwnedRecord| record.time.expect("a time");
    for since in bounds(&log).into_iter().map(from_nanoseconds) {
        for until in bounds(&log).into_iter().map(from_nanoseconds) {
            let options = ReadOptions::new().since(since).until(until);
            let is_in = |it: &&OwnedRecord| since <= time(it) && time(it) < until;
            let expected: Vec<_> = whole.iter().filter(is_in).cloned().collect();
            let mut reader = options.open(&path)?;
            let found = owned(&mut reader);
            assert_eq!(found, expected, "{since:?} to {until:?}");
            let (report, skipped) = (reader.report(), (whole.len() - found.len()) as u64);
            assert!(report.is_whole(), "{report:#?}");
            assert_eq!((report.records, report.skipped_records), (found.len() as u64, skipped));
            assert_eq!(report.sessions[0].skipped_records, skipped);
            let payload: usize = found.iter().map(|record| record.bytes.len()).sum();
            assert_eq!(report.payload_bytes, payload as u64);
            // And the whole log.
            let mut log = options.open_log(&path)?;
            assert_eq!(owned_of_log(&mut log), expected, "{since:?} to {until:?}");
            let report = log.report();
            assert_eq!((report.records, report.skipped_records), (found.len() as u64, skipped));
        }
    }
    Ok(())
}

#[test]
fn the_last_records_of_a_selection() -> Result<(), Error> {
    let home = tempfile::tempdir().expect("a directory");
    let (path, built) = (home.path().join("app.log"), small());
    fs::write(&path, &built.bytes).expect("written");
    let whole = owned(&mut Reader::open(&path)?);
    for count in 0..=whole.len() {
        let mut log = LogDir::open(&path)?;
        log.seek_last(count as u64)?;
        assert_eq!(owned_of_log(&mut log), whole[whole.len() - count..], "{count}");
    }
    Ok(())
}

/// The wall clock is set back by an hour, ahead by two, and back by one: each block has the times of its own clock, and a
/// selection goes by what the records say.
#[test]
fn a_clock_that_is_set_shows_from_the_next_block_on() -> Result<(), Error> {
    const HOUR: i64 = 3_600_000_000_000;
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("app.log");
    let mut log = Builder::new();
    log.with_times().session(1).block(0, &records(1, 5, 9));
    for step in [-HOUR, 2 * HOUR, -HOUR] {
        log.clock += step;
        log.block(0, &records(2, 5, 9));
    }
    log.end();
    fs::write(&path, &log.bytes).expect("written");
    let got = read(log.bytes.clone())?;
    check_losses(&log, &got, "steps");
    assert!(got.report.is_whole());
    assert_eq!(got.times, times(&log));
    assert!(!got.times.is_sorted());
    let middle = log.written[0].time + HOUR / 2;
    let mut reader = ReadOptions::new().since(from_nanoseconds(middle)).open(&path)?;
    let numbers: Vec<_> = owned(&mut reader).iter().map(|it| it.position.number()).collect();
    assert_eq!(numbers, [10, 11, 12, 13, 14], "only the third block is of that time");
    Ok(())
}

/// Where damage has taken the times of a block, its time stands for them, in a selection, too.
#[test]
fn without_its_column_a_block_is_selected_by_its_own_time() -> Result<(), Error> {
    let home = tempfile::tempdir().expect("a directory");
    let (path, log) = (home.path().join("app.log"), timed_sample());
    let mut bytes = log.bytes.clone();
    bytes[log.parts[2].start + 100] ^= 1;
    fs::write(&path, bytes).expect("written");
    let sealed = log.written[9].block_time;
    let count = |since: SystemTime, until: SystemTime| -> Result<usize, Error> {
        let mut reader = ReadOptions::new().since(since).until(until).open(&path)?;
        Ok(owned(&mut reader).len())
    };
    let (at, after) = (from_nanoseconds(sealed), from_nanoseconds(sealed + 1));
    assert_eq!(count(at, after)?, 1500 + 2);
    assert_eq!(count(from_nanoseconds(log.written[9].time), at)?, 0);
    Ok(())
}
