//! Bytes at offsets, from an open file, a compressed file, memory, or what a program has given.

use std::{
    fs::File,
    io, iter,
    path::{Path, PathBuf},
};

#[cfg(feature = "zstd")]
use super::{
    compressed::{Compressed, Finding},
    positioned::Stored,
};
use super::{
    positioned::{Given, ReadAt, read_full},
    regular::{self, Identity, Regular},
};
use crate::{
    Error, ErrorKind,
    format::{MAX_ALIGN, MIN_ALIGN, ZSTD_MAGIC, metadata},
};

/// How the bytes of a segment are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Plain, as they were written.
    Plain,
    /// In frames of zstd, with `.zst` behind the name.
    Compressed,
}

/// The bytes of one segment, at their offsets in the segment, whatever form the file has.
///
/// A segment can be plain, compressed or in memory, and it can change its form at any time: an archivist
/// replaces a plain file by a compressed one while a reader works. If each user of a segment opened the file
/// and handled the forms itself, the writing side, which decides what to delete, and the reading side could
/// come to different results about the same file. A name proves nothing: `a.log.zst` can be plain, and a path
/// can name a pipe whose opening waits for ever. So a `Source` is made in one place. It opens only regular
/// files, recognises the form by the first bytes, and gives all offsets and lengths in bytes of the plain
/// segment; no code above it has to know the form.
///
/// The length is the one at the last look, because a file can grow at any time.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    bytes: Bytes,
    len: u64,
    /// Length of the compressed file, in bytes; `None` if the source is not compressed.
    stored: Option<u64>,
    /// The identity of the file; `None` for what is no file, or if the system does not give one.
    identity: Option<Identity>,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    Given(Given),
    #[cfg(feature = "zstd")]
    Compressed(Box<Compressed>),
    Memory(Vec<u8>),
}

impl Source {
    /// Opens a regular file for reading. If the log is being rotated, waits a moment until the file exists.
    pub(crate) fn open(path: &Path) -> Result<Source, Error> {
        Source::recognised(path, regular::open(path)?)
    }

    /// The same as [`Source::open`], without waiting, for a file that was seen in its directory: if the file
    /// is gone now, it has another name.
    pub(crate) fn open_listed(path: &Path) -> Result<Source, Error> {
        Source::recognised(path, regular::open_now(path)?)
    }

    /// Makes a source of an open regular file, plain or compressed.
    pub(crate) fn of(file: File, path: &Path) -> Result<Source, Error> {
        Source::recognised(path, Regular::of(file, path)?)
    }

    /// Makes a source of an opened file. A file that is compressed by its first bytes or by its name is
    /// decompressed; but a file with a valid part in the place of a plain segment's first ones is plain, whatever its
    /// name is.
    fn recognised(path: &Path, opened: Regular) -> Result<Source, Error> {
        let is_compressed = is_compressed(path, &opened.file)?;
        let source = Source::plain(path, opened);
        if is_compressed { source.decompressed() } else { Ok(source) }
    }

    /// Makes a source of bytes that a program has given, plain or compressed, and of the name that it has for them.
    pub(crate) fn given(name: &Path, bytes: Given) -> Result<Source, Error> {
        let is_compressed = is_compressed(name, &bytes)?;
        let len = bytes.len().map_err(|error| Error::io("cannot stat", error).at_path(name))?;
        let (path, bytes) = (name.to_path_buf(), Bytes::Given(bytes));
        let source = Source { path, bytes, len, stored: None, identity: None };
        if is_compressed { source.decompressed() } else { Ok(source) }
    }

    /// Makes a source of an open regular file that has to have this form.
    ///
    /// # Errors
    /// [`ErrorKind::NotALog`] if the file is not compressed but `packing` says so; errors of the system.
    pub(crate) fn of_form(file: File, path: &Path, packing: Packing) -> Result<Source, Error> {
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
        let bytes: Stored = match bytes {
            Bytes::File(file) => Box::new(file),
            Bytes::Given(given) => Box::new(given),
            _ => return Ok(Source { path, bytes, len: stored, stored: None, identity }),
        };
        match Compressed::open(bytes, stored) {
            Ok(Some(compressed)) => {
                let (len, stored) = (compressed.len(), Some(stored));
                let bytes = Bytes::Compressed(Box::new(compressed));
                Ok(Source { path, bytes, len, stored, identity })
            }
            Ok(None) => {
                let text =
                    "not a compressed log: no zstd frames with a content size of at most 8 MiB";
                Err(Error::new(ErrorKind::NotALog, text).at_path(&path))
            }
            Err(error) => Err(Error::io("cannot read", error).at_path(&path)),
        }
    }

