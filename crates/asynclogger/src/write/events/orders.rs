//! What callers order of the flusher for single events.

use super::event::Event;
use crate::{
    sync::{Arc, AtomicBool, Mutex, Ordering, lock},
    write::flush::LogWriter,
};

/// What the flusher has not taken over yet.
#[derive(Default)]
pub(super) struct Orders {
    waiting: Mutex<Waiting>,
    is_any: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    new: Vec<(Arc<Event>, LogWriter)>,
    close: Vec<u32>,
    flush: Vec<Arc<Event>>,
}

impl Orders {
    /// An event was opened. Ring the bell after this, and the two below.
    pub(super) fn open(&self, event: &Arc<Event>, writer: LogWriter) {
        self.add(|waiting| waiting.new.push((event.clone(), writer)));
    }

    /// The event with this number is to be closed.
    pub(super) fn close(&self, number: u32) {
        self.add(|waiting| waiting.close.push(number));
    }

    /// The records of an event are to be durable; its gate says for whom.
    pub(super) fn flush(&self, event: &Arc<Event>) {
        self.add(|waiting| waiting.flush.push(event.clone()));
    }

    fn add(&self, order: impl FnOnce(&mut Waiting)) {
        order(&mut lock(&self.waiting));
        // Release pairs with the Acquire in `is_any`; the bell has the fence.
        self.is_any.store(true, Ordering::Release);
    }

    /// Whether there is anything to take over.
    pub(super) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// Events that were opened, with the writers of their logs.
    pub(super) fn take_new(&self) -> Vec<(Arc<Event>, LogWriter)> {
        std::mem::take(&mut lock(&self.waiting).new)
    }

    /// Numbers of events to close. What is new was taken before, or is taken next.
    pub(super) fn take_closes(&self) -> Vec<u32> {
        let mut waiting = lock(&self.waiting);
        if waiting.new.is_empty() && waiting.flush.is_empty() {
            self.is_any.store(false, Ordering::Release);
        }
        std::mem::take(&mut waiting.close)
    }

    /// Events whose records are to be durable.
    pub(super) fn take_flushes(&self) -> Vec<Arc<Event>> {
        std::mem::take(&mut lock(&self.waiting).flush)
    }
}
