//! The archived segments of a directory, for a program that takes them away.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Error, ErrorKind, LogId,
    format::Lineage,
    io::{Directory, FileState},
    probe::{Packing, Source, is_compressed_name},
    read::{HeadKind, LogDir, Reader, Segment},
    write,
};

/// The archived segments of all logs of a directory: the files that no logger will change any more.
///
/// A program that ships segments away has to know which files are complete, must not delete a file that a logger still
/// writes, and must not delete another file that has taken the name meanwhile. Names say none of that. An `Archive` looks
/// at what the files contain, and at the marks and locks of loggers; loggers may rotate, compress and delete segments at
/// the same time, in this process or another.
///
/// ```
/// # fn main() -> Result<(), asynclogger::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("app.log");
/// use asynclogger::{Archive, Config, Logger};
///
/// let logger = Logger::new(Config::new(&path))?;
/// logger.log_bytes(b"one");
/// logger.rotate()?;
/// logger.log_bytes(b"two");
/// logger.close()?;
///
/// let archive = Archive::open(directory.path())?;
/// let [first] = &archive.segments()?[..] else { panic!("one segment is archived") };
/// assert_eq!(first.segment(), 1);
/// assert!(first.delete()?);
/// // Nobody writes the log, so that its active file can be archived, too.
/// assert_eq!(archive.finish()?.archived.len(), 1);
/// assert_eq!(archive.segments()?[0].segment(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Archive {
    directory: Arc<Directory>,
}

/// A segment that is over; one of [`Archive::segments`].
///
/// The methods mean the very file that was listed. If the file has been deleted or compressed since, or if another one has
/// its name, they say so.
#[derive(Clone, Debug)]
pub struct ArchivedSegment {
    directory: Arc<Directory>,
    name: OsString,
    path: PathBuf,
    state: FileState,
    lineage: Lineage,
    full_name: Vec<u8>,
    bytes: u64,
}

/// The result of [`Archive::finish`].
#[derive(Debug, Default)]
#[must_use]
#[non_exhaustive]
pub struct Finished {
    /// The archived names that active files got.
    pub archived: Vec<PathBuf>,
    /// The logs that stay as they are, with the reasons: `InUse` for a log that is written.
    pub left: Vec<Error>,
}

impl Archive {
    /// Opens a directory of logs. The directory may be renamed later: the archive stays in it.
    ///
    /// # Errors
    /// `Io`; a missing directory is not made.
    pub fn open(path: impl AsRef<Path>) -> Result<Archive, Error> {
        let path = path.as_ref();
        std::fs::read_dir(path).map_err(|error| Error::io("cannot list", error).at_path(path))?;
        Ok(Archive { directory: Arc::new(Directory::open_or_create(path)?) })
    }

    /// The path by which the directory was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The segments that are over, log by log, in the order of their numbers: all but the newest one of each log, and
    /// the newest one if it has an archived name. Files that a logger still writes are left out; so are files of the Go
    /// original, and files that cannot be read.
    ///
    /// A segment that is being compressed is listed as it is; the next call lists the compressed form.
    ///
    /// # Errors
    /// `Io`, if the directory cannot be read.
    pub fn segments(&self) -> Result<Vec<ArchivedSegment>, Error> {
        let mut archived = Vec::new();
        for log in LogDir::scan(self.path())?.logs {
            let Some(log_id) = log.log_id() else { continue };
            let newest = log.segments().last().map(|segment| segment.id);
            for segment in log.segments() {
                let Some(name) = segment.path.file_name() else { continue };
                if Some(segment.id) == newest && !write::is_archived_name(name) {
                    continue;
                }
                archived.extend(self.archived(name, log_id, segment)?);
            }
        }
        Ok(archived)
    }

    /// `None`: the file is written, or is gone.
    fn archived(
        &self,
        name: &OsStr,
        log_id: LogId,
        segment: &Segment,
    ) -> Result<Option<ArchivedSegment>, Error> {
        // While it is prepared or compressed, a file has a hidden name.
        if name.as_encoded_bytes().starts_with(b".") {
            return Ok(None);
        }
        let Some((_, state)) = write::open_unwritten(&self.directory, name)? else {
            return Ok(None);
        };
        Ok(Some(ArchivedSegment {
            directory: self.directory.clone(),
            name: name.to_owned(),
            path: segment.path.clone(),
            state,
            lineage: Lineage { log_id, segment: segment.id },
            full_name: segment.name.clone(),
            bytes: segment.file_bytes,
        }))
    }

