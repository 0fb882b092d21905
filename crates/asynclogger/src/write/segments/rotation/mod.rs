//! Decides when a segment is over: the triggers, the clocks, and the boundaries of the wall clock in a zone.

mod calendar;
mod rotator;
mod schedule;

pub(crate) use self::calendar::Zone;
pub(in crate::write) use self::rotator::Rotator;
