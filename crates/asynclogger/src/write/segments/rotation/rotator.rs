//! Decides when a log leaves its active segment for the next one: the schedule with its clocks, and the failed
//! attempts.

use std::time::{Duration, Instant};

use super::{
    calendar::Zone,
    schedule::{Now, Schedule},
};
use crate::{Rotation, write::common::wall_clock};

/// The time for which a log stays in its segment after a failed attempt to leave.
const HOLD: Duration = Duration::from_secs(1);

pub(in crate::write) struct Rotator {
    /// `None`: the log rotates only by call.
    schedule: Option<Schedule>,
    max_size: Option<u64>,
    /// No attempt before this.
    held_until: Option<Instant>,
}

fn at(now: Instant) -> Now {
    Now { wall: wall_clock(), monotonic: now }
}

impl Rotator {
    /// The rotator of a log. `since`: the time since which the first segment holds records, if it holds any.
    pub(in crate::write) fn new(rotation: &Rotation, zone: Zone, since: Option<i64>) -> Rotator {
        let is_scheduled = *rotation != Rotation::default();
        let mut schedule = is_scheduled.then(|| Schedule::new(rotation, zone));
        if let Some(schedule) = &mut schedule {
            schedule.begin(since, at(Instant::now()));
        }
        Rotator { schedule, max_size: rotation.max_size, held_until: None }
    }

    /// Whether files have a greatest size.
    pub(in crate::write) fn has_max_size(&self) -> bool {
        self.max_size.is_some()
    }

    /// Reports that another segment is active.
    pub(in crate::write) fn begin(&mut self, now: Instant) {
        self.held_until = None;
        if let Some(schedule) = &mut self.schedule {
            schedule.begin(None, at(now));
        }
    }

    /// Reports that a block was put into the active segment.
    pub(in crate::write) fn written(&mut self, now: Instant) {
        if let Some(schedule) = &mut self.schedule {
            schedule.written(at(now));
        }
    }

    /// Whether the log is to leave its active segment of `size` bytes before `next` more bytes come.
    pub(in crate::write) fn is_due(&mut self, size: u64, next: u64, now: Instant) -> bool {
        if self.is_held(now) {
            return false;
        }
        let schedule = self.schedule.as_mut();
        schedule.is_some_and(|schedule| schedule.due(size, next, at(now)).is_some())
    }

    /// Reports a failed attempt to leave the segment: no attempt is made for a while.
    pub(in crate::write) fn hold(&mut self, now: Instant) {
        self.held_until = now.checked_add(HOLD);
    }

    /// Whether an attempt to leave the segment failed a moment ago.
    pub(in crate::write) fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }

    /// Reports that the disk has room again: the next attempt may be made at once.
    pub(in crate::write) fn release(&mut self) {
        self.held_until = None;
    }

    /// Whether the next file should be prepared while the segment has `size` bytes. `is_idle`: the flusher has no other
    /// work now.
    pub(in crate::write) fn wants_prepared(&self, size: u64, is_idle: bool, now: Instant) -> bool {
        let is_near = self.max_size.is_some_and(|max| size >= max / 2);
        self.schedule.is_some() && (is_idle || is_near) && !self.is_held(now)
    }

    /// The time of the next look although no block is written.
    pub(in crate::write) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let due = self.schedule.as_ref().and_then(|schedule| schedule.wake_at(at(now)))?;
        Some(self.held_until.map_or(due, |until| until.max(due)))
    }
}
