//! Somebody moved, replaced, deleted or cut the active file under the logger.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::{FileExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use asynclogger::{
    Config, Durability, Engine, Error, ErrorKind, Logger,
    read::{Ending, LogDir, verify},
};

use super::{THREADS, Told, Whole, archived, numbers_of, small, with_writers};
use crate::{
    matrix::{durabilities, engines, log_as},
    support::{Found, Numbered, assert_balanced, directory, log_path, open, wait_until},
};

/// What somebody does to the active file under the logger.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Rename,
    RenameToDirectoryAbove,
    Delete,
    Truncate,
    LinkToAnother,
    LinkToItself,
    Directory,
    AnotherFile,
}

impl Deed {
    const ALL: [Deed; 8] = [
        Deed::Rename,
        Deed::RenameToDirectoryAbove,
        Deed::Delete,
        Deed::Truncate,
        Deed::LinkToAnother,
        Deed::LinkToItself,
        Deed::Directory,
        Deed::AnotherFile,
    ];

    /// Where the file is then, if it still is a whole one.
    fn moved(self, path: &Path) -> Option<PathBuf> {
        match self {
            Deed::Delete | Deed::Truncate => None,
            Deed::RenameToDirectoryAbove => Some(path.parent()?.parent()?.join("moved.log")),
            _ => Some(path.with_file_name("moved.log")),
        }
    }

    fn victim(path: &Path) -> PathBuf {
        path.parent().expect("a parent").with_file_name("victim")
    }

    fn cut(path: &Path) {
        File::options().write(true).open(path).expect("open").set_len(0).expect("truncate");
    }

    fn done_to(self, path: &Path) {
        if let Some(moved) = self.moved(path) {
            fs::rename(path, moved).expect("rename");
        }
        fs::write(Deed::victim(path), "precious").expect("write");
        match self {
            Deed::Rename | Deed::RenameToDirectoryAbove => {}
            Deed::Delete => fs::remove_file(path).expect("delete"),
            Deed::Truncate => Deed::cut(path),
            Deed::LinkToAnother => symlink(Deed::victim(path), path).expect("link"),
            Deed::LinkToItself => symlink("moved.log", path).expect("link"),
            Deed::Directory => {
                fs::create_dir(path).expect("a directory");
                fs::write(path.join("inside"), "precious").expect("write");
            }
            Deed::AnotherFile => fs::write(path, "precious").expect("write"),
        }
    }

    /// What stood at the path has an archived name now, and is as it was.
    fn assert_set_aside(self, path: &Path) {
        assert_eq!(fs::read(Deed::victim(path)).expect("the victim"), b"precious");
        let aside = archived(path);
        let at = |aside: &[PathBuf]| match aside {
            [one] => one.clone(),
            other => panic!("{self:?}: {other:?}"),
        };
        match self {
            Deed::Rename | Deed::RenameToDirectoryAbove | Deed::Delete => {
                assert_eq!(aside, [] as [PathBuf; 0]);
            }
            Deed::Truncate => assert_eq!(fs::metadata(at(&aside)).expect("it").len(), 0),
            Deed::LinkToAnother => {
                assert_eq!(fs::read_link(at(&aside)).expect("a link"), Deed::victim(path));
            }
            Deed::LinkToItself => {
                assert_eq!(fs::read_link(at(&aside)).expect("a link"), Path::new("moved.log"));
            }
            Deed::Directory => {
                assert_eq!(fs::read(at(&aside).join("inside")).expect("it"), b"precious");
            }
            Deed::AnotherFile => assert_eq!(fs::read(at(&aside)).expect("it"), b"precious"),
        }
    }
}

/// `logs/app.log`, with room beside it.
fn nested_path(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("logs/app.log")
}

#[test]
fn a_file_that_was_moved_is_noticed_within_a_flush() {
    for deed in Deed::ALL {
        for durability in durabilities() {
            for engine in engines() {
                for call in [Logger::flush, Logger::reopen, Logger::rotate] {
                    move_idle(deed, small_at(*engine, *durability), call);
                }
            }
        }
    }
}

fn small_at(engine: Engine, durability: Durability) -> impl Fn(&Path) -> Config {
    move |path| small(path).engine(engine).durability(durability)
}

