//! `write` behind a service: signals, the next one that waits for its lock, and standard error that nobody reads.

mod full_disk;
mod httpd;
mod words;

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt, PermissionsExt},
    },
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    support::{Place, numbers},
    tail::lines,
};

/// Signals this far apart are two wishes, and not one: the time is the promise, and no test can do without it.
const APART: Duration = Duration::from_millis(300);

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "timed out: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A running `write`.
struct Writer {
    child: Child,
    input: Option<ChildStdin>,
}

impl Writer {
    fn start(place: &Place, args: &str) -> Writer {
        let mut child = place.command(&format!("write {args}")).spawn().expect("it runs");
        let input = child.stdin.take();
        Writer { child, input }
    }

    /// Starts it, and waits until it has the log and catches signals.
    fn ready(place: &Place, args: &str) -> Writer {
        let mut writer = Writer::start(place, &format!("{args} app.log"));
        writer.say("1\n");
        writer.has_read_all();
        wait_until("the log", || place.file("app.log").exists());
        writer
    }

    fn say(&mut self, text: &str) {
        let input = self.input.as_mut().expect("a pipe");
        input.write_all(text.as_bytes()).expect("written");
    }

    fn has_read_all(&self) {
        let input = self.input.as_ref().expect("a pipe");
        wait_until("all is read", || rustix::io::ioctl_fionread(input).expect("a pipe") == 0);
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("sent");
    }

    /// A field of what the system says of its main thread.
    fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
        value.expect("the field").to_owned()
    }

    /// Waits until no signal is on its way to it.
    fn has_taken_signals(&self) {
        let is_taken = |field: &str| self.status(field).bytes().all(|digit| digit == b'0');
        wait_until("the signals are taken", || is_taken("SigPnd") && is_taken("ShdPnd"));
    }

    /// Waits until it catches signals, and has then slept some times: before each sleep the lock was refused.
    fn waits_for_the_lock(&self) {
        wait_until("it catches signals", || {
            let caught = u64::from_str_radix(&self.status("SigCgt"), 16).expect("a mask");
            caught & 1 << (Signal::TERM.as_raw() - 1) != 0
        });
        let slept = || -> u64 { self.status("voluntary_ctxt_switches").parse().expect("a number") };
        let before = slept();
        wait_until("it sleeps", || slept() >= before + 3);
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Ends the input; its exit code, and what it said.
    fn ends(mut self) -> (Option<i32>, String) {
        self.input = None;
        self.goes()
    }

    /// Waits for its end; the input stays open.
    fn goes(mut self) -> (Option<i32>, String) {
        let input = self.input.take();
        let output = self.child.wait_with_output().expect("it ends");
        drop(input);
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    }
}

fn archived(place: &Place) -> usize {
    let names = fs::read_dir(place.dir()).expect("a directory");
    let names =
        names.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    names.filter(|name| name.starts_with("app_")).count()
}

#[test]
fn usr1_and_alrm_rotate() {
    let place = Place::new();
    let mut writer = Writer::ready(&place, "");
    let mut said = 1;
    for (files, signal) in [Signal::USR1, Signal::ALARM, Signal::USR1].into_iter().enumerate() {
        // A file without a record is not left.
        wait_until("the lines", || place.run("cat --all app.log", "").text() == lines(1, said));
        writer.send(signal);
        wait_until("the next file", || archived(&place) == files + 1);
        writer.say(&lines(said + 1, said + 1000));
        said += 1000;
    }
    let (code, said_last) = writer.ends();
    assert_eq!((code, said_last.lines().count()), (Some(0), 1), "{said_last}");
    assert_eq!(place.run("cat --all app.log", "").ends_with(0).text(), lines(1, said));
    // The last thousand is in the active file.
    assert_eq!(place.cat("app.log"), lines(said - 999, said).as_bytes());
}

