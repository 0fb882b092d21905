//! A process that logs, and then ends in a given way; and what has to be in its log then.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use asynclogger::{
    Config, CrashSafe, Logger, Overflow, Salvaged,
    read::{LogDir, Loss},
};
use tempfile::TempDir;

use super::counts::{Counts, MOST};
use crate::support::{Numbered, directory, wait_until};

/// The word of the counts that says that the process is ready for its end.
const READY: usize = MOST - 1;
/// The records that the thread which ends the process has logged before.
pub const OWN: u64 = 2_000;

/// Where a process logs, and where its parent looks afterwards.
pub struct Home {
    directory: TempDir,
    maps: PathBuf,
}

/// The threads of a process, by what is known of the number of their records.
pub enum Thread {
    /// It had stopped logging before the end.
    Still,
    /// It was logging: the last call can have been accepted without having returned.
    Busy,
}

impl Home {
    pub fn new() -> Home {
        let directory = directory();
        let maps = directory.path().join("maps");
        Home::with_maps(directory, maps)
    }

    /// With the maps in this directory.
    pub fn with_maps(directory: TempDir, maps: PathBuf) -> Home {
        fs::create_dir(directory.path().join("logs")).expect("a directory");
        Home { directory, maps }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn log(&self) -> PathBuf {
        self.path().join("logs/app.log")
    }

    pub fn maps(&self) -> &Path {
        &self.maps
    }

    pub fn config(&self) -> Config {
        self.config_at(&self.log())
    }

    /// The settings for a log at another path.
    pub fn config_at(&self, log: &Path) -> Config {
        config(log, &self.maps)
    }

    pub fn counts(&self) -> Counts {
        Counts::open(&self.path().join("counts"))
    }

    /// The one map that is there.
    pub fn map(&self) -> PathBuf {
        let mut maps = self.all_maps();
        assert_eq!(maps.len(), 1, "{maps:?}");
        maps.remove(0)
    }

    pub fn all_maps(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.maps).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// A process that runs `test` of this binary in the given way.
    pub fn child(&self, test: &str, way: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        let (home, maps) = (self.path().display(), self.maps.display());
        command
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env("CHILD", format!("{way} {home} {maps}"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Starts such a process, and waits until it is ready to end.
    pub fn start(&self, test: &str, way: &str) -> Child {
        let mut child = self.child(test, way).spawn().expect("a child");
        let counts = self.counts();
        wait_until("the child is ready", || {
            counts.get(READY) > 0 || child.try_wait().expect("a status").is_some()
        });
        child
    }

    /// Starts such a process, and waits for its end.
    pub fn run(&self, test: &str, way: &str) -> ExitStatus {
        end_of(self.start(test, way))
    }

    /// Opens the log, and checks that all accepted records are in it: each once, whole, and in the order of its
    /// thread. Returns what was salvaged.
    pub fn assert_kept(&self, threads: &[Thread], what: &str) -> Vec<Salvaged> {
        let logger = Logger::new(self.config()).unwrap_or_else(|e| panic!("{what}: {e:#}"));
        let salvage = logger.salvage().clone();
        assert!(salvage.left_alone.is_empty(), "{what}: {salvage:?}");
        logger.close().expect("closed");
        assert_eq!(self.all_maps(), Vec::<PathBuf>::new(), "{what}: a map is left");
        self.assert_in_log(threads, what);
        salvage.sessions
    }

    /// Checks the records of the log.
    pub fn assert_in_log(&self, threads: &[Thread], what: &str) {
        let counts = self.counts();
        let found = records(&self.log(), threads.len());
        for (number, (found, thread)) in found.iter().zip(threads).enumerate() {
            let accepted = counts.get(number);
            let what =
                format!("{what}, thread {number}: {accepted} accepted, {} found", found.len());
            assert!(found.iter().copied().eq(0..found.len() as u64), "{what}: out of order");
            let len = found.len() as u64;
            match thread {
                Thread::Still => assert_eq!(len, accepted, "{what}"),
                Thread::Busy => assert!(len == accepted || len == accepted + 1, "{what}"),
            }
        }
    }
}

/// The numbers of the records of each thread in a log that has lost nothing.
pub fn records(log: &Path, threads: usize) -> Vec<Vec<u64>> {
    let mut log = LogDir::open(log).expect("the log");
    let mut found = vec![Vec::new(); threads];
    while let Some(record) = log.next_record().expect("a record") {
        let (thread, number) = Numbered::parse(record.bytes()).expect("an altered record");
        found[thread as usize].push(number);
    }
    let report = log.report();
    assert_eq!(report.lost, Loss::exact(0), "{report:?}");
    for numbers in &found {
        let distinct: BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len(), "a record stands twice");
    }
    found
}

/// Everything stays in memory until a buffer is full.
fn config(log: &Path, maps: &Path) -> Config {
    Config::new(log)
        .buffer_size(2 * (64 << 10))
        .num_shards(2)
        .flush_interval(Duration::from_secs(3600))
        .overflow(Overflow::Block)
        .crash_safe(CrashSafe::in_dir(maps))
}

pub fn end_of(child: Child) -> ExitStatus {
    let output = child.wait_with_output().expect("an end");
    if output.status.code().is_some_and(|code| code != 0) {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status
}

/// What a child is told: the way to end, its home, the directory of the maps.
pub struct Role {
    pub way: String,
    pub home: PathBuf,
    pub maps: PathBuf,
}

impl Role {
    /// The role of this process, if it is such a child.
    pub fn get() -> Option<Role> {
        let role = crate::support::child_role()?;
        let mut words = role.split(' ');
        let mut word = || words.next().expect("a word").to_owned();
        Some(Role { way: word(), home: word().into(), maps: word().into() })
    }

    pub fn config(&self) -> Config {
        config(&self.home.join("logs/app.log"), &self.maps)
    }

    pub fn counts(&self) -> Counts {
        Counts::open(&self.home.join("counts"))
    }

    /// Logs [`OWN`] records on this thread, and more on another one for ever. Returns when the end may come.
    pub fn log(&self, logger: &Logger) {
        let counts = self.counts();
        log_some(logger, &counts, 0, OWN);
        let (other, home) = (logger.clone(), self.home.clone());
        std::thread::spawn(move || {
            let counts = Counts::open(&home.join("counts"));
            log_some(&other, &counts, 1, u64::MAX);
        });
        wait_until("the other thread logs", || counts.get(1) > 1_000);
    }

    /// Tells the parent that the end may come.
    pub fn ready(&self) {
        self.counts().set(READY, 1);
    }
}

/// Logs more records of a thread.
pub fn log_some(logger: &Logger, counts: &Counts, thread: usize, more: u64) {
    let mut record = Numbered::new();
    let begin = counts.get(thread);
    for number in begin..begin.saturating_add(more) {
        let len = Numbered::MIN_LEN + (number % 83) as usize;
        let bytes = record.make(thread as u32, number, len);
        logger.try_log_bytes(bytes).expect("accepted");
        counts.set(thread, number + 1);
        if number % 64 == 0 {
            std::thread::yield_now();
        }
    }
}
