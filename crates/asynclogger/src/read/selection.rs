//! Which blocks are asked for.

/// A range of times of sealing, in nanoseconds since 1970: of any times, also of those that no file can have.
/// Blocks outside of it are passed over by their
/// heads: neither read nor checked further, and not lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// From this time on.
    pub(super) since: Option<i128>,
    /// Before this time.
    pub(super) until: Option<i128>,
}

impl Selection {
    /// No block at all.
    pub(super) const NOTHING: Selection = Selection { since: None, until: Some(i128::MIN) };

    pub(super) fn is_all(&self) -> bool {
        *self == Selection::default()
    }

    /// Whether a block that was sealed at `time` is asked for.
    pub(super) fn admits(&self, time: i64) -> bool {
        let time = i128::from(time);
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }
}
