//! Kills the process between any two steps of the account, and then each salvager between any two of its own steps: no
//! accepted record is lost, doubled, or out of order.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    os::unix::{fs::FileExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    thread,
};

use crate::{Config, CrashSafe, Durability, Logger, Overflow, read::LogDir};

const SIGKILL: i32 = 9;
const THREADS: u32 = 2;
const DURABILITIES: [Durability; 2] = [Durability::Dsync, Durability::OnFlush];

fn config(home: &Path, durability: Durability) -> Config {
    Config::new(home.join("logs/app.log"))
        .buffer_size(2 * (64 << 10))
        .num_shards(2)
        .durability(durability)
        .overflow(Overflow::Block)
        .crash_safe(CrashSafe::in_dir(home.join("maps")))
}

/// The number of accepted records of each thread, in a file that outlives the process.
struct Accepted(File);

impl Accepted {
    fn open(home: &Path) -> Accepted {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true);
        Accepted(options.open(home.join("accepted")).expect("a file"))
    }

    fn get(&self, thread: u32) -> u64 {
        let mut bytes = [0; 8];
        let found = self.0.read_exact_at(&mut bytes, u64::from(thread) * 8);
        found.map_or(0, |()| u64::from_le_bytes(bytes))
    }

    /// Logs records of a thread, `len` bytes each.
    fn log(&self, logger: &Logger, thread: u32, more: u64, len: usize) {
        let begin = self.get(thread);
        for number in begin..begin + more {
            let mut record = format!("{thread} {number} ").into_bytes();
            record.resize(len, b'.');
            logger.try_log_bytes(&record).expect("accepted");
            let done = (number + 1).to_le_bytes();
            self.0.write_all_at(&done, u64::from(thread) * 8).expect("written");
        }
    }
}

/// Everything that changes an account: full buffers, flushes, an empty buffer, refused records, rotations, notes, an end.
fn work(home: &Path, durability: Durability) {
    let logger = Logger::new(config(home, durability)).expect("a logger");
    let accepted = Accepted::open(home);
    let log = |thread, more, len| accepted.log(&logger, thread, more, len);
    log(0, 5, 100);
    logger.flush().expect("flushed");
    thread::scope(|scope| {
        scope.spawn(|| log(1, 10, 10_000));
    });
    log(0, 20, 10_000);
    assert!(logger.try_log_bytes(b"").is_err());
    logger.flush().expect("flushed");
    let nothing = logger.try_log_with(100, |_| ());
    assert!(nothing.is_err(), "the buffer stays empty");
    logger.flush().expect("flushed");
    logger.rotate().expect("rotated");
    thread::scope(|scope| {
        scope.spawn(|| log(1, 3, 500));
    });
    log(0, 12, 9_000);
    logger.rotate().expect("rotated");
    log(0, 7, 1_000);
    logger.close().expect("closed");
}

fn salvage(home: &Path, durability: Durability) {
    let logger = Logger::new(config(home, durability)).expect("a logger");
    assert_eq!(logger.salvage().left_alone, [], "the map can be used");
    logger.close().expect("closed");
}

/// Runs the test again, as a child that is killed at its n-th step.
fn run_killed(home: &Path, role: &str, durability: Durability, n: u64) -> ExitStatus {
    let test = "write::salvage::killed_tests::a_process_may_be_killed_at_any_step_of_its_account";
    let mut child = Command::new(env::current_exe().expect("this binary"));
    child.args([test, "--exact", "--test-threads=1"]);
    child.env("SALVAGED_HOME", home).env("SALVAGED_ROLE", format!("{role} {durability:?}"));
    let output = child.env("ASYNCLOGGER_KILL_AT", n.to_string()).output().expect("a child");
    let was_killed = output.status.signal() == Some(SIGKILL);
    let errors = String::from_utf8_lossy(&output.stdout);
    assert!(
        was_killed || output.status.success(),
        "{role}, step {n}: {:?} {errors}",
        output.status
    );
    output.status
}

/// The numbers of the records in a log, by thread; each thread's in order, and each once.
fn records(log: &Path, what: &str) -> Vec<Vec<u64>> {
    let mut found = vec![Vec::new(); THREADS as usize];
    let mut log = LogDir::open(log).expect("a log");
    while let Some(record) = log.next_record().expect("a record") {
        let text = String::from_utf8_lossy(record.bytes()).into_owned();
        let mut words = text.split(' ');
        let mut word = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        let (thread, number): (u64, u64) = (word(), word());
        found[thread as usize].push(number);
    }
    for numbers in &found {
        assert!(numbers.is_sorted(), "{what}: out of order: {numbers:?}");
        let distinct: BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len(), "{what}: doubled");
    }
    found
}

