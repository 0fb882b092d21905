//! Drops and losses, in JSON and as sums.

use std::fmt;

use asynclogger::{Dropped, read::Loss};
use serde::Serialize;

use crate::units::show_count;

#[derive(Serialize)]
pub(crate) struct DroppedJson {
    full: u64,
    busy: u64,
    too_large: u64,
    empty: u64,
    closed: u64,
}

/// A loss in JSON; `max` is null if the greatest possible number is not known.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct LossJson {
    min: u64,
    max: Option<u64>,
}

impl Default for LossJson {
    fn default() -> LossJson {
        LossJson { min: 0, max: Some(0) }
    }
}

impl LossJson {
    pub(crate) fn add(&mut self, lost: LossJson) {
        self.min = self.min.saturating_add(lost.min);
        self.max = match (self.max, lost.max) {
            (Some(so_far), Some(more)) => Some(so_far.saturating_add(more)),
            _ => None,
        };
    }

    pub(crate) fn is_none(&self) -> bool {
        self.max == Some(0)
    }
}

impl fmt::Display for LossJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let min = show_count(self.min);
        match self.max {
            Some(max) if max == self.min => f.write_str(&min),
            Some(max) => write!(f, "{min} to {}", show_count(max)),
            None => write!(f, "at least {min}"),
        }
    }
}

impl From<Dropped> for DroppedJson {
    fn from(dropped: Dropped) -> DroppedJson {
        let Dropped { full, busy, too_large, empty, closed, .. } = dropped;
        DroppedJson { full, busy, too_large, empty, closed }
    }
}

impl From<Loss> for LossJson {
    fn from(lost: Loss) -> LossJson {
        LossJson { min: lost.at_least, max: lost.at_most }
    }
}

/// Adds two counts of drops reason by reason.
pub(crate) fn add_dropped(sum: &mut Dropped, more: Dropped) {
    let pairs = [
        (&mut sum.full, more.full),
        (&mut sum.busy, more.busy),
        (&mut sum.too_large, more.too_large),
        (&mut sum.empty, more.empty),
        (&mut sum.closed, more.closed),
    ];
    // A damaged or forged file can have any numbers.
    pairs.into_iter().for_each(|(sum, more)| *sum = sum.saturating_add(more));
}
