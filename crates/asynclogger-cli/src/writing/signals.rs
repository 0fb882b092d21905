//! The signals of `write`: requests to end, and orders for the file.
//!
//! INT and TERM ask for the end: the input is then read to its end, but no longer than the grace. A second
//! one of them ends the reading at once. HUP makes the log look for its file again; ALRM and USR1 begin the
//! next file.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use signal_hook::{
    consts::{SIGALRM, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ},
    flag,
    iterator::Signals as Caught,
    low_level::emulate_default_handler,
};

/// Two signals within this time are one request: `timeout` sends its signal to the process and then to the
/// whole group.
const SAME_WISH: Duration = Duration::from_millis(200);

/// The reason why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// The input has bytes, is at its end, or has an error.
    Input,
    /// No input came for the given time.
    Quiet,
    /// The reading has to end: the grace is over, or was cut short.
    End,
}

/// An order for the file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Look for the file, and make a new one if it is gone.
    Reopen,
    /// Begin the next file.
    Rotate,
}

/// Signals, in a form that allows waiting for them and for the input at the same time.
pub(crate) struct Signals {
    readable: UnixStream,
    end: Arc<End>,
}

/// The time at which the reading ends; `None` until the end was asked for. The thread of the signals sets the time: a
/// thread that waits in a log call learns of the request late.
#[derive(Default)]
struct End(Mutex<Option<Instant>>);

impl End {
    fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, end: Option<Instant>) {
        let mut earlier = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *earlier = earlier.into_iter().chain(end).min();
    }
}

/// The orders for a log that came since the signals are caught.
pub(crate) struct Orders {
    files: Receiver<Order>,
}

/// The signals of `write`, caught before its arguments are understood: httpd, for example, can end a logger that it has
/// started a few milliseconds ago.
static EARLY: Mutex<Option<Caught>> = Mutex::new(None);

/// To be called before anything else: until then a signal kills the process, with the lines in its pipe.
pub(crate) fn catch_early() {
    let is_write = command().is_some_and(|command| command == "write");
    // An error comes again when the signals are needed, and is told then.
    let caught = if is_write { catch_all().ok() } else { None };
    *EARLY.lock().unwrap_or_else(PoisonError::into_inner) = caught;
    survive_the_limit_of_files();
}

/// The first argument behind those of `--color`, which can stand before the command.
fn command() -> Option<OsString> {
    let mut args = std::env::args_os().skip(1);
    loop {
        let arg = args.next()?;
        if arg == "--color" {
            args.next()?;
        } else if !arg.as_encoded_bytes().starts_with(b"--color=") {
            return Some(arg);
        }
    }
}

