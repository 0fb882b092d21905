//! The end of a logger or a manager: `close`, the last drop, and the check which calls can wait for either.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{teller::Teller, thread::FlusherThread};
use crate::{
    Error, ErrorKind, Stats,
    sync::{Arc, Mutex, lock},
    write::{
        archive::Archivist,
        common::{Ending, Gate, Local},
        swap::{Shards, Sleep},
    },
};

/// How long `close` waits for a device that neither works nor fails (or the flush timeout, if that is longer).
const STALL: Duration = Duration::from_secs(1);
/// How long the last drop waits for a device that makes no progress. The records that it gives up are lost.
const LAST_STALL: Duration = Duration::from_secs(15);
/// How long `close` waits until archived segments are compressed and reported.
const ARCHIVING: Duration = Duration::from_secs(30);

/// A thing that can be closed: a logger, or a manager with all its events.
pub(crate) trait Closing {
    /// The name that error messages use for it.
    const NAME: &'static str;

    /// The path that errors carry.
    fn path(&self) -> &Path;

    fn flush_timeout(&self) -> Duration;

    /// The shards that callers log to.
    fn shards(&self) -> &Shards;

    /// The gate where callers wait for the flusher.
    fn gate(&self) -> &Gate;

    /// The current counters.
    fn stats(&self) -> Stats;

    /// The error with which a device fails now, if one does.
    fn failure(&self) -> Option<Error>;

    /// From now on no log can be opened.
    fn close_openings(&self) {}

    /// Releases the callers that wait for more than a free buffer. The shards are closed, and refuse their records.
    fn let_waiters_go(&self) {}

    /// Called once, when all logs are closed.
    fn closed(&self) {}
}

/// Closes a logger or a manager, and owns the things that end with it: the flusher's thread, the archivist, and the
/// thread for the user's callback.
///
/// A log has two ends, and they need different promises. `close` has a caller who can read an error and call again:
/// so it waits as long as the device makes progress, gives no record up, and after an error keeps all records in
/// memory. The last drop can return no error and cannot be repeated, and a drop that waits for ever would hang the
/// program: so it tries everything once more, and then gives up the records that the device does not take. Each log
/// call borrows a handle, and the last drop comes after all handles: so a claim that is still held then belongs to a
/// call that never returns.
///
/// The closer also refuses calls that would wait for themselves. A pass of the flusher waits for all claims. So a call
/// that waits for a pass would never return on the flusher's thread, nor inside a log call, which holds a claim.
pub(crate) struct Closer<C: Closing> {
    of: C,
    flusher: Mutex<FlusherThread>,
    archivist: Arc<Archivist>,
    teller: Teller,
}

impl<C: Closing> Closer<C> {
    pub(crate) fn new(
        of: C,
        flusher: FlusherThread,
        archivist: Arc<Archivist>,
        teller: Teller,
    ) -> Closer<C> {
        Closer { of, flusher: Mutex::new(flusher), archivist, teller }
    }

    /// The logger or manager that this closes.
    pub(crate) fn of(&self) -> &C {
        &self.of
    }

    fn gate(&self) -> &Gate {
        self.of.gate()
    }

    /// Checks that the caller can wait for the flusher.
    ///
    /// # Errors
    /// [`ErrorKind::Forked`]; [`ErrorKind::WouldDeadlock`].
    pub(crate) fn may_wait(&self) -> Result<(), Error> {
        self.not_forked()?;
        let (is_flusher, holds_claim) =
            Local::with(|local| (local.is_flusher(), local.holds_claim()));
        if is_flusher || holds_claim {
            let what = if is_flusher {
                "on a logger's own thread this call would wait for itself"
            } else {
                "inside a log call this call would wait for the log call"
            };
            return Err(Error::new(ErrorKind::WouldDeadlock, what).at_path(self.of.path()));
        }
        Ok(())
    }

    /// Checks that this process is not a forked child.
    ///
    /// # Errors
    /// [`ErrorKind::Forked`].
    pub(crate) fn not_forked(&self) -> Result<(), Error> {
        if !self.of.shards().is_forked() {
            return Ok(());
        }
        let what = format!("this {} belongs to the parent of this process", C::NAME);
        Err(Error::new(ErrorKind::Forked, what).at_path(self.of.path()))
    }

    /// Sends the flusher a request through a gate, and waits for the answer.
    ///
    /// # Errors
    /// Those of [`may_wait`](Closer::may_wait) and of the attempt; [`ErrorKind::Timeout`] at `deadline`.
    pub(crate) fn ask(
        &self,
        gate: &Gate,
        request: impl FnOnce(&Gate) -> u64,
        deadline: Option<Instant>,
    ) -> Result<(), Error> {
        self.may_wait()?;
        let ticket = request(gate);
        self.of.shards().bell().ring(Sleep::Timed);
        gate.wait(ticket, deadline)
    }

    /// Sends the flusher a request through a gate; returns the ticket of the answer.
    ///
    /// # Errors
    /// Those of [`not_forked`](Closer::not_forked).
    #[cfg(feature = "async")]
    pub(crate) fn begin(&self, gate: &Gate) -> Result<u64, Error> {
        self.not_forked()?;
        let ticket = gate.request();
        self.of.shards().bell().ring(Sleep::Timed);
        Ok(ticket)
    }

