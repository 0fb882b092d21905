//! What others see of the way to the medium: since when the oldest operation waits, and by which means it goes.

use std::time::Instant;

use crate::{EngineKind, IoMode, io::BlockFile, write::common::Progress};

/// Tells others how it goes when that has changed, and not with each round: they read it without a lock.
#[derive(Default)]
pub(super) struct Gauge {
    shown: Option<Reading>,
}

#[derive(Clone, Copy, PartialEq)]
struct Reading {
    /// Since when the oldest operation is in flight.
    oldest: Option<Instant>,
    is_troubled: bool,
    mode: IoMode,
    engine: EngineKind,
}

impl Gauge {
    /// An operation begins. An engine that waits for the device is in there meanwhile, so others have to know before.
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
