//! The hot path against its floor, in one run: `scripts/bench-hot`.
//!
//! The floor is what cannot be left out: one CAS, the copies of length and record into the same amount
//! of touched memory, the same prefetching. Both run in turn; medians and spread are printed, no
//! threshold is asserted here.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use asynclogger::{Config, Logger};

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

fn main() {
    let directory = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let directory = directory.unwrap_or_else(|| "target/bench-hot".into());
    let path = std::path::Path::new(&directory).join("hot.log");
    let record = [7; RECORD];
    let mut floor = Floor::new();
    let (mut floors, mut calls) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let _ = std::fs::remove_file(&path);
        let logger = Logger::new(Config::new(&path).prefault(true)).expect("a logger");
        // Every buffer touched, and the flusher at rest.
        for _ in 0..RECORDS * 4 / 3 {
            logger.log_bytes(&record);
        }
        logger.flush().expect("flush");
        let floor_time = floor.round(&record);
        let before = logger.stats();
        let begun = Instant::now();
        for _ in 0..RECORDS {
            log(&logger, black_box(&record));
        }
        let call_time = begun.elapsed();
        let stats = logger.close().expect("close");
        assert_eq!(stats.dropped_logs, before.dropped_logs, "a buffer was waited for");
        // The first round warms up.
        if round > 0 {
            floors.push(ns(floor_time));
            calls.push(ns(call_time));
        }
    }
    let _ = std::fs::remove_file(&path);
    println!(
        "one thread, {RECORD}-byte records, {RECORDS} a round, {ROUNDS} rounds, median (least to most)"
    );
    let floor = report("floor", &mut floors);
    let call = report("log_bytes", &mut calls);
    println!("{:<12} {:>7.2}", "ratio", call / floor);
}
