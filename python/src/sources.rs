//! Finds the logs that paths mean.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use asynclogger::{
    Error, ErrorKind,
    read::{LogDir, ReadAt, ReadOptions, Reader, Scan},
};

use crate::{error::Failure, part::Names};

/// The logs that were found, by the names of their last files.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) logs: Vec<LogDir>,
    /// Files of the directories that have a log's name, and cannot be read or are not logs.
    pub(crate) unreadable: Vec<Error>,
}

/// Finds the logs of `paths`. A directory means all its logs with all their segments, or with `event` the logs of that
/// event. Files mean themselves: those of one log are read as one log, and no other file of their directories is.
pub(crate) fn find(
    paths: &[PathBuf],
    event: Option<&OsStr>,
    options: ReadOptions,
) -> Result<Sources, Failure> {
    let mut sources = Sources::default();
    let (directories, files): (Vec<&PathBuf>, Vec<&PathBuf>) =
        paths.iter().partition(|path| path.is_dir());
    if let (Some(_), Some(file)) = (event, files.first()) {
        let file = file.display();
        let text =
            format!("{file} is not a directory; an event is the name of a log in a directory");
        return Err(Failure::Usage(text));
    }
    for directory in directories {
        let mut found = options.scan(directory)?;
        if let Some(event) = event {
            found.logs.retain(|log| is_of(log, event));
        }
        if found.logs.is_empty() {
            return Err(Failure::NoLog(there_is_none(directory, event)));
        }
        sources.add(found);
    }
    if !files.is_empty() {
        let found = files_alone(&files, options)?;
        sources.add(found);
    }
    Ok(sources)
}

/// Opens exactly these files. All of them have to be logs.
pub(crate) fn files_alone(
    files: &[impl AsRef<Path>],
    options: ReadOptions,
) -> Result<Scan, Failure> {
    let mut opened: Vec<(PathBuf, Arc<dyn ReadAt>)> = Vec::with_capacity(files.len());
    for file in files {
        let path = file.as_ref();
        // Opening a reader says what else the path can be, and opens no pipe.
        let _ = Reader::open(path)?;
        match File::open(path) {
            Ok(file) => opened.push((path.to_path_buf(), Arc::new(file))),
            // The reader's error names the operation and the path.
            Err(_) => return Reader::open(path).map_err(Failure::from).and_then(|_| gone(path)),
        }
    }
    let found = options.scan_given(opened);
    match found.unreadable.first() {
        Some(error) => Err(error.clone().into()),
        None => Ok(found),
    }
}

fn gone(path: &Path) -> Result<Scan, Failure> {
    Err(Failure::NoLog(format!("{}: the file was renamed while it was opened", path.display())))
}

impl Sources {
    fn add(&mut self, mut found: Scan) {
        found.logs.sort_by_cached_key(|log| log.segments().last().map(|last| last.path.clone()));
        self.logs.append(&mut found.logs);
        self.unreadable.append(&mut found.unreadable);
    }
}

/// Whether the file is certainly not a log, so that nothing is missed without it.
pub(crate) fn is_no_log(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotALog | ErrorKind::NotAFile)
}

/// Whether a segment has this name, or the log is shown under this name: one that is not UTF-8 is shown with replacements,
/// and a log without a name has that of its file.
fn is_of(log: &LogDir, event: &OsStr) -> bool {
    log.segments().iter().any(|segment| segment.name == event.as_bytes())
        || Names::of(log).event.as_bytes() == event.as_bytes()
}

fn there_is_none(directory: &Path, event: Option<&OsStr>) -> String {
    let directory = directory.display();
    match event {
        Some(event) => {
            format!("{directory}: there is no log of the event {event:?} in this directory")
        }
        None => format!("{directory}: there is no log in this directory"),
    }
}
