//! Damage that turns out to be none, since the next segment begins with what it may have cost.

use super::{
    promise::Promise,
    report::{DamageKind, Report},
};

/// The damages of one file that may be repeated in the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspects(Vec<Suspect>);

#[derive(Clone, Copy, Debug)]
struct Suspect {
    /// Index of the damage in the report.
    damage: usize,
    session: u64,
    /// It cost no block of a lower sequence.
    sequence: u64,
}

impl Suspects {
    /// Notes that the damages from `first` on cost no block of the session with a lower sequence.
    pub(super) fn note(&mut self, report: &Report, first: usize, (session, sequence): (u64, u64)) {
        use DamageKind::{Chunk, Gap, Metadata, TornTail};
        let added = report.damage.iter().enumerate().skip(first);
        let own = added
            .filter(|(_, damage)| matches!(damage.kind, Chunk | Gap | Metadata | TornTail))
            .map(|(damage, _)| Suspect { damage, session, sequence });
        self.0.extend(own);
    }

    /// Takes for repeated what the next segment promises to begin with.
    pub(super) fn settle(&self, report: &mut Report, promise: Promise) {
        let is_repeated = |suspect: &&Suspect| {
            suspect.session == promise.session && promise.first_sequence <= suspect.sequence
        };
        for suspect in self.0.iter().filter(is_repeated) {
            report.settle_damage(suspect.damage, promise.session);
        }
    }
}
