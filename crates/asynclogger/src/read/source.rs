//! Bytes at offsets: an open file, or memory.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind};

/// What is read. Its length is the one last looked at: a file may grow meanwhile.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    bytes: Bytes,
    len: u64,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

impl Source {
    /// Opens a regular file for reading. The type is looked at first: opening a FIFO would wait for its
    /// writer.
    pub(super) fn open(path: &Path) -> Result<Source, Error> {
        let cannot_open = |error| Error::io("cannot open", error).at_path(path);
        let not_a_file = || Error::new(ErrorKind::NotAFile, "not a regular file").at_path(path);
        if !fs::metadata(path).map_err(cannot_open)?.is_file() {
            return Err(not_a_file());
        }
        let file = File::open(path).map_err(cannot_open)?;
        let metadata = file.metadata().map_err(cannot_open)?;
        if !metadata.is_file() {
            return Err(not_a_file());
        }
        Ok(Source { path: path.to_path_buf(), bytes: Bytes::File(file), len: metadata.len() })
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Source {
        let len = bytes.len() as u64;
        Source { path: PathBuf::new(), bytes: Bytes::Memory(bytes), len }
    }

    /// The path it was opened by; empty for memory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Looks at the length again.
    pub(super) fn refresh(&mut self) -> Result<u64, Error> {
        self.len = match &self.bytes {
            Bytes::Memory(bytes) => bytes.len() as u64,
            Bytes::File(file) => match file.metadata() {
                Ok(metadata) => metadata.len(),
                Err(error) => {
                    return Err(Error::io("cannot look at its length", error).at_path(&self.path));
                }
            },
        };
        Ok(self.len)
    }

    /// Takes the file for empty until its length is looked at again.
    pub(super) fn forget(&mut self) {
        self.len = 0;
    }

    /// Fills `buffer` from `offset` on; returns less than its length only at the end of the file.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(filled as u64);
            match self.read_some(at, rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let error = Error::io("cannot read", error);
                    return Err(error.at_path(&self.path).at_offset(at));
                }
            }
        }
        Ok(filled)
    }

    fn read_some(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.bytes {
            Bytes::File(file) => read_file(file, offset, buffer),
            Bytes::Memory(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
                let mut rest = rest.unwrap_or_default();
                io::Read::read(&mut rest, buffer)
            }
        }
    }

    /// Reads up to `len` bytes at `offset` into `buffer`, whose length is what there was. Memory is taken
    /// for no more than the file has.
    pub(super) fn fill(&self, offset: u64, len: usize, buffer: &mut Vec<u8>) -> Result<(), Error> {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        buffer.resize(len.min(there), 0);
        let read = self.read_at(offset, buffer)?;
        buffer.truncate(read);
        Ok(())
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        if let Bytes::Memory(bytes) = &mut self.bytes {
            change(bytes);
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn append(&mut self, more: &[u8]) {
        if let Bytes::Memory(bytes) = &mut self.bytes {
            bytes.extend_from_slice(more);
        }
    }
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