/// Ten records are durable and ten are in memory when it happens; ten more are logged after it was noticed.
fn move_idle(deed: Deed, config: impl Fn(&Path) -> Config, call: fn(&Logger) -> Result<(), Error>) {
    let directory = directory();
    let path = nested_path(&directory);
    let told = Told::open(config(&path));
    let logger = &told.logger;
    log_as(logger, 0, 0..10);
    logger.flush().expect("flush");
    log_as(logger, 0, 10..20);
    deed.done_to(&path);
    call(logger).expect("all of it is durable");
    told.assert_moved(&path);
    let kind = fs::symlink_metadata(&path).expect("the path").file_type();
    assert!(kind.is_file(), "{deed:?}: {kind:?}");
    assert_eq!(logger.stats().durable, 20);
    log_as(logger, 0, 20..30);
    logger.flush().expect("flush");
    told.assert_moved(&path);
    let stats = logger.close().expect("close");
    assert_balanced(&stats);
    assert_eq!((stats.accepted, stats.durable, stats.lost), (30, 30, 0));
    assert!(!path.with_file_name(".app.next").exists());

    // What was not durable at that moment, and what came after, is in the log at its path.
    let mut log = LogDir::open(&path).expect("the log");
    let id = log.log_id();
    let mut ours = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        ours.push(Numbered::parse(record.bytes()).expect("an altered record").1);
    }
    match deed.moved(&path) {
        Some(moved) => {
            // The old file is whole under its other name.
            let report = verify(&moved).expect("a report");
            assert!(report.is_whole(), "{report:?}");
            assert_eq!((report.records, report.ending, report.segment), (10, Ending::Clean, 1));
            assert_eq!(report.log_id, id);
            assert_eq!(Found::read(&moved, 1).by_thread[0], Vec::from_iter(0..10));
            let beside = moved.parent() == path.parent();
            let expected = if beside { 0..30 } else { 10..30 };
            assert!(ours.into_iter().eq(expected), "{deed:?}");
        }
        None => assert!(ours.into_iter().eq(10..30), "{deed:?}"),
    }
    if numbers_of(&path).0 == 2 {
        deed.assert_set_aside(&path);
    }
    // `rotate` covers what was in memory, in a segment of its own.
    assert_eq!(numbers_of(&path).1, numbers_of(&path).0 - 1);
}

/// Everything that was written and had no barrier yet goes into the next file, though nothing failed.
#[test]
fn what_was_written_and_not_durable_is_written_again() {
    for deed in [Deed::Delete, Deed::Truncate] {
        for engine in engines() {
            let directory = directory();
            let path = nested_path(&directory);
            let config = small(&path).engine(*engine).durability(Durability::OnFlush);
            // So many buffers that none has to be freed.
            let told = Told::open(config.buffer_size(16 << 20).num_shards(256));
            let mut record = Numbered::new();
            let mut log = |numbers: std::ops::Range<u64>| {
                numbers.for_each(|number| told.logger.log_bytes(record.make(0, number, 1_000)));
            };
            log(0..10);
            told.logger.flush().expect("flush");
            // 65 of them are a block: 30 blocks are on the disk, and the rest is in memory.
            log(10..2_000);
            wait_until("it is written", || told.logger.stats().written == 10 + 30 * 65);
            assert_eq!(told.logger.stats().durable, 10);
            deed.done_to(&path);
            // No more than the buffer takes.
            log(2_000..2_020);
            told.logger.flush().expect("flush");
            told.assert_moved(&path);
            let stats = told.logger.close().expect("close");
            assert_eq!((stats.durable, stats.lost), (2_020, 0));
            assert_eq!(Found::read(&path, 1).by_thread[0], Vec::from_iter(10..2_020));
            let report = verify(&path).expect("a report");
            assert_eq!((report.ending, report.segment), (Ending::Clean, 2));
            assert!(report.damage.is_empty(), "{report:?}");
        }
    }
}

/// Waits until each thread has logged so many.
fn all_have_more_than(accepted: &[AtomicU64], count: u64) {
    wait_until("records", || accepted.iter().all(|each| each.load(Ordering::Relaxed) > count));
}

