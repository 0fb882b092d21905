//! The merge by time is a stable sort of everything, and reads no more ahead than it has to.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    super::{
        ByTime, LogDir, LogRecord, OwnedRecord, ReadOptions, Reader, Record, by_time::pieces_of,
    },
    builder::*,
};
use crate::{Error, LogId, format::time::to_nanoseconds};

/// A record, its log and its segment.
type Merged = (usize, u64, OwnedRecord);

/// A sort of everything: what each log delivers by itself, one log after the other, sorted by time.
fn sorted(logs: Vec<LogDir>) -> Vec<Merged> {
    let mut all = Vec::new();
    for (index, mut log) in logs.into_iter().enumerate() {
        while let Some(record) = log.next_record().expect("read").map(Record::into_owned) {
            all.push((index, log.reader().expect("a reader").report().segment, record));
        }
    }
    all.sort_by_key(|(_, _, record)| record.time);
    all
}

fn owned(record: LogRecord<'_>) -> Merged {
    (record.log(), record.segment(), record.record().into_owned())
}

fn drain(merge: &mut ByTime) -> Vec<Merged> {
    std::iter::from_fn(|| merge.next_record().expect("read").map(owned)).collect()
}

fn check_merge(logs: impl Fn() -> Vec<LogDir>, context: &str) -> usize {
    let (sorted, mut merge) = (sorted(logs()), ByTime::new(logs()));
    let merged = drain(&mut merge);
    let same = sorted.iter().zip(&merged).take_while(|(left, right)| left == right).count();
    assert_eq!(merged.len(), sorted.len(), "{context}: the same up to {same}");
    assert_eq!(same, sorted.len(), "{context}: {:?}, {:?}", sorted.get(same), merged.get(same));
    // The accounts are those of a reading in the order of the files.
    for (mut alone, merged) in logs().into_iter().zip(merge.logs()) {
        while alone.next_record().expect("read").is_some() {}
        let (alone, merged) = (alone.report(), merged.report());
        assert_eq!(format!("{alone:?}"), format!("{merged:?}"), "{context}");
        assert!(merged.unread.is_empty(), "{context}: {:?}", merged.unread);
    }
    assert!(merge.next_record().expect("read").is_none());
    sorted.len()
}

/// A small generator of numbers, so that a failing layout can be built again from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % limit
    }

    fn is_one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// A block whose first record has this time, if records have times.
fn block_at(log: &mut Builder, time: i64, shard: u32, records: &[Vec<u8>]) {
    log.clock = time;
    log.block(shard, records);
}

/// Writes the segments of a log of any shape, and returns its directory. Shards overlap in time, the clock steps
/// back, blocks are with and without times, also with times that go back within the block, as those of events; sessions
/// continue or end, segments end or do not.
fn random_log(random: &mut Random, id: u8) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Builder::new();
    log.log_id = LogId([id; 16]);
    log.is_timed = !random.is_one_in(4);
    let (mut now, mut segment) = (1_700_000_000_000_000_000, 1);
    log.session(1);
    for block in 0..3 + random.below(30) {
        now += random.below(60) as i64;
        match random.below(40) {
            0 => now -= 3_600_000_000_000,
            1 => now += 7_200_000_000_000,
            2 => log.is_timed = !log.is_timed,
            3 => _ = log.end().session(2 + block),
            4 => _ = log.session(2 + block),
            5..9 => {
                let file = if random.is_one_in(3) { log.abandon() } else { log.rotate() };
                fs::write(dir.path().join(format!("{segment}.log")), file).expect("written");
                segment += 1;
            }
            _ => {}
        }
        log.stretch = [0, 0, 1, 3, 40, 100][random.below(6) as usize];
        let (count, len) = match random.below(24) {
            0 => (200, 5000),
            1 => (3, 300_000),
            _ => (1 + random.below(12) as usize, 1 + random.below(90) as usize),
        };
        let records = records(block as usize, count, len);
        block_at(&mut log, now - random.below(120) as i64, random.below(4) as u32, &records);
    }
    if !random.is_one_in(3) {
        log.end();
    }
    fs::write(dir.path().join("app.log"), &log.bytes).expect("written");
    dir
}

