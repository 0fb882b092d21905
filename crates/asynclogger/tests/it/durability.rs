//! What is durable when: barriers that are shared, positions that are waited for, the other directory,
//! and space that is taken ahead.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use asynclogger::{
    Config, Durability, Engine, ErrorCounts, ErrorKind, Health, Logger, Overflow, Position,
    Rotation, read::LogDir,
};

use crate::{
    matrix::{Finally, assert_holds_all, durabilities, engines, log_as, log_numbered},
    mounts::{FileSystem, or_skip},
    support::{assert_balanced, directory, log_path, open, wait_until},
};

const LONG: Duration = Duration::from_secs(60);

fn log(logger: &Logger, record: &[u8]) -> Position {
    logger.try_log_bytes(record).expect("accepted")
}

#[test]
fn a_position_is_durable_when_that_was_waited_for() {
    for durability in durabilities() {
        for engine in engines() {
            let directory = directory();
            let config = Config::new(log_path(&directory)).engine(*engine);
            let logger = open(config.durability(*durability).flush_interval(LONG));
            let first = log(&logger, b"first");
            assert!(!logger.is_durable(&first), "it is in memory");
            logger.wait_durable(&first, LONG).expect("durable");
            assert!(logger.is_durable(&first));
            let second = log(&logger, b"second");
            assert!(!logger.is_durable(&second) && logger.is_durable(&first));
            logger.close().expect("close");
            assert!(logger.is_durable(&second));
            logger.wait_durable(&second, Duration::ZERO).expect("durable");
        }
    }
}

#[test]
fn a_position_of_another_logger_is_not_waited_for() {
    let (one, other) = (directory(), directory());
    let (one, other) = (open(Config::new(log_path(&one))), open(Config::new(log_path(&other))));
    let foreign = log(&other, b"there");
    log(&one, b"here");
    one.flush().expect("flush");
    assert!(!one.is_durable(&foreign));
    let error = one.wait_durable(&foreign, LONG).expect_err("another logger's");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// Group commit: many who wait share few barriers.
#[test]
fn threads_that_wait_share_barriers() {
    const THREADS: u64 = 16;
    const EACH: u64 = 20;
    for durability in durabilities() {
        let directory = directory();
        let path = log_path(&directory);
        let config = Config::new(&path).durability(*durability).flush_interval(LONG);
        let logger = open(config.overflow(Overflow::Block).buffer_size(4 << 20).num_shards(2));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let logger = &logger;
                scope.spawn(move || {
                    for number in 0..EACH {
                        let record = (thread * EACH + number).to_le_bytes();
                        let position = log(logger, &record);
                        logger.wait_durable(&position, LONG).expect("durable");
                        assert!(logger.is_durable(&position));
                    }
                });
            }
        });
        let stats = logger.close().expect("close");
        assert_eq!(stats.durable, THREADS * EACH);
        // Two shards, so at most two blocks a barrier; alone, each of the waits would need one.
        assert!(stats.flushes < THREADS * EACH, "{} blocks", stats.flushes);
    }
}

/// With `OnFlush` a pool that runs short asks for a barrier by itself: nobody waits for the interval.
#[test]
fn few_free_buffers_are_a_reason_for_a_barrier() {
    const EACH: u64 = 20_000;
    for engine in engines() {
        let directory = directory();
        let path = log_path(&directory);
        let config = Config::new(&path).durability(Durability::OnFlush).engine(*engine);
        let config = config.flush_interval(LONG).overflow(Overflow::Block);
        let logger = open(config.buffer_size(512 << 10).num_shards(2));
        // Some times the pool.
        log_numbered(&logger, 2, 0..EACH);
        let stats = logger.stats();
        assert!(stats.durable > 0 && stats.durable < stats.accepted, "{stats:?}");
        let stats = logger.close().expect("close");
        assert_balanced(&stats);
        assert_eq!((stats.durable, stats.dropped_logs), (2 * EACH, 0));
        assert_holds_all(&path, 2, EACH);
    }
}

/// Buffers that are taken by shards that had none are a reason, too: what is written gives its own back at once,
/// and nobody waits for the interval.
#[test]
fn the_last_buffers_are_a_reason_for_a_barrier() {
    for engine in engines() {
        let directory = directory();
        let config = Config::new(log_path(&directory)).durability(Durability::OnFlush);
        let config = config.engine(*engine).flush_interval(LONG).buffer_size(256 << 10);
        // 8 buffers for 4 shards; who waits so long, waits for the interval.
        let overflow = Overflow::BlockFor(Duration::from_secs(10));
        let logger = open(config.num_shards(4).overflow(overflow));
        let release = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _end = Finally(|| release.store(true, Ordering::Release));
            let log_elsewhere = |records: usize| {
                let (done, logged) = mpsc::channel();
                let (logger, release) = (&logger, &release);
                scope.spawn(move || {
                    let all = (0..records).all(|_| logger.try_log_bytes(&[7; 1000]).is_ok());
                    let _ = done.send(all);
                    // Its shard stays its own.
                    wait_until("the end", || release.load(Ordering::Acquire));
                });
                logged.recv().expect("an answer")
            };
            // 65 are a block: five are written, and a quarter of the buffers is free.
            assert!(log_elsewhere(5 * 65 + 1));
            wait_until("it is written", || logger.stats().written == 5 * 65);
            assert!((0..3).all(|_| log_elsewhere(1)), "{engine:?}: it waited for the interval");
        });
        let stats = logger.close().expect("close");
        assert_eq!((stats.accepted, stats.dropped_logs), (5 * 65 + 4, 0));
    }
}

