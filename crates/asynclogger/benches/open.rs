//! How long it takes to find the segments of a log in a directory of many, and to open a logger beside them, which reads
//! their numbers: run by `scripts/bench-open`.
//!
//! The segments are copies of one that a logger wrote, each with its own number.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use asynclogger::{Config, Logger, read::LogDir};

const RUNS: usize = 11;
/// What a directory of 10,000 segments may take, in the middle of the runs.
const MOST: Duration = Duration::from_millis(200);

const SECTOR: usize = 512;
/// Places in a metadata block: docs/format.md, section 3.
const CRC_AT: usize = 12;
const SEGMENT_AT: usize = 56;
const PREVIOUS_AT: usize = 80;

fn field(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// Gives the metadata blocks of `file` another segment's number.
fn renumber(file: &mut [u8], segment: u64) {
    for at in (0..file.len()).step_by(SECTOR) {
        let size = field(&file[at..at + 4]) as usize;
        if &file[at + 16..at + 20] != b"ALOG" {
            continue;
        }
        let block = &mut file[at..at + size];
        block[SEGMENT_AT..SEGMENT_AT + 8].copy_from_slice(&segment.to_le_bytes());
        if block[16..24] == *b"ALOGSTRT" {
            block[PREVIOUS_AT..PREVIOUS_AT + 8].copy_from_slice(&(segment - 1).to_le_bytes());
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&block[..CRC_AT]), &block[CRC_AT + 4..]);
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

fn make(dir: &Path, count: u64) {
    let _ = fs::remove_dir_all(dir);
    let active = dir.join("app.log");
    let logger = Logger::new(Config::new(&active)).expect("a logger");
    logger.log_bytes(b"one small record");
    logger.close().expect("closed");
    let mut file = fs::read(&active).expect("the segment");
    fs::remove_file(&active).expect("removed");
    for segment in 1..=count {
        renumber(&mut file, segment);
        // As a logger names them, in another order than that of the numbers.
        let name = format!("app_2026-01-01_00-00-00.{}.log", (segment * 7919) % 1_000_003);
        fs::write(dir.join(name), &file).expect("written");
    }
}

/// The time in which a logger opens in a directory with `count` segments and without an active file.
fn logger(dir: &Path, count: u64) -> Duration {
    let path = dir.join("app.log");
    let begun = Instant::now();
    let logger = Logger::new(Config::new(&path)).expect("a logger");
    let time = begun.elapsed();
    logger.close().expect("closed");
    let start = fs::read(&path).expect("the log");
    let segment = start[SEGMENT_AT..SEGMENT_AT + 8].try_into().expect("eight bytes");
    assert_eq!(u64::from_le_bytes(segment), count + 1);
    fs::remove_file(&path).expect("removed");
    time
}

/// Prints the middle, the least and the greatest of the times; returns the middle.
fn tell(what: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (median, min, max) = (times[RUNS / 2], times[0], times[RUNS - 1]);
    println!("{what}: {:.2} ms ({:.2}-{:.2}, {RUNS} runs)", ms(median), ms(min), ms(max));
    median
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let dir = args.next().unwrap_or_else(|| "target/bench-open".into());
    let count: u64 = args.next().map_or(10_000, |text| text.parse().expect("a count"));
    let dir = Path::new(&dir);
    make(dir, count);
    let first = fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path());
    let first = first.filter(|path| path.extension().is_some_and(|it| it == "log")).min();
    let first = first.expect("a segment");
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            let log = LogDir::open(&first).expect("a log");
            let time = begun.elapsed();
            assert_eq!(log.segments().len() as u64, count);
            assert!(log.missing().is_empty());
            time
        })
        .collect();
    let mut log = LogDir::open(&first).expect("a log");
    assert_eq!(log.segments()[0].id, 1);
    assert!(log.next_record().expect("read").is_some());
    let median = tell(&format!("{count} segments open, warm cache"), &mut times);
    let alone = dir.with_extension("alone");
    let mut times: Vec<Duration> = (0..RUNS).map(|_| logger(&alone, 0)).collect();
    let least = tell("a logger opens alone", &mut times);
    let mut times: Vec<Duration> = (0..RUNS).map(|_| logger(dir, count)).collect();
    let warm = tell(&format!("a logger opens beside {count} segments, warm cache"), &mut times);
    // Pages that are not dirty leave the cache; names and inodes leave it for root only.
    let mut cold = Vec::new();
    let mut is_cold = false;
    for _ in 0..RUNS {
        let _ = Command::new("sync").status();
        is_cold = fs::write("/proc/sys/vm/drop_caches", "3").is_ok();
        cold.push(logger(dir, count));
    }
    let what = if is_cold { "cold cache" } else { "the cache could not be emptied" };
    let cold = tell(&format!("a logger opens beside {count} segments, {what}"), &mut cold);
    let per_hundred =
        |time: Duration| time.saturating_sub(least).as_secs_f64() * 1e3 / (count as f64 / 100.0);
    println!(
        "each 100 segments: {:.2} ms warm, {:.2} ms cold",
        per_hundred(warm),
        per_hundred(cold)
    );
    let _ = (fs::remove_dir_all(dir), fs::remove_dir_all(&alone));
    if count == 10_000 && median > MOST {
        println!("that is more than {} ms", MOST.as_millis());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
