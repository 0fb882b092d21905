//! What has to hold after a power cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use asynclogger::{
    ErrorKind, Logger, LoggerManager, Salvage,
    read::{LogDir, verify},
};

use super::{
    plan::{KEPT, Plan, event_name, logs, maps},
    recording::KNOWN,
    worker::{CLOSED, OFFERED, SUMS, THREADS},
};
use crate::{crash_safe::Counts, support::Numbered};

/// The thread that logs after the cut, and its records.
const AFTER: usize = THREADS - 1;
const MORE: u64 = 40;
/// The head of a map.
const MAP_HEAD: usize = 16 << 10;

/// What a look at the files after a cut has found.
#[derive(Default)]
struct Found {
    /// The records of each thread, by event, in the order of the log.
    records: BTreeMap<(usize, usize), Vec<u64>>,
    segments: usize,
    copies: usize,
}

/// What was checked.
#[derive(Default)]
pub struct Checked {
    /// Records that were durable, and records that were found.
    pub durable: u64,
    pub found: u64,
    /// Maps that were left alone.
    pub maps: u64,
}

/// Checks what a power cut has left on a disk.
///
/// # Errors
/// What does not hold.
pub fn check(
    plan: &Plan,
    disk: &Path,
    known: &[u64; KNOWN],
    counts: &Counts,
) -> Result<Checked, String> {
    let before = look(plan, disk)?;
    let (durable, found) = before.assert_kept(plan, known, counts)?;
    let left = contents(&maps(disk));
    let salvage = continue_log(plan, disk)?;
    let after = look(plan, disk).map_err(|error| format!("after the next opening: {error}"))?;
    after.assert_kept(plan, known, counts).map_err(|error| format!("then: {error}"))?;
    if !plan.deletes {
        for (key, numbers) in &before.records {
            if after.records.get(key) != Some(numbers) {
                return Err(format!("thread and event {key:?} are not the same any more"));
            }
        }
    }
    let mut new: Vec<u64> = Vec::new();
    for ((thread, _), numbers) in &after.records {
        if *thread == AFTER {
            new.extend(numbers);
        }
    }
    new.sort_unstable();
    if !new.iter().copied().eq(0..MORE) {
        return Err(format!("of the new records are there: {new:?}"));
    }
    if after.copies > before.copies && plan.has_journal() {
        return Err("the next opening has made a copy".into());
    }
    assert_left_alone(&left, &contents(&maps(disk)), &salvage)?;
    Ok(Checked { durable, found, maps: left.len() as u64 })
}

/// Reads and verifies all files of the directory.
fn look(plan: &Plan, disk: &Path) -> Result<Found, String> {
    let mut found = Found::default();
    let failed = |what: &str, error| format!("{what}: {error:#}");
    let scan = LogDir::scan(logs(disk)).map_err(|error| failed("scan", error))?;
    if let Some(error) = scan.unreadable.first() {
        return Err(format!("unreadable: {error:#}"));
    }
    for mut log in scan {
        let _ = log.verify().map_err(|error| failed("verify", error))?;
        let segments = log.segments().to_vec();
        let distinct: BTreeSet<_> = segments.iter().map(|segment| segment.id).collect();
        if distinct.len() != segments.len() {
            return Err(format!("a number comes twice: {segments:?}"));
        }
        for copy in log.copies() {
            // The same file under two names, in a rotation; or both forms of a segment, while one is made.
            let is_same = segments.iter().any(|segment| {
                segment.id == copy.id
                    && (inode(&segment.path) == inode(&copy.path)
                        || is_compressed(&segment.path) != is_compressed(&copy.path))
            });
            if !is_same && plan.has_journal() {
                return Err(format!("number {} has two files: {segments:?}, {copy:?}", copy.id));
            }
        }
        for segment in &segments {
            let _ = verify(&segment.path).map_err(|error| failed("verify", error))?;
        }
        found.segments += segments.len();
        found.copies += log.copies().len();
        loop {
            let record = log.next_record().map_err(|error| failed("read", error))?;
            let Some(record) = record else { break };
            let (thread, number) = Numbered::parse(record.bytes()).ok_or("a record was altered")?;
            let thread = thread as usize;
            let event = match plan.events {
                0 => 0,
                _ => plan.event(thread, number),
            };
            let names: Vec<_> =
                segments.iter().filter(|segment| !segment.name.is_empty()).collect();
            let is_of = |name: &[u8]| plan.events == 0 || name == event_name(event).as_bytes();
            if names.iter().any(|segment| !is_of(&segment.name)) {
                return Err(format!("{thread}:{number} is in another event"));
            }
            found.records.entry((thread, event)).or_default().push(number);
        }
        if let Some(error) = log.unread().first() {
            return Err(format!("unread: {error:#}"));
        }
    }
    for entry in fs::read_dir(logs(disk)).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        match verify(&path) {
            Err(error) if error.kind() != ErrorKind::NotALog => {
                return Err(failed("verify", error));
            }
            _ => {}
        }
    }
    Ok(found)
}

