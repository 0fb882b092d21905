//! SIGINT and SIGTERM, as something to wait for beside the input.

use std::{
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

/// `timeout` sends its signal to the process and then to the whole group: two in a row are one wish.
const SAME_WISH: Duration = Duration::from_secs(1);

/// What there was to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// Bytes, the end of the input, or an error of it.
    Input,
    /// The wish to end.
    Stop,
}

/// The first signal is a wish that [`StopSignal::wait`] reports; one that comes later kills, as if nobody
/// had caught it: a log call may be waiting for a device that never answers.
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

    /// Waits until `input` can be read without waiting, or a signal came. The signal wins.
    pub(crate) fn wait(&self, input: impl AsFd) -> io::Result<Ready> {
        let mut fds =
            [PollFd::new(&self.readable, PollFlags::IN), PollFd::new(&input, PollFlags::IN)];
        loop {
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if !fds[0].revents().is_empty() {
                return Ok(Ready::Stop);
            }
            if !fds[1].revents().is_empty() {
                return Ok(Ready::Input);
            }
        }
    }
}
