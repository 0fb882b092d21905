//! `--by-time`: one order over threads and logs.

use std::{io::Write, process::Stdio};

use rustix::process::Signal;

use crate::{support::Place, tail::Tail};

const ARCHIVED: &str = "b_2026-01-01_00-00-01.log";

/// Two logs whose sessions take turns, and the lines in the order in which they were logged.
fn two_logs(place: &Place) -> String {
    let mut lines = String::new();
    for number in 0..6 {
        let name = ["b.log", "a.log"][number % 2];
        let line = format!("{name} {number}\n");
        place.write(name, line.clone());
        if number == 2 {
            std::fs::rename(place.file("b.log"), place.file(ARCHIVED)).unwrap();
        }
        lines += &line;
    }
    lines
}

#[test]
fn logs_are_printed_in_one_order() {
    let place = Place::new();
    let lines = two_logs(&place);
    let cat = |args: &str| place.run(&format!("cat --by-time {args}"), "").ends_with(0).text();
    for paths in [".", "--all a.log b.log", &format!("a.log {ARCHIVED} b.log")] {
        assert_eq!(cat(paths), lines, "{paths}");
    }
    // A file alone, of a log with two.
    assert_eq!(cat("b.log"), "b.log 4\n");
    let json = place.run("cat --by-time --format json .", "").ends_with(0).json();
    let of = |key: &str| json.iter().map(|it| it[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("event"), ["b", "a", "b", "a", "b", "a"]);
    assert_eq!(of("segment"), [1, 1, 1, 1, 2, 1]);
    let times: Vec<_> = json.iter().map(|it| it["time"].as_i64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(cat("--since 1h ."), lines);
    assert_eq!(cat("--until 1h ."), "");
    place.run("cat --by-time --layout seed .", "").ends_with(2);
    let run = place.run("cat --by-time . gone.log", "").ends_with(3).says("gone.log");
    assert_eq!(run.text(), lines);
}

#[test]
fn damage_is_told_and_what_survived_is_printed() {
    let place = Place::new();
    let lines = two_logs(&place);
    let mut bytes = std::fs::read(place.file("a.log")).unwrap();
    let at = bytes.windows(7).position(|window| window == b"a.log 3").unwrap();
    bytes[at] ^= 1;
    place.put("a.log", &bytes);
    for args in ["cat --by-time .", "cat --by-time a.log b.log", "tail --by-time ."] {
        let run = place.run(args, "").ends_with(1).says("chunk").says("a.log");
        let left = lines.replace("a.log 3\n", "");
        let left = if args.contains("b.log") { left.replace("b.log 0\n", "") } else { left };
        let left = if args.contains("b.log") { left.replace("b.log 2\n", "") } else { left };
        assert_eq!(run.text(), left, "{args}");
    }
}

#[test]
fn the_last_ones_are_the_last_by_time() {
    let place = Place::new();
    let lines = two_logs(&place);
    let lines: Vec<_> = lines.lines().collect();
    for count in [0, 1, 2, 5, 6, 7] {
        let last = lines[6 - count.min(6)..].iter();
        let expected: String = last.map(|line| format!("{line}\n")).collect();
        for paths in [".", "a.log b.log"] {
            let run = place.run(&format!("tail --by-time -n {count} {paths}"), "").ends_with(0);
            assert_eq!(run.text(), expected, "{count} of {paths}");
        }
    }
    place.run("tail a.log b.log", "").ends_with(2);
    place.run("tail -F --by-time a.log", "").ends_with(2);
    place.run("tail -f --hold-back 1s a.log", "").ends_with(2);
    std::fs::create_dir(place.file("empty")).unwrap();
    place.run("tail --by-time empty", "").ends_with(2).says("no log");
}

#[test]
fn logs_are_followed_in_one_order() {
    let place = Place::new();
    two_logs(&place);
    let tail = Tail::start(&place, "--by-time -n 1 .");
    tail.prints("a.log 5\n");
    // Closed logs hold nothing back.
    place.write("b.log", "six\n");
    tail.prints("six\n");
    std::fs::rename(place.file("a.log"), place.file("a_2026-01-01_00-00-01.log")).unwrap();
    place.write("a.log", "seven\n");
    tail.prints("seven\n");
    // A log that is new in the directory.
    place.write("c.log", "eight\n");
    tail.prints("eight\n");
    // A log that is being written holds records back, but not for ever.
    let early = Tail::start(&place, "--by-time -n 1 --hold-back 50ms .");
    early.prints("eight\n");
    let mut writer = place.command("write --flush-interval 10ms b.log");
    let mut writer = writer.stderr(Stdio::null()).spawn().expect("it runs");
    let mut stdin = writer.stdin.take().expect("a pipe");
    stdin.write_all(b"nine\n").expect("written");
    early.prints("nine\n");
    drop(stdin);
    assert_eq!(writer.wait().expect("ended").code(), Some(0));
    tail.prints("nine\n");
    [tail, early].into_iter().for_each(|tail| tail.ends_after(Signal::TERM));
}
