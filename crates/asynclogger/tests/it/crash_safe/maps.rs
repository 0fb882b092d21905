//! The map as a file: whose it is, who may have it, where its records go.

use std::{
    fs::{self, File},
    os::unix::{
        fs::{FileExt, MetadataExt, PermissionsExt, symlink},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::Child,
};

use asynclogger::{Config, CrashSafe, ErrorKind, Logger, LoggerManager, Opened, Rotation, Salvage};

use super::dying::{Home, Role, Thread, end_of, log_some, records};
use crate::{mounts::skipped, support::wait_until};

const CHILD: &str = "crash_safe::maps::child_holds";
/// Records of a child, more than its buffers have room for: some are in the file, and some are not.
pub const HELD: u64 = 6_000;

/// The child: logs, and keeps its logger until it is killed.
#[test]
fn child_holds() {
    let Some(role) = Role::get() else {
        return;
    };
    let (way, argument) = role.way.split_once('@').unwrap_or((&role.way, ""));
    let config = role.config();
    let logger;
    match way {
        "holds" | "rotates" => {
            logger = Logger::new(config).expect("a logger");
            log_some(&logger, &role.counts(), 0, HELD / 2);
            if way == "rotates" {
                logger.rotate().expect("rotated");
            }
            log_some(&logger, &role.counts(), 0, HELD - HELD / 2);
        }
        // For a moment the successor of a dead process: one of several.
        "opens" => {
            let start = Path::new(argument);
            wait_until("the start", || start.exists());
            let code = match Logger::new(config) {
                Ok(logger) => {
                    let records = logger.salvage().records();
                    logger.close().expect("closed");
                    10 + i32::from(records > 0)
                }
                Err(error) if error.kind() == ErrorKind::InUse => 12,
                Err(error) => panic!("{error:#}"),
            };
            // SAFETY: nothing of this process has to run any more.
            unsafe { libc::_exit(code) };
        }
        _ => panic!("{way}"),
    }
    role.ready();
    loop {
        std::thread::park();
    }
}

pub fn kill(mut child: Child) {
    let _ = child.kill();
    assert_eq!(end_of(child).signal(), Some(libc::SIGKILL));
}

/// A log whose process is dead, and has left a map.
pub fn dead() -> Home {
    let home = Home::new();
    kill(home.start(CHILD, "holds"));
    assert_eq!(home.counts().get(0), HELD);
    home
}

fn opened(config: Config) -> (Salvage, Opened) {
    let logger = Logger::new(config).expect("a logger");
    let found = (logger.salvage().clone(), logger.opened().clone());
    logger.close().expect("closed");
    found
}

/// Opens the log, and expects that the map is left alone, for this reason, with every byte.
pub fn is_left_alone(home: &Home, map: &Path, reason: &str) {
    let before = fs::read(map).expect("the map");
    let (salvage, _) = opened(home.config());
    assert!(salvage.sessions.is_empty(), "{salvage:?}");
    let [left] = &salvage.left_alone[..] else {
        panic!("{reason}: {salvage:?}");
    };
    assert_eq!(left.map, map);
    assert!(left.reason.contains(reason), "{reason}: {}", left.reason);
    assert!(fs::read(map).expect("the map") == before, "{reason}: the map has changed");
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it is there").mode() & 0o777
}

#[test]
fn the_map_is_its_users_alone() {
    let home = Home::new();
    let logger = Logger::new(home.config()).expect("a logger");
    assert_eq!(mode(&home.map()), 0o600);
    logger.close().expect("closed");
    // SAFETY: asks for a number.
    let user = unsafe { libc::geteuid() };
    let shared = home.config().crash_safe(CrashSafe::shared_memory());
    let logger = Logger::new(shared).expect("a logger");
    let map = logger.crash_map().expect("a map");
    let directory = PathBuf::from(format!("/dev/shm/asynclogger-{user}"));
    assert_eq!(map.parent(), Some(&*directory));
    assert_eq!((mode(&map), mode(&directory)), (0o600, 0o700));
    logger.close().expect("closed");
    assert!(!map.exists());
}

/// Nothing is followed: a link with the name of a map is no map, and neither is a directory or a pipe.
#[test]
fn what_only_looks_like_a_map_is_not_touched() {
    let home = dead();
    let map = home.map();
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&map, &elsewhere).expect("renamed");
    let before = fs::read(&elsewhere).expect("the map");
    let name = |what: &str| home.maps().join(format!("{what}.asynclogger-map"));
    symlink(&elsewhere, &map).expect("a link");
    symlink("/nowhere", name("dangling")).expect("a link");
    fs::create_dir(name("directory")).expect("a directory");
    let pipe = std::ffi::CString::new(name("pipe").to_str().expect("text")).expect("no NUL");
    // SAFETY: the name ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    fs::write(name("empty"), "").expect("written");
    fs::write(name("text"), "no map").expect("written");
    let (salvage, _) = opened(home.config());
    assert!(salvage.sessions.is_empty(), "{salvage:?}");
    assert!(fs::read(&elsewhere).expect("the map") == before);
    for what in ["dangling", "directory", "pipe", "empty", "text"] {
        assert!(name(what).symlink_metadata().is_ok(), "{what} is gone");
    }
    // The map itself, under its name again, is one.
    fs::remove_file(&map).expect("removed");
    fs::rename(&elsewhere, &map).expect("renamed");
    assert_eq!(opened(home.config()).0.sessions.len(), 1);
    assert_eq!(records(&home.log(), 1)[0].len() as u64, HELD);
}

