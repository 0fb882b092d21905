//! The end of an event, and of the manager.

use super::sorting::Sorting;
use crate::write::{
    common::Ending,
    events::{shared::Shared, sorter::Sorter},
};

/// How far the manager is on its way to its end.
#[derive(Default)]
pub(super) struct Endings {
    /// Whether the last handle is gone.
    is_abandoned: bool,
    /// Whether the records that calls without return had published are sorted.
    is_held_sorted: bool,
}

/// Ends an event's file, once all its records are written. All earlier records are sorted.
pub(super) fn begin_end(number: u32, ending: Ending, sorter: &mut Sorter) {
    sorter.seal(number);
    sorter.end(number, ending);
}

impl Endings {
    /// Whether the last handle is gone.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Whether an end is under way that can advance now.
    pub(super) fn has_something_to_do(
        &self,
        shared: &Shared,
        sorting: &Sorting,
        sorter: &Sorter,
    ) -> bool {
        let goes_on = || self.is_sorted(shared, sorting) && is_any_open(sorter);
        match shared.gate.ending() {
            Ending::Open | Ending::Closed => false,
            Ending::Closing => goes_on(),
            Ending::Abandoned => !self.is_abandoned || goes_on(),
        }
    }

    fn is_sorted(&self, shared: &Shared, sorting: &Sorting) -> bool {
        !shared.orders.is_any() && sorting.is_over(self.is_abandoned)
    }

    /// Ends all events and then the manager, if the end is requested. Returns whether anything was done.
    pub(super) fn advance(
        &mut self,
        shared: &Shared,
        sorting: &mut Sorting,
        sorter: &mut Sorter,
    ) -> bool {
        let gate = &shared.gate;
        let ending = gate.ending();
        if ending == Ending::Open || ending == Ending::Closed {
            return false;
        }
        if ending == Ending::Abandoned && !self.is_abandoned {
            self.is_abandoned = true;
            sorter.drop_from_now_on();
            return true;
        }
        if self.is_abandoned && !self.is_held_sorted {
            sorting.close_shards();
        }
        if !self.is_sorted(shared, sorting) {
            return false;
        }
        if self.is_abandoned && !self.is_held_sorted {
            sorting.sort_held(sorter);
            self.is_held_sorted = true;
            return true;
        }
        let mut busy = false;
        for number in sorter.numbers() {
            let before = sorter.get(number).map(|staged| staged.event().session().gate().ending());
            if before.is_some_and(|before| before < ending) {
                begin_end(number, ending, sorter);
                busy = true;
            }
        }
        if sorter.is_empty() {
            gate.set_closed(None);
            busy = true;
        }
        busy
    }
}

fn is_any_open(sorter: &Sorter) -> bool {
    let mut events = sorter.all().peekable();
    events.peek().is_none() || events.any(|staged| staged.event().is_open())
}