/// Waits until each thread has logged more than any had.
fn all_go_on(accepted: &[AtomicU64]) {
    let now = accepted.iter().map(|each| each.load(Ordering::Relaxed)).max();
    all_have_more_than(accepted, now.expect("threads") + 100);
}

/// With threads that log at full speed: whatever is not in the old file is in the new one.
#[test]
fn a_file_moved_under_full_speed_costs_nothing() {
    for deed in [Deed::Rename, Deed::Delete, Deed::LinkToAnother] {
        for durability in durabilities() {
            for engine in engines() {
                if deed != Deed::Rename && *engine != Engine::Auto {
                    continue;
                }
                let directory = directory();
                let path = nested_path(&directory);
                let told = Told::open(small(&path).engine(*engine).durability(*durability));
                let old = File::open(&path).expect("the old file");
                let counts = with_writers(&told.logger, |accepted| {
                    all_have_more_than(accepted, 1_000);
                    deed.done_to(&path);
                    // Nobody calls anything: what is written notices it by itself.
                    wait_until("it is noticed", || {
                        path.is_file() && fs::read(Deed::victim(&path)).is_ok() && {
                            told.logger.last_error().is_some_and(|e| e.kind() == ErrorKind::Moved)
                        }
                    });
                    all_go_on(accepted);
                });
                let stats = told.logger.close().expect("close");
                told.assert_moved(&path);
                assert_balanced(&stats);
                assert_eq!(stats.lost, 0);
                assert_eq!(fs::read(Deed::victim(&path)).expect("the victim"), b"precious");
                assert_eq!(numbers_of(&path), (2, 1));
                // The old file, whatever became of its name.
                let copy = directory.path().join("copy.log");
                let mut bytes = vec![0; old.metadata().expect("it").len() as usize];
                old.read_exact_at(&mut bytes, 0).expect("its bytes");
                fs::write(&copy, bytes).expect("a copy");
                let (first, second) =
                    (Found::read(&copy, THREADS as usize), Found::read(&path, THREADS as usize));
                let is_moved = deed.moved(&path).is_some();
                for (thread, count) in counts.iter().enumerate() {
                    let (first, second) = (&first.by_thread[thread], &second.by_thread[thread]);
                    let both: BTreeSet<_> = first.iter().chain(second).copied().collect();
                    assert!(both.into_iter().eq(0..*count), "{deed:?}: thread {thread}");
                    let doubled = first.len() as u64 + second.len() as u64 - count;
                    assert!(!is_moved || doubled == 0, "{deed:?}: {doubled} twice");
                }
                if is_moved {
                    let report = verify(&copy).expect("a report");
                    assert!(report.is_whole() && report.ending == Ending::Clean, "{report:?}");
                }
            }
        }
    }
}

/// Copied and cut, as `logrotate` may do it: what was written behind the cut before that was noticed makes
/// the file as long as it should be, but a hole is where its beginning was.
#[test]
fn a_file_cut_under_full_speed_is_noticed() {
    for durability in durabilities() {
        for engine in engines() {
            let directory = directory();
            let path = log_path(&directory);
            let told = Told::open(small(&path).engine(*engine).durability(*durability));
            let counts = with_writers(&told.logger, |accepted| {
                all_have_more_than(accepted, 2_000);
                Deed::cut(&path);
                wait_until("it is noticed", || told.logger.last_error().is_some());
                all_go_on(accepted);
            });
            let stats = told.logger.close().expect("close");
            told.assert_moved(&path);
            assert_balanced(&stats);
            assert_eq!(stats.lost, 0);
            // From there on nothing is missing.
            assert_eq!(numbers_of(&path), (2, 1));
            let report = verify(&path).expect("a report");
            assert_eq!((report.ending, report.damage.len()), (Ending::Clean, 0), "{report:?}");
            let found = Found::read(&path, THREADS as usize);
            for (numbers, count) in found.by_thread.iter().zip(counts) {
                let first = *numbers.first().expect("there were more");
                assert!(numbers.iter().copied().eq(first..count));
            }
        }
    }
}

