//! System calls that fail: every kind of error at every call of a known run, by `strace`.
//!
//! A run is a test of this binary in a process of its own under `strace -f -e inject=...`. `when=n` counts
//! the calls of each thread by itself, so that n = 1 is the first call of whoever opens the log *and* the
//! first of the logger's thread; n grows until nothing was injected. Then all calls have failed once.
//!
//! An injected error replaces the call: nothing is done, and the caller is told so. That is sound for
//! every call. An injected *result* replaces the call, too: `retval=4096` would claim bytes that nobody
//! wrote, and the loss would be the injector's. Sound are only results that oblige the caller to write
//! all of these bytes again: those below the file's alignment, since a unit that is not whole is
//! repeated. Short writes that really happened come from the limit on the size of files instead.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Barrier,
};

use asynclogger::{
    Config, DirectIo, Durability, Engine, EngineKind, ErrorKind, Health, Logger, Opened, Overflow,
};
use tempfile::TempDir;

use crate::{
    matrix::{
        Finally, assert_holds_all, assert_log_holds_all, durabilities, engines, log_as,
        log_numbered,
    },
    mounts::skipped,
    support::{
        assert_balanced, child_role, directory, in_child, limit_file_size, log_path, open,
        wait_until,
    },
};

const THREADS: u32 = 2;
/// Records of each thread, logged in [`ROUNDS`] parts with a flush after all but the last.
const EACH: u64 = 240;
const ROUNDS: u64 = 3;
/// More calls of one kind than a run makes.
const ENOUGH: u32 = 200;

/// What the child says of its run, and `strace` of its calls.
#[derive(Debug, Default)]
struct Told {
    /// The numbers of the errors of opening, before it succeeded; 0 for those that have none.
    refused: Vec<i32>,
    opened: String,
    durable: u64,
    errors: u64,
    last_error: i32,
    engine: String,
    /// Whether a call was replaced.
    injected: bool,
}

impl Told {
    fn parse(text: &str, injected: bool) -> Told {
        let mut told = Told { injected, ..Told::default() };
        for line in text.lines() {
            // The harness begins a line that the child's first one ends.
            let Some((_, line)) = line.split_once("@ ") else {
                continue;
            };
            let (key, value) = line.split_once(' ').expect("key and value");
            match key {
                "refused" => told.refused.push(value.parse().expect("a number")),
                "opened" => value.clone_into(&mut told.opened),
                "durable" => told.durable = value.parse().expect("a number"),
                "errors" => told.errors = value.parse().expect("a number"),
                "last_error" => told.last_error = value.parse().expect("a number"),
                "engine" => value.clone_into(&mut told.engine),
                other => panic!("{other}"),
            }
        }
        assert!(!told.engine.is_empty(), "the child did not come to its end:\n{text}");
        told
    }
}

/// A log that a child is to write under faults.
struct Run {
    path: PathBuf,
    /// Of the log alone.
    logs: PathBuf,
    directory: TempDir,
    durability: Durability,
    engine: Engine,
    /// Where each thread's numbers begin.
    first: u64,
}

impl Run {
    fn new(durability: Durability, engine: Engine) -> Run {
        let directory = directory();
        let logs = directory.path().join("logs");
        fs::create_dir(&logs).expect("a directory");
        Run { path: logs.join("app.log"), logs, directory, durability, engine, first: 0 }
    }

    /// A run that finds a closed log, to be continued.
    fn continuing(durability: Durability, engine: Engine) -> Run {
        let mut run = Run::new(durability, engine);
        run.first = 50;
        let logger = open(Config::new(&run.path));
        log_numbered(&logger, THREADS, 0..run.first);
        logger.close().expect("close");
        run
    }

