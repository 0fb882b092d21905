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

mod opening;
mod refused;
mod writes;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Barrier,
};

use asynclogger::{Config, Durability, Engine, ErrorKind, Logger, Overflow};
use tempfile::TempDir;

use crate::{
    matrix::{assert_holds_all, durabilities, engines, log_as, log_numbered},
    mounts::skipped,
    support::{assert_balanced, directory, open, wait_until},
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
