//! The files of a log: the first one is opened without destroying anything, and each later one takes the
//! place of the one before.

use std::path::Path;

use super::{
    archive::{self, Existing, Lineage, LogName},
    segment::{Segment, wall_clock},
};
use crate::{
    Config, Error, ErrorKind, Opened,
    format::{LogId, MAX_ALIGN, Prefix, Start},
    io::{Alignment, Directory, Driver, OpenRequest, OpenedFile, WriterLock, open_file, random},
    mem::AlignedBytes,
};

/// Where a log's next segment comes from.
pub(crate) trait NextSegment: Send {
    /// Whether there is another directory to go to, and the log is not in it.
    fn has_elsewhere(&self) -> bool;

    /// Makes a segment that takes the place of `old`, which keeps its bytes under an archived name; in
    /// the other directory if `elsewhere`. Its first block will be `first_sequence`.
    ///
    /// # Errors
    /// Those of the system; then `old` may have its archived name already, and this can be tried again.
    fn next(
        &mut self,
        old: &Segment,
        first_sequence: u64,
        elsewhere: bool,
    ) -> Result<Segment, Error>;

    /// Makes a segment in the log's own directory to go on with after `away`.
    ///
    /// # Errors
    /// Those of the system; then the log stays where it is, and this can be tried again.
    fn home(&mut self, away: &Segment, first_sequence: u64) -> Result<Segment, Error>;
}

/// A directory and the name of the log in it. No other logger writes the log there while this lives.
struct Place {
    directory: Directory,
    name: LogName,
    _lock: WriterLock,
}

/// The files of one log, as one session opens them.
pub(crate) struct LogFiles {
    config: Config,
    driver: Driver,
    session: u64,
    home: Place,
    /// Where it goes if home fails, once it did.
    away: Option<Place>,
    is_away: bool,
}

/// Where and as what a session begins in a file.
struct Beginning {
    lineage: Lineage,
    previous: u64,
    first_sequence: u64,
    offset: u64,
    create: bool,
    alignment: Alignment,
}

impl Place {
    fn of(path: &Path) -> Result<Place, Error> {
        let name = LogName::of(path)?;
        let directory = Directory::open_or_create(path.parent().unwrap_or(Path::new("")))?;
        let lock = WriterLock::take(&directory, name.base(), path)?;
        Ok(Place { directory, name, _lock: lock })
    }
}

impl LogFiles {
    /// Opens the log at the config's path for `session`: continues a clean file, sets anything else
    /// aside, creates what is missing; and writes the start.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`], [`ErrorKind::NotAFile`], [`ErrorKind::DirectIo`], those of the system.
    pub(crate) fn open(
        config: &Config,
        driver: Driver,
        session: u64,
    ) -> Result<(LogFiles, Segment, Opened), Error> {
        let path = config.path();
        let home = Place::of(path)?;
        let config = config.clone();
        let files = LogFiles { config, driver, session, home, away: None, is_away: false };
        let (segment, opened) = match archive::inspect(files.config.path())? {
            Existing::Clean { lineage, previous, align, size } => {
                let beginning = Beginning {
                    lineage,
                    previous,
                    first_sequence: 0,
                    offset: size,
                    create: false,
                    alignment: Alignment::File(align),
                };
                match files.begin(&files.home, beginning)? {
                    Ok(segment) => (segment, Opened::Continued),
                    // The file came from a device with another alignment.
                    Err(asked) => {
                        let reason =
                            format!("its alignment is {align}, and the device asks for {asked}");
                        files.set_aside(Some(lineage), reason)?
                    }
                }
            }
            Existing::Other { lineage, reason } => files.set_aside(lineage, reason)?,
            existing @ (Existing::Nothing | Existing::Empty) => {
                let last = archive::last_archived(&files.home.directory, &files.home.name);
                let beginning = Beginning::of_log(last, existing == Existing::Nothing)?;
                (files.begin_new(&files.home, beginning)?, Opened::Created)
            }
        };
        Ok((files, segment, opened))
    }

    fn set_aside(
        &self,
        lineage: Option<Lineage>,
        reason: String,
    ) -> Result<(Segment, Opened), Error> {
        let Place { directory, name, .. } = &self.home;
        let lineage = lineage.or_else(|| archive::last_archived(directory, name));
        let to = archive::set_aside(directory, name)?;
        let segment = self.begin_new(&self.home, Beginning::of_log(lineage, true)?)?;
        Ok((segment, Opened::SetAside { to, reason }))
    }

