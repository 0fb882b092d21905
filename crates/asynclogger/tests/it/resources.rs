//! What an idle logger costs: nothing.

use std::{fs, sync::mpsc, time::Duration};

use asynclogger::Config;

use crate::support::{child_role, directory, in_child, log_path, open, status_bytes};

/// Context switches of all threads called `asynclogger` of this process.
fn flusher_switches() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("tasks");
    let flushers = tasks.filter_map(|task| {
        let path = task.ok()?.path();
        let name = fs::read_to_string(path.join("comm")).ok()?;
        (name.trim() == "asynclogger").then_some(path.join("status"))
    });
    let count = |path| {
        let status = fs::read_to_string(path).expect("status");
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>()
    };
    flushers.map(count).sum()
}

/// Lets time pass: nothing is ever sent.
fn pass(time: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

/// Seconds to watch; `scripts/idle` sets 30.
fn seconds() -> u64 {
    std::env::var("IDLE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

#[test]
fn an_idle_logger_wakes_for_nothing() {
    if child_role().is_none() {
        print!("{}", in_child("resources::an_idle_logger_wakes_for_nothing", "idle"));
        return;
    }
    let directory = directory();
    let interval = Duration::from_millis(100);
    let logger = open(Config::new(log_path(&directory)).flush_interval(interval));
    for used in [false, true] {
        if used {
            logger.log("once");
            // The interval writes it, and then there is nothing to wait for.
            crate::support::wait_until("the interval", || logger.stats().written == 1);
        }
        // On a busy machine it may take a while until it has gone to sleep.
        let mut last = None;
        crate::support::wait_until("the sleep", || {
            pass(3 * interval);
            let now = flusher_switches();
            last.replace(now) == Some(now)
        });
        let before = flusher_switches();
        pass(Duration::from_secs(seconds()));
        let switches = flusher_switches() - before;
        println!("idle for {} s, used before: {used}: {switches} context switches", seconds());
        assert_eq!(switches, 0);
    }
}

#[test]
fn a_new_logger_is_not_resident() {
    if child_role().is_none() {
        print!("{}", in_child("resources::a_new_logger_is_not_resident", "new"));
        return;
    }
    let directory = directory();
    let before = status_bytes("VmRSS");
    let logger = open(Config::new(log_path(&directory)));
    let grown = status_bytes("VmRSS").saturating_sub(before);
    println!("a new logger: {} KiB resident", grown >> 10);
    assert!(grown <= 4 << 20, "{} KiB", grown >> 10);
    drop(logger);
}

/// A log that fills half of its buffer makes the flusher get the next buffer ready, too, before anybody needs it.
#[test]
fn the_next_buffer_is_resident_before_it_is_needed() {
    if child_role().is_none() {
        in_child("resources::the_next_buffer_is_resident_before_it_is_needed", "next");
        return;
    }
    let directory = directory();
    let logger = open(Config::new(log_path(&directory)));
    let before = status_bytes("VmRSS");
    // 5 of 8 MiB, so the next buffer was not touched yet.
    for _ in 0..5 << 10 {
        logger.log_bytes(&[1; 1 << 10]);
    }
    // The active buffer and the next one, 8 MiB each.
    crate::support::wait_until("two buffers", || status_bytes("VmRSS") - before >= 15 << 20);
}
