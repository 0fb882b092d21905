//! The hot path against its floor, in one run: `scripts/bench-hot`.
//!
//! The floor is what cannot be left out: one CAS, the copies of length and record into the same amount
//! of touched memory, the same prefetching. Both run in turn; medians and spread are printed, no
//! threshold is asserted here.

use std::{
    hint::black_box,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use asynclogger::{Config, Logger, Timestamps, read::Reader};

const RECORD: usize = 256;
/// As the logger's memory: 16 buffers of 8 MiB.
const MEMORY: usize = 128 << 20;
/// Records a round: three quarters of the memory, so no buffer is waited for.
const RECORDS: usize = MEMORY / 4 * 3 / (RECORD + 4);
const ROUNDS: usize = 15;

/// One CAS, both copies, the prefetches.
struct Floor {
    memory: Vec<u8>,
    tail: usize,
    word: AtomicU64,
}

impl Floor {
    fn new() -> Floor {
        let mut memory = Vec::with_capacity(MEMORY + 8192);
        // The same pages as the logger's buffers have.
        let start = memory.as_mut_ptr() as usize;
        let (start, end) = (start.next_multiple_of(4096), start + MEMORY);
        // SAFETY: whole pages within the allocation; the advice changes no byte.
        unsafe { libc::madvise(start as *mut _, (end - start) & !4095, libc::MADV_HUGEPAGE) };
        memory.resize(MEMORY + 8192, 1);
        Floor { memory, tail: 0, word: AtomicU64::new(1) }
    }

    #[inline(never)]
    fn log(&mut self, record: &[u8]) {
        let word = self.word.load(Ordering::Relaxed);
        let claimed = word | 2;
        let claim = (Ordering::Acquire, Ordering::Relaxed);
        if self.word.compare_exchange(word, claimed, claim.0, claim.1).is_err() {
            return;
        }
        let end = self.tail + 4 + record.len();
        let room = &mut self.memory[self.tail..end];
        room[..4].copy_from_slice(&(record.len() as u32).to_le_bytes());
        room[4..].copy_from_slice(record);
        self.tail = end;
        self.word.store(word, Ordering::Release);
        #[cfg(target_arch = "x86_64")]
        for line in 0..5 {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            let ahead = self.memory.as_ptr().wrapping_add(end + 3072 + 64 * line);
            // SAFETY: a prefetch has no effect on memory, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(ahead.cast()) };
        }
    }

    fn round(&mut self, record: &[u8]) -> Duration {
        self.tail = 0;
        let begun = Instant::now();
        for _ in 0..RECORDS {
            self.log(black_box(record));
        }
        begun.elapsed()
    }
}

#[inline(never)]
fn log(logger: &Logger, record: &[u8]) {
    logger.log_bytes(record);
}

fn ns(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / RECORDS as f64
}

fn report(name: &str, times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!(
        "{name:<12} {median:>7.1} ns/record   ({:.1} to {:.1})",
        times[0],
        times[times.len() - 1]
    );
    median
}

/// One round of a new logger, whose buffers are resident.
fn calls(path: &Path, timestamps: Timestamps, record: &[u8]) -> Duration {
    let _ = std::fs::remove_file(path);
    let config = Config::new(path).prefault(true).timestamps(timestamps);
    let logger = Logger::new(config).expect("a logger");
    // Every buffer touched, and the flusher at rest.
    for _ in 0..RECORDS * 4 / 3 {
        logger.log_bytes(record);
    }
    logger.flush().expect("flush");
    let before = logger.stats();
    let begun = Instant::now();
    for _ in 0..RECORDS {
        log(&logger, black_box(record));
    }
    let time = begun.elapsed();
    let stats = logger.close().expect("close");
    assert_eq!(stats.dropped_logs, before.dropped_logs, "a buffer was waited for");
    time
}

/// The time of as many readings of a clock.
fn readings<T>(mut read: impl FnMut() -> T) -> Duration {
    let begun = Instant::now();
    for _ in 0..RECORDS {
        black_box(read());
    }
    begun.elapsed()
}

#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    // SAFETY: the instruction reads a register.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> Instant {
    Instant::now()
}

/// How far the times of records are from the wall clock, which is read before each call and stands in the record.
fn errors(path: &Path) {
    let _ = std::fs::remove_file(path);
    let logger = Logger::new(Config::new(path).timestamps(Timestamps::On)).expect("a logger");
    let nanoseconds =
        |time: SystemTime| time.duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
    for _ in 0..2_000_000 {
        logger.log_bytes(&nanoseconds(SystemTime::now()).to_le_bytes());
    }
    logger.close().expect("close");
    let mut reader = Reader::open(path).expect("a log");
    let mut errors = Vec::new();
    while let Some(record) = reader.next_record().expect("a record") {
        let made = i64::from_le_bytes(record.bytes().try_into().expect("eight bytes"));
        errors.push(nanoseconds(record.time().expect("a time")) - made);
    }
    errors.sort_unstable();
    let at = |part: f64| errors[((errors.len() - 1) as f64 * part) as usize];
    println!(
        "a record's time less the wall clock before its call, {} records: least {} ns, 1 % {}, median {}, 99 % {}, 99.9 % {}",
        errors.len(),
        at(0.0),
        at(0.01),
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

fn main() {
    let directory = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let directory = directory.unwrap_or_else(|| "target/bench-hot".into());
    let path = Path::new(&directory).join("hot.log");
    let record = [7; RECORD];
    let mut floor = Floor::new();
    let mut times: [Vec<f64>; 5] = Default::default();
    for round in 0..=ROUNDS {
        let call = calls(&path, Timestamps::Off, &record);
        let timed = calls(&path, Timestamps::On, &record);
        let round_times =
            [floor.round(&record), call, timed, readings(counter), readings(SystemTime::now)];
        // The first round warms up.
        if round > 0 {
            times.iter_mut().zip(round_times).for_each(|(all, time)| all.push(ns(time)));
        }
    }
    println!(
        "one thread, {RECORD}-byte records, {RECORDS} a round, {ROUNDS} rounds, median (least to most)"
    );
    let names = ["floor", "log_bytes", "with times", "the counter", "the clock"];
    let mut medians = names.iter().zip(&mut times).map(|(name, times)| report(name, times));
    let medians: [f64; 5] = std::array::from_fn(|_| medians.next().unwrap_or(0.0));
    let [floor, call, timed, counter, _] = medians;
    println!("{:<12} {:>7.2}", "ratio", call / floor);
    println!(
        "a time costs {:.1} ns, {:.2} readings of the counter",
        timed - call,
        (timed - call) / counter
    );
    errors(&path);
    let _ = std::fs::remove_file(&path);
}
