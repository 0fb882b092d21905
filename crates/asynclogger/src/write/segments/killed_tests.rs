//! Kills the process between any two steps of a change of names: the log's path names a file at every step, no record
//! is lost or doubled, and the next process finishes the change.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::Path,
    process::{Command, ExitStatus},
};

use crate::{Config, Logger, Rotation, read::LogDir};

const SIGKILL: i32 = 9;
const SEGMENTS: usize = 3;

fn config(path: &Path) -> Config {
    Config::new(path)
        .buffer_size(128 << 10)
        .num_shards(2)
        .rotation(Rotation::new().max_age(std::time::Duration::from_secs(3600)))
}

/// Logs a durable record before each of several rotations. Reports its progress by files.
fn rotate_some(path: &Path) {
    let logger = Logger::new(config(path)).expect("a logger");
    for number in 0..SEGMENTS {
        logger.log(&number.to_string());
        logger.flush().expect("flush");
        fs::write(path.with_file_name(format!("flushed-{number}")), "").expect("told");
        logger.rotate().expect("rotate");
    }
    logger.close().expect("close");
}

/// Runs the test again, as a child that is killed at its n-th step.
fn run_killed(path: &Path, n: u64) -> ExitStatus {
    let test = "write::segments::killed_tests::a_rotation_may_be_killed_at_any_step";
    let mut child = Command::new(env::current_exe().expect("this binary"));
    child.args([test, "--exact", "--test-threads=1"]);
    child.env("ROTATED_LOG", path).env("ASYNCLOGGER_KILL_AT", n.to_string());
    child.output().expect("a child").status
}

fn records(path: &Path) -> Vec<String> {
    let mut log = LogDir::open(path).expect("a log");
    let mut records = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        records.push(String::from_utf8_lossy(record.bytes()).into_owned());
    }
    records
}

#[test]
fn a_rotation_may_be_killed_at_any_step() {
    if let Some(path) = env::var_os("ROTATED_LOG") {
        rotate_some(Path::new(&path));
        return;
    }
    let mut steps = 0;
    loop {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        let status = run_killed(&path, steps);
        let flushed = (0..SEGMENTS)
            .take_while(|number| directory.path().join(format!("flushed-{number}")).exists());
        let mut expected: Vec<_> = flushed.map(|number| number.to_string()).collect();
        if status.success() {
            assert_eq!(records(&path), expected);
            break;
        }
        assert_eq!(status.signal(), Some(SIGKILL), "step {steps}: {status:?}");
        assert!(path.is_file(), "step {steps}: the path names nothing");

        // The next process continues the log.
        let logger = Logger::new(config(&path)).expect("a logger");
        logger.log("more");
        logger.rotate().expect("rotate");
        logger.close().expect("close");
        expected.push("more".into());
        assert_eq!(records(&path), expected, "step {steps}");
        let mut files = BTreeSet::new();
        for entry in fs::read_dir(directory.path()).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(!name.contains(".next"), "step {steps}: {name}");
            assert!(
                files.insert(entry.metadata().expect("it").ino()),
                "step {steps}: {name} twice"
            );
        }
        steps += 1;
    }
    assert!(steps >= 5 * SEGMENTS as u64, "{steps} steps");
}
