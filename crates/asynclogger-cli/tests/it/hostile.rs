//! Directories that are not ours alone.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    process::Command,
};

use rustix::process::Signal;

use crate::{
    support::{Place, numbers},
    tail::{Tail, lines},
};

/// An archived segment of 1,000 lines and an active one of 10.
fn two_segments(place: &Place) {
    place.write("app.log", lines(1, 1000));
    place.archive(1);
    place.write("app.log", lines(1001, 1010));
}

fn make_fifo(place: &Place, name: &str) {
    let made = Command::new("mkfifo").arg(place.file(name)).status().expect("mkfifo");
    assert!(made.success());
}

#[test]
fn one_bad_file_costs_only_itself_and_is_told_by_name() {
    let place = Place::new();
    two_segments(&place);
    symlink("loop.log", place.file("loop.log")).unwrap();
    symlink("/dev/zero", place.file("zero.log")).unwrap();
    fs::create_dir(place.file("dir.log")).unwrap();
    make_fifo(&place, "fifo.log");
    let _socket = UnixListener::bind(place.file("socket.log")).unwrap();
    place.put("text.log", b"only some text, longer than a header\n");
    let names = ["loop.log", "zero.log", "dir.log", "fifo.log", "socket.log"];
    // A loop is a file that cannot be read; the others are no logs, and no logs are missed.
    for (args, code) in [("cat .", 3), ("cat --all app.log", 0)] {
        let run = place.run(args, "").ends_with(code);
        assert_eq!(run.text(), lines(1, 1010), "{args}");
        names.iter().for_each(|name| assert!(run.stderr.contains(name), "{args}: {}", run.stderr));
    }
    let run = place.run("tail -n 2 app.log", "").ends_with(0).says("loop.log").says("fifo.log");
    assert_eq!(run.text(), lines(1009, 1010));
    for args in ["verify .", "stat .", "verify --json ."] {
        let run = place.run(args, "").ends_with(3).says("loop.log").says("text.log");
        assert!(run.text().contains("1,010") || run.text().contains("1010"), "{args}");
    }
    let totals = place.run("verify --json .", "").json().pop().unwrap();
    assert_eq!((totals["unread"].as_u64(), totals["records"].as_u64()), (Some(1), Some(1010)));
    fs::remove_file(place.file("loop.log")).unwrap();
    place.run("verify .", "").ends_with(0).says("fifo.log");
    // A segment of the log itself that cannot be read is missed.
    let second = place.file("app_2026-01-01_00-00-02.log");
    symlink(&second, &second).unwrap();
    assert_eq!(place.run("cat --all app.log", "").ends_with(3).text(), lines(1, 1010));
}

#[test]
fn a_bad_file_that_appears_does_not_end_a_tail() {
    let place = Place::new();
    two_segments(&place);
    let tail = Tail::start(&place, "-n 1 app.log");
    tail.prints(&lines(1010, 1010));
    symlink("loop.log", place.file("loop.log")).unwrap();
    tail.says("loop.log");
    place.archive(2);
    place.write("app.log", lines(1011, 1012));
    tail.prints(&lines(1011, 1012));
    tail.ends_after(Signal::TERM);
}

#[test]
fn a_log_of_any_name_is_found_in_its_directory() {
    for name in ["app.txt", ".app.log", "app", "app.2026"] {
        let place = Place::new();
        let args = "--buffer-size 64K --shards 1 --rotate-size 96K";
        place.run(&format!("write {args} {name}"), numbers(50_000)).ends_with(0);
        assert!(fs::read_dir(place.dir()).unwrap().count() > 5);
        let verdict = place.run("verify .", "").ends_with(0).text();
        assert!(verdict.contains("whole: 50,000 records"), "{name}: {verdict}");
        for args in ["cat .".to_owned(), format!("cat --all {name}")] {
            assert_eq!(place.run(&args, "").ends_with(0).text(), numbers(50_000), "{args}");
        }
        assert_eq!(place.run("tail -n 1 .", "").ends_with(0).text(), "50000\n");
        place.write("other.log", "x\n");
        let table = place.run("stat .", "").ends_with(0).text();
        assert!(table.contains(&format!(" {name} ")), "{table}");
    }
}

#[test]
fn a_name_that_no_log_can_have_is_refused() {
    let place = Place::new();
    for name in ["app.log.zst", ".app.next", ".app.lock"] {
        place.run(&format!("write {name}"), "x\n").ends_with(2).says(name);
    }
    assert_eq!(fs::read_dir(place.dir()).unwrap().count(), 0);
    // Somebody renamed it.
    place.write("app.log", numbers(3));
    fs::rename(place.file("app.log"), place.file("app.log.zst")).unwrap();
    assert_eq!(place.run("cat app.log.zst", "").ends_with(0).text(), numbers(3));
    assert_eq!(place.run("cat .", "").ends_with(0).text(), numbers(3));
}

#[test]
fn a_copy_is_told_and_shown_once() {
    let place = Place::new();
    two_segments(&place);
    fs::copy(place.file("app.log"), place.file("app-copy.log")).unwrap();
    let tail = Tail::start(&place, "-n 1 app.log");
    tail.says("app-copy.log: a copy of segment 2");
    tail.prints(&lines(1010, 1010));
    place.write("app.log", lines(1011, 1013));
    tail.prints(&lines(1011, 1013));
    tail.ends_after(Signal::TERM);
    let run = place.run("tail -n 3 app.log", "").ends_with(0).says("a copy of segment 2");
    assert_eq!(run.text(), lines(1011, 1013));
    assert_eq!(place.run("tail -n 1 app-copy.log", "").text(), lines(1010, 1010));
    for args in ["cat .", "cat --all app.log"] {
        let run = place.run(args, "").ends_with(0).says("app-copy.log: a copy of segment 2");
        assert_eq!(run.text(), lines(1, 1013), "{args}");
    }
    let totals = place.run("verify --json .", "").ends_with(0).says("a copy").json().pop().unwrap();
    assert_eq!((totals["files"].as_u64(), totals["records"].as_u64()), (Some(2), Some(1013)));
}

#[test]
fn small_sizes_are_shown() {
    let place = Place::new();
    place.write("app.log", numbers(10));
    for args in ["stat .", "verify ."] {
        let shown = place.run(args, "").ends_with(0).text();
        assert!(shown.contains("11 B") && shown.contains(" kB"), "{shown}");
        assert!(!shown.contains("0.0 MB"), "{shown}");
    }
}
