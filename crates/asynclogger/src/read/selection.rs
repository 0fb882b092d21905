//! The selection of blocks by time.

/// A range of sealing times, in nanoseconds since 1970, including times that no file can store. The
/// reader reads only the head of a block outside the range: it does not check that block, and the records of the
/// block do not count as lost.
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

    /// Whether a block that was sealed at `time` is selected.
    pub(super) fn admits(&self, time: i64) -> bool {
        let time = i128::from(time);
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }
}
