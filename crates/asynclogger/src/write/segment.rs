//! The active file of a log: opened without destroying anything, appended to, ended.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::archive::{self, Existing, Lineage, LogName};
use crate::{
    Config, EngineKind, Error, ErrorKind, IoMode, Opened,
    format::{BlockInfo, Kind, LogId, MAX_ALIGN, Prefix, Start, Totals},
    io::{BlockFile, Directory, OpenedFile, WriterLock, open_file, random},
    mem::AlignedBytes,
};

/// A file that takes the blocks of one session.
pub(crate) struct Segment {
    file: Box<dyn BlockFile>,
    path: PathBuf,
    /// Where the next block goes; a multiple of the alignment.
    offset: u64,
    /// What all metadata of this session in this file have in common.
    prefix: Prefix,
    /// What notes and ends are written from.
    scratch: AlignedBytes,
    /// The session's part of this file.
    first_sequence: u64,
    records: u64,
    first_time: i64,
    last_time: i64,
    mode: IoMode,
    engine: EngineKind,
    /// No other logger writes this log while this lives.
    _lock: Option<WriterLock>,
}

/// Nanoseconds since the epoch, for labels; not for order.
pub(crate) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A new session's id: random and not 0.
pub(crate) fn new_session() -> Result<u64, Error> {
    Ok(u64::from_le_bytes(random()?).max(1))
}

impl Segment {
    /// Opens the log at the config's path for `session`: continues a clean file, sets anything else
    /// aside, creates what is missing; and writes the start.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`], [`ErrorKind::NotAFile`], [`ErrorKind::DirectIo`], those of the system.
    pub(crate) fn open(config: &Config, session: u64) -> Result<(Segment, Opened), Error> {
        let path = config.path();
        let name = LogName::of(path)?;
        let directory = Directory::open_or_create(path.parent().unwrap_or(Path::new("")))?;
        let lock = WriterLock::take(&directory, name.base(), path)?;
        match archive::inspect(path)? {
            Existing::Clean { lineage, previous, align, size } => {
                let continued = Segment::begin(
                    config,
                    &directory,
                    &name,
                    lock,
                    session,
                    Beginning {
                        lineage,
                        previous,
                        offset: size,
                        create: false,
                        align: Some(align),
                    },
                )?;
                match continued {
                    Ok(segment) => Ok((segment, Opened::Continued)),
                    // The file came from a device with another alignment.
                    Err((lock, reason)) => {
                        let aside = Aside { lineage: Some(lineage), reason };
                        Segment::set_aside(config, &directory, &name, lock, session, aside)
                    }
                }
            }
            Existing::Other { lineage, reason } => {
                let aside = Aside { lineage, reason };
                Segment::set_aside(config, &directory, &name, lock, session, aside)
            }
            existing @ (Existing::Nothing | Existing::Empty) => {
                let beginning =
                    Beginning::after(archive::last_archived(&directory, &name), existing)?;
                let segment = Segment::begin(config, &directory, &name, lock, session, beginning)?;
                Ok((segment.map_err(|(_, reason)| unusable(path, reason))?, Opened::Created))
            }
        }
    }

    fn set_aside(
        config: &Config,
        directory: &Directory,
        name: &LogName,
        lock: WriterLock,
        session: u64,
        aside: Aside,
    ) -> Result<(Segment, Opened), Error> {
        let lineage = aside.lineage.or_else(|| archive::last_archived(directory, name));
        let to = archive::set_aside(directory, name)?;
        let beginning = Beginning::after(lineage, Existing::Nothing)?;
        let segment = Segment::begin(config, directory, name, lock, session, beginning)?
            .map_err(|(_, reason)| unusable(config.path(), reason))?;
        Ok((segment, Opened::SetAside { to, reason: aside.reason }))
    }

    /// Opens the file and writes the session's start. The inner error gives the lock back: the file
    /// asks for another alignment than it was written with.
    fn begin(
        config: &Config,
        directory: &Directory,
        name: &LogName,
        lock: WriterLock,
        session: u64,
        beginning: Beginning,
    ) -> Result<Result<Segment, (WriterLock, String)>, Error> {
        let Beginning { lineage, previous, offset, create, align: wanted } = beginning;
        let mut prefix = Prefix {
            align: 0,
            offset,
            log_id: lineage.log_id,
            segment: lineage.segment,
            session,
            time: wall_clock(),
        };
        let mut scratch = None;
        let mut other_align = None;
        let opened = open_file(
            directory,
            Path::new(name.file()),
            create,
            config.durability,
            config.direct_io,
            offset,
            |align| {
                if wanted.is_some_and(|wanted| wanted != align) {
                    other_align = Some(align);
                    return Err(Error::new(ErrorKind::Io, "the alignment is another one"));
                }
                prefix.align = align as u32;
                let mut bytes = AlignedBytes::new(align, align)?;
                let full_name = name.base().as_encoded_bytes();
                let start = Start { previous, first_sequence: 0, name: full_name };
                start.encode(&prefix, &mut bytes);
                scratch = Some(AlignedBytes::new(align, align)?);
                Ok(bytes)
            },
        );
        let OpenedFile { file, align, mode, engine } = match (opened, other_align) {
            (_, Some(align)) => {
                let was = wanted.unwrap_or_default();
                let reason = format!("its alignment is {was}, and the device asks for {align}");
                return Ok(Err((lock, reason)));
            }
            (opened, None) => opened?,
        };
        debug_assert!(align <= MAX_ALIGN);
        if create {
            directory.sync()?;
        }
        let path = directory.path().join(name.file());
        let scratch = match scratch {
            Some(scratch) => scratch,
            None => AlignedBytes::new(align, align)?,
        };
        Ok(Ok(Segment {
            file,
            path,
            offset: offset + align as u64,
            prefix,
            scratch,
            first_sequence: 0,
            records: 0,
            first_time: 0,
            last_time: 0,
            mode,
            engine,
            _lock: Some(lock),
        }))
    }

