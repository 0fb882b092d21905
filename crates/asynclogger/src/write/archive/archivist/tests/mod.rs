//! Tests of the archivist on real files: its work, the files that it leaves alone, and the work that a kill leaves to
//! the next process.

mod identity;
mod killed;
mod limits;
mod thread;
mod whole;

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc as StdArc, Mutex as StdMutex},
};

use tempfile::TempDir;

use super::{
    ArchiveSettings, ArchivedSegment,
    archiver::Archiver,
    queue::{Queue, Work},
};
use crate::{
    Archived, Compression, Config, DirectIo, Durability, Error, ErrorKind, Logger, Overflow,
    Retention,
    format::Lineage,
    io::Directory,
    probe::{Origin, Source},
    sync::Arc,
    write::{archive::LogName, common::fault},
};

/// The number of records in each segment.
const RECORDS: u64 = 80;
/// Bytes of each record: a segment has more than two frames.
const RECORD_LEN: usize = 64 << 10;

/// The reports that callbacks have received.
#[derive(Clone, Default)]
struct Told {
    archived: StdArc<StdMutex<Vec<Archived>>>,
    errors: StdArc<StdMutex<Vec<Error>>>,
}

impl Told {
    fn archived(&self) -> Vec<Archived> {
        self.archived.lock().expect("told").clone()
    }

    fn errors(&self) -> Vec<String> {
        self.errors.lock().expect("told").iter().map(ToString::to_string).collect()
    }

    fn into_config(self, config: Config) -> Config {
        let Told { archived, errors } = self;
        config
            .on_archived(move |told| archived.lock().expect("told").push(told.clone()))
            .on_error(move |told| errors.lock().expect("told").push(told.clone()))
    }
}

/// A log in a directory.
struct Log {
    directory: TempDir,
    active: Lineage,
    told: Told,
}

fn config(path: &Path) -> Config {
    let config = Config::new(path).buffer_size(1 << 20).num_shards(1).overflow(Overflow::Block);
    config.direct_io(DirectIo::Off).durability(Durability::None)
}

/// The record `number` of a segment; some of it repeats, some does not.
fn record(segment: u64, number: u64) -> Vec<u8> {
    let seed = segment * 1_000 + number + 1;
    let mut state = seed;
    let mut bytes = seed.to_le_bytes().to_vec();
    while bytes.len() < RECORD_LEN / 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend((state >> 32).to_le_bytes());
    }
    bytes.resize(RECORD_LEN, seed as u8);
    bytes
}

fn archived_name(segment: u64) -> OsString {
    OsString::from(format!("app_2024-01-01_00-00-{segment:02}.log"))
}

