//! The files of a log: the first one is opened without destroying anything, and each later one takes the
//! place of the one before.

use std::ffi::{OsStr, OsString};

use super::{
    name_change::{Changed, NameChange},
    place::Place,
    prepared,
    segment::Segment,
    standing::Standing,
};
use crate::{
    Config, Error, ErrorKind, Opened,
    format::{LogId, MAX_ALIGN, Prefix, Start},
    io::{
        Alignment, BlockFile, Directory, Driver, EventsLock, FileState, OpenRequest, OpenedFile,
        open_file, random, reopen_file,
    },
    mem::AlignedBytes,
    sync::Arc,
    write::{
        archive::{
            ArchiveSettings, ArchivedSegment, Existing, LastName, Lineage, LogName, WholeDirectory,
            names,
        },
        common::wall_clock,
    },
};

/// Where a log's next segment comes from.
pub(crate) trait NextSegment: Send {
    /// Makes a segment to follow `old`, under a hidden name.
    ///
    /// # Errors
    /// Those of the system; then nothing has changed.
    fn prepare(&mut self, old: &Segment) -> Result<Segment, Error>;

    /// Whether a segment that was prepared is still where it was made.
    fn has_prepared(&self, next: &Segment) -> bool;

    /// Gives `next`, which was prepared, the place of `old`, and `old` an archived name. The first block of `next`
    /// will be `first_sequence`.
    ///
    /// # Errors
    /// Those of the system; then `old` is still in its place, and this can be tried again.
    fn promote(
        &mut self,
        old: &mut Segment,
        next: &mut Segment,
        first_sequence: u64,
    ) -> Result<Promoted, Error>;

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

    /// A segment that was prepared is not needed any more.
    fn discard(&mut self, prepared: Segment);

    /// Sees to it that nobody else may write the log: a lock file that was removed is made and locked again.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another writer has the lock by now; those of the system.
    fn keep_lock(&mut self) -> Result<(), Error> {
        // Who has no lock file has none to lose.
        Ok(())
    }

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

/// The next segment has its place.
#[derive(Default)]
pub(crate) struct Promoted {
    /// The one before, if it was still where it should be.
    pub(in crate::write) over: Option<ArchivedSegment>,
    /// The names are changed, and something was not as it should be: they may not be durable.
    pub(in crate::write) remark: Option<Error>,
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
    /// The archived name that the active segment has already, beside its own: an attempt to change the names failed.
    linked: Option<OsString>,
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
    /// The file that is there; `None`: it is made.
    expected: Option<FileState>,
    alignment: Alignment,
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
        let home = Place { directory, name, archive: Arc::new(archive), lock };
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
            linked: None,
            last_name: LastName::default(),
        };
        let (segment, opened) = match files.open_first(has_past) {
            Ok(opened) => opened,
            Err(error) => {
                files.home.withdraw();
                return Err(error);
            }
        };
        // What cannot be removed stays: the next file takes another name.
        let (Place { directory, name, .. }, log_id) = (&files.home, segment.lineage().log_id);
        let _ = prepared::remove_unused(directory, name, log_id, &files.full_name);
        Ok((files, segment, opened))
    }

    /// Opens what stands at the log's path, or makes it.
    fn open_first(&self, has_past: bool) -> Result<(Segment, Opened), Error> {
        let Place { directory, name, .. } = &self.home;
        let file = name.file();
        // Before it is read: what was read must be of the file that is written then.
        let seen = directory.look_at(file)?;
        let existing = names::inspect(directory, file)?;
        if let Existing::Clean { .. } | Existing::Other { lineage: Some(_), .. } = existing {
            prepared::take_back_link(directory, name)?;
        }
        match existing {
            Existing::Clean { lineage, previous, align, size, started, filled_since } => {
                let beginning = Beginning {
                    lineage,
                    previous,
                    first_sequence: 0,
                    offset: size,
                    expected: seen,
                    alignment: Alignment::File(align),
                };
                match self.begin(&self.home, file, beginning)? {
                    Ok(mut segment) => {
                        let capacity = self.config.shard_capacity();
                        // Sessions without records must not make it longer than it may be.
                        if self.config.rotation.is_used_up(size, capacity, align) {
                            segment.set_filled_since(started);
                        }
                        if let Some(since) = filled_since {
                            segment.set_filled_since(since);
                        }
                        Ok((segment, Opened::Continued))
                    }
                    // The file came from a device with another alignment.
                    Err(asked) => {
                        let reason =
                            format!("its alignment is {align}, and the device asks for {asked}");
                        self.set_aside(Some(lineage), reason)
                    }
                }
            }
            Existing::Other { lineage, reason } => self.set_aside(lineage, reason),
            Existing::Nothing | Existing::Empty => {
                let last = has_past.then(|| names::last_archived(directory, name)).flatten();
                let beginning = Beginning::of_log(last, seen)?;
                Ok((self.begin_new(&self.home, file, beginning)?, Opened::Created))
            }
        }
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
        let segment = self.begin_new(&self.home, name.file(), Beginning::of_log(lineage, None)?)?;
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
        let Beginning { lineage, previous, first_sequence, offset, expected, alignment } =
            beginning;
        let create = expected.is_none();
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
            durability: self.config.durability,
            direct: self.config.direct_io,
            driver: &self.driver,
            alignment,
            offset,
            expected,
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
        let Place { directory, name, .. } = place;
        let seen = directory.look_at(name.file())?;
        let expected = match names::inspect(directory, name.file())? {
            Existing::Nothing => None,
            Existing::Empty => seen,
            Existing::Clean { .. } | Existing::Other { .. } => {
                names::set_aside(directory, name)?;
                None
            }
        };
        let beginning = Beginning::following(old, first_sequence, expected);
        let segment = self.begin_new(place, name.file(), beginning)?;
        let log_id = segment.lineage().log_id;
        let _ = prepared::remove_unused(directory, name, log_id, &self.full_name);
        Ok(segment)
    }

    fn place_mut(&mut self) -> &mut Place {
        self.away.as_mut().filter(|_| self.is_away).unwrap_or(&mut self.home)
    }

    /// Where the log is now.
    fn place(&self) -> &Place {
        self.away.as_ref().filter(|_| self.is_away).unwrap_or(&self.home)
    }
}

