//! When the active segment of a log is left for the next one: the schedule with its clocks, and what is
//! remembered of attempts.

use std::time::{Duration, Instant};

use super::{
    calendar::Zone,
    schedule::{Now, Schedule},
};
use crate::{Rotation, write::common::wall_clock};

/// After a next file could not be made, the log goes on in the old one for so long.
const HOLD: Duration = Duration::from_secs(1);

pub(in crate::write) struct Rotator {
    /// `None`: only by call.
    schedule: Option<Schedule>,
    max_size: Option<u64>,
    /// No attempt before this.
    held_until: Option<Instant>,
}

fn at(now: Instant) -> Now {
    Now { wall: wall_clock(), monotonic: now }
}

impl Rotator {
    /// The first segment has records since `since`, if it has any.
    pub(in crate::write) fn new(rotation: &Rotation, zone: Zone, since: Option<i64>) -> Rotator {
        let is_scheduled = *rotation != Rotation::default();
        let mut schedule = is_scheduled.then(|| Schedule::new(rotation, zone));
        if let Some(schedule) = &mut schedule {
            schedule.begin(since, at(Instant::now()));
        }
        Rotator { schedule, max_size: rotation.max_size, held_until: None }
    }

    /// Another segment is the active one.
    pub(in crate::write) fn begin(&mut self, now: Instant) {
        self.held_until = None;
        if let Some(schedule) = &mut self.schedule {
            schedule.begin(None, at(now));
        }
    }

    /// A block was put into the active segment.
    pub(in crate::write) fn written(&mut self, now: Instant) {
        if let Some(schedule) = &mut self.schedule {
            schedule.written(at(now));
        }
    }

    /// Whether the active segment of `size` bytes is to be left before `next` more come.
    pub(in crate::write) fn is_due(&mut self, size: u64, next: u64, now: Instant) -> bool {
        if self.is_held(now) {
            return false;
        }
        let schedule = self.schedule.as_mut();
        schedule.is_some_and(|schedule| schedule.due(size, next, at(now)).is_some())
    }

    /// It could not be left: not tried again for a while.
    pub(in crate::write) fn hold(&mut self, now: Instant) {
        self.held_until = now.checked_add(HOLD);
    }

    /// Whether it could not be left a moment ago.
    pub(in crate::write) fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }

    /// There is room again: it may be tried at once.
    pub(in crate::write) fn release(&mut self) {
        self.held_until = None;
    }

    /// Whether the next file should be made ready for a segment of `size` bytes; `is_idle`: it costs
    /// nobody anything now.
    pub(in crate::write) fn wants_prepared(&self, size: u64, is_idle: bool, now: Instant) -> bool {
        let is_near = self.max_size.is_some_and(|max| size >= max / 2);
        self.schedule.is_some() && (is_idle || is_near) && !self.is_held(now)
    }

    /// When to look again though nothing happens.
    pub(in crate::write) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let due = self.schedule.as_ref().and_then(|schedule| schedule.wake_at(at(now)))?;
        Some(self.held_until.map_or(due, |until| until.max(due)))
    }
}
