//! A segment takes its compressed form: beside it, durable, and only then instead of it.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata},
    io,
    ops::ControlFlow,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use super::catalog::part_name;
use crate::{
    Error, ErrorKind,
    format::seekable::FRAME_LEN,
    io::{Directory, FileState, forget_cached},
    write::{
        archive::{
            compress::{Outcome, compress},
            inflate::Frames,
            names::{self, Form, Lineage, compressed_name},
        },
        common::fault,
    },
};

/// A segment that is open.
pub(super) struct Source<'a> {
    pub(super) directory: &'a Directory,
    pub(super) name: &'a OsStr,
    pub(super) file: &'a File,
    pub(super) state: FileState,
    pub(super) lineage: Lineage,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// Its compressed form is all that is left of it.
    Compressed { name: OsString, bytes: u64 },
    /// It was broken off; nothing has changed.
    Stopped,
    /// The name is that of another file by now, or of none; nothing has changed.
    Gone,
}

/// The file that is being made. As long as it has not its final name it is removed when it is given up.
struct Part<'a> {
    directory: &'a Directory,
    name: OsString,
    file: File,
    identity: (u64, u64),
    is_published: bool,
}

impl<'a> Part<'a> {
    fn create(directory: &'a Directory, name: OsString, mode: u32) -> Result<Part<'a>, Error> {
        let file = directory.create_new(&name, mode)?;
        let metadata = file.metadata().map_err(|error| {
            Error::io("cannot stat", error).at_path(&directory.path().join(&name))
        })?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Part { directory, name, file, identity, is_published: false })
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if !self.is_published {
            // The next sweep removes what stays.
            let _ = self.directory.remove_if(&self.name, self.identity);
        }
    }
}

impl Source<'_> {
    fn at(&self, doing: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = self.directory.path().join(self.name);
        move |error| Error::io(doing, error).at_path(&path)
    }

    /// Compresses it, unless `between` has it stopped: see [`compress`].
    ///
    /// # Errors
    /// Those of the system; then it stays as it is.
    pub(super) fn compress(
        &self,
        level: i32,
        mut between: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Became, Error> {
        let Source { directory, name, file, .. } = *self;
        let before = file.metadata().map_err(self.at("cannot stat"))?;
        let mode = before.permissions().mode();
        fault::kill_point("before the part");
        let mut part = Part::create(directory, part_name(name), mode)?;
        fault::kill_point("an empty part");
        let outcome = compress(file, &part.file, level, FRAME_LEN, |done| {
            fault::kill_point("between frames");
            forget_cached(file, done);
            between(done)
        });
        let Outcome::Done { source_bytes, stored_bytes: bytes } =
            outcome.map_err(self.at("cannot compress"))?
        else {
            return Ok(Became::Stopped);
        };
        fault::kill_point("a whole part");
        // A label for people; what counts is in the file.
        let _ = before.modified().and_then(|time| part.file.set_modified(time));
        part.file.sync_all().map_err(self.at("cannot sync its compressed form"))?;
        fault::kill_point("a durable part");

        let after = file.metadata().map_err(self.at("cannot stat"))?;
        if source_bytes != after.len() || has_changed(&before, &after) {
            let what = "it was changed while it was compressed";
            return Err(Error::new(ErrorKind::Io, what).at_path(&directory.path().join(name)));
        }
        // It may have been deleted meanwhile, to make room: then it must not come back.
        if !self.is_still_named()? {
            return Ok(Became::Gone);
        }
        let compressed = compressed_name(name);
        if !is_named(directory, &part.name, part.identity)? {
            let what = "its compressed form was taken away while it was made";
            return Err(Error::new(ErrorKind::Io, what).at_path(&directory.path().join(name)));
        }
        if !directory.rename_to_new(&part.name, &compressed)? {
            return Err(Error::io("cannot name its compressed form", io::ErrorKind::AlreadyExists)
                .at_path(&directory.path().join(name)));
        }
        part.is_published = true;
        fault::kill_point("both forms");
        directory.sync()?;
        fault::kill_point("both forms, durable");
        if !is_named(directory, &compressed, part.identity)? {
            // Somebody has moved it away already; whatever that means, this file stays.
            return Ok(Became::Gone);
        }
        self.delete()?;
        forget_cached(&part.file, bytes);
        Ok(Became::Compressed { name: compressed, bytes })
    }

    /// If there is a compressed form of it that is whole, made by a process that ended before it had
    /// deleted this one: deletes this one.
    ///
    /// # Errors
    /// Those of the system; [`ErrorKind::Io`] if what has that name is not all of this one. Both stay then.
    pub(super) fn give_way(
        &self,
        mut between: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Became, Error> {
        let Source { directory, file, lineage, .. } = *self;
        let compressed = compressed_name(self.name);
        let Some((stored, state)) = directory.open_regular(&compressed)? else {
            return Ok(Became::Gone);
        };
        let path = directory.path().join(&compressed);
        let failed = |error| Error::io("cannot read", error).at_path(&path);
        let start = names::archived_start(&stored, Form::Compressed).map_err(failed)?;
        let mut is_same = Some(false);
        if start.is_some_and(|start| names::lineage(&start) == lineage)
            && let Some(mut frames) = Frames::of(&stored).map_err(failed)?
        {
            let same = frames.are_those_of(file, |done| {
                forget_cached(file, done);
                between(done)
            });
            is_same = same.map_err(failed)?;
        }
        match is_same {
            None => return Ok(Became::Stopped),
            Some(false) => {
                let what = format!(
                    "this is not all of {}; both are kept, and neither is touched",
                    self.name.display()
                );
                return Err(Error::new(ErrorKind::Io, what).at_path(&path));
            }
            Some(true) => {}
        }
        // Its name may not be durable yet.
        directory.sync()?;
        fault::kill_point("both forms, compared");
        self.delete()?;
        Ok(Became::Compressed { name: compressed, bytes: state.len })
    }

    /// Deletes it: the open file, whose start was read, and not what may have its name by now.
    fn delete(&self) -> Result<(), Error> {
        self.directory.remove_if(self.name, self.state.identity)?;
        fault::kill_point("the compressed form alone");
        self.directory.sync()?;
        fault::kill_point("the compressed form alone, durable");
        Ok(())
    }

    fn is_still_named(&self) -> Result<bool, Error> {
        is_named(self.directory, self.name, self.state.identity)
    }
}

fn is_named(directory: &Directory, name: &OsStr, identity: (u64, u64)) -> Result<bool, Error> {
    Ok(directory.look_at(name)?.is_some_and(|state| state.identity == identity))
}

fn has_changed(before: &Metadata, after: &Metadata) -> bool {
    let of = |metadata: &Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    of(before) != of(after)
}