impl NextSegment for LogFiles {
    fn prepare(&mut self, old: &Segment) -> Result<Segment, Error> {
        let place = self.place_mut();
        place.find_again()?;
        let hidden = prepared::free_name(&place.directory, &place.name)?;
        self.begin_new(self.place(), &hidden, Beginning::following(old, 0, None))
    }

    fn has_prepared(&self, next: &Segment) -> bool {
        let hidden = next.path().file_name().unwrap_or_default();
        let named = self.place().directory.identity_of(hidden);
        named.is_ok_and(|named| named.is_some() && named == next.identity())
    }

    fn promote(
        &mut self,
        old: &mut Segment,
        next: &mut Segment,
        first_sequence: u64,
    ) -> Result<Promoted, Error> {
        next.begin_with(old.lineage().segment, first_sequence, &self.full_name)?;
        let mut linked = self.linked.take();
        let place = self.place();
        let mut change =
            NameChange { place, old, next, linked: &mut linked, last_name: self.last_name };
        let changed = change.make();
        (self.last_name, self.linked) = (change.last_name, linked);
        let Changed { archived, remark } = changed?;
        self.linked = None;
        let Place { directory, name, archive, .. } = self.place();
        next.set_path(directory.path().join(name.file()));
        let over = archived.map(|file| {
            old.set_path(directory.path().join(&file));
            let (lineage, active) = (old.lineage(), next.lineage());
            ArchivedSegment { settings: archive.clone(), file, lineage, active }
        });
        Ok(Promoted { over, remark })
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
        if let Some(away) = &mut self.away {
            away.find_again()?;
        }
        let away = self.away.as_ref().unwrap_or(&self.home);
        let next = self.begin_after(away, old, first_sequence)?;
        self.is_away = true;
        Ok(next)
    }

    fn home(&mut self, away: &Segment, first_sequence: u64) -> Result<Segment, Error> {
        self.home.find_again()?;
        let next = self.begin_after(&self.home, away, first_sequence)?;
        self.is_away = false;
        Ok(next)
    }

    fn discard(&mut self, prepared: Segment) {
        let hidden = prepared.path().file_name().unwrap_or_default();
        if let Some(identity) = prepared.identity() {
            // Else the next start does it.
            let _ = self.place().directory.remove_if(hidden, identity);
        }
    }

    fn keep_lock(&mut self) -> Result<(), Error> {
        self.place_mut().keep_lock()
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
        let Ok(state) = active.file().state() else {
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
    fn following(old: &Segment, first_sequence: u64, expected: Option<FileState>) -> Beginning {
        let Lineage { log_id, segment } = old.lineage();
        Beginning {
            lineage: Lineage { log_id, segment: segment.saturating_add(1) },
            previous: segment,
            first_sequence,
            offset: 0,
            expected,
            alignment: Alignment::Buffers(old.align()),
        }
    }

    /// A new segment after the last one known, or the first of a new log.
    fn of_log(last: Option<Lineage>, expected: Option<FileState>) -> Result<Beginning, Error> {
        let (lineage, previous) = match last {
            Some(Lineage { log_id, segment }) => {
                (Lineage { log_id, segment: segment.saturating_add(1) }, segment)
            }
            None => (Lineage { log_id: LogId(random()?), segment: 1 }, 0),
        };
        let alignment = Alignment::Device;
        Ok(Beginning { lineage, previous, first_sequence: 0, offset: 0, expected, alignment })
    }
}
