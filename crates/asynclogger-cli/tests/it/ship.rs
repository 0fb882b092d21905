//! Archived segments go to an object store: here, a directory.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, numbers};

/// A directory with three logs, each with one segment, and the URL of a store beside it.
fn logs(place: &Place) -> String {
    for event in ["a/b", "..", "c"] {
        let lines: String = numbers(100).lines().map(|line| format!("{event}\t{line}\n")).collect();
        place.run("write --events logs", lines).ends_with(0);
    }
    format!("file://{}/store/prefix", place.dir().display())
}

#[test]
fn each_segment_is_shipped_once_and_nothing_leaves_the_prefix() {
    let place = Place::new();
    let url = logs(&place);
    let ship = format!("ship logs --to {url} --finish --json --delete-after-verify");
    let told = place.run(&ship, "").ends_with(0).json();
    let end = told.last().expect("the sums");
    assert_eq!((&end["event"], end["shipped"].as_u64()), (&"end".into(), Some(3)));
    assert_eq!((end["deleted"].as_u64(), end["lost"].as_u64()), (Some(3), Some(0)));
    let shipped: Vec<_> = told.iter().filter(|one| one["event"] == "shipped").collect();
    for one in &shipped {
        let key = one["key"].as_str().expect("a key");
        assert!(place.file(&format!("store/prefix/{key}")).is_file(), "{key}");
    }
    let mut events: Vec<_> =
        shipped.iter().filter_map(|one| one["key"].as_str()?.split('/').next()).collect();
    events.sort_unstable();
    assert_eq!(events, ["%2E.", "a%2Fb", "c"]);
    assert_eq!(std::fs::read_dir(place.file("store")).expect("a directory").count(), 1);
    let again = place.run(&ship, "").ends_with(0).json();
    assert_eq!(again.last().expect("the sums")["shipped"], 0);
    let text = place.run(&format!("ship logs --to {url}"), "").ends_with(0);
    text.says("0 segments shipped");
}

#[test]
fn what_makes_no_sense_is_refused_and_shows_no_secret() {
    let place = Place::new();
    let url = logs(&place);
    for wrong in [
        "--to s3://KEY:SECRET@bucket/p".to_owned(),
        "--to az://c/p?sig=SECRET".to_owned(),
        format!("--to {url} --layout {{event}}.{{ext}}"),
        format!("--to {url} --over-limit delete-oldest"),
        format!("--to {url} --watch --finish"),
    ] {
        let run = place.run(&format!("ship logs {wrong}"), "").ends_with(2);
        assert!(!run.stderr.contains("SECRET"), "{}", run.stderr);
    }
    place.run(&format!("ship nothing --to {url}"), "").ends_with(3);
    assert!(!place.file("store").exists());
}

#[test]
fn a_watching_shipper_ships_what_comes_and_ends_with_a_signal() {
    let place = Place::new();
    let url = logs(&place);
    let mut watching = Command::new(env!("CARGO_BIN_EXE_asynclogger"))
        .args(["ship", "logs", "--watch", "--to", &url])
        .current_dir(place.dir())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    place.run("ship logs --finish --to memory://other", "").ends_with(0);
    let begun = Instant::now();
    while !place.file("store/prefix/_manifest").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is shipped");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&watching), Signal::TERM).expect("sent");
    assert!(watching.wait().expect("ended").success());
    place.run(&format!("ship logs --to {url}"), "").ends_with(0);
}
