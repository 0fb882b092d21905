//! Opening: nothing is ever destroyed, and one log has one writer.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use asynclogger::{Config, DirectIo, Durability, ErrorKind, IoMode, Logger, Opened};

use crate::{
    seed_readers::{self, Step},
    support::{child_role, directory, in_child, log_path, open},
};

fn set_aside(logger: &Logger) -> (std::path::PathBuf, String) {
    match logger.opened() {
        Opened::SetAside { to, reason, .. } => (to.clone(), reason.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_parent_is_made() {
    let directory = directory();
    let path = directory.path().join("a/b/c/app.log");
    let logger = open(Config::new(&path));
    assert_eq!(*logger.opened(), Opened::Created);
    assert!(path.is_file());
}

#[test]
fn a_clean_log_is_continued() {
    let directory = directory();
    let path = log_path(&directory);
    for session in 0..4 {
        let logger = open(Config::new(&path));
        let expected = if session == 0 { Opened::Created } else { Opened::Continued };
        assert_eq!(*logger.opened(), expected);
        logger.log(&format!("session {session}"));
        logger.close().expect("close");
    }
    let records = seed_readers::records(&path, Step::Valid);
    assert_eq!(records, (0..4).map(|n| format!("session {n}").into_bytes()).collect::<Vec<_>>());
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 2, "the log and its lock");
}

#[test]
fn anything_else_is_set_aside_untouched() {
    let directory = directory();
    let path = log_path(&directory);
    let original = b"\x00\x10\x00\x00\x09\x00\x00\x00\x05\x00\x00\x00hello";
    let contents: [&[u8]; 4] = [b"text\n", original, &[0; 4096], &[0xff; 10_000]];
    for content in contents {
        fs::write(&path, content).expect("write");
        let logger = open(Config::new(&path));
        let (to, reason) = set_aside(&logger);
        assert_eq!(fs::read(&to).expect("the old file"), content, "{reason}");
        let name = to.file_name().expect("name").to_str().expect("text");
        assert!(name.starts_with("app_20") && name.ends_with(".log"), "{name}");
        logger.log("new");
        logger.close().expect("close");
        assert_eq!(seed_readers::records(&path, Step::Valid), [b"new"]);
        fs::remove_file(&path).expect("remove");
    }
    // Four archived in the same second or two: no name was used twice.
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 5);
}

/// Every damage to the end, and a file cut anywhere: set aside, byte for byte.
#[test]
fn an_unclean_log_is_set_aside() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    logger.log("first");
    logger.close().expect("close");
    let whole = fs::read(&path).expect("file");
    assert_eq!(whole.len(), 4 * 4096);
    let flip = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = |len: usize| whole[..len].to_vec();
    let longer = [&whole[..], &[0; 4096]].concat();
    let cases =
        [cut(1), cut(4096), cut(3 * 4096), cut(whole.len() - 1), longer, flip(30), flip(3 * 4096)];
    for bytes in cases.into_iter().chain([flip(whole.len() - 1)]) {
        fs::write(&path, &bytes).expect("write");
        let logger = open(Config::new(&path));
        let (to, _) = set_aside(&logger);
        assert!(fs::read(&to).expect("the old file") == bytes);
        logger.log("next");
        logger.close().expect("close");
        assert_eq!(seed_readers::records(&path, Step::Valid), [b"next"]);
    }
}

/// The numbering of segments goes on after a file was set aside, and after the active one is gone.
#[test]
fn segments_keep_their_log() {
    let directory = directory();
    let path = log_path(&directory);
    let ids = |path: &Path| {
        let bytes = fs::read(path).expect("file");
        (bytes[40..56].to_vec(), bytes[56], bytes[80])
    };
    let logger = open(Config::new(&path));
    let (log, segment, previous) = ids(&path);
    assert_eq!((segment, previous), (1, 0));
    drop(logger);
    let cut = fs::read(&path).expect("file")[..4096].to_vec();
    fs::write(&path, cut).expect("cut");
    drop(open(Config::new(&path)));
    assert_eq!(ids(&path), (log.clone(), 2, 1));
    // Clean, then moved to an archived name by hand.
    fs::rename(&path, directory.path().join("app_2999-01-01_00-00-00.log")).expect("move");
    drop(open(Config::new(&path)));
    assert_eq!(ids(&path), (log, 3, 2));
}

