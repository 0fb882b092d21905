//! Reads bytes at an offset, on every system.

use std::{fmt, fs::File, io, panic::AssertUnwindSafe, sync::Arc};

/// Bytes that can be read at any offset: a file, or what another program keeps, such as an object in a store.
///
/// The readers of this library need no more than these two functions, so a segment can be read wherever it lies. A reader
/// asks for some KiB here and there, and then for the data of one block after the other; an implementation for which a
/// request is dear reads ahead.
#[allow(clippy::len_without_is_empty, reason = "nobody asks whether a segment is empty")]
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// The number of bytes that are there now. The number may grow.
    ///
    /// # Errors
    ///
    /// What keeps the bytes cannot say.
    fn len(&self) -> io::Result<u64>;

    /// Reads bytes from `offset` on into `buffer`, and returns how many were read. As with [`io::Read`], this can be
    /// fewer than asked for, and 0 only if nothing was asked for, or if no byte is at `offset`.
    ///
    /// # Errors
    ///
    /// The bytes cannot be read. After an error of the kind `Interrupted` the reader tries again.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for File {
    fn len(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_file(self, offset, buffer)
    }
}

/// The bytes that a program has given for a segment.
///
/// Unwind safe: a reader only reads them, and whatever an implementation keeps beside them is its own matter.
pub(crate) struct Given(AssertUnwindSafe<Arc<dyn ReadAt>>);

impl Given {
    pub(crate) fn new(bytes: Arc<dyn ReadAt>) -> Given {
        Given(AssertUnwindSafe(bytes))
    }
}

impl ReadAt for Given {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }
}

impl Clone for Given {
    fn clone(&self) -> Given {
        Given::new(Arc::clone(&self.0))
    }
}

impl PartialEq for Given {
    fn eq(&self, other: &Given) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Given {}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A file, or what a program has given.
#[cfg(feature = "zstd")]
pub(crate) type Stored = Box<dyn Keeps>;

/// [`ReadAt`] in readers that stay whole if they unwind.
#[cfg(feature = "zstd")]
pub(crate) trait Keeps: ReadAt + std::panic::UnwindSafe + std::panic::RefUnwindSafe {}

#[cfg(feature = "zstd")]
impl Keeps for File {}
#[cfg(feature = "zstd")]
impl Keeps for Given {}

/// Fills `buffer` from `offset` on; returns less than its length only at the end of the bytes.
pub(crate) fn read_full(
    bytes: &(impl ReadAt + ?Sized),
    offset: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match bytes.read_at(offset.saturating_add(filled as u64), rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(unix)]
fn read_file(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_file(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(not(any(unix, windows)))]
fn read_file(_file: &File, _offset: u64, _buffer: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
