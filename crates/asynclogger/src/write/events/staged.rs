//! One event as the flusher sees it: what is gathered and sealed for it, and the writer of its log.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{block::EventBlock, event::Event, gathered::Gathered, memory::Memory};
use crate::{
    Error,
    sync::Arc,
    write::{
        common::{BlockMemory, Ending, Reason},
        flush::LogWriter,
    },
};

/// After its file could not be opened again.
pub(super) const RETRY: Duration = Duration::from_millis(100);

pub(super) struct Staged {
    event: Arc<Event>,
    pub(super) writer: LogWriter,
    /// Blocks that the writer has not taken yet, by generation.
    sealed: VecDeque<(u64, EventBlock)>,
    /// Records that are gathered and that the log has counted.
    counted: u32,
    /// Once it takes no more records: of each shared shard, how many were sorted by then.
    ended_at: Option<Vec<u64>>,
    /// Whether the worker looks after it in each round.
    pub(super) is_hot: bool,
    /// When it was looked after last, in rounds.
    pub(super) last_round: u64,
    /// When its file is tried again, after it could not be opened.
    pub(super) retry_at: Option<Instant>,
}

impl Staged {
    pub(super) fn new(event: Arc<Event>, writer: LogWriter) -> Staged {
        Staged {
            event,
            writer,
            sealed: VecDeque::new(),
            counted: 0,
            ended_at: None,
            is_hot: false,
            last_round: 0,
            retry_at: None,
        }
    }

    pub(super) fn event(&self) -> &Arc<Event> {
        &self.event
    }

    /// Has the log count what is gathered as accepted.
    pub(super) fn count(&mut self, gathered: &Gathered) {
        let new = gathered.records() - self.counted;
        self.event.counts().accept(u64::from(new));
        self.counted = gathered.records();
    }

    /// Seals what is gathered: it is written as soon as the file is looked after.
    pub(super) fn seal(&mut self, gathered: &mut Gathered, memory: &mut Memory) {
        self.count(gathered);
        self.counted = 0;
        memory.sealed(gathered.pieces());
        if let Some(block) = gathered.seal(&self.event) {
            let generation = self.event.counts().seal();
            self.sealed.push_back((generation, block));
        }
    }

    /// Takes no more records, and ends the file once all are written.
    /// `sorted`: of each shared shard, how many records are with their events.
    pub(super) fn end(&mut self, ending: Ending, sorted: &[u64]) {
        self.event.close();
        self.ended_at.get_or_insert_with(|| sorted.to_vec());
        self.event.session().gate().set_ending(ending);
    }

    /// Whether it takes no more records, not even those that were logged before.
    pub(super) fn is_ending(&self) -> bool {
        self.ended_at.is_some()
    }

    /// Of each shared shard, how many records were sorted when it took its last one.
    pub(super) fn ended_at(&self) -> &[u64] {
        self.ended_at.as_deref().unwrap_or_default()
    }

    /// Whether its file is closed, and there is nothing to open it for.
    pub(super) fn is_asleep(&self, now: Instant) -> bool {
        self.writer.is_suspended() && self.is_at_rest() && !self.is_due(now)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.writer.wake_at(now).is_some_and(|at| now >= at)
    }

    /// Whether nothing is to be done until something is sealed or asked for.
    pub(super) fn is_at_rest(&self) -> bool {
        self.sealed.is_empty() && self.writer.is_at_rest()
    }

    /// Whether its file takes nothing now.
    pub(super) fn is_troubled(&self) -> bool {
        self.retry_at.is_some() || self.writer.is_troubled()
    }

    /// Whether there is something to do, as far as one can see without trying.
    pub(super) fn has_news(&self) -> bool {
        self.retry_at.is_none() && !self.writer.is_suspended() && self.writer.has_news()
    }

    /// Counts a record that finds no room.
    pub(super) fn count_drop(&self) {
        self.event.count_drop(Reason::Full);
    }

    /// Writes what is sealed and does what is due; whether anything was done.
    ///
    /// # Errors
    /// The file was closed, and cannot be opened again now.
    pub(super) fn pump(&mut self, now: Instant) -> Result<bool, Error> {
        if let Err(error) = self.writer.resume(now) {
            self.retry_at = now.checked_add(RETRY);
            return Err(error);
        }
        self.retry_at = None;
        let mut busy = false;
        loop {
            let mut again = false;
            while let Some((generation, block)) = self.sealed.pop_front() {
                if !self.writer.is_next(0, generation) {
                    self.sealed.push_front((generation, block));
                    break;
                }
                let block: Arc<dyn BlockMemory> = Arc::new(block);
                self.writer.write_block(block, 0, generation);
                again = true;
            }
            again |= self.writer.advance(now);
            if !again {
                return Ok(busy);
            }
            busy = true;
        }
    }
}
