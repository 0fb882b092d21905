//! What crash safety costs: calls, an opening, and the salvage of 128 MB: `scripts/bench-crash`.

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    sync::Barrier,
    time::{Duration, Instant},
};

use asynclogger::{Config, CrashSafe, Logger, LoggerManager, Overflow};

const RECORD: usize = 256;
/// Records a round: three quarters of the memory (16 buffers of 8 MiB), so no buffer is waited for.
const RECORDS: usize = (128 << 20) / 4 * 3 / (RECORD + 4);
const ROUNDS: usize = 15;
/// The records of a dead process: 128 MB in the buffers of 8 threads, none of them full.
const THREADS: usize = 8;
const LEFT: usize = 128_000_000 / THREADS / RECORD;

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Whether memory of this process can be in huge pages from now on.
fn allow_huge_pages(allow: bool) {
    // SAFETY: a setting of this process, which touches no memory.
    let done = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, u64::from(!allow), 0, 0, 0) };
    assert_eq!(done, 0);
}

#[inline(never)]
fn log(logger: &Logger, record: &[u8]) {
    logger.log_bytes(record);
}

/// Nanoseconds of one call, all buffers touched, and the flusher at rest.
fn call(config: Config, path: &Path) -> f64 {
    let _ = std::fs::remove_file(path);
    let logger = Logger::new(config.prefault(true)).expect("a logger");
    let record = [7; RECORD];
    for _ in 0..RECORDS * 4 / 3 {
        logger.log_bytes(&record);
    }
    logger.flush().expect("flush");
    let before = logger.stats();
    let begun = Instant::now();
    for _ in 0..RECORDS {
        log(&logger, black_box(&record));
    }
    let time = begun.elapsed();
    let stats = logger.close().expect("close");
    assert_eq!(stats.dropped_logs, before.dropped_logs, "a buffer was waited for");
    time.as_nanos() as f64 / RECORDS as f64
}

fn calls(directory: &Path) -> bool {
    let path = directory.join("calls.log");
    let mut times = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        for (kind, times) in times.iter_mut().enumerate() {
            allow_huge_pages(kind == 2);
            let config = Config::new(&path);
            let config = match kind {
                1 => config.crash_safe(CrashSafe::shared_memory()),
                _ => config,
            };
            let time = call(config, &path);
            // The first round warms up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    allow_huge_pages(true);
    println!(
        "one thread, {RECORD}-byte records, {RECORDS} a round, {ROUNDS} rounds, median (least to most)"
    );
    let names = ["pages of 4 KiB", "crash-safe", "huge pages"];
    let medians = names.iter().zip(&mut times).map(|(name, times)| {
        let median = median(times);
        println!(
            "{name:<16}{median:>7.1} ns/record   ({:.1} to {:.1})",
            times[0],
            times[times.len() - 1]
        );
        median
    });
    let medians: Vec<_> = medians.collect();
    let (small, huge) = (medians[1] / medians[0], medians[1] / medians[2]);
    println!(
        "crash-safe: {small:.2} times pages of 4 KiB (at most 1.10), {huge:.2} times huge pages"
    );
    small <= 1.10
}

/// Milliseconds of an opening with nothing to salvage.
fn opening(what: &str, config: &Config, mut open: impl FnMut(Config) -> f64) -> bool {
    let mut time = |crash_safe: bool| match crash_safe {
        true => open(config.clone().crash_safe(CrashSafe::shared_memory())),
        false => open(config.clone()),
    };
    let (mut plain, mut safe): (Vec<_>, Vec<_>) =
        (0..21).map(|_| (time(false), time(true))).unzip();
    let (plain, safe) = (median(&mut plain), median(&mut safe));
    let more = safe - plain;
    println!(
        "{what} opened, nothing to salvage: {plain:.2} ms plain, {safe:.2} ms crash-safe, {more:.2} ms more (at most 5)"
    );
    more <= 5.0
}

fn openings(directory: &Path) -> bool {
    let config = Config::new(directory.join("opening.log"));
    let logger = opening("a logger", &config, |config| {
        let begun = Instant::now();
        let logger = Logger::new(config).expect("a logger");
        let time = begun.elapsed();
        logger.close().expect("closed");
        time.as_secs_f64() * 1e3
    });
    let manager = opening("a manager", &Config::default(), |config| {
        let begun = Instant::now();
        let manager = LoggerManager::in_dir(directory.join("events"), config).expect("a manager");
        let time = begun.elapsed();
        manager.close().expect("closed");
        time.as_secs_f64() * 1e3
    });
    logger && manager
}

/// Milliseconds from before the opening until a burst of three quarters of the memory is accepted, by 1 thread and by 8.
fn bursts(directory: &Path) -> bool {
    let path = directory.join("burst.log");
    let mut all_accepted = true;
    for threads in [1, THREADS] {
        let mut burst = |crash_safe: bool| {
            let _ = std::fs::remove_file(&path);
            let config = Config::new(&path);
            let config = match crash_safe {
                true => config.crash_safe(CrashSafe::shared_memory()),
                false => config,
            };
            let begun = Instant::now();
            let logger = Logger::new(config).expect("a logger");
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for _ in 0..RECORDS / threads {
                            logger.log_bytes(black_box(&[7; RECORD]));
                        }
                    });
                }
            });
            let time = begun.elapsed();
            all_accepted &= logger.close().expect("closed").dropped_logs == 0;
            time.as_secs_f64() * 1e3
        };
        let (mut plain, mut safe): (Vec<_>, Vec<_>) =
            (0..11).map(|_| (burst(false), burst(true))).unzip();
        let (plain, safe) = (median(&mut plain), median(&mut safe));
        println!(
            "opening and a burst of {RECORDS} records by {threads} threads, all accepted: {all_accepted}, {plain:.1} ms plain, {safe:.1} ms crash-safe"
        );
    }
    all_accepted
}

