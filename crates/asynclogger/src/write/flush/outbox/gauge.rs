//! The view from outside on the way to the medium: the start of the oldest waiting operation, and the means of I/O.

use std::time::Instant;

use crate::{EngineKind, IoMode, io::BlockFile, write::common::Progress};

/// Publishes the state of the outbox when it has changed, and not in each round. Others read it without a lock.
#[derive(Default)]
pub(super) struct Gauge {
    shown: Option<Reading>,
}

#[derive(Clone, Copy, PartialEq)]
struct Reading {
    /// The start of the oldest operation that is in flight.
    oldest: Option<Instant>,
    is_troubled: bool,
    mode: IoMode,
    engine: EngineKind,
}

impl Gauge {
    /// Publishes that an operation begins. A waiting engine returns only after the device has answered, so this has to
    /// be
    /// published before.
    pub(super) fn begin_wait(&mut self, now: Instant, progress: &Progress) {
        if self.shown.is_none_or(|shown| shown.oldest.is_none()) {
            progress.set_wait(Some(now));
            self.shown = None;
        }
    }

    pub(super) fn show(
        &mut self,
        oldest: Option<Instant>,
        is_troubled: bool,
        file: &dyn BlockFile,
        progress: &Progress,
    ) {
        let now = Reading { oldest, is_troubled, mode: file.mode(), engine: file.engine() };
        if self.shown != Some(now) {
            self.shown = Some(now);
            progress.set_wait(now.oldest);
            progress.set_trouble(now.is_troubled);
            progress.set_io(now.mode, now.engine);
        }
    }
}
