//! One order over all shards, segments and logs: by time.

mod files;
mod last;
mod queue;
mod record;
mod slab;
mod sums;
mod turn;
mod waiting;
mod walk;
mod window;

use std::time::{Duration, SystemTime};

pub use self::record::LogRecord;
use self::{
    files::Files,
    queue::{Moved, Queue},
    walk::Walk,
};
use super::log_dir::LogDir;
use crate::{Error, format::time::to_nanoseconds};

/// How long a following reader waits for earlier records, unless told otherwise: the default interval of a logger, and
/// a second for the write.
const HOLD_BACK: Duration = Duration::from_secs(11);

/// How many logs keep what their readers have decompressed: at most 6 MiB each.
const WARM: usize = 8;

/// The records of one log or of several, merged into one order by time.
///
/// A log has the records of each thread's buffers in blocks, one block after the other as they were written. A record
/// of this moment can so stand megabytes before one of an earlier moment. A `ByTime` delivers the records of all shards,
/// segments and logs by [`Record::time`](super::Record::time). Records of equal times come in the order of the logs, and within a log in the
/// order of its files: the result is that of a stable sort of everything, whatever the clock did.
///
/// It is not made by a sort. First the heads of all blocks are read, which have the times: then it is known, for each
/// place in a log, that no record behind the place is earlier than this or that moment. The files are then read in
/// their order, only as far as the next record needs it. A block that was read and checked keeps no memory while it
/// waits for its turn; its records are read again when the turn comes, a piece at a time. So the memory is: for each
/// block of the logs, 32 bytes; for each that waits, 300; for each whose times surround the current moment (as many as
/// there are shards, usually), the times of its records and a piece of 256 KiB, or 2 MiB of a compressed segment, or
/// its longest record; one block; and where segments are compressed, 6 MiB for each log, at most eight times, and 18 MiB.
/// One file a log is open, and at most 16 others.
///
/// Where records have no times of their own, the time of their block stands for them, which is when it was sealed: they
/// come late, by at most an interval of their logger. Files of the original have no times at all: their records come
/// first, as they stand in the file.
///
/// The block of a manager's event has the records of several threads, so its times go back. Such a block is cut
/// where its times go back. Pieces of less than 4 KiB that stand together are one piece, which is sorted when its turn
/// comes. So of many events the records around the current moment are in memory, with up to 8 KiB for each piece, some 150
/// bytes for each piece that waits, and the times of the blocks that have begun. In compressed segments such a piece has
/// 256 KiB, since a frame of up to 2 MiB is decompressed for each.
///
/// What is written to the logs meanwhile comes behind everything that was there at the first call.
///
/// # Following
///
/// With [`ReadOptions::follow`](super::ReadOptions::follow), a record is delivered when no earlier one is to be expected:
///
/// * A record waits in its logger's memory for at most the flush interval, and then for its write. So all records that
///   are older than these have come: a record is delivered as soon as it is as old as
///   [`hold_back`](ByTime::hold_back), or was read that long ago (its time can lie in the future, by a clock that was
///   set back).
/// * When the sessions of all logs are over, or their writers have died, everything is delivered at once.
///
/// So nothing is held back for longer than that. A record that comes later still, because its logger has a longer
/// interval, the disk has hung, or a dead process's memory was salvaged, is delivered at once, behind later ones.
///
/// ```
/// # fn main() -> Result<(), asynclogger::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v2.log");
/// use asynclogger::read::LogDir;
///
/// let mut records = LogDir::open(path)?.by_time();
/// while let Some(record) = records.next_record()? {
///     println!("{:?}: {} bytes", record.record().time(), record.record().bytes().len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct ByTime {
    walks: Vec<Walk>,
    queue: Queue,
    files: Files,
    /// The memory for the block that is read. All logs share it.
    memory: Vec<u8>,
    /// The logs that were read last: only their readers keep what they have decompressed.
    warm: Vec<usize>,
    /// The number of logs whose heads were read.
    looked_at: usize,
    /// Whether the first record of the queue was delivered.
    is_delivered: bool,
    /// The number of records that are still to be left out.
    to_pass: u64,
    hold_back: Duration,
    /// Records up to this time are not held back.
    released: i128,
    /// Records up to this time can be delivered: they are not held back, and no earlier one is still to be read.
    limit: i128,
}

