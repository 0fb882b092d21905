//! From the paths that were typed to the files and logs that are meant.

use std::path::{Path, PathBuf};

use asynclogger::{ErrorKind, read::LogDir};

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
/// being read; only our own output failing does.
pub(crate) fn for_each_source(
    input: &InputArgs,
    mut each: impl FnMut(Source) -> Result<Answer, Problem>,
) -> Result<Told, Failure> {
    let mut told = Told { answer: Answer::Fine, unread: 0 };
    for path in &input.paths {
        let sources = match find(path, input.all) {
            Ok(sources) => sources,
            Err(problem) => {
                told.unread(problem.say()?);
                continue;
            }
        };
        if sources.is_empty() {
            say(format_args!("{}: there is no log in this directory", path.display()));
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

fn find(path: &Path, all: bool) -> Result<Vec<Source>, Problem> {
    if path.is_dir() {
        let mut logs = LogDir::scan(path)?;
        // By the name of the active file: that of the log.
        logs.sort_by_cached_key(|log| log.segments().last().map(|segment| segment.path.clone()));
        Ok(logs.into_iter().map(|log| Source::Log(Box::new(log))).collect())
    } else if all {
        Ok(vec![Source::Log(Box::new(LogDir::open(path)?))])
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
                say(&error);
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
