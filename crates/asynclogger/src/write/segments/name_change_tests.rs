//! Names change while somebody renames, deletes or replaces files between two steps, and on file systems that lack
//! links, exchanges, renames that replace nothing, or files without a name.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    Config, Logger, Rotation,
    io::{Ability, Moment, World},
    read::LogDir,
};

struct Place {
    directory: tempfile::TempDir,
    world: World,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        let world = World::of(directory.path());
        Place { directory, world }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self) -> Logger {
        let config = Config::new(self.path("app.log")).buffer_size(128 << 10).num_shards(2);
        let rotation = Rotation::new().max_age(std::time::Duration::from_secs(3600));
        Logger::new(config.rotation(rotation)).expect("a logger")
    }

    /// Files that begin with this, except for lock files.
    fn names(&self, begin: &str) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).expect("a directory");
        let names =
            entries.map(|entry| entry.expect("it").file_name().into_string().expect("text"));
        names.filter(|name| name.starts_with(begin) && !name.ends_with(".lock")).collect()
    }
}

fn log(logger: &Logger, number: u64) {
    logger.log(&number.to_string());
    logger.flush().expect("flush");
}

/// All records, in order; no number of a segment comes twice, and no segment is missing.
fn records(path: &Path) -> Vec<u64> {
    let mut log = LogDir::open(path).expect("a log");
    assert!(log.missing().is_empty(), "{:?}", log.missing());
    let numbers: BTreeSet<u64> = log.segments().iter().map(|segment| segment.id).collect();
    assert_eq!(numbers.len(), log.segments().len(), "a number twice");
    assert!(log.copies().is_empty(), "{:?}", log.copies());
    let mut records = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        records.push(String::from_utf8_lossy(record.bytes()).parse().expect("a number"));
    }
    records
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").ino()
}

/// Rotates while `act` happens between the link of the archived name and the exchange of names.
fn rotate_while(act: impl FnOnce(&Path) + Send + 'static) -> Place {
    let place = Place::new();
    let path = place.path("app.log");
    let logger = place.open();
    log(&logger, 0);
    let old = inode(&path);
    let directory = place.directory.path().to_owned();
    place.world.act_at(Moment::BeforeExchange, move || act(&directory));
    logger.rotate().expect("rotate");
    assert!(place.world.has_acted());
    // At once, and not after the next record.
    assert_ne!(inode(&path), old, "a new file has the path");
    log(&logger, 1);
    logger.rotate().expect("rotate");
    log(&logger, 2);
    logger.close().expect("close");
    // Each file of the log has one name.
    let mut inodes = BTreeSet::new();
    for name in place.names("app") {
        assert!(inodes.insert(inode(&place.path(&name))), "{name} has two names");
    }
    place
}

#[test]
fn a_log_that_is_renamed_within_a_rotation_has_a_new_file_at_once() {
    let place = rotate_while(|directory| {
        fs::rename(directory.join("app.log"), directory.join("app.log.1")).expect("renamed");
    });
    assert_eq!(records(&place.path("app.log")), [0, 1, 2]);
    assert!(place.path("app.log.1").is_file());
    assert_eq!(place.names("app_").len(), 1, "the renamed file has the name that it was given");
    assert_eq!(place.names(".app"), [""; 0]);
}

/// The next file is renamed as soon as it has the log's path, with its number and without a record.
#[test]
fn a_new_file_that_is_renamed_at_once_keeps_its_number() {
    let place = Place::new();
    let logger = place.open();
    log(&logger, 0);
    let (from, to) = (place.path("app.log"), place.path("app.log.1"));
    place.world.act_at(Moment::AfterExchange, move || fs::rename(from, to).expect("renamed"));
    logger.rotate().expect("rotate");
    assert!(place.world.has_acted());
    log(&logger, 1);
    logger.rotate().expect("rotate");
    log(&logger, 2);
    logger.close().expect("close");
    assert_eq!(records(&place.path("app.log")), [0, 1, 2]);
    assert!(place.path("app.log.1").is_file());
    assert_eq!(place.names("app_").len(), 2, "the first file, and the one behind the renamed one");
    assert_eq!(place.names(".app"), [""; 0]);
}