    /// Archives the active files of the logs that nobody writes, so that [`segments`](Archive::segments) lists them, too.
    /// For a directory that no program will write again. A log without records stays; a log that is written, or that
    /// cannot be locked, stays and is named in [`Finished::left`].
    ///
    /// What a dead process left in memory ([`Config::crash_safe`](crate::Config::crash_safe)) is no part of the files:
    /// call [`salvage`](crate::salvage()) first.
    ///
    /// # Errors
    /// `Io`, if the directory cannot be read.
    pub fn finish(&self) -> Result<Finished, Error> {
        let mut finished = Finished::default();
        for log in LogDir::scan(self.path())?.logs {
            let (Some(log_id), Some(newest)) = (log.log_id(), log.segments().last()) else {
                continue;
            };
            let Some(name) = newest.path.file_name() else { continue };
            if write::is_archived_name(name) || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let lineage = Lineage { log_id, segment: newest.id };
            let archived = has_records(&newest.path).and_then(|has_records| match has_records {
                true => write::finish(&self.directory, name, lineage),
                false => Ok(None),
            });
            match archived {
                Ok(archived) => finished.archived.extend(archived),
                Err(error) => finished.left.push(error),
            }
        }
        Ok(finished)
    }
}

impl ArchivedSegment {
    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log that the segment belongs to. `log_id` and [`segment`](ArchivedSegment::segment) together name the segment
    /// for ever.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.lineage.log_id
    }

    /// The number of the segment in its log, from 1, without gaps.
    #[must_use]
    pub fn segment(&self) -> u64 {
        self.lineage.segment
    }

    /// Name of the logger or event, as bytes; empty if the start of the file is damaged.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.full_name
    }

    /// Length of the segment, in bytes; for a compressed file, the length before compression.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.bytes
    }

    /// Length of the file, compressed or not, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.state.len
    }

    /// Whether the file has the name of a compressed segment.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        is_compressed_name(&self.path)
    }

    /// Opens the file for reading.
    ///
    /// # Errors
    /// `NotFound` if no file has this name any more, or another one; `Io`.
    pub fn open(&self) -> Result<File, Error> {
        let listed = (&*self.name, &self.state);
        let opened = write::open_listed(&self.directory, listed, self.lineage)?;
        let gone = "this is no longer the segment that was listed";
        opened.ok_or_else(|| Error::new(ErrorKind::NotFound, gone).at_path(&self.path))
    }

    /// Opens the segment as its writer wrote it: a compressed file is decompressed while it is read.
    ///
    /// # Errors
    /// Those of [`open`](ArchivedSegment::open); `NotALog` if a compressed file is none by its content;
    /// `MissingFeature` for a compressed file in a build without the feature `zstd`.
    pub fn content(&self) -> Result<SegmentContent, Error> {
        let source = Source::of_form(self.open()?, &self.path, self.packing())?;
        Ok(SegmentContent { source, offset: 0 })
    }

    fn packing(&self) -> Packing {
        if self.is_compressed() { Packing::Compressed } else { Packing::Plain }
    }

    /// Deletes the file, if it still is the file that was listed. Returns `false` if no file has the name any more. Call
    /// this when everything in the file is safe elsewhere; afterwards nothing brings the file back.
    ///
    /// # Errors
    /// `NotALog` if another file has the name, or if the start of the file is damaged, so that nothing proves whose it
    /// is; `InUse` if a logger writes the file; `Io`. The file stays.
    pub fn delete(&self) -> Result<bool, Error> {
        let segment = (self.lineage, &*self.full_name);
        let listed = (&*self.name, self.packing(), &self.state);
        let is_deleted = write::delete(&self.directory, listed, segment)?;
        if is_deleted {
            self.directory.sync()?;
        }
        Ok(is_deleted)
    }
}

/// The bytes of a segment as its writer wrote them; made by [`ArchivedSegment::content`].
///
/// Reading fails with `InvalidData` at a place where a compressed file is damaged, so that what was read to the end is
/// what was written.
#[derive(Debug)]
pub struct SegmentContent {
    source: Source,
    offset: u64,
}

impl Read for SegmentContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read_at(self.offset, buffer)?;
        #[cfg(feature = "zstd")]
        if !self.source.take_findings().is_empty() {
            let text = format!("{}: the compressed file is damaged", self.source.path().display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.offset += read as u64;
        Ok(read)
    }
}

/// Whether a file has records, by the heads of its blocks.
fn has_records(path: &Path) -> Result<bool, Error> {
    let mut reader = Reader::open(path)?;
    while let Some(head) = reader.next_head()? {
        if matches!(head.kind, HeadKind::Block { records, .. } if records > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}
