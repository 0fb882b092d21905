//! `write` on a full disk: what ends it, and when.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{Small, Writer};
use crate::{support::Place, tail::lines};

/// How long the end takes on a disk that takes nothing: the promise of docs/durability.md.
const PATIENCE: Duration = Duration::from_secs(3);
/// Two waits of that time would be longer.
const LATE: Duration = Duration::from_millis(5500);
/// More lines than disk and memory have room for, and fewer than the pipe has room for beside these.
const LINES: u64 = 60_000;
/// More lines than disk, memory, and pipe have room for.
const MORE: u64 = 150_000;
/// The same, but the disk has room for them when it is empty. (It would not have it for their times.)
const FEWER: u64 = 80_000;
const MEMORY: &str = "--buffer-size 64K --shards 1 --rotate-size 96K --no-timestamps";

/// A small file system with little room.
fn full(place: &Place) -> Option<Small<'_>> {
    let mounted = Small::mount(place)?;
    fs::write(place.file("small/fill"), vec![0; 700 << 10]).expect("written");
    Some(mounted)
}

/// The counts of the summary: accepted, dropped and lost.
fn counts(said: &str) -> [u64; 3] {
    let summary = said.lines().find(|line| line.contains(" dropped ")).expect(said);
    let number = |text: &str| -> u64 {
        let digits = text.chars().take_while(|char| char.is_ascii_digit() || *char == ',');
        digits.filter(char::is_ascii_digit).collect::<String>().parse().expect(summary)
    };
    let behind = |word: &str| summary.split_once(word).map_or(0, |(_, rest)| number(rest));
    let accepted = summary.split(" records, ").next().expect(summary);
    let accepted = accepted.rsplit(' ').next().map(number).expect(summary);
    [accepted, behind(" dropped "), behind(" lost ")]
}

/// Each line is accepted or refused, and what was accepted is in the files or counted as lost.
fn nothing_is_uncounted(place: &Place, log: &str, text: &str, said: &str) {
    let [accepted, dropped, lost] = counts(said);
    assert!(dropped > 0 && lost > 0, "{said}");
    assert_eq!(accepted + dropped, text.lines().count() as u64, "{said}");
    let stored = place.run(&format!("cat --all {log}"), "").text();
    // Two blocks are in flight, and the disk may have room for the later one.
    let mut lines = text.lines();
    let stranger = stored.lines().find(|stored| !lines.any(|line| line == *stored));
    assert_eq!(stranger, None, "{log}, not in the order of the input: {said}");
    // A block can be in the file before the disk has confirmed it.
    assert!(stored.lines().count() as u64 >= accepted - lost, "{said}");
}

#[test]
fn an_input_that_has_ended_is_the_end_on_a_full_disk_too() {
    for way in ["pipe", "file", "events"] {
        let place = Place::new();
        let Some(_mounted) = full(&place) else { return };
        let records = match way {
            // The rest of a file that is not read yet is no end: so the second read takes the rest, and waits.
            "file" => (1..=7000).map(|line| format!("{line:056}\n")).collect(),
            _ => lines(1, LINES),
        };
        let before = if way == "events" { "a\t" } else { "" };
        let text: String = records.lines().map(|line| format!("{before}{line}\n")).collect();
        let args = match way {
            "events" => format!("write {MEMORY} --events small"),
            _ => format!("write {MEMORY} small/app.log"),
        };
        let begun = Instant::now();
        let (code, said) = if way == "file" {
            let mut command = place.command(&args);
            command.stdin(Stdio::from(
                fs::File::open(place.put("lines", text.as_bytes())).expect("a file"),
            ));
            let output = command.spawn().expect("it runs").wait_with_output().expect("it ends");
            (output.status.code().expect("a code"), String::from_utf8(output.stderr).expect("text"))
        } else {
            let run = place.run(&args, text);
            (run.code, run.stderr)
        };
        assert!(begun.elapsed() >= PATIENCE, "{way}: {said}");
        assert_eq!(code, 3, "{way}: {said}");
        assert!(said.contains("the disk takes nothing"), "{way}: {said}");
        let log = if way == "events" { "small/a.log" } else { "small/app.log" };
        nothing_is_uncounted(&place, log, &records, &said);
    }
}

#[test]
fn a_feeder_that_stays_is_waited_for() {
    let place = Place::new();
    let Some(_mounted) = full(&place) else { return };
    let mut writer = Writer::start(&place, &format!("{MEMORY} small/app.log"));
    writer.say(&lines(1, FEWER));
    // Longer than the end may take: this is no end.
    thread::sleep(PATIENCE + Duration::from_secs(1));
    assert!(!writer.has_ended());
    fs::remove_file(place.file("small/fill")).expect("removed");
    let (code, said) = writer.ends();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(place.run("cat --all small/app.log", "").text(), lines(1, FEWER));
}

#[test]
fn a_signal_ends_a_full_disk_in_the_time_that_is_promised() {
    for (grace, events) in [(0, false), (1, false), (0, true)] {
        let place = Place::new();
        let Some(_mounted) = full(&place) else { return };
        let (log, before) = if events { ("--events small", "a\t") } else { ("small/app.log", "") };
        let mut writer = Writer::start(&place, &format!("--grace {grace}s {MEMORY} {log}"));
        let text: String = (1..=MORE).map(|line| format!("{before}{line}\n")).collect();
        writer.say(&text);
        // The line that waits, and those behind it. Before the disk is full, its waits are short.
        let mut looks = (String::new(), 0);
        super::wait_until("memory is full", || {
            let left = rustix::io::ioctl_fionread(writer.input.as_ref().expect("a pipe"));
            let waits = writer.status("voluntary_ctxt_switches");
            looks.1 = if looks.0 == waits { looks.1 + 1 } else { 0 };
            looks.0 = waits;
            left.expect("a pipe") > 0 && writer.status("State").starts_with('S') && looks.1 > 30
        });
        let sent = Instant::now();
        writer.send(Signal::TERM);
        let (code, said) = writer.goes();
        let took = sent.elapsed();
        let due = Duration::from_secs(grace) + PATIENCE;
        assert_eq!(code, Some(3), "{said}");
        assert!(took >= due && took < due - PATIENCE + LATE, "{took:?}: {said}");
        let [accepted, dropped, lost] = counts(&said);
        // What was still in the pipe is not read.
        assert!(accepted + dropped < MORE && dropped > 0 && lost > 0, "{said}");
    }
}
