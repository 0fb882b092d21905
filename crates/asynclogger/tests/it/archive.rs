//! A program that takes archived segments away, beside loggers that write, rotate and compress.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use asynclogger::{
    Archive, ArchivedSegment, Compression, Config, ErrorKind, Logger, LoggerManager,
    read::{LogDir, verify},
};

use crate::{
    matrix::log_as,
    rotation::small,
    support::{directory, log_path, open, wait_until},
};

fn archive(path: &Path) -> Archive {
    Archive::open(path.parent().expect("a directory")).expect("the directory")
}

fn segments(path: &Path) -> Vec<ArchivedSegment> {
    archive(path).segments().expect("listed")
}

fn numbers(path: &Path) -> Vec<u64> {
    segments(path).iter().map(ArchivedSegment::segment).collect()
}

/// A log with so many archived segments, one record in each, and one in the active file.
fn rotated(path: &Path, archived: u64) -> Logger {
    let logger = open(small(path));
    for number in 0..archived {
        log_as(&logger, 0, number..number + 1);
        logger.rotate().expect("rotate");
    }
    log_as(&logger, 0, archived..archived + 1);
    logger.flush().expect("flush");
    logger
}

#[test]
fn what_a_logger_writes_is_no_archived_segment() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = rotated(&path, 3);
    assert_eq!(numbers(&path), [1, 2, 3]);
    let listed = segments(&path);
    for segment in &listed {
        assert_eq!((segment.name(), segment.is_compressed()), (&b"app"[..], false));
        let mut bytes = Vec::new();
        segment.open().expect("opened").read_to_end(&mut bytes).expect("read");
        assert_eq!(bytes.len() as u64, segment.stored_bytes());
        let report = verify(segment.path()).expect("a log");
        assert_eq!((report.segment, report.records), (segment.segment(), 1));
        assert_eq!(report.log_id, Some(segment.log_id()));
    }
    let finished = archive(&path).finish().expect("listed");
    assert_eq!((finished.archived.len(), finished.left.len()), (0, 1));
    assert_eq!(finished.left[0].kind(), ErrorKind::InUse, "{:?}", finished.left);
    log_as(&logger, 0, 4..5);
    assert!(listed[0].delete().expect("deleted"));
    assert!(!listed[0].delete().expect("nothing to delete"));
    assert_eq!(numbers(&path), [2, 3]);
    logger.close().expect("closed");
    assert_eq!(numbers(&path), [2, 3], "the active file can be continued");
}

#[test]
fn the_active_file_of_a_log_that_nobody_writes_can_be_archived() {
    let directory = directory();
    let path = log_path(&directory);
    rotated(&path, 1).close().expect("closed");
    let finished = archive(&path).finish().expect("listed");
    assert_eq!((finished.archived.len(), finished.left.len()), (1, 0), "{finished:?}");
    assert_eq!(numbers(&path), [1, 2]);
    assert!(!path.exists());
    // There is nothing left to do.
    let again = archive(&path).finish().expect("listed");
    assert_eq!((again.archived.len(), again.left.len()), (0, 0));
    // The log goes on behind the greatest number.
    rotated(&path, 1).close().expect("closed");
    assert_eq!(numbers(&path), [1, 2, 3]);
    // A log without records stays.
    let empty = path.with_file_name("empty.log");
    open(small(&empty)).close().expect("closed");
    assert_eq!(archive(&path).finish().expect("listed").archived.len(), 1, "that of app alone");
    assert!(empty.exists());
}

#[test]
fn only_the_file_that_was_listed_is_opened_and_deleted() {
    let directory = directory();
    let path = log_path(&directory);
    rotated(&path, 2).close().expect("closed");
    let [first, second] = &segments(&path)[..] else { panic!("two segments") };
    // Another file under the name: a copy of the same segment, and one of another.
    for other in [first.path(), second.path()] {
        let bytes = fs::read(other).expect("read");
        let copy = path.with_file_name("copy");
        fs::write(&copy, bytes).expect("written");
        fs::rename(&copy, first.path()).expect("renamed");
        assert_eq!(first.open().expect_err("another").kind(), ErrorKind::NotFound);
        first.delete().expect_err("another");
        assert!(first.path().exists());
    }
    fs::remove_file(first.path()).expect("removed");
    assert_eq!(first.open().expect_err("gone").kind(), ErrorKind::NotFound);
    // The file has changed since.
    let listed = segments(&path);
    assert_eq!(numbers(&path), [2]);
    let mut bytes = fs::read(second.path()).expect("read");
    bytes.extend_from_slice(&[0; 4096]);
    fs::write(second.path(), bytes).expect("written");
    assert_eq!(listed[0].open().expect_err("longer").kind(), ErrorKind::NotFound);
    listed[0].delete().expect_err("longer");
    assert!(second.path().exists());
}