#[test]
fn the_map_of_another_user_is_left_alone() {
    let home = dead();
    let map = home.map();
    let before = fs::read(&map).expect("the map");
    if let Err(error) = std::os::unix::fs::chown(&map, Some(12_345), None) {
        skipped(&format!("giving a file away: {error}"));
        return;
    }
    let (salvage, _) = opened(home.config());
    assert!(salvage.sessions.is_empty(), "{salvage:?}");
    assert!(fs::read(&map).expect("the map") == before);
    // SAFETY: asks for a number.
    let user = unsafe { libc::geteuid() };
    std::os::unix::fs::chown(&map, Some(user), None).expect("taken back");
    assert_eq!(opened(home.config()).0.sessions.len(), 1);
}

/// The bytes of a map with a change, written in place.
fn changed(map: &Path, at: u64, bytes: &[u8]) -> Vec<u8> {
    let file = File::options().read(true).write(true).open(map).expect("the map");
    let mut before = vec![0; bytes.len()];
    file.read_exact_at(&mut before, at).expect("read");
    file.write_all_at(bytes, at).expect("written");
    before
}

/// A newer library's map, a damaged head, a map of another boot: nothing of them is touched, and afterwards, with the
/// old bytes, all records are there.
#[test]
fn maps_that_cannot_be_read_are_left_alone_and_reported() {
    let home = dead();
    let map = home.map();
    for (at, bytes, reason) in [
        (8, &[9, 0, 0, 0][..], "unknown version 9"),
        (0, b"B", "damaged"),
        (17, &[0xAA], "damaged"),
        (30, &[0xAA; 4], "damaged"),
        (16_383, &[1], "damaged"),
    ] {
        let before = changed(&map, at, bytes);
        is_left_alone(&home, &map, reason);
        changed(&map, at, &before);
    }
    assert_eq!(opened(home.config()).0.sessions.len(), 1);
    // Some openings have set the file of the dead process aside: its records are there nevertheless.
    home.assert_in_log(&[Thread::Still], "afterwards");
}

/// The head with another boot's id, and its checksum made anew.
#[test]
fn a_map_of_another_boot_is_left_alone() {
    let home = dead();
    let map = home.map();
    let mut head = fs::read(&map).expect("the map");
    head.truncate(16 << 10);
    let boot_at = 20 + 16 + 8;
    let boot = head[boot_at];
    head[boot_at] ^= 1;
    let sum = crc32c(&head[20..]).to_le_bytes();
    head[16..20].copy_from_slice(&sum);
    let before = changed(&map, 0, &head);
    assert_eq!(before[boot_at], boot);
    is_left_alone(&home, &map, "another boot");
    changed(&map, 0, &before);
    assert_eq!(opened(home.config()).0.sessions.len(), 1);
    home.assert_in_log(&[Thread::Still], "afterwards");
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0x82F6_3B78 * (sum & 1)))
    })
}