/// Somebody gives the prepared file, which has a number, a name that readers look at.
#[test]
fn a_prepared_file_that_is_renamed_within_a_rotation_keeps_its_number() {
    let place = rotate_while(|directory| {
        fs::rename(directory.join(".app.next"), directory.join("app.log.1")).expect("renamed");
    });
    // That no number has two files is looked at there.
    assert_eq!(records(&place.path("app.log")), [0, 1, 2]);
    assert!(place.path("app.log.1").is_file());
    assert_eq!(place.names(".app"), [""; 0]);
}

/// The archived name is the file's last one by then: durable records are not deleted by us.
#[test]
fn a_log_that_is_deleted_within_a_rotation_keeps_its_archived_name() {
    let place = rotate_while(|directory| {
        fs::remove_file(directory.join("app.log")).expect("removed");
    });
    assert_eq!(records(&place.path("app.log")), [0, 1, 2]);
    assert_eq!(place.names("app_").len(), 2);
    assert_eq!(place.names(".app"), [""; 0]);
}

#[test]
fn a_file_that_takes_the_logs_place_within_a_rotation_is_put_aside() {
    let place = rotate_while(|directory| {
        fs::rename(directory.join("app.log"), directory.join("app.log.1")).expect("renamed");
        fs::write(directory.join("app.log"), "precious").expect("written");
    });
    let is_precious = |name: &String| fs::read(place.path(name)).expect("it") == b"precious";
    assert_eq!(place.names("app_").into_iter().filter(is_precious).count(), 1);
    assert_eq!(records(&place.path("app.log")), [0, 1, 2]);
    assert_eq!(place.names(".app"), [""; 0]);
}

#[test]
fn a_prepared_file_that_is_deleted_within_a_rotation_is_made_again() {
    for with_log in [false, true] {
        let place = rotate_while(move |directory| {
            fs::remove_file(directory.join(".app.next")).expect("removed");
            if with_log {
                fs::rename(directory.join("app.log"), directory.join("app.log.1")).expect("it");
            }
        });
        assert_eq!(records(&place.path("app.log")), [0, 1, 2], "{with_log}");
        assert_eq!(place.names(".app"), [""; 0]);
    }
}

#[test]
fn a_file_that_replaces_the_prepared_one_within_a_rotation_is_left_alone() {
    for with_log in [false, true] {
        let place = rotate_while(move |directory| {
            fs::remove_file(directory.join(".app.next")).expect("removed");
            fs::write(directory.join(".app.next"), "precious").expect("written");
            if with_log {
                fs::rename(directory.join("app.log"), directory.join("app.log.1")).expect("it");
            }
        });
        assert_eq!(records(&place.path("app.log")), [0, 1, 2], "{with_log}");
        assert_eq!(fs::read(place.path(".app.next")).expect("it"), b"precious");
    }
}

/// Every set of abilities that a file system can lack.
fn lacks() -> impl Iterator<Item = Vec<Ability>> {
    let all = [Ability::Links, Ability::Exchange, Ability::NoReplace, Ability::Unnamed];
    (0..1 << all.len()).map(move |set: usize| {
        all.iter()
            .enumerate()
            .filter(|(n, _)| set & 1 << n != 0)
            .map(|(_, ability)| *ability)
            .collect()
    })
}

/// A reader opens the log all the while: what was durable before it began is what it reads, in order and once.
#[test]
fn rotation_works_on_file_systems_that_lack_something() {
    const ROTATIONS: u64 = 12;
    for lacks in lacks() {
        let place = Place::new();
        place.world.lacks(&lacks);
        let path = place.path("app.log");
        let logger = place.open();
        log(&logger, 0);
        let (durable, is_over) = (AtomicU64::new(1), AtomicBool::new(false));
        // Only without both is there a moment between two renames.
        let has_gap = lacks.contains(&Ability::Links) && lacks.contains(&Ability::Exchange);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut reads = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    let least = durable.load(Ordering::Acquire);
                    assert!(has_gap || path.exists(), "{lacks:?}: the path names nothing");
                    let found = records(&path);
                    assert!(
                        found.iter().copied().eq(0..found.len() as u64),
                        "{lacks:?}: {found:?}"
                    );
                    assert!(found.len() as u64 >= least, "{lacks:?}: {found:?} of {least}");
                    reads += 1;
                }
                reads
            });
            for number in 1..=ROTATIONS {
                logger.rotate().unwrap_or_else(|error| panic!("{lacks:?}: {error:#}"));
                log(&logger, number);
                durable.store(number + 1, Ordering::Release);
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(reader.join().expect("a reader") > 0);
        });
        logger.close().expect("close");
        assert!(records(&path).into_iter().eq(0..=ROTATIONS), "{lacks:?}");
        assert_eq!(place.names("app_").len() as u64, ROTATIONS, "{lacks:?}");
        assert_eq!(place.names(".app"), [""; 0], "{lacks:?}");
    }
}