#[test]
fn hup_begins_the_file_again_that_was_renamed() {
    let place = Place::new();
    let mut writer = Writer::ready(&place, "");
    writer.say(&lines(2, 1000));
    writer.has_read_all();
    // What logrotate does.
    fs::rename(place.file("app.log"), place.file("app.log.1")).expect("renamed");
    writer.send(Signal::HUP);
    wait_until("a new file", || place.file("app.log").exists());
    writer.say(&lines(1001, 2000));
    let (code, said) = writer.ends();
    assert_eq!(code, Some(0), "{said}");
    let all = [place.cat("app.log.1"), place.cat("app.log")].concat();
    assert_eq!(all, lines(1, 2000).as_bytes());
}

#[test]
fn signals_go_to_all_events() {
    let place = Place::new();
    let mut writer = Writer::start(&place, "--events logs");
    writer.say("a\t1\nb\t1\n");
    writer.has_read_all();
    let files = |event: &str| {
        let names = fs::read_dir(place.file("logs")).into_iter().flatten();
        let names = names.map(|entry| entry.expect("an entry").file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(event)).count()
    };
    for log in ["logs/a.log", "logs/b.log"] {
        wait_until("the record", || place.run(&format!("cat {log}"), "").stdout == b"1\n");
    }
    let file = |log: &str| fs::metadata(place.file(log)).map_or(0, |file| file.ino());
    let before = file("logs/a.log");
    writer.send(Signal::USR1);
    wait_until("the next files", || files("a") == 2 && files("b") == 2);
    // The old file gets its archived name before the next one takes its place.
    wait_until("the next file in its place", || file("logs/a.log") != before);
    fs::rename(place.file("logs/a.log"), place.file("moved.log")).expect("renamed");
    writer.say("a\t2\n");
    writer.has_read_all();
    writer.send(Signal::HUP);
    wait_until("a new file", || place.file("logs/a.log").exists());
    let (code, said) = writer.ends();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!([place.cat("moved.log"), place.cat("logs/a.log")].concat(), b"2\n");
}

#[test]
fn after_a_signal_the_input_is_read_to_its_end() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let mut writer = Writer::ready(&place, "--grace 10m");
        // Twice, as `timeout` does it.
        writer.send(signal);
        writer.send(signal);
        writer.has_taken_signals();
        writer.say("the last words\nand an unfinished line");
        writer.has_read_all();
        assert!(!writer.has_ended());
        let (code, said) = writer.ends();
        assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
        assert_eq!(place.cat("app.log"), b"1\nthe last words\nand an unfinished line\n");
    }
}

#[test]
fn an_input_that_does_not_end_is_left_when_the_grace_is_over() {
    for (grace, events) in [("0s", false), ("100ms", false), ("100ms", true)] {
        let place = Place::new();
        let (log, before) = if events { ("--events .", "app\t") } else { ("app.log", "") };
        let mut writer = Writer::start(&place, &format!("--grace {grace} {log}"));
        writer.say(&format!("{before}1\n{before}an unfinished line"));
        writer.has_read_all();
        wait_until("the log", || place.file("app.log").exists());
        writer.send(Signal::TERM);
        let (code, said) = writer.goes();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("stopped by a signal before the end of the input"), "{said}");
        assert!(said.contains("2 records"), "{said}");
        assert_eq!(place.cat("app.log"), b"1\nan unfinished line\n");
    }
}

