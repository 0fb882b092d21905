//! The active segment, and its successors.

mod active;
mod adopted;
mod beginning;
mod event_opening;
mod existing;
mod files;
#[cfg(all(test, not(loom)))]
mod files_tests;
#[cfg(all(test, not(loom)))]
mod killed_tests;
mod layout;
mod name_change;
#[cfg(all(test, not(loom)))]
mod name_change_tests;
mod next_segment;
mod numbers;
mod place;
mod prepared;
mod rotation;
mod segment;
mod space;
mod standing;

pub(super) use self::adopted::{Adopted, EventOf};
#[cfg(test)]
pub(super) use self::next_segment::Promoted;
pub(super) use self::{
    active::{Active, Changed},
    event_opening::{EventOpening, Past},
    layout::Spot,
    next_segment::NextSegment,
    rotation::Rotator,
    segment::Segment,
    standing::Standing,
};
pub(crate) use self::{files::LogFiles, rotation::Zone, segment::new_session};