    /// Runs `test` as a child under `strace`, with `fault` in some of the child's calls of `call`.
    fn inject(&self, test: &str, call: &str, fault: &str) -> Told {
        let trace = self.directory.path().join("trace");
        // A run that hangs is to fail.
        let mut command = Command::new("timeout");
        command.args(["120", "strace", "-f", "--seccomp-bpf", "-o"]).arg(&trace);
        if ["openat", "fsync", "renameat2"].contains(&call) {
            // The loader and the harness make these, too; only those in the log's directory count.
            for path in [&self.logs, &self.path] {
                command.arg("-P").arg(path);
            }
        }
        command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{fault}")]);
        command.arg(std::env::current_exe().expect("this binary"));
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
        let Run { durability, engine, first, path, .. } = self;
        let role = format!("{durability:?} {engine:?} {first} {}", path.display());
        let output = command.env("CHILD", role).output().expect("strace");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{call}:{fault}: {:?}\n{text}\n{errors}", output.status);
        let injected = fs::read_to_string(&trace).expect("the trace").contains("(INJECTED)");
        Told::parse(&text, injected)
    }

    /// Records in are records out, those of an earlier run included.
    fn assert_whole(&self) {
        assert_holds_all(&self.path, THREADS, self.first + EACH);
    }
}

/// What the child does: opens, until that succeeds; logs and flushes; closes, until that succeeds.
fn child(role: &str) {
    let mut words = role.splitn(4, ' ');
    let mut word = || words.next().expect("a word");
    let (durability, engine, first, path) = (word(), word(), word(), Path::new(word()));
    let engine = engines().iter().find(|known| format!("{known:?}") == engine);
    let durability = durabilities().iter().find(|known| format!("{known:?}") == durability);
    let first: u64 = first.parse().expect("a number");
    let config = Config::new(path)
        .buffer_size(128 << 10)
        .num_shards(THREADS as usize)
        .overflow(Overflow::Block)
        .durability(*durability.expect("a level"))
        .engine(*engine.expect("an engine"));

    let mut refused = 0;
    let logger = loop {
        match Logger::new(config.clone()) {
            Ok(logger) => break logger,
            Err(error) => {
                let place = error.path().expect("the error names a path");
                assert!(place.starts_with(path.parent().expect("a parent")), "{error}");
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                let cause = error.io_error().expect("the error has a cause");
                println!("@ refused {}", cause.raw_os_error().unwrap_or(0));
                refused += 1;
                assert!(refused < 20, "{error}");
            }
        }
    };
    println!("@ opened {:?}", logger.opened());

    let together = Barrier::new(THREADS as usize + 1);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (logger, together) = (&logger, &together);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let part = EACH / ROUNDS;
                    let begin = first + round * part;
                    log_as(logger, thread, begin..begin + part);
                    together.wait();
                    together.wait();
                }
            });
        }
        for round in 0..ROUNDS {
            together.wait();
            if round < ROUNDS - 1 {
                // It may fail; what it means then is in the counters.
                let _ = logger.flush();
            }
            together.wait();
        }
    });
    wait_until("the log is closed", || logger.close().is_ok());
    let stats = logger.stats();
    assert_balanced(&stats);
    let all = u64::from(THREADS) * EACH;
    assert_eq!((stats.accepted, stats.written), (all, all));
    assert_eq!((stats.dropped_logs, stats.lost), (0, 0));
    let last = logger.last_error();
    let last = last.as_ref().and_then(|error| error.io_error()?.raw_os_error());
    println!("@ durable {}", stats.durable);
    println!("@ errors {}", stats.flush_errors);
    println!("@ last_error {}", last.unwrap_or(0));
    println!("@ engine {}", stats.engine);
}

/// Whether `strace` can inject faults here; says so if not.
pub fn can_inject() -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "inject=pwritev2:error=EIO"]);
    let result = command.arg("true").stderr(Stdio::null()).status();
    let reason = match result {
        Ok(status) if status.success() => return true,
        Ok(status) => format!("strace does not work here: {status}"),
        Err(error) => format!("strace: {error}"),
    };
    skipped(&reason);
    false
}

/// Injects `fault` into one call after the other, until there are no more; calls `check` with each run's
/// account. Returns how many calls there were.
fn sweep(
    test: &str,
    call: &str,
    fault: &str,
    run: impl Fn() -> Run,
    check: impl Fn(&Run, &Told),
) -> u32 {
    for n in 1..ENOUGH {
        let run = run();
        let told = run.inject(test, call, &fault.replace("{n}", &n.to_string()));
        check(&run, &told);
        if !told.injected {
            return n - 1;
        }
    }
    panic!("{call}:{fault}: still injected at the {ENOUGH}th call");
}

