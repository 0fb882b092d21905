//! Bytes at offsets: an open file, a compressed one, or memory.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

#[cfg(feature = "zstd")]
use super::compressed::{Compressed, Finding};
use super::{
    positioned::{read_file, read_full},
    regular::{self, Identity, Regular},
};
use crate::{
    Error, ErrorKind,
    format::{Kind, ZSTD_MAGIC, metadata},
};

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
    /// Which file it is; `None`: memory, or the system does not say.
    identity: Option<Identity>,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    #[cfg(feature = "zstd")]
    Compressed(Box<Compressed>),
    Memory(Vec<u8>),
}

impl Source {
    /// Opens a regular file for reading; while its log is rotated, it may take a moment until it is there.
    pub(crate) fn open(path: &Path) -> Result<Source, Error> {
        Source::new(path, regular::open(path)?)
    }

    /// As [`Source::open`], of a file that was seen in its directory: if it is gone now, it has another name.
    pub(crate) fn open_listed(path: &Path) -> Result<Source, Error> {
        Source::new(path, regular::open_now(path)?)
    }

    /// A file that is compressed, by its first bytes or by its name, is read as what it was. Against its
    /// name, it is plain if it begins with a valid start.
    fn new(path: &Path, opened: Regular) -> Result<Source, Error> {
        let cannot_read = |error| Error::io("cannot read", error).at_path(path);
        let mut first = [0; metadata::PEEK_LEN];
        let read = read_full(&opened.file, 0, &mut first).map_err(cannot_read)?;
        let first = first.get(..read).unwrap_or_default();
        let is_compressed = first.starts_with(&ZSTD_MAGIC)
            || (is_compressed_name(path)
                && !begins_plain(&opened.file, first).map_err(cannot_read)?);
        let source = Source::plain(path, opened);
        if is_compressed { source.decompressed() } else { Ok(source) }
    }

    /// Of a regular file that is open.
    ///
    /// # Errors
    /// [`ErrorKind::NotALog`] if it is not compressed though it should be; those of the system.
    pub(crate) fn of(file: File, path: &Path, packing: Packing) -> Result<Source, Error> {
        let source = Source::plain(path, Regular::of(file, path)?);
        match packing {
            Packing::Plain => Ok(source),
            Packing::Compressed => source.decompressed(),
        }
    }

    fn plain(path: &Path, Regular { file, len, identity }: Regular) -> Source {
        let (path, bytes) = (path.to_path_buf(), Bytes::File(file));
        Source { path, bytes, len, stored: None, identity }
    }

    #[cfg(feature = "zstd")]
    fn decompressed(self) -> Result<Source, Error> {
        let Source { path, bytes, len: stored, identity, .. } = self;
        let Bytes::File(file) = bytes else {
            return Ok(Source { path, bytes, len: stored, stored: None, identity });
        };
        match Compressed::open(file, stored) {
            Ok(Some(compressed)) => {
                let (len, stored) = (compressed.len(), Some(stored));
                let bytes = Bytes::Compressed(Box::new(compressed));
                Ok(Source { path, bytes, len, stored, identity })
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
        let bytes = Bytes::Memory(bytes);
        Source { path: PathBuf::new(), bytes, len, stored: None, identity: None }
    }

    /// The path it was opened by; empty for memory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Of a compressed file, that of the file it was.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Which file it is, whatever its name.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
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

/// Whether a file with these first bytes begins with a valid start, and so is no compressed one.
fn begins_plain(file: &File, first: &[u8]) -> io::Result<bool> {
    let Some((size, Kind::Start)) = metadata::peek(first) else { return Ok(false) };
    let mut start = vec![0; size];
    let read = read_full(file, 0, &mut start)?;
    let decoded = metadata::decode(start.get(..read).unwrap_or_default());
    Ok(decoded.is_ok_and(|(prefix, _)| prefix.offset == 0))
}

/// Whether a file of this name is compressed. Without its first bytes it still is, only damaged.
pub(crate) fn is_compressed_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst")
}