fn open_all(dirs: &[tempfile::TempDir], options: ReadOptions) -> Vec<LogDir> {
    let open = |dir: &tempfile::TempDir| options.open_log(dir.path().join("app.log"));
    dirs.iter().map(|dir| open(dir).expect("a log")).collect()
}

#[test]
fn any_logs_are_merged_as_a_sort_would() {
    let mut records = 0;
    for seed in 0..60 {
        let mut random = Random(seed);
        let dirs: Vec<_> =
            (0..1 + random.below(3)).map(|id| random_log(&mut random, id as u8 + 1)).collect();
        let all = ReadOptions::new();
        records += check_merge(|| open_all(&dirs, all), &format!("seed {seed}"));
        // A part of the time, and damage.
        let times: Vec<_> = sorted(open_all(&dirs, all)).into_iter().map(|it| it.2.time).collect();
        let mut time = || times[random.below(times.len() as u64) as usize].expect("a time");
        let (since, until) = (time(), time());
        let some = all.since(since.min(until)).until(since.max(until));
        check_merge(|| open_all(&dirs, some), &format!("seed {seed}, a part"));
        let path = dirs[0].path().join("app.log");
        let mut bytes = fs::read(&path).expect("read");
        for _ in 0..1 + random.below(6) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        if random.is_one_in(3) {
            bytes.truncate(bytes.len() - random.below(9000).min(bytes.len() as u64 - 1) as usize);
        }
        fs::write(&path, bytes).expect("written");
        if all.open_log(&path).is_ok() {
            check_merge(|| open_all(&dirs, all), &format!("seed {seed}, damaged"));
        }
    }
    assert!(records > 5_000, "{records}");
}

#[cfg(all(feature = "zstd", target_os = "linux"))]
#[test]
fn compressed_segments_are_merged_as_a_sort_would() {
    for seed in 1000..1012 {
        let mut random = Random(seed);
        let dirs = [random_log(&mut random, 1), random_log(&mut random, 2)];
        for dir in &dirs {
            for number in 1.. {
                let path = dir.path().join(format!("{number}.log"));
                let Ok(bytes) = fs::read(&path) else { break };
                let frame_len = [5000, 1 << 16, 2 << 20][random.below(3) as usize];
                let bytes = super::compressed::compressed(&bytes, frame_len);
                fs::write(path.with_extension("log.zst"), bytes).expect("written");
                fs::remove_file(&path).expect("removed");
            }
        }
        check_merge(|| open_all(&dirs, ReadOptions::new()), &format!("seed {seed}"));
    }
}

/// The pieces of an event's block have all its records. Those that are sorted are short, so that the memory for a block is not
/// that of its length; the others are not cut without a reason.
#[test]
fn an_events_block_is_delivered_in_short_pieces() -> Result<(), Error> {
    for (is_compressed, stretch, len, expected) in [
        (false, 0, 900, 1),
        (false, 1, 900, 400),
        (false, 1, 100, 462),
        (false, 50, 900, 40),
        (false, 600, 900, 4),
        (false, 1, 300_000, 2),
        (true, 0, 900, 1),
        (true, 1, 900, 7),
        (true, 50, 900, 7),
        (true, 600, 900, 4),
        (true, 40, 9000, 5),
        (true, 1, 300_000, 2),
    ] {
        let full = if is_compressed { 4 << 16 } else { 4096 };
        let mut log = Builder::new();
        log.with_times().session(1).stretch = stretch;
        let count = if len == 300_000 { 7 } else { 1_000_000 / len * 9 / 5 };
        log.block(0, &records(1, count, len));
        let mut reader = Reader::from_bytes(log.bytes.clone())?;
        assert!(reader.has_record()?);
        let data_at = log.written[0].range.start - 8;
        let pieces = pieces_of(reader.take_loaded(), is_compressed);
        let context = format!("{stretch} of {len}, compressed: {is_compressed}");
        assert_eq!(pieces.len(), expected, "{context}");
        let mut next = 0;
        for (runs, is_ordered, first) in &pieces {
            assert_eq!(runs.len(), 1);
            let run = runs[0];
            assert_eq!(
                (run.number, run.start),
                (next, log.written[next as usize].range.start - data_at)
            );
            let of = &log.written[next as usize..];
            let own: Vec<_> =
                of.iter().take_while(|it| it.range.end - data_at <= run.end).collect();
            assert_eq!(own.last().map(|last| last.range.end - data_at), Some(run.end));
            assert_eq!(Some(*first), own.iter().map(|it| it.time).min());
            assert_eq!(*is_ordered, own.is_sorted_by_key(|it| it.time), "{context}");
            assert!(*is_ordered || run.end - run.start <= full + len + 20, "{context}");
            next += own.len() as u64;
        }
        assert_eq!(next as usize, count);
    }
    Ok(())
}

