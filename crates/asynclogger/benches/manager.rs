//! What `scripts/bench-manager` runs: many events, unevenly logged to from many threads, against one plain
//! logger with as many records.
//!
//! usage: manager DIRECTORY [RECORDS [EVENTS [THREADS]]]

use std::{fs, path::Path, time::Instant};

use asynclogger::{Config, Logger, LoggerManager, Overflow, verify};

const RECORD: usize = 256;

/// Unevenly: the share of an event is about one over its number.
fn event(random: &mut u64, events: usize) -> usize {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let uniform = (*random >> 11) as f64 / (1_u64 << 53) as f64;
    ((events as f64 + 1.0).powf(uniform) as usize - 1).min(events - 1)
}

fn threads_of(threads: u64, log: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let log = &log;
            scope.spawn(move || log(thread));
        }
    });
}

fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with(key)).expect("the key");
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let directory = arguments.next().unwrap_or("target/bench-manager".into());
    let mut number =
        |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (records, events, threads): (u64, u64, u64) =
        (number(10_000_000), number(1_000), number(8));
    let directory = Path::new(&directory);
    let _ = fs::remove_dir_all(directory);
    let each = records / threads;

    let config = Config::new(directory.join("events/base.log")).overflow(Overflow::Block);
    let budget = (2 * Config::DEFAULT_BUFFER_SIZE as u64) >> 10;
    let before = status("VmHWM");
    let manager = LoggerManager::new(config).expect("a manager");
    let handles: Vec<_> = (0..events)
        .map(|event| manager.event(&format!("event-{event}")).expect("opened"))
        .collect();
    let begun = Instant::now();
    threads_of(threads, |thread| {
        let (mut random, record) = (0x9E37_79B9 + thread * 0x1234_5677, [thread as u8; RECORD]);
        for _ in 0..each {
            handles[event(&mut random, events as usize)].log_bytes(&record);
        }
    });
    let logged = begun.elapsed().as_secs_f64();
    let ours = fs::read_dir("/proc/self/task").expect("tasks").filter(|task| {
        let path = task.as_ref().expect("a task").path().join("comm");
        fs::read_to_string(path).is_ok_and(|name| name.starts_with("asynclogger"))
    });
    let ours = ours.count();
    let stats = manager.close().expect("close");
    let seconds = begun.elapsed().as_secs_f64();
    let peak = status("VmHWM");
    let mut found = 0;
    for event in 0..events {
        let report = verify(directory.join(format!("events/event-{event}.log"))).expect("a log");
        assert!(report.is_whole(), "event {event}");
        found += report.records;
    }
    assert_eq!((found, stats.total.accepted, stats.total.lost), (records, records, 0));

    let path = directory.join("one.log");
    let logger = Logger::new(Config::new(&path).overflow(Overflow::Block)).expect("a logger");
    let begun = Instant::now();
    threads_of(threads, |thread| {
        let (mut random, record) = (0x9E37_79B9 + thread * 0x1234_5677, [thread as u8; RECORD]);
        for _ in 0..each {
            std::hint::black_box(event(&mut random, events as usize));
            logger.log_bytes(&record);
        }
    });
    logger.close().expect("close");
    let one = begun.elapsed().as_secs_f64();
    let _ = fs::remove_dir_all(directory);
    println!(
        "{{\"seconds\":{seconds:.3},\"logged\":{logged:.3},\"one_logger\":{one:.3},\"ratio\":{:.3},\
         \"peak_kib\":{peak},\"before_kib\":{before},\"budget_kib\":{budget},\"threads\":{ours},\
         \"blocks\":{},\"dropped\":{},\"lost\":{}}}",
        one / seconds,
        stats.total.flushes,
        stats.total.dropped_logs,
        stats.total.lost
    );
}