    #[cfg(not(feature = "zstd"))]
    fn decompressed(self) -> Result<Source, Error> {
        let text = "compressed, and this build of asynclogger lacks the feature `zstd`";
        Err(Error::new(ErrorKind::MissingFeature, text).at_path(&self.path))
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Source {
        let len = bytes.len() as u64;
        let bytes = Bytes::Memory(bytes);
        Source { path: PathBuf::new(), bytes, len, stored: None, identity: None }
    }

    /// The path by which the file was opened; empty for memory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The length of the segment, in bytes; for a compressed file, the length before compression.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The identity of the file, which does not depend on its name.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Whether the file is compressed. A compressed file is never written again.
    pub(crate) fn is_compressed(&self) -> bool {
        self.stored.is_some()
    }

    /// The length of the file on the medium, in bytes.
    pub(crate) fn stored(&self) -> u64 {
        self.stored.unwrap_or(self.len)
    }

    /// Takes the damage that was found in a compressed file since the last call.
    #[cfg(feature = "zstd")]
    pub(crate) fn take_findings(&mut self) -> Vec<Finding> {
        match &mut self.bytes {
            Bytes::Compressed(compressed) => compressed.take_findings(),
            _ => Vec::new(),
        }
    }

    /// Gives up the memory for what was decompressed.
    pub(crate) fn release(&mut self) {
        #[cfg(feature = "zstd")]
        if let Bytes::Compressed(compressed) = &mut self.bytes {
            compressed.release();
        }
    }

    /// The file, if it is a plain file.
    pub(crate) fn into_file(self) -> Option<File> {
        match self.bytes {
            Bytes::File(file) => Some(file),
            _ => None,
        }
    }

    /// Looks at the length again and returns it.
    pub(crate) fn refresh(&mut self) -> Result<u64, Error> {
        self.len = match &self.bytes {
            Bytes::Memory(bytes) => bytes.len() as u64,
            #[cfg(feature = "zstd")]
            Bytes::Compressed(compressed) => compressed.len(),
            Bytes::File(file) => self.len_of(file)?,
            Bytes::Given(given) => self.len_of(given)?,
        };
        Ok(self.len)
    }

    fn len_of(&self, bytes: &impl ReadAt) -> Result<u64, Error> {
        bytes.len().map_err(|error| Error::io("cannot stat", error).at_path(&self.path))
    }

    /// Reads with the length that the file has now. Afterwards the source has the length from before, at which a walk
    /// through the file may have ended.
    pub(crate) fn at_present<T>(
        &mut self,
        read: impl FnOnce(&mut Source) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let before = self.len;
        let found = self.refresh().and_then(|_| read(self));
        self.len = before;
        found
    }

    /// Treats the file as empty until its length is looked at again.
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
            Bytes::File(file) => file.read_at(offset, buffer),
            Bytes::Given(given) => given.read_at(offset, buffer),
            #[cfg(feature = "zstd")]
            Bytes::Compressed(compressed) => compressed.read_at(offset, buffer),
            Bytes::Memory(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
                let mut rest = rest.unwrap_or_default();
                io::Read::read(&mut rest, buffer)
            }
        }
    }

    /// Reads up to `len` bytes at `offset` into `buffer`, and sets the length of `buffer` to the number of
    /// bytes read. The memory for `buffer` is never larger than the file.
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

/// Whether bytes of this name are a compressed segment; see [`Source::recognised`].
fn is_compressed(path: &Path, bytes: &(impl ReadAt + ?Sized)) -> Result<bool, Error> {
    let cannot_read = |error| Error::io("cannot read", error).at_path(path);
    let mut first = [0; ZSTD_MAGIC.len()];
    let read = read_full(bytes, 0, &mut first).map_err(cannot_read)?;
    Ok(read == first.len() && first == ZSTD_MAGIC
        || is_compressed_name(path) && !is_plain(bytes).map_err(cannot_read)?)
}

/// Whether a file has a start, or behind a damaged one the next part, in its place. The start is as long as the
/// segment's alignment, which a damaged one does not tell.
fn is_plain(file: &(impl ReadAt + ?Sized)) -> io::Result<bool> {
    let aligns = iter::successors(Some(MIN_ALIGN), |align| Some(align * 2));
    for at in iter::once(0).chain(aligns.take_while(|align| *align <= MAX_ALIGN)) {
        let mut part = vec![0; metadata::PEEK_LEN];
        let read = read_full(file, at as u64, &mut part)?;
        let Some((size, _)) = metadata::peek(part.get(..read).unwrap_or_default()) else {
            continue;
        };
        part.resize(size, 0);
        let read = read_full(file, at as u64, &mut part)?;
        let decoded = metadata::decode(part.get(..read).unwrap_or_default());
        if decoded.is_ok_and(|(prefix, _)| prefix.offset == at as u64) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the name is that of a compressed file. With damaged first bytes such a file still counts as
/// compressed.
pub(crate) fn is_compressed_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst")
}
