//! The files of a log: the first one is opened without destroying anything, and each later one takes the
//! place of the one before.

use std::{ffi::OsStr, path::Path};

use super::{
    active::{Over, Standing},
    segment::{Segment, wall_clock},
};
use crate::{
    Config, Error, ErrorKind, Opened,
    format::{LogId, MAX_ALIGN, Prefix, Start},
    io::{
        Alignment, BlockFile, Directory, Driver, EventsLock, OpenRequest, OpenedFile, WriterLock,
        open_file, random, reopen_file,
    },
    mem::AlignedBytes,
    sync::Arc,
    write::{
        archive::{ArchiveSettings, Existing, LastName, Lineage, LogName, WholeDirectory, names},
        common::fault,
    },
};

/// Where a log's next segment comes from.
pub(crate) trait NextSegment: Send {
    /// Makes a segment to follow `old`, under a hidden name.
    ///
    /// # Errors
    /// Those of the system; then nothing has changed.
    fn prepare(&mut self, old: &Segment) -> Result<Segment, Error>;

    /// Gives `next`, which was prepared, the place of `old`, and `old` an archived name: returned is what
    /// is over now, if it was still where it should be. The first block of `next` will be `first_sequence`.
    ///
    /// # Errors
    /// Those of the system; then a part of it may be done, and it can be tried again.
    fn promote(
        &mut self,
        old: &Segment,
        next: &mut Segment,
        first_sequence: u64,
    ) -> Result<Option<Over>, Error>;

    /// Whether there is another directory to go to, and the log is not in it.
    fn has_elsewhere(&self) -> bool;

    /// Makes a segment in the other directory to go on with after `old`, which stays as it is.
    ///
    /// # Errors
    /// Those of the system; then the log stays where it is.
    fn elsewhere(&mut self, old: &Segment, first_sequence: u64) -> Result<Segment, Error>;

    /// Makes a segment in the log's own directory to go on with after `away`.
    ///
    /// # Errors
    /// As [`elsewhere`](NextSegment::elsewhere).
    fn home(&mut self, away: &Segment, first_sequence: u64) -> Result<Segment, Error>;

    /// What was prepared is not needed any more.
    fn discard(&mut self);

    /// Opens the file of a segment again, which was closed to save a descriptor. `None`: it is not where it
    /// was.
    ///
    /// # Errors
    /// Those of the system.
    fn reopen(&mut self, _segment: &Segment) -> Result<Option<Box<dyn BlockFile>>, Error> {
        // Who never closes one for a while is never asked.
        Ok(None)
    }

    /// Looks for the active file, of which so many bytes are written, where it should be.
    fn standing(&self, active: &Segment, written: u64) -> Standing;
}

/// A directory and the name of the log in it. No other logger writes the log there while this lives.
struct Place {
    directory: Arc<Directory>,
    name: LogName,
    archive: Arc<ArchiveSettings>,
    _lock: WriterLock,
}

/// The files of one log, as one session opens them.
pub(crate) struct LogFiles {
    config: Config,
    driver: Driver,
    session: u64,
    /// What start blocks say whose they are.
    full_name: Vec<u8>,
    home: Place,
    /// Where it goes if home fails, once it did.
    away: Option<Place>,
    is_away: bool,
    /// A segment that has its archived name, and whose successor is not in its place yet.
    over: Option<Over>,
    last_name: LastName,
}

/// What opening the log of an event takes beside its config.
pub(crate) struct EventOpening<'a> {
    pub(crate) directory: Arc<Directory>,
    pub(crate) lock: &'a EventsLock,
    /// The name of the event, as it was given.
    pub(crate) full_name: &'a str,
    /// Whether there may be archived segments of this name: looking for them reads the directory.
    pub(crate) has_past: bool,
    pub(crate) whole: Option<Arc<WholeDirectory>>,
}

/// Where and as what a session begins in a file.
struct Beginning {
    lineage: Lineage,
    previous: u64,
    first_sequence: u64,
    offset: u64,
    create: bool,
    /// The permissions of a file that is made; `None`: those that the config says.
    mode: Option<u32>,
    alignment: Alignment,
}

impl Place {
    fn of(path: &Path, config: &Config) -> Result<Place, Error> {
        let name = LogName::of(path)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        let directory = Arc::new(Directory::open_or_create(parent)?);
        let lock = WriterLock::take(&directory, name.base(), path)?;
        let archive = ArchiveSettings::new(config, directory.clone(), name.clone());
        Ok(Place { directory, name, archive: Arc::new(archive), _lock: lock })
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
        let home = Place::of(config.path(), config)?;
        let full_name = home.name.base().as_encoded_bytes().to_vec();
        LogFiles::open_in(home, full_name, true, config, driver, session)
    }

