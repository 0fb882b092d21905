//! Directories that contain foreign files, or that change while they are read.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use super::{
    super::{DamageKind, Ending, LogDir, Loss, OwnedRecord, ReadOptions},
    builder::*,
};
use crate::{Error, LogId, Position};

fn drain(log: &mut LogDir) -> Result<Vec<Position>, Error> {
    let mut found = Vec::new();
    while let Some(record) = log.next_record()? {
        found.push(record.position());
    }
    Ok(found)
}

/// Segments of one session, the last one active, and how many records each has.
fn segments(count: usize) -> (Builder, Vec<Vec<u8>>) {
    let mut log = Builder::new();
    log.session(0xE);
    let mut files = Vec::new();
    for n in 1..=count {
        log.block(0, &records(n, 3, 30)).block(1, &records(n + 50, 2, 30));
        files.push(if n < count { log.rotate() } else { log.bytes.clone() });
    }
    (log, files)
}

const IN_EACH: usize = 5;

fn name(number: usize) -> String {
    format!("app_{number}.log")
}

fn place(dir: &Path, files: &[Vec<u8>]) -> PathBuf {
    for (index, file) in files.iter().enumerate().take(files.len() - 1) {
        fs::write(dir.join(name(index + 1)), file).expect("written");
    }
    let active = dir.join("app.log");
    fs::write(&active, &files[files.len() - 1]).expect("written");
    active
}

fn names(errors: &[Error]) -> Vec<String> {
    let name = |error: &Error| {
        let name = error.path().expect("a path").file_name().expect("a name");
        name.to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = errors.iter().map(name).collect();
    names.sort();
    names
}

fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo");
    assert!(made.success());
}

#[test]
fn one_bad_file_costs_only_itself() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let (log, files) = segments(3);
    let active = place(dir.path(), &files);
    symlink("loop.log", at("loop.log")).expect("linked");
    symlink("nothing", at("nowhere.log")).expect("linked");
    symlink("/dev/null", at("device.log")).expect("linked");
    fs::create_dir(at("directory.log")).expect("made");
    make_fifo(&at("fifo.log"));
    symlink("fifo.log", at("link-to-fifo.log")).expect("linked");
    let _socket = UnixListener::bind(at("socket.log")).expect("bound");
    fs::write(at("noise.log.zst"), [0xA5; 3000]).expect("written");
    // Files without a log's name are not reported.
    make_fifo(&at("fifo"));
    fs::write(at("notes.txt"), b"some text").expect("written");
    fs::create_dir(at("directory")).expect("made");
    let bad = ["device.log", "directory.log", "fifo.log", "link-to-fifo.log", "loop.log"];
    let mut bad = bad.map(String::from).to_vec();
    bad.extend(["noise.log.zst", "nowhere.log", "socket.log"].map(String::from));

    let mut opened = LogDir::open(&active)?;
    assert_eq!(names(opened.unreadable()), bad);
    assert_eq!(drain(&mut opened)?.len(), log.written.len());
    assert!(opened.report().is_whole());
    opened.refresh()?;
    fs::write(at("text.log"), b"some text").expect("written");
    bad.push("text.log".into());
    let scan = LogDir::scan(dir.path())?;
    assert_eq!(names(&scan.unreadable), bad);
    assert_eq!(scan.logs.len(), 1);
    Ok(())
}

#[test]
fn files_of_any_name_are_found_by_what_is_in_them() -> Result<(), Error> {
    for active in ["app.txt", ".app.log", "app", "app.log.1", "app.log.zst"] {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, files) = segments(3);
        fs::write(dir.path().join(active), &files[2]).expect("written");
        fs::write(dir.path().join(format!("{active}_1.log")), &files[0]).expect("written");
        fs::write(dir.path().join(format!("{active}_2.log")), &files[1]).expect("written");
        // A prepared file is not a segment yet.
        fs::write(dir.path().join(format!(".{active}.next")), &segments(4).1[3]).expect("written");
        let mut logs = LogDir::scan(dir.path())?.logs;
        assert_eq!(logs.len(), 1, "{active}");
        assert_eq!(drain(&mut logs[0])?.len(), log.written.len(), "{active}");
        assert!(logs[0].report().is_whole());
        let opened = LogDir::open(dir.path().join(name(1).replace("app", active)))?;
        assert_eq!((opened.segments().len(), opened.named()), (3, Some(1)), "{active}");
    }
    Ok(())
}

