//! The last records of several logs, by time.

use super::{ByTime, queue::Queue, walk::Walk};
use crate::{Error, read::ahead::Ahead};

impl ByTime {
    /// Moves to the last `count` records of all logs together. The next calls deliver these records, by time, and then
    /// the records that are written later.
    ///
    /// Only the heads of the blocks are read for that, in the last segments of each log that have so many records, and
    /// in one segment before these. A record of an earlier segment is not looked for, even if the clock was set back
    /// since. The records of a damaged block count as if they could be read, and so does each copy of a block that was
    /// written twice.
    ///
    /// # Errors
    ///
    /// The same as [`LogDir::seek_last`](crate::read::LogDir::seek_last).
    pub fn seek_last(&mut self, count: u64) -> Result<(), Error> {
        (self.queue, self.looked_at, self.is_delivered) = (Queue::default(), 0, false);
        self.walks.iter_mut().for_each(Walk::reset);
        let mut ahead = Vec::new();
        for walk in &mut self.walks {
            walk.log.seek_before_last(count)?;
            ahead.extend(walk.log.look_ahead());
        }
        let first = last_from(ahead, count);
        if let Some(first) = first {
            self.walks.iter_mut().for_each(|walk| walk.begin_at(first));
        }
        self.look();
        let there: u64 = self.walks.iter().map(Walk::records_ahead).sum();
        self.to_pass = if first.is_some() { there.saturating_sub(count) } else { 0 };
        Ok(())
    }
}

/// The time from which on the last `count` records are to be looked for; `None` if that is any time.
fn last_from(mut ahead: Vec<Ahead>, count: u64) -> Option<i128> {
    if count == 0 {
        return Some(i128::MAX);
    }
    ahead.sort_unstable_by_key(|block| std::cmp::Reverse(block.first));
    let mut found = 0u64;
    let block = ahead.iter().find(|block| {
        found = found.saturating_add(block.records);
        found >= count
    });
    block.map(|block| i128::from(block.first))
}
