//! A log whose lock file was removed, or belongs to somebody else, and a second writer that comes meanwhile.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::chown,
    path::Path,
    process::Command,
};

use asynclogger::{
    Archive, Compression, Config, ErrorKind, Health, Logger, LoggerManager, Overflow, Retention,
    read::LogDir,
};

use super::{
    LONG, Told, active_segment, archived,
    hostile::{NOBODY, become_nobody, identity, numbers, reachable},
    numbers_of, small,
};
use crate::{
    killed::Doomed,
    matrix::log_as,
    support::{Numbered, child_role, directory, log_path, open, wait_until},
};

fn config(path: &Path) -> Config {
    small(path).num_shards(1)
}

/// Another process that runs `test`, which has to begin with [`be_second_writer`]; it holds the log when this returns.
fn second_writer(test: &str, role: &str, path: &Path) -> Doomed {
    let spawned = Command::new(std::env::current_exe().expect("this binary"))
        .args([
            &format!("rotation::lost_lock::{test}"),
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("CHILD", format!("{role} {}", path.display()))
        .spawn();
    let child = Doomed(spawned.expect("a child"));
    wait_until("the second writer has the log", || path.with_file_name("ready").exists());
    child
}

fn finish(mut child: Doomed, path: &Path) {
    fs::write(path.with_file_name("done"), "").expect("told");
    assert!(child.0.wait().expect("the child").success());
}

/// If this is the second writer: opens the log, logs and rotates as its role says, and closes when it is told.
fn be_second_writer() -> bool {
    let Some(role) = child_role() else { return false };
    let (role, path) = role.split_once(' ').expect("two words");
    let path = Path::new(path);
    if role == "nobody" {
        become_nobody();
    }
    let told = Told::open(match role {
        "deletes" => config(path).retention(Retention::new().keep(1)),
        "compresses" => config(path).compression(Compression::zstd(1)),
        _ => config(path),
    });
    let logger = &told.logger;
    log_as(logger, 1, 0..1);
    logger.flush().expect("flush");
    if matches!(role, "rotates" | "deletes" | "compresses") {
        for number in 1..4 {
            logger.rotate().expect("rotate");
            log_as(logger, 1, number..number + 1);
        }
    }
    if matches!(role, "deletes" | "compresses") {
        wait_until("the first writer's file is left alone", || {
            told.errors.lock().expect("it").iter().any(|error| error.kind() == ErrorKind::InUse)
        });
    }
    // Only root can make files everywhere; what is told lies beside the log.
    let above = path.parent().and_then(Path::parent).expect("a directory above");
    let place = if role == "nobody" { above.to_owned() } else { path.with_file_name("") };
    fs::write(place.join("ready"), "").expect("told");
    wait_until("the first writer is done", || place.join("done").exists());
    if matches!(role, "deletes" | "compresses") {
        logger.rotate().expect("rotate");
        let left = if role == "deletes" { 1 } else { 0 };
        wait_until("nothing is left alone", || archived(path).len() == left);
    }
    told.logger.close().expect("close");
    true
}

/// The numbers of the segments in a directory, each file alone.
fn segments(path: &Path) -> Vec<u64> {
    let files = archived(path).into_iter().chain([path.to_owned()]);
    files.map(|file| numbers_of(&file).0).collect()
}

/// Another writer comes, rotates, and goes while the lock file is missing: its numbers are not given away again, and
/// the file prepared before is not used.
#[test]
fn numbers_are_looked_for_again_after_the_lock_was_lost() {
    if be_second_writer() {
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(config(&path).rotation(asynclogger::Rotation::new().max_age(LONG)));
    log_as(&logger, 0, 0..1);
    logger.flush().expect("flush");
    wait_until("the next file is ready", || path.with_file_name(".app.next").exists());
    fs::remove_file(path.with_file_name(".app.lock")).expect("removed");
    let test = "numbers_are_looked_for_again_after_the_lock_was_lost";
    finish(second_writer(test, "rotates", &path), &path);
    for number in 1..4 {
        log_as(&logger, 0, number..number + 1);
        logger.rotate().expect("rotate");
    }
    logger.close().expect("close");
    let segments = segments(&path);
    let different: BTreeSet<_> = segments.iter().collect();
    assert_eq!(different.len(), segments.len(), "{segments:?}");
    assert_eq!(active_segment(&path), *segments.iter().max().expect("one"));
    let mut found = numbers(&path);
    found.sort_unstable();
    assert_eq!(found, [0, 0, 1, 1, 2, 2, 3, 3], "of both writers");
}

/// Another writer has the log, and sets the file aside in which the first one goes on. The other's compression and
/// retention leave that file alone until the first writer closes.
#[test]
fn a_file_that_is_still_written_is_neither_compressed_nor_deleted() {
    if be_second_writer() {
        return;
    }
    let test = "a_file_that_is_still_written_is_neither_compressed_nor_deleted";
    for role in ["deletes", "compresses"] {
        let directory = directory();
        let path = log_path(&directory);
        let told = Told::open(config(&path));
        log_as(&told.logger, 0, 0..1);
        told.logger.flush().expect("flush");
        let ours = identity(&path);
        fs::remove_file(path.with_file_name(".app.lock")).expect("removed");
        let child = second_writer(test, role, &path);
        log_as(&told.logger, 0, 1..2);
        told.logger.flush().expect("flush");
        assert!(archived(&path).iter().any(|file| identity(file) == ours), "{role}");
        let archive = Archive::open(directory.path()).expect("the directory");
        let over = archive.segments().expect("listed");
        assert!(over.iter().all(|segment| identity(segment.path()) != ours), "{role}: {over:?}");
        let mut log = LogDir::open(&path).expect("the log");
        let mut of_ours = Vec::new();
        while let Some(record) = log.next_record().expect("a record") {
            let (thread, number) = Numbered::parse(record.bytes()).expect("an altered record");
            of_ours.extend((thread == 0).then_some(number));
        }
        assert_eq!(of_ours, [0, 1], "{role}");
        told.logger.close().expect("close");
        finish(child, &path);
    }
}

/// Somebody gives the active file the name of the lock file. The file's mark is no lock: the log goes on in a new file.
#[test]
fn a_log_that_gets_the_name_of_its_lock_goes_on() {
    let directory = directory();
    let path = log_path(&directory);
    let told = Told::open(config(&path));
    log_as(&told.logger, 0, 0..1);
    told.logger.flush().expect("flush");
    fs::rename(&path, path.with_file_name(".app.lock")).expect("renamed");
    log_as(&told.logger, 0, 1..2);
    wait_until("it goes on", || told.logger.flush().is_ok() && path.exists());
    log_as(&told.logger, 0, 2..3);
    told.logger.flush().expect("flush");
    assert_eq!(told.logger.health(), Health::Ok);
    let refused = Logger::new(config(&path)).expect_err("in use");
    assert_eq!(refused.kind(), ErrorKind::InUse);
    told.logger.close().expect("close");
    fs::rename(path.with_file_name(".app.lock"), path.with_file_name("app.log.1")).expect("back");
    assert_eq!(numbers(&path), [0, 1, 2]);
}

/// All files are deleted, and another writer begins before the first one has noticed: the path is left to the other.
#[test]
fn the_path_is_left_to_another_writer_when_the_file_is_deleted() {
    if be_second_writer() {
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let told = Told::open(config(&path));
    log_as(&told.logger, 0, 0..1);
    told.logger.flush().expect("flush");
    for name in ["app.log", ".app.lock"] {
        fs::remove_file(path.with_file_name(name)).expect("removed");
    }
    let test = "the_path_is_left_to_another_writer_when_the_file_is_deleted";
    let child = second_writer(test, "waits", &path);
    let others = identity(&path);
    log_as(&told.logger, 0, 1..2);
    let error = told.logger.flush().expect_err("there is no file for it");
    assert_eq!(error.kind(), ErrorKind::InUse, "{error:#}");
    assert_eq!(told.logger.health(), Health::Failing);
    assert_eq!(identity(&path), others, "the path is the other's");
    finish(child, &path);
    wait_until("the log is written again", || told.logger.flush().is_ok());
    log_as(&told.logger, 0, 2..3);
    let stats = told.logger.close().expect("close");
    assert_eq!((stats.durable, stats.lost), (3, 0));
    assert_eq!(numbers(&path), [1, 2]);
    let [aside] = &archived(&path)[..] else { panic!("{:?}", archived(&path)) };
    assert_eq!(numbers(aside), [0], "the other's record");
}

/// The file is deleted directly after a look at it.
#[test]
fn what_is_logged_after_a_deletion_is_in_no_deleted_file() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(config(&path));
    for round in 0..20 {
        let first = round * 1000;
        log_as(&logger, 0, first..first + 1);
        logger.flush().expect("flush");
        fs::remove_file(&path).expect("removed");
        // More than a buffer, so a block is written without a flush.
        assert_eq!(log_as(&logger, 0, first + 1..first + 900), 899);
        logger.flush().expect("flush");
        assert!(numbers(&path).into_iter().eq(first + 1..first + 900), "{round}");
    }
    logger.close().expect("close");
    let path = directory.path().join("event.log");
    let config = Config::new(directory.path().join("base.log")).buffer_size(8 << 20);
    let manager = LoggerManager::new(config.overflow(Overflow::Block)).expect("a manager");
    let mut record = Numbered::new();
    for round in 0..20 {
        for number in [2 * round, 2 * round + 1] {
            manager.log_bytes_with_event("event", record.make(0, number, 100));
            manager.flush().expect("flush");
            if number == 2 * round {
                fs::remove_file(&path).expect("removed");
            }
        }
        assert_eq!(numbers(&path), [2 * round + 1]);
    }
    manager.close().expect("close");
}

/// The lock file was given to root while a logger without rights holds it: another one without rights cannot open it,
/// and does not go on without. And who has locked the log alone, since it may not make files, is seen by root.
#[test]
fn a_lock_that_cannot_be_opened_is_a_lock() {
    if let Some(path) = child_role().as_deref().and_then(|role| role.strip_prefix("refused ")) {
        become_nobody();
        let error = Logger::new(config(Path::new(path))).expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::InUse, "{error:#}");
        return;
    }
    if be_second_writer() {
        return;
    }
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only root can become somebody else");
        return;
    }
    let test = "a_lock_that_cannot_be_opened_is_a_lock";
    for may_make_files in [true, false] {
        let top = reachable();
        chown(top.path(), Some(NOBODY), None).expect("an owner");
        let dir = top.path().join("logs");
        fs::create_dir(&dir).expect("a directory");
        let path = dir.join("app.log");
        if may_make_files {
            chown(&dir, Some(NOBODY), None).expect("an owner");
        } else {
            File::create(&path).expect("a file");
            chown(&path, Some(NOBODY), None).expect("an owner");
        }
        let holder = Command::new(std::env::current_exe().expect("this binary"))
            .args([&format!("rotation::lost_lock::{test}"), "--exact", "--test-threads=1"])
            .env("CHILD", format!("nobody {}", path.display()))
            .spawn();
        let mut holder = Doomed(holder.expect("a child"));
        wait_until("it has the log", || top.path().join("ready").exists());
        let lock = path.with_file_name(".app.lock");
        assert_eq!(lock.exists(), may_make_files);
        if may_make_files {
            chown(&lock, Some(0), Some(0)).expect("an owner");
            let refused = format!("refused {}", path.display());
            crate::support::in_child(&format!("rotation::lost_lock::{test}"), &refused);
        }
        let error = Logger::new(config(&path)).expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::InUse, "{error:#}");
        assert_eq!(lock.exists(), may_make_files, "what is refused leaves nothing behind");
        fs::write(top.path().join("done"), "").expect("told");
        assert!(holder.0.wait().expect("the child").success());
    }
}