/// Where many events have records of the present moment, the bytes of the stretches around that moment are in memory, and
/// no others.
#[test]
fn many_events_need_the_memory_of_their_stretches() -> Result<(), Error> {
    const EVENTS: u8 = 30;
    // The records of a stretch, their number and length, and how much later the next stretch begins; how many pieces of
    // an event surround a moment.
    for (stretch, count, len, drift, pieces) in [(5, 800, 1000, 15, 3), (1, 4000, 20, 4, 2)] {
        let dirs: Vec<_> = (0..EVENTS)
            .map(|id| {
                let dir = tempfile::tempdir().expect("a directory");
                let mut log = Builder::new();
                log.log_id = LogId([id + 1; 16]);
                log.with_times().session(1);
                (log.stretch, log.drift) = (stretch, drift);
                log.block(0, &records(id.into(), count, len));
                fs::write(dir.path().join("app.log"), &log.end().bytes).expect("written");
                dir
            })
            .collect();
        let context = format!("{stretch} of {len}");
        let logs = || open_all(&dirs, ReadOptions::new());
        assert_eq!(check_merge(logs, &context), count * usize::from(EVENTS));
        let (mut merge, mut in_memory) = (ByTime::new(logs()), 0);
        while merge.next_record()?.is_some() {
            in_memory = merge.in_memory().max(in_memory);
        }
        // A piece has less than two pages, and part of one before and behind it.
        let most = pieces * usize::from(EVENTS) * (4 << 12);
        assert!(0 < in_memory && in_memory <= most, "{context}: {in_memory} bytes");
        assert_eq!(merge.in_memory(), 0, "{context}");
    }
    Ok(())
}

/// Two shards of a log whose blocks overlap by half, and a third one that logs only at the beginning.
fn steady_log(dir: &Path, blocks: usize) -> PathBuf {
    let mut log = Builder::new();
    log.with_times().session(1);
    block_at(&mut log, 1_000, 2, &records(0, 3, 20));
    for block in 0..blocks {
        block_at(&mut log, 1_000 + 50 * block as i64, block as u32 % 2, &records(block, 9, 2000));
    }
    log.end();
    let path = dir.join("app.log");
    fs::write(&path, &log.bytes).expect("written");
    path
}

#[test]
fn no_more_is_read_ahead_than_the_next_record_needs() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = steady_log(dir.path(), 200);
    let mut merge = LogDir::open(&path)?.by_time();
    let mut records = 0;
    while merge.next_record()?.is_some() {
        records += 1;
        let log = merge.logs().next().expect("a log");
        let read = log.reader().expect("a reader").report().blocks;
        assert!(read <= records / 9 + 4, "{read} blocks for {records} records");
    }
    assert_eq!(records, 3 + 200 * 9);
    // Nothing of what was given up stays in memory.
    check_merge(|| vec![LogDir::open(&path).expect("a log")], "steady");
    Ok(())
}

#[test]
fn files_without_times_come_first_and_as_they_stand() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let timed = steady_log(dir.path(), 5);
    let other = tempfile::tempdir().expect("a directory");
    let path = other.path().join("seed.log");
    let mut bytes = Vec::new();
    for shard in [["one", "two"], ["three", "four"]] {
        let begin = bytes.len();
        bytes.extend([0, 2, 0, 0, 0, 0, 0, 0]);
        for record in shard {
            bytes.extend((record.len() as u32).to_le_bytes());
            bytes.extend(record.as_bytes());
        }
        let valid = (bytes.len() - begin - 8) as u32;
        bytes[begin + 4..begin + 8].copy_from_slice(&valid.to_le_bytes());
        bytes.resize(begin + 512, 0);
    }
    fs::write(&path, bytes).expect("written");
    let logs = || vec![LogDir::open(&timed).expect("a log"), LogDir::open(&path).expect("a log")];
    assert_eq!(check_merge(logs, "two kinds"), 4 + 3 + 45);
    let merged = drain(&mut ByTime::new(logs()));
    let first: Vec<_> = merged[..4].iter().map(|(_, _, record)| record.bytes.as_slice()).collect();
    assert_eq!(first, ["one", "two", "three", "four"].map(str::as_bytes));
    Ok(())
}