#[cfg(feature = "zstd")]
fn with_suffix(name: &std::ffi::OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

fn lineage_of(path: &Path) -> Lineage {
    let mut source = Source::open(path).expect("a file");
    Origin::read(&mut source).expect("read").expect("a start").lineage()
}

/// Writes segments 1 to `archived` under archived names, and an active one.
fn write_log(directory: &Path, archived: u64) -> Lineage {
    let path = directory.join("app.log");
    for segment in 1..=archived + 1 {
        let logger = Logger::new(config(&path)).expect("a logger");
        for number in 0..RECORDS {
            logger.try_log_bytes(&record(segment, number)).expect("accepted");
        }
        logger.close().expect("closed");
        if segment <= archived {
            fs::rename(&path, directory.join(archived_name(segment))).expect("renamed");
        }
    }
    lineage_of(&path)
}

impl Log {
    fn new(archived: u64) -> Log {
        let directory = tempfile::tempdir().expect("a directory");
        let active = write_log(directory.path(), archived);
        assert_eq!(active.segment, archived + 1);
        Log { directory, active, told: Told::default() }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    fn settings(&self, change: impl FnOnce(Config) -> Config) -> Arc<ArchiveSettings> {
        settings(
            self.directory.path(),
            change(self.told.clone().into_config(config(&self.path("app.log")))),
        )
    }

    fn archived(&self, settings: &Arc<ArchiveSettings>, segment: u64) -> ArchivedSegment {
        ArchivedSegment {
            settings: settings.clone(),
            file: archived_name(segment),
            lineage: Lineage { segment, ..self.active },
            active: self.active,
        }
    }

    fn sweep(&self, settings: &Arc<ArchiveSettings>) {
        perform(Work::Sweep { settings: settings.clone(), active: self.active });
    }

    /// The names in the directory, except the active file and its lock.
    fn names(&self) -> Vec<String> {
        names(self.directory.path())
    }

    /// Asserts that each record of these segments exists once, and no other record exists.
    fn assert_holds(&self, segments: std::ops::RangeInclusive<u64>) {
        assert_eq!(held(self.directory.path()), segments.collect::<Vec<_>>());
    }
}

fn settings(directory: &Path, config: Config) -> Arc<ArchiveSettings> {
    let config = config.validate().expect("valid");
    let name = LogName::of(config.path()).expect("a name");
    let directory = Directory::open_or_create(directory).expect("a directory");
    Arc::new(ArchiveSettings::new(&config, Arc::new(directory), name))
}

fn perform(work: Work) {
    Archiver::new(&Queue::new()).perform(work);
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let mut names: Vec<String> = names.map(|name| name.expect("UTF-8")).collect();
    names.retain(|name| name != "app.log" && name != ".app.lock");
    names.sort();
    names
}

/// The segments whose records the log in the directory has, all of them and each once.
fn held(directory: &Path) -> Vec<u64> {
    let mut log = crate::read::LogDir::open(directory.join("app.log")).expect("a log");
    let (mut segments, mut number) = (Vec::new(), 0);
    while let Some(found) = log.next_record().expect("readable") {
        let bytes = found.bytes();
        let seed = u64::from_le_bytes(*bytes.first_chunk().expect("a seed"));
        let segment = (seed - 1) / 1_000;
        if segments.last() != Some(&segment) {
            assert_eq!(number % RECORDS, 0, "a segment is cut before {segment}");
            segments.push(segment);
        }
        assert_eq!(bytes, record(segment, number % RECORDS), "segment {segment}");
        number += 1;
    }
    assert_eq!(number, segments.len() as u64 * RECORDS);
    segments
}

fn zstd(config: Config) -> Config {
    config.compression(Compression::Zstd { level: 1 })
}

#[test]
fn without_compression_it_tells_and_deletes() {
    let log = Log::new(3);
    let settings = log.settings(|config| config.retention(Retention::new().keep(2)));
    perform(Work::Archived(log.archived(&settings, 3)));
    assert_eq!(log.told.errors(), [""; 0]);
    let [told] = &log.told.archived()[..] else { panic!("told once") };
    assert_eq!(told.path, log.path(archived_name(3)));
    assert_eq!((told.log_id, told.segment), (log.active.log_id, 3));
    assert_eq!((told.records, told.payload_bytes), (RECORDS, RECORDS * RECORD_LEN as u64));
    assert_eq!(told.file_bytes, fs::metadata(&told.path).expect("a file").len());
    assert!(!told.compressed && told.first_time <= told.last_time);
    assert!(told.last_time.expect("records").elapsed().expect("past").as_secs() < 600);
    assert_eq!(log.names(), ["app_2024-01-01_00-00-02.log", "app_2024-01-01_00-00-03.log"]);
    log.assert_holds(2..=4);
}

#[test]
fn a_continued_file_is_counted_with_all_its_sessions() {
    let log = Log::new(1);
    let path = log.path(archived_name(1));
    // Anywhere in the directory it would count as a later segment.
    fs::remove_file(log.path("app.log")).expect("removed");
    fs::rename(&path, log.path("app.log")).expect("renamed");
    let logger = Logger::new(config(&log.path("app.log"))).expect("a logger");
    logger.log("one more");
    logger.close().expect("closed");
    fs::rename(log.path("app.log"), &path).expect("renamed");
    let settings = log.settings(|config| config);
    perform(Work::Archived(log.archived(&settings, 1)));
    let [told] = &log.told.archived()[..] else { panic!("told once") };
    assert_eq!(told.records, RECORDS + 1);
    assert_eq!(told.payload_bytes, RECORDS * RECORD_LEN as u64 + 8);
}

#[test]
fn what_is_gone_or_another_file_is_left_alone() {
    let log = Log::new(2);
    let settings = log.settings(|config| config);
    fs::remove_file(log.path(archived_name(1))).expect("removed");
    perform(Work::Archived(log.archived(&settings, 1)));
    assert_eq!((log.told.errors().len(), log.told.archived().len()), (0, 0));
    fs::rename(log.path(archived_name(2)), log.path(archived_name(1))).expect("renamed");
    perform(Work::Archived(log.archived(&settings, 1)));
    assert!(log.told.errors()[0].contains("not the segment"), "{:?}", log.told.errors());
    assert_eq!(log.told.archived().len(), 0);
}

#[test]
fn panics_are_told_and_the_next_thing_is_done() {
    let log = Log::new(1);
    let errors = log.told.errors.clone();
    let settings = settings(
        log.directory.path(),
        config(&log.path("app.log")).on_archived(|_| panic!("as told")).on_error(move |error| {
            errors.lock().expect("told").push(error.clone());
            panic!("this, too");
        }),
    );
    perform(Work::Archived(log.archived(&settings, 1)));
    assert!(log.told.errors()[0].contains("on_archived panicked: as told"));
    fault::panic_at(0);
    perform(Work::Archived(log.archived(&settings, 1)));
    assert!(log.told.errors()[1].contains("the archivist panicked"), "{:?}", log.told.errors());
    assert_eq!(log.told.errors.lock().expect("told")[1].kind(), ErrorKind::Panic);
    perform(Work::Archived(log.archived(&settings, 1)));
    assert_eq!(log.told.errors().len(), 3, "the callback again");
}

#[cfg(feature = "zstd")]
mod compressed {
    use super::*;
    use std::{os::unix::fs::PermissionsExt, process::Command};

    #[test]
    fn a_segment_takes_its_compressed_form() {
        let log = Log::new(2);
        let plain = log.path(archived_name(2));
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o640)).expect("a mode");
        let (bytes, before) =
            (fs::read(&plain).expect("a file"), fs::metadata(&plain).expect("a file"));
        let settings = log.settings(zstd);
        perform(Work::Archived(log.archived(&settings, 2)));
        assert_eq!(log.told.errors(), [""; 0]);
        let [told] = &log.told.archived()[..] else { panic!("told once") };
        let after = fs::metadata(&told.path).expect("a file");
        assert_eq!(told.path, log.path(with_suffix(&archived_name(2), ".zst")));
        assert!(told.compressed);
        assert_eq!((told.records, told.file_bytes), (RECORDS, after.len()));
        assert!(after.len() < before.len());
        assert_eq!(after.permissions().mode() & 0o7777, 0o640);
        assert_eq!(after.modified().expect("a time"), before.modified().expect("a time"));
        assert_eq!(log.names(), ["app_2024-01-01_00-00-01.log", "app_2024-01-01_00-00-02.log.zst"]);
        log.assert_holds(1..=3);
        if let Ok(output) = Command::new("zstd").arg("-dcq").arg(&told.path).output() {
            assert!(output.status.success() && output.stdout == bytes);
        }
    }

    #[test]
    fn a_sweep_finishes_what_was_begun() {
        let log = Log::new(3);
        // The remains of a process that died in between: a part, and both forms.
        let copy = tempfile::tempdir().expect("a directory");
        let whole = copy.path().join("app_2024-01-01_00-00-01.log");
        fs::copy(log.path(archived_name(1)), &whole).expect("copied");
        let from = fs::File::open(&whole).expect("a file");
        let into = fs::File::create_new(copy.path().join("part")).expect("a file");
        let go_on = |_| std::ops::ControlFlow::Continue(());
        crate::write::compress::compress(&from, &into, 1, 2 << 20, go_on).expect("compressed");
        let half = fs::read(copy.path().join("part")).expect("read");
        fs::write(log.path(".app_2024-01-01_00-00-01.log.zst.part"), &half[..half.len() / 2])
            .expect("written");
        let second = fs::read(log.path(archived_name(2))).expect("a file");
        let settings = log.settings(zstd);
        log.sweep(&settings);
        assert_eq!(log.told.archived().len(), 3);
        fs::write(log.path(archived_name(2)), &second).expect("both forms");
        log.sweep(&settings);
        assert_eq!(log.told.errors(), [""; 0]);
        let all = (1..=3).map(|n| format!("app_2024-01-01_00-00-{n:02}.log.zst"));
        assert_eq!(log.names(), all.collect::<Vec<_>>());
        assert_eq!(log.told.archived().len(), 4, "told of the one that was finished");
        log.assert_holds(1..=4);
    }

    #[test]
    fn of_two_forms_that_differ_none_is_touched() {
        let log = Log::new(2);
        let first = fs::read(log.path(archived_name(1))).expect("a file");
        let settings = log.settings(zstd);
        log.sweep(&settings);
        let compressed = log.path(with_suffix(&archived_name(1), ".zst"));
        let good = fs::read(&compressed).expect("a file");
        let mut damaged = good.clone();
        damaged[good.len() / 2] ^= 1;
        for bytes in [&damaged[..], &good[..good.len() - 1], b"", b"no such thing"] {
            fs::write(&compressed, bytes).expect("damaged");
            fs::write(log.path(archived_name(1)), &first).expect("both forms");
            let told = log.told.errors().len();
            log.sweep(&settings);
            perform(Work::Archived(log.archived(&settings, 1)));
            let errors = log.told.errors().split_off(told);
            assert_eq!(errors.len(), 2, "{errors:?}");
            assert!(errors[0].contains("both are kept"), "{errors:?}");
            assert_eq!(fs::read(&compressed).expect("kept"), bytes);
            assert!(fs::read(log.path(archived_name(1))).expect("kept") == first);
        }
    }

    #[test]
    fn what_failed_is_compressed_with_the_next_one() {
        let log = Log::new(3);
        let settings = log.settings(zstd);
        let obstacle = log.path("app_2024-01-01_00-00-02.log.zst");
        fs::create_dir(&obstacle).expect("made");
        let told = || -> Vec<(u64, bool)> {
            log.told.archived().iter().map(|told| (told.segment, told.compressed)).collect()
        };
        for failures in 1..=2 {
            perform(Work::Archived(log.archived(&settings, 2)));
            assert_eq!(log.told.errors().len(), failures);
            assert_eq!(told(), [(2, false)], "told once");
        }
        assert_eq!(log.told.archived()[0].path, log.path(archived_name(2)));
        assert!(log.path(archived_name(2)).exists());
        fs::remove_dir(&obstacle).expect("removed");
        perform(Work::Archived(log.archived(&settings, 3)));
        assert_eq!(log.told.errors().len(), 2);
        assert_eq!(told(), [(2, false), (3, true), (1, true), (2, true)]);
        log.assert_holds(1..=4);
    }

    /// Whoever ships segments has seen each one before a limit deletes it.
    #[test]
    fn what_cannot_be_compressed_is_told_before_it_is_deleted() {
        let log = Log::new(3);
        let settings = log.settings(|config| zstd(config).retention(Retention::new().keep(1)));
        fs::create_dir(log.path("app_2024-01-01_00-00-01.log.zst")).expect("made");
        for segment in 1..=3 {
            let mut archived = log.archived(&settings, segment);
            archived.active.segment = segment + 1;
            perform(Work::Archived(archived));
        }
        let told: Vec<u64> = log.told.archived().iter().map(|told| told.segment).collect();
        assert_eq!(told, [1, 2, 3]);
        log.assert_holds(3..=4);
    }

    #[test]
    fn a_log_whose_segments_are_all_compressed_goes_on_with_its_numbers() {
        let log = Log::new(2);
        log.sweep(&log.settings(zstd));
        fs::remove_file(log.path("app.log")).expect("removed");
        Logger::new(config(&log.path("app.log"))).expect("a logger").close().expect("closed");
        assert_eq!(lineage_of(&log.path("app.log")), log.active);
    }
}