#[test]
fn a_second_logger_in_the_process_is_refused() {
    let directory = directory();
    let path = log_path(&directory);
    let first = open(Config::new(&path));
    first.log("mine");
    // By another path to the same place, too.
    symlink(directory.path(), directory.path().join("link")).expect("link");
    for other in [path.clone(), directory.path().join("link/app.log")] {
        let error = Logger::new(Config::new(other)).expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.to_string().contains("another logger of this process"), "{error}");
    }
    first.close().expect("close");
    drop(first);
    drop(open(Config::new(&path)));
    assert_eq!(seed_readers::records(&path, Step::Valid), [b"mine"]);
}

#[test]
fn a_second_process_is_refused() {
    let name = "files::a_second_process_is_refused";
    if let Some(path) = child_role() {
        let error = Logger::new(Config::new(path)).expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.to_string().contains("another process"), "{error}");
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    in_child(name, path.to_str().expect("a UTF-8 path"));
    logger.log("undisturbed");
    logger.close().expect("close");
    assert_eq!(seed_readers::records(&path, Step::Valid), [b"undisturbed"]);
}

#[test]
fn a_lock_that_is_no_file_is_an_error() {
    let directory = directory();
    let lock = directory.path().join(".app.lock");
    let target = directory.path().join("target");
    fs::write(&target, "a file of somebody else").expect("a file");
    for is_link in [true, false] {
        if is_link {
            std::os::unix::fs::symlink(&target, &lock).expect("a link");
        } else {
            fs::create_dir(&lock).expect("a directory");
        }
        let error = Logger::new(Config::new(log_path(&directory))).expect_err("no lock");
        assert_eq!(error.kind(), ErrorKind::Io, "{error:#}");
        assert!(!log_path(&directory).exists());
        if is_link {
            fs::remove_file(&lock).expect("removed");
        }
    }
    assert_eq!(fs::read(&target).expect("a file"), b"a file of somebody else");
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let directory = directory();
    let path = log_path(&directory);
    let refused = |what: &str| {
        let error = Logger::new(Config::new(&path)).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::NotAFile, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    };
    fs::create_dir(&path).expect("directory");
    refused("directory");
    fs::remove_dir(&path).expect("remove");
    fs::write(directory.path().join("victim"), "precious").expect("write");
    symlink("victim", &path).expect("link");
    refused("symbolic link");
    assert_eq!(fs::read(directory.path().join("victim")).expect("victim"), b"precious");
    fs::remove_file(&path).expect("remove");
    let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    refused("pipe");
}

#[test]
fn durability_and_direct_io_in_every_combination() {
    for durability in [Durability::Dsync, Durability::None] {
        for direct in [DirectIo::Preferred, DirectIo::Off] {
            let directory = directory();
            let path = log_path(&directory);
            let config = Config::new(&path).durability(durability).direct_io(direct);
            let logger = open(config);
            logger.log("one");
            logger.flush().expect("flush");
            let stats = logger.stats();
            assert_eq!((stats.written, stats.durable), (1, 1));
            if direct == DirectIo::Off {
                assert_eq!(stats.io_mode, IoMode::Buffered);
            }
            logger.log("two");
            assert_eq!(logger.close().expect("close").durable, 2);
            assert_eq!(seed_readers::records(&path, Step::Valid), [b"one", b"two"]);
        }
    }
}

#[test]
fn direct_io_is_required_in_vain_on_tmpfs() {
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped: no /dev/shm here");
        return;
    };
    let path = directory.path().join("app.log");
    let error = Logger::new(Config::new(&path).direct_io(DirectIo::Required)).expect_err("tmpfs");
    assert_eq!(error.kind(), ErrorKind::DirectIo);
    // The file that was made for the probe is empty or not there; either is continued.
    let logger = open(Config::new(&path));
    assert_eq!(logger.stats().io_mode, IoMode::Buffered);
    logger.log("in memory");
    logger.close().expect("close");
    assert_eq!(seed_readers::records(&path, Step::Valid), [b"in memory"]);
}
