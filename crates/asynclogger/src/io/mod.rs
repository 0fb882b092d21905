//! The seam to the file system: [`BlockFile`] and its implementations, directories, the lock, the alarm.
//!
//! All raw system calls on files are here. Nothing here knows the content of a block.

mod alarm;
#[expect(unsafe_code, reason = "a function of C")]
mod at_exit;
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
mod map_file;
mod map_room;
mod pwrite;
mod random;
mod seams;
#[expect(unsafe_code, reason = "signal masks")]
mod signals;
#[cfg(feature = "io-uring")]
#[expect(unsafe_code, reason = "the kernel reads memory after the call has returned")]
mod uring;
#[cfg(not(feature = "io-uring"))]
#[path = "no_uring.rs"]
mod uring;
mod write_mark;

use std::io;

#[cfg(feature = "zstd")]
pub(crate) use self::background::forget_cached;
#[cfg(test)]
pub(crate) use self::kill::kill_this_process;
#[cfg(all(test, not(loom)))]
pub(crate) use self::seams::{Ability, Moment, world::World};
pub(crate) use self::{
    alarm::Alarm,
    at_exit::{AtExit, register as register_at_exit},
    background::{want_soon, yield_to_all_others},
    cause::Cause,
    closed_file::ClosedFile,
    direct::{
        Alignment, OpenRequest, OpenedFile, ReopenForm, alignment_in, open_file, reopen_file,
    },
    directory::{Directory, Irregular},
    driver::Driver,
    limits::{check_file_limit, descriptor_limit, file_size_limit},
    lock::{EventsLock, KeepWhen, Kept, WriterLock, is_written},
    map_file::{Found, MapFile, private_directory},
    random::random,
    signals::with_signals_blocked,
    write_mark::is_marked,
};
use crate::{EngineKind, IoMode, mem::StableBytes, sync::Arc};

/// An operation on a [`BlockFile`].
#[derive(Clone)]
pub(crate) enum Operation {
    /// Writes all of the bytes at `offset`, and syncs them if the file was opened for synced writes. After an error any
    /// part of the range may have been written: repeat the write, same place, same bytes.
    Write { bytes: Arc<dyn StableBytes>, offset: u64 },
    /// Makes durable all writes that completed before the barrier was submitted. After an error nothing since the last
    /// good barrier is durable, whatever a second barrier reports: the kernel reports an error once and forgets it.
    Barrier,
    /// Reserves space for `len` bytes from `offset` on, without making the file longer.
    Reserve { offset: u64, len: u64 },
}

/// The result of an operation.
pub(crate) struct Completion {
    /// The tag given to [`BlockFile::submit`].
    pub(crate) tag: u64,
    pub(crate) result: io::Result<()>,
}

/// The identity, length and permissions of a file, as the system sees them now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileState {
    /// Device and inode.
    pub(crate) identity: (u64, u64),
    /// The number of the file's names (hard links); 0: the file was deleted.
    pub(crate) links: u64,
    /// The file's length in bytes; 0 also if the file begins with a hole: somebody truncated the file, and later writes
    /// lie behind the hole.
    pub(crate) len: u64,
    /// Bytes that the file occupies on the disk, with the space reserved behind its end.
    pub(crate) on_disk: u64,
    /// The file's permissions.
    pub(crate) mode: u32,
}

impl FileState {
    /// Whether both are states of the same file, with the same length and number of names. The space on the disk is not
    /// compared: the file system changes that by itself.
    pub(crate) fn is_same(&self, other: &FileState) -> bool {
        (self.identity, self.links, self.len) == (other.identity, other.links, other.len)
    }
}

/// A file that takes whole blocks: operations are submitted, and complete in any order.
///
/// The flusher must not stop while a device is slow, and must not depend on how a file is written. A blocking `write`
/// would stop the flusher for each block; a future would need an executor and would hide the order of writes and
/// barriers, on which durability rests. So an operation has a tag and two moments: `submit` begins the operation,
/// `reap` reports the result. io_uring completes the operation between the two, `pwritev2` already within `submit`; the
/// code above cannot tell the difference. The fault engine of the tests stands at the same seam, and fails, tears and
/// reorders operations that a real disk fails rarely.
///
/// The caller gives memory, lengths and offsets that are multiples of the file's alignment. Nothing changes the bytes
/// until the operation's completion is reaped: direct I/O takes no snapshot. A file can be dropped with operations in
/// flight: the operations keep their memory until the kernel has answered, for ever if need be.
pub(crate) trait BlockFile: Send {
    /// Begins an operation. Never fails: an operation that cannot begin completes with an error.
    fn submit(&mut self, tag: u64, operation: Operation);

    /// The next operation that has completed; `None` if no other has. Never waits.
    fn reap(&mut self) -> Option<Completion>;

    /// Writes and waits. Nothing may be in flight.
    ///
    /// # Errors
    /// The system's errors.
    fn write_now(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Performs [`Operation::Reserve`] and waits. Nothing may be in flight.
    ///
    /// # Errors
    /// The system's errors; a part of the space may have been reserved.
    fn reserve_now(&mut self, offset: u64, len: u64) -> io::Result<()>;

    /// Performs [`Operation::Barrier`] and waits. Nothing may be in flight.
    ///
    /// # Errors
    /// The same as for [`Operation::Barrier`].
    fn sync_now(&mut self) -> io::Result<()>;

    /// Gives back space that was reserved and is not used. Nothing may be in flight.
    ///
    /// # Errors
    /// The system's errors; no record is lost by them.
    fn trim(&mut self) -> io::Result<()>;

    /// Continues through the page cache, after the system refused direct I/O for an operation.
    ///
    /// # Errors
    /// If the file is written through the page cache already, or the system does not allow the change.
    fn leave_direct(&mut self) -> io::Result<()>;

    /// Whether writes bypass the page cache.
    fn mode(&self) -> IoMode;

    /// The engine in effect; the engine can change while the file is written.
    fn engine(&self) -> EngineKind;

    /// Free bytes on the file's file system; `None` if the system does not report them.
    fn room(&self) -> Option<u64>;

    /// The file's state as the system sees the file now.
    ///
    /// # Errors
    /// The system's errors.
    fn state(&self) -> io::Result<FileState>;

    /// Gives the file these permissions.
    ///
    /// # Errors
    /// The system's errors.
    fn set_mode(&self, mode: u32) -> io::Result<()>;
}
