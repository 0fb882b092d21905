//! One event as the flusher sees it: its sealed blocks, and the writer of its log.

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

/// The wait before the next attempt to open a suspended file again.
pub(super) const RETRY: Duration = Duration::from_millis(100);

pub(super) struct Staged {
    event: Arc<Event>,
    pub(super) writer: LogWriter,
    /// Blocks that the writer has not taken yet, by generation.
    sealed: VecDeque<(u64, EventBlock)>,
    /// The number of gathered records that the log has counted.
    counted: u32,
    /// Once the event takes no more records: for each shared shard the number of records that were sorted by then.
    ended_at: Option<Vec<u64>>,
    /// Whether the worker works on the event in each round.
    pub(super) is_hot: bool,
    /// The last round in which the worker worked on the event.
    pub(super) last_round: u64,
    /// The time of the next attempt to open the file, after a failed one.
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

    /// Makes the log count the gathered records as accepted.
    pub(super) fn count(&mut self, gathered: &Gathered) {
        let new = gathered.records() - self.counted;
        self.event.counts().accept(u64::from(new));
        self.counted = gathered.records();
    }

    /// Seals the gathered records. They are written the next time the worker works on the file.
    pub(super) fn seal(&mut self, gathered: &mut Gathered, memory: &mut Memory) {
        self.count(gathered);
        self.counted = 0;
        memory.sealed(gathered.pieces());
        if let Some(block) = gathered.seal(&self.event) {
            let generation = self.event.counts().seal();
            self.sealed.push_back((generation, block));
        }
    }

    /// Takes no more records, and ends the file once all are written. `sorted` has for each shared shard the number of
    /// records that are with their events.
    pub(super) fn end(&mut self, ending: Ending, sorted: &[u64]) {
        self.event.close();
        self.ended_at.get_or_insert_with(|| sorted.to_vec());
        self.event.session().gate().set_ending(ending);
    }

    /// Whether the event takes no more records, not even those that were logged before.
    pub(super) fn is_ending(&self) -> bool {
        self.ended_at.is_some()
    }

    /// For each shared shard the number of records that were sorted when the event took its last one.
    pub(super) fn ended_at(&self) -> &[u64] {
        self.ended_at.as_deref().unwrap_or_default()
    }

    /// Whether the file is closed, and no work needs it open.
    pub(super) fn is_asleep(&self, now: Instant) -> bool {
        self.writer.is_suspended() && self.is_at_rest() && !self.is_due(now)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.writer.wake_at(now).is_some_and(|at| now >= at)
    }

    /// Whether the event has nothing to do until records are sealed or a request comes.
    pub(super) fn is_at_rest(&self) -> bool {
        self.sealed.is_empty() && self.writer.is_at_rest()
    }

    /// Whether the file takes no blocks now.
    pub(super) fn is_troubled(&self) -> bool {
        self.retry_at.is_some() || self.writer.is_troubled()
    }

    /// Whether the event has work, as far as can be known without an attempt.
    pub(super) fn has_news(&self) -> bool {
        self.retry_at.is_none() && !self.writer.is_suspended() && self.writer.has_news()
    }

    /// Counts a record that finds no room.
    pub(super) fn count_drop(&self) {
        self.event.count_drop(Reason::Full);
    }

    /// Writes sealed blocks, and does all that is due. Returns whether anything was done.
    ///
    /// # Errors
    /// The file was suspended, and cannot be opened again now.
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