/// A write beyond the limit of the process for files (`RLIMIT_FSIZE`) is an error from now on, and ends nothing. The
/// signal is caught and not ignored: a program that this process executes finds it as it was.
fn survive_the_limit_of_files() {
    // Without the handler the signal ends the process, as it ends any.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

fn catch_all() -> io::Result<Caught> {
    Caught::new([SIGHUP, SIGALRM, SIGUSR1, SIGINT, SIGTERM])
}

impl Signals {
    /// Takes over the signals, for two threads that learn of each request to end. After the first request the input
    /// is read for at most `grace`.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn catch(grace: Duration) -> io::Result<([Signals; 2], Orders)> {
        let end = Arc::new(End::default());
        let (signals, to_signals) = Signals::pair(&end)?;
        let (others, to_others) = Signals::pair(&end)?;
        let early = EARLY.lock().unwrap_or_else(PoisonError::into_inner).take();
        let caught = early.map_or_else(catch_all, Ok)?;
        let (to_files, files) = mpsc::channel();
        let thread = thread::Builder::new().name("signals".into());
        let wish = move |wait| {
            end.set(Instant::now().checked_add(wait));
            for mut waiting in [&to_signals, &to_others] {
                let _ = waiting.write_all(&[0]);
            }
        };
        thread.spawn(move || hand_on(caught, grace, &wish, &to_files))?;
        Ok(([signals, others], Orders { files }))
    }

    fn pair(end: &Arc<End>) -> io::Result<(Signals, UnixStream)> {
        let (readable, writable) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        Ok((Signals { readable, end: end.clone() }, writable))
    }

    /// Waits until `input` can be read without waiting, until no input came for `quiet`, or until the reading
    /// has to end. If several are true, the end wins.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn wait(&self, input: impl AsFd, quiet: Option<Duration>) -> io::Result<Ready> {
        let quiet = quiet.and_then(|quiet| Instant::now().checked_add(quiet));
        loop {
            let is_ready = self.wait_until(Some((&input, PollFlags::IN)), quiet)?;
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

    /// Waits for `time`, or until a request to end comes.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn pause(&self, time: Duration) -> io::Result<()> {
        let until = Instant::now().checked_add(time);
        self.wait_until(None::<(UnixStream, PollFlags)>, until).map(drop)
    }

    /// Waits until `input` has no writer any more, until a request to end comes, or for `time`.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn watch(&self, input: Option<impl AsFd>, time: Option<Duration>) -> io::Result<()> {
        if self.is_over() {
            // Nothing more can come, and an end in the past would end each wait at once.
            thread::sleep(time.unwrap_or_default());
            return Ok(());
        }
        let until = time.and_then(|time| Instant::now().checked_add(time));
        self.wait_until(input.map(|input| (input, PollFlags::RDHUP)), until).map(drop)
    }

    /// Whether the end was asked for.
    pub(crate) fn is_ending(&self) -> bool {
        self.end.get().is_some()
    }

    /// Whether the reading has to end now.
    pub(crate) fn is_over(&self) -> bool {
        self.is_overdue(Duration::ZERO)
    }

    /// Whether the reading should have ended some time ago.
    pub(crate) fn is_overdue(&self, by: Duration) -> bool {
        let end = self.end.get().and_then(|end| end.checked_add(by));
        end.is_some_and(|end| Instant::now() >= end)
    }

    /// Waits for the given state of the input, the end of the reading, a request to end, or `until`; returns whether
    /// the input is in that state.
    fn wait_until(
        &self,
        input: Option<(impl AsFd, PollFlags)>,
        until: Option<Instant>,
    ) -> io::Result<bool> {
        let until = until.into_iter().chain(self.end.get()).min();
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        let mut fds = vec![PollFd::new(&self.readable, PollFlags::IN)];
        if let Some((input, state)) = &input {
            fds.push(PollFd::new(input, *state));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let has_wish = !fds[0].revents().is_empty();
        let is_ready = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        if has_wish {
            // The bytes only end the wait. An empty socket is not an error.
            let _ = (&self.readable).read(&mut [0; 16]);
        }
        Ok(is_ready)
    }
}

/// The body of the thread that receives the signals and passes them on.
fn hand_on(
    mut caught: Caught,
    grace: Duration,
    wish_end: &dyn Fn(Duration),
    files: &Sender<Order>,
) {
    let mut last = None::<Instant>;
    let mut count = 0;
    for signal in caught.forever() {
        // The receivers are gone only when the process ends, so errors of sending do not matter.
        match signal {
            SIGHUP => drop(files.send(Order::Reopen)),
            SIGALRM | SIGUSR1 => drop(files.send(Order::Rotate)),
            _ if last.is_some_and(|last| last.elapsed() < SAME_WISH) => {}
            // After two requests, the third signal has its default effect: it kills the process.
            _ if count == 2 => drop(emulate_default_handler(signal)),
            _ => {
                last = Some(Instant::now());
                count += 1;
                wish_end(if count == 1 { grace } else { Duration::ZERO });
            }
        }
    }
}

impl Orders {
    /// Starts to pass each order to `file`, on a thread of its own, so the input is read even while an order waits.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn serve(self, file: impl Fn(Order) + Send + 'static) -> io::Result<()> {
        let Orders { files } = self;
        thread::Builder::new().name("orders".into()).spawn(move || {
            while let Ok(first) = files.recv() {
                // One run also serves the orders that came in the meantime.
                let mut orders: Vec<Order> = files.try_iter().collect();
                orders.push(first);
                for order in [Order::Reopen, Order::Rotate] {
                    if orders.contains(&order) {
                        file(order);
                    }
                }
            }
        })?;
        Ok(())
    }
}
