//! The kind of a damage, and its place in the file.

use super::{block::BadStretch, ledger::Ledger, report::DamageKind};
use crate::format::{BlockInfo, CHUNK};
use crate::probe::{Body, Ids, Part, Skipped};

/// The kind of damage that a valid part means if it does not stand in its own place. `from` is the offset
/// that the reading has reached.
pub(super) fn verdict_of(part: &Part, from: u64, ids: Option<&Ids>, ledger: &Ledger) -> DamageKind {
    if part.is_foreign(ids) {
        return DamageKind::Foreign;
    }
    if part.prefix.offset == part.offset {
        return DamageKind::Gap; // a tail whose block was passed over
    }
    let was_read = match &part.body {
        Body::Block { info, .. } => ledger.is_past(part.prefix.session, info.sequence),
        Body::Start { .. } | Body::Totals { .. } => part.prefix.offset < from,
    };
    if was_read { DamageKind::Duplicate } else { DamageKind::Misplaced }
}

/// The kind of damage in the place of a lost head.
pub(super) fn kind_at(skipped: &[Skipped<DamageKind>], offset: u64) -> DamageKind {
    match skipped.iter().rev().find(|region| region.offset <= offset) {
        Some(region) if region.kind != DamageKind::Gap => region.kind,
        _ => DamageKind::Metadata,
    }
}

/// The offset and the length, in the file, of a stretch of bad chunks.
pub(super) fn stretch_at(
    bad: &BadStretch,
    data_at: u64,
    info: &BlockInfo,
    file_len: u64,
) -> (u64, u64) {
    let begin = data_at.saturating_add((bad.first * CHUNK) as u64);
    let len = (bad.count * CHUNK).min((info.data_len as usize).saturating_sub(bad.first * CHUNK));
    let end = if bad.torn { file_len } else { begin.saturating_add(len as u64).min(file_len) };
    (begin.min(file_len), end.saturating_sub(begin))
}
