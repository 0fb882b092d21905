//! Finds the files and logs that the typed paths mean.

use std::path::{Path, PathBuf};

use asynclogger::{
    Error, ErrorKind,
    read::{LogDir, ReadOptions, Scan},
};

use crate::{
    args::InputArgs,
    outcome::{Answer, Failure},
    output::say,
    remote,
};

/// Something to read.
pub(crate) enum Source {
    /// One file, by itself.
    File(PathBuf),
    /// All segments of a log, in order.
    Log(Box<LogDir>),
}

/// The result of reading all sources.
pub(crate) struct Told {
    pub(crate) answer: Answer,
    /// The number of paths and files that could not be read or are not logs; each was reported.
    pub(crate) unread: u64,
}

/// Calls `each` with every source that the paths mean. A source that cannot be read is reported, and the
/// others are still read; only a failure of our own output ends the reading. Logs are opened with `options`.
pub(crate) fn for_each_source(
    input: &InputArgs,
    options: ReadOptions,
    mut each: impl FnMut(Source) -> Result<Answer, Problem>,
) -> Result<Told, Failure> {
    let mut told = Told { answer: Answer::Fine, unread: 0 };
    let event = input.event.as_deref();
    input.paths.iter().try_for_each(|path| check_event_of(path, event))?;
    for path in &input.paths {
        let found = match find(path, input, options) {
            Ok(found) => found,
            Err(problem) => {
                told.unread(problem.say()?);
                continue;
            }
        };
        for error in found.unreadable {
            // `--event` asks for one log, so files that are certainly not logs are not reported.
            if event.is_none() || !is_no_log(&error) {
                told.unreadable(error, found.is_directory, path)?;
            }
        }
        if found.sources.is_empty() {
            say(there_is_none(path, event));
            told.unread(Answer::No);
        }
        for source in found.sources {
            if let Source::Log(log) = &source {
                say_copies(log);
            }
            match each(source) {
                Ok(answer) => told.answer = told.answer.and(answer),
                Err(problem) => told.unread(problem.say()?),
            }
        }
    }
    Ok(told)
}

/// The sources that a path means.
struct Found {
    sources: Vec<Source>,
    /// Errors of further files that cannot be read. With `is_directory` the path meant the whole directory.
    unreadable: Vec<Error>,
    is_directory: bool,
}

impl Told {
    fn unread(&mut self, answer: Answer) {
        self.answer = self.answer.and(answer);
        self.unread += 1;
    }

    /// Reports a file of a directory that cannot be read. A file that is not a log does not count as unread;
    /// neither does a file whose name differs from that of the one log that was asked for.
    fn unreadable(&mut self, error: Error, is_directory: bool, path: &Path) -> Result<(), Failure> {
        let is_missed = !is_no_log(&error);
        let is_named_like = error.path().is_some_and(|other| has_base_of(other, path));
        let answer = Problem::Source(error).say()?;
        if is_missed && (is_directory || is_named_like) {
            self.unread(answer);
        }
        Ok(())
    }
}

/// Whether the file is certainly not a log.
fn is_no_log(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotALog | ErrorKind::NotAFile)
}

/// Whether a file has the name of a segment of the log at `path`.
fn has_base_of(other: &Path, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let base = name.strip_suffix(b".log").unwrap_or(name);
    other.file_name().is_some_and(|other| other.as_encoded_bytes().starts_with(base))
}

/// Reports the files that are copies of segments.
pub(crate) fn say_copies(log: &LogDir) {
    for copy in log.copies() {
        let read = log.segments().iter().find(|segment| segment.id == copy.id);
        let Some(read) = read.map(|segment| segment.path.display()) else { continue };
        let (path, id) = (copy.path.display(), copy.id);
        say(format_args!("{path}: a copy of segment {id}, which is read from {read}"));
    }
}

/// The error for `--event` with a path that is not a directory. An event is found by its name in the files of
/// a directory, because a file can have another name.
pub(crate) fn check_event_of(path: &Path, event: Option<&str>) -> Result<(), Failure> {
    if event.is_none() || path.is_dir() || !path.exists() || remote::is_url(path) {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::Usage(format!("{path} is not a directory; --event names a log in a directory")))
}

pub(crate) fn there_is_none(path: &Path, event: Option<&str>) -> String {
    let place = if remote::is_url(path) { "under this URL" } else { "in this directory" };
    let path = path.display();
    match event {
        Some(event) => format!("{path}: there is no log of the event {event:?} {place}"),
        None => format!("{path}: there is no log {place}"),
    }
}

/// The logs in a directory, or the logs of one event, sorted by the names of their active files.
pub(crate) fn logs_of(
    directory: &Path,
    event: Option<&str>,
    options: ReadOptions,
) -> Result<Scan, Error> {
    let mut scan = options.scan(directory)?;
    choose_logs(&mut scan, event);
    Ok(scan)
}

fn choose_logs(scan: &mut Scan, event: Option<&str>) {
    let logs = &mut scan.logs;
    if let Some(event) = event {
        let name = event.as_bytes();
        logs.retain(|log| log.segments().iter().any(|segment| segment.name == name));
    }
    logs.sort_by_cached_key(|log| log.segments().last().map(|segment| segment.path.clone()));
}

fn find(path: &Path, input: &InputArgs, options: ReadOptions) -> Result<Found, Problem> {
    let found = match remote::url_of(path) {
        Some(url) => Some(remote::scan(url, options)?),
        None if path.is_dir() => Some(options.scan(path)?),
        None => None,
    };
    if let Some(mut scan) = found {
        choose_logs(&mut scan, input.event.as_deref());
        let Scan { logs, unreadable, .. } = scan;
        let sources = logs.into_iter().map(|log| Source::Log(Box::new(log))).collect();
        return Ok(Found { sources, unreadable, is_directory: true });
    }
    let (source, unreadable) = if input.all {
        let log = options.open_log(path)?;
        let unreadable = log.unreadable().to_vec();
        (Source::Log(Box::new(log)), unreadable)
    } else {
        (Source::File(path.to_path_buf()), Vec::new())
    };
    Ok(Found { sources: vec![source], unreadable, is_directory: false })
}

/// A failure with one source.
pub(crate) enum Problem {
    /// The source cannot be read; the command continues with the next one.
    Source(Error),
    /// The same for a place in an object store.
    #[cfg(feature = "remote")]
    Store(asynclogger_store::Error),
    /// The output cannot be written, or the request makes no sense, so the command ends.
    Output(Failure),
}

impl Problem {
    /// Reports the failure of a source, and returns the answer for the source.
    pub(crate) fn say(self) -> Result<Answer, Failure> {
        match self {
            Problem::Output(failure) => Err(failure),
            #[cfg(feature = "remote")]
            Problem::Store(error) => {
                say(error);
                Ok(Answer::Unread)
            }
            Problem::Source(error) => {
                say(format_args!("{error:#}"));
                Ok(match error.kind() {
                    // The file could be read; its bytes are at fault.
                    ErrorKind::NotALog | ErrorKind::UnsupportedVersion => Answer::No,
                    _ => Answer::Unread,
                })
            }
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::Source(error)
    }
}

#[cfg(feature = "remote")]
impl From<asynclogger_store::Error> for Problem {
    fn from(error: asynclogger_store::Error) -> Problem {
        match error.kind() {
            asynclogger_store::ErrorKind::Invalid => Failure::Usage(error.to_string()).into(),
            _ => Problem::Store(error),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        Problem::Output(failure)
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Problem {
        Problem::Output(error.into())
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Problem {
        Problem::Output(error.into())
    }
}