    /// Takes no more records, writes all accepted ones, and ends all files.
    ///
    /// # Errors
    /// Those of [`may_wait`](Closer::may_wait). Not everything could be written yet: then `close` can be called again.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.may_wait()?;
        self.close_now()
    }

    fn close_now(&self) -> Result<(), Error> {
        // A signal handler that logs on this thread must not take the locks that are held here.
        inside(|| {
            // One caller closes at a time; a second one finds the work done.
            let mut flusher = lock(&self.flusher);
            if self.gate().ending() == Ending::Closed {
                return Ok(());
            }
            // An opening that is under way ends before this returns; later openings are refused.
            self.of.close_openings();
            let shards = self.of.shards();
            let stuck = shards.close(Instant::now() + self.of.flush_timeout());
            // With a device that fails the close ends without them, and nobody would wake them later.
            self.of.let_waiters_go();
            if stuck > 0 {
                let what = format!("{stuck} shards are claimed by threads that do not continue");
                return Err(self.not_closed(ErrorKind::Timeout, &self.of.stats(), &what));
            }
            self.gate().set_ending(Ending::Closing);
            shards.bell().ring(Sleep::Timed);
            let of = &self.of;
            let closed = |timeout| self.gate().wait_closed(Instant::now() + timeout);
            self.wait(|| of.stats(), || of.failure(), closed)?;
            flusher.stop(true);
            drop(flusher);
            // The next opening of the log does the work that the archivist has not finished.
            self.archivist.stop(Instant::now().checked_add(ARCHIVING));
            self.teller.finish();
            self.of.closed();
            Ok(())
        })
    }

    /// Waits for an end as long as `stats` show that the device makes progress. A device that fails is given the flush
    /// timeout; a device that does not answer is given [`STALL`], if that is longer. `wait` waits at most for its
    /// argument, and returns whether the end has come.
    ///
    /// # Errors
    /// The end has not come: [`ErrorKind::Io`] or [`ErrorKind::Timeout`].
    pub(crate) fn wait(
        &self,
        stats: impl Fn() -> Stats,
        failure: impl Fn() -> Option<Error>,
        wait: impl Fn(Duration) -> bool,
    ) -> Result<(), Error> {
        let timeout = self.of.flush_timeout();
        let counts = || {
            let stats = stats();
            (stats.bytes_written, stats.flush_errors)
        };
        let (mut bytes, errors_before) = counts();
        let mut since = Instant::now();
        while !wait(timeout) {
            let (bytes_now, errors) = counts();
            if bytes_now != bytes {
                (bytes, since) = (bytes_now, Instant::now());
            } else if errors > errors_before && since.elapsed() >= timeout {
                let error = self.not_closed(ErrorKind::Io, &stats(), "writing fails");
                return Err(match failure() {
                    Some(failure) => error.caused_by(failure),
                    None => error,
                });
            } else if since.elapsed() >= timeout.max(STALL) {
                let why = "the device does not answer";
                return Err(self.not_closed(ErrorKind::Timeout, &stats(), why));
            }
        }
        Ok(())
    }

    fn not_closed(&self, kind: ErrorKind, stats: &Stats, why: &str) -> Error {
        let Stats { pending, accepted, .. } = stats;
        let what =
            format!("not closed yet, {pending} of {accepted} accepted records pending: {why}");
        Error::new(kind, what).at_path(self.of.path())
    }

    /// Waits for the end of a last drop; `false` if the device has made no progress for too long.
    fn wait_for_the_last(&self) -> bool {
        let mut moved = (Instant::now(), self.of.stats().bytes_written);
        while !self.gate().wait_closed(Instant::now() + LAST_STALL / 10) {
            let bytes = self.of.stats().bytes_written;
            if bytes != moved.1 {
                moved = (Instant::now(), bytes);
            } else if moved.0.elapsed() >= LAST_STALL {
                return false;
            }
        }
        true
    }
}

impl<C: Closing> Drop for Closer<C> {
    fn drop(&mut self) {
        if self.of.shards().is_forked() {
            // A forked child has nothing to close. Each part checks by itself that it belongs to the parent.
            return;
        }
        // Within a log call of another logger this waits, too: no later moment is left for it.
        let on_flusher = Local::with(Local::is_flusher);
        if !on_flusher && self.close_now().is_ok() {
            return;
        }
        let shards = self.of.shards();
        shards.close(Instant::now());
        self.gate().set_ending(Ending::Abandoned);
        shards.bell().ring(Sleep::Timed);
        // A thread that hangs in a dead device is not waited for.
        let is_over = !on_flusher && self.wait_for_the_last();
        lock(&self.flusher).stop(is_over);
        self.archivist.stop(Some(Instant::now()));
        if !on_flusher {
            self.teller.finish();
        }
        if is_over {
            self.of.closed();
        }
    }
}

/// Runs `call`, which takes a lock, as a call of the library: so a signal handler that logs on this thread meanwhile
/// does not wait for that lock.
pub(crate) fn inside<T>(call: impl FnOnce() -> T) -> T {
    Local::with(|local| {
        let _inside = local.enter();
        call()
    })
}
