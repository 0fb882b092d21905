//! A sealing pass: what a flush, or the interval, waits for.

use std::time::Duration;

use crate::write::{
    common::Request,
    swap::{Log, SealAttempt},
};

/// The first wait before a claimed shard is looked at again, while a flush is pending; doubled each time.
const LOOK_MIN: Duration = Duration::from_micros(50);
const LOOK_MAX: Duration = Duration::from_millis(1);

/// A sealing pass over all shards, and what it waits for.
pub(in crate::write) struct Pass {
    /// Who asked: up to this ticket, or the interval.
    pub(super) ticket: Option<u64>,
    /// Each shard's buffers below this generation have to be on their way.
    targets: Vec<u64>,
    /// Shards that were claimed: looked at again.
    claimed: Vec<u32>,
    look_again: Duration,
    /// Once they are: the part before which all has to be safe.
    pub(super) goal: Option<u64>,
    /// Whether the log is to go on in the next segment then.
    pub(super) rotate: bool,
    /// Whether the active file was looked for, since it was asked for.
    pub(super) looked: bool,
}

impl Pass {
    /// Seals what can be sealed.
    pub(in crate::write) fn begin(log: &Log, request: Option<Request>, looked: bool) -> Pass {
        let ticket = request.map(|request| request.ticket);
        let rotate = request.is_some_and(|request| request.rotate);
        let (targets, claimed) = (Vec::new(), Vec::new());
        let look_again = LOOK_MIN;
        let mut pass = Pass { ticket, targets, claimed, look_again, goal: None, rotate, looked };
        for (number, shard) in log.shards().iter().enumerate() {
            // Read before the attempt: the buffer that is active now is below the next generation.
            let active = shard.word().generation();
            let target = match shard.seal_idle(log.pool(), number as u32) {
                SealAttempt::Sealed | SealAttempt::Empty => shard.word().generation(),
                // The interval leaves a claimed shard alone: its writer is alive.
                SealAttempt::Claimed if ticket.is_none() => 0,
                SealAttempt::Claimed => {
                    pass.claimed.push(number as u32);
                    active + 1
                }
            };
            pass.targets.push(target);
        }
        pass
    }

    /// Whether all that it waits for is sealed, and each shard's `next` generation is beyond it.
    pub(in crate::write) fn look(&mut self, log: &Log, next: impl Iterator<Item = u64>) -> bool {
        let targets = &mut self.targets;
        self.claimed.retain(|number| {
            let shard = &log.shards()[*number as usize];
            let target = &mut targets[*number as usize];
            if shard.seal_idle(log.pool(), *number) != SealAttempt::Claimed {
                *target = shard.word().generation();
                return false;
            }
            // Claimed again, or still: but has the buffer of then been sealed?
            shard.word().generation() < *target
        });
        if self.claimed.is_empty() && next.zip(&self.targets).all(|(next, target)| next >= *target)
        {
            return true;
        }
        self.look_again = (self.look_again * 2).min(LOOK_MAX);
        false
    }

    /// After which time to look again though nothing happens.
    pub(in crate::write) fn look_again(&self) -> Option<Duration> {
        (!self.claimed.is_empty()).then_some(self.look_again)
    }
}
