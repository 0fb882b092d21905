//! A name is not a file: a file is counted, deleted, compressed or removed only after proof that it is ours.

use std::os::unix::fs::{FileExt, MetadataExt};

use super::*;
use crate::{
    format::{MAX_ALIGN, Prefix, Start},
    io::{Ability, World},
    write::common::wall_clock,
};

/// Gives the file's start another time, as a wrong clock would have.
fn set_started(path: &Path, time: i64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("a file");
    let mut source = Source::open(path).expect("a file");
    let Origin { prefix, previous, name } =
        Origin::read(&mut source).expect("read").expect("a start");
    let mut start = vec![0; prefix.align as usize];
    assert!(start.len() <= MAX_ALIGN);
    let first_sequence = 0;
    Start { previous, first_sequence, name: &name }.encode(&Prefix { time, ..prefix }, &mut start);
    file.write_all_at(&start, 0).expect("written");
}

fn start_again(log: &Log) -> Lineage {
    Logger::new(config(&log.path("app.log"))).expect("a logger").close().expect("closed");
    lineage_of(&log.path("app.log"))
}

/// Reserves space behind the end of a file, as a killed process leaves it.
fn take_ahead(path: &Path, bytes: u64) {
    let file = fs::File::options().write(true).open(path).expect("a file");
    let len = file.metadata().expect("a length").len();
    let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, keep, len, bytes).expect("space");
}

fn on_disk(path: &Path) -> u64 {
    fs::metadata(path).expect("a file").blocks() * 512
}

#[test]
fn the_active_file_is_missing_after_a_clock_that_was_ahead() {
    for compressed in [false, true] {
        let log = Log::new(3);
        for (segment, hours) in [(1, 2), (2, 24 * 365 * 50)] {
            let ahead = wall_clock() + hours * 3_600_000_000_000;
            set_started(&log.path(archived_name(segment)), ahead);
        }
        #[cfg(feature = "zstd")]
        if compressed {
            log.sweep(&log.settings(zstd));
            assert_eq!(log.told.errors(), [""; 0]);
        }
        // The greatest number has the least name, too.
        let last = if compressed && cfg!(feature = "zstd") { ".zst" } else { "" };
        let name = format!("app_2024-01-01_00-00-03.log{last}");
        fs::rename(log.path(name), log.path(format!("app_1999-01-01_00-00-00.log{last}")))
            .expect("renamed");
        fs::remove_file(log.path("app.log")).expect("removed");
        assert_eq!(start_again(&log), log.active, "compressed: {compressed}");
    }
}

#[test]
fn numbers_never_come_twice_when_an_old_active_file_comes_back() {
    let log = Log::new(3);
    fs::remove_file(log.path("app.log")).expect("removed");
    fs::copy(log.path(archived_name(2)), log.path("app.log")).expect("restored");
    assert_eq!(start_again(&log), log.active);
    // Nothing of the file is lost: it has an archived name.
    assert_eq!(log.names().len(), 4);
    // The same for a file that was not closed.
    fs::remove_file(log.path("app.log")).expect("removed");
    let bytes = fs::read(log.path(archived_name(1))).expect("read");
    fs::write(log.path("app.log"), &bytes[..bytes.len() - 4096]).expect("restored");
    assert_eq!(start_again(&log), log.active);
}

#[test]
fn numbers_in_the_fail_over_directory_count() {
    let log = Log::new(1);
    let other = tempfile::tempdir().expect("a directory");
    // The log went on there, up to segment 2, and died; then its own directory lost that.
    fs::rename(log.path("app.log"), other.path().join("app.log")).expect("moved");
    let config = config(&log.path("app.log")).failover_dir(other.path());
    Logger::new(config).expect("a logger").close().expect("closed");
    let next = Lineage { segment: log.active.segment + 1, ..log.active };
    assert_eq!(lineage_of(&log.path("app.log")), next);
}

#[test]
fn the_file_of_another_log_is_not_continued() {
    let log = Log::new(1);
    let path = log.path("other.log");
    fs::rename(log.path("app.log"), &path).expect("renamed");
    let logger = Logger::new(config(&path)).expect("a logger");
    assert!(matches!(logger.opened(), crate::Opened::SetAside { .. }), "{:?}", logger.opened());
    logger.close().expect("closed");
    assert_ne!(lineage_of(&path).log_id, log.active.log_id);
    // The first log, started again, keeps its own id. Its last file is there under another name, and has a number.
    let next = Lineage { segment: log.active.segment + 1, ..log.active };
    assert_eq!(start_again(&log), next);
}

/// Segments that carry our log id and another name are another log's: as when the files of a log were renamed.
#[test]
fn log_id_and_name_have_to_be_ours() {
    let log = Log::new(3);
    let settings = log.settings(|config| {
        let config = config.retention(Retention::new().keep(1));
        if cfg!(feature = "zstd") { zstd(config) } else { config }
    });
    let settings = Arc::new(Arc::into_inner(settings).expect("one").named(b"app/event"));
    let before = log.names();
    log.sweep(&settings);
    perform(Work::Archived(log.archived(&settings, 3)));
    assert_eq!(log.names(), before);
    assert_eq!(log.told.errors().len(), 1, "that was no segment of this log");
}

