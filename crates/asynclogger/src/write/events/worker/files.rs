//! The files of the events: work goes to events that have something to do, and the number of open files is limited.

use std::{collections::BTreeSet, time::Instant};

use crate::{
    sync::{Arc, Ordering},
    write::events::{
        event::Hold,
        shared::Shared,
        sorter::Sorter,
        staged::{RETRY, Staged},
    },
};

/// The result of the work on an event.
#[derive(Clone, Copy)]
struct Pumped {
    did: bool,
    /// Whether the event has nothing to do until a request or new records come.
    rests: bool,
}

/// The choice of the events to work on, and the time for it.
///
/// Thousands of events can be open, and few of them have something to do: a look at all of them in each round would
/// find nothing at most of them. So the worker looks only at hot events. An event cools when it is at rest, and is
/// remembered here if the clock alone will give it work, such as a rotation.
pub(super) struct Files {
    shared: Arc<Shared>,
    max_open: usize,
    /// The number of rounds over the hot events. This clock shows which event has been idle the longest.
    round: u64,
    /// The times at which quiet events have something to do.
    wakes: BTreeSet<(Instant, u32)>,
}

impl Files {
    pub(super) fn new(shared: Arc<Shared>, max_open: usize) -> Files {
        Files { shared, max_open: max_open.max(1), round: 0, wakes: BTreeSet::new() }
    }

    /// Works on the events that have something to do. Returns whether anything was done. `between` is called after each
    /// event for which something was done.
    pub(super) fn pump(
        &mut self,
        now: Instant,
        sorter: &mut Sorter,
        mut between: impl FnMut(&mut Sorter) -> bool,
    ) -> bool {
        self.round += 1;
        while let Some((at, number)) = self.wakes.first().copied().filter(|(at, _)| *at <= now) {
            self.wakes.remove(&(at, number));
            sorter.heat(number);
        }
        let mut busy = false;
        let mut at = 0;
        while let Some(number) = sorter.hot.get(at).copied() {
            let Pumped { did, rests } = self.pump_event(number, now, sorter);
            busy |= did;
            if did {
                busy |= between(sorter);
            }
            if rests {
                sorter.hot.swap_remove(at);
            } else {
                at += 1;
            }
        }
        busy
    }

    fn pump_event(&mut self, number: u32, now: Instant, sorter: &mut Sorter) -> Pumped {
        const GONE: Pumped = Pumped { did: false, rests: true };
        const WAITS: Pumped = Pumped { did: false, rests: false };
        let is_suspended = match sorter.get_mut(number) {
            None => return GONE,
            Some(staged) if staged.is_asleep(now) && !staged.event().is_held_for(Hold::Quota) => {
                staged.is_hot = false;
                return GONE;
            }
            Some(staged) if staged.retry_at.is_some_and(|at| now < at) => return WAITS,
            Some(staged) => staged.writer.is_suspended(),
        };
        if is_suspended && !self.make_room(sorter) {
            return WAITS;
        }
        let Some((staged, memory)) = sorter.with_memory(number) else {
            return GONE;
        };
        staged.last_round = self.round;
        let pumped = staged.pump(now);
        if is_suspended && !staged.writer.is_suspended() {
            self.shared.open_files.fetch_add(1, Ordering::Relaxed);
        }
        if staged.writer.is_closed() {
            self.let_go(number, sorter);
            return Pumped { did: true, rests: true };
        }
        let did = pumped.unwrap_or(false);
        let rests = !did && staged.is_at_rest();
        if staged.event().is_held_for(Hold::Quota) {
            if memory.is_within_quota(staged.event().pieces()) {
                staged.event().resume(Hold::Quota);
            } else if rests && sorter.has_gathered(number) {
                // The gathered records have all of the event's memory, which comes back only when they are written.
                sorter.seal(number);
                return Pumped { did: true, rests: false };
            }
        }
        let Some((staged, memory)) = sorter.with_memory(number) else {
            return Pumped { did, rests: true };
        };
        if rests {
            staged.is_hot = false;
            if let Some(at) = staged.writer.wake_at(now) {
                self.wakes.insert((at, number));
            }
        } else if memory.is_wanted() || staged.event().is_held_for(Hold::Quota) {
            staged.writer.want_memory();
        }
        Pumped { did, rests }
    }

    /// Gives up a closed event: its file, and the right to the file.
    fn let_go(&self, number: u32, sorter: &mut Sorter) {
        if let Some(staged) = sorter.remove(number) {
            if !staged.writer.is_suspended() {
                self.shared.open_files.fetch_sub(1, Ordering::Relaxed);
            }
            let (event, sorted) = (staged.event().clone(), staged.ended_at().to_vec());
            drop(staged);
            self.shared.closed(event, &sorted);
        }
    }

    /// Makes sure that one more file can be opened: the files that were idle for the longest time give their
    /// descriptors back, some at a time. Returns whether one more file can be opened.
    fn make_room(&self, sorter: &mut Sorter) -> bool {
        let open_files = &self.shared.open_files;
        if open_files.load(Ordering::Relaxed) < self.max_open {
            return true;
        }
        let events = sorter.all_mut();
        let mut resting: Vec<_> =
            events.filter(|staged| !staged.writer.is_suspended() && staged.is_at_rest()).collect();
        resting.sort_unstable_by_key(|staged| staged.last_round);
        for staged in resting.into_iter().take((self.max_open / 4).max(1)) {
            staged.writer.suspend();
            open_files.fetch_sub(1, Ordering::Relaxed);
        }
        open_files.load(Ordering::Relaxed) < self.max_open
    }

    /// The time at which an event will have something to do, if nothing else wakes the flusher.
    pub(super) fn wake_at(&self, now: Instant, sorter: &Sorter) -> Option<Instant> {
        let hot = sorter.hot.iter().filter_map(|number| {
            let staged = sorter.get(*number)?;
            // The file is suspended and the event is hot: too many files are open, so the event waits for a descriptor.
            let waits_for_a_file = || staged.writer.is_suspended().then_some(now + RETRY);
            staged.retry_at.or_else(waits_for_a_file).or_else(|| staged.writer.wake_at(now))
        });
        self.wakes.first().map(|(at, _)| *at).into_iter().chain(hot).min()
    }
}

/// Whether an event has work, as far as can be known without an attempt.
pub(super) fn have_news(sorter: &Sorter) -> bool {
    let mut hot = sorter.hot.iter().filter_map(|number| sorter.get(*number));
    hot.any(Staged::has_news)
}
