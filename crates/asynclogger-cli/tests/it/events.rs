use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    os::fd::OwnedFd,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::Place;

/// `count` lines of as many events as there are names, in turn: name, tab, number.
fn lines_of(names: &[String], count: usize) -> String {
    (0..count).map(|n| format!("{}\t{n}\n", names[n % names.len()])).collect()
}

/// What each event has to have then.
fn sorted(lines: &str) -> BTreeMap<String, String> {
    let mut events = BTreeMap::<String, String>::new();
    for line in lines.lines() {
        let (name, record) = line.split_once('\t').expect("a tab");
        let event = events.entry(name.to_owned()).or_default();
        event.push_str(record);
        event.push('\n');
    }
    events
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("event-{n:04}")).collect()
}

/// Runs a command with `--event`, whose name may have blanks.
#[track_caller]
fn of_event(place: &Place, command: &str, event: &str) -> Vec<u8> {
    let mut args = place.command(command);
    let output = args.args(["--event", event, "logs"]).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{event}");
    output.stdout
}

#[track_caller]
fn cat(place: &Place, event: &str) -> String {
    String::from_utf8(of_event(place, "cat", event)).expect("text")
}

/// The totals of `stat --json logs`, the last object.
#[track_caller]
fn totals(place: &Place, code: i32) -> Value {
    place.run("stat --json logs", "").ends_with(code).json().pop().expect("the totals")
}

fn log_files(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.file("logs")).expect("list");
    let mut names: Vec<_> = names
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[test]
fn each_event_gets_its_lines_in_their_order() {
    let place = Place::new();
    let names = names(7);
    let input = lines_of(&names, 100_000);
    let run = place.run("write --events logs", input.as_str()).ends_with(0);
    assert!(run.stdout.is_empty());
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    for part in ["7 events, 100,000 records", "MB/s", "dropped 0", "logs", "dsync"] {
        assert!(run.stderr.contains(part), "no {part:?} in {}", run.stderr);
    }
    assert!(!run.stderr.contains("lines without") && !run.stderr.contains("not be opened"));
    assert_eq!(log_files(&place), names.iter().map(|n| format!("{n}.log")).collect::<Vec<_>>());
    let expected = sorted(&input);
    for (name, lines) in &expected {
        assert!(cat(&place, name) == *lines, "{name}");
    }
    // All of it, one event after the other.
    let all: String = expected.into_values().collect();
    assert!(place.run("cat logs", "").ends_with(0).text() == all);
    place.run("verify logs", "").ends_with(0);
}

#[test]
fn what_is_behind_the_first_tab_is_the_record() {
    let place = Place::new();
    let input = b"a\t\na\tx\ty\t\nb\t \na\t\xff\0\r\nb\tlast";
    place.run("write --events logs", input).ends_with(0).says("2 events, 5 records");
    assert_eq!(of_event(&place, "cat", "a"), b"\nx\ty\t\n\xff\0\r\n");
    assert_eq!(of_event(&place, "cat", "b"), b" \nlast\n");
}

#[test]
fn names_that_no_file_can_have_are_found_by_the_full_name() {
    let place = Place::new();
    let long = "n".repeat(1024);
    let names = [
        ("payment/event", "payment_event.log"),
        ("../../etc/passwd", "___.._etc_passwd.log"),
        ("login event", "login_event.log"),
        ("-rf", "_rf.log"),
        (".hidden", "_hidden.log"),
        ("gr\u{fc}n:\u{e9}", "gr\u{fc}n_\u{e9}.log"),
        (&long, ""),
        ("app_2026-01-02_03-04-05", ""),
    ];
    let input: String = names.iter().map(|(name, _)| format!("{name}\tof {name}\n")).collect();
    place.run("write --events logs", input).ends_with(0).says("8 events, 8 records");
    let files = log_files(&place);
    assert_eq!(files.len(), 8);
    for (name, file) in names {
        assert!(file.is_empty() || files.iter().any(|found| found == file), "{file} in {files:?}");
        let mut command = place.command("cat");
        command.arg(format!("--event={name}")).arg("logs");
        assert_eq!(command.output().unwrap().stdout, format!("of {name}\n").as_bytes());
    }
    assert_eq!(files.iter().filter(|name| name.contains('~')).count(), 2, "{files:?}");
    // Nothing was written anywhere else.
    assert_eq!(fs::read_dir(place.dir()).unwrap().count(), 1);
}

