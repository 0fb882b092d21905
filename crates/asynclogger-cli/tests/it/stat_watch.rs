//! `stat --watch` while a log grows.

use std::io::{BufRead, BufReader};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, numbers};

#[test]
fn new_records_are_counted_until_a_signal() {
    let place = Place::new();
    place.write("app.log", numbers(10));
    let mut child = place.command("stat --watch=0.1 app.log").spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    let first = next();
    assert!(first.contains("  1 log  10 records  11 B  dropped 0"), "{first}");
    assert!(!first.contains("/s") && !first.contains('\x1b'), "{first}");
    // Into another segment of the log.
    place.archive(1);
    place.write("app.log", numbers(25));
    let grown = loop {
        let line = next();
        if !line.contains("  10 records") {
            break line;
        }
    };
    assert!(grown.contains("  35 records") && grown.contains(" records/s"), "{grown}");
    let pid = Pid::from_raw(child.id() as i32).expect("a process");
    kill_process(pid, Signal::INT).expect("sent");
    while lines.next().is_some() {}
    assert_eq!(child.wait().expect("its end").code(), Some(0));
}

/// A segment that cannot be read to its end is said once, however often it is looked at.
#[test]
fn a_segment_that_cannot_be_read_is_said() {
    let place = Place::new();
    place.write("app.log", numbers(10));
    place.archive(1);
    place.make_later(&place.archived(1));
    place.write("app.log", numbers(25));
    let mut child = place.command("stat --watch=0.1 .").spawn().expect("it runs");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let seen: Vec<String> = lines.take(3).map(|line| line.expect("text")).collect();
    assert!(seen[2].contains("  35 records"), "{seen:?}");
    let pid = Pid::from_raw(child.id() as i32).expect("a process");
    kill_process(pid, Signal::INT).expect("sent");
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains(&place.archived(1)) && said.contains("version 9"), "{said}");
    assert_eq!((said.lines().count(), output.status.code()), (1, Some(0)), "{said}");
}

#[test]
fn what_cannot_be_watched_is_said() {
    let place = Place::new();
    place.run("stat --watch gone.log", "").ends_with(3).says("gone.log");
    place.run("stat --watch=0 a", "").ends_with(2);
    place.run("stat --watch --json a", "").ends_with(2);
}
