//! How far a log is on its way to its end, and the records that stopped threads have left.

use super::account::Account;
use crate::{
    sync::Arc,
    write::{
        common::{BlockMemory, Ending},
        flush::intake::Intake,
        swap::Held,
    },
};

/// A copy of the records that a stopped thread had published, with their shard and generation.
type HeldCopy = (Arc<dyn BlockMemory>, u32, u64);

/// The steps to the end of a log: it is requested, drained, gets its end, and is closed.
pub(super) struct Closing {
    ending: Ending,
    /// The number of the part after the end, once the end was put in.
    ended: Option<u64>,
    /// Copies of the records that stopped threads had published, for the last drop.
    copies: Option<Vec<HeldCopy>>,
    /// Shards that were claimed at the last drop, and the generation of each claimant: a thread that does not
    /// continue, but could still store into its buffer.
    held: Vec<(usize, u64)>,
}

impl Closing {
    pub(super) fn new() -> Closing {
        Closing { ending: Ending::Open, ended: None, copies: None, held: Vec::new() }
    }

    /// The ending that was seen last.
    pub(super) fn ending(&self) -> Ending {
        self.ending
    }

    /// Takes over how the log is to end. An abandoned log stays abandoned.
    pub(super) fn see(&mut self, ending: Ending) {
        if self.ending != Ending::Abandoned {
            self.ending = ending;
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.ending == Ending::Closed
    }

    pub(super) fn set_closed(&mut self) {
        self.ending = Ending::Closed;
    }

    /// The number of the part after the end, once the end was put in. No part may follow.
    pub(super) fn ended(&self) -> Option<u64> {
        self.ended
    }

    /// Notes that the end was put in; all parts before `before` have to be durable.
    pub(super) fn set_ended(&mut self, before: u64) {
        self.ended = Some(before);
    }

    /// Whether every shard is closed and all buffers are on their way.
    pub(super) fn is_drained(&self, intake: &Intake, account: &Account) -> bool {
        // A shard that is still claimed counts as closed at the generation of its copy.
        let held_at = |number: usize| self.held.iter().find(|(held, _)| *held == number);
        self.copies.as_ref().is_none_or(Vec::is_empty)
            && account.next_generations().enumerate().all(|(number, next)| {
                let end = match held_at(number) {
                    Some((_, generation)) => Some(*generation),
                    None => intake.end_of(number),
                };
                end.is_some_and(|end| next >= end)
            })
    }

    /// Copies, once, the records that threads which will not return have published. Returns whether this call did so.
    pub(super) fn copy_held(&mut self, intake: &Intake) -> bool {
        if self.copies.is_some() {
            return false;
        }
        let mut copies: Vec<HeldCopy> = Vec::new();
        if let Intake::Shards(shards) = intake {
            for Held { shard, generation, copy, .. } in shards.copy_held() {
                self.held.push((shard, generation));
                if let Some(copy) = copy {
                    copies.push((Arc::new(copy), shard as u32, generation));
                }
            }
        }
        self.copies = Some(copies);
        true
    }

    /// Takes a copy that comes next in its shard, if one does.
    pub(super) fn next_copy(&mut self, account: &Account) -> Option<HeldCopy> {
        let copies = self.copies.as_mut()?;
        let next = |(_, shard, generation): &HeldCopy| account.is_next(*shard, *generation);
        let at = copies.iter().position(next)?;
        Some(copies.swap_remove(at))
    }
}