/// Everything in a directory that looks like ours and is not, and a picture of it.
fn put_foreign_files(log: &Log) -> Vec<(String, Vec<u8>)> {
    let other = Log::new(2);
    let copy = |from: &str, to: &str| {
        fs::copy(other.path(from), log.path(to)).expect("copied");
    };
    // Another log, under our names and under those of logs whose name begins like ours.
    copy("app_2024-01-01_00-00-01.log", "app_2020-01-01_00-00-01.log");
    copy("app_2024-01-01_00-00-02.log", "app_2020-01-01_00-00-02.7.log");
    copy("app_2024-01-01_00-00-02.log", "app_x_2020-01-01_00-00-02.log");
    let ours = fs::read(log.path(archived_name(1))).expect("a file");
    // Files of the log, under names that no archived segment has.
    fs::write(log.path("app_x.log"), &ours).expect("written");
    fs::write(log.path("app_2019-01-01_00-00-01_2019-01-01_00-00-01.log"), &ours).expect("written");
    fs::write(log.path("app_2020-01-01_00-00-03.log"), b"no log at all").expect("written");
    fs::write(log.path("app_2020-01-01_00-00-04.log"), b"").expect("written");
    fs::write(log.path("app_2020-01-01_00-00-05.log.zst"), b"nothing compressed").expect("written");
    fs::write(log.path(".app_x_2020-01-01_00-00-02.log.zst.part"), b"another's").expect("written");
    fs::write(log.path(".app_2020-01-01_00-00-02.log.part"), b"unknown").expect("written");
    fs::write(log.path(".app_2024-01-01_00-00-03.log.zst.part"), b"foreign").expect("written");
    fs::write(log.path(".app.next"), b"prepared").expect("written");
    let mut picture = Vec::new();
    for name in log.names().into_iter().filter(|name| !name.starts_with("app_2024")) {
        let bytes = fs::read(log.path(&name)).expect("a file");
        picture.push((name, bytes));
    }
    symlink(log.path("app_x.log"), log.path("app_2018-01-01_00-00-01.log")).expect("a link");
    symlink("nowhere", log.path("app_2018-01-01_00-00-02.log")).expect("a link");
    symlink("app_x.log", log.path(".app_2018-01-01_00-00-03.log.zst.part")).expect("a link");
    symlink("app_2018-01-01_00-00-06.log", log.path("app_2018-01-01_00-00-06.log"))
        .expect("a loop");
    fs::create_dir(log.path("app_2018-01-01_00-00-04.log")).expect("a directory");
    let pipe = |name: &str| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, log.path(name), kind, mode, 0).expect("a pipe");
    };
    pipe("app_2018-01-01_00-00-07.log");
    pipe("app_2018-01-01_00-00-08.log.zst");
    pipe(".app_2018-01-01_00-00-09.log.zst.part");
    fs::create_dir(log.path(".app_2018-01-01_00-00-05.log.zst.part")).expect("a directory");
    picture
}

#[test]
fn foreign_files_are_left_alone() {
    let log = Log::new(3);
    let picture = put_foreign_files(&log);
    let names: Vec<_> = log.names();
    let settings = log.settings(|config| {
        let config = config.retention(Retention::new().keep(1).max_total(1 << 40));
        if cfg!(feature = "zstd") { zstd(config) } else { config }
    });
    log.sweep(&settings);
    perform(Work::Archived(log.archived(&settings, 3)));
    perform(Work::MakeRoom {
        settings: settings.clone(),
        active: log.active,
        made: Box::new(|deleted| assert!(!deleted)),
    });
    for (name, bytes) in picture {
        assert!(fs::read(log.path(&name)).expect("kept") == bytes, "{name}");
    }
    let ours = |name: &String| name.starts_with("app_2024");
    let foreign = |names: Vec<String>| names.into_iter().filter(|name| !ours(name)).collect();
    let (before, after): (Vec<_>, Vec<_>) = (foreign(names), foreign(log.names()));
    assert_eq!(after, before);
    assert_eq!(log.names().iter().filter(|name| ours(name)).count(), 1);
}
