//! What is left of the last records of a program, by the way in which the program ends.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use asynclogger::{Config, CrashSafe, Logger};
use log::LevelFilter;

use super::records;
use crate::support::{child_role, directory, log_path};

const RECORDS: usize = 1000;

/// The program: it logs, and ends as its role says: `facade way extras path`.
#[test]
fn logs_and_ends() {
    let Some(role) = child_role() else { return };
    let mut role = role.splitn(4, ' ');
    let mut next = || role.next().expect("a role").to_owned();
    let (facade, way, extras, path) = (next(), next(), next(), next());
    let mut config = Config::new(&path);
    if extras == "crash-safe" {
        config = config.crash_safe(CrashSafe::in_dir(Path::new(&path).parent().expect("one")));
    }
    let logger = Logger::new(config).expect("a logger");
    if extras == "at-exit" {
        logger.close_at_exit().expect("registered");
    }
    let guard = if facade == "log" {
        let guard = asynclogger::log::init(logger.clone(), LevelFilter::Info).expect("installed");
        (0..RECORDS).for_each(|number| log::info!("{number}"));
        let again = asynclogger::log::init(logger, LevelFilter::Info);
        assert_eq!(again.expect_err("a second one").kind(), asynclogger::ErrorKind::InUse);
        guard
    } else {
        let level = tracing_subscriber::filter::LevelFilter::INFO;
        let guard = asynclogger::tracing::init(logger.clone(), level).expect("installed");
        (0..RECORDS).for_each(|number| tracing::info!("{number}"));
        let again = asynclogger::tracing::init(logger, level);
        assert_eq!(again.expect_err("a second one").kind(), asynclogger::ErrorKind::InUse);
        guard
    };
    match way.as_str() {
        // The process ends at once, so that nothing but the guard can have flushed.
        "return" => {
            drop(guard);
            // SAFETY: ends the process without any work of its own.
            unsafe { libc::_exit(0) };
        }
        "panic" => {
            let _end = Exits;
            let _guard = guard;
            panic!("as asked");
        }
        "exit" => std::process::exit(0),
        "abort" => std::process::abort(),
        _ => unreachable!("{way}"),
    }
}

/// Ends the process when it is dropped: after the guard, which was made later.
struct Exits;

impl Drop for Exits {
    fn drop(&mut self) {
        // SAFETY: ends the process without any work of its own.
        unsafe { libc::_exit(0) };
    }
}

/// The number of records that are left.
fn left(facade: &str, way: &str, extras: &str) -> usize {
    let directory = directory();
    let path = log_path(&directory);
    let role = format!("{facade} {way} {extras} {}", path.display());
    let child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["facades::ends::logs_and_ends", "--exact", "--nocapture", "--test-threads=1"])
        .env("CHILD", role)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("a child");
    assert_eq!(child.success(), way != "abort", "{facade} {way} {extras}: {child}");
    if extras == "crash-safe" {
        let place = CrashSafe::in_dir(directory.path());
        let next = Logger::new(Config::new(&path).crash_safe(place)).expect("a logger");
        next.close().expect("closed");
    }
    records(&path).len()
}

/// The table of docs/integrations.md. The flush interval is ten seconds: nothing else writes within the time.
#[test]
fn what_is_left_is_what_the_table_says() {
    let table = [
        ("return", [RECORDS, RECORDS, RECORDS]),
        ("panic", [RECORDS, RECORDS, RECORDS]),
        ("exit", [0, RECORDS, RECORDS]),
        ("abort", [0, 0, RECORDS]),
    ];
    for facade in ["log", "tracing"] {
        for (way, expected) in table {
            for (extras, expected) in ["none", "at-exit", "crash-safe"].into_iter().zip(expected) {
                assert_eq!(left(facade, way, extras), expected, "{facade}, {way}, {extras}");
            }
        }
    }
}
