//! The files of a log. The first file is opened without destroying anything; each later file takes the place of the one
//! before.

use std::ffi::{OsStr, OsString};

use super::{
    beginning::{Beginning, FirstBlocks},
    event_opening::{EventOpening, Past},
    existing::Existing,
    name_change::{Changed, NameChange},
    next_segment::{NextSegment, Promoted},
    numbers,
    place::Place,
    prepared,
    segment::Segment,
    standing::Standing,
};
use crate::{
    Config, Error, ErrorKind, Opened, Rotation,
    format::{LogId, MAX_ALIGN, Prefix, Start},
    io::{
        Alignment, BlockFile, Driver, KeepWhen, Kept, OpenRequest, OpenedFile, check_file_limit,
        file_size_limit, open_file, reopen_file,
    },
    mem::AlignedBytes,
    sync::Arc,
    write::{
        archive::{ArchiveSettings, ArchivedSegment, LastName, Lineage, set_aside},
        common::wall_clock,
    },
};

/// The files of one log, opened by one session.
pub(crate) struct LogFiles {
    config: Config,
    driver: Driver,
    session: u64,
    /// The greatest segment number of the log that is known.
    last_seen: u64,
    /// Whether all numbers were looked for since another writer could last give one away.
    has_looked: bool,
    /// The prepared file has a number that another writer may have given away since.
    is_outdated: bool,
    home: Place,
    /// The place in the failover directory, once `home` has failed.
    away: Option<Place>,
    is_away: bool,
    /// The archived name that the active segment has beside its own, after a failed attempt to change the names.
    linked: Option<OsString>,
    last_name: LastName,
    beginning: FirstBlocks,
    /// The first file is begun, and its name and start are not durable when its opening returns.
    is_synced_later: bool,
}

impl LogFiles {
    /// Opens the log at the config's path for `session`: continues a clean file, sets any other file aside, makes
    /// missing files and directories, and writes the start.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`], [`ErrorKind::NotAFile`], [`ErrorKind::DirectIo`], the system's errors.
    pub(crate) fn open(
        config: &Config,
        driver: Driver,
        session: u64,
    ) -> Result<(LogFiles, Segment, Opened), Error> {
        let home = Place::of(config.path(), config, None)?;
        LogFiles::resumed(config, driver, session, home, None).open_with(Past::Looked)
    }

    /// Opens the log for the rest of a session whose file is not there: like a new session, but with these blocks.
    ///
    /// # Errors
    /// The same as for [`open`](LogFiles::open).
    pub(super) fn open_for(
        home: Place,
        config: &Config,
        driver: Driver,
        session: u64,
        blocks: FirstBlocks,
    ) -> Result<(LogFiles, Segment, Opened), Error> {
        let files = LogFiles::resumed(config, driver, session, home, None);
        LogFiles { beginning: blocks, ..files }.open_with(Past::Looked)
    }

    /// The files of a session that continues in an existing segment, here or in the other directory.
    pub(super) fn resumed(
        config: &Config,
        driver: Driver,
        session: u64,
        home: Place,
        away: Option<Place>,
    ) -> LogFiles {
        LogFiles {
            config: config.clone(),
            driver,
            session,
            last_seen: 0,
            has_looked: false,
            is_outdated: false,
            home,
            is_away: away.is_some(),
            away,
            linked: None,
            last_name: LastName::default(),
            beginning: FirstBlocks::default(),
            is_synced_later: false,
        }
    }

    /// Opens the log of an event, in a directory that is locked as a whole. Neither the file's name nor the start is
    /// durable yet: the caller syncs the directory before the first block is written.
    ///
    /// # Errors
    /// The same as for [`open`](LogFiles::open).
    pub(crate) fn open_event(
        opening: EventOpening<'_>,
        config: &Config,
        driver: Driver,
        session: u64,
    ) -> Result<(LogFiles, Segment, Opened), Error> {
        let EventOpening { directory, lock, full_name, past, whole } = opening;
        let home = Place::of_event(directory, lock, config, full_name, whole)?;
        let files = LogFiles::resumed(config, driver, session, home, None);
        LogFiles { is_synced_later: true, ..files }.open_with(past)
    }

