//! The archived files of a log: found by their names, known by their starts.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
};

use crate::{
    Error, ErrorKind,
    format::Lineage,
    io::{Directory, FileState},
    probe::{Origin, Packing},
    write::archive::{LogName, open_segment, over, retention::ArchivedFile},
};

/// A regular file whose name is that of an archived segment of the log. The name does not prove that the file belongs
/// to the log.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) name: OsString,
    pub(super) packing: Packing,
    pub(super) state: FileState,
}

impl Candidate {
    /// Deletes the file if it still is the listed file, and its start proves once more that it is this segment of this
    /// log.
    ///
    /// # Errors
    /// If the name belongs to another file by now, or a logger writes the file; the system's errors. The file stays
    /// then.
    pub(super) fn delete(
        &self,
        directory: &Directory,
        segment: (Lineage, &[u8]),
    ) -> Result<(), Error> {
        let listed = (&*self.name, self.packing, &self.state);
        over::delete(directory, listed, segment).map(|_| ())
    }
}

/// The files that have names of archived segments now.
///
/// # Errors
/// The system's errors.
pub(super) fn list(directory: &Directory, name: &LogName) -> Result<Vec<Candidate>, Error> {
    let names = directory.names(|file| name.packing_of(file).is_some())?;
    let mut listed = Vec::with_capacity(names.len());
    for file in names {
        let Some(packing) = name.packing_of(&file) else {
            continue;
        };
        // A file that is gone by now, or cannot be looked at, is left out; the others count all the same.
        if let Ok(Some(state)) = directory.look_at(&file) {
            listed.push(Candidate { name: file, packing, state });
        }
    }
    Ok(listed)
}

/// The result of reading a file. The file is not read again while identity and length stay the same: a directory can
/// have thousands of files, and before a deletion the file's start is read once more anyway.
#[derive(Clone, Debug)]
struct Known {
    state: FileState,
    /// `None`: the file is no segment.
    origin: Option<Origin>,
    /// `None`: not looked for. `Some(None)`: the file has no end.
    last_time: Option<Option<i64>>,
}

/// The results of reading the files of a log.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    known: HashMap<OsString, Known>,
    /// Whether a segment was not compressed because of an error.
    pub(super) is_behind: bool,
    /// The files that could not be compressed, and were reported to the user as they are.
    pub(super) told_plain: HashSet<OsString>,
}

impl Catalog {
    /// The segment, of the log with this full name, that a file holds; `None` if the file holds none, or cannot be
    /// read.
    pub(super) fn lineage(
        &mut self,
        directory: &Directory,
        file: &Candidate,
        full_name: &[u8],
    ) -> Option<Lineage> {
        self.segment(directory, file, full_name, false).map(|segment| segment.lineage)
    }

    /// The segments of this log among the files, described for retention, each with its file. `with_ends`: with the
    /// times of their last records.
    pub(super) fn segments(
        &mut self,
        directory: &Directory,
        files: Vec<Candidate>,
        full_name: &[u8],
        with_ends: bool,
    ) -> (Vec<ArchivedFile>, Vec<Candidate>) {
        let segments = files.into_iter().filter_map(|file| {
            self.segment(directory, &file, full_name, with_ends).map(|segment| (segment, file))
        });
        segments.unzip()
    }

    fn segment(
        &mut self,
        directory: &Directory,
        file: &Candidate,
        full_name: &[u8],
        with_end: bool,
    ) -> Option<ArchivedFile> {
        let Known { origin, last_time, .. } = self.look(directory, file, with_end)?;
        let origin = origin.as_ref().filter(|origin| origin.name == full_name)?;
        Some(ArchivedFile {
            lineage: origin.lineage(),
            bytes: file.state.on_disk,
            started: origin.prefix.time,
            last_time: last_time.flatten(),
        })
    }

    /// Forgets files that do not exist any more.
    pub(super) fn forget_all_but(&mut self, files: &[Candidate]) {
        if self.known.len() > files.len() || !self.told_plain.is_empty() {
            let names: HashSet<_> = files.iter().map(|file| &file.name).collect();
            self.known.retain(|name, _| names.contains(name));
            self.told_plain.retain(|name| names.contains(name));
        }
    }

    fn look(&mut self, directory: &Directory, file: &Candidate, with_end: bool) -> Option<&Known> {
        let known = self.known.get(&file.name);
        let is_known = known.is_some_and(|known| {
            let has_all = !with_end || known.origin.is_none() || known.last_time.is_some();
            known.state.is_same(&file.state) && has_all
        });
        if !is_known {
            self.known.remove(&file.name);
            // A file that cannot be read takes no part now, and is read again the next time.
            let known = read(directory, file, with_end).ok()??;
            self.known.insert(file.name.clone(), known);
        }
        self.known.get(&file.name)
    }
}

/// Reads a file. `None`: the name belongs to another file by now.
fn read(directory: &Directory, file: &Candidate, with_end: bool) -> Result<Option<Known>, Error> {
    let (mut source, state) = match open_segment(directory, &file.name, file.packing) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotALog => {
            return Ok(Some(Known { state: file.state, origin: None, last_time: None }));
        }
        Err(error) => return Err(error),
    };
    if !state.is_same(&file.state) {
        return Ok(None);
    }
    let origin = Origin::read(&mut source)?.ok();
    let last_time = match &origin {
        Some(origin) if with_end => Some(origin.last_time(&mut source)?),
        _ => None,
    };
    Ok(Some(Known { state, origin, last_time }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Thousands of files are not read again in each round, and deleted ones take no memory.
    #[test]
    fn files_are_known_as_long_as_they_exist() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = Directory::open_or_create(home.path()).expect("a directory");
        let name = LogName::of(Path::new("app.log")).expect("a name");
        // None of them is a segment, and the last one is not even compressed.
        let files = ["app_2026-01-01_00-00-00.log", "app_2026-01-01_00-00-00.1.log"];
        let files = [files[0], files[1], "app_2026-01-01_00-00-01.log.zst"];
        for file in files {
            std::fs::write(home.path().join(file), "something else").expect("a file");
        }
        let mut catalog = Catalog::default();
        let look = |catalog: &mut Catalog| {
            let found = list(&directory, &name).expect("files");
            for file in &found {
                assert_eq!(catalog.lineage(&directory, file, b"app"), None);
            }
            catalog.forget_all_but(&found);
            (found.len(), catalog.known.len())
        };
        let all = if cfg!(feature = "zstd") { 3 } else { 2 };
        assert_eq!(look(&mut catalog), (3, all));
        std::fs::remove_file(home.path().join(files[0])).expect("removed");
        assert_eq!(look(&mut catalog), (2, all - 1));
    }
}