/// Every write fails once, in every way.
#[test]
fn each_write_may_fail() {
    let test = "injected::each_write_may_fail";
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
    let test = "injected::each_write_may_fail_for_a_while";
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
    let test = "injected::each_write_may_be_short";
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
        in_child("injected::a_write_cut_anywhere_loses_nothing", "");
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
    let test = "injected::each_barrier_may_fail";
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

/// Opening: an error that says what and where, or it works without; and then it works. What was there
/// stays there.
#[test]
fn each_step_of_opening_may_fail() {
    let test = "injected::each_step_of_opening_may_fail";
    if let Some(role) = child_role() {
        return child(&role);
    }
    if !can_inject() {
        return;
    }
    const TEXT: &[u8] = b"somebody's text\n";
    let (durability, engine) = (Durability::Dsync, Engine::Pwrite);
    let fresh = || Run::new(durability, engine);
    let closed = || Run::continuing(durability, engine);
    let foreign = || {
        let run = Run::new(durability, engine);
        fs::write(&run.path, TEXT).expect("a file");
        run
    };
    let mut refusals = 0;
    for (call, name, number) in [
        ("openat", "EACCES", libc::EACCES),
        ("openat", "EMFILE", libc::EMFILE),
        ("openat", "EIO", libc::EIO),
        ("openat", "ENOSPC", libc::ENOSPC),
        ("fsync", "EIO", libc::EIO),
        ("renameat2", "EACCES", libc::EACCES),
    ] {
        let fault = format!("error={name}:when={{n}}");
        for (make, texts) in [(&fresh as &dyn Fn() -> Run, 0), (&closed, 0), (&foreign, 1)] {
            for n in 1..ENOUGH {
                let run = make();
                let told = run.inject(test, call, &fault.replace("{n}", &n.to_string()));
                run.assert_whole();
                // A directory that cannot be searched for older segments is no reason not to log.
                assert!(told.refused.len() <= 1, "{call}: {told:?}");
                assert!(told.refused.iter().all(|error| *error == number), "{call}: {told:?}");
                if run.first > 0 {
                    assert_eq!(told.opened, format!("{:?}", Opened::Continued), "{call}");
                }
                let files = fs::read_dir(&run.logs).expect("list");
                let is_text = |entry: io::Result<fs::DirEntry>| {
                    fs::read(entry.expect("an entry").path()).expect("a file") == TEXT
                };
                assert_eq!(files.map(is_text).filter(|is_text| *is_text).count(), texts, "{call}");
                refusals += told.refused.len();
                if !told.injected {
                    break;
                }
            }
        }
    }
    assert!(refusals > 10, "{refusals}");
}

/// Space that is not set aside in advance, or not given back, is no error: the writes decide.
#[test]
fn preallocation_may_fail() {
    let test = "injected::preallocation_may_fail";
    if let Some(role) = child_role() {
        return child(&role);
    }
    if !can_inject() {
        return;
    }
    for (call, error) in [
        ("fallocate", "ENOSPC"),
        ("fallocate", "EOPNOTSUPP"),
        ("fallocate", "EINTR"),
        ("ftruncate", "EIO"),
    ] {
        for engine in engines() {
            let run = || Run::new(Durability::Dsync, *engine);
            let check = |run: &Run, told: &Told| {
                run.assert_whole();
                assert_eq!(told.durable, u64::from(THREADS) * EACH);
            };
            sweep(test, call, &format!("error={error}:when={{n}}"), run, check);
            let run = run();
            check(&run, &run.inject(test, call, &format!("error={error}")));
        }
    }
}

/// What a system may refuse altogether, and the log is the same without it.
#[test]
fn refused_calls_are_done_without() {
    let test = "injected::refused_calls_are_done_without";
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
        in_child("injected::a_seccomp_filter_may_refuse_io_uring", "");
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
        in_child("injected::io_uring_may_be_taken_away", "");
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
