//! The next file before it has its name: nothing that was prepared is left, and nothing else is removed.

use std::{collections::BTreeSet, fs, path::Path};

use asynclogger::{Logger, Rotation, read::LogDir};

use super::{LONG, Whole, archived, files, small};
use crate::{
    matrix::log_as,
    support::{Numbered, directory, log_path, open, wait_until},
};

/// Dropping the last handle is a close, too: nothing is left of what was prepared.
#[test]
fn dropping_leaves_nothing_that_was_prepared() {
    let directory = directory();
    let path = log_path(&directory);
    let hidden = path.with_file_name(".app.next");
    let rotation = Rotation::new().max_age(LONG);
    for end in [|logger: Logger| drop(logger), |logger: Logger| drop(logger.close())] {
        let logger = open(small(&path).rotation(rotation.clone()));
        log_as(&logger, 0, 0..1);
        logger.flush().expect("flush");
        wait_until("the next file is ready", || hidden.exists());
        end(logger);
        assert_eq!(files(&path), BTreeSet::from(["app.log".to_owned()]));
    }
}

/// A file with a start that was prepared and never used, as a killed process leaves it.
fn prepared(path: &Path) -> Vec<u8> {
    let hidden = path.with_file_name(".app.next");
    let logger = open(small(path).rotation(Rotation::new().max_age(LONG)));
    log_as(&logger, 0, 0..1);
    logger.flush().expect("flush");
    wait_until("the next file is ready", || hidden.exists());
    let bytes = fs::read(&hidden).expect("the next file");
    logger.close().expect("close");
    bytes
}

#[test]
fn what_was_prepared_is_removed_at_the_next_start() {
    let directory = directory();
    let path = log_path(&directory);
    let hidden = path.with_file_name(".app.next");
    let start = prepared(&path);
    assert_eq!(start.len(), 4096);
    fs::write(&hidden, &start).expect("write");
    let logger = open(small(&path));
    assert_eq!(files(&path), BTreeSet::from(["app.log".to_owned()]));
    logger.close().expect("close");
    Whole::read(&path, 1).assert_has(&[1]);
}

#[test]
fn what_else_has_the_hidden_name_is_never_deleted() {
    let directory = directory();
    let path = log_path(&directory);
    let hidden = path.with_file_name(".app.next");
    let start = prepared(&path);
    let more = [&start[..], &[7; 4096]].concat();
    // Not begun, torn, foreign: nobody can say who made these. They stay.
    for bytes in [&[][..], &start[..1], &start[..512], &[7; 5000]] {
        fs::write(&hidden, bytes).expect("write");
        let logger = open(small(&path));
        logger.close().expect("close");
        assert_eq!(fs::read(&hidden).expect("it"), bytes);
        fs::remove_file(&hidden).expect("removed");
    }
    // Ours, and with more than a start: it gets an archived name.
    fs::write(&hidden, &more).expect("write");
    open(small(&path)).close().expect("close");
    let new: Vec<_> = archived(&path);
    let [aside] = &new[..] else { panic!("{new:?}") };
    assert_eq!(fs::read(aside).expect("it"), more);
    fs::remove_file(aside).expect("removed");
    // What is no file either, also while the logger runs.
    let logger = open(small(&path));
    fs::create_dir(&hidden).expect("a directory");
    fs::write(hidden.join("precious"), "content").expect("write");
    log_as(&logger, 0, 1..2);
    logger.rotate().expect("rotate");
    log_as(&logger, 0, 2..3);
    logger.close().expect("close");
    assert_eq!(fs::read(hidden.join("precious")).expect("it"), b"content");
    let mut log = LogDir::open(&path).expect("the log");
    let mut numbers = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        numbers.push(Numbered::parse(record.bytes()).expect("ours").1);
    }
    assert_eq!(numbers, [0, 1, 2]);
}
