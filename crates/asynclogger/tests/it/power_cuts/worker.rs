//! A process that logs on the recorded disk, and says what is durable.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use asynclogger::{Durability, Error, EventLogger, LogError, Logger, LoggerManager, Position};

use super::{
    plan::{Plan, event_name, logs},
    recording::KNOWN,
};
use crate::{
    crash_safe::{Counts, Random},
    support::Numbered,
};

/// The words of the counts. A worker's threads are numbered on over its lives.
pub const THREADS: usize = 32;
/// The durable records of each life, by the statistics.
pub const SUMS: usize = THREADS;
/// Whether the last life has closed its log.
pub const CLOSED: usize = KNOWN - 1;
/// How many records of each thread were offered, and how many were accepted.
pub const OFFERED: usize = KNOWN;
pub const ACCEPTED: usize = KNOWN + THREADS;
/// The number of the threads that have nothing more to do.
pub const DONE: usize = KNOWN + 2 * THREADS;

/// Starts a life of the worker of this seed on a mounted disk, which logs for so many rounds.
pub fn start(seed: u64, life: usize, disk: &Path, counts: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["power_cuts::worker::logs_until_killed", "--exact", "--nocapture"])
        .env("CHILD", format!("{seed} {life} {} {}", disk.display(), counts.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child")
}

#[test]
fn logs_until_killed() {
    let Some(role) = crate::support::child_role() else {
        return;
    };
    // SAFETY: asks the kernel to end this process with its parent, so that nothing keeps the disk.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let mut words = role.splitn(4, ' ');
    let mut word = || words.next().expect("a word");
    let (seed, life) = (word().parse().expect("a seed"), word().parse().expect("a life"));
    let (disk, counts) = (PathBuf::from(word()), PathBuf::from(word()));
    let plan = Plan::of(seed);
    Life { plan, seed, number: life, disk, counts: Counts::open(&counts) }.live();
}

struct Life {
    plan: Plan,
    seed: u64,
    number: usize,
    disk: PathBuf,
    counts: Counts,
}

/// A logger, or a manager with its events.
enum Log {
    One(Logger),
    Many(LoggerManager, Vec<EventLogger>),
}

impl Log {
    fn open(plan: &Plan, disk: &Path) -> Log {
        let config = plan.config(disk);
        if plan.events == 0 {
            return Log::One(Logger::new(config).expect("a logger"));
        }
        let manager = LoggerManager::new(config).expect("a manager");
        let event = |number| manager.event(&event_name(number)).expect("an event");
        let events = (0..plan.events).map(event).collect();
        Log::Many(manager, events)
    }

    fn log(&self, event: usize, bytes: &[u8]) -> Result<Position, LogError> {
        match self {
            Log::One(logger) => logger.try_log_bytes(bytes),
            Log::Many(_, events) => events[event].try_log_bytes(bytes),
        }
    }

    fn flush(&self) -> Result<(), Error> {
        match self {
            Log::One(logger) => logger.flush(),
            Log::Many(manager, _) => manager.flush(),
        }
    }

    fn durable(&self) -> u64 {
        match self {
            Log::One(logger) => logger.stats().durable,
            Log::Many(manager, _) => manager.stats().total.durable,
        }
    }

    fn close(&self) {
        match self {
            Log::One(logger) => drop(logger.close().expect("closed")),
            Log::Many(manager, _) => drop(manager.close().expect("closed")),
        }
    }
}

impl Life {
    fn live(&self) {
        let Life { plan, number, counts, .. } = self;
        let log = Log::open(plan, &self.disk);
        let first = number * plan.threads;
        if plan.is_crash_safe {
            // What the processes before had accepted is in the log now.
            for thread in 0..first {
                counts.set(thread, counts.get(ACCEPTED + thread));
            }
        }
        std::thread::scope(|scope| {
            for thread in first..first + plan.threads {
                let log = &log;
                scope.spawn(move || self.log_on(thread, log));
            }
            // A level without barriers only promises what a flush has confirmed.
            if plan.durability != Durability::None {
                scope.spawn(|| {
                    while counts.get(DONE) == 0 {
                        counts.set(SUMS + number, log.durable());
                        std::thread::sleep(Duration::from_millis(1));
                    }
                });
            }
            if plan.is_moved {
                scope.spawn(|| self.move_away());
            }
        });
        log.close();
        for thread in first..first + plan.threads {
            counts.set(thread, counts.get(ACCEPTED + thread));
        }
        counts.set(CLOSED, 1);
    }

    fn log_on(&self, thread: usize, log: &Log) {
        let Life { plan, seed, counts, .. } = self;
        let mut random = Random::new(seed ^ thread as u64);
        let (mut record, mut number) = (Numbered::new(), 0);
        let longest = plan.longest.max(Numbered::MIN_LEN as u64 + 1);
        while counts.get(DONE) == 0 {
            let mut last = None;
            for _ in 0..random.pick(&[1, 3, 20, 100]) {
                let len =
                    Numbered::MIN_LEN as u64 + random.below(longest - Numbered::MIN_LEN as u64);
                let event = if plan.events > 0 { plan.event(thread, number) } else { 0 };
                let bytes = record.make(thread as u32, number, len as usize);
                counts.set(OFFERED + thread, number + 1);
                last = Some((event, log.log(event, bytes).expect("accepted")));
                number += 1;
                counts.set(ACCEPTED + thread, number);
            }
            match (random.below(4), log, &last) {
                // One's own record covers those before: they are in the same log, from the same thread.
                (0, Log::One(logger), Some((_, position))) => {
                    logger.wait_durable(position, Duration::from_secs(60)).expect("durable");
                    counts.set(thread, number);
                }
                (0, Log::Many(_, events), Some((event, _))) if plan.events == 1 => {
                    events[*event].flush().expect("flushed");
                    counts.set(thread, number);
                }
                (3, ..) => std::thread::sleep(Duration::from_millis(random.below(12))),
                _ => {
                    log.flush().expect("flushed");
                    counts.set(thread, number);
                }
            }
        }
    }

    fn move_away(&self) {
        let (mut random, active) = (Random::new(self.seed), logs(&self.disk).join("app.log"));
        let mut moved = 0;
        while self.counts.get(DONE) == 0 {
            std::thread::sleep(Duration::from_millis(20 + random.below(60)));
            moved += 1;
            let to = logs(&self.disk).join(format!("app.log.{}.{moved}", self.number));
            // Not there yet, after the last move.
            let _ = std::fs::rename(&active, to);
        }
    }
}
