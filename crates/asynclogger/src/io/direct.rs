//! Decides between direct I/O and the page cache, by `statx` and a probe write.
//!
//! A successful `open(O_DIRECT)` proves nothing: tmpfs and btrfs accept it and write through the cache.

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

/// An open file, and the alignment of its memory, lengths and offsets: at least 4096.
pub(crate) struct OpenedFile {
    pub(crate) file: Box<dyn BlockFile>,
    pub(crate) align: usize,
}

/// The source of a file's alignment, when the file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alignment {
    /// The device's alignment.
    Device,
    /// The alignment that the file has already: an error if the device asks for a greater one.
    File(usize),
    /// The alignment of the buffers: if the device asks for a greater one, the file is written through the page cache.
    Buffers(usize),
}

/// Which file to open, and how.
#[derive(Clone, Copy)]
pub(crate) struct OpenRequest<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) name: &'a OsStr,
    /// Whether the file is made now; then the name must be free.
    pub(crate) create: bool,
    /// The permissions of a new file; `None`: the usual ones.
    pub(crate) mode: Option<u32>,
    pub(crate) durability: Durability,
    pub(crate) direct: DirectIo,
    pub(crate) driver: &'a Driver,
    pub(crate) alignment: Alignment,
    /// The offset of the probe write.
    pub(crate) offset: u64,
    /// Whether the probe write, and what it needs in the file system, may become durable with the next write. A write
    /// through the page cache is synced all the same: the next write syncs its own bytes alone.
    pub(crate) is_synced_later: bool,
    /// Identity (device and inode) and length of an existing file, as seen when the caller decided to write to the
    /// file. A file that was replaced or has grown since then is not written to.
    pub(crate) expected: Option<((u64, u64), u64)>,
}

/// Opens a file for blocks; never follows a link, never truncates. `probe` makes one block for the alignment given to
/// it. The block is written at `offset` and shows that the mode works, so it must be the block that belongs there.
/// `Ok(Err(align))`: the device asks for a greater alignment than the file has.
///
/// # Errors
/// The system's errors; [`ErrorKind::DirectIo`] if direct I/O is required and the file system does not offer it.
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
        // Ignored: a file system without modes keeps its own.
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
        // Leaves no empty file on a full disk: nobody has used this file yet.
        directory.remove(name, &file);
    }
    Ok(opened?.map(|(form, mode)| {
        let file = Box::new(DiskFile::new(file, form, mode, request.driver));
        OpenedFile { file, align: form.align }
    }))
}

/// Makes a file that has no name until its first block is written. A process killed before that moment leaves no file,
/// and nobody sees an empty file, which nothing proves to be ours. `None`: the file has to be made with its name.
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
    // Naming fails without `/proc`, for example; then the caller makes the file with its name.
    request.directory.give_name(&file, request.name).then(|| {
        let file = Box::new(DiskFile::new(file, form, mode, request.driver));
        Ok(Ok(OpenedFile { file, align: form.align }))
    })
}

/// How a file is written, kept while the file is closed.
#[derive(Clone, Copy)]
pub(crate) struct ReopenForm {
    pub(crate) align: usize,
    pub(crate) durability: Durability,
    pub(crate) mode: IoMode,
}

/// Opens a file again, to be written in the same form.
///
/// # Errors
/// The system's errors.
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

/// Decides how the file is written, and proves the decision by a probe write.
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
        let what = "direct I/O is required, and this file system does not offer it";
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
    let first = Form { synced: form.synced && !request.is_synced_later, ..form };
    let first = if mode == IoMode::Direct { first } else { form };
    let mut result = pwrite::write_all(file, first, &bytes, offset);
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
        // Since Linux 6.1 no answer means no. An older kernel cannot answer, and the probe decides.
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

/// The alignment of new files in a directory, as far as the system reports it before such a file exists.
pub(crate) fn alignment_in(directory: &Directory, direct: DirectIo) -> usize {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
    match directory.open_at(Path::new("."), flags, Mode::from_raw_mode(0o600)) {
        Ok(file) if direct != DirectIo::Off => supported(&File::from(file)).1,
        _ => MIN_ALIGN,
    }
}

/// Whether the kernel is older than Linux 6.1, which brought `STATX_DIOALIGN`.
fn is_old_kernel() -> bool {
    let system = uname();
    let release = system.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version < (6, 1)
}
