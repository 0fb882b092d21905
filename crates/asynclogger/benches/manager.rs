//! What `scripts/bench-manager` runs, a process for each, so that nothing raises another's peak of memory:
//!
//! * `manager`: many events, unevenly logged to from many threads;
//! * `timed`: the same, with times; the files stay, for `scripts/bench-by-time`;
//! * `one`: one plain logger, the same threads, as many records;
//! * `names`: a call by name against one through a handle, in pairs of short turns.
//!
//! usage: manager KIND DIRECTORY RECORDS EVENTS THREADS DURABILITY ENGINE     prints one JSON object
//!
//! Seconds are from the first record to the return of `close`. What is read back is not counted.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use asynclogger::{
    Config, Durability, Engine, Logger, LoggerManager, Overflow, Stats, Timestamps, read::verify,
};

const RECORD: usize = 256;
/// Events in the order in which a thread logs to them, again and again: drawn before, so that no call pays
/// for the drawing.
const DRAWN: usize = 1 << 16;
/// Calls of one kind in a turn: more than the reading of the clock weighs, and fewer than fill a buffer.
const TURN: usize = 1_000;

struct Load<'a> {
    directory: &'a Path,
    records: u64,
    events: usize,
    threads: u64,
    durability: Durability,
    engine: Engine,
    timestamps: Timestamps,
}

impl Load<'_> {
    fn config(&self, file: &str) -> Config {
        let config = Config::new(self.directory.join(file)).overflow(Overflow::Block);
        config.durability(self.durability).engine(self.engine).timestamps(self.timestamps)
    }

    /// Unevenly: the share of an event is about one over its number.
    fn draw(&self, thread: u64) -> Vec<u32> {
        let mut random = 0x9E37_79B9 + thread * 0x1234_5677;
        let mut draw = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let uniform = (random >> 11) as f64 / (1_u64 << 53) as f64;
            let event = (self.events as f64 + 1.0).powf(uniform) as usize - 1;
            event.min(self.events - 1) as u32
        };
        (0..DRAWN).map(|_| draw()).collect()
    }

    /// Logs all records from all threads; what they took, and what was seen meanwhile.
    fn run(&self, log: impl Fn(usize, &[u8]) + Sync, close: impl FnOnce() -> Stats) -> Seen {
        let drawn: Vec<_> = (0..self.threads).map(|thread| self.draw(thread)).collect();
        let done = AtomicBool::new(false);
        let mut seen = Seen::default();
        let (cpu, begun) = (cpu(), Instant::now());
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| watch(&done));
            std::thread::scope(|scope| {
                for (thread, events) in drawn.iter().enumerate() {
                    let log = &log;
                    scope.spawn(move || {
                        let record = [thread as u8; RECORD];
                        for number in 0..self.records / self.threads {
                            log(events[number as usize % DRAWN] as usize, &record);
                        }
                    });
                }
            });
            seen.logged = begun.elapsed().as_secs_f64();
            seen.stats = close();
            seen.seconds = begun.elapsed().as_secs_f64();
            done.store(true, Ordering::Relaxed);
            (seen.ours, seen.workers) = watch.join().expect("the watch");
        });
        let after = self::cpu();
        (seen.user, seen.system) = (after.0 - cpu.0, after.1 - cpu.1);
        seen.peak_kib = status("VmHWM");
        seen
    }

    fn manager(&self) {
        let manager = LoggerManager::new(self.config("events/base.log")).expect("a manager");
        let names: Vec<_> = (0..self.events).map(|event| format!("event-{event}")).collect();
        let begun = Instant::now();
        let open = |name: &String| manager.event(name).expect("opened");
        let handles: Vec<_> = names.iter().map(open).collect();
        let opened = begun.elapsed().as_secs_f64();
        let seen = self.run(
            |event, record| handles[event].log_bytes(record),
            || manager.close().expect("close").total,
        );
        let (mut whole, mut found, mut file_bytes) = (0, 0, 0);
        for name in &names {
            let path = self.directory.join(format!("events/{name}.log"));
            let report = verify(&path).expect("a report");
            whole += u64::from(report.is_whole());
            found += report.records;
            file_bytes += fs::metadata(&path).expect("the file").len();
        }
        let events = self.events;
        seen.print(&format!(
            "\"events\":{events},\"whole\":{whole},\"found\":{found},\"open_seconds\":{opened:.3},\
             \"file_bytes\":{file_bytes}"
        ));
    }

    fn one(&self) {
        let config = self.config("one.log");
        let path = self.directory.join("one.log");
        let logger = Logger::new(config).expect("a logger");
        let seen =
            self.run(|_, record| logger.log_bytes(record), || logger.close().expect("close"));
        let report = verify(&path).expect("a report");
        let (whole, found) = (u64::from(report.is_whole()), report.records);
        let file_bytes = fs::metadata(&path).expect("the file").len();
        seen.print(&format!(
            "\"events\":1,\"whole\":{whole},\"found\":{found},\"file_bytes\":{file_bytes}"
        ));
    }

    /// A turn by name and one through handles, of the same events in the same order, each first in every
    /// other pair; what a call took more, pair by pair.
    fn names(&self) {
        let manager = LoggerManager::new(self.config("events/base.log")).expect("a manager");
        let names: Vec<_> = (0..self.events).map(|event| format!("event-{event}")).collect();
        let open = |name: &String| manager.event(name).expect("opened");
        let handles: Vec<_> = names.iter().map(open).collect();
        let (drawn, record) = (self.draw(0), [7; RECORD]);
        let turn = |events: &[u32], by_name: bool| {
            let begun = Instant::now();
            if by_name {
                for event in events {
                    manager.log_bytes_with_event(&names[*event as usize], &record);
                }
            } else {
                for event in events {
                    handles[*event as usize].log_bytes(&record);
                }
            }
            ns(begun.elapsed())
        };
        let (mut by_name, mut through, mut more) = (Vec::new(), Vec::new(), Vec::new());
        let pairs = (self.records as usize / TURN / 2).max(3);
        for pair in 0..=pairs {
            let at = pair * TURN % (DRAWN - TURN);
            let events = &drawn[at..at + TURN];
            let first = turn(events, pair % 2 == 0);
            let second = turn(events, pair % 2 == 1);
            let (name, handle) = if pair % 2 == 0 { (first, second) } else { (second, first) };
            // The first one warms up.
            if pair > 0 {
                by_name.push(name);
                through.push(handle);
                more.push(name - handle);
            }
        }
        let stats = manager.close().expect("close");
        assert_eq!(stats.total.dropped_logs, 0);
        println!(
            "{{\"pairs\":{pairs},\"by_name_ns\":{:.1},\"handle_ns\":{:.1},\"more_ns\":{:.1}}}",
            median(by_name),
            median(through),
            median(more)
        );
    }
}

