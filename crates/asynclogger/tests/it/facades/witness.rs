//! A third party's witness: what the documentation and the tests of the crate `tracing-appender` promise their users,
//! as expectations of our writer. Each test has the promise in its name or first line; where ours differs on purpose,
//! the test says how. The list is in docs/migrating.md.

use std::{
    fs,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use asynclogger::{Boundary, Config, ErrorKind, Logger, Overflow, Retention, Rotation};
use tracing::{info, subscriber::with_default};
use tracing_subscriber::fmt::{MakeWriter, writer::MakeWriterExt};

use super::{logger, records};
use crate::support::{directory, log_path};

/// Little memory: a logger that is offered more than the device takes refuses records, or makes their callers wait.
fn small(path: &Path, overflow: Overflow) -> Logger {
    let config = Config::new(path).num_shards(1).buffer_size(64 << 10).overflow(overflow);
    Logger::new(config).expect("a logger")
}

fn write(logger: &Logger, line: &[u8]) {
    // As `fmt` does for each event: a writer, one call, nothing else.
    let written = logger.make_writer().write(line).expect("a writer that does not fail");
    assert_eq!(written, line.len());
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("text");
    let mut names: Vec<_> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

// The guard.

/// "Flushes spans/events on a drop": the last clone of a logger closes it when it is dropped.
#[test]
fn what_was_written_before_the_drop_is_in_the_file() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = Logger::new(Config::new(&path).num_shards(1)).expect("a logger");
    let subscriber = tracing_subscriber::fmt().with_writer(logger).finish();
    with_default(subscriber, || (0..100).for_each(|number| info!(number)));
    // The subscriber had the last clone.
    assert_eq!(records(&path).len(), 100);
}

/// "The guard will be dropped during an unwinding."
#[test]
fn what_was_written_before_a_panic_is_in_the_file() {
    let (_directory, logger) = logger();
    let path = logger.path().to_owned();
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        write(&logger, b"the last words\n");
        panic!("as asked");
    }));
    assert!(panicked.is_err());
    assert_eq!(records(&path), ["the last words"]);
}

/// Differs: with `tracing-appender`, lines that are written after the guard was dropped are gone without a trace. Here
/// each of them is counted.
#[test]
fn what_is_written_after_the_end_is_counted() {
    let (_directory, logger) = logger();
    write(&logger, b"before\n");
    logger.close().expect("closed");
    (0..7).for_each(|_| write(&logger, b"after\n"));
    let stats = logger.stats();
    assert_eq!((stats.accepted, stats.dropped.closed, stats.dropped_logs), (1, 7, 7));
    assert_eq!(records(logger.path()), ["before"]);
}

// Lossy or not.

/// "Logs are dropped if lossy": the default, here too (`Overflow::Drop`). The write succeeds all the same, and no line is
/// torn: the file has exactly those that were not dropped.
#[test]
fn a_lossy_writer_drops_lines_and_counts_each() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = small(&path, Overflow::Drop);
    let line = [b"a".repeat(8191), b"\n".to_vec()].concat();
    let mut offered = 0;
    // A device that is faster than this thread for so long is not to be had.
    while logger.stats().dropped_logs == 0 && offered < 20_000 {
        write(&logger, &line);
        offered += 1;
    }
    assert!(logger.stats().dropped_logs > 0, "of {offered} lines");
    let stats = logger.close().expect("closed");
    assert_eq!(stats.accepted + stats.dropped_logs, offered);
    assert_eq!(stats.dropped.full, stats.dropped_logs);
    let records = records(&path);
    assert_eq!(records.len() as u64, stats.accepted);
    assert!(records.iter().all(|record| record.as_bytes() == &line[..8191]));
}

/// "Backpressure is exerted" if not lossy (`Overflow::Block`), and the error counter stays 0. "Multi-threaded writes" all
/// arrive.
#[test]
fn a_writer_that_is_not_lossy_waits_and_drops_nothing() {
    const THREADS: usize = 4;
    const LINES: usize = 1000;
    let directory = directory();
    let path = log_path(&directory);
    let logger = small(&path, Overflow::Block);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let logger = &logger;
            scope.spawn(move || {
                for number in 0..LINES {
                    // Eight times the memory of the logger, together.
                    write(logger, format!("{thread} {number} {:0>240}\n", "").as_bytes());
                }
            });
        }
    });
    let stats = logger.close().expect("closed");
    assert_eq!((stats.accepted, stats.dropped_logs), ((THREADS * LINES) as u64, 0));
    let records = records(&path);
    for thread in 0..THREADS {
        let start = format!("{thread} ");
        let own = records.iter().filter_map(|record| record.strip_prefix(&start));
        let numbers: Vec<usize> = own
            .map(|rest| rest.split(' ').next().expect("a number").parse().expect("a number"))
            .collect();
        assert_eq!(numbers, Vec::from_iter(0..LINES), "thread {thread}");
    }
}

/// Between the two, which `tracing-appender` has not: a bounded wait, then the drop is counted.
#[test]
fn a_writer_can_wait_for_a_time() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = small(&path, Overflow::BlockFor(Duration::from_secs(30)));
    (0..1000).for_each(|_| write(&logger, &[b"b".repeat(1000), b"\n".to_vec()].concat()));
    let stats = logger.close().expect("closed");
    assert_eq!((stats.accepted, stats.dropped_logs), (1000, 0));
}

// Writers.

