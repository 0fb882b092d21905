//! Readers that read all the while: each time from the beginning, and following.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use asynclogger::read::{LogDir, ReadOptions, verify};

use crate::{oracles::drain, record::Key};

#[derive(Debug)]
pub struct Watcher {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    pub records: Arc<AtomicU64>,
}

impl Watcher {
    pub fn start(paths: Vec<PathBuf>) -> Watcher {
        let (stop, records) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let spawn = |name: &str, read: fn(&[PathBuf], &AtomicBool, &AtomicU64)| {
            let (paths, stop, records) = (paths.clone(), Arc::clone(&stop), Arc::clone(&records));
            let thread = std::thread::Builder::new().name(name.into());
            thread.spawn(move || read(&paths, &stop, &records)).expect("a thread")
        };
        let threads = vec![spawn("reader", read_again), spawn("follower", follow)];
        Watcher { stop, threads, records }
    }

    /// Ends the readers; fails if one of them has failed.
    pub fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        self.records.load(Ordering::Relaxed)
    }

    pub fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

const PAUSE: Duration = Duration::from_millis(15);

/// Opens and reads the logs again and again. A path that names no log is the world's doing; whatever could be opened
/// is read to its end.
fn read_again(paths: &[PathBuf], stop: &AtomicBool, records: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        for path in paths {
            if let Ok(mut log) = LogDir::open(path) {
                records.fetch_add(drain(&mut log, path).len() as u64, Ordering::Relaxed);
                let _ = log.report();
            }
            let _ = verify(path);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Follows each log from its beginning; a log that was begun anew is another one.
fn follow(paths: &[PathBuf], stop: &AtomicBool, records: &AtomicU64) {
    let mut logs: HashMap<&PathBuf, (LogDir, HashMap<u32, u32>)> = HashMap::new();
    while !stop.load(Ordering::Relaxed) {
        for path in paths {
            let Some((log, last)) = logs.get_mut(path) else {
                if let Ok(log) = ReadOptions::new().follow(true).open_log(path) {
                    logs.insert(path, (log, HashMap::new()));
                }
                continue;
            };
            // A directory that cannot be listed is the world's doing, and so is a last segment that cannot be
            // read: it is tried again.
            let _ = log.refresh();
            while let Ok(Some(record)) = log.next_record() {
                let key = Key::parse(record.bytes()).expect("oracle 4: an altered record");
                let before = last.insert(key.lane, key.number);
                let is_in_order = before.is_none_or(|before| before < key.number);
                let has_copies = !log.copies().is_empty();
                assert!(
                    is_in_order || has_copies,
                    "oracle 4: followed: {key:?} comes after {before:?}"
                );
                records.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(PAUSE);
    }
}