#[test]
fn a_second_signal_ends_the_reading_at_once() {
    let place = Place::new();
    let mut writer = Writer::ready(&place, "--grace 1h");
    writer.say(&lines(2, 100_000));
    writer.has_read_all();
    writer.send(Signal::TERM);
    // If this process is held up long enough, both are one wish: then it takes another one.
    let begun = Instant::now();
    while !writer.has_ended() {
        thread::sleep(APART);
        writer.send(Signal::INT);
        let sent = Instant::now();
        while !writer.has_ended() && sent.elapsed() < Duration::from_secs(10) {
            thread::yield_now();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not end");
    }
    let (code, said) = writer.goes();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopped by a signal"), "{said}");
    assert_eq!(place.cat("app.log"), lines(1, 100_000).as_bytes());
}

#[test]
fn the_next_one_waits_for_the_lock() {
    let place = Place::new();
    let mut first = Writer::ready(&place, "");
    place.run("write --wait-lock 0s app.log", "x\n").ends_with(3).says("another process");
    let mut second = Writer::start(&place, "--wait-lock 10m app.log");
    second.say("3\n");
    second.waits_for_the_lock();
    assert!(!second.has_ended());
    first.say("2\n");
    let (code, said) = first.ends();
    assert_eq!(code, Some(0), "{said}");
    second.say("4\n");
    let (code, said) = second.ends();
    assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
    assert_eq!(place.cat("app.log"), lines(1, 4).as_bytes());
}

/// Two graceful restarts in a row: the old logger still reads its last lines, and two new ones wait for its lock. Any of
/// them gets the log first; each writes all its lines, and none complains.
#[test]
fn several_that_wait_for_the_lock_lose_no_line() {
    const LINES: usize = 20_000;
    for options in ["app.log", "--events logs"] {
        let place = Place::new();
        let (log, event) = match options {
            "app.log" => ("app.log", ""),
            _ => ("logs/app.log", "app\t"),
        };
        let text = |writer: usize| -> String {
            (0..LINES).map(|number| format!("{event}{writer} {number}\n")).collect()
        };
        let mut first = Writer::start(&place, options);
        first.say(&format!("{event}0 begun\n"));
        wait_until("the log", || place.file(log).exists());
        let waiting: Vec<_> = (1..=3)
            .map(|number| {
                let mut writer = Writer::start(&place, &format!("--wait-lock 10m {options}"));
                let text = text(number);
                // More than a pipe takes: it is written while the logger waits, and behind that.
                let mut input = writer.input.take().expect("a pipe");
                let feeder =
                    thread::spawn(move || input.write_all(text.as_bytes()).expect("written"));
                (writer, feeder)
            })
            .collect();
        // As httpd ends a logger: by a signal, while its input has lines and goes on.
        first.say(&text(0));
        first.send(Signal::TERM);
        first.say(&format!("{event}0 ended\n"));
        let (code, said) = first.ends();
        assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
        for (writer, feeder) in waiting {
            feeder.join().expect("all is written");
            let (code, said) = writer.ends();
            assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
        }
        let all = place.run(&format!("cat --all {log}"), "").ends_with(0).text();
        for writer in 0..=3 {
            let of_it = all.lines().filter_map(|line| line.strip_prefix(&format!("{writer} ")));
            let mut expected: Vec<String> = (0..LINES).map(|number| number.to_string()).collect();
            if writer == 0 {
                expected.insert(0, "begun".into());
                expected.push("ended".into());
            }
            assert!(of_it.eq(expected.iter().map(String::as_str)), "{options}: writer {writer}");
        }
        assert_eq!(all.lines().count(), 4 * LINES + 2);
    }
}

/// A limit of the shell for files (`ulimit -f`) below a block, and below everything.
#[test]
fn a_limit_of_files_is_kept_to_or_told() {
    let place = Place::new();
    let run = |blocks: u32| {
        let bin = env!("CARGO_BIN_EXE_asynclogger");
        let script = format!("ulimit -f {blocks} && exec '{bin}' write app.log");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(place.dir());
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        // A refusal reads nothing.
        let _ = child.stdin.take().expect("a pipe").write_all(lines(1, 50_000).as_bytes());
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let (code, said) = run(4);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("ulimit -f") && said.contains("16384"), "{said}");
    let (code, said) = run(128);
    assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
    assert!(archived(&place) >= 2);
    assert_eq!(place.run("cat --all app.log", "").ends_with(0).text(), lines(1, 50_000));
}

#[test]
fn the_next_one_waits_for_a_directory_of_events_too() {
    let place = Place::new();
    let mut first = Writer::start(&place, "--events logs");
    first.say("a\t1\n");
    wait_until("the log", || place.file("logs/a.log").exists());
    place.run("write --wait-lock 0s --events logs", "a\tx\n").ends_with(3).says("another process");
    let mut second = Writer::start(&place, "--wait-lock 10m --events logs");
    second.say("a\t2\n");
    second.waits_for_the_lock();
    assert_eq!((first.ends().0, second.ends().0), (Some(0), Some(0)));
    assert_eq!(place.cat("logs/a.log"), b"1\n2\n");
}

#[test]
fn a_signal_ends_the_waiting_for_a_lock() {
    let place = Place::new();
    let first = Writer::ready(&place, "");
    let second = Writer::start(&place, "--wait-lock 10m --grace 0s app.log");
    second.waits_for_the_lock();
    second.send(Signal::TERM);
    let (code, said) = second.goes();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("another process"), "{said}");
    assert_eq!(first.ends().0, Some(0));
}

