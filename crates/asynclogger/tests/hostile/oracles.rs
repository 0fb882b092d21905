//! What has to hold, whatever the world does. All of this is looked at while the services stand still.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use asynclogger::read::{LogDir, verify};

use crate::{
    files::{Content, Log, bytes_of, identity, identity_of, read, read_open},
    model::{Fate, Model},
    plan::Keep,
    record::Key,
    world::World,
};

/// The records of each segment, by log and number, as they were ever seen.
#[derive(Debug, Default)]
pub struct Numbers(HashMap<(Log, u64), HashSet<Key>>);

impl Numbers {
    /// A number of a log has one segment: two files with it have records in common, unless the world has destroyed
    /// those. Where the world had hidden the number from a service that began, the service could not know it.
    fn see(&mut self, content: &Content, world: &World, path: &Path) {
        if content.keys.is_empty() {
            return;
        }
        let (log, segment) = (&content.log_id, content.segment);
        let known = self.0.entry((log.clone(), segment)).or_default();
        let is_same = content.keys.iter().any(|key| known.contains(key))
            || known.iter().all(|key| world.destroyed.contains(key));
        let is_excused = world.excused.get(log).is_some_and(|most| segment <= *most);
        assert!(
            is_same || is_excused,
            "oracle 5: segment {segment} of {log} comes twice, here as {}: {:?} and {:?}",
            path.display(),
            known.iter().min(),
            content.keys.first()
        );
        known.extend(&content.keys);
    }
}

/// The files of logs below the top, each read alone.
fn contents(world: &World) -> BTreeMap<PathBuf, Content> {
    let files = world.files().into_iter();
    files.filter_map(|path| Some((path.clone(), read(&path)?))).collect()
}

/// Everything that has to hold at any moment.
pub fn check(world: &mut World, model: &Model, numbers: &mut Numbers) {
    world.read_vault();
    let contents = contents(world);
    for (path, content) in &contents {
        numbers.see(content, world, path);
        world.segments.insert((content.log_id.clone(), content.segment));
    }
    let found: HashSet<Key> = contents.values().flat_map(|it| it.keys.iter().copied()).collect();
    durable_records_are_there(world, model, &found);
    refused_records_are_not(model, &found);
    foreign_files_are_as_they_were(world);
    whatever_is_readable_is_read(&contents);
}

/// Oracle 1: a durable record is in a file, or went with what the world deleted, cut or overwrote, or retention has
/// deleted its segment, and newer ones are enough.
fn durable_records_are_there(world: &mut World, model: &Model, found: &HashSet<Key>) {
    let mut buried: HashMap<Key, u64> = HashMap::new();
    for grave in &world.graves {
        // Another name of the file may still be there, and be deleted by whom it belongs to.
        if grave.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0) {
            for key in read_open(&grave.file).into_iter().flat_map(|it| it.keys) {
                let latest = buried.entry(key).or_default();
                *latest = (*latest).max(grave.after);
            }
        }
    }
    world.know_set_aside();
    world.hold_active();
    for (key, known) in model.all().filter(|(_, known)| known.fate == Fate::Durable) {
        if found.contains(&key) || world.destroyed.contains(&key) {
            continue;
        }
        if let Some(after) = buried.get(&key) {
            assert!(
                known.command <= *after,
                "oracle 1: {key:?} was logged after its file was deleted: {after}, {known:?}"
            );
            continue;
        }
        assert!(
            is_expired(world, key),
            "oracle 1: {key:?} is durable and in no file: {known:?}; {}",
            whereabouts(world, key)
        );
    }
    // What is settled need not keep its room on the disk.
    if world.graves.len() > 8 {
        for grave in world.graves.drain(..world.graves.len() - 8) {
            let keys = read_open(&grave.file).into_iter().flat_map(|it| it.keys);
            world.destroyed.extend(keys.filter(|key| !found.contains(key)));
        }
    }
}

/// What is known of the segments with records near this one, for a failure's message.
fn whereabouts(world: &World, key: Key) -> String {
    let is_near = |other: &Key| other.lane == key.lane && other.number.abs_diff(key.number) <= 8;
    let near = world.archived.iter().filter(|(_, keys)| keys.iter().any(is_near));
    let told: Vec<String> = near
        .map(|((log, segment), keys)| {
            let near: Vec<u32> =
                keys.iter().filter(|key| is_near(key)).map(|key| key.number).collect();
            let last = world.segments.iter().rfind(|(other, _)| other == log);
            format!("archived: segment {segment} of {log} with {near:?}; the last one is {last:?}")
        })
        .collect();
    let gone: Vec<u32> =
        world.destroyed.iter().filter(|key| is_near(key)).map(|key| key.number).collect();
    format!("{told:?}, destroyed {gone:?}")
}

/// Whether retention may have deleted the segment of a record.
fn is_expired(world: &World, key: Key) -> bool {
    let newer = match world.plan.retention {
        None => return false,
        Some(Keep::Count(count)) => count,
        Some(Keep::Total | Keep::Age) => 1,
    };
    let segments = world.archived.iter().filter(|(_, keys)| keys.contains(&key));
    let enough = |(log, segment): &(Log, u64)| {
        let behind = (log.clone(), segment + 1)..=(log.clone(), u64::MAX);
        world.segments.range(behind).count() >= newer
    };
    segments.map(|(segment, _)| segment).any(enough)
}