    /// A segment of a model: no lock, no name, no start block.
    #[cfg(test)]
    pub(super) fn in_memory(file: Box<dyn BlockFile>, align: usize) -> Result<Segment, Error> {
        let log_id = LogId::default();
        let prefix =
            Prefix { align: align as u32, offset: 0, log_id, segment: 1, session: 1, time: 0 };
        Ok(Segment {
            file,
            path: PathBuf::new(),
            offset: 0,
            prefix,
            scratch: AlignedBytes::new(align, align)?,
            first_sequence: 0,
            records: 0,
            first_time: 0,
            last_time: 0,
            mode: IoMode::default(),
            engine: EngineKind::default(),
            _lock: None,
        })
    }

    /// Goes on with a session at `offset`, with its start.
    #[cfg(all(test, not(loom)))]
    pub(super) fn start_session(&mut self, session: u64, offset: u64) -> Result<(), Error> {
        (self.prefix.session, self.prefix.offset, self.offset) = (session, offset, offset);
        let start = Start { previous: 0, first_sequence: 0, name: b"schedule" };
        start.encode(&self.prefix, &mut self.scratch);
        let result = self.file.write_at(&self.scratch, offset);
        self.appended(result, self.scratch.len())
    }

    pub(crate) fn align(&self) -> usize {
        self.prefix.align as usize
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn mode(&self) -> IoMode {
        self.mode
    }

    pub(crate) fn engine(&self) -> EngineKind {
        self.engine
    }

    /// The prefix of a metadata block that will stand `ahead` bytes after the next block's beginning.
    pub(crate) fn prefix(&self, ahead: u64, time: i64) -> Prefix {
        Prefix { offset: self.offset + ahead, time, ..self.prefix }
    }

    /// Appends a block. After an error the same block has to be given again before any other.
    ///
    /// # Errors
    /// Those of the system, with path and offset.
    pub(crate) fn write_block(
        &mut self,
        block: &[u8],
        info: &BlockInfo,
        time: i64,
    ) -> Result<(), Error> {
        let result = self.file.write_at(block, self.offset);
        self.appended(result, block.len())?;
        if self.records == 0 {
            self.first_time = time;
        }
        self.last_time = time;
        self.records += u64::from(info.records);
        Ok(())
    }

    /// Appends a note or an end; what it says of this segment is filled in here.
    ///
    /// # Errors
    /// Those of the system, with path and offset.
    pub(crate) fn write_totals(&mut self, kind: Kind, totals: Totals) -> Result<(), Error> {
        let totals = Totals {
            first_sequence: self.first_sequence,
            segment_records: self.records,
            first_time: self.first_time,
            last_time: self.last_time,
            ..totals
        };
        let prefix = self.prefix(0, wall_clock());
        totals.encode(kind, &prefix, &mut self.scratch);
        let result = self.file.write_at(&self.scratch, self.offset);
        self.appended(result, self.scratch.len())
    }

    /// Ends the file of a session that never took a record.
    ///
    /// # Errors
    /// Those of the system, with path and offset.
    pub(crate) fn end_unused(&mut self) -> Result<(), Error> {
        self.write_totals(Kind::End, Totals { session_over: true, ..Totals::default() })
    }

    fn appended(&mut self, result: std::io::Result<()>, len: usize) -> Result<(), Error> {
        let at = self.offset;
        result
            .map_err(|error| Error::io("cannot write", error).at_path(&self.path).at_offset(at))?;
        self.offset += len as u64;
        Ok(())
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// Those of the system, with the path.
    pub(crate) fn barrier(&mut self) -> Result<(), Error> {
        let result = self.file.barrier();
        result.map_err(|error| Error::io("cannot sync", error).at_path(&self.path))
    }
}

/// Where and as what a session begins in a file.
struct Beginning {
    lineage: Lineage,
    previous: u64,
    offset: u64,
    create: bool,
    /// The alignment that the file has already.
    align: Option<usize>,
}

/// A file that is to be set aside, and why.
struct Aside {
    lineage: Option<Lineage>,
    reason: String,
}

impl Beginning {
    /// A new segment after the last one known, or the first of a new log.
    fn after(last: Option<Lineage>, existing: Existing) -> Result<Beginning, Error> {
        let (lineage, previous) = match last {
            Some(Lineage { log_id, segment }) => {
                (Lineage { log_id, segment: segment.saturating_add(1) }, segment)
            }
            None => (Lineage { log_id: LogId(random()?), segment: 1 }, 0),
        };
        let create = existing == Existing::Nothing;
        Ok(Beginning { lineage, previous, offset: 0, create, align: None })
    }
}

fn unusable(path: &Path, reason: String) -> Error {
    Error::new(ErrorKind::Io, reason).at_path(path)
}
