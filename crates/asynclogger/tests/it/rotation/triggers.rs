//! When a segment is over: by call, by size, by age, under load, at the close; and never without a record.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use asynclogger::{
    Boundary, Config, Durability, Engine, LoggerManager, Opened, Rotation,
    read::{Ending, verify},
};

use super::{
    LEAST_SIZE, SHORT, THREADS, Whole, active_segment, archived, assert_undisturbed, files,
    numbers_of, small, with_writers,
};
use crate::{
    matrix::{Finally, durabilities, engines, log_as, log_numbered},
    support::{Found, Numbered, assert_balanced, directory, log_path, open, wait_until},
};

fn rotate_by_call(engine: Engine, durability: Durability, rotations: u64) {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(small(&path).engine(engine).durability(durability));
    let counts = with_writers(&logger, |_| {
        while active_segment(&path) <= rotations {
            logger.rotate().expect("rotate");
        }
    });
    let stats = logger.close().expect("close");
    assert_undisturbed(&logger, &stats, counts.iter().sum());
    let whole = Whole::read(&path, THREADS);
    whole.assert_has(&counts);
    assert_eq!(whole.segments, rotations + 1, "{engine:?} {durability:?}");
}

#[test]
fn a_thousand_rotations_by_call_lose_nothing() {
    rotate_by_call(Engine::Auto, Durability::Dsync, 1_000);
}

#[test]
fn every_engine_and_level_rotates_by_call() {
    for durability in durabilities() {
        for engine in engines() {
            rotate_by_call(*engine, *durability, 40);
        }
    }
}

#[test]
fn two_hundred_rotations_by_size_lose_nothing() {
    const EACH: u64 = 20_000;
    for durability in durabilities() {
        for engine in engines() {
            let directory = directory();
            let path = log_path(&directory);
            let max_size = 2 * LEAST_SIZE;
            let config = small(&path).engine(*engine).durability(*durability);
            let logger = open(config.rotation(Rotation::new().max_size(max_size)));
            assert_eq!(log_numbered(&logger, THREADS, 0..EACH), u64::from(THREADS) * EACH);
            let stats = logger.close().expect("close");
            assert_undisturbed(&logger, &stats, u64::from(THREADS) * EACH);
            let whole = Whole::read(&path, THREADS);
            whole.assert_has(&[EACH; THREADS as usize]);
            assert!(whole.segments > 200, "{} segments", whole.segments);
            for file in archived(&path).into_iter().chain([path]) {
                let len = fs::metadata(&file).expect("a file").len();
                assert!(len <= max_size, "{}: {len}", file.display());
            }
        }
    }
}

/// As many as fit, and not one more: a limit that a block would cross is kept, one that it meets is met.
#[test]
fn a_file_is_filled_up_to_its_limit() {
    let directory = directory();
    let path = log_path(&directory);
    // Start, three blocks of two units and an end.
    let logger = open(small(&path).rotation(Rotation::new().max_size(LEAST_SIZE)));
    let mut record = Numbered::new();
    // One unit of records, with its head; the tail fits in.
    for number in 0..20 {
        logger.log_bytes(record.make(0, number, 3_000));
        logger.flush().expect("flush");
    }
    logger.close().expect("close");
    let whole = Whole::read(&path, 1);
    whole.assert_has(&[20]);
    // 2 units a block, 18 of 20 units for blocks.
    assert_eq!(whole.segments, 3);
    for file in archived(&path) {
        let found = Found::read(&file, 1).count;
        let len = fs::metadata(&file).expect("a file").len();
        assert_eq!((found, len), (9, LEAST_SIZE));
    }
}

#[test]
fn rotation_by_age_and_never_of_an_empty_segment() {
    let (directory, other) = (directory(), directory());
    let (path, idle_path) = (log_path(&directory), log_path(&other));
    let age = Rotation::new().max_age(Duration::from_millis(50));
    let logger = open(small(&path).flush_interval(SHORT).rotation(age.clone()));
    // Of the same age, with one record in the first segment only.
    let idle = open(small(&idle_path).flush_interval(SHORT).rotation(age));
    log_as(&idle, 0, 0..1);
    for number in 0..6 {
        log_as(&logger, 0, number..number + 1);
        // Nobody asks for anything: it is the age alone.
        wait_until("the segment is old", || {
            logger.stats().pending == 0 && {
                archived(&path).len() as u64 == number + 1 && path.exists()
            }
        });
    }
    wait_until("the idle one", || archived(&idle_path).len() == 1 && idle_path.exists());
    assert_eq!(active_segment(&idle_path), 2);
    for (logger, path, count) in [(logger, path, 6), (idle, idle_path, 1)] {
        let stats = logger.close().expect("close");
        assert_undisturbed(&logger, &stats, count);
        let whole = Whole::read(&path, 1);
        whole.assert_has(&[count]);
        assert_eq!(whole.segments, count + 1);
    }
}

