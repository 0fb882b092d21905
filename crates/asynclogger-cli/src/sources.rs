//! From the paths that were typed to the files and logs that are meant.

use std::path::{Path, PathBuf};

use asynclogger::{
    ErrorKind,
    read::{LogDir, ReadOptions},
};

use crate::{
    args::InputArgs,
    outcome::{Answer, Failure},
    output::say,
};

/// Something to read.
pub(crate) enum Source {
    /// One file, by itself.
    File(PathBuf),
    /// All segments of a log, in order.
    Log(Box<LogDir>),
}

/// How reading all that was meant went.
pub(crate) struct Told {
    pub(crate) answer: Answer,
    /// Paths and files that could not be read, or are no logs; each was said.
    pub(crate) unread: u64,
}

/// Does `each` with everything that is meant. What cannot be read is said, and does not keep the others from
/// being read; only our own output failing does. Logs are opened with `options`.
pub(crate) fn for_each_source(
    input: &InputArgs,
    options: ReadOptions,
    mut each: impl FnMut(Source) -> Result<Answer, Problem>,
) -> Result<Told, Failure> {
    let mut told = Told { answer: Answer::Fine, unread: 0 };
    let event = input.event.as_deref();
    input.paths.iter().try_for_each(|path| check_event_of(path, event))?;
    for path in &input.paths {
        let sources = match find(path, input, options) {
            Ok(sources) => sources,
            Err(problem) => {
                told.unread(problem.say()?);
                continue;
            }
        };
        if sources.is_empty() {
            say(there_is_none(path, event));
            told.unread(Answer::No);
        }
        for source in sources {
            match each(source) {
                Ok(answer) => told.answer = told.answer.and(answer),
                Err(problem) => told.unread(problem.say()?),
            }
        }
    }
    Ok(told)
}

impl Told {
    fn unread(&mut self, answer: Answer) {
        self.answer = self.answer.and(answer);
        self.unread += 1;
    }
}

/// An event is looked for in directories: by its name in the files, which a file's own name need not be.
pub(crate) fn check_event_of(path: &Path, event: Option<&str>) -> Result<(), Failure> {
    if event.is_none() || path.is_dir() || !path.exists() {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::Usage(format!("{path} is no directory: --event names a log of a directory")))
}

pub(crate) fn there_is_none(path: &Path, event: Option<&str>) -> String {
    let path = path.display();
    match event {
        Some(event) => format!("{path}: there is no log of the event {event:?} in this directory"),
        None => format!("{path}: there is no log in this directory"),
    }
}

/// The logs in a directory, or those of one event: by the names of their active files.
pub(crate) fn logs_of(
    directory: &Path,
    event: Option<&str>,
    options: ReadOptions,
) -> Result<Vec<LogDir>, asynclogger::Error> {
    let mut logs = options.scan(directory)?;
    if let Some(event) = event {
        let name = event.as_bytes();
        logs.retain(|log| log.segments().iter().any(|segment| segment.name == name));
    }
    logs.sort_by_cached_key(|log| log.segments().last().map(|segment| segment.path.clone()));
    Ok(logs)
}

fn find(path: &Path, input: &InputArgs, options: ReadOptions) -> Result<Vec<Source>, Problem> {
    if path.is_dir() {
        let logs = logs_of(path, input.event.as_deref(), options)?;
        Ok(logs.into_iter().map(|log| Source::Log(Box::new(log))).collect())
    } else if input.all {
        Ok(vec![Source::Log(Box::new(options.open_log(path)?))])
    } else {
        Ok(vec![Source::File(path.to_path_buf())])
    }
}

/// What can go wrong with one source.
pub(crate) enum Problem {
    /// It cannot be read: go on with the next.
    Source(asynclogger::Error),
    /// The output cannot be written: there is nothing to go on for.
    Output(Failure),
}

impl Problem {
    /// Says what is wrong with a source; its answer.
    pub(crate) fn say(self) -> Result<Answer, Failure> {
        match self {
            Problem::Output(failure) => Err(failure),
            Problem::Source(error) => {
                say(format_args!("{error:#}"));
                Ok(match error.kind() {
                    // The system gave us the bytes; the bytes are the bad news.
                    ErrorKind::NotALog | ErrorKind::UnsupportedVersion => Answer::No,
                    _ => Answer::Unread,
                })
            }
        }
    }
}

impl From<asynclogger::Error> for Problem {
    fn from(error: asynclogger::Error) -> Problem {
        Problem::Source(error)
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
