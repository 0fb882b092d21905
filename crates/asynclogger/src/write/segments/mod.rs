//! The file that is written, and its successors.

mod active;
mod existing;
mod files;
mod layout;
mod rotation;
mod segment;
mod space;
mod standing;

pub(super) use self::{
    active::{Active, Changed},
    files::{EventOpening, NextSegment},
    rotation::Rotator,
    segment::Segment,
    standing::Standing,
};
pub(crate) use self::{files::LogFiles, rotation::Zone, segment::new_session};
