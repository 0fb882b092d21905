//! What is done about a failed operation: one table, `docs/durability.md` has it in words.

use std::time::Duration;

use crate::{io::Cause, write::common::backoff};

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Write,
    Barrier,
    /// To make or open a segment.
    Open,
}

/// What was seen of this trouble so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) failed: Failed,
    pub(super) cause: Cause,
    /// Attempts that failed one after the other, this one included.
    pub(super) failures: u32,
    /// Whether anything in this segment has become durable: one that never took anything is not left for
    /// another, or a dead disk would get a new file with each attempt.
    pub(super) proven: bool,
    /// Whether there is another directory, and we are not in it.
    pub(super) elsewhere: bool,
}

/// What to do before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Nothing: the same bytes, to the same place.
    Again,
    /// Leave direct I/O, then again.
    Buffered,
    /// Write all that is not durable into a new segment.
    NextSegment,
    /// The same, in the other directory.
    Elsewhere,
}

/// What to do, and after which wait at least.
pub(super) fn react(situation: Situation) -> (Reaction, Duration) {
    use Cause::*;
    let Situation { failed, cause, failures, proven, elsewhere } = situation;
    let next = if proven { Reaction::NextSegment } else { Reaction::Again };
    let away = |otherwise| if elsewhere { Reaction::Elsewhere } else { otherwise };
    let reaction = match (failed, cause) {
        (_, Gone) | (Failed::Open, Space | Limit | Device | Other) => away(Reaction::Again),
        (_, Busy) => Reaction::Again,
        (Failed::Write, Invalid) if failures == 1 => Reaction::Buffered,
        (Failed::Write, Space) => away(Reaction::Again),
        (Failed::Write, Limit) => next,
        // The same place once more; then another.
        (Failed::Write | Failed::Barrier, _) if failures == 1 => Reaction::Again,
        (Failed::Write | Failed::Barrier, _) if failures == 2 || !elsewhere => next,
        (Failed::Write | Failed::Barrier, _) => Reaction::Elsewhere,
        (Failed::Open, Invalid) => Reaction::Again,
    };
    let wait = match (reaction, cause) {
        // What is moved can be tried at once.
        (Reaction::Buffered | Reaction::NextSegment | Reaction::Elsewhere, _) => Duration::ZERO,
        (Reaction::Again, Space) => backoff(Duration::from_millis(50), failures),
        (Reaction::Again, _) => backoff(Duration::from_millis(1), failures),
    };
    (reaction, wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Cause::*;
    use Reaction::*;

    #[test]
    fn each_cause_has_its_reaction() {
        let of = |failed, cause, failures, proven, elsewhere| {
            react(Situation { failed, cause, failures, proven, elsewhere }).0
        };
        let (write, barrier, open) = (Failed::Write, Failed::Barrier, Failed::Open);
        for (failed, cause, failures, proven, elsewhere, reaction) in [
            (write, Space, 1, true, false, Again),
            (write, Space, 9, true, false, Again),
            (write, Space, 1, true, true, Elsewhere),
            (write, Limit, 1, true, false, NextSegment),
            (write, Limit, 1, false, false, Again),
            (write, Device, 1, true, true, Again),
            (write, Device, 2, true, true, NextSegment),
            (write, Device, 2, true, false, NextSegment),
            (write, Device, 2, false, false, Again),
            (write, Device, 3, false, true, Elsewhere),
            (write, Device, 3, false, false, Again),
            (write, Gone, 1, true, true, Elsewhere),
            (write, Gone, 1, true, false, Again),
            (write, Invalid, 1, true, false, Buffered),
            (write, Invalid, 2, true, false, NextSegment),
            (write, Busy, 1, true, true, Again),
            (write, Busy, 5, true, true, Again),
            (write, Other, 1, true, false, Again),
            (barrier, Device, 1, true, false, Again),
            (barrier, Device, 2, true, false, NextSegment),
            (barrier, Device, 2, false, false, Again),
            (barrier, Device, 3, false, true, Elsewhere),
            (barrier, Space, 1, true, false, Again),
            (barrier, Gone, 1, true, true, Elsewhere),
            (open, Space, 1, true, true, Elsewhere),
            (open, Space, 1, true, false, Again),
            (open, Device, 1, false, true, Elsewhere),
            (open, Busy, 1, false, true, Again),
            (open, Invalid, 1, false, false, Again),
        ] {
            let is = of(failed, cause, failures, proven, elsewhere);
            assert_eq!(is, reaction, "{failed:?} {cause:?} {failures} {proven} {elsewhere}");
        }
    }
}