#[test]
fn a_copy_is_told_and_read_once() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let (log, files) = segments(3);
    let active = place(dir.path(), &files);
    // A copy that was made earlier, one of an archived segment, and two other names of the same file.
    fs::write(at("app-copy.log"), &files[2][..files[2].len() - 4096]).expect("written");
    fs::write(at("app_1.log.bak"), &files[0]).expect("written");
    fs::hard_link(at("app_2.log"), at("a-link.log")).expect("linked");
    symlink("app.log", at("current.log")).expect("linked");
    let copies = |log: &LogDir| -> Vec<String> {
        let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
        log.copies().iter().map(|copy| name(&copy.path)).collect()
    };
    let mut opened = LogDir::open(&active)?;
    assert_eq!(copies(&opened), ["app_1.log.bak", "app-copy.log"]);
    let ids: Vec<u64> = opened.segments().iter().map(|segment| segment.id).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(opened.segments()[2].path, active);
    assert_eq!(drain(&mut opened)?.len(), log.written.len());
    let report = opened.verify()?;
    assert_eq!((report.segments.len(), report.is_whole()), (3, true));
    opened.seek_last(1)?;
    assert_eq!(drain(&mut opened)?, [log.written[log.written.len() - 1].position]);
    // The named file is read.
    let mut opened = LogDir::open(at("app-copy.log"))?;
    assert_eq!(copies(&opened), ["app_1.log.bak", "app.log"]);
    assert_eq!(drain(&mut opened)?.len(), log.written.len() - 2);
    let scan = LogDir::scan(dir.path())?;
    assert_eq!(copies(&scan.logs[0]), ["app_1.log.bak", "app-copy.log"]);
    Ok(())
}

#[test]
fn segments_that_are_gone_before_they_are_read_are_told_and_passed_over() -> Result<(), Error> {
    for follow in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, files) = segments(6);
        let active = place(dir.path(), &files);
        let mut opened = ReadOptions::new().follow(follow).open_log(&active)?;
        assert_eq!(drain_some(&mut opened, 1)?, 1);
        for number in [2, 3, 5] {
            fs::remove_file(dir.path().join(name(number))).expect("removed");
        }
        let rest = drain(&mut opened)?;
        assert_eq!(rest.len() + 1, 3 * IN_EACH);
        assert_eq!(rest.last(), log.written.last().map(|record| &record.position));
        assert_eq!(opened.missing(), [2..=3, 5..=5]);
        assert_eq!(opened.report().lost.at_least, 3 * IN_EACH as u64);
    }
    // A missing segment before the first one counts too, if it existed.
    let dir = tempfile::tempdir().expect("a directory");
    let (log, files) = segments(4);
    let mut opened = LogDir::open(place(dir.path(), &files))?;
    fs::remove_file(dir.path().join(name(1))).expect("removed");
    assert_eq!(drain(&mut opened)?.len() + IN_EACH, log.written.len());
    assert_eq!(opened.missing(), [1..=1]);
    assert!(!opened.report().is_whole());
    // All segments are missing.
    let mut opened = LogDir::open(dir.path().join("app.log"))?;
    for entry in fs::read_dir(dir.path()).expect("listed") {
        fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    assert_eq!((drain(&mut opened)?.len(), opened.missing()), (0, vec![2..=4]));
    Ok(())
}

fn drain_some(log: &mut LogDir, count: usize) -> Result<usize, Error> {
    for found in 0..count {
        if log.next_record()?.is_none() {
            return Ok(found);
        }
    }
    Ok(count)
}

