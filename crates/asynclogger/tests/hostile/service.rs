//! The service: a process of its own that logs what the world tells it to, and says what became of it.
//!
//! It takes a command in each line of its input and says `done` at its end. What it says begins with `@`.

use std::{
    fmt::Display,
    io::BufRead,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use asynclogger::{Archived, Error, EventLogger, Health, Logger, LoggerManager, Position, Stats};

use crate::{
    clock,
    files::read,
    plan::{Places, Plan},
    record::{EVENTS, Key},
};

pub const NOBODY: u32 = 65_534;
/// The environment variable with the role of a service.
pub const ROLE: &str = "HOSTILE_SERVICE";

fn say(what: impl Display) {
    println!("@ {what}");
}

#[derive(Clone)]
enum Target {
    Logger(Logger),
    Manager(LoggerManager),
}

/// One thread's way to the log.
enum Way {
    Logger(Logger),
    Manager(LoggerManager, [Option<EventLogger>; EVENTS.len()]),
}

impl Way {
    /// The place of the record, if it was taken; `None` if its event cannot be opened.
    fn log(&mut self, key: Key) -> Option<Result<Position, asynclogger::LogError>> {
        let record = key.record();
        match self {
            Way::Logger(logger) => Some(logger.try_log_bytes(&record)),
            Way::Manager(manager, events) => {
                let event = &mut events[key.event()];
                if event.is_none() {
                    *event = manager.event(EVENTS[key.event()]).ok();
                }
                Some(event.as_ref()?.try_log_bytes(&record))
            }
        }
    }

    fn wait_durable(&self, key: Key, position: &Position) -> Result<(), Error> {
        let timeout = Duration::from_millis(400);
        match self {
            Way::Logger(logger) => logger.wait_durable(position, timeout),
            Way::Manager(_, events) => {
                events[key.event()].as_ref().map_or(Ok(()), |it| it.wait_durable(position, timeout))
            }
        }
    }
}

impl Target {
    fn flush(&self) -> Result<(), Error> {
        match self {
            Target::Logger(logger) => logger.flush(),
            Target::Manager(manager) => manager.flush(),
        }
    }

    fn rotate(&self) -> Result<(), Error> {
        match self {
            Target::Logger(logger) => logger.rotate(),
            Target::Manager(manager) => manager.rotate(),
        }
    }

    fn reopen(&self) -> Result<(), Error> {
        match self {
            Target::Logger(logger) => logger.reopen(),
            Target::Manager(manager) => manager.flush(),
        }
    }

    fn stats(&self) -> Stats {
        match self {
            Target::Logger(logger) => logger.stats(),
            Target::Manager(manager) => manager.stats().total,
        }
    }

    fn close(&self) -> Result<Stats, Error> {
        match self {
            Target::Logger(logger) => logger.close(),
            Target::Manager(manager) => manager.close().map(|stats| stats.total),
        }
    }

    fn health(&self) -> Health {
        match self {
            Target::Logger(logger) => logger.health(),
            Target::Manager(manager) => manager.health(),
        }
    }
}

#[derive(Clone, Copy)]
struct Burst {
    from: u32,
    count: u32,
    /// Flushes after each so many records; rotates after each so many flushes.
    every: u32,
    rotates: u32,
    /// Waits for the last record instead of flushing.
    waits: bool,
}

/// One thread that logs; it is the same over the life of the service, so its records have an order.
fn work(target: &Target, lane: u32, jobs: &Receiver<Burst>, done: &Sender<()>) {
    let mut way = match target.clone() {
        Target::Logger(logger) => Way::Logger(logger),
        Target::Manager(manager) => Way::Manager(manager, [const { None }; EVENTS.len()]),
    };
    for burst in jobs {
        let mut flushes = 0;
        for number in burst.from..burst.from + burst.count {
            let key = Key { lane, number };
            let last = match way.log(key) {
                Some(Ok(position)) => Some(position),
                Some(Err(_)) => {
                    say(format_args!("refused {lane} {number}"));
                    None
                }
                None => {
                    say(format_args!("unopened {lane} {number}"));
                    None
                }
            };
            if burst.every > 0 && (number - burst.from + 1).is_multiple_of(burst.every) {
                flushes += 1;
                if let Some(position) = last.filter(|_| burst.waits) {
                    if way.wait_durable(key, &position).is_ok() {
                        say(format_args!("kept {lane} {number}"));
                    }
                } else if burst.rotates > 0 && u32::is_multiple_of(flushes, burst.rotates) {
                    let _ = target.rotate();
                } else if target.flush().is_ok() {
                    say(format_args!("durable {lane} {number}"));
                }
            }
        }
        say(format_args!("logged {lane} {} {}", burst.from, burst.from + burst.count));
        done.send(()).expect("the main thread");
    }
}

/// Notes the records of a segment that is over, before retention can see it. In a file, which is there when this
/// returns; a pipe could be read later.
fn note_archived(places: &Places, archived: &Archived) {
    static NOTES: AtomicU64 = AtomicU64::new(0);
    let name = archived.path.file_name().expect("a name");
    // The directory may have been renamed, and can be renamed during the look.
    for _ in 0..3 {
        let dirs = std::fs::read_dir(&places.top).into_iter().flatten();
        let dirs = dirs.filter_map(|entry| Some(entry.ok()?.path()));
        let contents: Vec<_> = dirs.filter_map(|dir| read(&dir.join(name))).collect();
        for content in &contents {
            let number = NOTES.fetch_add(1, Ordering::Relaxed);
            let note = places.vault.join(format!("{}-{number}", std::process::id()));
            let part = note.with_extension("part");
            std::fs::write(&part, content.to_text()).expect("a note");
            std::fs::rename(&part, &note).expect("a note");
        }
        if !contents.is_empty() {
            return;
        }
    }
    // Without a file there is nothing that retention could delete.
}

fn answer(result: Result<(), Error>) {
    match result {
        Ok(()) => say("done ok"),
        Err(error) => say(format_args!("done {:?} {error:#}", error.kind())),
    }
}

fn stats_line(stats: &Stats) -> String {
    let is_balanced = stats.total_logs == stats.accepted + stats.dropped_logs
        && stats.dropped_logs == stats.dropped.total()
        && stats.accepted == stats.written + stats.pending + stats.lost
        && stats.durable <= stats.written;
    format!("done ok {} {} {is_balanced} {stats:?}", stats.total_logs, stats.accepted)
}

/// Runs the service whose role the environment has; whether there is one.
pub fn serve_if_told() -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    let mut words = role.splitn(5, ' ');
    let mut word = || words.next().expect("a word");
    let number = |word: &str| word.parse::<u64>().expect("a number");
    let (seed, first, is_nobody) = (number(word()), number(word()) as u32, word() == "nobody");
    let (vault, top) = (Path::new(word()).to_owned(), Path::new(word()).to_owned());
    let plan = Plan::of(seed);
    let places = Places::new(&top, &vault);
    if is_nobody {
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::setgid(NOBODY) }, 0);
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::setuid(NOBODY) }, 0);
    }
    // A stopped service would outlive a world that is killed.
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }, 0);
    let ahead = std::env::var("HOSTILE_CLOCK").ok().and_then(|text| text.parse().ok());
    clock::set_ahead(ahead.unwrap_or(0));
    let config = plan.config(&places).on_error(|error| {
        say(format_args!("told {:?} {error:#}", error.kind()));
    });
    let config = config.on_archived(move |archived| note_archived(&places, archived));
    let target = match plan.manager {
        true => LoggerManager::new(config).map(Target::Manager),
        false => Logger::new(config).map(Target::Logger),
    };
    match target {
        Ok(target) => {
            say("done opened");
            serve(target, first, plan.threads);
        }
        Err(error) => say(format_args!("done {:?} {error:#}", error.kind())),
    }
    true
}

