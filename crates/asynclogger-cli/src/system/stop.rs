//! SIGINT and SIGTERM, in a form that allows waiting for them between two looks.

use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use super::Stdout;

/// Two signals within this time are one request: `timeout` sends its signal to the process and then to the
/// whole group.
const SAME_WISH: Duration = Duration::from_secs(1);

/// The reason why a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The time of the pause has passed.
    Over,
    /// A signal asked for the end.
    Stop,
    /// The reader of the output has gone.
    Closed,
}

/// SIGINT and SIGTERM, caught. The first signal is a request to end; a later one has its default effect and
/// kills the process.
pub(crate) struct StopSignal {
    readable: UnixStream,
}

impl StopSignal {
    pub(crate) fn install() -> io::Result<StopSignal> {
        let (readable, mut writable) = UnixStream::pair()?;
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        thread::Builder::new().name("signals".into()).spawn(move || {
            let mut first = None::<Instant>;
            for signal in signals.forever() {
                match first {
                    None => {
                        first = Some(Instant::now());
                        let _ = writable.write_all(&[0]);
                    }
                    Some(first) if first.elapsed() < SAME_WISH => {}
                    Some(_) => {
                        let _ = emulate_default_handler(signal);
                    }
                }
            }
        })?;
        Ok(StopSignal { readable })
    }

    /// Waits for `time`, or until a signal comes or the reader of `output` has gone.
    pub(crate) fn pause(&self, time: Duration, output: &Stdout) -> io::Result<Pause> {
        let begun = Instant::now();
        // No event is requested for the output, because `poll` always reports its errors.
        let mut fds =
            [PollFd::new(&self.readable, PollFlags::IN), PollFd::new(output, PollFlags::empty())];
        loop {
            let left = time.saturating_sub(begun.elapsed());
            let timeout =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) => break,
                // A signal: its thread says next whether it is a request to end.
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(if !fds[0].revents().is_empty() {
            Pause::Stop
        } else if !fds[1].revents().is_empty() {
            Pause::Closed
        } else {
            Pause::Over
        })
    }
}
