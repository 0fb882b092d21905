//! Processes that are killed while they log and rotate: at any moment, and at each system call of a
//! known run, by `strace`. Nothing that was durable is lost or doubled over all segments, and what was
//! left behind is cleaned up by the next start.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::{fs::FileExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use asynclogger::{Config, Durability, Engine, Overflow, Rotation, read::LogDir};

use crate::{
    injected::can_inject,
    matrix::{durabilities, engines, log_as},
    support::{Found, Numbered, child_role, directory, open, wait_until},
};

const THREADS: u32 = 2;
/// More calls of one kind than a run makes.
const ENOUGH: u32 = 200;

/// How many records of each thread are durable, as the child says it: in a file, which outlives it.
struct Acknowledged(File);

impl Acknowledged {
    fn open(path: &Path) -> Acknowledged {
        let mut options = File::options();
        Acknowledged(options.read(true).write(true).create(true).open(path).expect("a file"))
    }

    fn set(&self, thread: u32, count: u64) {
        let place = u64::from(thread) * 8;
        self.0.write_all_at(&count.to_le_bytes(), place).expect("written");
    }

    fn get(&self, thread: u32) -> u64 {
        let mut bytes = [0; 8];
        // A thread that has not said anything yet has no place in the file either.
        match self.0.read_exact_at(&mut bytes, u64::from(thread) * 8) {
            Ok(()) => u64::from_le_bytes(bytes),
            Err(_) => 0,
        }
    }
}

/// A log that children are killed on.
struct Scene {
    directory: tempfile::TempDir,
    path: PathBuf,
    acknowledged: PathBuf,
    durability: Durability,
    engine: Engine,
}

impl Scene {
    fn new(durability: Durability, engine: Engine) -> Scene {
        let directory = directory();
        let path = directory.path().join("logs/app.log");
        fs::create_dir(path.parent().expect("a parent")).expect("the directory");
        let acknowledged = directory.path().join("acknowledged");
        Scene { directory, path, acknowledged, durability, engine }
    }

    /// `test` of this binary, in a process of its own, whose threads are numbered from `first` on.
    fn child(&self, test: &str, first: u32) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        self.become_child(&mut command, test, first);
        command
    }

    fn become_child(&self, command: &mut Command, test: &str, first: u32) {
        let Scene { durability, engine, .. } = self;
        let at = self.directory.path().display();
        command
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env("CHILD", format!("{durability:?} {engine:?} {first} {at}"));
    }

    /// What is durable of the threads up to `threads`, after a start that finds what was left: each once,
    /// in order, and none missing; the log's segments without a gap, and nothing beside them.
    fn assert_kept(&self, threads: u32) {
        let logger = open(config(&self.path));
        let stats = logger.close().expect("close");
        assert_eq!((stats.accepted, stats.lost), (0, 0));
        for entry in fs::read_dir(self.path.parent().expect("a parent")).expect("the directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            assert!(name == ".app.lock" || name.ends_with(".log"), "{name} is left");
        }
        let acknowledged = Acknowledged::open(&self.acknowledged);
        let mut log = LogDir::open(&self.path).expect("the log");
        for (segment, id) in log.segments().iter().zip(1..) {
            assert_eq!((segment.id, segment.previous), (id, id - 1), "{segment:?}");
        }
        let mut independent = vec![Vec::new(); threads as usize];
        for segment in log.segments() {
            let found = Found::read(&segment.path, threads as usize);
            for (all, more) in independent.iter_mut().zip(found.by_thread) {
                all.extend(more);
            }
        }
        let mut ours = vec![Vec::new(); threads as usize];
        while let Some(record) = log.next_record().expect("a record") {
            let (thread, number) = Numbered::parse(record.bytes()).expect("an altered record");
            ours[thread as usize].push(number);
        }
        for thread in 0..threads {
            let durable = acknowledged.get(thread);
            for (reader, found) in [("ours", &ours), ("the independent one", &independent)] {
                let found = &found[thread as usize];
                let what = format!("thread {thread}, {durable} durable, {reader}");
                assert!(found.len() as u64 >= durable, "{what}: {} found", found.len());
                // Of what was not durable a part may be missing in the middle: writes may overtake.
                let (durable_part, rest) = found.split_at(durable as usize);
                assert!(durable_part.iter().copied().eq(0..durable), "{what}");
                let mut last = durable.checked_sub(1);
                for number in rest {
                    assert!(last.is_none_or(|last| *number > last), "{what}: {number} at {last:?}");
                    last = Some(*number);
                }
            }
        }
    }
}

