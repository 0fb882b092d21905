//! The file that is written, and its successors.

mod active;
mod files;
mod rotation;
mod segment;

pub(super) use self::{
    active::{Active, Changed, Over, Standing},
    files::{EventOpening, NextSegment},
    rotation::Rotator,
    segment::{Segment, wall_clock},
};
pub(crate) use self::{files::LogFiles, rotation::Zone, segment::new_session};
