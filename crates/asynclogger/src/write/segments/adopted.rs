//! The files of a session whose process is dead, opened again to write what the process has left in memory.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use super::{
    beginning::FirstBlocks, files::LogFiles, layout::Spot, place::Place, segment::Segment,
};
use crate::{
    Config, DirectIo, Error, IoMode, LogId,
    format::Prefix,
    io::{Directory, Driver, EventsLock, ReopenForm, reopen_file},
    probe::{Body, Packing, Place as Found, look},
    sync::Arc,
    write::{archive::open_segment, common::fault, crash::Whereabouts},
};

/// The directory of a manager, and an event of its.
pub(in crate::write) struct EventOf<'a> {
    pub(in crate::write) directory: Arc<Directory>,
    pub(in crate::write) lock: &'a EventsLock,
    pub(in crate::write) name: &'a str,
}

/// A session that is to be ended by another process.
pub(in crate::write) struct Adopted<'a> {
    pub(in crate::write) log_id: LogId,
    pub(in crate::write) session: u64,
    /// The path of the log in the failover directory of the session.
    pub(in crate::write) away: Option<&'a Path>,
    /// The directory and the name of the event, if the log is an event's.
    pub(in crate::write) event: Option<EventOf<'a>>,
    pub(in crate::write) whereabouts: Whereabouts,
    /// The place of the first part that is not safe in that file; `None`: the session has left that file.
    pub(in crate::write) spot: Option<Spot>,
    /// The sequence of the first block that is not safe.
    pub(in crate::write) first_sequence: u64,
}

impl Adopted<'_> {
    /// Opens the file that the session wrote, wherever it is in the log's directories: the session continues there, with
    /// each part in its place. If the file is gone, the session continues in a new one, as after an error of the disk.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) if another logger writes the log; the system's errors.
    pub(in crate::write) fn open(
        self,
        config: &Config,
        driver: Driver,
    ) -> Result<(LogFiles, Segment), Error> {
        let home = match &self.event {
            None => Place::of(config.path(), config, None)?,
            Some(EventOf { directory, lock, name }) => {
                Place::of_event(directory.clone(), lock, config, name, None)?
            }
        };
        if let Some(spot) = &self.spot {
            if let Some(segment) = self.find_in(&home, config, &driver)? {
                return Ok(self.resumed(config, driver, home, None, segment, spot));
            }
            if let Some(path) = self.away.filter(|path| path.parent().is_some_and(Path::is_dir)) {
                let away = Place::of(path, config, Some(home.archive.full_name()))?;
                if let Some(segment) = self.find_in(&away, config, &driver)? {
                    return Ok(self.resumed(config, driver, home, Some(away), segment, spot));
                }
            }
        }
        let align = usize::try_from(self.whereabouts.align).ok();
        let blocks = FirstBlocks { sequence: self.first_sequence, align };
        fault::kill_point("before a file for a dead session");
        let (files, segment, _) = LogFiles::open_for(home, config, driver, self.session, blocks)?;
        fault::kill_point("a file for a dead session");
        Ok((files, segment))
    }

    fn resumed(
        &self,
        config: &Config,
        driver: Driver,
        home: Place,
        away: Option<Place>,
        mut segment: Segment,
        spot: &Spot,
    ) -> (LogFiles, Segment) {
        segment.resume_at(spot);
        (LogFiles::resumed(config, driver, self.session, home, away), segment)
    }

    /// The session's file in this directory: at the log's path, or under another name, since a rotation or another
    /// program can have renamed it.
    fn find_in(
        &self,
        place: &Place,
        config: &Config,
        driver: &Driver,
    ) -> Result<Option<Segment>, Error> {
        let is_it = |name: &OsStr| {
            let named = place.directory.identity_of(name);
            named.is_ok_and(|named| named == Some(self.whereabouts.identity))
        };
        let name = if is_it(place.name.file()) {
            Some(place.name.file().to_owned())
        } else {
            place.directory.names(is_it)?.into_iter().next()
        };
        let Some(name) = name else {
            return Ok(None);
        };
        let Some(prefix) = self.start_in(place, &name)? else {
            return Ok(None);
        };
        let mode =
            if config.direct_io == DirectIo::Off { IoMode::Buffered } else { IoMode::Direct };
        let align = prefix.align as usize;
        let form = ReopenForm { align, durability: config.durability, mode };
        let file = reopen_file(&place.directory, &name, form, driver)?;
        // The name can be another file's by now.
        if file.state().is_ok_and(|state| state.identity != self.whereabouts.identity) {
            return Ok(None);
        }
        let Whereabouts { begin, first_sequence, .. } = self.whereabouts;
        let path = place.directory.path().join(&name);
        Ok(Some(Segment::new(file, path, prefix, begin, first_sequence)))
    }

    /// The prefix of the session's start in this file; `None` if the start is not there: an inode can be used again.
    fn start_in(&self, place: &Place, name: &OsString) -> Result<Option<Prefix>, Error> {
        let Some((mut source, _)) = open_segment(&place.directory, name, Packing::Plain)? else {
            return Ok(None);
        };
        let Whereabouts { segment, start, align, .. } = self.whereabouts;
        let Found::Valid(part) = look(&mut source, start, &mut Vec::new())? else {
            return Ok(None);
        };
        let prefix = part.prefix;
        let is_ours = matches!(part.body, Body::Start { .. })
            && (prefix.offset, prefix.session, prefix.segment) == (start, self.session, segment)
            && (prefix.log_id, u64::from(prefix.align)) == (self.log_id, align);
        Ok(is_ours.then_some(prefix))
    }
}
