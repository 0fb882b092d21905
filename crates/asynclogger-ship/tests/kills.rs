//! Shippers that are killed: whatever they leave, the next one brings everything to the store, and nothing twice.

mod common;

use std::{os::unix::process::ExitStatusExt, path::Path, thread, time::Duration};

use asynclogger::{Config, Logger};
use asynclogger_store::Store;

use common::{
    Segments, check_all,
    child::{self, Shipping, shown},
    compress_all, objects, write_log,
};

const SIGKILL: i32 = 9;

/// Every place between two steps.
const PLACES: [&str; 12] = [
    "before-head",
    "before-upload",
    "in-upload",
    "after-upload",
    "after-verify",
    "after-journal",
    "before-batch",
    "before-manifest",
    "after-manifest",
    "after-done",
    "before-delete",
    "after-delete",
];

#[test]
fn child_process() {
    child::main();
}

/// Small segments, and one of several parts.
fn write_logs(dir: &Path) {
    write_log(dir, "small", 3, 100);
    let logger = Logger::new(Config::new(dir.join("large.log"))).unwrap();
    let record = vec![7; 60_000];
    for _ in 0..200 {
        logger.log_bytes(&record);
    }
    logger.rotate().unwrap();
    logger.close().unwrap();
}

#[test]
fn a_shipper_that_is_killed_between_any_two_steps_is_continued() {
    for place in PLACES {
        for delete in [false, true] {
            let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            write_logs(dir.path());
            let before = Segments::of(dir.path());
            let url = format!("file://{}/logs", to.path().display());
            let shipping = Shipping { dir: dir.path(), url: &url, delete, endpoint: None };
            let mut kills = 0;
            // Twice at the first pass, once at the second one, and then to the end.
            for kill in [1, 1, 2] {
                let output = shipping.run(&format!("{place}:{kill}"));
                kills += usize::from(output.status.signal() == Some(SIGKILL));
            }
            let is_passed = delete || !place.ends_with("-delete");
            assert!((kills > 0) == is_passed, "{place}: {kills} kills");
            let output = shipping.run("");
            assert!(output.status.success(), "{place}: {}", shown(&output));
            check_all(&Store::open(&url).unwrap(), &before);
            let left = if delete { 0 } else { before.len() };
            assert_eq!(Segments::of(dir.path()).len(), left, "{place}");
        }
    }
}

/// The request of a killed shipper can reach the store long after its death, when the archivist has compressed the file. The
/// next shipper ships the same bytes to the same name, so that the late request makes no second object.
#[test]
fn what_was_begun_in_its_plain_form_is_shipped_in_that_form() {
    for place in ["before-upload", "in-upload"] {
        let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = write_log(dir.path(), "app", 1, 5000);
        let plain = Segments::of(dir.path());
        let url = format!("file://{}/logs", to.path().display());
        let shipping = Shipping { dir: dir.path(), url: &url, delete: true, endpoint: None };
        assert_eq!(shipping.run(&format!("{place}:1")).status.signal(), Some(SIGKILL));
        compress_all(&path);
        let all = plain.and(Segments::of(dir.path()));
        let output = shipping.run("");
        assert!(output.status.success(), "{}", shown(&output));
        let store = Store::open(&url).unwrap();
        check_all(&store, &all);
        let keys: Vec<String> = objects(&store).into_keys().collect();
        assert!(
            matches!(&keys[..], [first, more] if first.ends_with(".log") && more.ends_with(".zst")),
            "{keys:?}"
        );
        assert_eq!(Segments::of(dir.path()).len(), 0, "{place}");
    }
}

#[test]
fn a_shipper_that_is_killed_at_any_time_is_continued() {
    for round in 0..8 {
        let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_logs(dir.path());
        let before = Segments::of(dir.path());
        let url = format!("file://{}/logs", to.path().display());
        let shipping = Shipping { dir: dir.path(), url: &url, delete: true, endpoint: None };
        for kill in 0..5 {
            let mut child = shipping.start();
            thread::sleep(Duration::from_micros((round * 5 + kill) * 7919 % 60_000));
            child.kill().unwrap();
            child.wait().unwrap();
            if round % 4 == 3 {
                common::lose_journal(dir.path());
            }
        }
        let output = shipping.run("");
        assert!(output.status.success(), "{}", shown(&output));
        check_all(&Store::open(&url).unwrap(), &before);
        assert_eq!(Segments::of(dir.path()).len(), 0);
    }
}