impl LogDir {
    /// Merges the records of all shards into one order by time; see [`ByTime`].
    pub fn by_time(self) -> ByTime {
        ByTime::new(vec![self])
    }
}

impl ByTime {
    /// Merges several logs. Each delivers what its [`next_record`](LogDir::next_record) would deliver from now on.
    pub fn new(logs: Vec<LogDir>) -> ByTime {
        ByTime {
            walks: logs.into_iter().map(Walk::new).collect(),
            queue: Queue::default(),
            files: Files::default(),
            memory: Vec::new(),
            warm: Vec::new(),
            looked_at: 0,
            is_delivered: false,
            to_pass: 0,
            hold_back: HOLD_BACK,
            released: i128::MAX,
            limit: i128::MIN,
        }
    }

    /// How long a following reader waits for earlier records; see [Following](ByTime#following). Default: 11 seconds,
    /// which is the default flush interval of a logger and a second more.
    pub fn hold_back(mut self, time: Duration) -> ByTime {
        self.hold_back = time;
        self
    }

    /// The logs, each with its report on what was read of it. That can be more than what was delivered.
    #[must_use]
    pub fn logs(&self) -> impl ExactSizeIterator<Item = &LogDir> {
        self.walks.iter().map(|walk| &walk.log)
    }

    /// Adds a log. Its records are merged with those that were not delivered yet.
    pub fn add(&mut self, log: LogDir) {
        self.walks.push(Walk::new(log));
    }

    /// Reads the directories again, each once; see [`LogDir::refresh`].
    ///
    /// # Errors
    ///
    /// The same as [`LogDir::refresh`]; the other logs are refreshed all the same.
    pub fn refresh(&mut self) -> Result<(), Error> {
        LogDir::refresh_all(self.walks.iter_mut().map(|walk| &mut walk.log))
    }