#[test]
fn names_that_would_share_a_file_do_not_and_go_on_where_they_were() {
    let place = Place::new();
    let names = ["a/b", "a_b", "a b", "A_B"].map(String::from);
    let mut input = String::new();
    // The second run meets them in another order.
    for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
        let names = order.map(|at| names[at].clone());
        let lines = lines_of(&names, 4000);
        place.run("write --events logs", lines.as_str()).ends_with(0).says("4 events, 4,000");
        input += &lines;
        assert_eq!(log_files(&place).len(), 4, "{:?}", log_files(&place));
    }
    for (name, lines) in sorted(&input) {
        assert!(cat(&place, &name) == lines, "{name}");
    }
    let totals = totals(&place, 0);
    let events = totals["events"].as_array().unwrap();
    for event in events {
        assert_eq!((&event["records"], &event["segments"]), (&2000.into(), &1.into()), "{event}");
        assert_eq!(event["logs"], 1);
    }
    let plain: Vec<_> = events.iter().filter(|event| event["base"] == "a_b").collect();
    assert_eq!((plain.len(), &plain[0]["event"]), (1, &"a/b".into()));
}

#[test]
fn two_runs_continue_the_files() {
    let place = Place::new();
    let names = names(20);
    let input = lines_of(&names, 1000);
    for run in 1..=2_u64 {
        place.run("write --events logs", input.as_str()).ends_with(0);
        let files = place.run("stat --json logs", "").ends_with(0).json();
        assert_eq!(files.len(), 21);
        for file in &files[..20] {
            assert_eq!((&file["sessions"], &file["records"]), (&run.into(), &(50 * run).into()));
            assert_eq!(file["ending"], "clean");
        }
    }
    for (name, lines) in sorted(&input) {
        assert_eq!(cat(&place, &name), lines.repeat(2));
    }
}

#[test]
fn lines_that_name_no_event_are_told_and_counted_and_the_rest_is_logged() {
    let place = Place::new();
    let long = "n".repeat(1025);
    let mut input = b"a\t1\nno tab\n\tno name\n\n".to_vec();
    input.extend(format!("{long}\ttoo long\na\t2\n").into_bytes());
    input.extend(b"\xff\tno text\nb\t3\n");
    let run = place.run("write --events logs", input).ends_with(1);
    let said = [
        "line 2: there is no tab",
        "line 3: the name of an event is empty",
        "line 4: there is no tab",
        "line 5: the name of an event has 1025 bytes; the most is 1024",
        "line 7: the name of the event is not UTF-8",
        "2 events, 3 records",
        "dropped 0, lines without an event 5;",
    ];
    for part in said {
        assert!(run.stderr.contains(part), "no {part:?} in {}", run.stderr);
    }
    assert_eq!(run.stderr.lines().count(), 6, "{}", run.stderr);
    assert_eq!((cat(&place, "a"), cat(&place, "b")), ("1\n2\n".into(), "3\n".into()));

    // Of many only the first are told.
    let run = place.run("write --events logs", "bad\n".repeat(1000) + "a\t4\n").ends_with(1);
    assert_eq!(run.stderr.lines().count(), 12, "{}", run.stderr);
    let run = run.says("line 10: ").says("990 more lines that name no event");
    run.says("1 event, 1 record,").says("lines without an event 1,000;");
    assert_eq!(cat(&place, "a"), "1\n2\n4\n");
}