#[test]
fn a_segment_that_cannot_be_read_is_told_and_passed_over() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, files) = segments(4);
    let mut opened = LogDir::open(place(dir.path(), &files))?;
    let second = dir.path().join(name(2));
    fs::remove_file(&second).expect("removed");
    symlink(&second, &second).expect("linked");
    assert_eq!(drain(&mut opened)?.len() + IN_EACH, log.written.len());
    assert_eq!(names(opened.unread()), [name(2)]);
    assert_eq!(opened.missing(), [2..=2]);
    let report = opened.report();
    assert_eq!((report.unread.len(), report.lost), (1, Loss::exact(IN_EACH as u64)));
    opened.seek_last(IN_EACH as u64 * 2 + 1)?;
    assert_eq!(drain(&mut opened)?.len(), IN_EACH * 2 + 1);
    Ok(())
}

#[test]
fn a_file_of_another_log_is_not_read_in_place_of_a_segment() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, files) = segments(2);
    let active = place(dir.path(), &files);
    let mut opened = LogDir::open(&active)?;
    let mut other = Builder::new();
    other.log_id = LogId([9; 16]);
    other.session(1).block(0, &records(7, 4, 30));
    other.rotate();
    other.block(0, &records(8, 4, 30));
    fs::write(&active, &other.bytes).expect("written");
    let found = drain(&mut opened)?;
    assert!(found.iter().eq(log.written[..IN_EACH].iter().map(|record| &record.position)));
    assert_eq!(opened.missing(), [2..=2]);
    Ok(())
}

/// The write of a block fails in its middle, the file can grow no further, and the next segment begins with
/// that block.
#[test]
fn what_is_written_again_in_the_next_segment_is_no_damage() -> Result<(), Error> {
    for cut in [100, 5000, 70_000, 140_000] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Builder::new();
        log.session(0xE).block(0, &records(1, 4, 30));
        let before = log.clone();
        let whole_before = log.bytes.len();
        log.block(1, &records(2, 90, 2000)).block(0, &records(3, 5, 30));
        let torn = log.bytes[..whole_before + cut].to_vec();
        let mut again = before;
        again.abandon();
        again.block(1, &records(2, 90, 2000)).block(0, &records(3, 5, 30));
        again.block(1, &records(4, 3, 30)).end();
        fs::write(dir.path().join("app_1.log"), &torn).expect("written");
        fs::write(dir.path().join("app.log"), &again.bytes).expect("written");
        let path = dir.path().join("app.log");
        let mut opened = LogDir::open(&path)?;
        assert_eq!(drain(&mut opened)?.len(), 102, "{cut}");
        let report = opened.verify()?;
        assert!(report.is_whole() && opened.report().is_whole(), "{cut}: {report:#?}");
        let first = &report.segments[0];
        assert_eq!(
            (first.ending, first.lost, first.damage_count()),
            (Ending::Torn, Loss::exact(0), 0)
        );
        assert!(first.damage.iter().all(|damage| damage.kind == DamageKind::Repeated));
        assert!(first.sessions.iter().all(|session| session.lost.is_none()));
        for count in [3, 8, 9, 97, 98, 99, 101, 102, 103] {
            let mut opened = LogDir::open(&path)?;
            opened.seek_last(count)?;
            assert_eq!(drain(&mut opened)?.len() as u64, count.min(102), "{cut}");
        }
        // Read alone, the file has lost the records that are not in it.
        assert!(!super::super::verify(dir.path().join("app_1.log"))?.is_whole());
        // The records with which the next segment does not begin are not known.
        let mut later = Builder::new();
        later.session(0xE).block(0, &records(1, 4, 30)).block(1, &records(2, 90, 2000));
        later.abandon();
        later.block(0, &records(3, 5, 30)).end();
        fs::write(&path, &later.bytes).expect("written");
        let report = LogDir::open(&path)?.verify()?;
        assert!(!report.is_whole(), "{cut}");
        assert_eq!(report.segments[0].damage_count(), 1, "{cut}: {report:#?}");
    }
    Ok(())
}

/// A generator that gives the same numbers for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// The segment that a file in a random directory holds.
type World = std::collections::BTreeMap<String, usize>;

