//! The parts of a dead process are put in again.

use std::time::Instant;

use super::{Outbox, parts::OnItsWay};
use crate::{
    Error,
    format::{BlockInfo, Kind, Totals},
    mem::AlignedBytes,
    sync::Arc,
    write::{common::BlockMemory, segments::Active, swap::SealedBuffer},
};

/// A part of a dead process, which had a place in a file.
pub(in crate::write) enum Resumed {
    Block { memory: SealedBuffer, info: BlockInfo, time: i64 },
    Totals { kind: Kind, totals: Totals },
}

impl Outbox {
    /// Takes over the parts of a dead process: makes their bytes again, each for its place. `before`: the records in
    /// front of them, and their bytes.
    ///
    /// # Errors
    /// If the system has no memory for a note or an end.
    pub(in crate::write::flush) fn resume(
        &mut self,
        active: &mut Active,
        before: (u64, u64),
        next_sequence: u64,
        parts: Vec<Resumed>,
    ) -> Result<(), Error> {
        let now = Instant::now();
        let layout = active.segment_mut().layout_mut();
        let mut made = Vec::with_capacity(parts.len());
        for part in parts {
            let spot = layout.spot();
            made.push(match part {
                Resumed::Block { mut memory, mut info, time } => {
                    info.scale = memory.scale(i64::MIN);
                    layout.encode_block(&mut memory, &mut info, time, &mut self.table);
                    layout.place_block(&info, time);
                    OnItsWay::block(Arc::new(memory), info, time, now, spot)
                }
                Resumed::Totals { kind, totals } => {
                    let mut bytes = AlignedBytes::new(layout.align(), layout.align())?;
                    layout.encode_totals(kind, totals, &mut bytes);
                    layout.place_totals();
                    OnItsWay::totals(bytes, kind, totals, spot)
                }
            });
        }
        self.parts.resume(before, next_sequence, made.into_iter());
        Ok(())
    }
}
