//! Orders of callers to the flusher, for single events.

use super::event::Event;
use crate::{
    io::Directory,
    sync::{Arc, AtomicBool, Mutex, Ordering, lock},
    write::flush::LogWriter,
};

/// The orders that the flusher has not taken over yet.
#[derive(Default)]
pub(super) struct Orders {
    waiting: Mutex<Waiting>,
    is_any: AtomicBool,
}

/// Events that were opened, and the writers of their logs.
#[derive(Default)]
pub(super) struct NewEvents {
    pub(super) all: Vec<(Arc<Event>, LogWriter)>,
    /// The directory in which files of theirs got their names, if the names are not durable. The directory is synced
    /// before any of them writes a block.
    pub(super) unsynced: Option<Arc<Directory>>,
}

#[derive(Default)]
struct Waiting {
    new: NewEvents,
    close: Vec<u32>,
    flush: Vec<Arc<Event>>,
}

impl Orders {
    /// Hands over an event that was opened. `unsynced`: the directory of its file, if the file's name is not durable.
    /// Ring the bell after this call, and after the two below.
    pub(super) fn open(
        &self,
        event: &Arc<Event>,
        writer: LogWriter,
        unsynced: Option<Arc<Directory>>,
    ) {
        self.add(|waiting| {
            waiting.new.all.push((event.clone(), writer));
            waiting.new.unsynced = unsynced.or(waiting.new.unsynced.take());
        });
    }

    /// Orders that the event with this number is closed.
    pub(super) fn close(&self, number: u32) {
        self.add(|waiting| waiting.close.push(number));
    }

    /// Orders a flush of an event. The event's gate has the requests.
    pub(super) fn flush(&self, event: &Arc<Event>) {
        self.add(|waiting| waiting.flush.push(event.clone()));
    }

    fn add(&self, order: impl FnOnce(&mut Waiting)) {
        order(&mut lock(&self.waiting));
        // Release pairs with the Acquire in `is_any`; the bell has the fence.
        self.is_any.store(true, Ordering::Release);
    }

    /// Whether any order waits.
    pub(super) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// Takes the events that were opened.
    pub(super) fn take_new(&self) -> NewEvents {
        std::mem::take(&mut lock(&self.waiting).new)
    }

    /// Takes the numbers of the events to close. New events were taken before, or are taken next.
    pub(super) fn take_closes(&self) -> Vec<u32> {
        let mut waiting = lock(&self.waiting);
        if waiting.new.all.is_empty() && waiting.flush.is_empty() {
            self.is_any.store(false, Ordering::Release);
        }
        std::mem::take(&mut waiting.close)
    }

    /// Takes the events to flush.
    pub(super) fn take_flushes(&self) -> Vec<Arc<Event>> {
        std::mem::take(&mut lock(&self.waiting).flush)
    }
}
