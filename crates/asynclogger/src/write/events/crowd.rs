//! The crowd: events that fill the shared buffers faster than they are sorted, so that records of other events find
//! no room.
//!
//! This matters only under a policy that drops: waiting callers get buffers in turn. An event that has the most of a
//! buffer while fewer than half of the buffers are free takes no records until three quarters are free. Meanwhile its
//! own records are refused, and the records of other events find room.

use super::{
    by_number::ByNumber,
    event::{Event, Hold},
};
use crate::sync::Arc;

pub(super) struct Crowd {
    /// Whether events are ever held, which depends on the policy.
    is_watched: bool,
    /// The bytes of each event, by number, in the buffer that is looked at.
    bytes: ByNumber<usize>,
    held: Vec<Arc<Event>>,
}

impl Crowd {
    pub(super) fn new(is_watched: bool) -> Crowd {
        Crowd { is_watched, bytes: ByNumber::default(), held: Vec::new() }
    }

    /// Whether so few buffers are free that an event has to be held.
    pub(super) fn is_dense(&self, free: impl FnOnce() -> usize, all: usize) -> bool {
        self.is_watched && free() * 2 < all
    }

    /// Returns the event with the most bytes in a buffer, if it has more than an eighth of them. `records` are the
    /// buffer's records, by the number of their event and their length. Records with unknown numbers do not count.
    pub(super) fn loudest(
        &mut self,
        records: impl Iterator<Item = (u32, usize)>,
        is_known: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        self.bytes.clear();
        let mut total = 0;
        for (number, len) in records {
            total += len;
            *self.bytes.entry(number).or_default() += len;
        }
        let known = self.bytes.iter().filter(|(number, _)| is_known(**number));
        let (number, most) = known.max_by_key(|(_, bytes)| **bytes)?;
        (*most > total / 8).then_some(*number)
    }

    /// Holds an event: it takes no records for now.
    pub(super) fn hold(&mut self, event: &Arc<Event>) {
        if !self.held.iter().any(|held| Arc::ptr_eq(held, event)) {
            event.hold(Hold::Crowd);
            self.held.push(event.clone());
        }
    }

    /// Releases all held events once three quarters of the buffers are free. Without buffers to sort they are: each
    /// shard has one of four buffers to write to.
    pub(super) fn ease(&mut self, free: impl FnOnce() -> usize, all: usize) {
        if !self.held.is_empty() && free() * 4 >= all * 3 {
            self.held.drain(..).for_each(|event| event.resume(Hold::Crowd));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Opened,
        write::{
            events::names::Names,
            flush::{Counts, Intake, Session},
            swap::Bell,
        },
    };

    fn event(number: u32) -> Arc<Event> {
        let counts = Arc::new(Counts::new(None));
        let bell = Arc::new(Bell::new().expect("a bell"));
        let session = Arc::new(Session::new(1, Intake::Gathered(counts.clone()), bell));
        let name = Names::new().entry("event");
        Arc::new(Event::new(name, number, 100, Opened::Created, session, counts, 1))
    }

    #[test]
    fn with_fewer_than_half_somebody_is_held() {
        let crowd = Crowd::new(true);
        assert!(crowd.is_dense(|| 3, 8) && !crowd.is_dense(|| 4, 8));
        assert!(crowd.is_dense(|| 3, 7) && !crowd.is_dense(|| 4, 7));
        assert!(!Crowd::new(false).is_dense(|| 0, 8));
    }

    #[test]
    fn who_has_the_most_is_held_if_it_is_much() {
        let mut crowd = Crowd::new(true);
        let mut loudest =
            |records: &[(u32, usize)]| crowd.loudest(records.iter().copied(), |number| number < 10);
        assert_eq!(loudest(&[]), None);
        assert_eq!(loudest(&[(0, 1), (9, 100), (0, 98)]), Some(9));
        // Nothing is left of the last time.
        assert_eq!(loudest(&[(9, 1), (0, 100), (9, 98)]), Some(0));
        // Many short ones.
        assert_eq!(loudest(&[(1, 5), (2, 3), (2, 3)]), Some(2));
        // An eighth each.
        let even: Vec<_> = (0..8).map(|number| (number, 10)).collect();
        assert_eq!(loudest(&even), None);
        let more: Vec<_> = (0..8).map(|number| (number, 10 + number as usize / 7)).collect();
        assert_eq!(loudest(&more), Some(7));
        // Nobody's.
        assert_eq!(loudest(&[(10, 1000), (u32::MAX, 1000), (3, 500)]), Some(3));
        assert_eq!(loudest(&[(10, 1000)]), None);
    }

    #[test]
    fn all_are_let_go_together() {
        let mut crowd = Crowd::new(true);
        let (first, second) = (event(0), event(1));
        crowd.hold(&first);
        crowd.hold(&first);
        crowd.hold(&second);
        assert!(first.is_held() && second.is_held());
        crowd.ease(|| 5, 8);
        assert!(first.is_held() && second.is_held());
        crowd.ease(|| 6, 8);
        assert!(!first.is_held() && !second.is_held());
        // Nobody keeps them from being forgotten.
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 1));
        crowd.hold(&first);
        assert!(first.is_held());
    }

    #[test]
    fn who_is_held_for_two_reasons_waits_for_both() {
        for quota_first in [true, false] {
            let mut crowd = Crowd::new(true);
            let event = event(0);
            event.hold(Hold::Quota);
            crowd.hold(&event);
            let quota = |event: &Event| event.resume(Hold::Quota);
            if quota_first {
                quota(&event);
                assert!(event.is_held() && !event.is_held_for(Hold::Quota));
            }
            crowd.ease(|| 8, 8);
            assert_eq!(event.is_held(), !quota_first);
            quota(&event);
            assert!(!event.is_held() && event.limit() == 100);
        }
    }

    #[test]
    fn who_is_closed_stays_closed() {
        let mut crowd = Crowd::new(true);
        let event = event(0);
        crowd.hold(&event);
        event.close();
        crowd.ease(|| 8, 8);
        assert!(!event.is_open() && !event.is_held() && event.limit() == 0);
    }
}
