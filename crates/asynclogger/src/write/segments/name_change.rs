//! Gives the next segment the name of the active one, without a moment in which no file has the name.
//!
//! 1. The active file gets its archived name beside its own, by a link; the link is made durable.
//! 2. The names of the two files are exchanged in one step. The log's path names one or the other at each moment.
//! 3. The hidden name, which now belongs to the old file, is removed.
//!
//! A step that fails leaves the log in its file, under its name. A process that is killed between two steps leaves one
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

impl NameChange<'_> {
    /// # Errors
    /// The system's errors; then the log's path names the same file as before.
    pub(super) fn make(&mut self) -> Result<Changed, Error> {
        fault::kill_point("promote");
        let Place { directory, name, .. } = self.place;
        let at_path = directory.identity_of(name.file())?;
        let ours = at_path.filter(|_| at_path == self.old.identity());
        let (archived, remark) = if let Some(identity) = ours {
            match self.replace(identity) {
                Ok(done) => done,
                Err(error) => {
                    self.take_back_link();
                    return Err(error);
                }
            }
        } else {
            if let Some(other) = at_path.filter(|_| at_path != self.next.identity()) {
                // Another file has the path: the log neither writes to it nor replaces it.
                self.rename_to_archived((name.file(), other))?;
            }
            if at_path.is_none() || at_path != self.next.identity() {
                self.rename_into_place()?;
            }
            (None, None)
        };
        fault::kill_point("promoted");
        let remark = remark.or(directory.sync().err());
        Ok(Changed { archived, remark })
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
            // From here on there is no way back, and no need for one: the next file has the path.
            let remark = self.put_away_displaced(&mut archived).err();
            return Ok((archived, remark));
        }
        if archived.is_some() {
            // The identity is proved once more, directly before the rename.
            if directory.identity_of(name.file())? != self.old.identity() {
                let what = "something took the place of the log while it was rotated";
                return Err(Error::new(ErrorKind::Moved, what).at_path(self.old.path()));
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
                if is_old {
                    *archived = Some(aside);
                }
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

    /// Removes the archived name again, if possible: the log stays in its file, which then has one name.
    fn take_back_link(&mut self) {
        let identity = self.old.identity();
        if let (Some(linked), Some(identity)) = (&*self.linked, identity)
            && self.place.directory.remove_if(linked, identity).is_ok()
        {
            *self.linked = None;
        }
    }

    fn rename_into_place(&self) -> Result<(), Error> {
        let Place { directory, name, .. } = self.place;
        if directory.rename_to_new(&self.hidden(), name.file())? {
            return Ok(());
        }
        let what = "something took the place of the log while it was rotated";
        Err(Error::new(ErrorKind::InUse, what).at_path(self.next.path()))
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
