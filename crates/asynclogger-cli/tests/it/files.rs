use std::fs;

use crate::support::Place;

#[test]
fn a_path_that_cannot_be_written_is_an_io_error() {
    let place = Place::new();
    place.put("plain", b"");
    fs::create_dir(place.file("directory")).unwrap();
    for path in ["plain/app.log", "directory", "/proc/app.log"] {
        for command in ["write", "bench --count 1"] {
            let run = place.run(&format!("{command} {path}"), "x\n").ends_with(3);
            assert!(run.stderr.starts_with("asynclogger: "), "{}", run.stderr);
            assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        }
    }
}

#[test]
fn a_missing_parent_is_created() {
    let place = Place::new();
    place.write("a/b/app.log", "x\n");
    assert_eq!(place.cat("a/b/app.log"), b"x\n");
}

#[test]
fn what_cannot_be_read_does_not_keep_the_rest_from_being_read() {
    let place = Place::new();
    place.write("app.log", "one\ntwo\n");
    for command in ["cat", "verify", "stat", "verify --json", "stat --json", "cat --all"] {
        let run = place.run(&format!("{command} gone.log app.log"), "").ends_with(3);
        assert!(run.stderr.starts_with("asynclogger: "), "{}", run.stderr);
        assert!(run.stderr.contains("gone.log"), "{}", run.stderr);
        assert!(!run.stdout.is_empty(), "{command}");
    }
}

#[test]
fn one_writer_a_log() {
    let place = Place::new();
    let mut first = place.command("write app.log").spawn().unwrap();
    while !place.file("app.log").exists() {
        std::thread::yield_now();
    }
    place.run("write app.log", "x\n").ends_with(3).says("app.log");
    drop(first.stdin.take());
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

#[test]
fn a_foreign_file_is_set_aside_and_that_is_said() {
    let place = Place::new();
    place.put("app.log", b"not a log\n");
    place.write("app.log", "x\n").says("set aside");
    assert_eq!(place.cat("app.log"), b"x\n");
    let kept = fs::read_dir(place.dir())
        .unwrap()
        .any(|entry| fs::read(entry.unwrap().path()).is_ok_and(|bytes| bytes == b"not a log\n"));
    assert!(kept, "the old bytes are somewhere");
}

#[test]
fn a_directory_means_all_its_logs_and_all_means_the_log() {
    let place = Place::new();
    place.write("logs/a.log", "a1\na2\n");
    place.write("logs/b.log", "b1\n");
    place.write("logs/a.log", "a3\n");
    let run = place.run("cat logs", "").ends_with(0);
    assert_eq!(run.text(), "a1\na2\na3\nb1\n");
    let run = place.run("cat --all logs/a.log", "").ends_with(0);
    assert_eq!(run.text(), "a1\na2\na3\n");

    let run = place.run("verify logs", "").ends_with(0);
    assert!(run.text().contains("whole: 4 records in 2 files"), "{}", run.text());
    let run = place.run("stat --json logs", "").ends_with(0);
    let json = run.json();
    assert_eq!(json.len(), 3);
    assert_eq!(json[2]["records"], 4);
    let table = place.run("stat logs", "").ends_with(0).text();
    // A line for each log, one above and one for all.
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.lines().nth(1).unwrap().starts_with("a      a.log "), "{table}");
    // One log has a line for each file, and one as a whole.
    let table = place.run("stat --event a logs", "").ends_with(0).text();
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(table.lines().nth(1).unwrap().contains("clean"), "{table}");

    fs::create_dir(place.file("empty")).unwrap();
    place.run("cat empty", "").ends_with(1).says("no log");
}