/// All accepted records are in the log, or the rest of them in the log and the others where its files were moved to.
fn assert_kept(home: &Path, moved: Option<&Path>, what: &str) {
    assert_eq!(fs::read_dir(home.join("maps")).map_or(0, Iterator::count), 0, "{what}: a map");
    let mut found = records(&home.join("logs/app.log"), what);
    if let Some(moved) = moved.filter(|moved| moved.exists()) {
        for (all, more) in found.iter_mut().zip(records(moved, what)) {
            all.extend(more);
            all.sort_unstable();
            all.dedup();
        }
    } else {
        let mut log = LogDir::open(home.join("logs/app.log")).expect("a log");
        while log.next_record().expect("a record").is_some() {}
        let report = log.report();
        assert_eq!(report.lost, crate::read::Loss::exact(0), "{what}: {report:?}");
    }
    let accepted = Accepted::open(home);
    for (found, thread) in found.iter().zip(0..) {
        let least = accepted.get(thread);
        let what = format!("{what}, thread {thread}: {least} accepted, {} found", found.len());
        assert!(found.iter().copied().eq(0..found.len() as u64), "{what}: holes {found:?}");
        assert!((least..=least + 1).contains(&(found.len() as u64)), "{what}");
    }
}

fn home() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_owned();
    fs::create_dir(path.join("logs")).expect("a directory");
    (directory, path)
}

/// Whether this process is a child; does its work.
fn is_child() -> bool {
    let (Some(home), Ok(role)) = (env::var_os("SALVAGED_HOME"), env::var("SALVAGED_ROLE")) else {
        return false;
    };
    let (role, durability) = role.split_once(' ').expect("two words");
    let is_it = |level: &&Durability| format!("{level:?}") == durability;
    let durability = *DURABILITIES.iter().find(is_it).expect("a level");
    match role {
        "works" => work(Path::new(&home), durability),
        _ => salvage(Path::new(&home), durability),
    }
    true
}

#[test]
fn a_process_may_be_killed_at_any_step_of_its_account() {
    if is_child() {
        return;
    }
    thread::scope(|scope| {
        for durability in DURABILITIES {
            scope.spawn(move || {
                let mut steps = 0;
                loop {
                    let (_directory, home) = home();
                    let status = run_killed(&home, "works", durability, steps);
                    salvage(&home, durability);
                    assert_kept(&home, None, &format!("{durability:?}, step {steps}"));
                    if status.success() {
                        break;
                    }
                    steps += 1;
                }
                println!("{durability:?}: killed at each of {steps} steps");
                assert!(steps > 100, "{steps} steps");
            });
        }
    });
}

/// A worker is killed at some of its steps, and then one salvager after the other: the first at its first step, the next
/// at its second, and so on until one comes to its end. `REPEATS` says how many are killed at each step, and `SAMPLE`
/// at how many steps the worker is.
#[test]
fn each_salvager_may_be_killed_at_any_step() {
    let number =
        |name, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (sample, repeats) = (number("SAMPLE", 3_u64), number("REPEATS", 2_u64));
    thread::scope(|scope| {
        for moves in [false, true] {
            scope.spawn(move || {
                let mut kills = 0;
                for nth in 0..sample {
                    // Spread over the some 300 steps of a worker.
                    let step = 40 + (nth * 240 + 120) / sample;
                    let durability = DURABILITIES[nth as usize % 2];
                    kills += chain(step, durability, moves, repeats);
                }
                println!("moved: {moves}: {sample} workers and {kills} salvagers killed");
                assert!(kills > sample * 20, "{kills} salvagers");
            });
        }
    });
}

/// Kills a worker at this step, and salvagers at all of theirs. `moves`: the log's directory is renamed before.
fn chain(step: u64, durability: Durability, moves: bool, repeats: u64) -> u64 {
    let (_directory, home) = home();
    let status = run_killed(&home, "works", durability, step);
    assert_eq!(status.signal(), Some(SIGKILL), "a worker has {step} steps");
    let old = home.join("logs.old");
    if moves {
        fs::rename(home.join("logs"), &old).expect("moved");
    }
    let mut kills = 0;
    for salvager in 0.. {
        for _ in 0..repeats {
            if run_killed(&home, "salvages", durability, salvager).success() {
                let what =
                    format!("worker {step} {durability:?}, moved: {moves}, {kills} salvagers");
                assert_kept(&home, moves.then(|| old.join("app.log")).as_deref(), &what);
                return kills;
            }
            kills += 1;
        }
    }
    kills
}