#[test]
fn without_records_nothing_is_rotated() {
    let directory = directory();
    let path = log_path(&directory);
    let only_active = BTreeSet::from(["app.log".to_owned()]);
    let logger = open(small(&path));
    logger.rotate().expect("rotate");
    logger.reopen().expect("reopen");
    assert_eq!(files(&path), only_active);
    log_as(&logger, 0, 0..1);
    for _ in 0..3 {
        logger.rotate().expect("rotate");
    }
    assert_eq!((archived(&path).len(), active_segment(&path)), (1, 2));
    logger.close().expect("close");
    // After the close it does nothing, and is no error: all that was accepted is durable.
    logger.rotate().expect("rotate");
    // In an empty segment that is continued, too.
    drop(logger);
    let logger = open(small(&path));
    assert_eq!(*logger.opened(), Opened::Continued);
    logger.rotate().expect("rotate");
    assert_eq!((archived(&path).len(), active_segment(&path)), (1, 2));
    logger.close().expect("close");
    let whole = Whole::read(&path, 1);
    whole.assert_has(&[1]);
    assert_eq!(whole.segments, 2);
}

/// Sessions that logged nothing leave a start and an end each; that is no reason to leave the file.
#[test]
fn sessions_without_records_are_not_rotated() {
    let directory = directory();
    let path = log_path(&directory);
    let age = Rotation::new().max_age(Duration::from_millis(1));
    for session in 0..4 {
        let logger = open(small(&path).flush_interval(SHORT).rotation(age.clone()));
        let opened = if session == 0 { Opened::Created } else { Opened::Continued };
        assert_eq!(*logger.opened(), opened);
        logger.rotate().expect("rotate");
        logger.close().expect("close");
        assert_eq!(files(&path), BTreeSet::from(["app.log".to_owned()]), "session {session}");
    }
    Whole::read(&path, 1).assert_has(&[0]);
}

/// Of whichever session the records are.
#[test]
fn records_of_an_earlier_session_are_rotated() {
    for filled in 0..3 {
        let directory = directory();
        let path = log_path(&directory);
        for session in 0..3 {
            let logger = open(small(&path));
            if session == filled {
                log_as(&logger, 0, 0..1);
            }
            logger.close().expect("close");
        }
        let logger = open(small(&path));
        logger.rotate().expect("rotate");
        logger.close().expect("close");
        let whole = Whole::read(&path, 1);
        whole.assert_has(&[1]);
        assert_eq!((whole.segments, Found::read(&path, 1).count), (2, 0));
    }
}

/// The limit of the length holds for a file that sessions without records have filled, too.
#[test]
fn sessions_without_records_make_no_file_too_long() {
    let directory = directory();
    let path = log_path(&directory);
    let config = || small(&path).rotation(Rotation::new().max_size(LEAST_SIZE));
    for _ in 0..4 {
        open(config()).close().expect("close");
    }
    let logger = open(config());
    log_as(&logger, 0, 0..5_000);
    logger.close().expect("close");
    for file in archived(&path).into_iter().chain([path]) {
        let len = fs::metadata(&file).expect("a file").len();
        assert!(len <= LEAST_SIZE, "{}: {len}", file.display());
    }
}

#[test]
fn several_threads_rotate_at_once() {
    const ROTATORS: u32 = 8;
    const EACH: u64 = 30;
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(small(&path).num_shards(ROTATORS as usize).buffer_size(512 << 10));
    std::thread::scope(|scope| {
        for thread in 0..ROTATORS {
            let logger = &logger;
            scope.spawn(move || {
                for number in 0..EACH {
                    log_as(logger, thread, number..number + 1);
                    logger.rotate().expect("rotate");
                }
            });
        }
    });
    let last = active_segment(&path);
    let stats = logger.close().expect("close");
    assert_undisturbed(&logger, &stats, u64::from(ROTATORS) * EACH);
    assert_eq!(Found::read(&path, ROTATORS as usize).count, 0, "all of it was covered by a call");
    let whole = Whole::read(&path, ROTATORS);
    whole.assert_has(&[EACH; ROTATORS as usize]);
    assert_eq!(whole.segments, last);
    assert!((EACH..=u64::from(ROTATORS) * EACH).contains(&(last - 1)), "{last}");
}

