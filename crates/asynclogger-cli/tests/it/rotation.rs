use std::{
    fs,
    io::Write,
    process::{Child, ChildStdin, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    support::{Place, numbers},
    tail::{Tail, lines},
};

/// Shards of 64 KiB, so that small files are allowed.
const SMALL: &str = "--buffer-size 64K --shards 1";

fn archived(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.dir())
        .expect("list")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.filter(|name| name.starts_with("app_") && name.ends_with(".log")).collect()
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "timed out: {what}");
        thread::yield_now();
    }
}

/// All commands that read know the files as one log, whole and in order.
#[track_caller]
fn assert_reads(place: &Place, expected: &str, records: u64) {
    let files = archived(place).len() as u64 + 1;
    for args in ["cat --all app.log", "cat ."] {
        let text = place.run(args, "").ends_with(0).text();
        assert!(text == expected, "{args}: {} of {} bytes", text.len(), expected.len());
    }
    let run = place.run("verify .", "").ends_with(0);
    assert_eq!(run.stderr, "");
    let json = place.run("stat --json .", "").ends_with(0).json();
    assert_eq!(json.len() as u64, files + 1);
    let totals = json.last().unwrap();
    assert_eq!(
        (totals["files"].as_u64(), totals["records"].as_u64()),
        (Some(files), Some(records))
    );
    assert_eq!((&totals["whole"], &totals["missing_segments"]), (&true.into(), &0.into()));
    let logs = totals["logs"].as_array().unwrap();
    assert_eq!((logs.len(), logs[0]["segments"].as_u64()), (1, Some(files)));
    assert_eq!(logs[0]["records"], records);
    let mut segments: Vec<_> =
        json[..json.len() - 1].iter().map(|file| file["segment"].as_u64().unwrap()).collect();
    segments.sort_unstable();
    assert!(segments.into_iter().eq(1..=files));
    assert!(json[..json.len() - 1].iter().all(|file| file["ending"] == "clean"), "{json:?}");
    assert!(!place.file(".app.next").exists());
}

#[test]
fn lines_come_back_over_files_of_a_size() {
    const SIZE: u64 = 160 << 10;
    let place = Place::new();
    let input = numbers(300_000);
    place.run(&format!("write {SMALL} --rotate-size 160K app.log"), input.as_str()).ends_with(0);
    let files = archived(&place);
    assert!(files.len() > 20, "{files:?}");
    for file in files.iter().map(String::as_str).chain(["app.log"]) {
        let len = fs::metadata(place.file(file)).unwrap().len();
        assert!(len <= SIZE, "{file}: {len}");
    }
    assert_reads(&place, &input, 300_000);
    // The next run goes on where this one ended.
    let more = lines(300_001, 400_000);
    place.run(&format!("write {SMALL} --rotate-size 160K app.log"), more.as_str()).ends_with(0);
    assert_reads(&place, &(input + &more), 400_000);
    assert_eq!(place.run("tail -n 3 app.log", "").ends_with(0).text(), lines(399_998, 400_000));
}

/// A running `write`.
struct Writer {
    child: Child,
    input: ChildStdin,
}

impl Writer {
    fn start(place: &Place, args: &str) -> Writer {
        let mut command = place.command(&format!("write {SMALL} --flush-interval 10ms {args}"));
        let mut child = command.stdout(Stdio::null()).spawn().expect("it runs");
        let input = child.stdin.take().expect("a pipe");
        Writer { child, input }
    }

    fn say(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).expect("written");
    }

    /// Ends the input; what it says at its end.
    fn ends(self) -> String {
        drop(self.input);
        let output = self.child.wait_with_output().expect("it ends");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    }
}

#[test]
fn lines_come_back_over_files_of_an_age() {
    let place = Place::new();
    let mut writer = Writer::start(&place, "--rotate-every 200ms app.log");
    let mut count = 0;
    for files in 1..=4 {
        // Lines come all the time, or only one in a file.
        let all_the_time = files % 2 == 0;
        let mut is_first = true;
        wait_until("another file", || {
            if std::mem::take(&mut is_first) || all_the_time {
                count += 1;
                writer.say(&format!("{count}\n"));
            }
            archived(&place).len() >= files
        });
    }
    let said = writer.ends();
    assert!(said.contains("dropped 0"), "{said}");
    assert_reads(&place, &lines(1, count), count);
}

#[test]
fn a_signal_ends_a_rotated_log_cleanly() {
    let place = Place::new();
    let mut writer = Writer::start(&place, "--grace 0s --rotate-size 80K app.log");
    writer.say(&lines(1, 50_000));
    wait_until("files", || archived(&place).len() > 3);
    wait_until("all is read", || rustix::io::ioctl_fionread(&writer.input).expect("a pipe") == 0);
    kill_process(Pid::from_child(&writer.child), Signal::TERM).expect("sent");
    let Writer { child, input } = writer;
    let output = child.wait_with_output().expect("it ends");
    drop(input);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_reads(&place, &lines(1, 50_000), 50_000);
}

#[test]
fn who_follows_a_log_sees_every_line_over_its_rotations() {
    let place = Place::new();
    let mut writer = Writer::start(&place, "--rotate-size 80K app.log");
    writer.say("1\n");
    wait_until("the first line", || {
        place.file("app.log").exists() && place.run("cat app.log", "").stdout == b"1\n"
    });
    let tail = Tail::start(&place, "-n 1 app.log");
    tail.prints("1");
    let mut said = 1;
    // Some lines, many files at once, and one line in between.
    for more in [10, 40_000, 1, 25_000, 3, 60_000] {
        writer.say(&lines(said + 1, said + more));
        tail.prints(&lines(said + 1, said + more));
        said += more;
    }
    writer.ends();
    assert!(archived(&place).len() > 10, "{:?}", archived(&place));
    tail.ends_after(Signal::INT);
    assert_reads(&place, &lines(1, said), said);
}
