//! The reaction to a failed operation, as one table. `docs/durability.md` has it in words.

use std::time::Duration;

use crate::{io::Cause, write::common::backoff};

/// The kind of operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Write,
    Barrier,
    /// Making or opening a segment.
    Open,
}

/// The facts about a failure, from which the reaction follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) failed: Failed,
    pub(super) cause: Cause,
    /// The number of attempts that failed one after the other, this one included.
    pub(super) failures: u32,
    /// Whether any part of this segment has become durable. A segment that never took one is not left for another,
    /// because a dead disk would get a new file with each attempt.
    pub(super) proven: bool,
    /// Whether the log has a fail-over directory, and is not in it.
    pub(super) elsewhere: bool,
}

/// The step before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// No step: write the same bytes to the same place.
    Again,
    /// Leave direct I/O, then write again.
    Buffered,
    /// Move all parts that are here to a new segment.
    NextSegment,
    /// Move all parts that are here to a new segment in the fail-over directory.
    Elsewhere,
}

/// Returns the reaction to a failure, and the least wait before it.
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
        // First the same place once more, then another segment.
        (Failed::Write | Failed::Barrier, _) if failures == 1 => Reaction::Again,
        (Failed::Write | Failed::Barrier, _) if failures == 2 || !elsewhere => next,
        (Failed::Write | Failed::Barrier, _) => Reaction::Elsewhere,
        (Failed::Open, Invalid) => Reaction::Again,
    };
    let wait = match (reaction, cause) {
        // An attempt at another place, or by other means, need not wait.
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
