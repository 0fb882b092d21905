//! Direct I/O or not: `statx` and a probe write decide, not hope.
//!
//! That `open(O_DIRECT)` works proves nothing: tmpfs and btrfs accept it and write through the cache.

use std::{ffi::OsStr, fs::File, path::Path};

use rustix::{
    fs::{AtFlags, Mode, OFlags, StatxFlags, statx},
    io::Errno,
    system::uname,
};

use super::{
    BlockFile, Directory, Driver,
    disk_file::{DiskFile, set_direct},
    pwrite::{self, Form},
};
use crate::{
    DirectIo, Durability, Error, ErrorKind, IoMode,
    format::{MIN_ALIGN, is_valid_align},
    mem::AlignedBytes,
};

/// An open file, and what memory, lengths and offsets must be multiples of; at least 4096.
pub(crate) struct OpenedFile {
    pub(crate) file: Box<dyn BlockFile>,
    pub(crate) align: usize,
}

/// The alignment of a file that is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alignment {
    /// What the device asks for.
    Device,
    /// This one, which the file has already: an error if the device asks for more.
    File(usize),
    /// This one, which the buffers have: through the page cache if the device asks for more.
    Buffers(usize),
}

/// Which file to open, and how.
#[derive(Clone, Copy)]
pub(crate) struct OpenRequest<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) name: &'a OsStr,
    /// Whether it is made now, and must not be there yet.
    pub(crate) create: bool,
    /// The permissions of a file that is made; `None`: the usual ones.
    pub(crate) mode: Option<u32>,
    pub(crate) durability: Durability,
    pub(crate) direct: DirectIo,
    pub(crate) driver: &'a Driver,
    pub(crate) alignment: Alignment,
    /// Where the probe goes.
    pub(crate) offset: u64,
    /// Of a file that is there: which one it is (device and inode), and how long, by the look that decided to write to
    /// it. Another file, or one that has grown since, is not written to.
    pub(crate) expected: Option<((u64, u64), u64)>,
}

/// Opens a file for blocks; never through a link, never truncating. `probe`, one block's worth of bytes
/// for the alignment it is given, is written at the offset and shows that the mode works: it has to be
/// what belongs there. `Ok(Err(align))`: the device asks for a greater alignment than the file has.
///
/// # Errors
/// Those of the system; [`ErrorKind::DirectIo`] if direct I/O was required and is not to be had.
pub(crate) fn open_file(
    request: OpenRequest<'_>,
    mut probe: impl FnMut(usize) -> Result<AlignedBytes, Error>,
) -> Result<Result<OpenedFile, usize>, Error> {
    let OpenRequest { directory, name, .. } = request;
    let path = directory.path().join(name);
    if request.create
        && let Some(made) = make_unnamed(request, &path, &mut probe)
    {
        return made;
    }
    let mut flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if request.create {
        flags |= OFlags::CREATE | OFlags::EXCL;
    }
    let file = directory.open_at(Path::new(name), flags, Mode::from_raw_mode(0o644))?;
    let file = File::from(file);
    if let Some(mode) = request.mode.filter(|_| request.create) {
        // A file system without modes has no reason to complain about.
        let _ = pwrite::set_mode(&file, mode);
    }
    if let Some(expected) = request.expected {
        let state =
            pwrite::state(&file).map_err(|error| Error::io("cannot stat", error).at_path(&path))?;
        if (state.identity, state.len) != expected {
            let what = "the file was replaced or written to while the log was opened";
            return Err(Error::new(ErrorKind::Moved, what).at_path(&path));
        }
    }
    let opened = prepare(request, &path, &file, &mut probe);
    if request.create && !matches!(opened, Ok(Ok(_))) {
        // No empty files on a full disk: nobody has seen this one.
        directory.remove(name, &file);
    }
    Ok(opened?.map(|(form, mode)| {
        let file = Box::new(DiskFile::new(file, form, mode, request.driver));
        OpenedFile { file, align: form.align }
    }))
}