#[test]
fn the_last_records_are_the_last_of_the_sort() -> Result<(), Error> {
    for seed in 2000..2040 {
        let mut random = Random(seed);
        // Without a step of the clock, the last records are in the last segments.
        let dirs: Vec<_> = (1..3)
            .map(|id| {
                let dir = tempfile::tempdir().expect("a directory");
                let mut log = Builder::new();
                log.log_id = LogId([id; 16]);
                log.is_timed = !random.is_one_in(5);
                log.session(1);
                let mut now = 1_700_000_000_000_000_000;
                for block in 0..40 {
                    now += 40;
                    log.stretch = [0, 3][random.below(2) as usize];
                    let shard = random.below(3) as u32;
                    block_at(&mut log, now + random.below(30) as i64, shard, &records(block, 7, 9));
                    if block % 8 == 7 {
                        let file = log.rotate();
                        fs::write(dir.path().join(format!("{block}.log")), file).expect("written");
                    }
                }
                fs::write(dir.path().join("app.log"), &log.end().bytes).expect("written");
                dir
            })
            .collect();
        let all = sorted(open_all(&dirs, ReadOptions::new()));
        assert_eq!(all.len(), 560);
        for count in [0, 1, 2, 10, 57, 100, 559, 560, 1000] {
            let mut merge = ByTime::new(open_all(&dirs, ReadOptions::new()));
            merge.seek_last(count)?;
            let expected = &all[560usize.saturating_sub(count as usize)..];
            assert!(drain(&mut merge) == expected, "seed {seed}, the last {count}");
        }
    }
    Ok(())
}

#[test]
fn a_record_is_held_back_until_no_earlier_one_can_come() -> Result<(), Error> {
    let now = i64::try_from(to_nanoseconds(SystemTime::now())).expect("a time");
    let minutes = |count: i64| now + count * 60_000_000_000;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.log");
    let mut log = Builder::new();
    log.with_times().session(1);
    block_at(&mut log, minutes(-20), 0, &records(1, 4, 20));
    block_at(&mut log, minutes(-1), 0, &records(2, 4, 20));
    fs::write(&path, &log.bytes).expect("written");
    let open = || ReadOptions::new().follow(true).open_log(&path).map(LogDir::by_time);
    let quarter = Duration::from_secs(15 * 60);
    let mut merge = open()?.hold_back(quarter);
    let written = |range: std::ops::Range<usize>, log: &Builder| -> Vec<Vec<u8>> {
        log.written[range].iter().map(|record| record.bytes.clone()).collect()
    };
    let bytes = |merged: Vec<Merged>| -> Vec<Vec<u8>> {
        merged.into_iter().map(|(_, _, record)| record.bytes).collect()
    };
    assert_eq!(bytes(drain(&mut merge)), written(0..4, &log));
    // An earlier record comes before the one that is held back, even one that is late.
    block_at(&mut log, minutes(-2), 1, &records(3, 2, 20));
    block_at(&mut log, minutes(-30), 2, &records(4, 2, 20));
    fs::write(&path, &log.bytes).expect("written");
    assert_eq!(bytes(drain(&mut merge)), written(10..12, &log));
    // The end of the session releases everything.
    log.end();
    fs::write(&path, &log.bytes).expect("written");
    let rest = [written(8..10, &log), written(4..8, &log)].concat();
    assert_eq!(bytes(drain(&mut merge)), rest);
    // A time in the future is not waited for, but only for as long as the record may have been held back.
    log.session(2);
    block_at(&mut log, minutes(600), 0, &records(5, 3, 20));
    fs::write(&path, &log.bytes).expect("written");
    assert_eq!(bytes(drain(&mut merge)), Vec::<Vec<u8>>::new());
    let mut merge = open()?.hold_back(Duration::ZERO);
    assert_eq!(drain(&mut merge).len(), 15);
    Ok(())
}

