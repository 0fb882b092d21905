//! The memory that a logger holds follows its use.

use std::{fs, time::Duration};

use asynclogger::{Config, CrashSafe, Logger};

use super::support::{child_role, directory, in_child};

/// Resident bytes of this process, those of its maps included.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/smaps_rollup").expect("this process");
    let line = text.lines().find(|line| line.starts_with("Rss:")).expect("a line");
    let number = line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    number.expect("a number") << 10
}

/// The resident bytes once the threads have done what they do ahead: 20 looks in a row find the same.
fn at_rest() -> u64 {
    let (mut last, mut same) = (0, 0);
    while same < 20 {
        std::thread::sleep(Duration::from_millis(5));
        let now = resident();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}

/// The bytes that each of `count` loggers adds, with one record: in memory, and in the file.
fn child(config: impl Fn(Config) -> Config, count: u64) -> u64 {
    let home = directory();
    let open = |name: String| {
        let logger = Logger::new(config(Config::new(home.path().join(name)))).expect("a logger");
        logger.try_log_bytes(&[1; 100]).expect("accepted");
        logger
    };
    // What a process needs once is not the logger's.
    open("first.log".into()).close().expect("closed");
    let before = resident();
    let loggers: Vec<_> = (0..count).map(|number| open(format!("{number}.log"))).collect();
    let each = || at_rest().saturating_sub(before) / count;
    let in_memory = each();
    for logger in &loggers {
        logger.flush().expect("flushed");
    }
    let in_file = each();
    println!("{count} loggers with one record: {in_memory} bytes each, flushed {in_file}");
    in_memory.max(in_file)
}

/// The bound that the documentation gives.
const MOST: u64 = 3_000_000;

#[test]
fn a_logger_with_one_record_holds_little_memory() {
    let test = "resident::a_logger_with_one_record_holds_little_memory";
    let Some(role) = child_role() else {
        for role in ["plain 1", "plain 100", "kept 1", "kept 10"] {
            print!("{role}: {}", in_child(test, role));
        }
        return;
    };
    let (kind, count) = role.split_once(' ').expect("two words");
    let count = count.parse().expect("a number");
    let each = match kind {
        "plain" => child(|config| config, count),
        _ => child(|config| config.crash_safe(CrashSafe::shared_memory()), count),
    };
    assert!(each <= MOST, "{each} bytes");
}