/// A writer, its input, and the end of the pipe of its standard error that nobody reads yet.
fn with_standard_error_unread(place: &Place) -> (Child, ChildStdin, OwnedFd) {
    let mut command = place.command("write --buffer-size 64K --shards 1 app.log");
    let (reading, writing) = rustix::pipe::pipe().expect("a pipe");
    let mut child = command.stderr(Stdio::from(writing)).spawn().expect("it runs");
    let input = child.stdin.take().expect("a pipe");
    (child, input, reading)
}

/// A hundred thousand complaints are more than a pipe takes.
#[test]
fn standard_error_that_nobody_reads_holds_nothing_up() {
    const LONG: usize = 2000;
    let place = Place::new();
    let (mut child, mut input, reading) = with_standard_error_unread(&place);
    let long = "x".repeat(70_000);
    for n in 1..=LONG {
        writeln!(input, "{n}\n{long}").expect("somebody reads");
    }
    drop(input);
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    let mut said = String::new();
    fs::File::from(reading).read_to_string(&mut said).expect("text");
    assert!(said.starts_with("asynclogger: line 2 has 70000 bytes"), "{said}");
    assert_eq!(place.cat("app.log"), numbers(LONG as u64).as_bytes());
}

#[test]
fn what_could_not_be_printed_is_counted() {
    const LONG: usize = 3000;
    let place = Place::new();
    let (mut child, mut input, reading) = with_standard_error_unread(&place);
    let long = "x".repeat(70_000);
    (0..LONG).for_each(|_| writeln!(input, "{long}").expect("somebody reads"));
    wait_until("all is read", || rustix::io::ioctl_fionread(&input).expect("a pipe") == 0);
    // The reader begins now. Each line is either printed or counted as not printed.
    let reader = thread::spawn(move || {
        let mut said = String::new();
        fs::File::from(reading).read_to_string(&mut said).map(|_| said)
    });
    drop(input);
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    let said = reader.join().expect("no panic").expect("text");
    let printed = said.lines().filter(|line| line.contains("has 70000 bytes")).count();
    let missing = said
        .lines()
        .filter_map(|line| line.strip_suffix(" could not be printed: nobody read standard error"));
    let missing: usize = missing
        .map(|line| {
            line.trim_start_matches("asynclogger: ")
                .split(' ')
                .next()
                .expect("a number")
                .replace(',', "")
                .parse::<usize>()
                .expect("a number")
        })
        .sum();
    assert!(missing > 0, "{said}");
    // The summary is a line, too.
    let summary = said.lines().filter(|line| line.contains("0 records")).count();
    assert_eq!(printed + missing + summary, LONG + 1, "{said}");
}

#[test]
fn when_the_input_pauses_what_came_is_there() {
    for (args, file) in [("app.log", "app.log"), ("--events .", "app.log")] {
        let place = Place::new();
        let before = if args == file { "" } else { "app\t" };
        let mut writer = Writer::start(&place, &format!("--flush-interval 1d {args}"));
        for n in 1..=3 {
            writer.say(&format!("{before}{n}\n"));
            wait_until("the line", || {
                place.file(file).exists()
                    && place.run(&format!("cat {file}"), "").stdout == lines(1, n).as_bytes()
            });
        }
        assert_eq!(writer.ends().0, Some(0));
    }
}

