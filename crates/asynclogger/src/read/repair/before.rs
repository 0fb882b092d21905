//! The records that the sessions of a damaged file wrote to earlier segments.

use std::collections::{HashMap, HashSet};

use crate::{
    Error,
    probe::Body,
    read::{reader::Reader, step::Step},
};

/// What a file shows of the segments before it, session by session.
///
/// A reader of a whole log takes the first totals of a session as the word on how many records came before. So every note of
/// a repaired file has to have the right number, also a note that stands before the first totals of the damaged file.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Records and their bytes, by the last note or end.
    declared: HashMap<u64, (u64, u64)>,
    /// The sum of the first numbers of the shards. It stands for the records where nothing is declared: some of them may have
    /// been lost in this file, but nothing shows that.
    numbered: HashMap<u64, u64>,
}

impl Before {
    /// Reads a file to its end.
    pub(super) fn read(reader: &mut Reader) -> Result<Before, Error> {
        let (mut before, mut shards) = (Before::default(), HashSet::new());
        loop {
            let step = reader.step()?;
            if step == Step::End {
                return Ok(before);
            }
            let (Some(part), loaded) = reader.seen() else { continue };
            let session = part.prefix.session;
            match &part.body {
                Body::Totals { totals, .. } => {
                    let records = totals.records.saturating_sub(totals.segment_records);
                    let found = reader.report().sessions.iter().find(|it| it.session == session);
                    let here = found.map_or(0, |found| found.payload_bytes);
                    // The bytes of lost records are not known, and count as earlier ones.
                    let bytes = if records > 0 { totals.payload.saturating_sub(here) } else { 0 };
                    before.declared.insert(session, (records, bytes));
                }
                Body::Block { info, .. } => {
                    let Some(first) = loaded.runs.first() else { continue };
                    if shards.insert((session, info.shard)) {
                        let sum = before.numbered.entry(session).or_default();
                        *sum = sum.saturating_add(first.number);
                    }
                }
                Body::Start { .. } => {}
            }
        }
    }

    /// Records of the session in earlier segments, and their bytes as far as these are declared.
    pub(super) fn of(&self, session: u64) -> (u64, u64) {
        let numbered = || (self.numbered.get(&session).copied().unwrap_or(0), 0);
        self.declared.get(&session).copied().unwrap_or_else(numbered)
    }

    /// Whether the file declares that the session began here.
    pub(super) fn is_none(&self, session: u64) -> bool {
        self.declared.get(&session).is_some_and(|(records, _)| *records == 0)
    }
}
