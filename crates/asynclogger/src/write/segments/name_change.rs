//! Gives the next segment the name of the active one, without a moment in which no file has the name.
//!
//! 1. The active file gets its archived name beside its own, by a link; the link is made durable.
//! 2. The names of the two files are exchanged in one step. The log's path names one or the other at each moment.
//! 3. The hidden name, which now belongs to the old file, is removed.
//!
//! A step that fails because somebody renamed, deleted or replaced the file at the path is taken again after a new look.
//! Any other step that fails leaves the log in its file, under its name. A process that is killed between two steps leaves one
//! file with two names, or an extra hidden name; the next start recognises the file by identity and finishes the change
//! ([`prepared`](super::prepared)). On a file system without links, a rename follows the exchange; on one without the
//! exchange, a rename over the log's path follows the link. Only a file system without both leaves a moment between two
//! renames.

use std::ffi::{OsStr, OsString};

use super::{place::Place, segment::Segment};
use crate::{
    Error, ErrorKind,
    write::{
        archive::{LastName, link_to_archived, rename_to_archived},
        common::fault,
    },
};

/// A change of names between the active segment and the segment prepared to follow it.
pub(super) struct NameChange<'a> {
    pub(super) place: &'a Place,
    pub(super) old: &'a Segment,
    pub(super) next: &'a Segment,
    /// The archived name that the old file has already, from a failed attempt.
    pub(super) linked: &'a mut Option<OsString>,
    pub(super) last_name: LastName,
}

/// The result of a change of names.
pub(super) struct Changed {
    /// The archived name of the old file, if the log's path still named that file.
    pub(super) archived: Option<OsString>,
    /// An error after the decisive step: the names may not be durable, or the old file has an extra name.
    pub(super) remark: Option<Error>,
}

/// Attempts, since the world can change the path after each look.
const ATTEMPTS: u32 = 8;