    fn open_with(mut self, past: Past) -> Result<(LogFiles, Segment, Opened), Error> {
        let (segment, opened) = match self.open_first(past) {
            Ok(opened) => opened,
            Err(error) => {
                self.home.withdraw();
                return Err(error);
            }
        };
        self.is_synced_later = false;
        self.home.remove_unused(segment.lineage().log_id);
        if past == Past::Looked || opened != Opened::Continued {
            (self.last_seen, self.has_looked) = (segment.lineage().segment, true);
        }
        Ok((self, segment, opened))
    }

    /// Opens the file at the log's path, or makes one.
    fn open_first(&self, past: Past) -> Result<(Segment, Opened), Error> {
        let Place { directory, name, .. } = &self.home;
        // Before a file is set aside for one that cannot be begun.
        check_file_limit(&directory.path().join(name.file()), Rotation::least_file())?;
        let existing = self.home.inspect()?;
        if let Existing::Clean { .. } | Existing::Other { lineage: Some(_), .. } = existing {
            prepared::take_back_link(directory, name)?;
        }
        match existing {
            Existing::Clean { identity, lineage, previous, align, size, started, filled_since } => {
                let last = match past {
                    Past::Looked => self.last_segment(Some(lineage.log_id)),
                    Past::Possible | Past::None => None,
                };
                let beginning = Beginning {
                    lineage,
                    previous,
                    first_sequence: self.beginning.sequence,
                    offset: size,
                    expected: Some((identity, size)),
                    mode: None,
                    alignment: Alignment::File(align),
                };
                let last = last.filter(|last| last.segment > lineage.segment);
                let is_over = |limit: &u64| size.saturating_add(Rotation::least_file()) > *limit;
                let made_for = self.beginning.align.filter(|made_for| *made_for < align);
                let begun = match (last, file_size_limit().filter(is_over)) {
                    (_, Some(limit)) => Err(format!(
                        "it has {size} bytes, and {} more do not fit below the limit of the process, \
                         {limit} (RLIMIT_FSIZE)",
                        Rotation::least_file()
                    )),
                    (None, None) if made_for.is_some() => Err(format!("its alignment is {align}")),
                    (None, None) => self.begin(&self.home, name.file(), beginning)?.map_err(
                        // The file comes from a device with another alignment.
                        |asked| {
                            format!("its alignment is {align}, and the device asks for {asked}")
                        },
                    ),
                    (Some(last), None) => Err(format!("segment {} is there already", last.segment)),
                };
                match begun {
                    Ok(mut segment) => {
                        // Sessions without records must not make the file longer than its limit: from here on the file
                        // counts as filled, and the size trigger applies.
                        if self.config.is_used_up(size, align) {
                            segment.set_filled_since(started);
                        }
                        if let Some(since) = filled_since {
                            segment.set_filled_since(since);
                        }
                        Ok((segment, Opened::Continued))
                    }
                    Err(reason) => self.set_aside(identity, Some(lineage), reason),
                }
            }
            Existing::Other { identity, lineage, reason } => {
                self.set_aside(identity, lineage, reason)
            }
            Existing::Nothing | Existing::Empty { .. } => {
                let expected = match existing {
                    Existing::Empty { identity } => Some((identity, 0)),
                    _ => None,
                };
                let last = if past == Past::None { None } else { self.last_without_active()? };
                let beginning = self.beginning_of_log(last, expected)?;
                Ok((self.begin_new(&self.home, name.file(), beginning)?, Opened::Created))
            }
        }
    }

    /// The archivist's settings for the log in its own directory.
    pub(crate) fn archive_settings(&self) -> Arc<ArchiveSettings> {
        self.home.archive.clone()
    }

    /// Renames the file at the log's path to an archived name, and begins a new one. `lineage`: the file's, if it is a
    /// segment of this log.
    fn set_aside(
        &self,
        identity: (u64, u64),
        lineage: Option<Lineage>,
        reason: String,
    ) -> Result<(Segment, Opened), Error> {
        let Place { directory, name, .. } = &self.home;
        let last = match lineage {
            Some(ours) => self.last_segment(Some(ours.log_id)).or(lineage),
            None => self.last_without_active()?,
        };
        let to = set_aside(directory, name, identity, lineage.is_some())?;
        let beginning = self.beginning_of_log(last, None)?;
        let segment = self.begin_new(&self.home, name.file(), beginning)?;
        Ok((segment, Opened::SetAside { to, reason }))
    }

