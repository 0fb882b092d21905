//! A pass: the work for a flush, or for the interval, from the seals to the barrier.

use super::{intake::Intake, sealing::Sealing};
use crate::write::common::Request;

/// A sealing pass over all shards, and the steps after it.
pub(super) struct Pass {
    /// The pass answers all requests up to this ticket; `None` for a pass of the interval.
    pub(super) ticket: Option<u64>,
    pub(super) sealing: Sealing,
    /// All parts before this one have to be safe; `None` until all buffers are sealed and have their place.
    pub(super) goal: Option<u64>,
    /// Whether the log has to continue in the next segment afterwards.
    pub(super) rotate: bool,
    /// Whether the log is on its way to the next segment because of the request.
    pub(super) is_rotating: bool,
    /// Whether the active file was looked for since the request.
    pub(super) looked: bool,
}

impl Pass {
    /// Begins a pass: seals all shards that can be sealed.
    pub(super) fn begin(intake: &Intake, request: Option<Request>, looked: bool) -> Pass {
        Pass {
            ticket: request.map(|request| request.ticket),
            sealing: Sealing::of(intake, request.is_some()),
            goal: None,
            rotate: request.is_some_and(|request| request.rotate),
            is_rotating: false,
            looked,
        }
    }
}