/// What was accepted before the call is in a file that is complete when the call returns.
#[test]
fn rotate_covers_what_was_accepted_before_it() {
    for durability in durabilities() {
        for engine in engines() {
            let directory = directory();
            let path = log_path(&directory);
            let logger = open(small(&path).engine(*engine).durability(*durability));
            let mut known = BTreeSet::new();
            let mut archived_numbers = vec![0; THREADS as usize];
            let counts = with_writers(&logger, |accepted| {
                for _ in 0..8 {
                    wait_until("some more records", || {
                        let more = accepted.iter().zip(&archived_numbers);
                        more.fold(true, |all, (now, then)| {
                            all & (now.load(Ordering::Acquire) > *then)
                        })
                    });
                    let before: Vec<_> =
                        accepted.iter().map(|count| count.load(Ordering::Acquire)).collect();
                    logger.rotate().expect("rotate");
                    for file in archived(&path) {
                        if known.insert(file.clone()) {
                            let report = verify(&file).expect("a report");
                            assert!(report.is_whole() && report.ending == Ending::Clean);
                            let found = Found::read(&file, THREADS as usize);
                            for (all, more) in archived_numbers.iter_mut().zip(found.by_thread) {
                                *all += more.len() as u64;
                            }
                        }
                    }
                    for (archived, before) in archived_numbers.iter().zip(before) {
                        assert!(*archived >= before, "{archived} of {before}");
                    }
                }
            });
            logger.close().expect("close");
            Whole::read(&path, THREADS).assert_has(&counts);
        }
    }
}

#[test]
fn close_against_rotations_loses_nothing() {
    for durability in durabilities() {
        for engine in engines() {
            let directory = directory();
            let path = log_path(&directory);
            let logger = open(small(&path).engine(*engine).durability(*durability));
            let closed = AtomicBool::new(false);
            let accepted = std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !closed.load(Ordering::Relaxed) {
                            logger.rotate().expect("rotate");
                        }
                    });
                }
                let write = |thread| {
                    let logger = &logger;
                    scope.spawn(move || {
                        (0..).find(|number| log_as(logger, thread, *number..number + 1) == 0)
                    })
                };
                let writers: Vec<_> = (0..THREADS).map(write).collect();
                let _end = Finally(|| {
                    let _ = logger.close();
                    closed.store(true, Ordering::Relaxed);
                });
                wait_until("rotations", || archived(&path).len() > 5);
                logger.close().expect("close");
                let join = |writer: std::thread::ScopedJoinHandle<'_, Option<u64>>| {
                    writer.join().expect("a writer").expect("it ends")
                };
                writers.into_iter().map(join).collect::<Vec<_>>()
            });
            let stats = logger.stats();
            assert_balanced(&stats);
            assert_eq!((stats.accepted, stats.lost), (accepted.iter().sum(), 0));
            assert_eq!(stats.durable, stats.accepted);
            Whole::read(&path, THREADS).assert_has(&accepted);
        }
    }
}

#[test]
fn the_numbering_goes_on_after_a_restart() {
    let directory = directory();
    let path = log_path(&directory);
    let mut next = 0;
    for session in 0..4 {
        let logger = open(small(&path));
        let opened = if session == 0 { Opened::Created } else { Opened::Continued };
        assert_eq!(*logger.opened(), opened);
        for _ in 0..3 {
            log_as(&logger, 0, next..next + 10);
            next += 10;
            logger.rotate().expect("rotate");
        }
        log_as(&logger, 0, next..next + 10);
        next += 10;
        logger.close().expect("close");
        assert_eq!(numbers_of(&path), (4 + session * 3, 3 + session * 3));
    }
    let whole = Whole::read(&path, 1);
    whole.assert_has(&[next]);
    assert_eq!(whole.segments, 13);
    // Without its active file it goes on behind the last archived one.
    fs::remove_file(&path).expect("the active file");
    let logger = open(small(&path));
    assert_eq!((logger.opened(), numbers_of(&path)), (&Opened::Created, (13, 12)));
    logger.close().expect("close");
}

/// The flusher sleeps until a rotation that is due much later: that is no reason to keep records in memory.
#[test]
fn the_flush_interval_holds_whatever_else_is_due() {
    const HOUR: Duration = Duration::from_secs(3600);
    let directory = directory();
    for rotation in [Rotation::new().max_age(HOUR), Rotation::new().every(Boundary::Hourly)] {
        let path = log_path(&directory);
        let logger = open(small(&path).flush_interval(SHORT).rotation(rotation.clone()));
        for number in 0..10 {
            log_as(&logger, 0, number..number + 1);
            wait_until("the record is written", || logger.stats().written == number + 1);
        }
        logger.close().expect("close");
        fs::remove_file(&path).expect("removed");

        let config = Config::new(directory.path().join("base.log")).buffer_size(8 << 20);
        let config = config.flush_interval(SHORT).rotation(rotation);
        let manager = LoggerManager::new(config).expect("a manager");
        for number in 0..10 {
            manager.log_with_event("event", "a record");
            let written = || manager.stats().total.written;
            wait_until("the event's record is written", || written() == number + 1);
        }
        manager.close().expect("close");
    }
}