/// Every write beyond `bytes` of a file fails, and brings a signal that ends a process by default.
fn limit_files(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure is complete.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
}

fn serve(target: Target, first: u32, threads: u32) {
    let target = Arc::new(target);
    let (done, all_done) = channel();
    let mut workers = Vec::new();
    for lane in first..first + threads {
        let (jobs, job) = channel();
        let (target, done) = (Arc::clone(&target), done.clone());
        let thread = std::thread::spawn(move || work(&target, lane, &job, &done));
        workers.push((jobs, thread));
    }
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<i64>().expect("a number");
        match words[0] {
            "burst" => {
                let burst = Burst {
                    from: number(1) as u32,
                    count: number(2) as u32,
                    every: number(3) as u32,
                    rotates: number(4) as u32,
                    waits: number(5) != 0,
                };
                workers.iter().for_each(|(jobs, _)| jobs.send(burst).expect("a worker"));
                workers.iter().for_each(|_| all_done.recv().expect("a worker"));
                say("done ok");
            }
            "flush" => answer(target.flush()),
            "rotate" => answer(target.rotate()),
            "reopen" => answer(target.reopen()),
            "clock" => {
                clock::set_ahead(number(1));
                say("done ok");
            }
            "limit" => {
                limit_files(number(1) as u64);
                say("done ok");
            }
            "health" => say(format_args!("done {:?}", target.health())),
            "stats" => say(stats_line(&target.stats())),
            "close" => match target.close() {
                Ok(stats) => say(stats_line(&stats)),
                Err(error) => say(format_args!("done {:?} {error:#}", error.kind())),
            },
            _ => panic!("{line}"),
        }
    }
    // The world has closed the input: the service goes, and whatever is still in memory with it.
    std::process::exit(0);
}