    /// Opens the log of an event, in a directory that is locked as a whole. `has_past`: there may be
    /// archived segments of this name.
    ///
    /// # Errors
    /// As [`open`](LogFiles::open).
    pub(crate) fn open_event(
        opening: EventOpening<'_>,
        config: &Config,
        driver: Driver,
        session: u64,
    ) -> Result<(LogFiles, Segment, Opened), Error> {
        let EventOpening { directory, lock, full_name, has_past, whole } = opening;
        let name = LogName::of(config.path())?;
        let lock = lock.take_event(&directory, name.base(), config.path())?;
        let archive = ArchiveSettings::new(config, directory.clone(), name.clone()).within(whole);
        let home = Place { directory, name, archive: Arc::new(archive), _lock: lock };
        let full_name = full_name.as_bytes().to_vec();
        LogFiles::open_in(home, full_name, has_past, config, driver, session)
    }

    fn open_in(
        home: Place,
        full_name: Vec<u8>,
        has_past: bool,
        config: &Config,
        driver: Driver,
        session: u64,
    ) -> Result<(LogFiles, Segment, Opened), Error> {
        let config = config.clone();
        let files = LogFiles {
            config,
            driver,
            session,
            full_name,
            home,
            away: None,
            is_away: false,
            over: None,
            last_name: LastName::default(),
        };
        names::discard_prepared(&files.home.directory, &files.home.name)?;
        let (segment, opened) = match names::inspect(files.config.path())? {
            Existing::Clean { lineage, previous, align, size, started, filled_since } => {
                let beginning = Beginning {
                    lineage,
                    previous,
                    first_sequence: 0,
                    offset: size,
                    create: false,
                    mode: None,
                    alignment: Alignment::File(align),
                };
                match files.begin(&files.home, files.home.name.file(), beginning)? {
                    Ok(mut segment) => {
                        let (config, rotation) = (&files.config, &files.config.rotation);
                        let longest = rotation.block_limit(config.shard_capacity(), align);
                        // Sessions without records must not make it longer than it may be.
                        if rotation.is_used_up(size, longest, align) {
                            segment.set_filled_since(started);
                        }
                        if let Some(since) = filled_since {
                            segment.set_filled_since(since);
                        }
                        (segment, Opened::Continued)
                    }
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
                let last = has_past
                    .then(|| names::last_archived(&files.home.directory, &files.home.name))
                    .flatten();
                let beginning = Beginning::of_log(last, existing == Existing::Nothing)?;
                (files.begin_new(&files.home, files.home.name.file(), beginning)?, Opened::Created)
            }
        };
        Ok((files, segment, opened))
    }

    /// What the archivist has to know of the log in its own directory.
    pub(crate) fn archive_settings(&self) -> Arc<ArchiveSettings> {
        self.home.archive.clone()
    }

    fn set_aside(
        &self,
        lineage: Option<Lineage>,
        reason: String,
    ) -> Result<(Segment, Opened), Error> {
        let Place { directory, name, .. } = &self.home;
        let lineage = lineage.or_else(|| names::last_archived(directory, name));
        let to = names::set_aside(directory, name)?;
        let segment = self.begin_new(&self.home, name.file(), Beginning::of_log(lineage, true)?)?;
        Ok((segment, Opened::SetAside { to, reason }))
    }

    /// Begins in a file that has no alignment yet to keep to.
    fn begin_new(
        &self,
        place: &Place,
        file: &OsStr,
        beginning: Beginning,
    ) -> Result<Segment, Error> {
        self.begin(place, file, beginning)?.map_err(|asked| {
            let what = format!("the device asks for an alignment of {asked}");
            Error::new(ErrorKind::DirectIo, what).at_path(place.directory.path())
        })
    }

    /// Opens the file and writes the session's start. The inner error: the file asks for this alignment,
    /// which is more than it was written with.
    fn begin(
        &self,
        place: &Place,
        file_name: &OsStr,
        beginning: Beginning,
    ) -> Result<Result<Segment, usize>, Error> {
        let Place { directory, .. } = place;
        let Beginning { lineage, previous, first_sequence, offset, create, mode, alignment } =
            beginning;
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
            name: file_name,
            create,
            mode: mode.or(self.config.mode),
            durability: self.config.durability,
            direct: self.config.direct_io,
            driver: &self.driver,
            alignment,
            offset,
        };
        let opened = open_file(request, |align| {
            prefix.align = align as u32;
            let mut bytes = AlignedBytes::new(align, align)?;
            let name = self.full_name.as_slice();
            Start { previous, first_sequence, name }.encode(&prefix, &mut bytes);
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
        let path = directory.path().join(file_name);
        let mut segment = Segment::new(file, path, prefix, offset + align as u64, first_sequence);
        segment.set_max_size(self.config.rotation.max_size.unwrap_or(u64::MAX));
        Ok(Ok(segment))
    }

    /// Begins the segment after `old` at the log's path in `place`. What stands there is set aside.
    fn begin_after(
        &self,
        place: &Place,
        old: &Segment,
        first_sequence: u64,
    ) -> Result<Segment, Error> {
        let path = place.directory.path().join(place.name.file());
        let create = match names::inspect(&path)? {
            Existing::Nothing => true,
            Existing::Empty => false,
            Existing::Clean { .. } | Existing::Other { .. } => {
                names::set_aside(&place.directory, &place.name)?;
                true
            }
        };
        self.begin_new(place, place.name.file(), Beginning::following(old, first_sequence, create))
    }

    /// Where the log is now.
    fn place(&self) -> &Place {
        self.away.as_ref().filter(|_| self.is_away).unwrap_or(&self.home)
    }
}

impl NextSegment for LogFiles {
    fn prepare(&mut self, old: &Segment) -> Result<Segment, Error> {
        let Place { directory, name, .. } = self.place();
        names::discard_prepared(directory, name)?;
        let hidden = name.prepared();
        self.begin_new(self.place(), &hidden, Beginning::following(old, 0, true))
    }

    fn promote(
        &mut self,
        old: &Segment,
        next: &mut Segment,
        first_sequence: u64,
    ) -> Result<Option<Over>, Error> {
        let previous = old.lineage().segment;
        next.begin_with(previous, first_sequence, &self.full_name)?;
        next.take_mode_of(old);
        let Place { directory, name, .. } = self.place();
        fault::kill_point("promote");
        let at_path = directory.identity_of(name.file())?;
        let is_done = at_path.is_some() && at_path == next.identity();
        if at_path.is_some() && !is_done {
            let mut last = self.last_name;
            let path = names::rename_to_archived(directory, name, name.file(), &mut last)?;
            self.last_name = last;
            // Whatever it was that stood there: nothing is written through it, and nothing over it.
            if at_path == old.identity() {
                let (settings, lineage) = (self.place().archive.clone(), old.lineage());
                let file = path.file_name().unwrap_or_default().to_owned();
                self.over = Some(Over { settings, file, lineage });
            }
        }
        fault::kill_point("archived");
        let Place { directory, name, .. } = self.place();
        if !is_done && !directory.rename_to_new(&name.prepared(), name.file())? {
            let what = "something took the place of the log while it was rotated";
            return Err(Error::new(ErrorKind::InUse, what).at_path(next.path()));
        }
        fault::kill_point("promoted");
        next.set_path(directory.path().join(name.file()));
        directory.sync()?;
        Ok(self.over.take())
    }

    fn has_elsewhere(&self) -> bool {
        self.config.failover_dir.is_some() && !self.is_away
    }

    fn elsewhere(&mut self, old: &Segment, first_sequence: u64) -> Result<Segment, Error> {
        if self.away.is_none()
            && let Some(directory) = &self.config.failover_dir
        {
            self.away = Some(Place::of(&directory.join(self.home.name.file()), &self.config)?);
        }
        let away = self.away.as_ref().unwrap_or(&self.home);
        let next = self.begin_after(away, old, first_sequence)?;
        self.is_away = true;
        Ok(next)
    }

    fn home(&mut self, away: &Segment, first_sequence: u64) -> Result<Segment, Error> {
        let next = self.begin_after(&self.home, away, first_sequence)?;
        self.is_away = false;
        Ok(next)
    }

    fn discard(&mut self) {
        let Place { directory, name, .. } = self.place();
        // Else the next start does it.
        let _ = names::discard_prepared(directory, name);
    }

    fn reopen(&mut self, segment: &Segment) -> Result<Option<Box<dyn BlockFile>>, Error> {
        let Place { directory, name, .. } = self.place();
        let named = directory.identity_of(name.file())?;
        if named.is_none() || named != segment.identity() {
            return Ok(None);
        }
        let synced = self.config.durability;
        let file = reopen_file(directory, name.file(), segment.form(synced), &self.driver)?;
        // Between the look and the opening it may have been replaced.
        let is_same = file.state().is_ok_and(|state| Some(state.identity) == segment.identity());
        Ok(is_same.then_some(file))
    }

    fn standing(&self, active: &Segment, written: u64) -> Standing {
        let Place { directory, name, .. } = self.place();
        let Some(state) = active.state() else {
            // It does not say: the next write will.
            return Standing::Here;
        };
        if state.links == 0 {
            return Standing::Deleted;
        }
        match directory.identity_of(name.file()) {
            Ok(named) if named != active.identity() => Standing::Renamed,
            _ if state.len < written => Standing::Truncated,
            _ => Standing::Here,
        }
    }
}

impl Beginning {
    /// The segment after `old`.
    fn following(old: &Segment, first_sequence: u64, create: bool) -> Beginning {
        let Lineage { log_id, segment } = old.lineage();
        Beginning {
            lineage: Lineage { log_id, segment: segment.saturating_add(1) },
            previous: segment,
            first_sequence,
            offset: 0,
            create,
            mode: old.state().map(|state| state.mode),
            alignment: Alignment::Buffers(old.align()),
        }
    }

    /// A new segment after the last one known, or the first of a new log.
    fn of_log(last: Option<Lineage>, create: bool) -> Result<Beginning, Error> {
        let (lineage, previous) = match last {
            Some(Lineage { log_id, segment }) => {
                (Lineage { log_id, segment: segment.saturating_add(1) }, segment)
            }
            None => (Lineage { log_id: LogId(random()?), segment: 1 }, 0),
        };
        let alignment = Alignment::Device;
        let (first_sequence, offset, mode) = (0, 0, None);
        Ok(Beginning { lineage, previous, first_sequence, offset, create, mode, alignment })
    }
}
