//! Writes and barriers that fail, or write too little.

use std::fs;

use asynclogger::{Config, DirectIo, Durability, Engine, Overflow};

use super::{EACH, ENOUGH, ROUNDS, Run, THREADS, can_inject, child, sweep};
use crate::{
    matrix::{Finally, assert_log_holds_all, durabilities, log_numbered},
    support::{child_role, directory, in_child, limit_file_size, log_path, open, wait_until},
};

/// Every write fails once, in every way.
#[test]
fn each_write_may_fail() {
    let test = "injected::writes::each_write_may_fail";
    if let Some(role) = child_role() {
        return child(&role);
    }
    if !can_inject() {
        return;
    }
    for durability in durabilities() {
        for (name, number) in [
            ("EIO", libc::EIO),
            ("ENOSPC", libc::ENOSPC),
            ("EINTR", libc::EINTR),
            ("EAGAIN", libc::EAGAIN),
            ("ENOMEM", libc::ENOMEM),
            ("EINVAL", libc::EINVAL),
        ] {
            let fault = format!("error={name}:when={{n}}");
            let run = || Run::new(*durability, Engine::Pwrite);
            let calls = sweep(test, "pwritev2", &fault, run, |run, told| {
                run.assert_whole();
                let told_of = matches!(number, libc::EIO | libc::ENOSPC);
                if told.injected && told_of {
                    assert!(told.errors > 0, "{name}: {told:?}");
                    assert_eq!(told.last_error, number, "{name}: {told:?}");
                }
                assert!(told.refused.iter().all(|error| *error == number), "{name}: {told:?}");
                assert_eq!(told.durable, u64::from(THREADS) * EACH);
            });
            // Start, at least a block for each flush and the rest, end.
            assert!(calls > 4, "{name}: {calls}");
        }
    }
}

/// Five in a row.
#[test]
fn each_write_may_fail_for_a_while() {
    let test = "injected::writes::each_write_may_fail_for_a_while";
    if let Some(role) = child_role() {
        return child(&role);
    }
    if !can_inject() {
        return;
    }
    for n in 1..ENOUGH {
        let run = Run::new(Durability::Dsync, Engine::Pwrite);
        let fault = format!("error=ENOSPC:when={n}..{}", n + 4);
        let told = run.inject(test, "pwritev2", &fault);
        run.assert_whole();
        if !told.injected {
            return;
        }
    }
    panic!("still injected");
}

/// A write that says that it wrote next to nothing: what is not a whole unit is written again. (See above
/// on why it must not claim more.)
#[test]
fn each_write_may_be_short() {
    let test = "injected::writes::each_write_may_be_short";
    if let Some(role) = child_role() {
        return child(&role);
    }
    if !can_inject() {
        return;
    }
    for result in [0, 1, 511, 4095] {
        let fault = format!("retval={result}:when={{n}}");
        let run = || Run::new(Durability::Dsync, Engine::Pwrite);
        let calls = sweep(test, "pwritev2", &fault, run, |run, _| run.assert_whole());
        assert!(calls > 4, "{calls}");
    }
}

/// Real short writes: the kernel writes up to the limit, where that is possible.
#[test]
fn a_write_cut_anywhere_loses_nothing() {
    if child_role().is_none() {
        in_child("injected::writes::a_write_cut_anywhere_loses_nothing", "");
        return;
    }
    for direct in [DirectIo::Off, DirectIo::Preferred] {
        for limit in [4097, 8191, 8192, 8704, 12_345, 20_000, 65_535] {
            let directory = directory();
            let path = log_path(&directory);
            let config = Config::new(&path)
                .buffer_size(128 << 10)
                .num_shards(THREADS as usize)
                .overflow(Overflow::Block)
                .direct_io(direct)
                .engine(Engine::Pwrite);
            let logger = open(config);
            limit_file_size(limit);
            std::thread::scope(|scope| {
                let _end = Finally(|| limit_file_size(libc::RLIM_INFINITY));
                scope.spawn(|| log_numbered(&logger, THREADS, 0..EACH));
                wait_until("a write beyond the limit", || {
                    let _ = logger.flush();
                    logger.stats().flush_errors > 0
                });
                let len = fs::metadata(&path).expect("the file").len();
                // Past the cache an odd length is refused as a whole.
                assert!(len <= limit && (len == limit || direct != DirectIo::Off), "{len}");
            });
            // An attempt from before the end of the limit may still fail the first of these.
            wait_until("the log is closed", || logger.close().is_ok());
            assert_log_holds_all(&path, THREADS, EACH);
        }
    }
}

/// A barrier that fails makes durable nothing; and with `Durability::None` what was written before it is
/// never called durable again, as the kernel forgets the error once it has told it.
#[test]
fn each_barrier_may_fail() {
    let test = "injected::writes::each_barrier_may_fail";
    if let Some(role) = child_role() {
        return child(&role);
    }
    if !can_inject() {
        return;
    }
    for durability in durabilities() {
        for (name, number) in [("EIO", libc::EIO), ("ENOSPC", libc::ENOSPC)] {
            let fault = format!("error={name}:when={{n}}");
            let run = || Run::new(*durability, Engine::Pwrite);
            let calls = sweep(test, "fdatasync", &fault, run, |run, told| {
                run.assert_whole();
                let all = u64::from(THREADS) * EACH;
                if told.injected {
                    assert_eq!(told.last_error, number, "{name}: {told:?}");
                }
                if told.injected && *durability == Durability::None {
                    assert!(told.durable < all, "{name}: {told:?}");
                } else {
                    assert_eq!(told.durable, all, "{name}: {told:?}");
                }
            });
            if *durability == Durability::None {
                assert_eq!(calls, ROUNDS as u32, "one for each flush, one to close");
            }
        }
    }
}
