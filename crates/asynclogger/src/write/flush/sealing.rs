//! Sealing all records in memory, without a claim: a flush, or the interval, begins with this.

use std::time::Duration;

use super::intake::Intake;
use crate::{
    sync::Arc,
    write::swap::{SealAttempt, Shards},
};

/// The first wait before the next look at a claimed shard, while a flush is pending. Each wait is twice the last one.
const LOOK_MIN: Duration = Duration::from_micros(50);
const LOOK_MAX: Duration = Duration::from_millis(1);

/// The seals of all shards, and the claims whose end a flush waits for.
pub(in crate::write) struct Sealing {
    /// Each shard's buffers below this generation have to be on their way.
    targets: Vec<u64>,
    /// Shards that were claimed, and have to be looked at again.
    claimed: Vec<usize>,
    shards: Option<Arc<Shards>>,
    look_again: Duration,
}

impl Sealing {
    /// Seals all shards that can be sealed. `waits` says whether to wait for claimed shards, too. The interval does
    /// not, because the writer of a claimed shard is alive.
    pub(in crate::write) fn begin(shards: &Arc<Shards>, waits: bool) -> Sealing {
        let mut claimed = Vec::new();
        let targets = (0..shards.len()).map(|number| {
            // Read before the attempt: the buffer that is active now is below the next generation.
            let active = shards.generation(number);
            match shards.seal_idle(number) {
                SealAttempt::Sealed | SealAttempt::Empty => shards.generation(number),
                SealAttempt::Claimed if !waits => 0,
                SealAttempt::Claimed => {
                    claimed.push(number);
                    active + 1
                }
            }
        });
        let targets = targets.collect();
        Sealing { targets, claimed, shards: Some(shards.clone()), look_again: LOOK_MIN }
    }

    /// [`begin`](Sealing::begin) for either kind of intake. Gathered records were sealed by the manager.
    pub(super) fn of(intake: &Intake, waits: bool) -> Sealing {
        match intake {
            Intake::Shards(shards) => Sealing::begin(shards, waits),
            Intake::Gathered(counts) => Sealing {
                targets: vec![counts.sealed()],
                claimed: Vec::new(),
                shards: None,
                look_again: LOOK_MIN,
            },
        }
    }

    /// Whether all buffers are sealed that this waits for, and each shard's `next` generation is beyond them.
    pub(in crate::write) fn look(&mut self, next: impl Iterator<Item = u64>) -> bool {
        if let Some(shards) = &self.shards {
            let targets = &mut self.targets;
            self.claimed.retain(|number| {
                let target = &mut targets[*number];
                if shards.seal_idle(*number) != SealAttempt::Claimed {
                    *target = shards.generation(*number);
                    return false;
                }
                // The shard is claimed, again or still. It counts as sealed if the buffer of that time has been sealed.
                shards.generation(*number) < *target
            });
        }
        if self.claimed.is_empty() && next.zip(&self.targets).all(|(next, target)| next >= *target)
        {
            return true;
        }
        self.look_again = (self.look_again * 2).min(LOOK_MAX);
        false
    }

    /// The wait until the next look, if nothing else wakes the flusher.
    pub(in crate::write) fn look_again(&self) -> Option<Duration> {
        (!self.claimed.is_empty()).then_some(self.look_again)
    }
}