/// Changes a file of the directory, or adds a foreign one.
fn happen(dir: &Path, files: &[Vec<u8>], world: &mut World, chance: &mut Chance, step: usize) {
    let names: Vec<String> = world.keys().cloned().collect();
    let Some(name) = names.get(chance.below(names.len().max(1))).cloned() else { return };
    let number = world[&name];
    let at = |name: &str| dir.join(name);
    let endings = ["log", "txt", "log.1", "log.bak"];
    let fresh = format!("n{step}.{}", endings[chance.below(endings.len())]);
    match chance.below(7) {
        0 => {
            fs::rename(at(&name), at(&fresh)).expect("renamed");
            world.remove(&name);
            world.insert(fresh, number);
        }
        1 => {
            fs::copy(at(&name), at(&fresh)).expect("copied");
            world.insert(fresh, number);
        }
        2 => {
            fs::remove_file(at(&name)).expect("removed");
            world.remove(&name);
        }
        3 => {
            // The file cannot be read any more.
            fs::remove_file(at(&name)).expect("removed");
            symlink(at(&name), at(&name)).expect("linked");
            world.remove(&name);
        }
        4 => {
            fs::hard_link(at(&name), at(&fresh)).expect("linked");
            world.insert(fresh, number);
        }
        #[cfg(feature = "zstd")]
        5 => {
            let fresh = format!("n{step}.log.zst");
            let bytes = super::compressed::compressed(&files[number], 1 << 16);
            fs::write(at(&fresh), bytes).expect("written");
            fs::remove_file(at(&name)).expect("removed");
            world.remove(&name);
            world.insert(fresh, number);
        }
        _ => {
            let bad = [&b"text"[..], &[], &files[number][..100]];
            fs::write(at(&format!("f{step}.log")), bad[chance.below(bad.len())]).expect("written");
        }
    }
}

/// Every readable record is read, once and in order, and every missing segment is reported.
#[test]
fn whatever_happens_to_a_directory_what_is_there_is_read() -> Result<(), Error> {
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let dir = tempfile::tempdir().expect("a directory");
        let (log, files) = segments(2 + chance.below(7));
        let mut world = World::new();
        for (index, file) in files.iter().enumerate() {
            fs::write(dir.path().join(name(index)), file).expect("written");
            world.insert(name(index), index);
        }
        let mut opened = LogDir::open(dir.path().join(name(files.len() - 1)))?;
        let first = opened.segments()[0].id as usize - 1;
        let mut found: Vec<OwnedRecord> = Vec::new();
        let mut step = 0;
        loop {
            for _ in 0..chance.below(3) {
                happen(dir.path(), &files, &mut world, &mut chance, step);
                step += 1;
            }
            let before = found.len();
            for _ in 0..=chance.below(8) {
                let Some(record) = opened.next_record()? else { break };
                found.push(record.into_owned());
            }
            if found.len() == before {
                break;
            }
        }
        let written = |record: &OwnedRecord| {
            log.written.iter().position(|it| it.position == record.position).expect("written")
        };
        let order: Vec<usize> = found.iter().map(written).collect();
        assert!(order.is_sorted_by(|a, b| a < b), "{seed}: once and in order: {order:?}");
        let missing = opened.missing();
        for number in first..files.len() {
            let range = number * IN_EACH..(number + 1) * IN_EACH;
            let read = order.iter().filter(|index| range.contains(index)).count();
            let is_told = missing.iter().any(|missing| missing.contains(&(number as u64 + 1)));
            assert_eq!(
                (read, is_told),
                if read > 0 { (IN_EACH, false) } else { (0, true) },
                "{seed}: {number}"
            );
            // A segment that exists until the end could be read at any time.
            let is_there = world.values().any(|there| *there == number);
            assert!(read > 0 || !is_there, "{seed}: {number} is there: {world:?}");
        }
        let report = opened.report();
        assert_eq!(report.records, found.len() as u64, "{seed}");
        assert!(report.segments.iter().all(|segment| segment.is_whole()), "{seed}");
    }
    Ok(())
}
