//! A pass: what a flush, or the interval, asks for, from the seals to the barrier.

use super::{intake::Intake, sealing::Sealing};
use crate::write::common::Request;

/// A sealing pass over all shards, and what is to be done behind it.
pub(super) struct Pass {
    /// Who asked: up to this ticket, or the interval.
    pub(super) ticket: Option<u64>,
    pub(super) sealing: Sealing,
    /// Once all is sealed and has its place: the part before which all has to be safe.
    pub(super) goal: Option<u64>,
    /// Whether the log is to go on in the next segment then.
    pub(super) rotate: bool,
    /// Whether the log is on its way to the next segment for whoever asked.
    pub(super) is_rotating: bool,
    /// Whether the active file was looked for, since it was asked for.
    pub(super) looked: bool,
}

impl Pass {
    /// Seals what can be sealed.
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
