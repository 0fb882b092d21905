//! Bytes at offsets: an open file, a compressed one, or memory.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

#[cfg(feature = "zstd")]
use super::compressed::{Compressed, Finding};
use super::positioned::{read_file, read_full};
use crate::{Error, ErrorKind, format::ZSTD_MAGIC};

/// How the bytes of a segment are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As they were written.
    Plain,
    /// In frames of zstd, with `.zst` behind the name.
    Compressed,
}

/// What is read. Its length is the one last looked at: a file may grow meanwhile.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    bytes: Bytes,
    len: u64,
    /// Bytes of the file that is decompressed.
    stored: Option<u64>,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    #[cfg(feature = "zstd")]
    Compressed(Box<Compressed>),
    Memory(Vec<u8>),
}

impl Source {
    /// Opens a regular file for reading. The type is looked at first: opening a FIFO would wait for its
    /// writer. A file that is compressed, by its name or its first bytes, is read as what it was.
    pub(crate) fn open(path: &Path) -> Result<Source, Error> {
        let cannot_open = |error| Error::io("cannot open", error).at_path(path);
        if !fs::metadata(path).map_err(cannot_open)?.is_file() {
            return Err(Error::new(ErrorKind::NotAFile, "not a regular file").at_path(path));
        }
        let source = Source::open_plain(path)?;
        let Bytes::File(file) = &source.bytes else { return Ok(source) };
        let mut magic = [0; ZSTD_MAGIC.len()];
        let read = read_full(file, 0, &mut magic).map_err(cannot_open)?;
        let is_compressed =
            is_compressed_name(path) || (read == magic.len() && magic == ZSTD_MAGIC);
        if is_compressed { source.decompressed() } else { Ok(source) }
    }

    /// Opens what a directory says is a regular file, and its name is compressed or not.
    pub(crate) fn open_listed(path: &Path) -> Result<Source, Error> {
        let source = Source::open_plain(path)?;
        if is_compressed_name(path) { source.decompressed() } else { Ok(source) }
    }

    /// Of a regular file that is open.
    ///
    /// # Errors
    /// [`ErrorKind::NotALog`] if it is not compressed though it should be; those of the system.
    pub(crate) fn of(file: File, path: &Path, packing: Packing) -> Result<Source, Error> {
        let source = Source::of_plain(file, path)?;
        match packing {
            Packing::Plain => Ok(source),
            Packing::Compressed => source.decompressed(),
        }
    }

    fn open_plain(path: &Path) -> Result<Source, Error> {
        let cannot_open = |error| Error::io("cannot open", error).at_path(path);
        Source::of_plain(File::open(path).map_err(cannot_open)?, path)
    }

    fn of_plain(file: File, path: &Path) -> Result<Source, Error> {
        let failed = |error| Error::io("cannot stat", error).at_path(path);
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::new(ErrorKind::NotAFile, "not a regular file").at_path(path));
        }
        Ok(Source {
            path: path.to_path_buf(),
            bytes: Bytes::File(file),
            len: metadata.len(),
            stored: None,
        })
    }

    #[cfg(feature = "zstd")]
    fn decompressed(self) -> Result<Source, Error> {
        let Source { path, bytes, len: stored, .. } = self;
        let Bytes::File(file) = bytes else {
            return Ok(Source { path, bytes, len: stored, stored: None });
        };
        match Compressed::open(file, stored) {
            Ok(Some(compressed)) => {
                let (len, stored) = (compressed.len(), Some(stored));
                Ok(Source { path, bytes: Bytes::Compressed(Box::new(compressed)), len, stored })
            }
            Ok(None) => {
                let text = "not a compressed log: no zstd frames that say they hold at most 8 MiB";
                Err(Error::new(ErrorKind::NotALog, text).at_path(&path))
            }
            Err(error) => Err(Error::io("cannot read", error).at_path(&path)),
        }
    }

    #[cfg(not(feature = "zstd"))]
    fn decompressed(self) -> Result<Source, Error> {
        let text = "compressed, and this build of asynclogger is without its feature `zstd`";
        Err(Error::new(ErrorKind::MissingFeature, text).at_path(&self.path))
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Source {
        let len = bytes.len() as u64;
        Source { path: PathBuf::new(), bytes: Bytes::Memory(bytes), len, stored: None }
    }

    /// The path it was opened by; empty for memory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Of a compressed file, that of the file it was.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is compressed: then nobody writes it any more.
    pub(crate) fn is_compressed(&self) -> bool {
        self.stored.is_some()
    }

    /// Bytes on the medium.
    pub(crate) fn stored(&self) -> u64 {
        self.stored.unwrap_or(self.len)
    }

    /// What was found wrong with a compressed file since the last call.
    #[cfg(feature = "zstd")]
    pub(crate) fn take_findings(&mut self) -> Vec<Finding> {
        match &mut self.bytes {
            Bytes::Compressed(compressed) => compressed.take_findings(),
            _ => Vec::new(),
        }
    }

    /// The file, if it is not compressed.
    #[cfg(feature = "zstd")]
    pub(crate) fn into_file(self) -> Option<File> {
        match self.bytes {
            Bytes::File(file) => Some(file),
            _ => None,
        }
    }

    /// Looks at the length again.
    pub(crate) fn refresh(&mut self) -> Result<u64, Error> {
        self.len = match &self.bytes {
            Bytes::Memory(bytes) => bytes.len() as u64,
            #[cfg(feature = "zstd")]
            Bytes::Compressed(compressed) => compressed.len(),
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
    pub(crate) fn forget(&mut self) {
        self.len = 0;
    }

    /// Fills `buffer` from `offset` on; returns less than its length only at the end of the file.
    pub(crate) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
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

    fn read_some(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::File(file) => read_file(file, offset, buffer),
            #[cfg(feature = "zstd")]
            Bytes::Compressed(compressed) => compressed.read_at(offset, buffer),
            Bytes::Memory(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
                let mut rest = rest.unwrap_or_default();
                io::Read::read(&mut rest, buffer)
            }
        }
    }

    /// Reads up to `len` bytes at `offset` into `buffer`, whose length is what there was. Memory is taken
    /// for no more than the file has.
    pub(crate) fn fill(
        &mut self,
        offset: u64,
        len: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        buffer.resize(len.min(there), 0);
        let read = self.read_at(offset, buffer)?;
        buffer.truncate(read);
        Ok(())
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        if let Bytes::Memory(bytes) = &mut self.bytes {
            change(bytes);
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn append(&mut self, more: &[u8]) {
        if let Bytes::Memory(bytes) = &mut self.bytes {
            bytes.extend_from_slice(more);
        }
    }
}

/// Whether a file of this name is compressed. Without its first bytes it still is, only damaged.
pub(crate) fn is_compressed_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst")
}