#[test]
fn compressed_segments_are_listed_as_they_are() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(small(&path).compression(Compression::zstd(1)));
    log_as(&logger, 0, 0..100);
    logger.rotate().expect("rotate");
    wait_until("it is compressed", || segments(&path).iter().any(ArchivedSegment::is_compressed));
    let [segment] = &segments(&path)[..] else { panic!("one segment") };
    assert!(segment.stored_bytes() < segment.file_bytes());
    let mut content = Vec::new();
    segment.content().expect("opened").read_to_end(&mut content).expect("read");
    assert_eq!(content.len() as u64, segment.file_bytes());
    let plain = directory.path().join("plain.log");
    fs::write(&plain, &content).expect("written");
    let report = verify(&plain).expect("a log");
    assert_eq!((report.records, report.log_id), (100, Some(segment.log_id())));
    fs::remove_file(&plain).expect("removed");
    assert_eq!(verify(segment.path()).expect("a log").records, 100);
    assert!(segment.delete().expect("deleted"));
    assert!(numbers(&path).is_empty());
    logger.close().expect("closed");
}

#[test]
fn the_content_of_a_damaged_compressed_segment_is_an_error() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(small(&path).compression(Compression::zstd(1)));
    log_as(&logger, 0, 0..1000);
    logger.rotate().expect("rotate");
    wait_until("it is compressed", || segments(&path).iter().any(ArchivedSegment::is_compressed));
    logger.close().expect("closed");
    let file = segments(&path)[0].path().to_path_buf();
    let mut bytes = fs::read(&file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&file, &bytes).expect("written");
    let [segment] = &segments(&path)[..] else { panic!("one segment") };
    let read = segment.content().expect("opened").read_to_end(&mut Vec::new());
    assert_eq!(read.expect_err("damaged").kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn the_events_of_a_manager_are_archived_when_it_is_closed() {
    let directory = directory();
    let events: Vec<_> = (0..5).map(|number| format!("pay/ment {number}")).collect();
    let manager = LoggerManager::new(Config::new(log_path(&directory))).expect("a manager");
    for event in &events {
        manager.log_bytes_with_event(event, event.as_bytes());
    }
    manager.flush().expect("flush");
    let archive = Archive::open(directory.path()).expect("the directory");
    let live = archive.finish().expect("listed");
    assert_eq!((live.archived.len(), live.left.len()), (0, events.len()));
    assert!(live.left.iter().all(|error| error.kind() == ErrorKind::InUse), "{:?}", live.left);
    manager.close().expect("closed");
    assert_eq!(archive.finish().expect("listed").archived.len(), events.len());
    let mut names: Vec<_> = archive.segments().expect("listed").iter().map(name).collect();
    names.sort();
    assert_eq!(names, events);
    // The files are whole, and the manager goes on with them.
    let manager = LoggerManager::new(Config::new(log_path(&directory))).expect("a manager");
    for event in &events {
        manager.log_bytes_with_event(event, event.as_bytes());
    }
    manager.close().expect("closed");
    for log in LogDir::scan(directory.path()).expect("listed") {
        let report = log.verify().expect("read");
        assert!(report.is_whole() && report.records == 2, "{report:#?}");
    }
}

fn name(segment: &ArchivedSegment) -> String {
    String::from_utf8(segment.name().to_vec()).expect("a name")
}

#[test]
fn other_files_are_no_archived_segments() {
    let directory = directory();
    let path = log_path(&directory);
    rotated(&path, 1).close().expect("closed");
    let one: PathBuf = segments(&path)[0].path().to_path_buf();
    for name in ["text.log", "app_2026-01-01_00-00-00.log", "app_2026-01-01_00-00-00.log.zst"] {
        fs::write(path.with_file_name(name), b"some text").expect("written");
    }
    fs::create_dir(path.with_file_name("app_2026-01-01_00-00-01.log")).expect("made");
    std::os::unix::fs::symlink(&one, path.with_file_name("link.log")).expect("linked");
    assert_eq!(numbers(&path), [1]);
    assert_eq!(segments(&path)[0].path(), one);
    let missing = Archive::open(path.with_file_name("missing")).expect_err("missing");
    assert_eq!(missing.kind(), ErrorKind::Io, "{missing:#}");
    assert!(!path.with_file_name("missing").exists());
}
