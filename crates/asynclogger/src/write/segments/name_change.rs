//! How the next segment takes the name of the active one, without a moment in which nothing has it.
//!
//! 1. The active file gets its archived name beside its own, by a link; that is made durable.
//! 2. The names of the two files are exchanged, in one step. Whoever opens the log's path finds one or the other.
//! 3. The hidden name, which is the old file's now, is removed.
//!
//! A step that fails leaves the log in its file, under its name. A process that is killed between two steps leaves
//! one file with two names, or a hidden name too many; the next start finds that out by identity and finishes it
//! ([`prepared`](super::prepared)). Where the file system has no links the exchange is followed by a rename, and
//! where it exchanges nothing the link by a rename over the log's path. Only where it can do neither there is a moment
//! between two renames.

use std::ffi::{OsStr, OsString};

use super::{place::Place, segment::Segment};
use crate::{
    Error, ErrorKind,
    write::{
        archive::{LastName, link_to_archived, rename_to_archived},
        common::fault,
    },
};

/// A change of names between the active segment and the one that was prepared to follow it.
pub(super) struct NameChange<'a> {
    pub(super) place: &'a Place,
    pub(super) old: &'a Segment,
    pub(super) next: &'a Segment,
    /// The archived name that the old file has already, from an attempt that failed.
    pub(super) linked: &'a mut Option<OsString>,
    pub(super) last_name: LastName,
}

/// The names are changed.
pub(super) struct Changed {
    /// The archived name of the old file, if that was still where it should be.
    pub(super) archived: Option<OsString>,
    /// What went wrong behind the step that counts: the names may not be durable, or there is one too many.
    pub(super) remark: Option<Error>,
}

impl NameChange<'_> {
    /// # Errors
    /// The system's errors; then the log's path names what it named before.
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
                // Whatever stands there: nothing is written through it, and nothing over it.
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

    /// The path is our active file's.
    fn replace(
        &mut self,
        identity: (u64, u64),
    ) -> Result<(Option<OsString>, Option<Error>), Error> {
        let Place { directory, name, .. } = self.place;
        let mut archived = self.link(identity)?;
        fault::kill_point("archived");
        if directory.exchange(&self.hidden(), name.file())? {
            fault::kill_point("exchanged");
            // There is no way back from here, and none is needed: the next file has the path.
            let remark = self.put_away_displaced(&mut archived).err();
            return Ok((archived, remark));
        }
        if archived.is_some() {
            // Proved once more, as near to the rename as can be.
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

    /// What had the log's path has the hidden name now: our old file, or what took its place in the last moment.
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

    /// Gives the old file its archived name beside its own; `None`: there are no links here.
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

    /// The log stays in its file, which has one name then, if that can be.
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
