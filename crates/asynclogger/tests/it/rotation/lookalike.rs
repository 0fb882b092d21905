//! Another log's active file has a name that archived segments of this log have.

use std::fs;

use asynclogger::{Compression, Logger, Opened, Retention, read::LogDir};

use super::{LONG, files, small};
use crate::{
    matrix::log_as,
    support::{directory, log_path, open},
};

const LOOKALIKE: &str = "app_2026-11-25_09-00-00.log";

fn rotate(logger: &Logger, numbers: std::ops::Range<u64>) {
    for number in numbers {
        log_as(logger, 0, number..number + 1);
        logger.rotate().expect("rotated");
    }
}

/// While the other logger runs, and after it was closed.
#[test]
fn another_loggers_active_file_is_never_taken_for_an_archived_segment() {
    for compression in [Compression::Off, Compression::zstd(1)] {
        if compression != Compression::Off && cfg!(not(feature = "zstd")) {
            continue;
        }
        for closed in [false, true] {
            let directory = directory();
            let path = log_path(&directory);
            let other_path = path.with_file_name(LOOKALIKE);
            let other = open(small(&other_path));
            log_as(&other, 0, 0..5);
            other.flush().expect("durable");
            let other = if closed {
                other.close().expect("closed");
                None
            } else {
                Some(other)
            };
            let before = fs::read(&other_path).expect("the other log");
            let config = small(&path)
                .retention(Retention::new().keep(1).max_age(std::time::Duration::from_nanos(1)))
                .compression(compression);
            let logger = open(config);
            assert_eq!(*logger.opened(), Opened::Created);
            rotate(&logger, 0..4);
            logger.close().expect("closed");
            assert!(fs::read(&other_path).expect("there") == before, "not a byte has changed");
            let other = other.unwrap_or_else(|| open(small(&other_path).flush_interval(LONG)));
            log_as(&other, 0, 5..6);
            other.close().expect("closed");

            let ours = LogDir::open(&path).expect("a log");
            let mut others = LogDir::open(&other_path).expect("a log");
            assert_ne!(ours.log_id(), others.log_id());
            assert_eq!(others.segments().len(), 1);
            assert_eq!(ours.segments().len(), 2, "one that is archived, and the active one");
            let mut records = 0;
            while others.next_record().expect("a record").is_some() {
                records += 1;
            }
            assert_eq!(records, 6, "{compression:?}, {closed}: {:?}", files(&path));
        }
    }
}

/// Nor when the file was copied: it carries another name.
#[test]
fn a_log_id_under_a_name_of_ours_is_not_taken_over() {
    let directory = directory();
    let path = log_path(&directory);
    let other = path.with_file_name("other.log");
    let logger = open(small(&other));
    log_as(&logger, 0, 0..5);
    logger.close().expect("closed");
    let bytes = fs::read(&other).expect("it");
    fs::copy(&other, path.with_file_name(LOOKALIKE)).expect("copied");
    fs::copy(&other, &path).expect("copied");
    let logger = open(small(&path).retention(Retention::new().keep(1)));
    let Opened::SetAside { to, .. } = logger.opened().clone() else {
        panic!("{:?}", logger.opened())
    };
    rotate(&logger, 0..4);
    logger.close().expect("closed");
    for kept in [other.clone(), path.with_file_name(LOOKALIKE), to] {
        assert!(fs::read(&kept).expect("kept") == bytes, "{}", kept.display());
    }
    let ours = LogDir::open(&path).expect("a log").log_id();
    assert_ne!(ours, LogDir::open(&other).expect("a log").log_id());
}
