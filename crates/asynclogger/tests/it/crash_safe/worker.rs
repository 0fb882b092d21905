//! A process that logs on many threads until it is killed.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use asynclogger::{
    Config, CrashSafe, Durability, Engine, Logger, LoggerManager, Overflow, Rotation,
};

use super::counts::Counts;
use crate::support::Numbered;

/// A small generator of numbers, so that a failure can be repeated by its seed.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// How a worker logs; the same in all its lives.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub threads: usize,
    pub shards: usize,
    pub buffer: usize,
    pub durability: Durability,
    pub engine: Engine,
    pub longest: u64,
    pub rotates: bool,
    pub compresses: bool,
    pub flushes: bool,
    /// The number of events of a manager; 0: a logger.
    pub events: usize,
    /// Whether records have times.
    pub times: bool,
}

impl Load {
    pub fn of(seed: u64, managers: bool) -> Load {
        let mut random = Random::new(seed);
        let durabilities = [Durability::Dsync, Durability::OnFlush, Durability::None];
        Load {
            threads: random.pick(&[1, 2, 2, 4, 8, 64]),
            shards: random.pick(&[1, 2, 4, 8]),
            buffer: random.pick(&[64 << 10, 64 << 10, 256 << 10]),
            durability: random.pick(&durabilities),
            engine: random.pick(&[Engine::Auto, Engine::Pwrite]),
            longest: random.pick(&[40, 300, 3000, if managers { 3000 } else { 30_000 }]),
            rotates: random.below(2) == 0,
            compresses: cfg!(feature = "zstd") && random.below(3) == 0,
            flushes: random.below(2) == 0,
            events: if managers { random.pick(&[1, 3, 20, 100]) } else { 0 },
            times: seed.is_multiple_of(2),
        }
    }

    /// Whether each thread has a shard of its own, so that its records stand in their order.
    pub fn keeps_order(&self) -> bool {
        self.threads <= self.shards
    }

    /// The event that a thread logs a record to.
    pub fn event(&self, thread: usize, number: u64) -> usize {
        (thread + number as usize / 3) % self.events
    }

    pub fn config(&self, home: &Path) -> Config {
        let path = if self.events > 0 { home.join("logs/base.log") } else { log_path(home) };
        let mut config = Config::new(path)
            .buffer_size(self.buffer * self.shards)
            .num_shards(self.shards)
            .durability(self.durability)
            .engine(self.engine)
            .flush_interval(Duration::from_millis(20))
            .overflow(Overflow::Block)
            .crash_safe(CrashSafe::in_dir(home.join("maps")).events(128));
        if self.times {
            config = config.timestamps(asynclogger::Timestamps::On);
        }
        if self.rotates {
            config = config.rotation(Rotation::new().max_size(512 << 10));
        }
        if self.compresses {
            config = config.compression(asynclogger::Compression::zstd(1));
        }
        config
    }
}

pub fn log_path(home: &Path) -> PathBuf {
    home.join("logs/app.log")
}

/// Starts a life of a worker, whose threads are numbered from `first` on.
pub fn start(home: &Path, seed: u64, managers: bool, first: usize) -> Child {
    let role = format!("{seed} {managers} {first} {}", home.display());
    child("crash_safe::worker::works_until_killed", &role)
}

/// Starts a process that only opens the log, and so salvages what is left.
pub fn start_salvager(home: &Path, seed: u64, managers: bool) -> Child {
    child("crash_safe::worker::salvages", &format!("{seed} {managers} 0 {}", home.display()))
}

fn child(test: &str, role: &str) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("CHILD", role)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child")
}

/// Load, seed, first thread, home.
fn role() -> Option<(Load, u64, usize, PathBuf)> {
    let role = crate::support::child_role()?;
    let mut words = role.splitn(4, ' ');
    let mut word = || words.next().expect("a word");
    let (seed, managers) = (word().parse().expect("a seed"), word() == "true");
    let first = word().parse().expect("a thread");
    Some((Load::of(seed, managers), seed, first, word().into()))
}

#[test]
fn works_until_killed() {
    let Some((load, seed, first, home)) = role() else {
        return;
    };
    if load.events > 0 {
        return manage_until_killed(load, seed, first, &home);
    }
    let logger = Logger::new(load.config(&home)).expect("a logger");
    let counts = Counts::open(&home.join("counts"));
    std::thread::scope(|scope| {
        for thread in first..first + load.threads {
            let (logger, counts) = (logger.clone(), &counts);
            scope.spawn(move || {
                let mut log = |number: u64, bytes: &[u8]| {
                    let logged = if number % 8 == 7 {
                        logger.try_log_with(bytes.len() + 10, |room| {
                            assert!(room.write(bytes));
                        })
                    } else {
                        logger.try_log_bytes(bytes)
                    };
                    logged.expect("accepted");
                };
                log_for_ever(&mut log, counts, thread, load, seed);
            });
        }
        if load.flushes {
            let logger = &logger;
            scope.spawn(move || {
                loop {
                    logger.flush().expect("flushed");
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
}

/// The name of an event.
pub fn event_name(event: usize) -> String {
    format!("event/{event}")
}

fn manage_until_killed(load: Load, seed: u64, first: usize, home: &Path) {
    let manager = LoggerManager::new(load.config(home)).expect("a manager");
    let counts = Counts::open(&home.join("counts"));
    std::thread::scope(|scope| {
        for thread in first..first + load.threads {
            let (manager, counts) = (&manager, &counts);
            scope.spawn(move || {
                let events: Vec<_> = (0..load.events)
                    .map(|event| manager.event(&event_name(event)).expect("an event"))
                    .collect();
                let mut log = |number: u64, bytes: &[u8]| {
                    let event = &events[load.event(thread, number)];
                    let logged = if number % 8 == 7 {
                        event.try_log_with(bytes.len() + 10, |room| {
                            assert!(room.write(bytes));
                        })
                    } else {
                        event.try_log_bytes(bytes)
                    };
                    logged.expect("accepted");
                };
                log_for_ever(&mut log, counts, thread, load, seed);
            });
        }
        if load.flushes {
            let manager = &manager;
            scope.spawn(move || {
                loop {
                    manager.flush().expect("flushed");
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
}

fn log_for_ever(
    log: &mut dyn FnMut(u64, &[u8]),
    counts: &Counts,
    thread: usize,
    load: Load,
    seed: u64,
) {
    let mut random = Random::new(seed ^ thread as u64);
    let mut record = Numbered::new();
    let longest = load.longest.max(Numbered::MIN_LEN as u64 + 1);
    for number in 0.. {
        let len = Numbered::MIN_LEN as u64 + random.below(longest - Numbered::MIN_LEN as u64);
        let bytes = record.make(thread as u32, number, len as usize);
        log(number, bytes);
        counts.set(thread, number + 1);
        if random.below(200) == 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn salvages() {
    let Some((load, _, _, home)) = role() else {
        return;
    };
    if load.events > 0 {
        let manager = LoggerManager::new(load.config(&home)).expect("a manager");
        manager.close().expect("closed");
    } else {
        let logger = Logger::new(load.config(&home)).expect("a logger");
        logger.close().expect("closed");
    }
}