impl NameChange<'_> {
    /// # Errors
    /// The system's errors; then the log stays in its file, and no name of that file is lost.
    pub(super) fn make(&mut self) -> Result<Changed, Error> {
        fault::kill_point("promote");
        let Place { directory, name, .. } = self.place;
        let mut attempt = 1;
        let (archived, remark) = loop {
            let at_path = directory.identity_of(name.file())?;
            match self.try_with(at_path) {
                Ok(done) => break done,
                // Somebody has renamed, deleted or replaced the file since the look: the next look decides anew.
                Err(_) if attempt < ATTEMPTS && directory.identity_of(name.file())? != at_path => {
                    attempt += 1;
                }
                Err(error) => {
                    self.settle_link();
                    return Err(error);
                }
            }
        };
        let archived = archived.or_else(|| self.settle_link());
        fault::kill_point("promoted");
        let remark = remark.or(directory.sync().err());
        Ok(Changed { archived, remark })
    }

    /// Changes the names, if the path names the file with this identity.
    fn try_with(
        &mut self,
        at_path: Option<(u64, u64)>,
    ) -> Result<(Option<OsString>, Option<Error>), Error> {
        if let Some(identity) = at_path.filter(|_| at_path == self.old.identity()) {
            return self.replace(identity);
        }
        if at_path.is_some() && at_path == self.next.identity() {
            return Ok((None, None));
        }
        if let Some(other) = at_path {
            // Another file has the path: the log neither writes to it nor replaces it.
            self.rename_to_archived((self.place.name.file(), other))?;
        }
        self.rename_into_place()?;
        Ok((None, None))
    }

    /// Changes the names while the path names the active file.
    fn replace(
        &mut self,
        identity: (u64, u64),
    ) -> Result<(Option<OsString>, Option<Error>), Error> {
        let Place { directory, name, .. } = self.place;
        let mut archived = self.link(identity)?;
        fault::kill_point("archived");
        if directory.exchange(&self.hidden(), name.file())? {
            fault::kill_point("exchanged");
            let at_path = directory.identity_of(name.file())?;
            if at_path.is_some() && at_path != self.next.identity() {
                // Another file had the hidden name. It gets that name back, and the log its path.
                directory.exchange(&self.hidden(), name.file())?;
                return Err(self.is_replaced());
            }
            // From here on there is no way back, and no need for one: the next file has the path, or somebody has
            // renamed it already. Then the next look finds that out.
            let remark = self.put_away_displaced(&mut archived).err();
            return Ok((archived, remark));
        }
        if archived.is_some() {
            // The identities are proved once more, directly before the rename.
            if directory.identity_of(name.file())? != self.old.identity() {
                let what = "something took the place of the log while it was rotated";
                return Err(Error::new(ErrorKind::Moved, what).at_path(self.old.path()));
            }
            if directory.identity_of(&self.hidden())? != self.next.identity() {
                return Err(self.is_replaced());
            }
            directory.rename_over(&self.hidden(), name.file())?;
            return Ok((archived, None));
        }
        let aside = self.rename_to_archived((name.file(), identity))?;
        if let Err(error) = self.rename_into_place() {
            directory.rename_to_new(&aside, name.file())?;
            return Err(error);
        }
        Ok((Some(aside), None))
    }

    /// Puts away the file that had the log's path and has the hidden name now: the old file, or another one that took
    /// its place in the last moment.
    fn put_away_displaced(&mut self, archived: &mut Option<OsString>) -> Result<(), Error> {
        let Place { directory, .. } = self.place;
        let hidden = self.hidden();
        let displaced = directory.identity_of(&hidden)?;
        let is_old = displaced.is_some() && displaced == self.old.identity();
        match (displaced, &archived) {
            (Some(identity), Some(_)) if is_old => {
                directory.remove_if(&hidden, identity)?;
            }
            (Some(identity), _) => {
                let aside = self.rename_to_archived((&hidden, identity))?;
                // If another file was displaced, the old one was renamed or deleted just before.
                *archived = is_old.then_some(aside);
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// Gives the old file its archived name beside its own; `None`: the file system has no links.
    fn link(&mut self, identity: (u64, u64)) -> Result<Option<OsString>, Error> {
        let Place { directory, name, .. } = self.place;
        if let Some(linked) = &*self.linked
            && directory.identity_of(linked)? == Some(identity)
        {
            return Ok(self.linked.clone());
        }
        let file = (name.file(), identity);
        *self.linked = link_to_archived(directory, name, file, &mut self.last_name)?;
        if self.linked.is_some() {
            fault::kill_point("linked");
            directory.sync()?;
        }
        Ok(self.linked.clone())
    }

    /// Removes the archived name again if the old file has another name, which somebody else gave it or which is the
    /// log's path. If the archived name is the last name of the file, the file keeps it: durable records are in there.
    /// Returns the archived name if the old file has left the log's path and keeps that name.
    fn settle_link(&mut self) -> Option<OsString> {
        let Place { directory, name, .. } = self.place;
        let linked = self.linked.clone()?;
        let identity = self.old.identity()?;
        let has_others = self.old.file().state().is_ok_and(|state| state.links > 1);
        if has_others && directory.remove_if(&linked, identity).is_ok() {
            *self.linked = None;
            return None;
        }
        let has_left =
            directory.identity_of(name.file()).is_ok_and(|named| named != Some(identity));
        let is_linked = directory.identity_of(&linked).is_ok_and(|named| named == Some(identity));
        (has_left && is_linked).then_some(linked)
    }

    fn rename_into_place(&self) -> Result<(), Error> {
        let Place { directory, name, .. } = self.place;
        let hidden = self.hidden();
        if directory.identity_of(&hidden)? != self.next.identity() {
            return Err(self.is_replaced());
        }
        if directory.rename_to_new(&hidden, name.file())? {
            return Ok(());
        }
        let what = "something took the place of the log while it was rotated";
        Err(Error::new(ErrorKind::InUse, what).at_path(self.next.path()))
    }

    fn is_replaced(&self) -> Error {
        let what = "the file prepared for the log was renamed, deleted or replaced";
        Error::new(ErrorKind::Moved, what).at_path(self.next.path())
    }

    fn rename_to_archived(&mut self, file: (&OsStr, (u64, u64))) -> Result<OsString, Error> {
        let Place { directory, name, .. } = self.place;
        let path = rename_to_archived(directory, name, file, &mut self.last_name)?;
        Ok(path.file_name().unwrap_or_default().to_owned())
    }

    /// The name under which the next file was prepared.
    fn hidden(&self) -> OsString {
        self.next.path().file_name().unwrap_or_default().to_owned()
    }
}
