//! The end of `write` when the disk takes nothing: one time limit over the record that waits, the lines behind it, and
//! the close.

use std::{
    fs::File,
    io::{self, Seek},
    os::fd::AsFd,
    sync::{
        Arc, Once,
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use asynclogger::{Error, Health, Logger, LoggerManager, Stats};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    outcome::Failure,
    units::{show_count, show_number_of},
    writing::signals::Signals,
};

/// How long the end may take while the disk takes nothing. The time begins when the reading is due to end.
const PATIENCE: Duration = Duration::from_secs(3);
/// The time between two looks once the end has begun.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A log, or all logs of a manager.
pub(super) trait Closes: Clone + Send + Sync + 'static {
    fn close(&self) -> Result<(), Error>;
    fn stats(&self) -> Stats;
    fn health(&self) -> Health;
    /// The path that messages name.
    fn place(&self) -> String;
}

impl Closes for Logger {
    fn close(&self) -> Result<(), Error> {
        self.close().map(drop)
    }

    fn stats(&self) -> Stats {
        self.stats()
    }

    fn health(&self) -> Health {
        self.health()
    }

    fn place(&self) -> String {
        self.path().display().to_string()
    }
}

impl Closes for LoggerManager {
    fn close(&self) -> Result<(), Error> {
        self.close().map(drop)
    }

    fn stats(&self) -> Stats {
        self.stats().total
    }

    fn health(&self) -> Health {
        self.health()
    }

    fn place(&self) -> String {
        self.directory().display().to_string()
    }
}

/// The one close of a log, which two threads can begin: the one that reads the input, after its last line, and the
/// watcher, when the last lines wait for a disk that takes nothing.
pub(super) struct Ending<L> {
    close: Arc<Close<L>>,
    closed: Receiver<Result<(), Failure>>,
}

struct Close<L> {
    log: L,
    begun: Once,
    /// Takes the first two outcomes: that of the close, and that nobody waits for the close any more.
    tell: SyncSender<Result<(), Failure>>,
}

impl<L: Closes> Ending<L> {
    /// Starts the watcher. `signals` has the requests to end.
    ///
    /// # Errors
    /// Errors of the system.
    pub(super) fn watch(log: L, signals: Signals) -> io::Result<Ending<L>> {
        let (tell, closed) = mpsc::sync_channel(2);
        let close = Arc::new(Close { log, begun: Once::new(), tell });
        let watcher = Watcher {
            close: close.clone(),
            signals,
            input: File::from(io::stdin().as_fd().try_clone_to_owned()?),
        };
        thread::Builder::new().name("ending".into()).spawn(move || watcher.watch())?;
        Ok(Ending { close, closed })
    }

    /// Closes the log. With a disk that takes nothing the call returns no later than the end is due.
    ///
    /// # Errors
    /// Errors of the close; the disk takes nothing.
    pub(super) fn close(&self) -> Result<(), Failure> {
        self.close.begin();
        self.closed.recv().unwrap_or(Ok(()))
    }
}

impl<L: Closes> Close<L> {
    /// Begins the close, if nobody has. From now on the log refuses records, also those that wait for room.
    fn begin(self: &Arc<Self>) {
        self.begun.call_once(|| {
            let close = self.clone();
            let run = move || drop(close.tell.try_send(close.log.close().map_err(Failure::from)));
            // A thread of its own: the close waits for the disk longer than the caller may.
            if thread::Builder::new().name("close".into()).spawn(run).is_err() {
                let _ = self.tell.try_send(self.log.close().map_err(Failure::from));
            }
        });
    }

    fn give_up(&self) {
        let Stats { pending, accepted, .. } = self.log.stats();
        let what = format!(
            "{}: not closed: {} of {} pending: the disk takes nothing",
            self.log.place(),
            show_count(pending),
            show_number_of(accepted, "record"),
        );
        let _ = self.tell.try_send(Err(Failure::Io(what)));
    }
}

struct Watcher<L> {
    close: Arc<Close<L>>,
    signals: Signals,
    /// Standard input.
    input: File,
}

impl<L: Closes> Watcher<L> {
    /// Refuses what waits when the end is overdue, and then ends the wait for the close.
    fn watch(mut self) {
        let mut still = Still::default();
        let mut is_refused = false;
        let is_file = self.input.metadata().is_ok_and(|input| input.is_file());
        loop {
            let has_ended = self.has_ended(is_file);
            let is_near = has_ended || self.signals.is_ending() || is_refused;
            // A pipe tells when its last writer goes. A file tells nothing.
            let input = (!is_near && !is_file).then_some(&self.input);
            let time = (is_near || is_file).then_some(LOOK_EVERY);
            if self.signals.watch(input, time).is_err() {
                return;
            }
            let log = &self.close.log;
            let is_stuck = log.health() >= Health::Failing;
            let is_due = has_ended || self.signals.is_over() || is_refused;
            still.look(log.stats().bytes_written, is_due && is_stuck);
            // A record that waits for another reason than the disk, for the lock of an event say, goes on to wait.
            let is_over = still.is_over();
            if !is_refused && (is_over || self.signals.is_overdue(PATIENCE)) {
                self.close.begin();
                is_refused = true;
            }
            if is_refused && is_over {
                return self.close.give_up();
            }
        }
    }

    /// Whether the input has ended, though its last bytes may not be read yet: a pipe without a writer, or a file at
    /// its end.
    fn has_ended(&mut self, is_file: bool) -> bool {
        if is_file {
            let len = self.input.metadata().map_or(0, |input| input.len());
            return self.input.stream_position().is_ok_and(|at| at >= len);
        }
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.input, PollFlags::RDHUP)];
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

/// How long the disk has taken nothing while the end was due.
#[derive(Default)]
struct Still {
    bytes: u64,
    since: Option<Instant>,
}

impl Still {
    fn look(&mut self, bytes: u64, counts: bool) {
        if !counts {
            self.since = None;
        } else if self.since.is_none() || bytes != self.bytes {
            *self = Still { bytes, since: Some(Instant::now()) };
        }
    }

    fn is_over(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= PATIENCE)
    }
}
