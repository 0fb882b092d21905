//! Every subject in every scenario with tiny counts: what goes in comes out, once.

use std::{path::Path, process::Command};

use serde_json::Value;

fn bench(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_asynclogger-bench"))
        .args(arguments)
        .output()
        .expect("the bench");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

fn subjects() -> Vec<String> {
    let list = bench(&["list"]);
    let name = |line: &str| line.split('\t').next().expect("a name").to_owned();
    let names: Vec<_> = list.lines().map(name).collect();
    let expected = if cfg!(feature = "quill") { 18 } else { 17 };
    assert_eq!(names.len(), expected, "{list}");
    names
}

/// One measurement of each subject, which has to give back `offered` records.
fn all(scenario: &str, options: &[&str], offered: u64) -> Vec<(String, Value)> {
    let mut measured = Vec::new();
    for subject in subjects() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().to_str().expect("text");
        let arguments = [&[scenario, &subject, "--directory", place], options].concat();
        let output = bench(&arguments);
        let last = output.lines().last().expect("a line");
        let found: Value = serde_json::from_str(last).expect("JSON");
        if found.get("cannot").is_none() {
            assert_eq!(found["offered"], offered, "{subject}: {found}");
            check(&subject, &found, directory.path());
        }
        measured.push((subject, found));
    }
    measured
}

/// So few records fit into every queue, lossy or not.
fn check(subject: &str, found: &Value, directory: &Path) {
    if found.get("found").is_none() {
        let floors = ["empty call", "raw copy", "tracing to a sink"];
        assert!(floors.contains(&subject), "{subject} has no file");
        return;
    }
    assert_eq!(found["found"], found["offered"], "{subject}: {found}");
    assert_eq!((&found["twice"], &found["alien"]), (&Value::from(0), &Value::from(0)), "{subject}");
    assert!(found.get("end_error").is_none(), "{subject}: {found}");
    assert!(std::fs::read_dir(directory).expect("a directory").next().is_some(), "{subject}");
}

#[test]
fn a_burst_comes_back() {
    // Four warm ones and one of each kind, of 50 records of each of two threads.
    let options = ["--threads", "2", "--bursts", "1", "--records", "100"];
    for (subject, found) in all("burst", &options, 600) {
        assert_eq!(found["latency"]["count"], 100, "{subject}");
        assert!(found["ns_a_call"].as_f64().expect("a number") > 0.0, "{subject}");
    }
}

#[test]
fn saturation_comes_back_at_every_size() {
    for size in ["64", "256", "4096"] {
        let bytes = (1000 * size.parse::<u64>().expect("a number")).to_string();
        let options = ["--threads", "4", "--size", size, "--bytes", &bytes, "--seconds", "30"];
        all("saturate", &options, 1000);
    }
}

#[test]
fn a_paced_run_has_as_many_calls_as_were_due() {
    let options = ["--seconds", "0.1", "--rate", "2000", "--threads", "2"];
    for (subject, found) in all("paced", &options, 200) {
        assert_eq!(found["latency"]["count"], 200, "{subject}");
    }
}

#[test]
fn an_idle_logger_is_watched() {
    for (subject, found) in all("idle", &["--seconds", "0.1"], 100) {
        assert!(found["threads_of_logger"].is_u64(), "{subject}");
    }
}

#[test]
fn some_cannot_rotate_by_the_second_and_the_others_lose_nothing() {
    let options = ["--seconds", "2", "--rate", "1000", "--trouble", "rotate"];
    let measured = all("paced", &options, 2000);
    let can: Vec<&str> = measured
        .iter()
        .filter(|(_, found)| found.get("cannot").is_none())
        .map(|(subject, _)| subject.as_str())
        .collect();
    let expected =
        ["asynclogger", "asynclogger, drop", "flexi_logger", "fast_log", "tracing to asynclogger"];
    assert_eq!(can, expected);
}