fn config(path: &Path) -> Config {
    let shards = THREADS as usize;
    Config::new(path).buffer_size(shards * (64 << 10)).num_shards(shards).overflow(Overflow::Block)
}

/// What a child is told by its parent.
struct Role {
    config: Config,
    first: u32,
    acknowledged: Acknowledged,
}

impl Role {
    fn parse(role: &str) -> Role {
        let mut words = role.splitn(4, ' ');
        let mut word = || words.next().expect("a word");
        let (durability, engine, first, directory) = (word(), word(), word(), word());
        let engine = engines().iter().find(|known| format!("{known:?}") == engine);
        let durability = durabilities().iter().find(|known| format!("{known:?}") == durability);
        let directory = Path::new(directory);
        Role {
            config: config(&directory.join("logs/app.log"))
                .durability(*durability.expect("a level"))
                .engine(*engine.expect("an engine")),
            first: first.parse().expect("a number"),
            acknowledged: Acknowledged::open(&directory.join("acknowledged")),
        }
    }

    /// Logs without end and rotates all the time: by size, by age and by call.
    fn log_for_ever(self) {
        let rotation = Rotation::new().max_size(256 << 10);
        let rotation = rotation.max_age(std::time::Duration::from_millis(20));
        let logger = open(self.config.rotation(rotation));
        let end = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in self.first..self.first + THREADS {
                let (logger, acknowledged, end) = (&logger, &self.acknowledged, &end);
                scope.spawn(move || {
                    let mut next = 0;
                    while !end.load(Ordering::Relaxed) {
                        let more = 1 + (next * 7) % 90;
                        assert_eq!(log_as(logger, thread, next..next + more), more);
                        next += more;
                        logger.flush().expect("flush");
                        acknowledged.set(thread, next);
                    }
                });
            }
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    logger.rotate().expect("rotate");
                }
            });
            // Without its parent it ends by itself.
            let mut nothing = Vec::new();
            std::io::stdin().read_to_end(&mut nothing).expect("the input");
            end.store(true, Ordering::Relaxed);
        });
    }

    /// Dies in the moment in which a flush, or a rotation, has returned.
    fn die_at_once(self) {
        let logger = open(self.config);
        std::thread::scope(|scope| {
            let (logger, thread) = (&logger, self.first);
            // The other thread's records are under way meanwhile.
            scope.spawn(move || {
                for number in 0.. {
                    log_as(logger, thread + 1, number..number + 1);
                }
            });
            // A few blocks.
            log_as(logger, thread, 0..500);
            let done = if thread % 4 == 0 { logger.flush() } else { logger.rotate() };
            done.expect("all of it is durable");
            self.acknowledged.set(thread, 500);
            // SAFETY: ends this process, as it is meant to be.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        });
    }

    /// The same calls each time, by one thread.
    fn log_some(self) {
        let logger = open(self.config);
        for round in 0..4 {
            let numbers = round * 40..round * 40 + 20;
            log_as(&logger, self.first, numbers);
            logger.flush().expect("flush");
            self.acknowledged.set(self.first, round * 40 + 20);
            // These are covered by the rotation itself.
            log_as(&logger, self.first, round * 40 + 20..round * 40 + 40);
            logger.rotate().expect("rotate");
            self.acknowledged.set(self.first, round * 40 + 40);
        }
        logger.close().expect("close");
        println!("@ done");
    }
}

/// Ends a child whatever happens.
pub struct Doomed(pub Child);

impl Drop for Doomed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Six processes after each other go on with one log, each killed at another moment.
#[test]
fn a_process_killed_while_it_rotates_loses_nothing_that_was_durable() {
    const KILLS: u32 = 6;
    let test = "killed::a_process_killed_while_it_rotates_loses_nothing_that_was_durable";
    if let Some(role) = child_role() {
        return Role::parse(&role).log_for_ever();
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for durability in durabilities() {
        for engine in engines() {
            let scene = Scene::new(*durability, *engine);
            let acknowledged = Acknowledged::open(&scene.acknowledged);
            for kill in 0..KILLS {
                let first = kill * THREADS;
                let mut command = scene.child(test, first);
                command.stdin(Stdio::piped()).stdout(Stdio::null());
                let mut child = Doomed(command.spawn().expect("the child"));
                // xorshift
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let (enough, moments) = (1 + random % 1_500, (random >> 32) % 100_000);
                wait_until("records that are durable", || acknowledged.get(first) >= enough);
                // And some moments more, so that it is not always just behind a flush.
                (0..moments).for_each(|_| std::hint::spin_loop());
                child.0.kill().expect("killed");
                let status = child.0.wait().expect("it ends");
                assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
                scene.assert_kept(first + THREADS);
            }
        }
    }
}

#[test]
fn what_was_answered_is_there_whoever_dies_at_once() {
    const KILLS: u32 = 6;
    let test = "killed::what_was_answered_is_there_whoever_dies_at_once";
    if let Some(role) = child_role() {
        return Role::parse(&role).die_at_once();
    }
    for durability in durabilities() {
        for engine in engines() {
            let scene = Scene::new(*durability, *engine);
            for kill in 0..KILLS {
                let first = kill * THREADS;
                let mut command = scene.child(test, first);
                let status = command.stdout(Stdio::null()).status().expect("the child");
                assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
                assert_eq!(Acknowledged::open(&scene.acknowledged).get(first), 500);
                scene.assert_kept(first + THREADS);
            }
        }
    }
}

/// Kills a child at each call of `call`, one after the other; how many there were.
fn kill_at_each(test: &str, call: &str, durability: Durability, engine: Engine) -> u32 {
    for n in 1..ENOUGH {
        let scene = Scene::new(durability, engine);
        let logs = scene.path.parent().expect("a parent");
        // A run that hangs is to fail.
        let mut command = Command::new("timeout");
        // Not with `--seccomp-bpf`: with it, strace 6.1 sends no signal but at the first call.
        command.args(["-s", "KILL", "120", "strace", "-f", "-o", "/dev/null"]);
        if ["openat", "fsync", "renameat2", "linkat", "unlinkat"].contains(&call) {
            // The loader and the harness make these, too; only those in the log's directory count.
            for path in [logs, &scene.path, &logs.join(".app.next"), &logs.join(".app.lock")] {
                command.arg("-P").arg(path);
            }
        }
        command.args(["-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:signal=KILL:when={n}")]);
        command.arg(std::env::current_exe().expect("this binary"));
        scene.become_child(&mut command, test, 0);
        let output = command.output().expect("strace");
        let text = String::from_utf8_lossy(&output.stdout);
        let is_done = text.contains("@ done");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(is_done == output.status.success(), "{call} {n}: {output:?}\n{text}\n{errors}");
        let acknowledged = Acknowledged::open(&scene.acknowledged).get(0);
        assert!(!is_done || acknowledged == 160, "{acknowledged}");
        scene.assert_kept(1);
        if is_done {
            return n - 1;
        }
    }
    panic!("{call}: still killed at the {ENOUGH}th call");
}

fn kill_at_each_of(test: &str, calls: &[(&str, Durability, Engine, u32)]) {
    if let Some(role) = child_role() {
        return Role::parse(&role).log_some();
    }
    if !can_inject() {
        return;
    }
    for (call, durability, engine, at_least) in calls {
        let count = kill_at_each(test, call, *durability, *engine);
        assert!(count >= *at_least, "{call}: {count}");
    }
}

/// A link, an exchange and a removal for each rotation, between two syncs of the directory.
#[test]
fn killed_at_each_change_of_names() {
    let calls = [
        ("renameat2", Durability::Dsync, Engine::Auto, 4),
        ("linkat", Durability::OnFlush, Engine::Pwrite, 8),
        ("unlinkat", Durability::None, Engine::Uring, 4),
    ];
    kill_at_each_of("killed::killed_at_each_change_of_names", &calls);
}

#[test]
fn killed_at_each_sync_of_the_directory() {
    let (dsync, auto) = (Durability::Dsync, Engine::Auto);
    kill_at_each_of("killed::killed_at_each_sync_of_the_directory", &[("fsync", dsync, auto, 12)]);
}

#[test]
fn killed_at_each_barrier() {
    let (none, pwrite) = (Durability::None, Engine::Pwrite);
    kill_at_each_of("killed::killed_at_each_barrier", &[("fdatasync", none, pwrite, 8)]);
}

#[test]
fn killed_at_each_open() {
    let (dsync, auto) = (Durability::Dsync, Engine::Auto);
    kill_at_each_of("killed::killed_at_each_open", &[("openat", dsync, auto, 4)]);
}

#[test]
fn killed_at_each_write() {
    let (dsync, pwrite) = (Durability::Dsync, Engine::Pwrite);
    kill_at_each_of("killed::killed_at_each_write", &[("pwritev2", dsync, pwrite, 12)]);
}
