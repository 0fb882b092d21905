//! What the archivist has to do, in the order in which it came; room first.

use std::{collections::VecDeque, time::Instant};

use super::{ArchiveSettings, ArchivedSegment, RoomMade, WholeDirectory};
use crate::{
    format::Lineage,
    sync::{Arc, Condvar, Mutex, is_over, lock, wait_until},
};

/// One thing to do.
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
    /// The limit over a directory, once for all that was archived before.
    Whole(Arc<WholeDirectory>),
}

impl Work {
    pub(super) fn settings(&self) -> &Arc<ArchiveSettings> {
        match self {
            Work::Archived(segment) => &segment.settings,
            Work::Sweep { settings, .. } | Work::MakeRoom { settings, .. } => settings,
            Work::Whole(whole) => &whole.settings,
        }
    }
}

/// How a long piece of work goes on.
#[cfg(feature = "zstd")]
pub(super) enum Pause {
    Over,
    Go,
    /// With this, first.
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

    /// What tells this queue from others while it lives.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Whether there is somebody to take it.
    pub(super) fn push(&self, work: Work) -> bool {
        let mut state = lock(&self.state);
        if state.stop.is_some() {
            return false;
        }
        if let Work::MakeRoom { settings, .. } = &work {
            if !state.urgent.iter().any(|other| Arc::ptr_eq(other.settings(), settings)) {
                state.urgent.push_back(work);
            }
        } else {
            if let Work::Whole(whole) = &work {
                // Behind what came since.
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

    /// The next thing to do; waits for it. `None`: all is over.
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

    /// Waits until `due` within a piece of work, unless that has to hurry.
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

    /// Whether what can wait for the next opening is to wait.
    pub(super) fn is_stopping(&self) -> bool {
        lock(&self.state).stop.is_some()
    }

    pub(super) fn stop(&self, deadline: Option<Instant>) {
        lock(&self.state).stop = Some(Stop { deadline });
        self.changed.notify_all();
    }

    /// Ends the thread when all is done, unless it was told to end before.
    pub(super) fn close(&self) {
        lock(&self.state).stop.get_or_insert(Stop { deadline: None });
        self.changed.notify_all();
    }

    /// The thread ends.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }

    /// Waits until the thread ends, or `deadline`; whether it has.
    pub(super) fn wait_ended(&self, deadline: Option<Instant>) -> bool {
        let mut state = lock(&self.state);
        while !state.ended && !is_over(deadline) {
            state = wait_until(&self.changed, state, deadline);
        }
        state.ended
    }
}
