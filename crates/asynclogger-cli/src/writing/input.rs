//! Standard input, line by line, until it ends or a signal asks for the end.

use std::{
    io::{self, IsTerminal, Stdin},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    lines::{Line, Lines},
    signals::{Ready, Signals},
};
use crate::{outcome::Failure, output::say};

/// The input counts as paused when nothing came for this time.
const PAUSE: Duration = Duration::from_millis(500);

/// Standard input.
pub(crate) struct Input {
    stdin: Stdin,
    is_terminal: bool,
}

impl Input {
    pub(crate) fn open() -> Input {
        let stdin = io::stdin();
        // With the default size of a pipe, 64 KiB, its writer has to be woken for every 64 KiB. The call
        // fails, without harm, if the owner of the pipe is at the limit or if standard input is a file.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdin, 1 << 20);
        let is_terminal = stdin.is_terminal();
        Input { stdin, is_terminal }
    }

    /// Whether a person types the input.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Passes every line to `each`, or the beginning of a line of more than `max` bytes. Calls `paused` once
    /// each time the input pauses.
    ///
    /// # Errors
    /// Errors of the input. The lines before the error were passed on.
    pub(crate) fn for_each_line(
        &self,
        max: usize,
        signals: &Signals,
        mut each: impl FnMut(Line<'_>),
        paused: impl Fn(),
    ) -> Result<(), Failure> {
        if self.is_terminal {
            say("reading records from the terminal, one a line, up to the end of file (^D)");
        }
        let mut lines = Lines::new(max);
        let mut has_news = false;
        loop {
            match signals.wait(&self.stdin, has_news.then_some(PAUSE)).map_err(failure)? {
                Ready::Input => {}
                Ready::Quiet => {
                    has_news = false;
                    paused();
                    continue;
                }
                Ready::End => {
                    let rest = match lines.unfinished() {
                        0 => "".into(),
                        // The rest of the line is still in the pipe.
                        bytes if self.is_ready() => {
                            format!("; {bytes} bytes of an unfinished line were not logged")
                        }
                        bytes => {
                            lines.finish(each);
                            format!("; the last record is an unfinished line of {bytes} bytes")
                        }
                    };
                    say(format_args!("stopped by a signal before the end of the input{rest}"));
                    return Ok(());
                }
            }
            match rustix::io::read(&self.stdin, lines.room()) {
                Ok(0) => {
                    lines.finish(each);
                    return Ok(());
                }
                Ok(len) => {
                    has_news = true;
                    lines.advance(len, &mut each);
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => {
                    lines.finish(each);
                    return Err(failure(error));
                }
            }
        }
    }
}

impl Input {
    /// Whether the input can be read now.
    fn is_ready(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.stdin, PollFlags::IN)], Some(&now))
            .is_ok_and(|ready| ready > 0)
    }
}

fn failure(error: impl Into<io::Error>) -> Failure {
    Failure::io("standard input", error)
}