/// Makes a file that has no name until it has begun: a process that is killed before leaves none, and nobody sees
/// an empty one, which could be anybody's. `None`: it has to be made with its name.
fn make_unnamed(
    request: OpenRequest<'_>,
    path: &Path,
    probe: &mut impl FnMut(usize) -> Result<AlignedBytes, Error>,
) -> Option<Result<Result<OpenedFile, usize>, Error>> {
    let file = request.directory.make_unnamed()?;
    if let Some(mode) = request.mode {
        let _ = pwrite::set_mode(&file, mode);
    }
    let (form, mode) = match prepare(request, path, &file, probe) {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(asked)) => return Some(Ok(Err(asked))),
        Err(error) => return Some(Err(error)),
    };
    // Without `/proc`, say, it has to be made with its name.
    request.directory.give_name(&file, request.name).then(|| {
        let file = Box::new(DiskFile::new(file, form, mode, request.driver));
        Ok(Ok(OpenedFile { file, align: form.align }))
    })
}

/// How a file that was closed for a while is written.
#[derive(Clone, Copy)]
pub(crate) struct ReopenForm {
    pub(crate) align: usize,
    pub(crate) durability: Durability,
    pub(crate) mode: IoMode,
}

/// Opens a file again, to be written as before.
///
/// # Errors
/// Those of the system.
pub(crate) fn reopen_file(
    directory: &Directory,
    name: &OsStr,
    form: ReopenForm,
    driver: &Driver,
) -> Result<Box<dyn BlockFile>, Error> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = File::from(directory.open_at(Path::new(name), flags, Mode::empty())?);
    let mut mode = form.mode;
    if mode == IoMode::Direct && set_direct(&file, true).is_err() {
        mode = IoMode::Buffered;
    }
    let form = Form { align: form.align, synced: form.durability == Durability::Dsync };
    Ok(Box::new(DiskFile::new(file, form, mode, driver)))
}

/// Decides how the file is written, and shows that it works.
fn prepare(
    request: OpenRequest<'_>,
    path: &Path,
    file: &File,
    probe: &mut impl FnMut(usize) -> Result<AlignedBytes, Error>,
) -> Result<Result<(Form, IoMode), usize>, Error> {
    let OpenRequest { direct, offset, .. } = request;
    let (mut vouched, asked) = match direct {
        DirectIo::Off => (false, MIN_ALIGN),
        DirectIo::Required | DirectIo::Preferred => supported(file),
    };
    let align = match request.alignment {
        Alignment::Device => asked,
        Alignment::File(align) if vouched && asked > align => return Ok(Err(asked)),
        Alignment::File(align) => align,
        Alignment::Buffers(align) => {
            vouched &= asked <= align;
            align
        }
    };
    let refused = || {
        let what = "direct I/O is required, and this file system does not do it";
        Error::new(ErrorKind::DirectIo, what).at_path(path)
    };
    let mut mode = IoMode::Buffered;
    if vouched && set_direct(file, true).is_ok() {
        mode = IoMode::Direct;
    }
    if direct == DirectIo::Required && mode != IoMode::Direct {
        return Err(refused());
    }
    let bytes = probe(align)?;
    let form = Form { align, synced: request.durability == Durability::Dsync };
    let mut result = pwrite::write_all(file, form, &bytes, offset);
    let is_invalid = |error: &std::io::Error| Errno::from_io_error(error) == Some(Errno::INVAL);
    if mode == IoMode::Direct && result.as_ref().is_err_and(is_invalid) {
        if direct == DirectIo::Required {
            return Err(refused());
        }
        let cleared = set_direct(file, false);
        cleared.map_err(|errno| Error::io("cannot leave direct I/O", errno).at_path(path))?;
        mode = IoMode::Buffered;
        result = pwrite::write_all(file, form, &bytes, offset);
    }
    result.map_err(|error| Error::io("cannot write", error).at_path(path).at_offset(offset))?;
    Ok(Ok((form, mode)))
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

/// The alignment that new files in a directory have, as far as that can be known before there is one.
pub(crate) fn alignment_in(directory: &Directory, direct: DirectIo) -> usize {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
    match directory.open_at(Path::new("."), flags, Mode::from_raw_mode(0o600)) {
        Ok(file) if direct != DirectIo::Off => supported(&File::from(file)).1,
        _ => MIN_ALIGN,
    }
}

/// Older than Linux 6.1, which brought `STATX_DIOALIGN`.
fn is_old_kernel() -> bool {
    let system = uname();
    let release = system.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version < (6, 1)
}
