//! The room for a map, and the room for the records of a dead process.

use std::{
    fs,
    io::Write,
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::Path,
    process::Command,
    time::Duration,
};

use asynclogger::{Config, CrashSafe, ErrorKind, Logger, Overflow};

use super::{
    cgroup::MemoryGroup,
    dying::{Home, Role, Thread},
    maps::{HELD, dead},
};
use crate::{
    mounts::{FileSystem, or_skip, skipped},
    support::{limit_file_size, wait_until},
};

const CHILD: &str = "crash_safe::rooms::child_opens";

/// The child: opens a logger where there is little room.
#[test]
fn child_opens() {
    let Some(role) = Role::get() else {
        return;
    };
    let (way, argument) = role.way.split_once('@').unwrap_or((&role.way, ""));
    let names_the_remedy = |config: Config, why: &str| {
        let error = Logger::new(config).expect_err("too little room");
        assert_eq!(error.kind(), ErrorKind::CrashMap, "{error}");
        let text = error.to_string();
        for word in [why, "buffer_size", "--shm-size", "CrashSafe::in_dir"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        println!("{text}");
    };
    let large = || role.config().buffer_size(64 << 20).num_shards(8);
    match way {
        // `/dev/shm` is mounted anew, as Docker does: with 64 MB. The default logger needs twice that.
        "docker" => {
            let log = Config::new(role.home.join("logs/app.log"));
            let shared = CrashSafe::shared_memory;
            names_the_remedy(log.clone().crash_safe(shared()), "the file system has");
            let elsewhere = shared().or_in_dir(&role.maps);
            let logger = Logger::new(log.clone().crash_safe(elsewhere)).expect("a logger");
            assert!(logger.crash_map().is_some_and(|map| map.starts_with(&role.maps)));
            logger.close().expect("closed");
            let logger = Logger::new(log.clone().crash_safe(shared().or_without()));
            let logger = logger.expect("a logger");
            assert_eq!(logger.crash_map(), None);
            logger.close().expect("closed");
            // 24 MiB of buffers, twice, have room.
            let small = log.buffer_size(24 << 20).crash_safe(shared());
            let logger = Logger::new(small).expect("a logger");
            assert!(logger.crash_map().is_some_and(|map| map.starts_with("/dev/shm")));
            for _ in 0..100_000 {
                logger.log_bytes(&[1; 400]);
            }
            logger.close().expect("closed");
        }
        "fsize" => {
            limit_file_size(1 << 20);
            names_the_remedy(large(), "RLIMIT_FSIZE");
            // The default action of the signal is to end the process.
            // SAFETY: as at the start of a process.
            unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
            names_the_remedy(large(), "RLIMIT_FSIZE");
        }
        "group" => {
            MemoryGroup::enter(Path::new(argument));
            let in_memory = large().crash_safe(CrashSafe::in_dir(&role.maps));
            names_the_remedy(in_memory, "the memory limit of the control group");
        }
        _ => panic!("{way}"),
    }
}

fn is_well(output: &std::process::Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {errors}", output.status);
}

#[test]
fn dockers_shared_memory_is_too_small_for_the_default_and_that_is_said() {
    let home = Home::new();
    let child = home.child(CHILD, "docker");
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=64m,mode=1777 shm /dev/shm && exec \"$@\"";
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(child.get_program()).args(child.get_args());
    for (name, value) in child.get_envs() {
        command.env(name, value.expect("set"));
    }
    if Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
        is_well(&command.output().expect("an end"));
        assert_eq!(home.all_maps().len(), 0);
    } else {
        skipped("no mount namespace can be made");
    }
}

#[test]
fn a_limit_of_files_below_the_map_is_an_error() {
    let home = Home::new();
    is_well(&home.child(CHILD, "fsize").output().expect("an end"));
    assert_eq!(home.all_maps().len(), 0);
}

/// A file in memory beyond the limit of a group would be the end of the process.
#[test]
fn a_group_with_too_little_memory_is_an_error() {
    if crate::support::child_role().is_some() {
        return;
    }
    let Some(group) = or_skip(MemoryGroup::new(64 << 20)) else {
        return;
    };
    let maps = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let home = Home::with_maps(crate::support::directory(), maps.path().into());
    let way = format!("group@{}", group.path().display());
    is_well(&home.child(CHILD, &way).output().expect("an end"));
    assert_eq!((home.all_maps().len(), group.kills()), (0, 0));
}

/// A file system that is too small for the map, by a little: the error comes before anything is touched.
#[test]
fn a_file_system_that_is_too_small_is_an_error() {
    let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(1)) else {
        return;
    };
    let home = Home::new();
    let maps = mounted.path().join("maps");
    let at = |bytes: usize| {
        let config = home.config().buffer_size(bytes).num_shards(2);
        Logger::new(config.crash_safe(CrashSafe::in_dir(&maps)))
    };
    let error = at(1 << 20).expect_err("too small");
    assert_eq!(error.kind(), ErrorKind::CrashMap, "{error}");
    let before = mounted.free();
    let logger = at(256 << 10).expect("a logger");
    // All of it is allocated soon after the opening, without a record.
    wait_until("it is allocated", || before - mounted.free() >= 512 << 10);
    logger.close().expect("closed");
    drop(logger);
    assert_eq!(mounted.free(), before);
}

