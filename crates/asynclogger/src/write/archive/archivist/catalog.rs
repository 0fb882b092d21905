//! The archived files of a log: found by their names, known by their starts.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
};

use super::ArchiveSettings;
use crate::{
    Error,
    format::{Metadata, Prefix, metadata},
    io::{Directory, FileState},
    write::archive::{
        names::{self, Form, Lineage},
        retention::ArchivedFile,
    },
};

/// A regular file whose name is that of an archived segment of the log. Whose it is, is not known yet.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: OsString,
    pub(super) form: Form,
    pub(super) state: FileState,
}

/// The files that have such names now.
///
/// # Errors
/// Those of the system.
pub(super) fn list(settings: &ArchiveSettings) -> Result<Vec<Listed>, Error> {
    let ArchiveSettings { directory, name, .. } = settings;
    let names = directory.names(|file| name.archived_form(file).is_some())?;
    let mut listed = Vec::with_capacity(names.len());
    for file in names {
        let Some(form) = name.archived_form(&file) else {
            continue;
        };
        // It may be gone by now; that is no reason not to look at the others.
        if let Some(state) = directory.look_at(&file)? {
            listed.push(Listed { name: file, form, state });
        }
    }
    Ok(listed)
}

/// Under which name the compressed form of a file is made: hidden, so that nobody takes it for done.
#[cfg(feature = "zstd")]
pub(super) fn part_name(name: &OsStr) -> OsString {
    let mut part = OsString::from(".");
    part.push(names::compressed_name(name));
    part.push(PART_SUFFIX);
    part
}

const PART_SUFFIX: &str = ".part";

/// Whether a name is one that [`part_name`] makes for this log.
pub(super) fn is_part_name(settings: &ArchiveSettings, name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    let inner = bytes.strip_prefix(b".").and_then(|rest| rest.strip_suffix(PART_SUFFIX.as_bytes()));
    inner.is_some_and(|inner| {
        let inner = std::os::unix::ffi::OsStrExt::from_bytes(inner);
        settings.name.archived_form(inner) == Some(Form::Compressed)
    })
}

/// What was read of a file. It is not read again as long as it is the same file with the same length: a
/// directory may have thousands of them, and before one is deleted its start is read once more anyway.
#[derive(Clone, Debug)]
struct Known {
    state: FileState,
    /// `None`: it is no segment.
    start: Option<Prefix>,
    /// `None`: was not looked for. Inside: of a file without an end.
    last_time: Option<Option<i64>>,
}

/// What was read of the files of a log.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    known: HashMap<OsString, Known>,
    /// Whether a segment was not compressed because of an error.
    pub(super) is_behind: bool,
}

impl Catalog {
    /// Which segment a file is; `None` if it is none, or cannot be read.
    pub(super) fn lineage(&mut self, directory: &Directory, file: &Listed) -> Option<Lineage> {
        self.look(directory, file, false)?.start.as_ref().map(names::lineage)
    }

    /// The segments among the files, as retention wants them, and which file each of them is. `with_ends`:
    /// their last times are wanted.
    pub(super) fn segments(
        &mut self,
        directory: &Directory,
        files: &[Listed],
        with_ends: bool,
    ) -> (Vec<ArchivedFile>, Vec<usize>) {
        let mut segments = (Vec::new(), Vec::new());
        for (index, file) in files.iter().enumerate() {
            let Some(Known { start: Some(start), last_time, .. }) =
                self.look(directory, file, with_ends)
            else {
                continue;
            };
            segments.0.push(ArchivedFile {
                path: PathBuf::from(&file.name),
                lineage: names::lineage(start),
                bytes: file.state.len,
                started: start.time,
                last_time: last_time.flatten(),
            });
            segments.1.push(index);
        }
        segments
    }

    /// Forgets what is not there any more.
    pub(super) fn forget_all_but(&mut self, files: &[Listed]) {
        if self.known.len() > files.len() {
            let names: std::collections::HashSet<_> = files.iter().map(|file| &file.name).collect();
            self.known.retain(|name, _| names.contains(name));
        }
    }

    fn look(&mut self, directory: &Directory, file: &Listed, with_end: bool) -> Option<&Known> {
        let known = self.known.get(&file.name);
        let is_known = known.is_some_and(|known| {
            let has_all = !with_end || known.start.is_none() || known.last_time.is_some();
            known.state == file.state && has_all
        });
        if !is_known {
            self.known.remove(&file.name);
            // One that cannot be read takes no part now, and is tried again.
            let known = read(directory, file, with_end).ok()??;
            self.known.insert(file.name.clone(), known);
        }
        self.known.get(&file.name)
    }
}

/// `None`: it is another file by now.
fn read(directory: &Directory, file: &Listed, with_end: bool) -> Result<Option<Known>, Error> {
    let Some((open, state)) = directory.open_regular(&file.name)? else {
        return Ok(None);
    };
    if state != file.state {
        return Ok(None);
    }
    let failed =
        |error| Error::io("cannot read", error).at_path(&directory.path().join(&file.name));
    let start = names::archived_start(&open, file.form).map_err(failed)?;
    let last_time = match &start {
        Some(start) if with_end => Some(last_time(&open, file, start).map_err(failed)?),
        _ => None,
    };
    Ok(Some(Known { state, start, last_time }))
}

/// When the last record was written, if the file ends with an end that belongs to its start.
fn last_time(open: &File, file: &Listed, start: &Prefix) -> io::Result<Option<i64>> {
    let Some((at, bytes)) = end_bytes(open, file, start.align as usize)? else {
        return Ok(None);
    };
    Ok(match metadata::decode(&bytes) {
        Ok((prefix, Metadata::End(totals)))
            if prefix.offset == at && names::lineage(&prefix) == names::lineage(start) =>
        {
            // A session that was opened and closed without a record says nothing of those before it.
            Some(if totals.last_time == 0 { prefix.time } else { totals.last_time })
        }
        _ => None,
    })
}

/// The last `align` bytes of the segment, and where they are in it.
fn end_bytes(open: &File, file: &Listed, align: usize) -> io::Result<Option<(u64, Vec<u8>)>> {
    match file.form {
        Form::Plain => {
            let Some(at) = file.state.len.checked_sub(align as u64) else {
                return Ok(None);
            };
            let mut bytes = vec![0; align];
            open.read_exact_at(&mut bytes, at)?;
            Ok(Some((at, bytes)))
        }
        #[cfg(feature = "zstd")]
        Form::Compressed => {
            let Some(mut frames) = crate::write::archive::inflate::Frames::of(open)? else {
                return Ok(None);
            };
            let at = frames.content_len().checked_sub(align as u64);
            let bytes = frames.last(align)?;
            Ok(at.filter(|_| bytes.len() == align).map(|at| (at, bytes.to_vec())))
        }
        #[cfg(not(feature = "zstd"))]
        Form::Compressed => Ok(None),
    }
}
