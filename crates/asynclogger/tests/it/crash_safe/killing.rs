//! Workers that are killed, and salvagers that are killed: no accepted record is lost, doubled, altered or out of order.
//!
//! `KILLS` sets how many workers are killed, and `SEED` the first seed (`scripts/crash`).

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use asynclogger::{
    Logger, LoggerManager, Opened,
    read::{LogDir, Loss},
};

use super::{
    counts::Counts,
    worker::{Load, Random, log_path, start, start_salvager},
};
use crate::support::{Numbered, directory, wait_until};

/// Kills of one worker, one after the other, on one log.
const LIVES: usize = 4;

#[derive(Default)]
struct Sums {
    workers: u64,
    salvagers: u64,
    /// The killed salvagers that had the map at their death, and left it.
    salvaging: u64,
    accepted: u64,
    salvaged: u64,
}

#[test]
fn nothing_that_was_accepted_is_lost() {
    kill_some(false);
}

#[test]
fn nothing_that_a_manager_accepted_is_lost() {
    kill_some(true);
}

fn kill_some(managers: bool) {
    let number =
        |name, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (kills, first) = (number("KILLS", 40), number("SEED", 1));
    let mut sums = Sums::default();
    for seed in first.. {
        if sums.workers >= kills {
            break;
        }
        run(seed, managers, &mut sums);
    }
    let Sums { workers, salvagers, salvaging, accepted, salvaged } = sums;
    println!(
        "{workers} workers and {salvagers} salvagers killed, {salvaging} of these during a salvage; {accepted} records accepted, {salvaged} of them \
         salvaged; 0 lost, 0 doubled, 0 altered, 0 out of order"
    );
}

fn maps(home: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.join("maps")).into_iter().flatten();
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Whether this process has locked a map: it salvages.
fn has_map(home: &Path, process: u32) -> bool {
    maps(home).iter().any(|map| {
        // This process has no lock on the file, so it loses none by closing it.
        let Ok(file) = File::open(map) else {
            return false;
        };
        let (kind, whence) = (libc::F_WRLCK as i16, libc::SEEK_SET as i16);
        let mut lock =
            libc::flock { l_type: kind, l_whence: whence, l_start: 0, l_len: 0, l_pid: 0 };
        // SAFETY: asks for the holder of a lock, into a structure that is complete.
        let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
        asked == 0 && lock.l_type != libc::F_UNLCK as i16 && lock.l_pid == process as i32
    })
}

/// Kills a process and waits for its end; fails if it ended by itself.
fn kill(mut child: Child, what: &str) -> bool {
    let _ = child.kill();
    let mut errors = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
    let status = child.wait().expect("a status");
    assert!(status.signal() == Some(libc::SIGKILL) || status.success(), "{what}: {errors}");
    status.signal().is_some()
}

