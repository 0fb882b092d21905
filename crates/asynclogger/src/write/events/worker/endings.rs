//! The end of an event, and of all.

use super::Worker;
use crate::write::{
    common::Ending,
    events::sorter::Hand,
    swap::{HEADER, Held},
};

impl Worker {
    /// Ends an event's file, once all of it is written.
    pub(super) fn begin_end(&mut self, number: u32) {
        self.sorter.seal(number);
        if let Some(staged) = self.sorter.get_mut(number) {
            staged.end(Ending::Closing);
            self.sorter.heat(number);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shared.gate.ending() == Ending::Closed
    }

    /// Whether there is an end to bring about that could go on now.
    pub(super) fn has_ending_to_do(&self) -> bool {
        match self.shared.gate.ending() {
            Ending::Open | Ending::Closed => false,
            Ending::Closing => self.is_sorted() && self.is_any_open(),
            Ending::Abandoned => !self.is_abandoned || (self.is_sorted() && self.is_any_open()),
        }
    }

    fn is_any_open(&self) -> bool {
        let mut events = self.sorter.all().peekable();
        events.peek().is_none() || events.any(|staged| staged.event().is_open())
    }

    /// Whether every record that was accepted is with its event, and no other can come.
    fn is_sorted(&self) -> bool {
        let shards = &self.shared.shards;
        self.hand.is_none()
            && !self.shared.has_orders()
            && self.generations.iter().enumerate().all(|(number, next)| {
                let is_over =
                    shards.is_closed(number) || (self.is_abandoned && shards.is_claimed(number));
                is_over && *next >= shards.generation(number)
            })
    }

    /// Ends all events, and then the manager, if that is asked for.
    pub(super) fn end_if_asked(&mut self) -> bool {
        let ending = self.shared.gate.ending();
        if ending == Ending::Open || ending == Ending::Closed {
            return false;
        }
        if ending == Ending::Abandoned && !self.is_abandoned {
            self.is_abandoned = true;
            self.sorter.drop_from_now_on();
            return true;
        }
        if !self.is_sorted() {
            return false;
        }
        let mut busy = false;
        if self.is_abandoned && !std::mem::replace(&mut self.is_held_sorted, true) {
            self.sort_held();
        }
        for number in 0..self.sorter.numbers() {
            let before =
                self.sorter.get(number).map(|staged| staged.event().session().gate().ending());
            if before.is_none_or(|before| before >= ending) {
                continue;
            }
            self.sorter.seal(number);
            if let Some(staged) = self.sorter.get_mut(number) {
                staged.end(ending);
                self.sorter.heat(number);
                busy = true;
            }
        }
        if self.sorter.is_empty() {
            self.shared.gate.set_closed(None);
            busy = true;
        }
        busy
    }

    /// The last handle is gone: what threads have published that stopped inside a call is sorted from
    /// copies, and their buffers are leaked, since they may yet store into them.
    fn sort_held(&mut self) {
        for Held { copy, .. } in self.shared.shards.copy_held() {
            if let Some(buffer) = copy {
                // Once: there is nobody to wait for.
                let _ = self.sorter.sort(&mut Hand { buffer, at: HEADER });
            }
        }
    }
}
