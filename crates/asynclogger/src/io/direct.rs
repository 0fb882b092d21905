//! Direct I/O or not: `statx` and a probe write decide, not hope.
//!
//! That `open(O_DIRECT)` works proves nothing: tmpfs and btrfs accept it and write through the cache.

use std::{fs::File, path::Path};

use rustix::{
    fs::{AtFlags, Mode, OFlags, StatxFlags, fcntl_getfl, fcntl_setfl, statx},
    io::Errno,
    system::uname,
};

use super::{BlockFile, Directory, pwrite::PwriteFile};
use crate::{
    DirectIo, Durability, EngineKind, Error, ErrorKind, IoMode,
    format::{MIN_ALIGN, is_valid_align},
    mem::AlignedBytes,
};

/// An open file, and how it is written.
pub(crate) struct OpenedFile {
    pub(crate) file: Box<dyn BlockFile>,
    /// What memory, lengths and offsets must be multiples of; at least 4096.
    pub(crate) align: usize,
    pub(crate) mode: IoMode,
    pub(crate) engine: EngineKind,
}

/// Opens `name` for blocks, creating it if told to; never through a link, never truncating. `probe`, one
/// block's worth of bytes for the alignment it is given, is written at `offset` and shows that the mode
/// works: it has to be what belongs there.
///
/// # Errors
/// Those of the system; [`ErrorKind::DirectIo`] if direct I/O was required and is not to be had.
pub(crate) fn open_file(
    directory: &Directory,
    name: &Path,
    create: bool,
    durability: Durability,
    direct: DirectIo,
    offset: u64,
    probe: impl FnOnce(usize) -> Result<AlignedBytes, Error>,
) -> Result<OpenedFile, Error> {
    let path = directory.path().join(name);
    let mut flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if create {
        flags |= OFlags::CREATE | OFlags::EXCL;
    }
    let file = File::from(directory.open_at(name, flags, Mode::from_raw_mode(0o644))?);
    let (vouched, align) = match direct {
        DirectIo::Off => (false, MIN_ALIGN),
        DirectIo::Required | DirectIo::Preferred => supported(&file),
    };
    let mut mode = IoMode::Buffered;
    if vouched && set_direct(&file, true).is_ok() {
        mode = IoMode::Direct;
    }
    let refused = || {
        let what = "direct I/O is required, and this file system does not do it";
        Error::new(ErrorKind::DirectIo, what).at_path(&path)
    };
    if direct == DirectIo::Required && mode != IoMode::Direct {
        return Err(refused());
    }
    let bytes = probe(align)?;
    let handle = file.try_clone().map_err(|e| Error::io("cannot open", e).at_path(&path))?;
    let mut written = PwriteFile::new(file, align, durability == Durability::Dsync);
    let mut result = written.write_at(&bytes, offset);
    let is_invalid = |error: &std::io::Error| Errno::from_io_error(error) == Some(Errno::INVAL);
    if mode == IoMode::Direct && result.as_ref().is_err_and(is_invalid) {
        if direct == DirectIo::Required {
            return Err(refused());
        }
        // The flag is of the open file, so the handle changes it for both.
        let cleared = set_direct(&handle, false);
        cleared.map_err(|errno| Error::io("cannot leave direct I/O", errno).at_path(&path))?;
        mode = IoMode::Buffered;
        result = written.write_at(&bytes, offset);
    }
    result.map_err(|error| Error::io("cannot write", error).at_path(&path).at_offset(offset))?;
    Ok(OpenedFile { file: Box::new(written), align, mode, engine: EngineKind::Pwritev2 })
}

/// Whether the file system vouches for direct I/O on this file, and the alignment it asks for.
fn supported(file: &File) -> (bool, usize) {
    let asked = StatxFlags::DIOALIGN;
    let Ok(answer) = statx(file, c"", AtFlags::EMPTY_PATH, asked) else {
        return (is_old_kernel(), MIN_ALIGN);
    };
    if answer.stx_mask & asked.bits() == 0 {
        // Since 6.1 silence means no; before, there was nobody to ask, and the probe decides.
        return (is_old_kernel(), MIN_ALIGN);
    }
    let memory = answer.stx_dio_mem_align as usize;
    let offset = answer.stx_dio_offset_align as usize;
    let align = memory.max(offset).max(MIN_ALIGN);
    (
        memory > 0 && offset > 0 && is_valid_align(align),
        if is_valid_align(align) { align } else { MIN_ALIGN },
    )
}

/// Older than Linux 6.1, which brought `STATX_DIOALIGN`.
fn is_old_kernel() -> bool {
    let system = uname();
    let release = system.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version < (6, 1)
}

fn set_direct(file: &File, on: bool) -> Result<(), Errno> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, on);
    fcntl_setfl(file, flags)
}