    fn beginning_of_log(
        &self,
        last: Option<Lineage>,
        expected: Option<((u64, u64), u64)>,
    ) -> Result<Beginning, Error> {
        let beginning = Beginning::of_log(last, expected)?;
        let first_sequence = self.beginning.sequence;
        let alignment = self.beginning.align.map_or(beginning.alignment, Alignment::Buffers);
        Ok(Beginning { first_sequence, alignment, ..beginning })
    }

    fn last_segment(&self, log_id: Option<LogId>) -> Option<Lineage> {
        numbers::last(&self.home, self.config.failover_dir.as_deref(), log_id)
    }

    /// If somebody has given the prepared file another name: its number is not given again.
    fn keep_number_of(&mut self, prepared: &Segment) {
        let is_somewhere = prepared.file().state().is_ok_and(|state| state.links > 0);
        if is_somewhere && !self.has_prepared(prepared) {
            self.last_seen = self.last_seen.max(prepared.lineage().segment);
        }
    }

    fn last_without_active(&self) -> Result<Option<Lineage>, Error> {
        numbers::last_without_active(&self.home, self.config.failover_dir.as_deref())
    }

    /// Begins in a new file, which can take any alignment.
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

    /// Opens the file and writes the session's start. The inner error is the alignment that the device asks for,
    /// greater than the one with which the file was written.
    fn begin(
        &self,
        place: &Place,
        file_name: &OsStr,
        beginning: Beginning,
    ) -> Result<Result<Segment, usize>, Error> {
        let Place { directory, .. } = place;
        let needed = beginning.offset.saturating_add(Rotation::least_file());
        check_file_limit(&directory.path().join(file_name), needed)?;
        let Beginning { lineage, previous, first_sequence, offset, expected, mode, alignment } =
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
            mode: mode.or(self.config.mode),
            durability: self.config.durability,
            direct: self.config.direct_io,
            driver: &self.driver,
            alignment,
            offset,
            is_synced_later: self.is_synced_later,
            expected,
        };
        let opened = open_file(request, |align| {
            prefix.align = align as u32;
            let mut bytes = AlignedBytes::new(align, align)?;
            let name = place.archive.full_name();
            Start { previous, first_sequence, name }.encode(&prefix, &mut bytes);
            Ok(bytes)
        })?;
        let OpenedFile { file, align } = match opened {
            Ok(opened) => opened,
            Err(asked) => return Ok(Err(asked)),
        };
        debug_assert!(align <= MAX_ALIGN);
        if create && !self.is_synced_later {
            directory.sync()?;
        }
        let path = directory.path().join(file_name);
        let mut segment = Segment::new(file, path, prefix, offset + align as u64, first_sequence);
        segment.set_max_size(self.config.rotation.max_size.unwrap_or(u64::MAX));
        Ok(Ok(segment))
    }

    /// Begins the segment after `old` at the log's path in `place`. An existing file there is set aside.
    fn begin_after(
        &self,
        place: &Place,
        old: &Segment,
        first_sequence: u64,
    ) -> Result<Segment, Error> {
        let (expected, other) = match place.inspect()? {
            Existing::Nothing => (None, None),
            Existing::Empty { identity } => (Some((identity, 0)), None),
            Existing::Clean { identity, .. } => (None, Some((identity, true))),
            Existing::Other { identity, lineage, .. } => {
                (None, Some((identity, lineage.is_some())))
            }
        };
        if let Some((identity, is_ours)) = other {
            set_aside(&place.directory, &place.name, identity, is_ours)?;
        }
        let beginning = Beginning::following(old, self.last_seen, first_sequence, expected);
        let segment = self.begin_new(place, place.name.file(), beginning)?;
        place.remove_unused(segment.lineage().log_id);
        Ok(segment)
    }

    /// Takes over the result of a look after a lock. While the lock was lost, another writer may have given numbers
    /// away.
    pub(super) fn take_over(&mut self, kept: Result<Kept, Error>) -> Result<(), Error> {
        if !matches!(kept, Ok(Kept::Held)) {
            (self.has_looked, self.is_outdated) = (false, true);
        }
        kept.map(drop)
    }

    /// Looks for the greatest number of the log, if others may have given some away.
    fn look_for_numbers(&mut self, old: &Segment) {
        if !std::mem::replace(&mut self.has_looked, true) {
            let last = self.last_segment(Some(old.lineage().log_id)).unwrap_or(old.lineage());
            self.last_seen = self.last_seen.max(last.segment);
        }
    }

    fn place_mut(&mut self) -> &mut Place {
        self.away.as_mut().filter(|_| self.is_away).unwrap_or(&mut self.home)
    }

    /// The place where the log is written now.
    fn place(&self) -> &Place {
        self.away.as_ref().filter(|_| self.is_away).unwrap_or(&self.home)
    }
}

