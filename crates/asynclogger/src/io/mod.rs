//! The seam to the file system: [`BlockFile`] and what implements it, directories, the lock, the alarm.
//!
//! All raw system calls on files are here. Nothing here knows what is in a block.

mod alarm;
mod background;
mod cause;
mod closed_file;
mod descriptor;
mod direct;
mod directory;
mod disk_file;
mod driver;
#[cfg(all(test, not(loom)))]
pub(crate) mod fault;
#[cfg(test)]
mod kill;
mod limits;
mod lock;
mod pwrite;
mod random;
#[expect(unsafe_code, reason = "signal masks")]
mod signals;
#[cfg(feature = "io-uring")]
#[expect(unsafe_code, reason = "the kernel reads memory after the call has returned")]
mod uring;
#[cfg(not(feature = "io-uring"))]
#[path = "no_uring.rs"]
mod uring;

use std::io;

#[cfg(feature = "zstd")]
pub(crate) use self::background::forget_cached;
#[cfg(test)]
pub(crate) use self::kill::kill_this_process;
pub(crate) use self::{
    alarm::Alarm,
    background::yield_to_all_others,
    cause::Cause,
    closed_file::ClosedFile,
    direct::{
        Alignment, OpenRequest, OpenedFile, ReopenForm, alignment_in, open_file, reopen_file,
    },
    directory::{Directory, Irregular},
    driver::Driver,
    limits::descriptor_limit,
    lock::{EventsLock, WriterLock, is_written, lock_name},
    random::random,
    signals::with_signals_blocked,
};
use crate::{EngineKind, IoMode, mem::StableBytes, sync::Arc};

/// What a file is asked to do.
#[derive(Clone)]
pub(crate) enum Operation {
    /// Writes all of the bytes at `offset`; synced, if the file was opened so. After an error any part of
    /// the range may have been written: repeat it, same place, same bytes.
    Write { bytes: Arc<dyn StableBytes>, offset: u64 },
    /// Makes durable what was written by operations that completed before this one was submitted. After
    /// an error nothing since the last good barrier is durable, whatever a second one says: the kernel
    /// reports an error once and forgets it.
    Barrier,
    /// Takes space for `len` bytes from `offset` on, without making the file longer.
    Reserve { offset: u64, len: u64 },
}

/// What became of an operation.
pub(crate) struct Completion {
    /// As given to [`BlockFile::submit`].
    pub(crate) tag: u64,
    pub(crate) result: io::Result<()>,
}

/// Which file it is, and what is left of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileState {
    /// Device and inode.
    pub(crate) identity: (u64, u64),
    /// Names that it has.
    pub(crate) links: u64,
    /// 0, too, if it begins with a hole: somebody cut it, and what was written since then lies behind that.
    pub(crate) len: u64,
    /// Bytes that it takes on the disk, with what was taken ahead behind its end.
    pub(crate) on_disk: u64,
    /// Its permissions.
    pub(crate) mode: u32,
}

impl FileState {
    /// Whether it is the same file, of the same length. What it takes on the disk may change by itself.
    pub(crate) fn is_same(&self, other: &FileState) -> bool {
        (self.identity, self.links, self.len) == (other.identity, other.links, other.len)
    }
}

/// A file that takes whole blocks: operations are submitted, and come back completed, in any order.
///
/// Callers give memory, lengths and offsets that are multiples of the file's alignment. Nothing changes
/// the bytes until their completion was reaped: direct I/O takes no snapshot. A file with operations in
/// flight may be dropped: their memory is then never used again.
pub(crate) trait BlockFile: Send {
    /// Begins an operation. Never fails: what cannot be begun completes with an error.
    fn submit(&mut self, tag: u64, operation: Operation);

    /// The next operation that has completed, if there is one. Never waits.
    fn reap(&mut self) -> Option<Completion>;

    /// Writes and waits; with nothing in flight.
    ///
    /// # Errors
    /// Those of the system.
    fn write_now(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// [`Operation::Reserve`], waited for; with nothing in flight.
    ///
    /// # Errors
    /// Those of the system; a part may have been taken.
    fn reserve_now(&mut self, offset: u64, len: u64) -> io::Result<()>;

    /// A barrier, waited for; with nothing in flight.
    ///
    /// # Errors
    /// As of [`Operation::Barrier`].
    fn sync_now(&mut self) -> io::Result<()>;

    /// Gives back space that was reserved and not used. Nothing may be in flight.
    ///
    /// # Errors
    /// Those of the system; nothing is lost by them.
    fn trim(&mut self) -> io::Result<()>;

    /// Goes on through the page cache, after direct I/O was refused for an operation.
    ///
    /// # Errors
    /// If it does so already, or the system does not let us.
    fn leave_direct(&mut self) -> io::Result<()>;

    /// Whether the page cache is bypassed.
    fn mode(&self) -> IoMode;

    /// The engine in effect; it may change while running.
    fn engine(&self) -> EngineKind;

    /// Bytes that are free where the file is; `None` if the system does not say.
    fn room(&self) -> Option<u64>;

    /// The file as the system sees it now.
    ///
    /// # Errors
    /// Those of the system.
    fn state(&self) -> io::Result<FileState>;

    /// Gives the file these permissions.
    ///
    /// # Errors
    /// Those of the system.
    fn set_mode(&self, mode: u32) -> io::Result<()>;
}