fn salvage_config(path: &Path) -> Config {
    // An active buffer of 16 MiB and more for each thread.
    let config = Config::new(path).num_shards(THREADS).buffer_size(THREADS * (17 << 20));
    config
        .flush_interval(Duration::from_secs(3600))
        .overflow(Overflow::Block)
        .crash_safe(CrashSafe::shared_memory())
}

/// The process that dies with 128 MB in memory.
fn die(path: &Path) {
    let logger = Logger::new(salvage_config(path)).expect("a logger");
    // A thread that has ended gives its shard to the next one: so all of them are there together.
    let together = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                logger.log_bytes(&[7; RECORD]);
                together.wait();
                for _ in 1..LEFT {
                    logger.log_bytes(&[7; RECORD]);
                }
                together.wait();
            });
        }
    });
    assert_eq!(logger.stats().written, 0, "all of it is in memory");
    std::process::abort();
}

fn salvages(directory: &Path) -> bool {
    let path = directory.join("salvage.log");
    let mut times = Vec::new();
    for _ in 0..7 {
        let _ = std::fs::remove_file(&path);
        let binary = std::env::current_exe().expect("this binary");
        let status = Command::new(binary).arg(&path).env("DIES", "1").status().expect("a child");
        assert!(!status.success());
        let begun = Instant::now();
        let logger = Logger::new(salvage_config(&path)).expect("a logger");
        times.push(begun.elapsed().as_secs_f64());
        assert_eq!(logger.salvage().records(), (LEFT * THREADS) as u64);
        logger.close().expect("closed");
    }
    let _ = std::fs::remove_file(&path);
    let median = median(&mut times);
    let (records, last) = (LEFT * THREADS, times.len() - 1);
    println!(
        "salvage of 128 MB ({records} records), with the opening: {median:.3} s ({:.3} to {:.3}; at most 1)",
        times[0], times[last]
    );
    median <= 1.0
}

fn main() {
    let directory = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let directory = PathBuf::from(directory.unwrap_or_else(|| "target/bench-crash".into()));
    if std::env::var_os("DIES").is_some() {
        die(&directory);
    }
    std::fs::create_dir_all(&directory).expect("a directory");
    let results =
        [calls(&directory), openings(&directory), bursts(&directory), salvages(&directory)];
    let _ = std::fs::remove_dir_all(&directory);
    if results.contains(&false) {
        std::process::exit(1);
    }
}
