//! What was shipped, in a file beside the segments, so that a shipper that died is continued.
//!
//! One JSON object a line, each durable before the next step. A line that a crash has torn is cut off. The journal is a
//! memory, not the truth: without it, what is in the store is found by looking there.

mod state;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

pub(crate) use self::state::{Line, State};
use crate::{Error, ErrorKind};

/// A journal of more lines is rewritten when nothing is open.
const MOST_LINES: usize = 1000;

/// The journal of one directory and one destination; open, no other process has it.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
    state: State,
    /// A line was perhaps written in part.
    is_torn: bool,
    /// Holds the lock. Beside the journal, since that is replaced.
    _lock: File,
}

impl Journal {
    pub(crate) fn open(dir: &Path, destination: &str) -> Result<Journal, Error> {
        let name = format!(".asynclogger-ship-{:016x}", hash(destination));
        let lock = lock(&dir.join(format!("{name}.lock")))?;
        let path = dir.join(format!("{name}.jsonl"));
        let state = match fs::read(&path) {
            Ok(bytes) => read(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(Error::local("read", &path)(error)),
        };
        let (file, lines) = rewrite(&path, &state).map_err(Error::local("write", &path))?;
        Ok(Journal { path, file, lines, state, is_torn: false, _lock: lock })
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Adds a line. When this returns, the line outlives a power cut.
    pub(crate) fn add(&mut self, line: Line) -> Result<(), Error> {
        if self.is_torn {
            self.rewrite()?;
        }
        self.is_torn = true;
        let written = append(&mut self.file, &line);
        written.map_err(Error::local("write", &self.path))?;
        self.is_torn = false;
        self.lines += 1;
        self.state.apply(line);
        match self.lines > MOST_LINES && self.state.batch.is_none() {
            true => self.rewrite(),
            false => Ok(()),
        }
    }

    fn rewrite(&mut self) -> Result<(), Error> {
        let rewritten = rewrite(&self.path, &self.state);
        (self.file, self.lines) = rewritten.map_err(Error::local("write", &self.path))?;
        self.is_torn = false;
        Ok(())
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(path);
    let file = file.map_err(Error::local("open", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let text =
                format!("another shipper ships to this destination: it holds {}", path.display());
            Err(Error::new(ErrorKind::InUse, text))
        }
        Err(error) => Err(Error::local("lock", path)(error.into())),
    }
}

/// The lines up to the first one that is none.
fn read(bytes: &[u8]) -> State {
    let mut state = State::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let Ok(line) = serde_json::from_slice(line) else { break };
        state.apply(line);
    }
    state
}

/// The new journal takes the place of the old one when it is durable.
fn rewrite(path: &Path, state: &State) -> io::Result<(File, usize)> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    let lines = state.lines();
    let mut text = Vec::new();
    for line in &lines {
        render(&mut text, line)?;
    }
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok((file, lines.len()))
}

fn append(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = Vec::new();
    render(&mut text, line)?;
    file.write_all(&text)?;
    file.sync_data()
}

fn render(text: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}

/// FNV-1a: the name of a journal is the same in every version.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::FileEntry;

    fn shipped(segment: u64) -> Line {
        Line::Shipped { file: FileEntry { log: "l".to_owned(), segment, ..FileEntry::default() } }
    }

    fn journal(dir: &Path) -> PathBuf {
        dir.join(format!(".asynclogger-ship-{:016x}.jsonl", hash("d")))
    }

    #[test]
    fn a_journal_survives_its_process_and_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Journal::open(dir.path(), "d").unwrap();
        first.add(shipped(1)).unwrap();
        first.add(shipped(2)).unwrap();
        assert_eq!(Journal::open(dir.path(), "d").unwrap_err().kind(), ErrorKind::InUse);
        drop(Journal::open(dir.path(), "other").unwrap());
        drop(first);
        let path = journal(dir.path());
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let opened = Journal::open(dir.path(), "d").unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(opened.state().files.len(), lines, "cut at {cut}");
        }
    }

    #[test]
    fn a_long_journal_is_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal_ = Journal::open(dir.path(), "d").unwrap();
        for segment in 1..=MOST_LINES as u64 {
            journal_.add(shipped(segment)).unwrap();
        }
        let key = || "m".to_owned();
        journal_.add(Line::Batch { key: key(), files: MOST_LINES, gaps: 0 }).unwrap();
        journal_.add(Line::Done { key: key() }).unwrap();
        assert_eq!(journal_.lines, 1);
        journal_.add(shipped(2000)).unwrap();
        drop(journal_);
        let opened = Journal::open(dir.path(), "d").unwrap();
        assert!(opened.state().is_shipped("l", 1) && opened.state().is_shipped("l", 1000));
        assert!(!opened.state().is_shipped("l", 1001) && opened.state().is_shipped("l", 2000));
        assert!(fs::metadata(journal(dir.path())).unwrap().len() < 1000);
    }
}