fn run(seed: u64, managers: bool, sums: &mut Sums) {
    let home = directory();
    fs::create_dir(home.path().join("logs")).expect("a directory");
    let load = Load::of(seed, managers);
    let mut random = Random::new(seed ^ 0xDEAD);
    let counts = Counts::open(&home.path().join("counts"));
    let mut salvaged = 0;
    for life in 0..LIVES {
        let what = format!("seed {seed}, life {life}, {load:?}");
        let worker = start(home.path(), seed, managers, life * load.threads);
        let most = random.pick(&[5_000, 5_000, 5_000, 200_000]);
        let goal = counts.sum() + random.below(most);
        let until = Instant::now() + Duration::from_millis(random.below(120) + 5);
        let begun = counts.sum();
        // A worker that is killed before its first record has nothing to lose: some of them are.
        while Instant::now() < until || (life > 0 && counts.sum() == begun) {
            if counts.sum() > goal {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        assert!(kill(worker, &what), "{what}: the worker has ended by itself");
        sums.workers += 1;
        for _ in 0..random.below(3) {
            let mut salvager = start_salvager(home.path(), seed, managers);
            // Some are killed at any time, and most once they have begun.
            let pid = salvager.id();
            if random.below(4) > 0 {
                wait_until("the salvager has begun", || {
                    has_map(home.path(), pid) || salvager.try_wait().expect("a status").is_some()
                });
                std::thread::sleep(Duration::from_micros(random.below(8_000)));
            } else {
                std::thread::sleep(Duration::from_micros(random.below(30_000)));
            }
            let has_begun = has_map(home.path(), pid);
            let is_killed = kill(salvager, &what);
            sums.salvagers += u64::from(is_killed);
            // One that was killed behind its last step has removed the map.
            sums.salvaging += u64::from(is_killed && has_begun && !maps(home.path()).is_empty());
        }
        let salvage = if managers {
            let manager = LoggerManager::new(load.config(home.path()));
            let manager = manager.unwrap_or_else(|error| panic!("{what}: {error:#}"));
            let salvage = manager.salvage().clone();
            manager.close().expect("closed");
            salvage
        } else {
            let logger = Logger::new(load.config(home.path()));
            let logger = logger.unwrap_or_else(|error| panic!("{what}: {error:#}"));
            let salvage = logger.salvage().clone();
            if let Opened::Salvaged { records, .. } = logger.opened() {
                assert_eq!(*records, salvage.records(), "{what}");
            }
            logger.close().expect("closed");
            salvage
        };
        assert!(salvage.left_alone.is_empty(), "{what}: {salvage:?}");
        salvaged += salvage.records();
        assert_eq!(fs::read_dir(home.path().join("maps")).expect("maps").count(), 0, "{what}");
        check(&load, &counts, (life + 1) * load.threads, home.path(), &what);
    }
    sums.accepted += counts.sum();
    sums.salvaged += salvaged;
}

/// Compares all records of the log with the counts of all threads.
fn check(load: &Load, counts: &Counts, threads: usize, home: &Path, what: &str) {
    let mut found = vec![Vec::new(); threads];
    let mut read = |path: &Path, event: Option<usize>| {
        let mut log = LogDir::open(path).expect("the log");
        while let Some(record) = log.next_record().expect("a record") {
            let (thread, number) = Numbered::parse(record.bytes())
                .unwrap_or_else(|| panic!("{what}: an altered record"));
            if let Some(event) = event {
                assert_eq!(load.event(thread as usize, number), event, "{what}: another event's");
            }
            found[thread as usize].push(number);
        }
        let report = log.report();
        assert_eq!(report.lost, Loss::exact(0), "{what}: {report:?}");
    };
    if load.events == 0 {
        read(&log_path(home), None);
    }
    for event in 0..load.events {
        let path = home.join("logs").join(format!("event_{event}.log"));
        if path.exists() {
            read(&path, Some(event));
        }
    }
    if load.events > 0 && load.keeps_order() {
        // Each event has its threads' records in their order; sorted, all of them are there.
        for found in &mut found {
            assert!(in_order_by_event(load, found), "{what}: out of order");
            found.sort_unstable();
        }
    }
    for (thread, found) in found.into_iter().enumerate() {
        let accepted = counts.get(thread);
        let what = format!("{what}, thread {thread}: {accepted} accepted, {} found", found.len());
        if load.keeps_order() {
            assert!(found.iter().copied().eq(0..found.len() as u64), "{what}: out of order");
        }
        let distinct: BTreeSet<_> = found.iter().copied().collect();
        assert_eq!(distinct.len(), found.len(), "{what}: doubled");
        assert!(distinct.iter().copied().eq(0..found.len() as u64), "{what}: holes");
        // The last call can have been accepted without having returned.
        let expected = accepted..=accepted + 1;
        assert!(expected.contains(&(found.len() as u64)), "{what}: lost");
    }
}

/// Whether the numbers of a thread that go to one event stand in their order.
fn in_order_by_event(load: &Load, found: &[u64]) -> bool {
    // The thread's number only turns the events, so that of thread 0 will do.
    let is_of = |number: &&u64, event: usize| load.event(0, **number) == event;
    (0..load.events).all(|event| found.iter().filter(|number| is_of(number, event)).is_sorted())
}
