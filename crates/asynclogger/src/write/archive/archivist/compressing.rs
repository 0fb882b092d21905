//! Compresses a segment. The compressed form is made beside the segment and becomes durable; only then is the segment
//! deleted.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata, Permissions},
    io,
    ops::ControlFlow,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use crate::{
    Error, ErrorKind,
    format::{Lineage, seekable::FRAME_LEN},
    io::{Directory, FileState, forget_cached},
    probe::{Origin, Packing, Source, read_full},
    write::{
        archive::{
            compress::{Outcome, compress},
            names::{compressed_name, part_names},
            open_segment,
        },
        common::fault,
    },
};

/// An open segment.
pub(super) struct Segment<'a> {
    pub(super) directory: &'a Directory,
    pub(super) name: &'a OsStr,
    pub(super) file: &'a File,
    pub(super) state: FileState,
    pub(super) lineage: Lineage,
}

/// The result for a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// Only the compressed form is left.
    Compressed { name: OsString, bytes: u64 },
    /// The work was stopped; nothing has changed.
    Stopped,
    /// The name belongs to another file by now, or to none; nothing has changed.
    Gone,
}

/// The compressed form while it is made. Where the file system can do that, the file has no name until it is whole: a
/// process that is killed leaves nothing. Elsewhere it has the name of a part, which is removed on drop.
struct Part<'a> {
    directory: &'a Directory,
    /// The hidden name, if the file has one.
    name: Option<OsString>,
    file: File,
    identity: (u64, u64),
}

impl<'a> Part<'a> {
    /// Makes the file, without a name or under the first free one: files under the other names are not ours to remove.
    fn create(directory: &'a Directory, of: &OsStr, mode: u32) -> Result<Part<'a>, Error> {
        let unnamed = directory.make_nameable();
        let (name, file) = match unnamed {
            Some(file) => {
                // A file system without modes has no reason to complain about.
                let _ = file.set_permissions(Permissions::from_mode(mode & 0o777));
                (None, file)
            }
            None => Part::create_named(directory, of, mode)?,
        };
        let metadata = file.metadata().map_err(|error| {
            Error::io("cannot stat its compressed form", error).at_path(&directory.path().join(of))
        })?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Part { directory, name, file, identity })
    }

    fn create_named(
        directory: &Directory,
        of: &OsStr,
        mode: u32,
    ) -> Result<(Option<OsString>, File), Error> {
        let is_taken = |error: &Error| {
            error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
        };
        let mut created = part_names(of).map(|name| (directory.create_new(&name, mode), name));
        let free = created.find(|(file, _)| !file.as_ref().is_err_and(is_taken));
        let (file, name) = free.ok_or_else(|| {
            let every = io::Error::from(io::ErrorKind::AlreadyExists);
            Error::io("cannot make its compressed form", every).at_path(&directory.path().join(of))
        })?;
        Ok((Some(name), file?))
    }

    /// Gives the whole file its final name, if no file has that name. Returns whether it has the name now.
    fn publish(&mut self, to: &OsStr) -> Result<bool, Error> {
        let Some(name) = &self.name else {
            return self.directory.name_unnamed(&self.file, to);
        };
        if !is_named(self.directory, name, self.identity)? {
            let what = "the compressed form was taken away while it was made";
            let path = self.directory.path().join(name);
            return Err(Error::new(ErrorKind::Io, what).at_path(&path));
        }
        let is_published = self.directory.rename_to_new(name, to)?;
        if is_published {
            self.name = None;
        }
        Ok(is_published)
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // If the removal fails, the next sweep removes the file.
            let _ = self.directory.remove_if(name, self.identity);
        }
    }
}