/// One shard of 64 KiB takes records up to 65,524 bytes, whatever the name of the event.
#[test]
fn a_record_that_is_too_long_is_counted_for_its_event() {
    const MAX: usize = 65_524;
    let place = Place::new();
    let name = "n".repeat(1024);
    let fits = "f".repeat(MAX);
    let input = format!(
        "{name}\t{fits}\n{name}\t{}\nb\t{}\n{}\nb\tlast\n",
        "x".repeat(MAX + 1),
        "y".repeat(3 << 20),
        "z".repeat(1 << 20),
    );
    let run = place.run("write --buffer-size 64K --shards 1 --events logs", input).ends_with(1);
    let said = [
        "line 2: a record of 65525 bytes; it has at most 65524",
        "line 3: a record of 3145728 bytes",
        "line 4: there is no tab",
        "2 events, 2 records",
        "dropped 2 (too large 2), lines without an event 1",
    ];
    for part in said {
        assert!(run.stderr.contains(part), "no {part:?} in {}", run.stderr);
    }
    assert!(cat(&place, &name) == fits + "\n");
    assert_eq!(cat(&place, "b"), "last\n");
    // The files declare them, too.
    let totals = totals(&place, 0);
    for event in totals["events"].as_array().unwrap() {
        assert_eq!(event["dropped"]["too_large"], 1, "{event}");
    }
}

#[test]
fn an_event_that_cannot_be_opened_costs_its_own_lines() {
    let place = Place::new();
    fs::create_dir_all(place.file("logs/bad.log")).unwrap();
    let input = "good\t1\nbad\t1\nbad\t2\ngood\t2\nbad\t3\n";
    let run = place.run("write --events logs", input).ends_with(1);
    let run = run.says("event \"bad\" cannot be opened").says("bad.log: this is a directory");
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
    run.says("1 event, 2 records").says("of events that could not be opened 3;");
    assert_eq!(cat(&place, "good"), "1\n2\n");
    // With none that can be, the system is to be blamed.
    let run = place.run("write --events logs", "bad\t1\n").ends_with(3);
    run.says("0 events, 0 records").says("no event could be opened");
    // Nothing to log is no mistake of anybody.
    let run = place.run("write --events logs", "").ends_with(0).says("0 events, 0 records");
    assert!(run.stderr.ends_with("dropped 0; logs\n"), "{}", run.stderr);
}

