//! Calls that a system refuses altogether: the log is the same without them.

use std::io;

use asynclogger::{Config, Durability, Engine, EngineKind, Health, Overflow};

use super::{EACH, Run, THREADS, can_inject, child};
use crate::{
    matrix::{assert_holds_all, durabilities, log_numbered},
    mounts::skipped,
    support::{child_role, directory, in_child, log_path, open},
};

/// What a system may refuse altogether, and the log is the same without it.
#[test]
fn refused_calls_are_done_without() {
    let test = "injected::refused::refused_calls_are_done_without";
    if let Some(role) = child_role() {
        return child(&role);
    }
    if !can_inject() {
        return;
    }
    for (call, error) in [
        ("io_uring_setup", "EPERM"),
        ("io_uring_setup", "ENOSYS"),
        ("io_uring_setup", "ENOMEM"),
        ("statx", "ENOSYS"),
    ] {
        let run = Run::new(Durability::Dsync, Engine::Auto);
        let told = run.inject(test, call, &format!("error={error}"));
        run.assert_whole();
        assert_eq!((told.refused.len(), told.errors), (0, 0), "{call}: {told:?}");
        if call == "io_uring_setup" {
            assert_eq!(told.engine, EngineKind::Pwritev2.to_string(), "{error}");
        }
    }
}

/// As containers do it: a filter of the process refuses every call of io_uring.
#[test]
fn a_seccomp_filter_may_refuse_io_uring() {
    if child_role().is_none() {
        in_child("injected::refused::a_seccomp_filter_may_refuse_io_uring", "");
        return;
    }
    if let Err(error) = refuse_io_uring() {
        return skipped(&format!("seccomp: {error}"));
    }
    // SAFETY: the filter answers; without it, a null pointer is refused with EFAULT.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, std::ptr::null::<u8>()) };
    let error = io::Error::last_os_error().raw_os_error();
    assert_eq!((result, error), (-1, Some(libc::EPERM)), "the filter is in effect");
    for durability in durabilities() {
        let directory = directory();
        let path = log_path(&directory);
        let config = Config::new(&path).overflow(Overflow::Block).durability(*durability);
        let logger = open(config.engine(Engine::Auto));
        assert_eq!(logger.stats().engine, EngineKind::Pwritev2);
        log_numbered(&logger, THREADS, 0..EACH);
        let stats = logger.close().expect("close");
        assert_eq!((stats.durable, stats.flush_errors), (u64::from(THREADS) * EACH, 0));
        assert!(logger.last_error().is_none(), "that is no error");
        assert_holds_all(&path, THREADS, EACH);
    }
}

/// It breaks while a logger runs: the same bytes go on by `pwritev2`, and nobody is told of an error.
#[test]
fn io_uring_may_be_taken_away() {
    if child_role().is_none() {
        in_child("injected::refused::io_uring_may_be_taken_away", "");
        return;
    }
    let loggers: Vec<_> = durabilities()
        .iter()
        .map(|durability| {
            let directory = directory();
            let path = log_path(&directory);
            let config = Config::new(&path).overflow(Overflow::Block).durability(*durability);
            (directory, path, open(config.engine(Engine::Auto)))
        })
        .collect();
    for (_, _, logger) in &loggers {
        if logger.stats().engine != EngineKind::IoUring {
            return skipped("io_uring is refused here");
        }
        log_numbered(logger, THREADS, 0..EACH / 2);
        logger.flush().expect("flush");
        assert_eq!(logger.health(), Health::Ok);
    }
    if let Err(error) = refuse_io_uring() {
        return skipped(&format!("seccomp: {error}"));
    }
    for (_, path, logger) in &loggers {
        log_numbered(logger, THREADS, EACH / 2..EACH);
        let stats = logger.close().expect("close");
        assert_eq!(stats.engine, EngineKind::Pwritev2);
        assert_eq!((stats.durable, stats.flush_errors), (u64::from(THREADS) * EACH, 0));
        assert_eq!(logger.health(), Health::Degraded, "it was not meant to be so");
        assert_holds_all(path, THREADS, EACH);
    }
}

/// Refuses io_uring with `EPERM` to all threads of this process.
fn refuse_io_uring() -> io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let calls = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    // The number of the call is the first field of what a filter looks at.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (at, call) in calls.iter().enumerate() {
        // To the last statement, over the other comparisons and the one that allows.
        let over = (calls.len() - at) as u8;
        let code = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        program.push(libc::sock_filter { code, jt: over, jf: 0, k: *call as u32 });
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    program.push(statement(libc::BPF_RET | libc::BPF_K, refuse));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter and its program live through the calls, which copy them; it concerns a process of
    // its own.
    let result = unsafe {
        let none = 0_usize;
        match libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_usize, none, none, none) {
            0 => libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER as usize,
                libc::SECCOMP_FILTER_FLAG_TSYNC as usize,
                &raw const filter,
            ) as i32,
            refused => refused,
        }
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
