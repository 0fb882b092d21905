//! Calls that need only a file: `pwritev2`, which a flag makes durable, and its companions.

use std::{
    fs::File,
    io::{self, ErrorKind, IoSlice},
};

use rustix::{
    fs::{
        FallocateFlags, Mode, SeekFrom, Stat, fallocate, fchmod, fstat, fstatvfs, ftruncate, seek,
    },
    io::{Errno, ReadWriteFlags, pwritev2},
};

use super::{FileState, Operation, signals::without_limit_signal};
use crate::mem::StableBytes;

/// The most pieces that one call takes (`IOV_MAX`).
pub(super) const MAX_PIECES: usize = 1024;

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// The alignment of memory, lengths and offsets, in bytes.
    pub(super) align: usize,
    /// Whether each write is synced.
    pub(super) synced: bool,
}

/// Performs an operation and waits for its end.
///
/// # Errors
/// The system's errors.
pub(super) fn perform(file: &File, form: Form, operation: &Operation) -> io::Result<()> {
    match operation {
        Operation::Write { bytes, offset } => write_pieces(file, form, &**bytes, *offset),
        Operation::Barrier => file.sync_data(),
        Operation::Reserve { offset, len } => reserve(file, *offset, *len),
    }
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// The system's errors; any part of the range may have been written then.
pub(super) fn write_all(file: &File, form: Form, bytes: &[u8], offset: u64) -> io::Result<()> {
    debug_assert!(bytes.as_ptr().addr().is_multiple_of(form.align));
    without_limit_signal(|| {
        write(file, form, bytes.len(), offset, |done| vec![IoSlice::new(&bytes[done..])])
    })
}

/// Writes all of `bytes`, which are in pieces, at `offset`.
fn write_pieces(file: &File, form: Form, bytes: &dyn StableBytes, offset: u64) -> io::Result<()> {
    write(file, form, bytes.len(), offset, |done| {
        bytes.pieces_from(done).take(MAX_PIECES).map(IoSlice::new).collect()
    })
}

/// Writes `len` bytes. `rest` gives the bytes from a place on, or the first of them.
fn write<'a>(
    file: &File,
    form: Form,
    len: usize,
    offset: u64,
    rest: impl Fn(usize) -> Vec<IoSlice<'a>>,
) -> io::Result<()> {
    debug_assert!(len.is_multiple_of(form.align));
    debug_assert!(offset.is_multiple_of(form.align as u64));
    let flags = if form.synced { ReadWriteFlags::DSYNC } else { ReadWriteFlags::empty() };
    let mut done = 0;
    while done < len {
        match pwritev2(file, &rest(done), offset + done as u64, flags) {
            Ok(written) => done = go_on(form.align, len, done, written)?,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// The place from which a write of `len` bytes continues, when `done` bytes were written before and `written` now.
/// After a short write the place is a multiple of the alignment, so the last unit is written again.
///
/// # Errors
/// If the place has not moved: the write would be repeated for ever.
pub(super) fn go_on(align: usize, len: usize, done: usize, written: usize) -> io::Result<usize> {
    let end = done + written;
    if end >= len {
        return Ok(len);
    }
    let whole = end & !(align - 1);
    if whole <= done {
        let what = format!("{written} bytes of {} written", len - done);
        return Err(io::Error::new(ErrorKind::WriteZero, what));
    }
    Ok(whole)
}

/// Reserves space without making the file longer.
pub(super) fn reserve(file: &File, offset: u64, len: u64) -> io::Result<()> {
    without_limit_signal(|| {
        loop {
            match fallocate(file, FallocateFlags::KEEP_SIZE, offset, len) {
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    })
}

/// Gives back the space reserved behind the end. Truncating a file to its own length changes no byte.
///
/// # Errors
/// The system's errors.
pub(super) fn trim(file: &File) -> io::Result<()> {
    // The length is the system's: for a file that begins with a hole, `state` reports 0.
    let len = u64::try_from(fstat(file)?.st_size).unwrap_or_default();
    without_limit_signal(|| Ok(ftruncate(file, len)?))
}

/// Free bytes on the file's file system.
pub(super) fn room(file: &File) -> Option<u64> {
    let system = fstatvfs(file).ok()?;
    system.f_bavail.checked_mul(system.f_frsize)
}

/// # Errors
/// The system's errors.
pub(super) fn state(file: &File) -> io::Result<FileState> {
    let state = state_of(&fstat(file)?);
    let len = if begins_with_a_hole(file) { 0 } else { state.len };
    Ok(FileState { len, ..state })
}

/// Whether a file begins with a hole although its length is not 0. On a file system that does not report holes, no file
/// has one.
fn begins_with_a_hole(file: &File) -> bool {
    // The seek moves the file's position, which nothing uses: each write names its offset.
    match seek(file, SeekFrom::Data(0)) {
        Ok(first) => first > 0,
        Err(errno) => errno == Errno::NXIO,
    }
}

/// Gives a file these permissions.
///
/// # Errors
/// The system's errors.
pub(super) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    Ok(fchmod(file, Mode::from_raw_mode(mode & 0o777))?)
}

#[allow(clippy::unnecessary_cast, reason = "some counts have fewer bits on other machines")]
pub(super) fn state_of(stat: &Stat) -> FileState {
    let len = u64::try_from(stat.st_size).unwrap_or_default();
    // The unit of the count is 512 bytes on every file system. A file system that does not count reports no blocks.
    let blocks = u64::try_from(stat.st_blocks).unwrap_or_default();
    let on_disk = if blocks == 0 { len } else { blocks * 512 };
    let (identity, links) = ((stat.st_dev, stat.st_ino), stat.st_nlink as u64);
    FileState { identity, links, len, on_disk, mode: stat.st_mode & 0o777 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody truncated the file, and later writes lie behind a hole.
    #[test]
    fn giving_space_back_cuts_no_byte() {
        let file = tempfile::tempfile().expect("a file");
        let written = std::os::unix::fs::FileExt::write_all_at(&file, b"records", 1 << 20);
        written.expect("written");
        reserve(&file, (1 << 20) + 4096, 8 << 20).expect("taken");
        trim(&file).expect("given back");
        assert_eq!(file.metadata().expect("a length").len(), (1 << 20) + 7);
    }

    #[test]
    fn a_short_write_repeats_its_last_unit_and_never_stands_still() {
        assert_eq!(go_on(4096, 12288, 0, 12288).ok(), Some(12288));
        assert_eq!(go_on(4096, 12288, 0, 4096).ok(), Some(4096));
        assert_eq!(go_on(4096, 12288, 4096, 5000).ok(), Some(8192));
        assert_eq!(go_on(4096, 12288, 4096, 8192).ok(), Some(12288));
        assert!(go_on(4096, 12288, 4096, 0).is_err());
        assert!(go_on(4096, 12288, 4096, 4095).is_err());
    }
}