impl Found {
    /// Each record is there at most once, in the order of its thread, and was offered; those that were durable are
    /// there. Returns the number of those, and of all.
    fn assert_kept(
        &self,
        plan: &Plan,
        known: &[u64; KNOWN],
        counts: &Counts,
    ) -> Result<(u64, u64), String> {
        let mut by_thread = vec![Vec::new(); THREADS];
        for ((thread, event), numbers) in &self.records {
            if !numbers.is_sorted_by(|a, b| a < b) {
                return Err(format!("thread {thread}, event {event}: doubled, or out of order"));
            }
            by_thread[*thread].extend(numbers.iter().copied());
        }
        let (mut durable, mut all) = (0, 0);
        for (thread, mut numbers) in by_thread.into_iter().enumerate().take(AFTER) {
            numbers.sort_unstable();
            if !numbers.is_sorted_by(|a, b| a < b) {
                return Err(format!("thread {thread}: a record is in two events"));
            }
            if numbers.last().is_some_and(|last| *last >= counts.get(OFFERED + thread)) {
                return Err(format!("thread {thread}: a record that nobody has logged"));
            }
            all += numbers.len() as u64;
            let promised = known[thread];
            durable += promised;
            // Retention deletes from the beginning.
            let may_be_deleted = plan.deletes && self.segments > KEPT;
            let first =
                if may_be_deleted { numbers.first().copied().unwrap_or(promised) } else { 0 };
            let kept = numbers.iter().copied().take_while(|number| *number < promised);
            if !kept.eq(first.min(promised)..promised) {
                let missing = (first..promised).find(|n| numbers.binary_search(n).is_err());
                let found: Vec<_> = numbers.chunk_by(|a, b| a + 1 == *b).map(ends).collect();
                return Err(format!(
                    "thread {thread}: {promised} are durable, and {missing:?} is missing: {found:?}"
                ));
            }
        }
        let promised: u64 = (0..THREADS - 1).map(|life| known[SUMS + life]).sum();
        if !plan.deletes && all < promised {
            return Err(format!("{promised} are durable by the statistics, {all} are there"));
        }
        if known[CLOSED] > 0 && !plan.deletes && all < durable {
            return Err("a closed log has lost records".into());
        }
        Ok((durable, all))
    }
}

/// The first and the last of some numbers.
fn ends(numbers: &[u64]) -> (u64, u64) {
    (numbers[0], numbers[numbers.len() - 1])
}

/// Opens the log again and adds records.
fn continue_log(plan: &Plan, disk: &Path) -> Result<Salvage, String> {
    let failed = |what: &str, error| format!("{what} after the cut: {error:#}");
    let config = plan.config(disk);
    let mut record = Numbered::new();
    let mut each = |log: &mut dyn FnMut(usize, &[u8]) -> bool| {
        let of = |number| if plan.events > 0 { plan.event(AFTER, number) } else { 0 };
        (0..MORE).all(|number| log(of(number), record.make(AFTER as u32, number, 100)))
    };
    if plan.events == 0 {
        let logger = Logger::new(config).map_err(|error| failed("no logger", error))?;
        if !each(&mut |_, bytes| logger.try_log_bytes(bytes).is_ok()) {
            return Err("a record was refused after the cut".into());
        }
        logger.close().map_err(|error| failed("no close", error))?;
        return Ok(logger.salvage().clone());
    }
    let manager = LoggerManager::new(config).map_err(|error| failed("no manager", error))?;
    let mut log = |event, bytes: &[u8]| {
        manager.event(&event_name(event)).is_ok_and(|event| event.try_log_bytes(bytes).is_ok())
    };
    if !each(&mut log) {
        return Err("a record was refused after the cut".into());
    }
    manager.close().map_err(|error| failed("no close", error))?;
    Ok(manager.salvage().clone())
}

/// The files of a directory, by name.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.map(|path| (path.clone(), fs::read(path).expect("a map"))).collect()
}

/// The maps of the boot before the cut are there with each byte, and those that begin like one are reported.
fn assert_left_alone(
    before: &BTreeMap<PathBuf, Vec<u8>>,
    after: &BTreeMap<PathBuf, Vec<u8>>,
    salvage: &Salvage,
) -> Result<(), String> {
    if before != after {
        let names = |maps: &BTreeMap<PathBuf, Vec<u8>>| maps.keys().cloned().collect::<Vec<_>>();
        return Err(format!("the maps were {:?}, and are {:?}", names(before), names(after)));
    }
    if !salvage.sessions.is_empty() {
        return Err(format!("something was salvaged from before the cut: {salvage:?}"));
    }
    for (path, bytes) in before {
        let is_a_map = bytes.len() >= MAP_HEAD && bytes[..8] != [0; 8];
        let is_told = salvage.left_alone.iter().any(|left| left.map == *path);
        if is_a_map && !is_told {
            return Err(format!("{} is not reported: {salvage:?}", path.display()));
        }
    }
    Ok(())
}

fn inode(path: &Path) -> Option<u64> {
    Some(path.metadata().ok()?.ino())
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst")
}