/// Name, start and id are those of a segment of the log, but a logger writes the file.
#[test]
fn what_a_logger_writes_is_neither_deleted_nor_compressed() {
    let log = Log::new(3);
    let base = archived_name(1);
    let directory = Directory::open_or_create(log.directory.path()).expect("the directory");
    let base = Path::new(&base).file_stem().expect("a base").to_owned();
    let lock =
        crate::io::WriterLock::take(&directory, &base, std::ffi::OsStr::new("it"), Path::new("it"))
            .expect("the lock");
    let settings = log.settings(|config| {
        let config = config.retention(Retention::new().keep(1));
        if cfg!(feature = "zstd") { zstd(config) } else { config }
    });
    log.sweep(&settings);
    assert!(log.path(archived_name(1)).exists());
    let errors = log.told.errors();
    assert!(errors.iter().any(|error| error.contains("a logger writes this file")), "{errors:?}");
    drop(lock);
    log.sweep(&settings);
    assert!(!log.path(archived_name(1)).exists());
}

#[test]
fn a_part_that_is_not_ours_stays_and_hinders_nobody() {
    let log = Log::new(2);
    let foreign =
        [".app_2024-01-01_00-00-01.log.zst.part", ".app_2024-01-01_00-00-02.log.zst.1.part"];
    let ours = fs::read(Log::new(1).path(archived_name(1))).expect("another log's");
    fs::write(log.path(foreign[0]), b"precious").expect("written");
    fs::write(log.path(foreign[1]), &ours).expect("written");
    // A process that was killed at once can have left the file, or somebody else: nobody knows.
    let empty = ".app_2024-01-01_00-00-02.log.zst.part";
    fs::write(log.path(empty), b"").expect("written");
    // Without this, parts have no names.
    let world = World::of(log.directory.path());
    world.lacks(&[Ability::Unnamed]);
    let settings = log.settings(|config| {
        let config = config.retention(Retention::new().keep(2));
        if cfg!(feature = "zstd") { zstd(config) } else { config }
    });
    log.sweep(&settings);
    assert_eq!(log.told.errors(), [""; 0]);
    assert_eq!(fs::read(log.path(foreign[0])).expect("kept"), b"precious");
    assert!(fs::read(log.path(foreign[1])).expect("kept") == ours);
    assert_eq!(fs::read(log.path(empty)).expect("kept"), b"");
    let suffix = if cfg!(feature = "zstd") { ".zst" } else { "" };
    for segment in [1, 2] {
        assert!(log.path(format!("app_2024-01-01_00-00-{segment:02}.log{suffix}")).exists());
    }
    log.assert_holds(1..=3);
}

/// Somebody has renamed the only form of a segment: under the name of a part it is none.
#[cfg(feature = "zstd")]
#[test]
fn the_only_form_of_a_segment_is_no_part_whatever_its_name() {
    let log = Log::new(3);
    let settings = log.settings(zstd);
    log.sweep(&settings);
    let compressed = |segment| with_suffix(&archived_name(segment), ".zst");
    let renamed = log.path(".app_2024-01-01_00-00-09.log.zst.part");
    fs::rename(log.path(compressed(1)), &renamed).expect("renamed");
    let content = fs::read(&renamed).expect("it");
    // This one is left of a compression, since the segment is there.
    let left = log.path(".app_2024-01-01_00-00-02.log.zst.part");
    fs::copy(log.path(compressed(2)), &left).expect("copied");
    log.sweep(&settings);
    assert!(fs::read(&renamed).expect("kept") == content);
    assert!(!left.exists());
}

/// Something other than a file has the name of one segment's compressed form: the others are compressed.
#[cfg(feature = "zstd")]
#[test]
fn a_directory_under_a_name_of_ours_stops_nothing() {
    let log = Log::new(3);
    fs::create_dir(log.path("app_2024-01-01_00-00-02.log.zst")).expect("a directory");
    log.sweep(&log.settings(zstd));
    assert_eq!(log.told.errors().len(), 1, "{:?}", log.told.errors());
    assert!(log.path("app_2024-01-01_00-00-01.log.zst").is_file());
    assert!(log.path("app_2024-01-01_00-00-03.log.zst").is_file());
    log.assert_holds(1..=4);
}

#[test]
fn limits_count_what_is_on_the_disk() {
    const AHEAD: u64 = 64 << 20;
    let log = Log::new(3);
    let settings = log.settings(|config| config.retention(Retention::new().max_total(AHEAD)));
    log.sweep(&settings);
    log.assert_holds(1..=4);
    take_ahead(&log.path(archived_name(1)), AHEAD);
    if on_disk(&log.path(archived_name(1))) < AHEAD {
        println!("skipped: this file system takes no space ahead");
        return;
    }
    log.sweep(&settings);
    log.assert_holds(2..=4);
}

#[test]
fn what_was_taken_ahead_is_given_back_when_a_file_is_set_aside() {
    const AHEAD: u64 = 64 << 20;
    let log = Log::new(0);
    let path = log.path("app.log");
    // The process was killed: no end, and reserved space behind the last block.
    let len = fs::metadata(&path).expect("a file").len() - 4096;
    fs::File::options().write(true).open(&path).expect("it").set_len(len).expect("cut");
    let bytes = fs::read(&path).expect("read");
    take_ahead(&path, AHEAD);
    if on_disk(&path) < AHEAD {
        println!("skipped: this file system takes no space ahead");
        return;
    }
    let next = start_again(&log);
    assert_eq!(next.segment, 2);
    let [name] = &log.names()[..] else { panic!("one is set aside") };
    assert!(fs::read(log.path(name)).expect("read") == bytes, "not a byte of it has changed");
    assert!(on_disk(&log.path(name)) < len + (1 << 20), "{}", on_disk(&log.path(name)));
}