    /// The next record; `None` at the current end of all logs, or if the next record is held back. A later call goes
    /// on. A segment that cannot be read is passed over, as by [`LogDir::next_record`].
    ///
    /// # Errors
    ///
    /// The same as [`LogDir::next_record`].
    pub fn next_record(&mut self) -> Result<Option<LogRecord<'_>>, Error> {
        while self.find_next()? {
            self.is_delivered = true;
            match self.to_pass.checked_sub(1) {
                Some(left) => self.to_pass = left,
                None => return Ok(self.queue.record()),
            }
        }
        Ok(None)
    }

    /// Makes the next record the first one of the queue; `false` if there is none, or if it is held back.
    #[inline]
    fn find_next(&mut self) -> Result<bool, Error> {
        if self.is_delivered {
            self.is_delivered = false;
            if self.queue.step() == Moved::Unread {
                self.queue.read_and_step(&mut self.files, &mut self.walks);
            }
        }
        let is_due = self.queue.time().is_some_and(|time| i128::from(time) <= self.limit);
        if is_due && self.queue.is_ready() {
            return Ok(true);
        }
        self.find()
    }

    #[cold]
    fn find(&mut self) -> Result<bool, Error> {
        if self.looked_at < self.walks.len() {
            self.look();
        }
        let mut has_read_all = false;
        loop {
            let time = self.queue.time().map(i128::from);
            if time.is_none_or(|time| time > self.limit) {
                if self.read_ahead(time)? {
                    continue;
                }
                if !has_read_all && (time.is_none() || time > Some(self.released)) {
                    has_read_all = true;
                    self.read_all()?;
                    continue;
                }
                if time.is_none() || !self.queue.has_waited(self.hold_back) {
                    return Ok(false);
                }
            }
            if self.queue.is_ready() {
                return Ok(true);
            }
            self.queue.read_and_step(&mut self.files, &mut self.walks);
        }
    }

    /// Reads the heads of the logs that are new.
    fn look(&mut self) {
        // What is written after the heads were read is younger than this.
        self.released = self.released_now();
        let new = self.walks.get_mut(self.looked_at..).unwrap_or_default();
        new.iter_mut().for_each(Walk::look_ahead);
        self.looked_at = self.walks.len();
        self.set_limit();
    }

    /// Reads the next block of the log that can have the earliest record, if that can be as early as `time`; `false`
    /// if none can.
    fn read_ahead(&mut self, time: Option<i128>) -> Result<bool, Error> {
        let bounds = self.walks.iter().enumerate();
        let bounds = bounds.filter_map(|(log, walk)| Some((walk.bound()?, log)));
        let Some((bound, log)) = bounds.min() else { return Ok(false) };
        if time.is_some_and(|time| time < i128::from(bound)) {
            return Ok(false);
        }
        self.read_block(log)?;
        Ok(true)
    }

    /// Reads the next block of a log; `false` at its current end.
    fn read_block(&mut self, log: usize) -> Result<bool, Error> {
        let Some(walk) = self.walks.get_mut(log) else { return Ok(false) };
        let read = walk.next(&mut self.memory);
        self.warm.retain(|warm| *warm != log);
        self.warm.push(log);
        if self.warm.len() > WARM {
            let cold = self.warm.remove(0);
            self.walks.iter_mut().skip(cold).take(1).for_each(|walk| walk.log.release());
        }
        self.set_limit();
        let Some(block) = read? else { return Ok(false) };
        self.queue.push(log, block);
        Ok(true)
    }

    /// Reads all logs to their current ends.
    fn read_all(&mut self) -> Result<(), Error> {
        let released = self.released_now();
        let mut result = Ok(());
        for log in 0..self.walks.len() {
            loop {
                match self.read_block(log) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        result = result.and(Err(error));
                        break;
                    }
                }
            }
        }
        let is_over = self.walks.iter().all(|walk| walk.log.is_over());
        self.released = if is_over { i128::MAX } else { released };
        self.set_limit();
        result
    }

    /// Up to which time all records have been written by now.
    fn released_now(&self) -> i128 {
        if !self.walks.iter().any(|walk| walk.log.is_followed()) {
            return i128::MAX;
        }
        let hold_back = i128::try_from(self.hold_back.as_nanos()).unwrap_or(i128::MAX);
        to_nanoseconds(SystemTime::now()).saturating_sub(hold_back)
    }

    fn set_limit(&mut self) {
        let bounds = self.walks.iter().filter_map(Walk::bound);
        let bound = bounds.min().map_or(i128::MAX, |bound| i128::from(bound) - 1);
        self.limit = self.released.min(bound);
    }
}

#[cfg(test)]
impl ByTime {
    /// The memory for the records that are delivered, and what the readers have kept for blocks.
    pub(super) fn in_memory(&mut self) -> usize {
        let mut kept = 0;
        for walk in &mut self.walks {
            let mut memory = Vec::new();
            walk.log.take_memory(&mut memory);
            kept += memory.capacity();
        }
        kept + self.queue.in_memory()
    }
}

/// The pieces of a block: their runs, whether they are ordered, and their least times.
#[cfg(test)]
pub(super) fn pieces_of(
    loaded: &mut super::loaded::Loaded,
    is_compressed: bool,
) -> Vec<(Vec<super::block::Run>, bool, i64)> {
    let (_, pieces) = waiting::Block::new(loaded, 1, waiting::full(is_compressed));
    pieces.into_iter().map(|piece| (piece.runs, piece.is_ordered, piece.first)).collect()
}
