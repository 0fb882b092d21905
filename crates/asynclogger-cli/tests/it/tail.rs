use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, numbers};

/// Lines from `first` to `last`.
pub(crate) fn lines(first: u64, last: u64) -> String {
    (first..=last).map(|n| format!("{n}\n")).collect()
}

/// Two archived segments of 1,000 lines each, and an active one of 5.
fn three_segments(place: &Place) {
    for (number, range) in [(1, (1, 1000)), (2, (1001, 2000))] {
        place.write("app.log", lines(range.0, range.1));
        place.archive(number);
    }
    place.write("app.log", lines(2001, 2005));
}

#[test]
fn the_last_records_come_from_as_many_segments_as_it_takes() {
    let place = Place::new();
    three_segments(&place);
    let tail = |args: &str| place.run(&format!("tail {args}"), "").ends_with(0).text();
    assert_eq!(tail("app.log"), lines(1996, 2005));
    for count in [0, 1, 5, 6, 1004, 1005, 1006, 2005, 9999] {
        let expected = lines(2006 - count.min(2005), 2005);
        assert_eq!(tail(&format!("-n {count} app.log")), expected, "{count}");
    }
    // A file that is not the last one: up to its end.
    assert_eq!(tail(&format!("-n 3 {}", place.archived(1))), lines(998, 1000));
    assert_eq!(tail(&format!("-n 1500 {}", place.archived(2))), lines(501, 2000));
    assert_eq!(tail("-n 2 ."), lines(2004, 2005));
    assert_eq!(tail("-0 -n 2 app.log"), "2004\x002005\x00");
    let json = place.run("tail -n 6 --format json app.log", "").ends_with(0).json();
    let segments: Vec<_> = json.iter().map(|it| it["segment"].as_u64().unwrap()).collect();
    assert_eq!(segments, [2, 3, 3, 3, 3, 3]);
    assert_eq!(json[0]["data"], "2000");
}

#[test]
fn it_needs_one_log() {
    let place = Place::new();
    place.run("tail gone.log", "").ends_with(3).says("gone.log");
    place.run("tail .", "").ends_with(2).says("0 logs");
    place.write("a.log", "a\n");
    place.write("b.log", "b\n");
    place.run("tail .", "").ends_with(2).says("2 logs");
    place.run("tail -n -1 a.log", "").ends_with(2);
    place.put("text.log", b"only some text, longer than a header\n");
    place.run("tail text.log", "").ends_with(1).says("not a log");
}

#[test]
fn damage_at_the_end_is_told_and_damage_before_it_is_not_looked_for() {
    let place = Place::new();
    three_segments(&place);
    let first = place.archived(1);
    let mut bytes = std::fs::read(place.file(&first)).unwrap();
    let at = bytes.windows(4).position(|window| window == b"500\x03").unwrap();
    bytes[at] ^= 1;
    place.put(&first, &bytes);
    place.run("tail -n 1005 app.log", "").ends_with(0);
    place.run("tail -n 1006 app.log", "").ends_with(1).says("chunk").says(&first);
}

/// A `tail -f`, and what it prints and says.
pub(crate) struct Tail {
    child: Child,
    lines: Receiver<String>,
    said: Receiver<String>,
}

/// The lines of a pipe, as they come.
fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

impl Tail {
    pub(crate) fn start(place: &Place, args: &str) -> Tail {
        Tail::run(place, &format!("tail -f {args}"))
    }

    pub(crate) fn run(place: &Place, args: &str) -> Tail {
        let mut child = place.command(args).spawn().expect("it runs");
        let lines = lines_of(child.stdout.take().expect("a pipe"));
        let said = lines_of(child.stderr.take().expect("a pipe"));
        Tail { child, lines, said }
    }

    /// Waits for a line on standard error that has this in it.
    #[track_caller]
    pub(crate) fn says(&self, what: &str) {
        let line = self.said.recv_timeout(Duration::from_secs(60)).expect("a line in time");
        assert!(line.contains(what), "{line}");
    }

    #[track_caller]
    pub(crate) fn prints(&self, expected: &str) {
        for expected in expected.lines() {
            let line = self.lines.recv_timeout(Duration::from_secs(60)).expect("a line in time");
            assert_eq!(line, expected);
        }
    }