#[test]
fn a_busy_log_has_full_blocks() {
    let place = Place::new();
    let input = "x".repeat(99) + "\n";
    place.put("input", input.repeat(200_000).as_bytes());
    let mut command = place.command("write --buffer-size 8M --shards 8 app.log");
    let file = fs::File::open(place.file("input")).expect("a file");
    let status = command.stdin(file).status().expect("it runs");
    assert_eq!(status.code(), Some(0));
    let json = place.run("stat --json app.log", "").ends_with(0).json();
    // Twenty megabytes and the length of each record, in blocks of one.
    assert_eq!(json[0]["blocks"], 20, "{:?}", json[0]);
}

#[test]
fn new_files_have_the_mode_that_was_typed() {
    let place = Place::new();
    place.run("write --mode 0620 --rotate-size 16K app.log", numbers(5000)).ends_with(0);
    assert!(archived(&place) > 1);
    for entry in fs::read_dir(place.dir()).expect("a directory") {
        let entry = entry.expect("an entry");
        if entry.file_name().to_string_lossy().starts_with("app") {
            let mode = entry.metadata().expect("a file").permissions().mode() & 0o777;
            assert_eq!(mode, 0o620, "{}", entry.path().display());
        }
    }
}

#[test]
fn sizes_below_a_block_are_taken() {
    for (size, most, count) in
        [("16K", 16 << 10, 30_000), ("1M", 1 << 20, 600_000), ("4M", 4 << 20, 600_000)]
    {
        let place = Place::new();
        let input = numbers(count);
        place.run(&format!("write --rotate-size {size} app.log"), input.as_str()).ends_with(0);
        assert!(archived(&place) > 0, "{size}");
        for entry in fs::read_dir(place.dir()).expect("a directory") {
            let entry = entry.expect("an entry");
            let len = entry.metadata().expect("a file").len();
            assert!(len <= most, "{}: {len}, {size} at most", entry.path().display());
        }
        assert_eq!(place.run("cat --all app.log", "").ends_with(0).text(), input);
    }
}

/// A small file system, unmounted at the end.
pub(crate) struct Small<'a>(&'a Place);

impl<'a> Small<'a> {
    pub(crate) fn mount(place: &'a Place) -> Option<Small<'a>> {
        fs::create_dir(place.file("small")).expect("made");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(place.file("small"));
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("skipped: a file system cannot be mounted here");
        }
        is_mounted.then_some(Small(place))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.file("small")).output();
    }
}

#[test]
fn a_full_disk_is_left_for_the_other_directory() {
    let place = Place::new();
    let Some(_mounted) = Small::mount(&place) else { return };
    let input = numbers(500_000);
    let args = "--buffer-size 1M --shards 2 --failover spare small/app.log";
    let run = place.run(&format!("write {args}"), input.as_str()).ends_with(0);
    assert!(run.stderr.contains("500,000 records"), "{}", run.stderr);
    let here = place.run("cat --all small/app.log", "").text();
    let there = place.run("cat --all spare/app.log", "").text();
    assert!(!here.is_empty() && !there.is_empty());
    // What was written and not yet durable when it was left may be in both.
    let all: BTreeSet<&str> = here.lines().chain(there.lines()).collect();
    assert_eq!(all, input.lines().collect());
}

#[test]
fn a_full_disk_makes_room_if_it_may() {
    let place = Place::new();
    let Some(_mounted) = Small::mount(&place) else { return };
    let input = numbers(500_000);
    let args = "--buffer-size 128K --shards 1 --rotate-size 128K --when-full delete-oldest";
    place.run(&format!("write {args} small/app.log"), input.as_str()).ends_with(0);
    // The oldest are gone, the newest are here.
    let left = place.run("tail -n 1000 small/app.log", "").text();
    assert_eq!(left, lines(499_001, 500_000));
}