#[derive(Default)]
struct Seen {
    seconds: f64,
    logged: f64,
    user: f64,
    system: f64,
    peak_kib: u64,
    /// The most threads of the library, and of the kernel's workers, at any moment that was looked at.
    ours: usize,
    workers: usize,
    stats: Stats,
}

impl Seen {
    fn print(&self, more: &str) {
        let Seen { seconds, logged, user, system, peak_kib, ours, workers, stats } = self;
        println!(
            "{{\"seconds\":{seconds:.3},\"logged\":{logged:.3},\"user\":{user:.3},\
             \"system\":{system:.3},\"peak_kib\":{peak_kib},\"ours\":{ours},\"workers\":{workers},\
             \"blocks\":{},\"accepted\":{},\"durable\":{},\"dropped\":{},\"lost\":{},\
             \"record_bytes\":{RECORD},\"budget_kib\":{},{more}}}",
            stats.flushes,
            stats.accepted,
            stats.durable,
            stats.dropped_logs,
            stats.lost,
            (2 * Config::DEFAULT_BUFFER_SIZE) >> 10,
        );
    }
}

fn ns(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / TURN as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The most threads called like ours, and of io_uring's workers, until it is done.
fn watch(done: &AtomicBool) -> (usize, usize) {
    let mut most = (0, 0);
    while !done.load(Ordering::Relaxed) {
        let (mut ours, mut workers) = (0, 0);
        for task in fs::read_dir("/proc/self/task").expect("tasks") {
            // It may have ended since it was listed.
            let Ok(name) = fs::read_to_string(task.expect("a task").path().join("comm")) else {
                continue;
            };
            ours += usize::from(name.starts_with("asynclogger"));
            workers += usize::from(name.starts_with("iou-wrk"));
        }
        most = (most.0.max(ours), most.1.max(workers));
        std::thread::sleep(Duration::from_millis(20));
    }
    most
}

/// Seconds of this process, by all its threads: user, system.
fn cpu() -> (f64, f64) {
    // SAFETY: zeros are a valid value of it, and the structure is ours.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (seconds(usage.ru_utime), seconds(usage.ru_stime))
}

fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with(key)).expect("the key");
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let (kind, directory) = (next("manager"), next("target/bench-manager"));
    let number = |text: String| text.parse::<u64>().expect("a number");
    let (records, events, threads) =
        (number(next("10000000")), number(next("1000")), number(next("8")));
    let durability = match next("dsync").as_str() {
        "dsync" => Durability::Dsync,
        "on-flush" => Durability::OnFlush,
        "none" => Durability::None,
        other => panic!("no durability: {other}"),
    };
    let engine = match next("auto").as_str() {
        "auto" => Engine::Auto,
        "uring" => Engine::Uring,
        "pwrite" => Engine::Pwrite,
        other => panic!("no engine: {other}"),
    };
    let directory = Path::new(&directory);
    let _ = fs::remove_dir_all(directory);
    let events = events as usize;
    let timestamps = if kind == "timed" { Timestamps::On } else { Timestamps::Off };
    let load = Load { directory, records, events, threads, durability, engine, timestamps };
    match kind.as_str() {
        "manager" => load.manager(),
        "timed" => return load.manager(),
        "one" => load.one(),
        "names" => load.names(),
        other => panic!("no kind: {other}"),
    }
    let _ = fs::remove_dir_all(directory);
}