#[test]
fn space_is_taken_ahead_and_given_back() {
    for file_system in [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Btrfs, FileSystem::Tmpfs] {
        let Some(mounted) = or_skip(file_system.mount_of_size(600)) else {
            continue;
        };
        for engine in engines() {
            let path = mounted.path().join(format!("{engine:?}.log"));
            let config = Config::new(&path).overflow(Overflow::Block).engine(*engine);
            let logger = open(config.buffer_size(8 << 20));
            let most = AtomicU64::new(0);
            let is_ahead = || {
                let meta = fs::metadata(&path).expect("the log");
                let ahead = (meta.blocks() * 512).saturating_sub(meta.len());
                most.fetch_max(ahead, Ordering::Relaxed);
                ahead >= 32 << 20
            };
            let mut logged = 0_u64;
            let began = Instant::now();
            while !is_ahead() && logged < 40 << 20 {
                logger.log_bytes(&[7; 64 << 10]);
                logged += 64 << 10;
            }
            wait_until("space ahead", || is_ahead() || began.elapsed() > LONG);
            assert_eq!(logger.close().expect("close").flush_errors, 0);
            let meta = fs::metadata(&path).expect("the log");
            let kept = (meta.blocks() * 512).saturating_sub(meta.len());
            assert!(kept <= 1 << 20, "{file_system:?}: {kept} bytes kept of {most:?} ahead");
        }
    }
}

/// A small log takes no space ahead.
#[test]
fn a_small_log_takes_what_it_needs() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    logger.log_bytes(&[1; 1000]);
    logger.flush().expect("flush");
    assert!(fs::metadata(&path).expect("the log").blocks() * 512 <= 64 << 10);
}

/// The log goes on in the other directory when its own is full, with everything that is not durable, and
/// comes back: all segments together hold every record once.
#[test]
fn a_full_disk_is_left_for_the_other_directory() {
    // The way back is tried every five seconds: all wait for that at the same time.
    std::thread::scope(|scope| {
        for durability in durabilities() {
            for engine in engines() {
                scope.spawn(|| leave_and_come_back(*durability, *engine));
            }
        }
    });
}

fn leave_and_come_back(durability: Durability, engine: Engine) {
    let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(8)) else {
        return;
    };
    let other = directory();
    let filler = mounted.path().join("filler");
    fs::write(&filler, vec![1; 5 << 20]).expect("the filler");
    let path = mounted.path().join("app.log");
    let config = Config::new(&path).durability(durability).engine(engine);
    let config = config.overflow(Overflow::Block).failover_dir(other.path());
    let logger = open(config.buffer_size(1 << 20).num_shards(2));
    // 12 MB: more than there ever is on the full one.
    let mut accepted = log_as(&logger, 0, 0..30_000);
    assert_eq!(accepted, 30_000);
    logger.flush().expect("flush");
    assert_eq!(logger.health(), Health::Degraded);
    let ErrorCounts { space, .. } = logger.stats().errors;
    assert!(space > 0, "{:?}", logger.stats());
    // Nothing is full any more: the log comes back by itself, without a record or a flush.
    fs::remove_file(&filler).expect("the filler");
    wait_until("the log is back", || logger.health() == Health::Ok);
    accepted += log_as(&logger, 0, accepted..accepted + 1);
    logger.flush().expect("flush");
    assert_eq!(logger.health(), Health::Ok);
    let stats = logger.close().expect("close");
    assert_balanced(&stats);
    assert_eq!((stats.accepted, stats.lost, stats.dropped_logs), (accepted, 0, 0));
    if durability != Durability::None {
        assert_eq!(stats.durable, accepted);
    }
    // Gathered in one directory, it is one log.
    let all = directory();
    for (at, from) in [mounted.path(), other.path()].into_iter().enumerate() {
        for entry in fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry").path();
            if entry.extension().is_some_and(|extension| extension == "log") {
                let name = entry.file_name().expect("a name").to_string_lossy();
                fs::copy(&entry, all.path().join(format!("{at}-{name}"))).expect("copy");
            }
        }
    }
    let mut logs = LogDir::scan(all.path()).expect("logs").logs;
    assert_eq!(logs.len(), 1, "one log id");
    let mut count = 0;
    while logs[0].next_record().expect("a record").is_some() {
        count += 1;
    }
    assert_eq!(count, accepted, "each once");
}

/// The next file is there, with its space, before the log needs it; and gone if it never does.
#[test]
fn the_next_file_is_ready_before_it_is_needed() {
    let Some(mounted) = or_skip(FileSystem::Ext4.mount_of_size(600)) else {
        return;
    };
    let path = mounted.path().join("app.log");
    let next = mounted.path().join(".app.next");
    let rotation = Rotation::new().max_size(100 << 20);
    let config = Config::new(&path).overflow(Overflow::Block).rotation(rotation);
    let logger = open(config.buffer_size(8 << 20));
    assert!(!next.exists(), "nothing is in the first one");
    for _ in 0..300 {
        logger.log_bytes(&[7; 64 << 10]);
    }
    logger.flush().expect("flush");
    wait_until("the next file", || next.exists());
    logger.rotate().expect("rotate");
    assert!(!next.exists(), "it is the active one");
    for _ in 0..300 {
        logger.log_bytes(&[7; 64 << 10]);
    }
    logger.flush().expect("flush");
    wait_until("its space", || {
        fs::metadata(&next).is_ok_and(|meta| meta.blocks() * 512 >= 32 << 20)
    });
    logger.close().expect("close");
    assert!(!next.exists(), "it is not needed any more");
}