impl Segment<'_> {
    fn at(&self, doing: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = self.directory.path().join(self.name);
        move |error| Error::io(doing, error).at_path(&path)
    }

    fn changed(&self) -> Error {
        let what = "it was changed while it was compressed";
        Error::new(ErrorKind::Io, what).at_path(&self.directory.path().join(self.name))
    }

    /// Compresses the segment, unless `between` stops the work: see [`compress`].
    ///
    /// # Errors
    /// The system's errors; the segment then stays as it is.
    pub(super) fn compress(
        &self,
        level: i32,
        mut between: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Became, Error> {
        let Segment { directory, name, file, .. } = *self;
        let before = file.metadata().map_err(self.at("cannot stat"))?;
        let mode = before.permissions().mode();
        fault::kill_point("before the part");
        let mut part = Part::create(directory, name, mode)?;
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
        // The file's time is a label for people only; the valid times are in the file.
        let _ = before.modified().and_then(|time| part.file.set_modified(time));
        part.file.sync_all().map_err(self.at("cannot sync its compressed form"))?;
        fault::kill_point("a durable part");

        let after = file.metadata().map_err(self.at("cannot stat"))?;
        if source_bytes != after.len() || has_changed(&before, &after) {
            return Err(self.changed());
        }
        // The segment may have been deleted meanwhile, to make room: then it must not come back in compressed form.
        if !self.is_still_named()? {
            return Ok(Became::Gone);
        }
        let compressed = compressed_name(name);
        if !part.publish(&compressed)? {
            return Err(Error::io("cannot name its compressed form", io::ErrorKind::AlreadyExists)
                .at_path(&directory.path().join(name)));
        }
        fault::kill_point("both forms");
        // Again: without a journal a file system takes a file that never had a name for deleted until the file is synced
        // with its name.
        part.file.sync_all().map_err(self.at("cannot sync its compressed form"))?;
        directory.sync()?;
        fault::kill_point("both forms, durable");
        if !is_named(directory, &compressed, part.identity)? {
            // Somebody has moved the compressed form away already. Whatever the reason, the plain file stays.
            return Ok(Became::Gone);
        }
        if has_changed(&before, &file.metadata().map_err(self.at("cannot stat"))?) {
            // A writer that has lost its lock to this one may go on in the file for a moment.
            directory.remove_if(&compressed, part.identity)?;
            return Err(self.changed());
        }
        self.delete()?;
        forget_cached(&part.file, bytes);
        Ok(Became::Compressed { name: compressed, bytes })
    }

    /// Deletes the plain file if its compressed form exists and is whole. A process that ended between the two steps
    /// leaves both.
    ///
    /// # Errors
    /// The system's errors; [`ErrorKind::Io`] if the file with the compressed form's name does not hold all of the
    /// segment. Both files stay then.
    pub(super) fn give_way(
        &self,
        mut between: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Became, Error> {
        let Segment { directory, file, lineage, .. } = *self;
        let compressed = compressed_name(self.name);
        let before = file.metadata().map_err(self.at("cannot stat"))?;
        let is_same = match open_segment(directory, &compressed, Packing::Compressed) {
            Ok(None) if directory.identity_of(&compressed)?.is_none() => return Ok(Became::Gone),
            Ok(None) => None,
            Ok(Some((mut source, state))) => {
                let is_of_it =
                    Origin::read(&mut source)?.is_ok_and(|origin| origin.lineage() == lineage);
                let same = match is_of_it {
                    true => is_all_of(&mut source, file, |done| {
                        forget_cached(file, done);
                        between(done)
                    })?,
                    false => Some(false),
                };
                match same {
                    None => return Ok(Became::Stopped),
                    Some(is_same) => is_same.then_some(state),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotALog => None,
            Err(error) => return Err(error),
        };
        let Some(state) = is_same else {
            let what = format!(
                "this is not all of {}; both are kept, and neither is touched",
                self.name.display()
            );
            let path = directory.path().join(&compressed);
            return Err(Error::new(ErrorKind::Io, what).at_path(&path));
        };
        // Neither the compressed form nor its name may be durable yet, if a process was killed behind the naming.
        if let Some((compressed, _)) = directory.open_regular(&compressed)? {
            compressed.sync_all().map_err(self.at("cannot sync its compressed form"))?;
        }
        directory.sync()?;
        fault::kill_point("both forms, compared");
        if has_changed(&before, &file.metadata().map_err(self.at("cannot stat"))?) {
            return Err(self.changed());
        }
        self.delete()?;
        Ok(Became::Compressed { name: compressed, bytes: state.len })
    }

    /// Deletes the open file, whose start was read; never another file that has its name by now.
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

/// Whether a compressed file is whole and holds, byte by byte, all of `plain`; `None`: the comparison was stopped.
/// Before each frame `between` gets the number of compared bytes.
fn is_all_of(
    compressed: &mut Source,
    plain: &File,
    mut between: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<bool>, Error> {
    let failed = |error| Error::io("cannot read", error);
    if compressed.len() != plain.metadata().map_err(failed)?.len() {
        return Ok(Some(false));
    }
    let (mut stored, mut bytes, mut done) = (vec![0; FRAME_LEN], vec![0; FRAME_LEN], 0);
    while done < compressed.len() {
        if between(done).is_break() {
            return Ok(None);
        }
        let len = compressed.read_at(done, &mut stored)?;
        if len == 0
            || read_full(plain, done, &mut bytes[..len]).map_err(failed)? < len
            || stored[..len] != bytes[..len]
        {
            return Ok(Some(false));
        }
        done += len as u64;
    }
    // Damage was found although all bytes are right: then nothing proves that the file can be read again.
    Ok(Some(compressed.take_findings().is_empty()))
}

fn is_named(directory: &Directory, name: &OsStr, identity: (u64, u64)) -> Result<bool, Error> {
    Ok(directory.look_at(name)?.is_some_and(|state| state.identity == identity))
}

fn has_changed(before: &Metadata, after: &Metadata) -> bool {
    let of = |metadata: &Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    of(before) != of(after)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::FileExt, path::Path};

    use super::*;

    fn pair(len: u32) -> (File, File) {
        let plain = tempfile::tempfile().expect("a file");
        let bytes: Vec<u8> = (0..len).map(|n| (n * n / 7 % 253) as u8).collect();
        plain.write_all_at(&bytes, 0).expect("written");
        let stored = tempfile::tempfile().expect("a file");
        let outcome = compress(&plain, &stored, 3, 4096, |_| ControlFlow::Continue(()));
        assert!(matches!(outcome, Ok(Outcome::Done { .. })));
        (plain, stored)
    }

    fn same(stored: &File, plain: &File) -> Option<bool> {
        let copy = stored.try_clone().expect("the file");
        let mut source = Source::of_form(copy, Path::new("stored"), Packing::Compressed).ok()?;
        let go_on = |_| ControlFlow::Continue(());
        is_all_of(&mut source, plain, go_on).expect("read")
    }

    #[test]
    fn a_copy_is_known_from_another_file() {
        for len in [0, 1, 4096, 10_000] {
            let (plain, stored) = pair(len);
            assert_eq!(same(&stored, &plain), Some(true), "{len}");
            plain.write_all_at(b"more", u64::from(len)).expect("written");
            assert_eq!(same(&stored, &plain), Some(false), "{len}");
        }
        let (plain, stored) = pair(10_000);
        plain.write_all_at(&[77], 9_999).expect("written");
        assert_eq!(same(&stored, &plain), Some(false));
    }

    #[test]
    fn a_damaged_copy_is_none() {
        let (plain, stored) = pair(10_000);
        let len = stored.metadata().expect("a length").len();
        for offset in 0..len {
            let mut byte = [0];
            stored.read_exact_at(&mut byte, offset).expect("read");
            stored.write_all_at(&[byte[0] ^ 0x41], offset).expect("written");
            assert_ne!(same(&stored, &plain), Some(true), "{offset}");
            stored.write_all_at(&byte, offset).expect("written");
        }
        stored.set_len(len - 1).expect("cut");
        assert_ne!(same(&stored, &plain), Some(true));
    }
}
