//! The rest of a session whose process is dead: what had a place in a file, and what had none.

use super::LogWriter;
use crate::{
    Dropped, Error,
    format::Kind,
    write::{
        crash::{Before, Track},
        flush::outbox::Resumed,
    },
};

/// The state of a dead session.
pub(in crate::write) struct Rest {
    /// The numbers of each shard, behind all parts that have a place.
    pub(in crate::write) tracks: Vec<Track>,
    /// The state of the session in front of the first of these parts, and behind the last.
    pub(in crate::write) before: Before,
    pub(in crate::write) behind: Before,
    pub(in crate::write) next_sequence: u64,
    /// Drops that a note has reported.
    pub(in crate::write) noted: Dropped,
    /// The parts that are not yet as safe as the durability level asks for, in the order of the file.
    pub(in crate::write) parts: Vec<Resumed>,
}

impl LogWriter {
    /// Takes over the session of a dead process, before anything else is done. The segment is at the place of the first
    /// part.
    ///
    /// # Errors
    /// If the system has no memory for a note or an end.
    pub(in crate::write) fn adopt(&mut self, rest: Rest) -> Result<(), Error> {
        let Rest { tracks, before, behind, next_sequence, noted, parts } = rest;
        let is_ended = matches!(parts.last(), Some(Resumed::Totals { kind: Kind::End, .. }));
        self.account.resume(&tracks, next_sequence, &behind, noted, before.records);
        let front = (before.records, before.payload);
        self.outbox.resume(&mut self.active, front, next_sequence, parts)?;
        if is_ended {
            self.closing.set_ended(self.outbox.next());
            self.outbox.want_durable(self.outbox.next());
        }
        Ok(())
    }
}
