//! The archivist: the one thread of a flusher that looks after archived segments, for all its logs. It
//! compresses them, tells of them, and deletes the oldest.
//!
//! Nobody waits for it but `stop`. What it has not done when the process ends is done at the next opening:
//! all that has to be known for that is in the directory (docs/rotation.md).

mod archiver;
mod catalog;
#[cfg(feature = "zstd")]
mod compressing;
mod deleting;
#[cfg(feature = "zstd")]
mod pace;
mod queue;
mod settings;
mod whole;

#[cfg(all(test, not(loom)))]
mod tests;

use std::{cell::Cell, ffi::OsString, time::Instant};

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

pub(crate) use self::{settings::ArchiveSettings, whole::WholeDirectory};

thread_local! {
    // The address of the queue that this thread works off; 0: it is not an archivist.
    static WORKS_OFF: Cell<usize> = const { Cell::new(0) };
}

/// A segment that is over: renamed to its archived name, ended, and never written again.
pub(crate) struct ArchivedSegment {
    pub(crate) settings: Arc<ArchiveSettings>,
    /// Its name in the directory of the settings.
    pub(crate) file: OsString,
    pub(crate) lineage: Lineage,
    /// The segment that is written now.
    pub(crate) active: Lineage,
}

/// Is told that room was asked for, and whether a segment was deleted.
pub(crate) type RoomMade = Box<dyn FnOnce(bool) + Send>;

/// A handle to the archivist. The thread begins with the first work that there is for it.
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

    /// Hands an archived segment over. Never waits for work that is being done.
    pub(crate) fn archived(&self, segment: ArchivedSegment) {
        if segment.settings.wants_archived() {
            let whole = segment.settings.whole.clone();
            self.hand_over(Work::Archived(segment));
            if let Some(whole) = whole {
                self.retain_whole(whole);
            }
        }
    }

    /// Has the limit over a directory looked after, behind all that was handed over before.
    pub(crate) fn retain_whole(&self, whole: Arc<WholeDirectory>) {
        self.hand_over(Work::Whole(whole));
    }

    /// An event was opened, whose segment this is.
    pub(crate) fn opened(&self, settings: &Arc<ArchiveSettings>, active: Lineage) {
        if let Some(whole) = &settings.whole {
            settings.set_done_below(active.segment);
            whole.opened(settings);
        }
    }

    /// Has what an earlier process, or a failure, left behind finished or undone. `active` is the segment
    /// that is written now.
    pub(crate) fn sweep(&self, settings: Arc<ArchiveSettings>, active: Lineage) {
        if settings.wants_sweep() {
            self.hand_over(Work::Sweep { settings, active });
        }
    }

    /// Has the oldest archived segment of the log deleted, before anything else is done, and calls `made`
    /// after that, on the archivist's thread. If that was asked for already, this does nothing: who asked
    /// is going to be told.
    pub(crate) fn make_room(
        &self,
        settings: Arc<ArchiveSettings>,
        active: Lineage,
        made: RoomMade,
    ) {
        self.hand_over(Work::MakeRoom { settings, active, made });
    }

    /// Does what was handed over, without a limit of rate, and ends; at `deadline` in any case, without
    /// what is not done by then. Whether the thread has ended. What is handed over later is left to the
    /// next opening.
    ///
    /// On the archivist's own thread, in a callback, this waits for nothing.
    pub(crate) fn stop(&self, deadline: Option<Instant>) -> bool {
        self.queue.stop(deadline);
        let Some(mut thread) = lock(&self.thread).take() else {
            return true;
        };
        let is_own = WORKS_OFF.with(Cell::get) == self.queue.address();
        if is_own || !self.queue.wait_ended(deadline) {
            // It ends by itself.
            return false;
        }
        thread.end(true);
        true
    }

    fn hand_over(&self, work: Work) {
        let settings = work.settings().clone();
        // First: `stop` finds the thread of everything that was taken.
        let mut thread = lock(&self.thread);
        if !self.queue.push(work) || thread.is_some() {
            return;
        }
        let started = start(self.queue.clone());
        match started {
            Ok(started) => *thread = Some(started),
            Err(error) => {
                // The next work tries again, and has this one done, too. A callback may come back here.
                drop(thread);
                settings.tell(&error);
            }
        }
    }
}

impl Drop for Archivist {
    /// Without `stop` before it, everything is done, and nobody waits for that. A forked child has no thread to
    /// tell, and must not lock what that may have held.
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
        // What a callback logs never waits: this thread may be the one that makes room for it.
        Local::with(|local| {
            let _inside = local.enter();
            Archiver::new(&queue).work();
        });
        queue.end();
    };
    own_thread::start("asynclogger-arc", "the archivist's thread", run)
}
