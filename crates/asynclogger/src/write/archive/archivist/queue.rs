//! The archivist's work, in the order of its arrival; requests for room come first.

use std::{collections::VecDeque, ffi::OsString, time::Instant};

use super::{settings::ArchiveSettings, shelf::Shelf, whole::WholeDirectory};
use crate::{
    format::Lineage,
    sync::{Arc, Condvar, Mutex, is_over, lock, wait_until},
};

/// An archived segment: ended, under its archived name, and never written again.
pub(crate) struct ArchivedSegment {
    pub(crate) settings: Arc<ArchiveSettings>,
    /// The file's name in the directory of the settings.
    pub(crate) file: OsString,
    pub(crate) lineage: Lineage,
    /// The segment that is written now.
    pub(crate) active: Lineage,
}

/// Called after a request for room was handled, with whether a segment was deleted.
pub(crate) type RoomMade = Box<dyn FnOnce(bool) + Send>;

/// One piece of work.
pub(super) enum Work {
    Archived(ArchivedSegment),
    Sweep {
        settings: Arc<ArchiveSettings>,
        active: Lineage,
    },
    MakeRoom {
        settings: Arc<ArchiveSettings>,
        active: Lineage,
        made: RoomMade,
    },
    /// Apply the limit over a directory, once for all segments archived before.
    Whole(Arc<WholeDirectory>),
}

impl Work {
    pub(super) fn shelf(&self) -> &Arc<Shelf> {
        match self {
            Work::Archived(segment) => &segment.settings.shelf,
            Work::Sweep { settings, .. } | Work::MakeRoom { settings, .. } => &settings.shelf,
            Work::Whole(whole) => &whole.shelf,
        }
    }
}

/// The continuation of a long piece of work after a pause.
#[cfg(feature = "zstd")]
pub(super) enum Pause {
    Over,
    Go,
    /// Urgent work is to be done first.
    Urgent(Work),
}

pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    urgent: VecDeque<Work>,
    rest: VecDeque<Work>,
    stop: Option<Stop>,
    ended: bool,
}

#[derive(Clone, Copy)]
struct Stop {
    deadline: Option<Instant>,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue { state: Mutex::default(), changed: Condvar::new() }
    }

    /// Holds the lock, as the archivist's thread may hold it at a fork.
    #[cfg(all(test, not(loom)))]
    pub(super) fn hold(&self) -> impl Sized + '_ {
        lock(&self.state)
    }

    /// A number that distinguishes this queue from others while it lives.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Adds work. Returns whether the queue takes it: after a stop, none.
    pub(super) fn push(&self, work: Work) -> bool {
        let mut state = lock(&self.state);
        if state.stop.is_some() {
            return false;
        }
        if let Work::MakeRoom { settings, .. } = &work {
            if !state.urgent.iter().any(|other| Arc::ptr_eq(other.shelf(), &settings.shelf)) {
                state.urgent.push_back(work);
            }
        } else {
            if let Work::Whole(whole) = &work {
                // The limit is applied once, after the work that has come since.
                let same =
                    |other: &Work| matches!(other, Work::Whole(of) if Arc::ptr_eq(of, whole));
                state.rest.retain(|other| !same(other));
            }
            state.rest.push_back(work);
        }
        drop(state);
        self.changed.notify_all();
        true
    }

    /// The next piece of work; waits for one. `None`: the thread is to end.
    pub(super) fn next(&self) -> Option<Work> {
        let mut state = lock(&self.state);
        loop {
            if state.stop.is_some_and(|stop| is_over(stop.deadline)) {
                return None;
            }
            let state_now = &mut *state;
            let next = state_now.urgent.pop_front().or_else(|| state_now.rest.pop_front());
            if next.is_some() || state.stop.is_some() {
                return next;
            }
            state = wait_until(&self.changed, state, None);
        }
    }

    /// Waits within a piece of work until `due`, but not after a stop.
    #[cfg(feature = "zstd")]
    pub(super) fn pause(&self, due: Instant) -> Pause {
        let mut state = lock(&self.state);
        loop {
            if state.stop.is_some_and(|stop| is_over(stop.deadline)) {
                return Pause::Over;
            }
            if let Some(work) = state.urgent.pop_front() {
                return Pause::Urgent(work);
            }
            if state.stop.is_some() || is_over(Some(due)) {
                return Pause::Go;
            }
            state = wait_until(&self.changed, state, Some(due));
        }
    }

    /// Whether the thread is stopping: work that can wait is left to the next opening.
    pub(super) fn is_stopping(&self) -> bool {
        lock(&self.state).stop.is_some()
    }

    pub(super) fn stop(&self, deadline: Option<Instant>) {
        lock(&self.state).stop = Some(Stop { deadline });
        self.changed.notify_all();
    }

    /// Ends the thread when all work is done, unless the thread was told to end before.
    pub(super) fn close(&self) {
        lock(&self.state).stop.get_or_insert(Stop { deadline: None });
        self.changed.notify_all();
    }

    /// Reports that the thread ends.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }

    /// Waits until the thread ends, or `deadline` is over. Returns whether the thread has ended.
    pub(super) fn wait_ended(&self, deadline: Option<Instant>) -> bool {
        let mut state = lock(&self.state);
        while !state.ended && !is_over(deadline) {
            state = wait_until(&self.changed, state, deadline);
        }
        state.ended
    }
}
