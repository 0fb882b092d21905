//! Standard input, line by line, until it ends or somebody wants us to.

use std::{
    io::{self, IsTerminal, Stdin},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::{
    lines::{Line, Lines},
    outcome::Failure,
    output::say,
    signals::{Ready, Signals},
};

/// When nothing came for so long, the input pauses.
const PAUSE: Duration = Duration::from_millis(500);

/// Standard input.
pub(crate) struct Input {
    stdin: Stdin,
    is_terminal: bool,
}

impl Input {
    pub(crate) fn open() -> Input {
        let stdin = io::stdin();
        // A writer that fills 64 KiB, the default, has to be woken for each of them. A pipe may be at its owner's limit,
        // and a file is no pipe: then it stays as it is.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdin, 1 << 20);
        let is_terminal = stdin.is_terminal();
        Input { stdin, is_terminal }
    }

    /// Whether a person types it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Hands out every line to `each`; those of more than `max` bytes by their beginnings. When the input pauses,
    /// `paused` is called once.
    ///
    /// # Errors
    /// Those of the input. What came before them was handed out.
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
                        // Its rest is in the pipe.
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
    /// Whether there is something to read now.
    fn is_ready(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.stdin, PollFlags::IN)], Some(&now))
            .is_ok_and(|ready| ready > 0)
    }
}

fn failure(error: impl Into<io::Error>) -> Failure {
    Failure::io("standard input", error)
}
