//! Rotation where there is no room for the next file: on a full disk, in the other directory and back.

use std::{fs, path::Path};

use asynclogger::{Durability, Engine, Error, Health, Rotation, read::LogDir};

use super::{LEAST_SIZE, SHORT, Told, Whole, active_segment, archived, files, small};
use crate::{
    matrix::{durabilities, engines, log_as},
    mounts::{FileSystem, or_skip},
    support::{Numbered, assert_balanced, directory, open, wait_until},
};

/// With no room for the next file the log goes on in the old one, and is rotated when there is room.
#[test]
fn a_full_disk_puts_a_rotation_off() {
    for durability in durabilities() {
        for engine in engines() {
            let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(8)) else {
                return;
            };
            let path = mounted.path().join("logs/app.log");
            let max_size = 2 * LEAST_SIZE;
            let config = small(&path).engine(*engine).durability(*durability).num_shards(64);
            let config = config.buffer_size(8 << 20).rotation(Rotation::new().max_size(max_size));
            let told = Told::open(config.flush_interval(SHORT));
            let logger = &told.logger;
            // One file that is over, so that there is something before it; then no room for anything.
            log_as(logger, 0, 0..300);
            logger.rotate().expect("rotate");
            let filler = mounted.fill_up_to(0);
            let space = |error: &Error| {
                error.io_error().and_then(std::io::Error::raw_os_error) == Some(libc::ENOSPC)
            };
            log_as(logger, 0, 300..310);
            let error = logger.rotate().expect_err("the disk is full");
            assert!(space(&error), "{error}");
            // More than two files take; all of it waits in memory.
            log_as(logger, 0, 310..3_000);
            wait_until("it is told", || {
                let errors = told.errors.lock().expect("unpoisoned");
                errors.len() > 2 && errors.iter().all(space)
            });
            let lens = |path: &Path| {
                let len = |name| fs::metadata(path.with_file_name(name)).expect("a file").len();
                files(path).into_iter().map(len).collect::<Vec<_>>()
            };
            assert!(path.is_file() && lens(&path).iter().all(|len| *len > 0), "{:?}", files(&path));
            assert_eq!((active_segment(&path), logger.stats().lost), (2, 0));
            fs::remove_file(&filler).expect("the filler");
            // By itself, since the file is longer than it may be, or would be.
            wait_until("it is rotated", || {
                logger.stats().pending == 0 && path.exists() && active_segment(&path) > 3
            });
            let stats = logger.close().expect("close");
            assert_balanced(&stats);
            assert_eq!((stats.accepted, stats.durable, stats.dropped_logs), (3_000, 3_000, 0));
            Whole::read(&path, 1).assert_has(&[3_000]);
        }
    }
}

/// In the other directory a log is rotated as in its own, and after it came back, too: what was prepared
/// there is of no use here.
#[test]
fn rotation_works_in_the_other_directory_and_back_again() {
    // The way back is tried every five seconds: all wait for that at the same time.
    std::thread::scope(|scope| {
        for durability in durabilities() {
            for engine in engines() {
                for rotation in [Rotation::new(), Rotation::new().max_size(4 * LEAST_SIZE)] {
                    scope.spawn(move || rotate_elsewhere(*durability, *engine, rotation));
                }
            }
        }
    });
}

fn rotate_elsewhere(durability: Durability, engine: Engine, rotation: Rotation) {
    let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(8)) else {
        return;
    };
    let other = directory();
    let path = mounted.path().join("app.log");
    let away = other.path().join("app.log");
    let config = small(&path).durability(durability).engine(engine).rotation(rotation);
    let logger = open(config.failover_dir(other.path()));
    let mut logged = 0;
    let mut log = |count: u64| {
        assert_eq!(log_as(&logger, 0, logged..logged + count), count);
        logged += count;
    };
    log(1_000);
    logger.flush().expect("flush");
    let filler = mounted.fill_up_to(0);
    while logger.health() != Health::Degraded {
        log(100);
        let _ = logger.flush();
    }
    let begun = archived(&away).len();
    for rotations in 1..=5 {
        let before = active_segment(&away);
        log(200);
        logger.rotate().expect("rotate");
        assert!(archived(&away).len() >= begun + rotations && active_segment(&away) > before);
    }
    // A file may be ready for the next rotation over there when the way back is found.
    log(600);
    logger.flush().expect("flush");
    fs::remove_file(&filler).expect("the filler");
    wait_until("it is back", || {
        log(1);
        logger.flush().is_ok() && logger.health() == Health::Ok
    });
    let begun = archived(&path).len();
    for rotations in 1..=5 {
        log(200);
        logger.rotate().expect("rotate");
        assert!(archived(&path).len() >= begun + rotations);
    }
    let stats = logger.close().expect("close");
    assert_balanced(&stats);
    assert_eq!((stats.accepted, stats.lost, stats.dropped_logs), (logged, 0, 0));
    assert_eq!(logger.health(), Health::Ok);

    // Gathered in one directory, it is one log without a gap.
    let all = directory();
    for (at, from) in [&path, &away].into_iter().enumerate() {
        for name in files(from).into_iter().filter(|name| name.ends_with(".log")) {
            let to = all.path().join(format!("{at}-{name}"));
            fs::copy(from.with_file_name(name), to).expect("copy");
        }
    }
    let mut logs = LogDir::scan(all.path()).expect("logs").logs;
    assert_eq!(logs.len(), 1, "one log id");
    let log = &mut logs[0];
    for (segment, id) in log.segments().iter().zip(1..) {
        assert_eq!((segment.id, segment.previous), (id, id - 1));
    }
    let mut numbers = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        numbers.push(Numbered::parse(record.bytes()).expect("an altered record").1);
    }
    assert!(numbers.into_iter().eq(0..logged), "each once, and in order");
    assert!(!away.with_file_name(".app.next").exists(), "nothing prepared is left there");
}
