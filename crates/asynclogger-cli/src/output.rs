//! The two outputs: data go to standard output, messages go to standard error. Neither panics when its reader
//! has gone.

use std::{
    fmt,
    io::{self, BufWriter, IsTerminal, Write},
    sync::OnceLock,
};

use crate::{
    paint::Paint,
    show::plain,
    system::{self, Stdout},
};

/// Size of the output buffer, in bytes: large enough that the cost of a write call does not matter beside its
/// records.
const BUFFER_BYTES: usize = 256 << 10;

/// Standard output with a buffer for blocks; the one of std is buffered by lines.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    is_terminal: bool,
}

impl Output {
    pub(crate) fn open() -> io::Result<Output> {
        let is_terminal = io::stdout().is_terminal();
        let out = BufWriter::with_capacity(BUFFER_BYTES, system::stdout()?);
        Ok(Output { out, is_terminal })
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Standard output itself, behind the buffer.
    pub(crate) fn stdout(&self) -> &Stdout {
        self.out.get_ref()
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

/// Another way for messages: [`divert`].
struct Diversion {
    take: Box<dyn Fn(String) + Send + Sync>,
    finish: Box<dyn Fn() + Send + Sync>,
}

static DIVERSION: OnceLock<Diversion> = OnceLock::new();

/// From now on `take` gets each message, and `finish` is called at the end of the process. Only the first call has an
/// effect.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only `write` has another way"))]
pub(crate) fn divert(
    take: impl Fn(String) + Send + Sync + 'static,
    finish: impl Fn() + Send + Sync + 'static,
) {
    DIVERSION.get_or_init(|| Diversion { take: Box::new(take), finish: Box::new(finish) });
}

/// Waits, for a limited time, until diverted messages are printed.
pub(crate) fn finish() {
    if let Some(diversion) = DIVERSION.get() {
        (diversion.finish)();
    }
}

/// Prints a message on standard error.
pub(crate) fn say(what: impl fmt::Display) {
    send(line("asynclogger:", what));
}

/// Prints why a command could not do its work.
pub(crate) fn say_failure(what: impl fmt::Display) {
    send(line(Paint::stderr().bad("asynclogger:"), what));
}

/// One line of standard error. Names of files are in it, which can have control characters.
pub(crate) fn line(prefix: impl fmt::Display, what: impl fmt::Display) -> String {
    format!("{prefix} {}\n", plain(&what.to_string()))
}

fn send(line: String) {
    match DIVERSION.get() {
        Some(diversion) => (diversion.take)(line),
        None => {
            // If standard error is gone, nobody is left to report the error to.
            let _ = print(&line);
        }
    }
}

/// Prints a line on standard error, on this thread. `false` if the line cannot be written.
pub(crate) fn print(line: &str) -> bool {
    // One write call per line, so that lines of the logger's thread and of this one do not mix.
    io::stderr().write_all(line.as_bytes()).is_ok()
}
