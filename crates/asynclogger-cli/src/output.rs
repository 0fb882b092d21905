//! The two outputs: data go to standard output, messages go to standard error. Neither panics when its reader
//! has gone.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    os::fd::{AsFd, BorrowedFd},
};

use crate::{show::plain, talk};

/// Size of the output buffer, in bytes: large enough that the cost of a write call does not matter beside its
/// records.
const BUFFER_BYTES: usize = 256 << 10;

/// Standard output with a buffer for blocks; the one of std is buffered by lines.
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

/// Prints a message on standard error.
pub(crate) fn say(what: impl fmt::Display) {
    if let Err(line) = talk::say(what.to_string()) {
        print(&line);
    }
}

/// Prints a line on standard error, on this thread. `false` if the line cannot be written.
pub(crate) fn print(line: &str) -> bool {
    // Names of files are in it, which can have control characters.
    let line = plain(line);
    // One write call per line, so that lines of the logger's thread and of this one do not mix. If standard
    // error is gone, nobody is left to report the error to.
    io::stderr().write_all(format!("asynclogger: {line}\n").as_bytes()).is_ok()
}