#[test]
fn a_map_that_was_cut_is_left_alone() {
    let home = dead();
    let map = home.map();
    let whole = fs::read(&map).expect("the map");
    let len = whole.len() as u64;
    for cut in [0, 1, 8, 20, 16_383, 16_384, 16_385, 20_480, 65_536, len / 2, len - 4096, len - 1] {
        let file = File::options().write(true).open(&map).expect("the map");
        file.set_len(cut).expect("cut");
        is_left_alone(&home, &map, "");
        file.set_len(len).expect("a length");
        file.write_all_at(&whole, 0).expect("written");
    }
    assert_eq!(opened(home.config()).0.sessions.len(), 1);
    home.assert_in_log(&[Thread::Still], "afterwards");
}

/// One of several successors salvages. The others wait for nothing, and are refused, or come after it.
#[test]
fn successors_that_start_at_once_salvage_once() {
    for _ in 0..6 {
        let home = dead();
        let start = home.path().join("start");
        let way = format!("opens@{}", start.display());
        let children: Vec<_> =
            (0..4).map(|_| home.child(CHILD, &way).spawn().expect("a child")).collect();
        fs::write(&start, "").expect("written");
        let codes: Vec<_> =
            children.into_iter().map(|child| end_of(child).code().expect("a code")).collect();
        // The one that salvages can find the log in use afterwards: by one that came at once behind it.
        assert!(codes.iter().filter(|code| **code == 11).count() <= 1, "{codes:?}");
        assert!(codes.iter().all(|code| [10, 11, 12].contains(code)), "{codes:?}");
        assert_eq!(home.all_maps().len(), 0, "{codes:?}");
        home.assert_in_log(&[Thread::Still], "afterwards");
    }
}

/// A live owner's log is refused, and its map is not touched: also if somebody has removed the lock file of the log.
#[test]
fn a_live_owner_is_never_touched() {
    let home = Home::new();
    let child = home.start(CHILD, "holds");
    let map = home.map();
    // The child waits, and its flusher writes what is due.
    let mut before = Vec::new();
    wait_until("the map is at rest", || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let now = fs::read(&map).expect("the map");
        let is_at_rest = now == before;
        before = now;
        is_at_rest
    });
    let refused = |what: &str| {
        let error = Logger::new(home.config()).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::InUse, "{what}: {error}");
        assert!(fs::read(&map).expect("the map") == before, "{what}: the map has changed");
    };
    refused("with the lock file");
    fs::remove_file(home.path().join("logs/.app.lock")).expect("removed");
    refused("without the lock file");
    kill(child);
    let sessions = home.assert_kept(&[Thread::Still], "afterwards");
    assert_eq!(sessions.len(), 1);
}

#[test]
fn a_refused_opening_leaves_no_map() {
    let home = Home::new();
    let logger = Logger::new(home.config()).expect("a logger");
    let error = Logger::new(home.config()).expect_err("in use");
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert_eq!(home.all_maps(), [logger.crash_map().expect("a map")]);
    logger.close().expect("closed");
    let path = home.path().join("logs/directory.log");
    fs::create_dir(&path).expect("a directory");
    let error = Logger::new(Config::new(&path).crash_safe(CrashSafe::in_dir(home.maps())));
    assert_eq!(error.expect_err("a directory").kind(), ErrorKind::NotAFile);
    assert_eq!(home.all_maps().len(), 0);
}

#[test]
fn a_manager_says_where_its_map_is_and_leaves_none() {
    let home = Home::new();
    let manager = LoggerManager::new(home.config()).expect("a manager");
    manager.log_with_event("event", "record");
    assert_eq!(home.all_maps(), [manager.crash_map().expect("a map")]);
    manager.close().expect("closed");
    assert_eq!(home.all_maps().len(), 0);
}