/// Oracle 6: what was refused or never offered is in no file.
fn refused_records_are_not(model: &Model, found: &HashSet<Key>) {
    for key in found {
        if key.lane >= crate::run::LANE_OF_OTHERS {
            continue;
        }
        let known = model.get(*key);
        let was_taken = known.is_some_and(|known| known.fate != Fate::Refused);
        assert!(was_taken, "oracle 6: {key:?} is in a file, and was refused: {known:?}");
    }
}

/// Oracle 2: a file that is not ours is byte for byte as it was, and where it was, except at the path of a log: from
/// there it is set aside.
fn foreign_files_are_as_they_were(world: &World) {
    for foreign in &world.foreign {
        let path = foreign.path.as_deref().unwrap_or(Path::new("a file")).display();
        assert!(bytes_of(&foreign.file) == foreign.content, "oracle 2: {path} was written to");
        let links = foreign.file.metadata().expect("an open file").nlink();
        assert!(links > 0, "oracle 2: {path} was deleted");
        let Some(placed) = &foreign.path else { continue };
        let name = placed.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_there = identity(placed) == Some(identity_of(&foreign.file));
        assert!(is_there || world.plan.is_active_name(&name), "oracle 2: {path} was renamed");
    }
}

/// Oracle 4: a reader of a directory delivers what readers of each file find, each record once and in order, and
/// nothing keeps it from that.
fn whatever_is_readable_is_read(contents: &BTreeMap<PathBuf, Content>) {
    let mut logs: BTreeMap<(PathBuf, Log), Vec<&Content>> = BTreeMap::new();
    for (path, content) in contents {
        // Without a start, only a name can say that there is something to look for in a file.
        let has_log_name = path.to_string_lossy().ends_with(".log");
        if is_hidden(path) || !content.has_start && !has_log_name {
            continue;
        }
        let dir = path.parent().expect("a directory").to_owned();
        logs.entry((dir, content.log_id.clone())).or_default().push(content);
    }
    let dirs: BTreeSet<PathBuf> = logs.keys().map(|(dir, _)| dir.clone()).collect();
    for dir in dirs {
        let scan = LogDir::scan(&dir).unwrap_or_else(|error| panic!("oracle 4: {error:#}"));
        for mut log in scan.logs {
            let Some(id) = log.log_id().map(|id| id.to_string()) else { continue };
            let Some(files) = logs.remove(&(dir.clone(), id)) else { continue };
            let copied: HashSet<u64> = log.copies().iter().map(|copy| copy.id).collect();
            let read = drain(&mut log, &dir);
            for content in files.into_iter().filter(|it| !copied.contains(&it.segment)) {
                let is_left_out = |key: &&Key| !read.contains(key);
                let left_out: Vec<_> = content.keys.iter().filter(is_left_out).collect();
                assert!(
                    left_out.is_empty(),
                    "oracle 4: segment {} of {}: {} readable records are not read: {:?}",
                    content.segment,
                    dir.display(),
                    left_out.len(),
                    left_out[0]
                );
            }
            let report = log.verify().unwrap_or_else(|error| panic!("oracle 4: {error:#}"));
            assert_eq!(report.records, read.len() as u64, "oracle 4: verify counts the same");
        }
    }
    let left_out: Vec<_> = logs.keys().collect();
    assert!(left_out.is_empty(), "oracle 4: logs that are not listed: {left_out:?}");
    for (path, content) in contents {
        let report = verify(path);
        let report =
            report.unwrap_or_else(|error| panic!("oracle 4: {}: {error:#}", path.display()));
        assert_eq!(report.records, content.keys.len() as u64, "oracle 4: {}", path.display());
    }
}

/// The names of files that are not ready, and so no segments for a reader.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Reads a log to its end: each record once, and those of a thread in order. Two files with one number have no order;
/// oracle 5 judges whether they may be there.
pub fn drain(log: &mut LogDir, what: &Path) -> HashSet<Key> {
    let (mut read, mut last) = (HashSet::new(), HashMap::new());
    loop {
        let record = match log.next_record() {
            Ok(record) => record,
            // There is no directory any more, and the reader says that.
            Err(error) if error.path() == what.parent() => return read,
            Err(error) => panic!("oracle 4: {}: {error:#}", what.display()),
        };
        let Some(record) = record else { return read };
        let key = Key::parse(record.bytes()).expect("oracle 4: an altered record");
        let before = last.insert(key.lane, key.number);
        let is_in_order = before.is_none_or(|before| before < key.number);
        assert!(
            is_in_order || !log.copies().is_empty(),
            "oracle 4: {}: {key:?} comes after {before:?}; files: {:#?}",
            what.display(),
            inventory(what.parent().expect("a directory"))
        );
        read.insert(key);
    }
}

/// The segments in a directory, for a failure's message.
fn inventory(dir: &Path) -> Vec<String> {
    let told = crate::files::below(dir).into_iter().filter_map(|path| {
        let Content { log_id, segment, keys, has_start, .. } = read(&path)?;
        let mode = std::fs::symlink_metadata(&path).ok()?.mode();
        let (first, last) = (keys.first(), keys.last());
        Some(format!(
            "{}: {segment} of {log_id}, {first:?} to {last:?}, mode {mode:o}, start {has_start}",
            path.display()
        ))
    });
    told.collect()
}

/// Whether a record is in a file below one of the directories.
pub fn is_in(key: Key, dirs: &[PathBuf]) -> bool {
    let files = dirs.iter().flat_map(|dir| crate::files::below(dir));
    files.filter_map(|path| read(&path)).any(|content| content.keys.contains(&key))
}
