//! The signals of `write`: the wish to end, and what becomes of the file.
//!
//! INT and TERM ask for the end: the input is read to its end, for as long as the grace allows; one more of them ends
//! the reading at once. HUP looks for the file again, ALRM and USR1 begin the next one.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use signal_hook::{
    consts::{SIGALRM, SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals as Caught,
    low_level::emulate_default_handler,
};

/// `timeout` sends its signal to the process and then to the whole group: two in a row are one wish.
const SAME_WISH: Duration = Duration::from_millis(200);

/// The end is granted by the thread that reads. If it is not within this time, because a log call itself waits (for room
/// on a full disk, say), something has to be done about that.
const PATIENCE: Duration = Duration::from_secs(3);

/// What there was to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// Bytes, the end of the input, or an error of it.
    Input,
    /// Nothing came for the time that was given.
    Quiet,
    /// The end of the reading: the grace is over, or was cut short.
    End,
}

/// What becomes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Look for it, and make it again if it is gone.
    Reopen,
    /// Begin the next one.
    Rotate,
}

/// Wishes, as the thread of the signals hands them on.
const FIRST: u8 = b'1';
const AGAIN: u8 = b'2';

/// Signals, as something to wait for beside the input.
pub(crate) struct Signals {
    readable: UnixStream,
    grace: Duration,
    /// When the reading ends, once the end was asked for.
    end: Cell<Option<Instant>>,
}

/// What the signals ask of a log, from when they were caught on.
pub(crate) struct Orders {
    files: Receiver<Order>,
    ends: Receiver<()>,
    grace: Duration,
}

impl Signals {
    /// Catches the signals. After the first wish to end the input is read for `grace` at most.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn catch(grace: Duration) -> io::Result<(Signals, Orders)> {
        let (readable, writable) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        let caught = Caught::new([SIGHUP, SIGALRM, SIGUSR1, SIGINT, SIGTERM])?;
        let (to_files, files) = mpsc::channel();
        let (to_ends, ends) = mpsc::channel();
        let thread = thread::Builder::new().name("signals".into());
        thread.spawn(move || hand_on(caught, &writable, &to_files, &to_ends))?;
        Ok((Signals { readable, grace, end: Cell::new(None) }, Orders { files, ends, grace }))
    }

    /// Waits until `input` can be read without waiting, nothing came for `quiet`, or the reading is to end. The end
    /// wins.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn wait(&self, input: impl AsFd, quiet: Option<Duration>) -> io::Result<Ready> {
        let quiet = quiet.and_then(|quiet| Instant::now().checked_add(quiet));
        loop {
            let is_ready = self.wait_until(Some(&input), quiet)?;
            if self.is_over() {
                return Ok(Ready::End);
            }
            if is_ready {
                return Ok(Ready::Input);
            }
            if quiet.is_some_and(|quiet| Instant::now() >= quiet) {
                return Ok(Ready::Quiet);
            }
        }
    }

    /// Waits for `time`, or until a wish comes.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn pause(&self, time: Duration) -> io::Result<()> {
        self.wait_until(None::<UnixStream>, Instant::now().checked_add(time)).map(drop)
    }

    /// Whether the end was asked for.
    pub(crate) fn is_ending(&self) -> bool {
        self.end.get().is_some()
    }

    /// Whether the reading is to end now.
    pub(crate) fn is_over(&self) -> bool {
        self.end.get().is_some_and(|end| Instant::now() >= end)
    }

    /// Waits for the input, the end of the reading, a wish, or `until`; whether the input is ready.
    fn wait_until(&self, input: Option<impl AsFd>, until: Option<Instant>) -> io::Result<bool> {
        let until = until.into_iter().chain(self.end.get()).min();
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        let mut fds = vec![PollFd::new(&self.readable, PollFlags::IN)];
        if let Some(input) = &input {
            fds.push(PollFd::new(input, PollFlags::IN));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let has_wish = !fds[0].revents().is_empty();
        let is_ready = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        if has_wish {
            self.take_wishes();
        }
        Ok(is_ready)
    }

    fn take_wishes(&self) {
        let mut wishes = [0; 16];
        // Nothing there is no error of anybody's.
        let count = (&self.readable).read(&mut wishes).unwrap_or(0);
        for wish in &wishes[..count] {
            let now = Instant::now();
            let end = if *wish == FIRST { now.checked_add(self.grace) } else { Some(now) };
            self.end.set(self.end.get().into_iter().chain(end).min());
        }
    }
}

/// The thread of the signals.
fn hand_on(mut caught: Caught, wake: &UnixStream, files: &Sender<Order>, ends: &Sender<()>) {
    let mut last = None::<Instant>;
    let mut count = 0;
    for signal in caught.forever() {
        // Nobody listens any more only when the process ends.
        match signal {
            SIGHUP => drop(files.send(Order::Reopen)),
            SIGALRM | SIGUSR1 => drop(files.send(Order::Rotate)),
            _ if last.is_some_and(|last| last.elapsed() < SAME_WISH) => {}
            // Two were not enough: as if nobody had caught it.
            _ if count == 2 => drop(emulate_default_handler(signal)),
            _ => {
                last = Some(Instant::now());
                count += 1;
                let wish = if count == 1 { FIRST } else { AGAIN };
                let _ = (&*wake).write_all(&[wish]);
                let _ = ends.send(());
            }
        }
    }
}

impl Orders {
    /// From now on each order is given to `file`, and `overdue` is called if the end was asked for and is still not
    /// granted some seconds after it should have been. Both on threads of their own: whatever they wait for, the input
    /// is read.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn serve(
        self,
        file: impl Fn(Order) + Send + 'static,
        overdue: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let Orders { files, ends, grace } = self;
        thread::Builder::new().name("orders".into()).spawn(move || {
            while let Ok(first) = files.recv() {
                // Whatever came meanwhile is done with this once.
                let mut orders: Vec<Order> = files.try_iter().collect();
                orders.push(first);
                for order in [Order::Reopen, Order::Rotate] {
                    if orders.contains(&order) {
                        file(order);
                    }
                }
            }
        })?;
        thread::Builder::new().name("overdue".into()).spawn(move || {
            if ends.recv().is_ok() {
                // Another wish ends the grace.
                let _ = ends.recv_timeout(grace);
                thread::sleep(PATIENCE);
                overdue();
            }
        })?;
        Ok(())
    }
}
