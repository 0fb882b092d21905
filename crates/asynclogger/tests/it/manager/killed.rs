//! Processes that are killed while they log to many events.

use std::{
    fs::File,
    io::Read,
    os::unix::{fs::FileExt, process::ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use asynclogger::{
    Config, LoggerManager, Overflow,
    read::{Ending, Reader, verify},
};

use crate::{
    killed::Doomed,
    support::{Numbered, child_role, directory, wait_until},
};

const EVENTS: u64 = 25;
const THREADS: u64 = 3;

/// How many records of a thread are durable: in a file, which outlives the process.
fn acknowledged(file: &File, thread: u64) -> u64 {
    let mut bytes = [0; 8];
    match file.read_exact_at(&mut bytes, thread * 8) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => 0,
    }
}

fn config(directory: &Path) -> Config {
    let config = Config::new(directory.join("logs/base.log")).buffer_size(1 << 20).num_shards(4);
    // Some files are closed at times.
    config.overflow(Overflow::Block).event_files(20)
}

fn open_for_all(path: &Path) -> File {
    File::options().read(true).write(true).create(true).truncate(false).open(path).expect("a file")
}

/// Logs without end; each thread's record `n` goes to event `n`, counted around.
fn log_for_ever(directory: &Path, first: u64) {
    let manager = LoggerManager::new(config(directory)).expect("a manager");
    let (durable, end) = (open_for_all(&directory.join("acknowledged")), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in first..first + THREADS {
            let (manager, durable, end) = (&manager, &durable, &end);
            scope.spawn(move || {
                let (mut record, mut next) = (Numbered::new(), 0_u64);
                while !end.load(Ordering::Relaxed) {
                    let numbers = next..next + 1 + next % 130;
                    next = numbers.end;
                    for number in numbers {
                        let len = 40 + number as usize % 700;
                        let name = format!("event-{}", number % EVENTS);
                        manager
                            .log_bytes_with_event(&name, record.make(thread as u32, number, len));
                    }
                    manager.flush().expect("flush");
                    durable.write_all_at(&next.to_le_bytes(), thread * 8).expect("written");
                }
            });
        }
        // Without its parent it ends by itself.
        std::io::stdin().read_to_end(&mut Vec::new()).expect("the input");
        end.store(true, Ordering::Relaxed);
    });
}

/// Every log can be read, nothing but its end is damaged, and what was durable is there, once and in order.
fn assert_kept(directory: &Path, first: u64, durable: &File) {
    let mut found = vec![Vec::new(); (first + THREADS) as usize];
    for event in 0..EVENTS {
        let path = directory.join(format!("logs/event-{event}.log"));
        if !path.exists() {
            continue;
        }
        let report = verify(&path).expect("a report");
        // Several writes may be under way: what is behind a hole is told, and was not durable.
        assert!(report.is_whole() || report.ending != Ending::Clean, "{report:?}");
        let mut reader = Reader::open(&path).expect("a reader");
        let mut last = vec![None; found.len()];
        while let Some(record) = reader.next_record().expect("a record") {
            let (thread, number) = Numbered::parse(record.bytes()).expect("an altered record");
            assert_eq!(number % EVENTS, event);
            let last = &mut last[thread as usize];
            assert!(last.is_none_or(|last| last < number), "{last:?}, then {number}");
            *last = Some(number);
            found[thread as usize].push(number);
        }
    }
    for thread in first..first + THREADS {
        let numbers = &mut found[thread as usize];
        numbers.sort_unstable();
        let durable = acknowledged(durable, thread);
        let there = numbers.iter().take_while(|number| **number < durable).copied();
        assert!(there.eq(0..durable), "thread {thread}: {durable} durable");
    }
}

/// Five processes after each other go on with the same events, each killed at another moment.
#[test]
fn a_process_killed_with_many_events_loses_nothing_that_was_durable() {
    const KILLS: u64 = 5;
    let test = "manager::killed::a_process_killed_with_many_events_loses_nothing_that_was_durable";
    if let Some(role) = child_role() {
        let (first, path) = role.split_once('|').expect("a role");
        return log_for_ever(Path::new(path), first.parse().expect("a number"));
    }
    let directory = directory();
    let durable = open_for_all(&directory.path().join("acknowledged"));
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 0..KILLS {
        let first = kill * THREADS;
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env("CHILD", format!("{first}|{}", directory.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = Doomed(command.spawn().expect("the child"));
        // xorshift
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (enough, moments) = (1 + random % 1_500, (random >> 32) % 100_000);
        wait_until("records that are durable", || acknowledged(&durable, first) >= enough);
        // And some moments more, so that it is not always just behind a flush.
        (0..moments).for_each(|_| std::hint::spin_loop());
        child.0.kill().expect("killed");
        let status = child.0.wait().expect("it ends");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
        assert_kept(directory.path(), first, &durable);
        // The next one starts with what is there: it is set aside if it has no end.
        let logs = std::fs::read_dir(directory.path().join("logs")).expect("the directory");
        let names = logs.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.ends_with(".log"));
        assert_eq!(names, [".asynclogger-events"], "nothing else is left");
    }
}
