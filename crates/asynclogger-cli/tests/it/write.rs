use crate::support::{Place, numbers};

/// What goes in, and what comes out again; the same where nothing else is said.
#[track_caller]
fn round_trip(input: &[u8], output: &[u8]) {
    let place = Place::new();
    place.write("app.log", input);
    assert_eq!(place.cat("app.log"), output);
    place.run("verify app.log", "").ends_with(0);
}

#[test]
fn lines_come_back_as_they_went_in() {
    let lines = b"one\n\n\ntwo\r\n\r\nnul \0 inside\n\xff\xfe no text\n\ttab\n \n";
    round_trip(lines, lines);
    let many = numbers(300_000);
    round_trip(many.as_bytes(), many.as_bytes());
}

#[test]
fn a_last_line_without_a_terminator_gets_one() {
    round_trip(b"one\ntwo", b"one\ntwo\n");
    round_trip(b"one", b"one\n");
    round_trip(b"\n", b"\n");
}

#[test]
fn no_input_is_a_log_without_records() {
    round_trip(b"", b"");
}

#[test]
fn a_log_is_continued() {
    let place = Place::new();
    place.write("app.log", "one\n");
    place.write("app.log", "two\n");
    assert_eq!(place.cat("app.log"), b"one\ntwo\n");
    let json = place.run("stat --json app.log", "").ends_with(0).json();
    assert_eq!(json[0]["sessions"], 2);
}

#[test]
fn each_line_has_its_time_unless_that_is_refused() {
    let place = Place::new();
    let times = |log: &str, option: &str| {
        let write = format!("write {option} --flush-interval 1h {log}");
        place.run(&write, numbers(20_000)).ends_with(0);
        let json = place.run(&format!("cat --format json {log}"), "").ends_with(0).json();
        let mut times: Vec<_> = json.iter().map(|it| it["time"].as_i64().unwrap()).collect();
        assert_eq!(times.len(), 20_000);
        assert!(times.is_sorted());
        times.dedup();
        times.len()
    };
    assert!(times("with.log", "") > 1_000);
    assert_eq!(times("without.log", "--no-timestamps"), 1, "one block");
    let version = |log: &str| {
        place.run(&format!("stat --json {log}"), "").ends_with(0).json()[0]["version"].clone()
    };
    assert_eq!((version("with.log"), version("without.log")), (2.into(), 1.into()));
}

#[test]
fn each_line_of_an_event_has_its_time_unless_that_is_refused() {
    let place = Place::new();
    let lines: String =
        (0..6_000).map(|number| format!("event{}\t{number}\n", number % 2)).collect();
    let times = |directory: &str, option: &str| {
        let write = format!("write {option} --flush-interval 1h --events {directory}");
        place.run(&write, lines.as_str()).ends_with(0);
        let cat = format!("cat --format json --event event1 {directory}");
        let json = place.run(&cat, "").ends_with(0).json();
        let mut times: Vec<_> = json.iter().map(|it| it["time"].as_i64().unwrap()).collect();
        assert_eq!(times.len(), 3_000);
        assert!(times.is_sorted());
        times.dedup();
        times.len()
    };
    assert!(times("with", "") > 300);
    assert_eq!(times("without", "--no-timestamps"), 1, "one block");
}

#[test]
fn the_summary_is_one_line_with_everything() {
    let place = Place::new();
    let run = place.write("app.log", numbers(1000));
    assert!(run.stdout.is_empty());
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    // Which engine that is depends on what the system lets us use.
    let engine = if run.stderr.contains("io_uring") { "io_uring" } else { "pwritev2" };
    for part in ["1,000 records", "kB in", "MB/s", "dropped 0", "app.log", engine, "dsync"] {
        assert!(run.stderr.contains(part), "no {part:?} in {}", run.stderr);
    }
}

#[test]
fn every_setting_writes_the_same_records() {
    let settings = [
        "--policy block",
        "--policy block-for=1m",
        "--durability none",
        "--durability on-flush",
        "--direct off",
        "--engine pwrite",
        "--engine auto",
        "--buffer-size 256K --shards 4",
        "--flush-interval 500ms",
    ];
    let lines = numbers(50_000);
    for setting in settings {
        let place = Place::new();
        place.run(&format!("write {setting} app.log"), lines.as_str()).ends_with(0);
        assert_eq!(place.cat("app.log"), lines.as_bytes(), "{setting}");
    }
}

/// One shard of 64 KiB takes records up to 65,524 bytes.
#[test]
fn a_line_longer_than_a_record_is_reported_and_counted() {
    const MAX: usize = 65_524;
    let place = Place::new();
    let fits = "f".repeat(MAX);
    let input = format!(
        "one\n{fits}\n{}\nfour\n{}\nsix\n{}",
        "x".repeat(MAX + 1),
        "y".repeat(3 << 20),
        "z".repeat(MAX + 1)
    );
    let run = place.run("write --buffer-size 64K --shards 1 app.log", input).ends_with(1);
    let said = [
        "line 3 has 65525 bytes",
        "line 5 has 3145728 bytes",
        "line 7 has 65525 bytes",
        "4 records",
        "dropped 3 (too large 3)",
    ];
    for part in said {
        assert!(run.stderr.contains(part), "no {part:?} in {}", run.stderr);
    }
    assert_eq!(place.cat("app.log"), format!("one\n{fits}\nfour\nsix\n").as_bytes());
    // The file declares them, too.
    let json = place.run("verify --json app.log", "").ends_with(0).json();
    assert_eq!(json[0]["dropped"]["too_large"], 3);
}
