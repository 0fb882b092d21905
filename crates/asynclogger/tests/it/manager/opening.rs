//! The opening of an event: its cost to the caller of the first record, and what is durable afterwards.

use std::{fs, path::Path, process::Command};

use asynclogger::{Engine, IoMode, LoggerManager};

use crate::{
    injected::can_inject,
    mounts::skipped,
    support::{child_role, directory},
};

const TEST: &str = "manager::opening::the_caller_of_a_first_record_waits_for_no_sync";
const EVENTS: u64 = 3;

fn log_first_records(path: &Path) {
    let config = asynclogger::Config::new(path).buffer_size(8 << 20).engine(Engine::Pwrite);
    let manager = LoggerManager::new(config).expect("a manager");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: a number only.
            println!("@ caller {}", unsafe { libc::gettid() });
            for event in 0..EVENTS {
                manager.log_with_event(&format!("e{event}"), "the first record");
            }
        });
    });
    manager.flush().expect("flushed");
    let stats = manager.stats();
    assert_eq!(stats.total.durable, EVENTS);
    println!("@ direct {}", stats.total.io_mode == IoMode::Direct);
    manager.close().expect("closed");
}

/// The flusher makes the names of the new files durable: once for all that are new, and before the first block.
#[test]
fn the_caller_of_a_first_record_waits_for_no_sync() {
    if let Some(path) = child_role() {
        return log_first_records(Path::new(&path));
    }
    if !can_inject() {
        return;
    }
    let (logs, traces) = (directory(), directory());
    let trace = traces.path().join("trace");
    let calls = "trace=fsync,fdatasync,pwritev2,linkat";
    let output = Command::new("strace")
        .args(["-f", "-y", "-e", calls, "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().expect("this binary"))
        .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env("CHILD", logs.path().join("base.log"))
        .output()
        .expect("strace");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let said = |key: &str| {
        let (_, rest) = text.split_once(key).expect("the child has said that");
        rest.split_whitespace().next().expect("a word").to_owned()
    };
    if said("@ direct ") != "true" {
        return skipped("there is no direct I/O here; a start is synced through the page cache");
    }
    let caller = said("@ caller ");
    let trace = fs::read_to_string(trace).expect("the trace");
    let calls: Vec<(&str, &str)> = trace
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(id, call)| (id, call.trim()))
        .collect();
    let is_sync = |call: &str| call.starts_with("fsync") || call.starts_with("fdatasync");
    let of_caller = || calls.iter().filter(|(id, _)| *id == caller);
    let named = of_caller().filter(|(_, call)| call.starts_with("linkat")).count();
    assert_eq!(named as u64, EVENTS, "{trace}");
    let waits: Vec<_> =
        of_caller().filter(|(_, call)| is_sync(call) || call.contains("RWF_DSYNC")).collect();
    assert!(waits.is_empty(), "{waits:?}");
    // By any other thread: a synced block of an event comes after a sync of the directory that came after the name.
    let end = format!("{}>", logs.path().display());
    for event in 0..EVENTS {
        let at = |what: &dyn Fn(&str) -> bool| calls.iter().position(|(_, call)| what(call));
        let name = format!("e{event}.log");
        let named = at(&|call| call.starts_with("linkat") && call.contains(&name)).expect("a name");
        // The trace knows a file that was made without a name by its descriptor alone.
        let (_, rest) = calls[named].1.split_once("/fd/").expect("a descriptor");
        let descriptor = rest.split('"').next().expect("a number");
        let begin = format!("pwritev2({descriptor}<");
        let block = at(&|call| call.starts_with(&begin) && call.contains("RWF_DSYNC"));
        let block = block.expect("a block");
        let synced = calls[named..block]
            .iter()
            .any(|(_, call)| call.starts_with("fsync") && call.contains(&end));
        assert!(synced, "{name}: {trace}");
    }
}