/// The disk of the log is full when the successor starts: it is told, and nothing is discarded. Once there is room,
/// the next one finds everything.
#[test]
fn a_full_disk_discards_nothing_of_the_dead_process() {
    let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(16)) else {
        return;
    };
    let home = dead();
    // The log goes to the small file system, and with it the space for its records.
    let logs = mounted.path().join("logs");
    fs::create_dir(&logs).expect("a directory");
    for entry in fs::read_dir(home.path().join("logs")).expect("the directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), logs.join(entry.file_name())).expect("copied");
    }
    let path = logs.join("app.log");
    let config = || home.config_at(&path).flush_timeout(Duration::from_millis(100));
    let filler = mounted.fill_up_to(0);
    let map = home.map();
    for attempt in 0..2 {
        let error = Logger::new(config()).expect_err("a full disk");
        assert_eq!(error.kind(), ErrorKind::Io, "attempt {attempt}: {error:#}");
        assert_eq!(home.all_maps(), [&*map], "attempt {attempt}");
    }
    fs::remove_file(filler).expect("removed");
    let logger = Logger::new(config()).expect("a logger");
    assert_eq!(logger.salvage().sessions.len(), 1, "{:?}", logger.salvage());
    logger.close().expect("closed");
    assert_eq!(home.all_maps().len(), 0);
    let found = super::dying::records(&path, 1);
    assert!(found[0].iter().copied().eq(0..HELD), "{} of {HELD} records", found[0].len());
}

/// The same with another directory to go to: everything is written there at once.
#[test]
fn a_full_disk_is_left_for_the_other_directory() {
    let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(16)) else {
        return;
    };
    let home = Home::new();
    let away = home.path().join("away");
    let path = mounted.path().join("app.log");
    let config =
        || home.config_at(&path).flush_timeout(Duration::from_millis(100)).failover_dir(&away);
    mounted.fill_up_to(1 << 20);
    // The file of the dead process has its start, and its records do not fit any more.
    let status = home.run("crash_safe::rooms::child_fills", &format!("fills@{}", path.display()));
    assert!(!status.success());
    let filler = mounted.fill_up_to(0);
    // The log cannot be opened on a full disk. But the records of the dead process are safe before that.
    let error = Logger::new(config()).expect_err("a full disk");
    assert_eq!(error.kind(), ErrorKind::Io, "{error:#}");
    assert_eq!(home.all_maps().len(), 0);
    fs::remove_file(filler).expect("removed");
    // In one directory they are one log.
    let all = home.path().join("all");
    fs::create_dir(&all).expect("a directory");
    for (from, to) in [(mounted.path(), "home"), (&*away, "away")] {
        for entry in fs::read_dir(from).expect("the directory") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("text");
            if name.ends_with(".log") {
                let name = if name == "app.log" && to == "home" {
                    "app_2020-01-01_00-00-00.log".to_owned()
                } else {
                    name
                };
                fs::copy(entry.path(), all.join(name)).expect("copied");
            }
        }
    }
    let found = super::dying::records(&all.join("app.log"), 1);
    assert!(found[0].iter().copied().eq(0..home.counts().get(0)), "{}", found[0].len());
}

/// The child: logs more than its disk takes, and dies.
#[test]
fn child_fills() {
    let Some(role) = Role::get() else {
        return;
    };
    let (_, path) = role.way.split_once('@').expect("a path");
    let config = Config::new(path)
        .buffer_size(2 * (64 << 10))
        .num_shards(2)
        .failover_dir(role.home.join("away"))
        .crash_safe(CrashSafe::in_dir(&role.maps));
    let logger = Logger::new(config).expect("a logger");
    super::dying::log_some(&logger, &role.counts(), 0, 1_000);
    std::process::abort();
}

/// The child: takes all room from the map that it has just made, goes on, and dies.
#[test]
fn child_takes_the_room() {
    let Some(role) = Role::get() else {
        return;
    };
    let config = role.config().buffer_size(28 << 20).num_shards(2).overflow(Overflow::Block);
    let logger = Logger::new(config).expect("a logger");
    let mut filler = fs::File::create(role.maps.with_file_name("filler")).expect("the filler");
    while filler.write_all(&[1; 64 << 10]).is_ok() {}
    super::dying::log_some(&logger, &role.counts(), 0, 60_000);
    std::process::abort();
}

/// The file system of the map fills up behind the opening: no page is touched that the map does not have, neither by the
/// process nor by its salvager, and no record is lost.
#[test]
fn a_file_system_that_fills_up_behind_the_opening_ends_nobody() {
    let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(64)) else {
        return;
    };
    let home = Home::with_maps(crate::support::directory(), mounted.path().join("maps"));
    let status = home.run("crash_safe::rooms::child_takes_the_room", "fills");
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{status:?}");
    let map = home.map().metadata().expect("the map");
    println!("{} of {} bytes of the map are allocated", map.blocks() * 512, map.len());
    // What an attempt in vain gives back again can be free.
    assert!(mounted.free() < 1 << 20, "{} bytes are free", mounted.free());

    let elsewhere = CrashSafe::in_dir(home.maps()).or_in_dir(home.path().join("other"));
    let logger = Logger::new(home.config().crash_safe(elsewhere)).expect("a logger");
    assert_eq!(logger.salvage().left_alone, []);
    assert_eq!(logger.salvage().sessions.len(), 1);
    logger.close().expect("closed");
    assert_eq!(home.all_maps().len(), 0);
    home.assert_in_log(&[Thread::Still], "a full file system");
}

/// The numbers of the documentation: the room that a map takes beside its buffers.
#[test]
fn a_map_takes_little_more_than_its_buffers() {
    let home = Home::new();
    for (bytes, shards) in [(64 << 20, 8), (24 << 20, 8), (2 << 17, 2)] {
        let config = home.config().buffer_size(bytes).num_shards(shards);
        let logger = Logger::new(config).expect("a logger");
        let len = home.map().metadata().expect("the map").len();
        let buffers = 2 * bytes as u64;
        println!("{shards} shards, buffer_size {bytes}: the map has {len} bytes");
        assert!(len >= buffers && len - buffers < 600 << 10, "{len} for {buffers}");
        logger.close().expect("closed");
    }
}
