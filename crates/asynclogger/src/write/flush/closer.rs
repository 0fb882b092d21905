//! The end of a logger or a manager: `close`, the last drop, and who may wait for either.

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

/// `close` gives up waiting for a device that neither works nor fails after this (or the flush timeout,
/// if that is longer).
const STALL: Duration = Duration::from_secs(1);
/// The last drop waits this long for one that makes no progress: what it gives up is lost.
const LAST_STALL: Duration = Duration::from_secs(15);
/// `close` waits this long for archived segments to be compressed and told of.
const ARCHIVING: Duration = Duration::from_secs(30);

/// What can be closed: a logger, or a manager with all its events.
pub(crate) trait Closing {
    /// What users call it.
    const NAME: &'static str;

    /// The path that its errors carry.
    fn path(&self) -> &Path;

    fn flush_timeout(&self) -> Duration;

    /// What callers log to.
    fn shards(&self) -> &Shards;

    /// Where callers meet the flusher.
    fn gate(&self) -> &Gate;

    /// The counters, now.
    fn stats(&self) -> Stats;

    /// The error that a device fails with now, if one does.
    fn failure(&self) -> Option<Error>;

    /// Nothing is opened any more.
    fn close_openings(&self) {}

    /// All is closed.
    fn closed(&self) {}
}

/// Closes a logger or a manager, and owns what has to be ended for that: the flusher's
/// thread, the archivist, and what is still to be told.
///
/// Closing is a promise in two strengths. `close` waits as long as the device makes progress, gives nothing up,
/// and can be called again after an error: what is in memory stays there. The last drop has nobody to tell, and
/// nobody could call it again, so it tries everything once more and gives up what the device does not take.
/// Whoever has this has no claim of a shard, since each log call borrows a handle: a claim that is still held in
/// the last drop is of a call that never returns.
///
/// It also knows who may wait for the flusher at all. Whatever waits there for a pass over the shards would wait
/// for itself on the flusher's thread, and within a log call, whose claim the pass waits for.
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

    /// What is closed by this.
    pub(crate) fn of(&self) -> &C {
        &self.of
    }

    fn gate(&self) -> &Gate {
        self.of.gate()
    }

    /// Whether the caller may wait for the flusher.
    ///
    /// # Errors
    /// [`ErrorKind::Forked`]; [`ErrorKind::WouldDeadlock`].
    pub(crate) fn may_wait(&self) -> Result<(), Error> {
        self.not_forked()?;
        let (is_flusher, holds_claim) =
            Local::with(|local| (local.is_flusher(), local.holds_claim()));
        if is_flusher || holds_claim {
            let what = if is_flusher {
                "on a logger's own thread this would wait for itself"
            } else {
                "inside a log call this would wait for that call"
            };
            return Err(Error::new(ErrorKind::WouldDeadlock, what).at_path(self.of.path()));
        }
        Ok(())
    }

    /// # Errors
    /// [`ErrorKind::Forked`].
    pub(crate) fn not_forked(&self) -> Result<(), Error> {
        if !self.of.shards().is_forked() {
            return Ok(());
        }
        let what = format!("this {} belongs to the parent of this process", C::NAME);
        Err(Error::new(ErrorKind::Forked, what).at_path(self.of.path()))
    }

    /// Requests something of the flusher at a gate, and waits for it.
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

    /// Takes no more records, writes all accepted ones, and ends all files.
    ///
    /// # Errors
    /// Those of [`may_wait`](Closer::may_wait); not everything could be written yet, and this can be called again.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.may_wait()?;
        self.close_now()
    }

    fn close_now(&self) -> Result<(), Error> {
        // A signal handler that logs on this thread must not lock what is locked here.
        inside(|| {
            // One closer at a time; a second one finds the work done.
            let mut flusher = lock(&self.flusher);
            if self.gate().ending() == Ending::Closed {
                return Ok(());
            }
            // Whoever opens something now is done before, or refused.
            self.of.close_openings();
            let shards = self.of.shards();
            let stuck = shards.close(Instant::now() + self.of.flush_timeout());
            if stuck > 0 {
                let what = format!("{stuck} shards are claimed by threads that do not go on");
                return Err(self.not_closed(ErrorKind::Timeout, &self.of.stats(), &what));
            }
            self.gate().set_ending(Ending::Closing);
            shards.bell().ring(Sleep::Timed);
            let of = &self.of;
            let closed = |timeout| self.gate().wait_closed(Instant::now() + timeout);
            self.wait(|| of.stats(), || of.failure(), closed)?;
            flusher.stop(true);
            drop(flusher);
            // What the archivist does not manage is done at the next opening.
            self.archivist.stop(Instant::now().checked_add(ARCHIVING));
            self.teller.finish();
            self.of.closed();
            Ok(())
        })
    }

    /// Waits for an end as long as the device makes progress, by these counters: with errors for the flush timeout,
    /// without an answer for a second. `wait`: for that long at most; whether the end has come.
    ///
    /// # Errors
    /// It has not: [`ErrorKind::Io`] or [`ErrorKind::Timeout`].
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

    /// Waits for the end of a last drop; `false`: nothing has moved for too long.
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
            // There is nothing to close. Each part knows by itself that it is the parent's.
            return;
        }
        // Within a log call of another logger this waits, too: there is no other time for it.
        let on_flusher = Local::with(Local::is_flusher);
        if !on_flusher && self.close_now().is_ok() {
            return;
        }
        let shards = self.of.shards();
        shards.close(Instant::now());
        self.gate().set_ending(Ending::Abandoned);
        shards.bell().ring(Sleep::Timed);
        // A thread that a dead device holds is left to itself.
        let is_over = !on_flusher && self.wait_for_the_last();
        lock(&self.flusher).stop(is_over);
        self.archivist.stop(Some(Instant::now()));
        if !on_flusher {
            self.teller.finish();
        }
    }
}

/// Does what takes a lock: a signal handler that logs meanwhile on this thread must not want it, too.
pub(crate) fn inside<T>(call: impl FnOnce() -> T) -> T {
    Local::with(|local| {
        let _inside = local.enter();
        call()
    })
}
