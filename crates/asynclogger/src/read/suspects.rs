//! Damage that turns out to be harmless, because the next segment begins with the records that it may have
//! cost.

use super::{
    promise::Promise,
    report::{DamageKind, Report},
};

/// The damaged parts of one file that may be repeated in the next file.
#[derive(Clone, Debug, Default)]
pub(super) struct Suspects(Vec<Suspect>);

#[derive(Clone, Copy, Debug)]
struct Suspect {
    /// Index of the damage in the report.
    damage: usize,
    session: u64,
    /// No block with a lower sequence was lost by the damage.
    sequence: u64,
}

impl Suspects {
    /// Notes that no block of the session with a lower sequence was lost by the damages from index `first`
    /// on.
    pub(super) fn note(&mut self, report: &Report, first: usize, (session, sequence): (u64, u64)) {
        use DamageKind::{Chunk, Gap, Metadata, TornTail};
        let added = report.damage.iter().enumerate().skip(first);
        let own = added
            .filter(|(_, damage)| matches!(damage.kind, Chunk | Gap | Metadata | TornTail))
            .map(|(damage, _)| Suspect { damage, session, sequence });
        self.0.extend(own);
    }

    /// Marks as repeated the damages whose blocks the next segment promises to have.
    pub(super) fn settle(&self, report: &mut Report, promise: Promise) {
        let is_repeated = |suspect: &&Suspect| {
            suspect.session == promise.session && promise.first_sequence <= suspect.sequence
        };
        for suspect in self.0.iter().filter(is_repeated) {
            report.settle_damage(suspect.damage, promise.session);
        }
    }
}