    /// Begins in a file that has no alignment yet to keep to.
    fn begin_new(&self, place: &Place, beginning: Beginning) -> Result<Segment, Error> {
        self.begin(place, beginning)?.map_err(|asked| {
            let what = format!("the device asks for an alignment of {asked}");
            Error::new(ErrorKind::DirectIo, what).at_path(place.directory.path())
        })
    }

    /// Opens the file and writes the session's start. The inner error: the file asks for this alignment,
    /// which is more than it was written with.
    fn begin(&self, place: &Place, beginning: Beginning) -> Result<Result<Segment, usize>, Error> {
        let Place { directory, name, .. } = place;
        let Beginning { lineage, previous, first_sequence, offset, create, alignment } = beginning;
        let mut prefix = Prefix {
            align: 0,
            offset,
            log_id: lineage.log_id,
            segment: lineage.segment,
            session: self.session,
            time: wall_clock(),
        };
        let request = OpenRequest {
            directory,
            name: name.file(),
            create,
            durability: self.config.durability,
            direct: self.config.direct_io,
            driver: &self.driver,
            alignment,
            offset,
        };
        let opened = open_file(request, |align| {
            prefix.align = align as u32;
            let mut bytes = AlignedBytes::new(align, align)?;
            let full_name = self.home.name.base().as_encoded_bytes();
            Start { previous, first_sequence, name: full_name }.encode(&prefix, &mut bytes);
            Ok(bytes)
        })?;
        let OpenedFile { file, align } = match opened {
            Ok(opened) => opened,
            Err(asked) => return Ok(Err(asked)),
        };
        debug_assert!(align <= MAX_ALIGN);
        if create {
            directory.sync()?;
        }
        let path = directory.path().join(name.file());
        Ok(Ok(Segment::new(file, path, prefix, offset + align as u64, first_sequence)))
    }

    /// Begins the segment after `old` at the log's path in `place`. What stands there is set aside.
    fn begin_after(
        &self,
        place: &Place,
        old: &Segment,
        first_sequence: u64,
    ) -> Result<Segment, Error> {
        let path = place.directory.path().join(place.name.file());
        let create = match archive::inspect(&path)? {
            Existing::Nothing => true,
            Existing::Empty => false,
            Existing::Clean { .. } | Existing::Other { .. } => {
                archive::set_aside(&place.directory, &place.name)?;
                true
            }
        };
        let Lineage { log_id, segment } = old.lineage();
        let beginning = Beginning {
            lineage: Lineage { log_id, segment: segment.saturating_add(1) },
            previous: segment,
            first_sequence,
            offset: 0,
            create,
            alignment: Alignment::Buffers(old.align()),
        };
        self.begin_new(place, beginning)
    }
}

impl NextSegment for LogFiles {
    fn has_elsewhere(&self) -> bool {
        self.config.failover_dir.is_some() && !self.is_away
    }

    fn next(
        &mut self,
        old: &Segment,
        first_sequence: u64,
        elsewhere: bool,
    ) -> Result<Segment, Error> {
        let go_away = elsewhere && self.has_elsewhere();
        if go_away
            && self.away.is_none()
            && let Some(directory) = &self.config.failover_dir
        {
            self.away = Some(Place::of(&directory.join(self.home.name.file()))?);
        }
        let place = match &self.away {
            Some(away) if go_away || self.is_away => away,
            _ => &self.home,
        };
        let next = self.begin_after(place, old, first_sequence)?;
        self.is_away |= go_away;
        Ok(next)
    }

    fn home(&mut self, away: &Segment, first_sequence: u64) -> Result<Segment, Error> {
        let next = self.begin_after(&self.home, away, first_sequence)?;
        self.is_away = false;
        Ok(next)
    }
}

impl Beginning {
    /// A new segment after the last one known, or the first of a new log.
    fn of_log(last: Option<Lineage>, create: bool) -> Result<Beginning, Error> {
        let (lineage, previous) = match last {
            Some(Lineage { log_id, segment }) => {
                (Lineage { log_id, segment: segment.saturating_add(1) }, segment)
            }
            None => (Lineage { log_id: LogId(random()?), segment: 1 }, 0),
        };
        let alignment = Alignment::Device;
        Ok(Beginning { lineage, previous, first_sequence: 0, offset: 0, create, alignment })
    }
}
