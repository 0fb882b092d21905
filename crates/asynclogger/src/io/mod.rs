//! The seam to the file system: [`BlockFile`] and what implements it, directories, the lock.
//!
//! All raw system calls on files are here. Nothing here knows what is in a block.

mod direct;
mod directory;
mod lock;
mod pwrite;
mod random;
#[expect(unsafe_code, reason = "signal masks")]
mod signals;

use std::io;

pub(crate) use self::{
    direct::{OpenedFile, open_file},
    directory::Directory,
    lock::WriterLock,
    random::random,
    signals::with_signals_blocked,
};

/// A file that takes whole blocks.
///
/// Callers give memory, lengths and offsets that are multiples of the file's alignment, and change
/// nothing of the memory during a call: direct I/O takes no snapshot.
pub(crate) trait BlockFile: Send {
    /// Writes all of `bytes` at `offset`; synced, if the file was opened so.
    ///
    /// # Errors
    /// Then any part of it may have been written: repeat it, same place, same bytes.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all that was written durable. Not needed after writes that are synced.
    ///
    /// # Errors
    /// Then nothing since the last good barrier is durable, whatever a second call says: the kernel
    /// reports an error once and forgets it.
    fn barrier(&mut self) -> io::Result<()>;
}