/// "Combining with another `MakeWriter`", and with a filter of levels.
#[test]
fn writers_are_combined_and_filtered() {
    let (_one, errors) = logger();
    let (_two, all) = logger();
    let both = errors.clone().with_max_level(tracing::Level::ERROR).and(all.clone());
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(both);
    with_default(subscriber.finish(), || {
        info!("calm");
        tracing::error!("alarm");
    });
    errors.close().expect("closed");
    all.close().expect("closed");
    let ends = |logger: &Logger, expected: &[&str]| {
        let records = records(logger.path());
        assert_eq!(records.len(), expected.len());
        assert!(
            records.iter().zip(expected).all(|(record, end)| record.ends_with(end)),
            "{records:?}"
        );
    };
    ends(&errors, &["alarm"]);
    ends(&all, &["calm", "alarm"]);
}

/// A `NonBlocking` is `Clone`, and all its clones write to the same queue.
#[test]
fn clones_write_to_one_file() {
    let (_directory, logger) = logger();
    let shared = Arc::new(logger.clone());
    write(&logger.clone(), b"one\n");
    write(&shared, b"two\n");
    logger.close().expect("closed");
    assert_eq!(records(logger.path()), ["one", "two"]);
}

// Files.

/// `rolling::never`: one file of the given name, and no other.
#[test]
fn without_rotation_there_is_one_file_of_the_given_name() {
    let directory = directory();
    let logger = Logger::new(Config::new(directory.path().join("app.log"))).expect("a logger");
    write(&logger, b"a\n");
    logger.close().expect("closed");
    assert_eq!(names(directory.path()), ["app.log"]);
}

/// Missing directories are made.
#[test]
fn missing_directories_are_made() {
    let directory = directory();
    let path = directory.path().join("deep/down/app.log");
    let logger = Logger::new(Config::new(&path).num_shards(1)).expect("a logger");
    write(&logger, b"a\n");
    logger.close().expect("closed");
    assert_eq!(records(&path), ["a"]);
}

/// A file that is there is continued, not cut.
#[test]
fn a_file_is_continued_by_the_next_run() {
    let directory = directory();
    let path = log_path(&directory);
    for line in [b"first run\n".as_slice(), b"second run\n"] {
        let logger = Logger::new(Config::new(&path).num_shards(1)).expect("a logger");
        write(&logger, line);
        logger.close().expect("closed");
    }
    assert_eq!(records(&path), ["first run", "second run"]);
}

/// `RollingFileAppender::builder().build()` returns an error if the file cannot be made; so does `Logger::new`.
#[test]
fn a_file_that_cannot_be_made_is_an_error_of_the_opening() {
    let directory = directory();
    let file = directory.path().join("no-directory");
    fs::write(&file, "text").expect("written");
    let error = Logger::new(Config::new(file.join("app.log"))).expect_err("no directory");
    assert!(error.to_string().contains("no-directory"), "{error}");
    assert_ne!(error.kind(), ErrorKind::InvalidConfig);
    assert_eq!(fs::read_to_string(&file).expect("read"), "text");
}

/// Differs: the file that is written keeps its name, and a finished one gets a date. With `tracing-appender` the file
/// that is written has the date of its period, so a link (`latest_symlink`) has to say which one that is.
#[test]
fn the_written_file_keeps_its_name_and_finished_ones_have_dates() {
    let directory = directory();
    let path = directory.path().join("app.log");
    let logger = Logger::new(Config::new(&path).num_shards(1)).expect("a logger");
    write(&logger, b"old\n");
    logger.rotate().expect("rotated");
    write(&logger, b"new\n");
    logger.close().expect("closed");
    let names = names(directory.path());
    let [active, archived] = &names[..] else { panic!("{names:?}") };
    assert_eq!(active, "app.log");
    let date = archived.strip_prefix("app_").and_then(|rest| rest.strip_suffix(".log"));
    let date = date.unwrap_or_else(|| panic!("{archived}"));
    // YYYY-MM-DD_HH-MM-SS
    assert_eq!((date.len(), date.matches('-').count(), date.matches('_').count()), (19, 4, 1));
    // The log is both; a file alone has its own records.
    assert_eq!(records(&path), ["old", "new"]);
}

/// The periods: full minutes, hours and days, in UTC unless local time is asked for; sizes besides. Differs: a week is an
/// age, not a boundary of the calendar.
#[test]
fn periods_have_their_counterparts() {
    let directory = directory();
    let minute = Rotation::new().every(Boundary::Interval(Duration::from_secs(60)));
    let hour = Rotation::new().every(Boundary::Hourly).max_size(64 << 20);
    let week = Rotation::new().max_age(Duration::from_secs(7 * 24 * 3600));
    for rotation in [minute, hour, Rotation::new().every(Boundary::Daily), week] {
        let config = Config::new(directory.path().join("app.log")).rotation(rotation);
        assert!(config.validate().is_ok(), "a rotation that is possible");
    }
}

/// `max_log_files(n)`: the oldest are deleted. Differs: `keep` counts the finished files, besides the one that is written,
/// and a foreign file of a similar name is never deleted. (`tracing-appender` deletes by name alone.)
#[test]
fn the_oldest_files_are_deleted_and_no_foreign_one() {
    let directory = directory();
    let path = directory.path().join("app.log");
    let foreign = directory.path().join("app_2001-01-01_00-00-00.log");
    fs::write(&foreign, "not ours").expect("written");
    let config = Config::new(&path).num_shards(1).retention(Retention::new().keep(2));
    let logger = Logger::new(config).expect("a logger");
    for number in 0..5 {
        write(&logger, format!("{number}\n").as_bytes());
        logger.rotate().expect("rotated");
    }
    write(&logger, b"5\n");
    logger.close().expect("closed");
    assert_eq!(fs::read_to_string(&foreign).expect("still there"), "not ours");
    assert_eq!(
        names(directory.path()).len(),
        4,
        "the written file, two finished ones, the foreign one"
    );
    assert_eq!(records(&path), ["3", "4", "5"]);
}