    #[track_caller]
    pub(crate) fn ends_after(mut self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("sent");
        assert_eq!(self.child.wait().expect("ended").code(), Some(0));
        assert_eq!(self.said.recv().ok(), None, "nothing else was said");
        assert_eq!(self.lines.recv().ok(), None, "nothing came twice");
    }
}

#[test]
fn a_log_is_followed_from_segment_to_segment() {
    let place = Place::new();
    place.write("app.log", lines(1, 5));
    let tail = Tail::start(&place, "-n 2 app.log");
    tail.prints(&lines(4, 5));
    // The same segment goes on, is archived, and the next one begins under its name.
    place.write("app.log", lines(6, 8));
    tail.prints(&lines(6, 8));
    place.archive(1);
    place.write("app.log", lines(9, 10));
    tail.prints(&lines(9, 10));
    // Two rotations between two looks, more or less, and a segment that is compressed meanwhile.
    place.archive(2);
    place.write("app.log", lines(11, 2000));
    place.archive(3);
    place.write("app.log", lines(2001, 2002));
    place.compress(&place.archived(3));
    tail.prints(&lines(11, 2002));
    tail.ends_after(Signal::INT);
}

#[test]
fn what_is_written_just_now_is_shown() {
    let place = Place::new();
    let mut writer = place.command("write --flush-interval 10ms app.log");
    let mut writer = writer.stderr(Stdio::null()).spawn().expect("it runs");
    let mut stdin = writer.stdin.take().expect("a pipe");
    stdin.write_all(b"one\n").expect("written");
    while place.run("cat app.log", "").stdout != b"one\n" {
        thread::yield_now();
    }
    let tail = Tail::start(&place, "app.log");
    tail.prints("one");
    for line in ["two", "three"] {
        stdin.write_all(format!("{line}\n").as_bytes()).expect("written");
        tail.prints(line);
    }
    drop(stdin);
    assert_eq!(writer.wait().expect("ended").code(), Some(0));
    tail.ends_after(Signal::TERM);
}

#[test]
fn a_log_that_is_not_there_yet_is_waited_for() {
    let place = Place::new();
    let tails = ["tail -F later/app.log", "tail -F -n 1 later", "tail -F --event app later"];
    let tails = tails.map(|args| Tail::run(&place, args));
    tails.iter().for_each(|tail| tail.says("waiting for it"));
    std::fs::create_dir(place.file("later")).unwrap();
    place.write("later/app.log", lines(1, 3));
    tails.iter().for_each(|tail| tail.prints(&lines(1, 3)));
    place.write("later/app.log", lines(4, 5));
    tails.iter().for_each(|tail| tail.prints(&lines(4, 5)));
    tails.into_iter().for_each(|tail| tail.ends_after(Signal::TERM));
    place.run("tail later/other.log", "").ends_with(3).says("No such file");
}

#[test]
fn a_log_that_was_begun_anew_is_told_and_followed_by_name() {
    let place = Place::new();
    place.write("app.log", lines(1, 5));
    let by_name = Tail::run(&place, "tail -F -n 1 app.log");
    let of_dir = Tail::run(&place, "tail -F -n 1 .");
    let by_file = Tail::start(&place, "-n 1 app.log");
    let all = [&by_name, &of_dir, &by_file];
    all.iter().for_each(|tail| tail.prints(&lines(5, 5)));
    // A rotation is no new log.
    place.archive(1);
    place.write("app.log", lines(6, 7));
    all.iter().for_each(|tail| tail.prints(&lines(6, 7)));
    for name in [place.archived(1).as_str(), "app.log"] {
        std::fs::remove_file(place.file(name)).unwrap();
    }
    place.write("app.log", lines(100, 102));
    by_name.says("another log");
    by_name.prints(&lines(100, 102));
    of_dir.says("another log");
    of_dir.prints(&lines(100, 102));
    by_file.says("-F would go on with it");
    place.write("app.log", lines(103, 104));
    by_name.prints(&lines(103, 104));
    of_dir.prints(&lines(103, 104));
    [by_name, of_dir, by_file].into_iter().for_each(|tail| tail.ends_after(Signal::INT));
}

#[test]
fn who_follows_ends_when_nobody_reads() {
    let place = Place::new();
    place.write("app.log", numbers(3));
    let mut child = place.command("tail -f app.log").spawn().expect("it runs");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "1\n");
    drop(out);
    assert_eq!(child.wait().expect("ended").code(), Some(0));
}
