//! Sealing all that is in memory, without a claim: what a flush, or the interval, waits for.

use std::time::Duration;

use super::intake::Intake;
use crate::{
    sync::Arc,
    write::swap::{SealAttempt, Shards},
};

/// The first wait before a claimed shard is looked at again, while a flush is pending; doubled each time.
const LOOK_MIN: Duration = Duration::from_micros(50);
const LOOK_MAX: Duration = Duration::from_millis(1);

/// The seals of all shards, and the claims that are waited for.
pub(in crate::write) struct Sealing {
    /// Each shard's buffers below this generation have to be on their way.
    targets: Vec<u64>,
    /// Shards that were claimed: looked at again.
    claimed: Vec<usize>,
    shards: Option<Arc<Shards>>,
    look_again: Duration,
}

impl Sealing {
    /// Seals what can be sealed. `waits`: for claimed shards, too, which the interval leaves alone, since their
    /// writers are alive.
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

    /// The same for either kind of intake; what is gathered elsewhere was sealed there.
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

    /// Whether all that it waits for is sealed, and each shard's `next` generation is beyond it.
    pub(in crate::write) fn look(&mut self, next: impl Iterator<Item = u64>) -> bool {
        if let Some(shards) = &self.shards {
            let targets = &mut self.targets;
            self.claimed.retain(|number| {
                let target = &mut targets[*number];
                if shards.seal_idle(*number) != SealAttempt::Claimed {
                    *target = shards.generation(*number);
                    return false;
                }
                // Claimed again, or still: but has the buffer of then been sealed?
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

    /// After which time to look again though nothing happens.
    pub(in crate::write) fn look_again(&self) -> Option<Duration> {
        (!self.claimed.is_empty()).then_some(self.look_again)
    }
}
