//! Standard input, line by line, until it ends or somebody wants us to.

use std::io::{self, IsTerminal};

use rustix::io::Errno;

use crate::{
    lines::{Line, Lines},
    outcome::Failure,
    output::say,
    progress::Progress,
    stop::{Ready, StopSignal},
};

/// Hands out every line; those of more than `max` bytes by their beginnings.
///
/// # Errors
/// Those of the input. What came before them was handed out.
pub(crate) fn for_each_line(
    max: usize,
    stop: &StopSignal,
    progress: &Progress,
    mut each: impl FnMut(Line<'_>),
) -> Result<(), Failure> {
    let input = io::stdin();
    if input.is_terminal() {
        say("reading records from the terminal, one a line, up to the end of file (^D)");
    }
    // A writer that fills 64 KiB, the default, has to be woken for each of them. A pipe may be at its owner's limit,
    // and a file is no pipe: then it stays as it is.
    let _ = rustix::pipe::fcntl_setpipe_size(&input, 1 << 20);

    let mut lines = Lines::new(max);
    loop {
        if stop.wait(&input).map_err(failure)? == Ready::Stop {
            let rest = match lines.unfinished() {
                0 => String::new(),
                bytes => format!("; {bytes} bytes of an unfinished line were not logged"),
            };
            progress.say(format_args!("stopped by a signal{rest}"));
            return Ok(());
        }
        match rustix::io::read(&input, lines.room()) {
            Ok(0) => {
                lines.finish(each);
                return Ok(());
            }
            Ok(len) => lines.advance(len, &mut each),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(failure(error)),
        }
    }
}

fn failure(error: impl Into<io::Error>) -> Failure {
    Failure::io("standard input", error)
}