#[test]
fn a_directory_that_cannot_be_used_is_an_io_error() {
    let place = Place::new();
    place.put("plain", b"");
    for path in ["plain", "plain/logs", "/proc/logs"] {
        let run = place.run(&format!("write --events {path}"), "a\tx\n").ends_with(3);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
    let mut first = place.command("write --events logs").spawn().unwrap();
    first.stdin.as_mut().unwrap().write_all(b"a\tx\n").unwrap();
    while !place.file("logs/a.log").exists() {
        thread::yield_now();
    }
    let run = place.run("write --events logs", "b\ty\n").ends_with(3).says("logs");
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    drop(first.stdin.take());
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(log_files(&place), ["a.log"]);
}

/// Starts `write` on one end of a pipe that this process can read, too: what is left there was not read.
#[test]
fn a_signal_in_the_middle_loses_nothing_that_was_read() {
    const COUNT: usize = 3_000_000;
    let place = Place::new();
    let names = names(50);
    let input = Arc::new(lines_of(&names, COUNT));
    let (reading, writing) = rustix::pipe::pipe().expect("a pipe");
    let rest: OwnedFd = reading.try_clone().expect("a descriptor");
    let mut command = place.command("write --grace 0s --events logs");
    let child = command.stdin(Stdio::from(reading)).spawn().expect("it runs");
    drop(command);
    let written = Arc::new(AtomicU64::new(0));
    let feeding = thread::spawn({
        let (input, written) = (input.clone(), written.clone());
        move || {
            let mut pipe = File::from(writing);
            for piece in input.as_bytes().chunks(50_000) {
                pipe.write_all(piece).expect("somebody reads");
                written.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        }
    });
    let begun = Instant::now();
    while written.load(Ordering::Relaxed) < 8 << 20 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody reads");
        thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().expect("it ends");
    let mut left = Vec::new();
    File::from(rest).read_to_end(&mut left).expect("the rest");
    feeding.join().expect("fed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("stopped by a signal"), "{stderr}");
    let read = &input[..input.len() - left.len()];
    assert!(!left.is_empty() && read.len() > 4 << 20, "{} of {}", read.len(), input.len());
    let whole = &read[..read.rfind('\n').expect("a line") + 1];
    let expected = sorted(whole);
    assert_eq!(expected.len(), 50);
    for (name, lines) in expected {
        assert!(cat(&place, &name) == lines, "{name}");
    }
    let totals = totals(&place, 0);
    assert_eq!(totals["records"], whole.lines().count());
    assert_eq!(totals["whole"], true);
}

#[test]
fn a_thousand_events_are_a_table_of_a_thousand_lines() {
    let place = Place::new();
    let names = names(1000);
    // One, two or three lines, by the number of the event.
    let input: String = (0..3)
        .flat_map(|round| names.iter().enumerate().filter(move |(n, _)| n % 3 >= round))
        .map(|(n, name)| format!("{name}\t{n}\n"))
        .collect();
    let records = input.lines().count() as u64;
    let run = place.run("write --events logs", input).ends_with(0);
    run.says(&format!("1,000 events, 1,{} records", records - 1000));
    let json = place.run("stat --json logs", "").ends_with(0).json();
    assert_eq!(json.len(), 1001);
    let totals = json.last().unwrap();
    assert_eq!((&totals["files"], &totals["records"]), (&1000.into(), &records.into()));
    assert_eq!(totals["logs"].as_array().unwrap().len(), 1000);
    let events = totals["events"].as_array().unwrap();
    assert_eq!(events.len(), 1000);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(
            (&event["event"], &event["base"]),
            (&names[n].as_str().into(), &names[n].as_str().into())
        );
        let path: PathBuf = event["file"].as_str().unwrap().into();
        assert_eq!(path.file_name().unwrap().to_str(), Some(&*format!("{}.log", names[n])));
        assert_eq!(event["records"], n % 3 + 1);
        let len = fs::metadata(place.dir().join(path)).unwrap().len();
        assert_eq!((&event["stored_bytes"], &event["file_bytes"]), (&len.into(), &len.into()));
        assert_eq!((&event["segments"], &event["missing_segments"]), (&1.into(), &0.into()));
        assert_eq!((&event["damage"], &event["lost"]["max"]), (&0.into(), &0.into()));
        assert_eq!(event["whole"], true);
        assert_eq!(event["first_time"], json[n]["first_time"]);
        assert_eq!(event["last_time"], json[n]["last_time"]);
    }
    let table = place.run("stat logs", "").ends_with(0).text();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 1002, "{table}");
    assert!(lines[0].starts_with("EVENT "), "{}", lines[0]);
    assert!(lines[1].starts_with("event-0000  event-0000.log "), "{}", lines[1]);
    assert!(lines[1..].iter().all(|line| line.ends_with("  yes")), "{table}");
    let total: Vec<&str> = lines[1001].split_whitespace().collect();
    assert_eq!(total[..5], ["total", "1,000", "events", "1,000", "0"], "{total:?}");
    assert_eq!(total[5].replace(',', ""), records.to_string());
}

#[test]
fn damage_stands_with_its_event() {
    let place = Place::new();
    place.run("write --events logs", lines_of(&names(3), 3000)).ends_with(0);
    let mut bytes = fs::read(place.file("logs/event-0001.log")).unwrap();
    // Behind the start and the head, which has the times of a thousand lines.
    bytes[4096 + 8192 + 100] ^= 1;
    place.put("logs/event-0001.log", &bytes);
    let totals = totals(&place, 1);
    let events = totals["events"].as_array().unwrap();
    let whole: Vec<_> = events.iter().map(|event| event["whole"].as_bool().unwrap()).collect();
    assert_eq!(whole, [true, false, true]);
    assert_eq!(events[1]["lost"], serde_json::json!({ "min": 1000, "max": 1000 }));
    assert_eq!((&events[1]["damage"], &events[0]["damage"]), (&1.into(), &0.into()));
    let table = place.run("stat logs", "").ends_with(1).text();
    let ends: Vec<_> = table.lines().map(|line| line.rsplit("  ").next().unwrap()).collect();
    assert_eq!(ends, ["WHOLE", "yes", "no", "yes", "no"], "{table}");
    // The damage of one event is none of the others.
    for (event, code) in [("event-0000", 0), ("event-0001", 1), ("event-0002", 0)] {
        for command in ["cat", "verify", "stat"] {
            place.run(&format!("{command} --event {event} logs"), "").ends_with(code);
        }
    }
}

#[test]
fn the_files_of_one_event_are_read_as_its_log() {
    let place = Place::new();
    let names = ["a/b", "a_b", "other"].map(String::from);
    let input = lines_of(&names, 90_000);
    let options = "--buffer-size 64K --shards 1 --rotate-size 160K --flush-interval 50ms";
    place
        .run(&format!("write {options} --compress zstd --events logs"), input.as_str())
        .ends_with(0);
    let totals = totals(&place, 0);
    let events = totals["events"].as_array().unwrap();
    assert_eq!(events.len(), 3);
    let segments: u64 = events.iter().map(|event| event["segments"].as_u64().unwrap()).sum();
    assert_eq!(totals["files"], segments);
    for (name, lines) in sorted(&input) {
        assert!(cat(&place, &name) == lines, "{name}");
        let event = events.iter().find(|event| event["event"] == *name).expect("the event");
        assert!(event["segments"].as_u64() > Some(1), "{event}");
        assert_eq!(event["records"], 30_000);
        let last: String = lines
            .lines()
            .rev()
            .take(10)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(of_event(&place, "tail", &name), last.as_bytes());
        // The files of an event, and the whole.
        let table = String::from_utf8(of_event(&place, "stat", &name)).unwrap();
        let (files, log) = table.split_once("\n\n").expect("two tables");
        assert!(files.starts_with("FILE ") && log.starts_with("LOG "), "{table}");
        let files = files.lines().count() as u64;
        assert_eq!(Some(files - 2), event["segments"].as_u64(), "{table}");
    }
    let json = place.run("cat --format json logs", "").ends_with(0).json();
    assert_eq!(json.len(), 90_000);
    let of_other = json.iter().filter(|record| record["event"] == "other").count();
    assert_eq!(of_other, 30_000);
}

#[test]
fn an_event_that_is_not_there_or_there_twice() {
    let place = Place::new();
    place.run("write --events logs", "a\t1\nab\t2\n").ends_with(0);
    for command in ["cat", "verify", "stat"] {
        let run = place.run(&format!("{command} --event A logs"), "").ends_with(1);
        run.says("no log of the event \"A\" in this directory");
        place
            .run(&format!("{command} --event a logs/a.log"), "")
            .ends_with(2)
            .says("not a directory");
        place.run(&format!("{command} --event a gone"), "").ends_with(3);
    }
    place.run("tail --event A logs", "").ends_with(2).says("no log of the event \"A\"");
    place.run("tail --event a logs/a.log", "").ends_with(2).says("not a directory");
    place.run("tail logs", "").ends_with(2).says("2 logs").says("--event");
    // The same event from another machine, say.
    place.run("write --events elsewhere", "a\t3\n").ends_with(0);
    fs::copy(place.file("elsewhere/a.log"), place.file("logs/a2.log")).unwrap();
    assert_eq!(cat(&place, "a"), "1\n3\n");
    let totals = totals(&place, 0);
    let events = totals["events"].as_array().unwrap();
    assert_eq!((events.len(), totals["logs"].as_array().unwrap().len()), (2, 3));
    assert_eq!((&events[0]["logs"], &events[0]["records"]), (&2.into(), &2.into()));
    assert_eq!(
        (&events[0]["base"], &events[0]["first_time"]),
        (&"a2".into(), &totals["logs"][0]["first_time"])
    );
    assert_eq!(events[0]["last_time"], totals["logs"][1]["last_time"]);
    place.run("tail --event a logs", "").ends_with(2).says("2 logs");
}