/// The directory of the log was renamed before the restart: the records arrive where the log is now.
#[test]
fn a_log_that_was_moved_gets_its_records_at_its_new_path() {
    let home = dead();
    let (old, new) = (home.path().join("logs"), home.path().join("logs.old"));
    fs::rename(&old, &new).expect("moved");
    let path = new.join("app.log");
    let (salvage, opened_as) = opened(home.config_at(&path));
    assert_eq!(salvage.sessions.len(), 1, "{salvage:?}");
    let Opened::Salvaged { records: of_log, .. } = opened_as else {
        panic!("{opened_as:?}");
    };
    assert_eq!(of_log, salvage.records());
    assert_eq!(records(&path, 1)[0].len() as u64, HELD);
    assert!(!old.exists(), "nothing is made at the old path");
    assert_eq!(home.all_maps().len(), 0);
}

/// The same, and the service logs to the old path again: its new log gets the rest of the records, and says so.
#[test]
fn a_log_that_was_moved_away_gets_the_rest_at_its_old_path() {
    let home = dead();
    let (old, new) = (home.path().join("logs"), home.path().join("logs.old"));
    fs::rename(&old, &new).expect("moved");
    let (salvage, _) = opened(home.config());
    assert_eq!(salvage.sessions.len(), 1, "{salvage:?}");
    assert_eq!(home.all_maps().len(), 0);
    let safe = salvage.sessions[0].safe;
    assert_eq!(salvage.records() + safe, HELD, "{salvage:?}");
    let found = numbers(&old.join("app.log"));
    assert!(found.iter().copied().eq(safe..HELD), "{} found from {safe} on", found.len());
    let before = numbers(&new.join("app.log"));
    assert!(before.iter().copied().eq(0..before.len() as u64) && before.len() as u64 >= safe);
}

/// The numbers of all records of a log, whatever its segments lack.
fn numbers(log: &Path) -> Vec<u64> {
    let mut log = asynclogger::read::LogDir::open(log).expect("the log");
    let mut found = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        found.push(crate::support::Numbered::parse(record.bytes()).expect("whole").1);
    }
    found
}

#[test]
fn a_log_whose_file_was_deleted_gets_the_rest_in_a_new_one() {
    let home = dead();
    fs::remove_file(home.log()).expect("deleted");
    let (salvage, _) = opened(home.config());
    assert_eq!(salvage.sessions.len(), 1, "{salvage:?}");
    assert_eq!(home.all_maps().len(), 0);
    let safe = salvage.sessions[0].safe;
    assert_eq!(salvage.records() + safe, HELD, "{salvage:?}");
    assert!(numbers(&home.log()).into_iter().eq(safe..HELD));
}

#[test]
fn a_rotation_before_the_death_loses_nothing() {
    let home = Home::new();
    kill(home.start(CHILD, "rotates"));
    let logger = Logger::new(home.config().rotation(Rotation::new().max_size(1 << 20)));
    let logger = logger.expect("a logger");
    assert_eq!(logger.salvage().sessions.len(), 1);
    logger.close().expect("closed");
    home.assert_in_log(&[Thread::Still], "afterwards");
}

/// Without a place for the map, a logger is opened without one if the user allows that; and says so.
#[test]
fn a_logger_without_a_place_for_its_map_says_so() {
    let home = Home::new();
    let file = home.path().join("file");
    fs::write(&file, "").expect("written");
    let nowhere = file.join("maps");
    let refused = Logger::new(home.config().crash_safe(CrashSafe::in_dir(&nowhere)));
    assert!(refused.is_err());
    let allowed = CrashSafe::in_dir(&nowhere).or_without();
    let logger = Logger::new(home.config().crash_safe(allowed)).expect("a logger");
    assert_eq!(logger.crash_map(), None);
    logger.close().expect("closed");
    let other = CrashSafe::in_dir(&nowhere).or_in_dir(home.maps());
    let logger = Logger::new(home.config().crash_safe(other)).expect("a logger");
    assert_eq!(logger.crash_map(), Some(home.map()));
    logger.close().expect("closed");
}

/// A directory of the user's own is made with the rights of other directories; the map in it is the user's alone.
#[test]
fn the_map_in_a_directory_with_open_rights_is_its_users_alone() {
    let home = Home::new();
    fs::create_dir(home.maps()).expect("a directory");
    fs::set_permissions(home.maps(), fs::Permissions::from_mode(0o777)).expect("set");
    let logger = Logger::new(home.config()).expect("a logger");
    assert_eq!(mode(&home.map()), 0o600);
    logger.close().expect("closed");
}
