//! `docs/logrotate.conf` with the real `logrotate`, on the log of the example `sighup`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use asynclogger::read::{Ending, LogDir, verify};
use tempfile::TempDir;

use crate::{
    mounts::skipped,
    seed_readers::{self, Step},
    support::{child_role, directory, wait_until},
};

#[path = "../../examples/sighup.rs"]
mod sighup;

const CONFIG: &str = include_str!("../../../../docs/logrotate.conf");

/// The example as a process of its own, and its log.
struct Service {
    directory: TempDir,
    path: PathBuf,
    child: Child,
    input: Option<ChildStdin>,
}

impl Service {
    /// `test` of this binary runs the example as a child; `name` is that of its log in the configuration.
    fn start(test: &str, name: &str) -> Service {
        let directory = directory();
        let logs = directory.path().join("svc");
        let path = logs.join(name);
        let said = fs::File::create(directory.path().join("stderr")).expect("a file");
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env("CHILD", &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("the child");
        let input = child.stdin.take();
        wait_until("the log is there", || path.exists());
        fs::write(directory.path().join("svc.pid"), child.id().to_string()).expect("the pid");
        // As documented, but for the places.
        let here = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let config = CONFIG
            .replace("/var/log/svc/", &format!("{}/", here(&logs)))
            .replace("/run/svc.pid", &here(&directory.path().join("svc.pid")));
        assert!(!config.contains("/var/") && !config.contains("/run/"), "{config}");
        fs::write(directory.path().join("logrotate.conf"), config).expect("the configuration");
        Service { directory, path, child, input }
    }

    fn say(&mut self, lines: std::ops::Range<u64>) {
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let input = self.input.as_mut().expect("it is open");
        input.write_all(text.as_bytes()).expect("written");
    }

    /// Waits until a line is in the file at the log's path.
    fn wait_for(&self, line: u64) {
        let line = line.to_string().into_bytes();
        let seen = self.directory.path().join("seen");
        wait_until("the line is written", || {
            // There is a moment between the old file's new name and the new file's.
            fs::copy(&self.path, &seen).is_ok()
                && seed_readers::records(&seen, Step::Valid).contains(&line)
        });
    }

    /// Rotates by `logrotate`; the name that the old file has then.
    fn rotate(&self) -> PathBuf {
        let before = self.archived();
        let fresh = || {
            let mut now = self.archived();
            now.retain(|path| !before.contains(path));
            now
        };
        // Twice in a second would be one name, which it refuses.
        wait_until("logrotate rotates", || {
            let done = Command::new("logrotate")
                .args(["-f", "-s"])
                .arg(self.directory.path().join("state"))
                .arg(self.directory.path().join("logrotate.conf"))
                .output()
                .expect("logrotate");
            let text = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success() || text.contains("already exists"), "{text}");
            !fresh().is_empty()
        });
        let [path] = &fresh()[..] else { panic!("{:?}", fresh()) };
        path.clone()
    }

    /// Files beside the active one that have bytes.
    fn archived(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path.parent().expect("a parent")).expect("list");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .filter(|path| *path != self.path && path.metadata().is_ok_and(|meta| meta.len() > 0))
            .collect()
    }

    /// Ends the input; what the example said meanwhile.
    fn ends(&mut self) -> String {
        drop(self.input.take());
        let status = self.child.wait().expect("it ends");
        let said = fs::read_to_string(self.directory.path().join("stderr")).expect("text");
        assert!(status.success(), "{said}");
        said
    }

    /// All lines of the log, by our reader; segments that are named.
    fn lines(&self) -> Vec<String> {
        let mut log = LogDir::open(&self.path).expect("the log");
        let mut lines = Vec::new();
        while let Some(record) = log.next_record().expect("a record") {
            lines.push(String::from_utf8(record.bytes().to_vec()).expect("text"));
        }
        assert!(log.report().is_whole(), "{:?}", log.report());
        lines
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_there() -> bool {
    match Command::new("logrotate").arg("--version").output() {
        Ok(_) => true,
        Err(error) => {
            skipped(&format!("logrotate: {error}"));
            false
        }
    }
}

fn numbers(lines: std::ops::Range<u64>) -> Vec<String> {
    lines.map(|line| line.to_string()).collect()
}

#[test]
fn a_renamed_log_goes_on_at_its_path() {
    if let Some(path) = child_role() {
        return sighup::run(Path::new(&path)).expect("the example");
    }
    if !is_there() {
        return;
    }
    let mut service = Service::start("logrotate::a_renamed_log_goes_on_at_its_path", "svc.log");
    let mut said = 0;
    for turn in 1..=3 {
        service.say(said..said + 1_000);
        said += 1_000;
        service.wait_for(said - 1);
        // Some are under way, in the pipe and in memory.
        service.say(said..said + 1_000);
        said += 1_000;
        let old = service.rotate();
        wait_until("it was told", || service.path.exists());
        wait_until("the old file is complete", || {
            verify(&old).expect("a report").ending == Ending::Clean
        });
        let report = verify(&old).expect("a report");
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.segment, turn);
    }
    let errors = service.ends();
    assert_eq!(errors.matches("the log was renamed or replaced").count(), 3, "{errors}");
    assert_eq!(service.lines(), numbers(0..said), "each once, and in order");
    assert_eq!(service.archived().len(), 3);
}

/// At rest nothing is lost; what is in memory is in the next file.
#[test]
fn a_copied_and_cut_log_goes_on() {
    if let Some(path) = child_role() {
        return sighup::run(Path::new(&path)).expect("the example");
    }
    if !is_there() {
        return;
    }
    let mut service = Service::start("logrotate::a_copied_and_cut_log_goes_on", "copied.log");
    let mut said = 0;
    for turn in 1..=3 {
        service.say(said..said + 1_000);
        service.wait_for(said + 999);
        // What is in the file is in the copy, which has no end: nobody told the service.
        let old = service.rotate();
        let copied = seed_readers::records(&old, Step::Valid);
        let expected = numbers(said..said + 1_000).into_iter().map(String::into_bytes);
        assert!(copied.into_iter().eq(expected), "turn {turn}");
        let report = verify(&old).expect("a report");
        assert_eq!((report.segment, report.ending), (turn, Ending::Open), "{report:?}");
        said += 1_000;
    }
    // It is noticed with the next records only.
    service.say(said..said + 10);
    service.wait_for(said + 9);
    let errors = service.ends();
    assert_eq!(errors.matches("the log was truncated").count(), 3, "{errors}");
    assert_eq!(service.lines(), numbers(0..said + 10), "each once, and in order");
}