/// As `logrotate` does it day by day.
#[test]
fn a_file_may_be_moved_again_and_again() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(small(&path));
    let counts = with_writers(&logger, |_accepted| {
        for turn in 1..20 {
            // Written ones: a file that is moved before its first block gets none, as the log looks before each block.
            let written = logger.stats().written;
            wait_until("a block", || logger.stats().written > written);
            let moved = path.with_file_name(format!("app_2026-01-01_00-00-00.{turn}.log"));
            fs::rename(&path, &moved).expect("rename");
            logger.reopen().expect("reopen");
            assert_eq!(numbers_of(&path), (turn + 1, turn));
            assert_eq!(verify(&moved).expect("a report").ending, Ending::Clean);
        }
    });
    logger.close().expect("close");
    Whole::read(&path, THREADS).assert_has(&counts);
}

/// Readers find a moved segment by its content, and leave out one of two with the same number.
#[test]
fn a_number_is_not_given_again_after_its_file_was_moved_to_any_name() {
    // With an active file at the next opening, an older one that was put back, and none.
    let names = ["app.log.1", "app.old", "other.log", "notes.txt", "app.log.zst", "other.log.zst"];
    let cases = names.into_iter().flat_map(|name| [(false, name), (true, name)]);
    // With a damaged start a file needs the name of a log to be found.
    let damaged = ["other.log", "other.log.zst"].map(|name| (false, name, true));
    for (restores, name, damages) in cases.map(|(put, name)| (put, name, false)).chain(damaged) {
        let directory = directory();
        let path = log_path(&directory);
        let logger = open(small(&path));
        log_as(&logger, 0, 0..10);
        logger.rotate().expect("rotated");
        log_as(&logger, 0, 10..20);
        logger.close().expect("closed");
        let kept = directory.path().join("kept");
        fs::create_dir(&kept).expect("a directory");
        fs::copy(&path, kept.join("app.log")).expect("copied");
        let logger = open(small(&path));
        logger.rotate().expect("rotated");
        log_as(&logger, 0, 20..30);
        logger.close().expect("closed");
        if damages {
            let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
            file.write_all_at(&[7; 100], 20).expect("damaged");
        }
        // Number 2 is archived, and 3 has a name of somebody else's.
        fs::rename(&path, path.with_file_name(name)).expect("renamed");
        if restores {
            fs::rename(kept.join("app.log"), &path).expect("renamed");
        }
        let logger = open(small(&path));
        log_as(&logger, 0, 30..40);
        logger.close().expect("closed");
        assert_eq!(numbers_of(&path), (4, 3), "{name} {damages}");
        let mut log = LogDir::open(&path).expect("the log");
        let mut found = Vec::new();
        while let Some(record) = log.next_record().expect("a record") {
            found.push(Numbered::parse(record.bytes()).expect("a record").1);
        }
        assert!(found.iter().copied().eq(0..40), "{name}: {found:?}");
    }
}

/// The number of an active file stays its own if nothing but the parts behind its damage can tell the number, and the id
/// of the log comes from an archived segment.
#[test]
fn the_number_of_an_active_file_with_a_damaged_start_is_not_given_again() {
    // The start alone, and the start with the head of a block whose tail lies at an odd place.
    for damaged in [100, 6000] {
        let directory = directory();
        let path = log_path(&directory);
        let logger = open(small(&path));
        for number in 0..3 {
            log_as(&logger, 0, number * 300..number * 300 + 300);
            logger.rotate().expect("rotated");
        }
        log_as(&logger, 0, 900..1200);
        logger.close().expect("closed");
        // Nothing else tells that 2 and 3 exist.
        let mut segments = archived(&path);
        segments.sort_by_key(|path| numbers_of(path).0);
        segments[1..].iter().for_each(|path| fs::remove_file(path).expect("removed"));
        let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
        file.write_all_at(&vec![7; damaged], 20).expect("damaged");

        let logger = open(small(&path));
        log_as(&logger, 0, 1200..1210);
        logger.close().expect("closed");
        assert_eq!(numbers_of(&path).0, 5, "{damaged}");
        let mut log = LogDir::open(&path).expect("the log");
        let mut found = Vec::new();
        while let Some(record) = log.next_record().expect("a record") {
            found.push(Numbered::parse(record.bytes()).expect("a record").1);
        }
        assert!(found.iter().copied().eq((0..300).chain(900..1210)), "{damaged}: {found:?}");
    }
}
