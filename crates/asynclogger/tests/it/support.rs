//! Records that can be checked, and what watches the process.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use asynclogger::{Config, Logger, Stats};
use tempfile::TempDir;

use crate::seed_readers::{self, Step};

/// A directory for a test's logs; on a real file system where the target directory is on one.
pub fn directory() -> TempDir {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tempfile::tempdir_in(target).expect("a temporary directory")
}

pub fn log_path(directory: &TempDir) -> PathBuf {
    directory.path().join("app.log")
}

pub fn open(config: Config) -> Logger {
    Logger::new(config).expect("a logger")
}

/// A record that says who logged it and when, and whose every byte follows from that.
pub struct Numbered {
    bytes: Vec<u8>,
}

impl Numbered {
    /// Shorter ones have no room for thread and number: they are fillers, and only counted.
    pub const MIN_LEN: usize = 12;
    const FILLER: u8 = 0xEE;

    /// A record too short to be numbered.
    pub fn filler(len: usize) -> &'static [u8] {
        &[Numbered::FILLER; Numbered::MIN_LEN - 1][..len]
    }

    pub fn new() -> Numbered {
        Numbered { bytes: Vec::new() }
    }

    /// The `number`th record of `thread`; `len` is at least [`MIN_LEN`](Numbered::MIN_LEN).
    pub fn make(&mut self, thread: u32, number: u64, len: usize) -> &[u8] {
        assert!(len >= Numbered::MIN_LEN);
        self.bytes.clear();
        self.bytes.extend_from_slice(&thread.to_le_bytes());
        self.bytes.extend_from_slice(&number.to_le_bytes());
        let seed = thread as u64 * 31 + number;
        self.bytes.resize(len, seed as u8);
        &self.bytes
    }

    /// Thread and number of a record, if it is one of ours and whole.
    pub fn parse(record: &[u8]) -> Option<(u32, u64)> {
        let thread = u32::from_le_bytes(record.get(..4)?.try_into().ok()?);
        let number = u64::from_le_bytes(record.get(4..12)?.try_into().ok()?);
        let fill = (thread as u64 * 31 + number) as u8;
        record[12..].iter().all(|byte| *byte == fill).then_some((thread, number))
    }
}

/// What a file holds of numbered records.
pub struct Found {
    pub count: u64,
    /// Numbers by thread, in the order of the file.
    pub by_thread: Vec<Vec<u64>>,
}

impl Found {
    /// Reads a file by the independent reader; fails on an altered or doubled record.
    pub fn read(path: &Path, threads: usize) -> Found {
        let mut found = Found { count: 0, by_thread: vec![Vec::new(); threads] };
        seed_readers::read(path, Step::Valid, |record| {
            if record.len() < Numbered::MIN_LEN {
                assert!(record.iter().all(|byte| *byte == Numbered::FILLER), "an altered record");
                found.count += 1;
                return;
            }
            let (thread, number) = Numbered::parse(record).expect("an altered record");
            found.count += 1;
            found.by_thread[thread as usize].push(number);
        });
        for (thread, numbers) in found.by_thread.iter().enumerate() {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), numbers.len(), "thread {thread}: a record stands twice");
        }
        found
    }

    /// Each thread's records stand in the order it logged them.
    pub fn assert_in_order(&self) {
        for (thread, numbers) in self.by_thread.iter().enumerate() {
            assert!(numbers.is_sorted(), "thread {thread}: out of order");
        }
    }
}

pub fn assert_balanced(stats: &Stats) {
    assert_eq!(stats.total_logs, stats.accepted + stats.dropped_logs);
    assert_eq!(stats.dropped_logs, stats.dropped.total());
    assert_eq!(stats.accepted, stats.written + stats.pending + stats.lost);
}

/// Waits until `condition`; fails after a time that no machine needs.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "timed out: {what}");
        std::thread::yield_now();
    }
}

/// Runs a test of this binary again in a process of its own, with `CHILD` set to `role`, and returns
/// what it printed.
pub fn in_child(test: &str, role: &str) -> String {
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("CHILD", role)
        .output()
        .expect("the child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the child failed: {:?}\n{text}\n{errors}", output.status);
    text
}

/// The role given by [`in_child`], if this is the child.
pub fn child_role() -> Option<String> {
    std::env::var("CHILD").ok()
}

/// A value of `/proc/self/status`, in bytes.
pub fn status_bytes(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with(key)).expect("the key");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse::<u64>().expect("a number") * 1024
}

/// Counts the allocations of each thread.
pub struct CountingAllocator;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HOOK: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// Calls `hook` at each allocation of this thread from now on.
pub fn on_allocation(hook: Option<fn()>) {
    HOOK.with(|place| place.set(hook));
}

/// How often this thread has allocated.
pub fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

// SAFETY: passes everything on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // An allocation of the hook's own does not call it again.
        if let Some(hook) = HOOK.with(Cell::take) {
            hook();
            on_allocation(Some(hook));
        }
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Makes every write beyond `bytes` fail with `EFBIG`, for this process, until it is called with more.
pub fn limit_file_size(bytes: u64) {
    // SAFETY: ignoring a signal that would otherwise end the process.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure is complete.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
}
