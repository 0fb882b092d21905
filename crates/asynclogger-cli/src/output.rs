//! The two ways out: data to standard output, talk to standard error. Neither panics when nobody listens.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    os::fd::{AsFd, BorrowedFd},
};

use crate::talk;

/// Enough that a write call costs nothing beside the records in it.
const BUFFER_BYTES: usize = 256 << 10;

/// Standard output, buffered by blocks: std's own is buffered by lines.
pub(crate) struct Output {
    out: BufWriter<File>,
    is_terminal: bool,
}

impl Output {
    pub(crate) fn open() -> io::Result<Output> {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let file = File::from(stdout.as_fd().try_clone_to_owned()?);
        Ok(Output { out: BufWriter::with_capacity(BUFFER_BYTES, file), is_terminal })
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.out.get_ref().as_fd()
    }
}

impl Write for Output {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Says something on standard error.
pub(crate) fn say(what: impl fmt::Display) {
    if let Err(line) = talk::say(what.to_string()) {
        print(&line);
    }
}

/// Prints a line on standard error, by this thread.
pub(crate) fn print(line: &str) {
    // One write call a line, so that lines of the logger's thread and ours do not mix. If standard error
    // is gone there is nobody left to be told.
    let _ = io::stderr().write_all(format!("asynclogger: {line}\n").as_bytes());
}
