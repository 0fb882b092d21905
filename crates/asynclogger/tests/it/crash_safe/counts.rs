//! Counts in memory that a child shares with its parent, and that outlive the child.

use std::{
    fs::File,
    os::fd::AsRawFd,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// The most threads of a worker, over all its lives.
pub const MOST: usize = 4096;

/// The number of accepted records of each thread.
pub struct Counts {
    words: &'static [AtomicU64],
}

impl Counts {
    pub fn open(path: &Path) -> Counts {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true);
        let file = options.open(path).expect("a file");
        file.set_len(MOST as u64 * 8).expect("a length");
        let (access, len) = (libc::PROT_READ | libc::PROT_WRITE, MOST * 8);
        // SAFETY: a new mapping of a file that has the length; it stays until the process ends.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        assert_ne!(start, libc::MAP_FAILED);
        // SAFETY: the mapping is never unmapped, begins at a page, and is only used as atomics.
        Counts { words: unsafe { std::slice::from_raw_parts(start.cast(), MOST) } }
    }

    pub fn set(&self, thread: usize, count: u64) {
        self.words[thread].store(count, Ordering::Release);
    }

    pub fn get(&self, thread: usize) -> u64 {
        self.words[thread].load(Ordering::Acquire)
    }

    pub fn sum(&self) -> u64 {
        (0..MOST).map(|thread| self.get(thread)).sum()
    }
}