/// The records of an event's block whose times are over are delivered, wherever they stand in the block; the others wait, and a
/// later block can have earlier ones.
#[test]
fn an_events_block_is_held_back_in_part() -> Result<(), Error> {
    let now = i64::try_from(to_nanoseconds(SystemTime::now())).expect("a time");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.log");
    let mut log = Builder::new();
    // A unit is half a millisecond, and a stretch 105 seconds, half of them held back.
    log.with_times().session(1);
    (log.stretch, log.unit) = (40_000, 1 << 51);
    block_at(&mut log, now - 150_000_000_000, 0, &records(1, 80_000, 20));
    fs::write(&path, &log.bytes).expect("written");
    let merge = ReadOptions::new().follow(true).open_log(&path)?.by_time();
    let mut merge = merge.hold_back(Duration::from_secs(100));
    let first = drain(&mut merge);
    assert!((10_000..70_000).contains(&first.len()), "{} records", first.len());
    (log.stretch, log.unit) = (1, 3 << 32);
    block_at(&mut log, now + 1_000_000_000, 1, &records(2, 50, 20));
    fs::write(&path, &log.end().bytes).expect("written");
    let merged = [first, drain(&mut merge)].concat();
    let sorted = sorted(vec![LogDir::open(&path)?]);
    assert!(merged == sorted, "{} of {} records", merged.len(), sorted.len());
    Ok(())
}

#[test]
fn what_is_written_meanwhile_comes_behind() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.log");
    let mut log = Builder::new();
    log.with_times().session(1);
    block_at(&mut log, 5_000, 0, &records(1, 2, 20));
    fs::write(&path, &log.bytes).expect("written");
    let mut merge = LogDir::open(&path)?.by_time();
    assert_eq!(drain(&mut merge).len(), 2);
    block_at(&mut log, 9_000, 0, &records(2, 2, 20));
    block_at(&mut log, 1_000, 1, &records(3, 2, 20));
    fs::write(&path, log.rotate()).expect("written");
    fs::rename(&path, dir.path().join("old.log")).expect("renamed");
    block_at(&mut log, 500, 1, &records(4, 2, 20));
    fs::write(&path, &log.end().bytes).expect("written");
    merge.refresh()?;
    let shards: Vec<_> = drain(&mut merge).iter().map(|it| it.2.position.shard()).collect();
    assert_eq!(shards, [1, 1, 1, 1, 0, 0]);
    Ok(())
}

#[test]
fn a_block_that_changes_before_its_turn_is_told_and_not_delivered() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.log");
    let mut log = Builder::new();
    log.with_times().session(1);
    block_at(&mut log, 2_000, 0, &records(1, 5, 20));
    block_at(&mut log, 1_000, 1, &records(2, 5, 20));
    block_at(&mut log, 3_000, 0, &records(3, 5, 20));
    log.end();
    let place = log.written[2].range.start + 6;
    for at in [place, log.parts[1].start + 90] {
        fs::write(&path, &log.bytes).expect("written");
        let mut merge = LogDir::open(&path)?.by_time();
        assert!(merge.next_record()?.is_some());
        let mut bytes = log.bytes.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("written");
        let numbers: Vec<_> = drain(&mut merge).iter().map(|it| it.2.position).collect();
        assert_eq!(numbers.len(), 4 + 5);
        assert!(numbers.iter().skip(4).all(|it| it.shard() == 0 && it.number() >= 5));
        let report = merge.logs().next().expect("a log").report();
        assert_eq!(report.unread.len(), 1, "{:?}", report.unread);
        assert!(report.unread[0].to_string().contains("changed"), "{}", report.unread[0]);
    }
    // A segment that is gone by then is told, too.
    let file = log.rotate();
    fs::write(dir.path().join("old.log"), &file).expect("written");
    fs::write(&path, &log.end().bytes).expect("written");
    let mut merge = LogDir::open(&path)?.by_time();
    merge.seek_last(100)?;
    fs::remove_file(dir.path().join("old.log")).expect("removed");
    assert_eq!(drain(&mut merge).len(), 0);
    assert_eq!(merge.logs().next().expect("a log").missing(), [1..=1]);
    Ok(())
}