impl NextSegment for LogFiles {
    fn prepare(&mut self, old: &Segment) -> Result<Segment, Error> {
        let kept = self.place_mut().find_again();
        self.take_over(kept)?;
        self.look_for_numbers(old);
        self.is_outdated = false;
        let place = self.place();
        let hidden = prepared::free_name(&place.directory, &place.name)?;
        let beginning = Beginning::following(old, self.last_seen, 0, None);
        self.begin_new(self.place(), &hidden, beginning)
    }

    fn has_prepared(&self, next: &Segment) -> bool {
        let hidden = next.path().file_name().unwrap_or_default();
        let named = self.place().directory.identity_of(hidden);
        !self.is_outdated && named.is_ok_and(|named| named.is_some() && named == next.identity())
    }

    fn promote(
        &mut self,
        old: &mut Segment,
        next: &mut Segment,
        first_sequence: u64,
    ) -> Result<Promoted, Error> {
        next.begin_with(old.lineage().segment, first_sequence, self.home.archive.full_name())?;
        next.take_mode_of(old);
        let mut linked = self.linked.take();
        let place = self.place();
        let mut change =
            NameChange { place, old, next, linked: &mut linked, last_name: self.last_name };
        let changed = change.make();
        (self.last_name, self.linked) = (change.last_name, linked);
        if changed.is_err() {
            self.keep_number_of(next);
        }
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
            let full_name = Some(self.home.archive.full_name());
            let path = directory.join(self.home.name.file());
            self.away = Some(Place::of(&path, &self.config, full_name)?);
        }
        if let Some(away) = &mut self.away {
            let kept = away.secure();
            self.take_over(kept)?;
        }
        self.look_for_numbers(old);
        let away = self.away.as_ref().unwrap_or(&self.home);
        let next = self.begin_after(away, old, first_sequence)?;
        self.is_away = true;
        Ok(next)
    }

    fn home(&mut self, away: &Segment, first_sequence: u64) -> Result<Segment, Error> {
        let kept = self.home.secure();
        self.take_over(kept)?;
        self.look_for_numbers(away);
        let next = self.begin_after(&self.home, away, first_sequence)?;
        self.is_away = false;
        Ok(next)
    }

    fn discard(&mut self, prepared: Segment) {
        self.keep_number_of(&prepared);
        let hidden = prepared.path().file_name().unwrap_or_default();
        if let Some(identity) = prepared.identity() {
            // If the removal fails, the next start removes the file.
            let _ = self.place().directory.remove_if(hidden, identity);
        }
    }

    fn keep_lock(&mut self, when: KeepWhen) -> Result<(), Error> {
        let kept = self.place_mut().keep_lock(when);
        self.take_over(kept)
    }

    fn reopen(&mut self, segment: &Segment) -> Result<Option<Box<dyn BlockFile>>, Error> {
        let Place { directory, name, .. } = self.place();
        let named = directory.identity_of(name.file())?;
        if named.is_none() || named != segment.identity() {
            return Ok(None);
        }
        let synced = self.config.durability;
        let file = reopen_file(directory, name.file(), segment.form(synced), &self.driver)?;
        // The file may have been replaced between the look and the opening.
        let is_same = file.state().is_ok_and(|state| Some(state.identity) == segment.identity());
        Ok(is_same.then_some(file))
    }

    fn standing(&self, active: &Segment, written: u64) -> Standing {
        let Place { directory, name, .. } = self.place();
        let Ok(state) = active.file().state() else {
            // The system gives no answer; the next write will show the error.
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
