//! The archivist: one thread for each flusher, which compresses archived segments of all the flusher's logs, reports
//! them, and deletes the oldest.
//!
//! Only `stop` waits for the archivist. Work that is not done when the process ends is done at the next opening: the
//! directory holds all that this needs (docs/rotation.md).

mod archiver;
mod catalog;
#[cfg(feature = "zstd")]
mod compressing;
mod deleting;
#[cfg(feature = "zstd")]
mod pace;
mod queue;
mod settings;
mod shelf;
mod whole;

#[cfg(all(test, not(loom)))]
mod tests;

use std::{cell::Cell, time::Instant};

use self::{
    archiver::Archiver,
    queue::{Queue, Work},
};
use crate::{
    Error,
    format::Lineage,
    io::yield_to_all_others,
    mem::Process,
    sync::{Arc, Mutex, lock, thread_local},
    write::common::{
        Local,
        own_thread::{self, OwnThread},
    },
};

pub(crate) use self::{
    queue::{ArchivedSegment, RoomMade},
    settings::ArchiveSettings,
    whole::WholeDirectory,
};

thread_local! {
    // The address of the queue that this thread works through; 0: the thread is no archivist.
    static WORKS_OFF: Cell<usize> = const { Cell::new(0) };
}

/// The handle of the archivist. Its thread starts with the first work.
///
/// Compressing a segment takes seconds, a callback of the user any time, and deleting many files on a busy disk is
/// slow. On the flusher's thread this work would stop all logs; a thread for each log would start thousands of threads
/// with thousands of events, all competing for one disk. A job outside of the process, which knows only names, could
/// take a file that is still written. So each flusher has one such thread, with the lowest priority. It works through a
/// queue, in order; only a request for room on a full disk overtakes, even in the middle of a compression.
///
/// The queue is never saved: the directory alone shows what is left to do, and a sweep at the next opening finds it. So
/// the archivist can be stopped, or killed, between any two steps.
pub(crate) struct Archivist {
    queue: Arc<Queue>,
    thread: Mutex<Option<OwnThread>>,
    maker: Process,
}

impl Archivist {
    pub(crate) fn new() -> Archivist {
        Archivist {
            queue: Arc::new(Queue::new()),
            thread: Mutex::new(None),
            maker: Process::current(),
        }
    }

    /// Hands an archived segment over. Never waits for work in progress.
    pub(crate) fn archived(&self, segment: ArchivedSegment) {
        if segment.settings.wants_archived() {
            let whole = segment.settings.whole.clone();
            self.hand_over(Work::Archived(segment));
            if let Some(whole) = whole {
                self.retain_whole(whole);
            }
        }
    }

    /// Applies the limit over a directory, after all work handed over before.
    pub(crate) fn retain_whole(&self, whole: Arc<WholeDirectory>) {
        self.hand_over(Work::Whole(whole));
    }

    /// Reports that an event was opened, and its active segment.
    pub(crate) fn opened(&self, settings: &Arc<ArchiveSettings>, active: Lineage) {
        if let Some(whole) = &settings.whole {
            settings.done_below.raise(active.segment);
            whole.opened(settings.name.base(), &settings.done_below);
        }
    }

    /// Finishes or undoes work that an earlier process, or a failure, has left behind. `active` is the segment that is
    /// written now.
    pub(crate) fn sweep(&self, settings: Arc<ArchiveSettings>, active: Lineage) {
        if settings.wants_sweep() {
            self.hand_over(Work::Sweep { settings, active });
        }
    }

    /// Deletes the oldest archived segment of the log before any other work, and then calls `made` on the archivist's
    /// thread. If a request for the same log is queued already, this one is dropped: the queued request's `made`
    /// reports the result.
    pub(crate) fn make_room(
        &self,
        settings: Arc<ArchiveSettings>,
        active: Lineage,
        made: RoomMade,
    ) {
        self.hand_over(Work::MakeRoom { settings, active, made });
    }

    /// Ends the thread after the work handed over so far, which is done without a limit of rate. At `deadline` the
    /// thread ends in any case, and leaves the rest undone. Returns whether the thread has ended. Work handed over
    /// later is left to the next opening.
    ///
    /// On the archivist's own thread, in a callback, `stop` waits for nothing.
    pub(crate) fn stop(&self, deadline: Option<Instant>) -> bool {
        self.queue.stop(deadline);
        let Some(mut thread) = lock(&self.thread).take() else {
            return true;
        };
        let is_own = WORKS_OFF.with(Cell::get) == self.queue.address();
        if is_own || !self.queue.wait_ended(deadline) {
            // The thread ends by itself.
            return false;
        }
        thread.end(true);
        true
    }

    fn hand_over(&self, work: Work) {
        let shelf = work.shelf().clone();
        // The lock is taken first: so `stop` finds the thread for all work that the queue has taken.
        let mut thread = lock(&self.thread);
        if !self.queue.push(work) || thread.is_some() {
            return;
        }
        let started = start(self.queue.clone());
        match started {
            Ok(started) => *thread = Some(started),
            Err(error) => {
                // The next work tries again to start the thread, which then does this work, too. The lock is released
                // first: the callback can call this function again.
                drop(thread);
                shelf.tell(&error);
            }
        }
    }
}

impl Drop for Archivist {
    /// Without a `stop` before, the thread does all its work, and nobody waits for it. A forked child has no such
    /// thread, and must not take a lock that the thread may have held at the fork.
    fn drop(&mut self) {
        if self.maker.is_current() {
            self.queue.close();
        }
    }
}

fn start(queue: Arc<Queue>) -> Result<OwnThread, Error> {
    let run = move || {
        yield_to_all_others();
        WORKS_OFF.with(|place| place.set(queue.address()));
        // A log call in a callback never waits: this thread may be the one that has to make room for the record.
        Local::with(|local| {
            let _inside = local.enter();
            Archiver::new(&queue).work();
        });
        queue.end();
    };
    own_thread::start("asynclogger-arc", "the archivist's thread", run)
}