/// The world acts within a rotation on a file system that lacks something.
#[test]
fn a_log_that_is_renamed_within_a_rotation_goes_on_whatever_is_lacking() {
    for lacks in lacks() {
        let place = Place::new();
        place.world.lacks(&lacks);
        let logger = place.open();
        log(&logger, 0);
        let (from, to) = (place.path("app.log"), place.path("app.log.1"));
        place.world.act_at(Moment::BeforeExchange, move || fs::rename(from, to).expect("renamed"));
        logger.rotate().unwrap_or_else(|error| panic!("{lacks:?}: {error:#}"));
        assert!(place.path("app.log").is_file(), "{lacks:?}");
        log(&logger, 1);
        logger.close().expect("close");
        assert_eq!(records(&place.path("app.log")), [0, 1], "{lacks:?}");
        assert_eq!(place.names("app_"), [""; 0], "{lacks:?}");
    }
}

/// On a file system without nameless files, a process that is killed leaves an empty file under a hidden name of ours.
/// Nothing proves whose file that is: it stays, and the log takes another name.
#[test]
fn an_empty_file_under_a_hidden_name_stays_and_hinders_nobody() {
    for lacks in [&[][..], &[Ability::Unnamed]] {
        let place = Place::new();
        place.world.lacks(lacks);
        fs::write(place.path(".app.next"), "").expect("written");
        let logger = place.open();
        for number in 0..3 {
            log(&logger, number);
            logger.rotate().expect("rotate");
        }
        logger.close().expect("close");
        assert_eq!(fs::read(place.path(".app.next")).expect("it"), b"");
        assert_eq!(place.names(".app"), [".app.next"]);
        assert_eq!(records(&place.path("app.log")), [0, 1, 2]);
    }
}

/// The numbers of compressed segments stand in the compressed bytes. A build that cannot read them refuses to begin a
/// log anew beside them, and goes on with an active file, which has the greatest number itself.
#[cfg(not(feature = "zstd"))]
#[test]
fn a_build_that_cannot_read_compressed_segments_does_not_number_beside_them() {
    let place = Place::new();
    let compressed = place.path("app_2026-01-01_00-00-00.log.zst");
    let logger = place.open();
    log(&logger, 0);
    logger.close().expect("close");
    fs::write(&compressed, b"\x28\xb5\x2f\xfd").expect("written");
    let logger = place.open();
    log(&logger, 1);
    logger.rotate().expect("rotate");
    logger.close().expect("close");
    assert_eq!(place.names("app_").len(), 2);
    fs::remove_file(place.path("app.log")).expect("removed");
    let before = place.names("");
    let error = Logger::new(Config::new(place.path("app.log"))).expect_err("refused");
    assert_eq!(error.kind(), crate::ErrorKind::MissingFeature);
    assert!(error.to_string().contains("`zstd`"), "{error}");
    assert_eq!(place.names(""), before, "nothing was made");
    fs::write(place.path("app.log"), "a foreign file").expect("written");
    let error = Logger::new(Config::new(place.path("app.log"))).expect_err("refused");
    assert_eq!(error.kind(), crate::ErrorKind::MissingFeature);
    assert_eq!(fs::read(place.path("app.log")).expect("it"), b"a foreign file");
    fs::remove_file(place.path("app.log")).expect("removed");
    fs::remove_file(compressed).expect("removed");
    let logger = place.open();
    log(&logger, 2);
    logger.close().expect("close");
    assert_eq!(records(&place.path("app.log")), [0, 1, 2]);
}
