//! What the tests of faults and file systems are repeated over, and the load that they have in common.

use std::{ops::Range, path::Path};

use asynclogger::{
    Durability, Engine, Logger,
    read::{Ending, LogDir, verify},
};

use crate::support::{Found, Numbered};

/// Every engine that is to hold what these tests ask for. A new one is added here, and nowhere else.
pub fn engines() -> &'static [Engine] {
    &[Engine::Pwrite, Engine::Auto, Engine::Uring]
}

/// Every level of durability; likewise.
pub fn durabilities() -> &'static [Durability] {
    &[Durability::Dsync, Durability::OnFlush, Durability::None]
}

/// Logs the records `numbers` of a thread, of all kinds of lengths; returns how many were accepted.
pub fn log_as(logger: &Logger, thread: u32, numbers: Range<u64>) -> u64 {
    let mut record = Numbered::new();
    let mut log = |number: &u64| {
        let len = Numbered::MIN_LEN + (*number as usize * 37) % 700;
        logger.try_log_bytes(record.make(thread, *number, len)).is_ok()
    };
    numbers.filter(|number| log(number)).count() as u64
}

/// As [`log_as`], for each of `threads` threads. A second call has other threads, and the order of their
/// records against those of the first is only certain if they were written in between.
pub fn log_numbered(logger: &Logger, threads: u32, numbers: Range<u64>) -> u64 {
    std::thread::scope(|scope| {
        let spawn = |thread| {
            let numbers = numbers.clone();
            scope.spawn(move || log_as(logger, thread, numbers))
        };
        let writers: Vec<_> = (0..threads).map(spawn).collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer")).sum()
    })
}

/// A closed log holds exactly `records` records, each once, whole and in its thread's order; both by the
/// independent reader and by ours.
pub fn assert_holds(path: &Path, threads: u32, records: u64) {
    let found = Found::read(path, threads as usize);
    assert_eq!(found.count, records, "{}", path.display());
    found.assert_in_order();
    let report = verify(path).expect("a report");
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.records, report.ending), (records, Ending::Clean), "{report:?}");
}

/// As [`assert_holds`], where nothing was dropped: each thread's records are 0, 1, 2, ... without a gap.
pub fn assert_holds_all(path: &Path, threads: u32, each: u64) {
    assert_holds(path, threads, u64::from(threads) * each);
    for numbers in Found::read(path, threads as usize).by_thread {
        assert!(numbers.into_iter().eq(0..each), "{}", path.display());
    }
}

/// The same of all segments together: a log goes on in the next one where it cannot go on in the last.
pub fn assert_log_holds_all(path: &Path, threads: u32, each: u64) {
    let mut log = LogDir::open(path).expect("the log");
    let mut found = vec![Vec::new(); threads as usize];
    while let Some(record) = log.next_record().expect("a record") {
        let (thread, number) = Numbered::parse(record.bytes()).expect("an altered record");
        found[thread as usize].push(number);
    }
    for numbers in found {
        assert!(numbers.into_iter().eq(0..each), "{}", path.display());
    }
}

/// Does something at the end of a scope, also when that is a failed assertion: threads that wait for it
/// would otherwise keep the test from failing.
pub struct Finally<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
