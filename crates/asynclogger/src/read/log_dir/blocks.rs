//! What a merge by time needs of a log: block after block, and the heads of those that follow.

use std::{collections::BTreeMap, path::PathBuf};

use super::LogDir;
use crate::{
    Error, ErrorKind,
    probe::Source,
    read::{
        ahead::Ahead,
        heads::Head,
        listed::Listed,
        listing::{Listing, list},
        loaded::Loaded,
        reader::Reader,
        records::Block,
        report::{SessionReport, SessionState},
        selection::Selection,
    },
};

impl LogDir {
    /// The next part of the log, by its metadata alone; `None` at its current end. The data of the blocks is neither read
    /// nor checked; each record counts in one head only, also if its block is in two segments. See [`Reader::next_head`] and
    /// [`next_record`](LogDir::next_record).
    ///
    /// # Errors
    ///
    /// The same as [`next_record`](LogDir::next_record).
    pub fn next_head(&mut self) -> Result<Option<Head>, Error> {
        loop {
            let is_over = self.next < self.segments.len();
            if let Some(reader) = self.reader.as_mut().filter(|_| !self.is_given_up) {
                let mut found = reader.next_head();
                if self.options.follow && is_over && matches!(found, Ok(None)) {
                    // A later segment exists, so nothing is written to this one any more.
                    reader.set_follow(false);
                    found = reader.next_head();
                }
                match found {
                    Ok(None) => {}
                    Err(error) if is_over || !self.options.follow => {
                        self.unread.push(error);
                        self.is_given_up = true;
                    }
                    found => return found,
                }
            }
            if !self.open_next()? {
                return Ok(None);
            }
        }
    }

    /// The next block with records; `None` at the current end of the log. The records of the block before that
    /// [`next_record`](LogDir::next_record) has not delivered yet are passed over, and so are blocks without a record to
    /// deliver. Each record is in one block only, also if its block is in two segments.
    ///
    /// # Errors
    ///
    /// The same as [`next_record`](LogDir::next_record).
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, Error> {
        if let Some(reader) = &mut self.reader {
            reader.take_loaded();
        }
        Ok(self.next_loaded()?.map(|(_, _, loaded)| Block::new(loaded)))
    }

    /// The next block with records, the number of its segment, and whether that is compressed; `None` at the current end
    /// of the log. See [`next_record`](LogDir::next_record).
    pub(in crate::read) fn next_loaded(
        &mut self,
    ) -> Result<Option<(u64, bool, &mut Loaded)>, Error> {
        while !self.has_record()? {
            if !self.open_next()? {
                return Ok(None);
            }
        }
        // A file that was empty at first has a number from now on.
        self.learn_log();
        let segment = self.current();
        let found = self.reader.as_mut().map(|reader| {
            let is_compressed = reader.source.is_compressed();
            (segment, is_compressed, reader.take_loaded())
        });
        Ok(found)
    }

    /// Reads the heads of the blocks of all segments that are still to be read.
    pub(in crate::read) fn look_ahead(&mut self) -> Vec<Ahead> {
        let mut ahead = Vec::new();
        let to_read = self.segments.get(self.next..).unwrap_or_default();
        let ids: Vec<u64> = to_read.iter().map(|segment| segment.id).collect();
        for id in ids {
            let read = self.open_segment(id).and_then(|source| {
                let Some(source) = source else { return Ok(()) };
                Reader::with(source, &self.options)?.look_ahead(id, &mut ahead)
            });
            if read.is_err() {
                // The reading itself reports the error, if the error is still there.
                ahead.push(Ahead::unknown(id));
            }
        }
        ahead
    }

    /// Moves to the segment before the one in which the last `count` records begin, since records of its last blocks can
    /// be later than the first ones of the next segment.
    pub(in crate::read) fn seek_before_last(&mut self, count: u64) -> Result<(), Error> {
        self.seek_last(count)?;
        (self.next, self.to_pass) = (self.next.saturating_sub(1), 0);
        Ok(())
    }

    /// Gives the current reader memory for the next block. Without a reader, `memory` stays as it is.
    pub(in crate::read) fn lend_memory(&mut self, memory: &mut Vec<u8>) {
        if let Some(reader) = &mut self.reader {
            reader.take_loaded().data = std::mem::take(memory);
        }
    }

    /// Takes the memory of the last block from the current reader. That can be another reader than the one that got
    /// memory: then the larger one of the two is kept.
    pub(in crate::read) fn take_memory(&mut self, memory: &mut Vec<u8>) {
        let Some(reader) = &mut self.reader else { return };
        let taken = std::mem::take(&mut reader.take_loaded().data);
        if taken.capacity() > memory.capacity() {
            *memory = taken;
        }
    }

    /// Gives up the memory for what was decompressed.
    pub(in crate::read) fn release(&mut self) {
        if let Some(reader) = &mut self.reader {
            reader.source.release();
        }
    }

    /// The same as [`LogDir::refresh`] for each of these logs; each directory is read once at most.
    pub(in crate::read) fn refresh_all<'a>(
        logs: impl Iterator<Item = &'a mut LogDir>,
    ) -> Result<(), Error> {
        let mut directories: BTreeMap<PathBuf, (Listed, Option<Listing>)> = BTreeMap::new();
        let mut result = Ok(());
        for log in logs {
            let Some(dir) = log.dir.clone() else { continue };
            let new = || (Listed::now(&dir), None);
            let (fresh, listing) = directories.entry(dir.clone()).or_insert_with(new);
            if log.listed.as_ref().is_some_and(|listed| listed.is_still_right(fresh)) {
                continue;
            }
            log.learn_log();
            if listing.is_none() {
                match list(&dir, None) {
                    Ok(found) => *listing = Some(found),
                    Err(error) => result = result.and(Err(error)),
                }
            }
            let Some(listing) = listing.as_mut() else { continue };
            log.take_files(listing, None);
            log.listed = Some(fresh.clone());
        }
        result
    }

    pub(in crate::read) fn is_followed(&self) -> bool {
        self.options.follow
    }

    pub(in crate::read) fn selection(&self) -> Selection {
        self.options.selection
    }

    /// Selects other records, from the next block on.
    pub(in crate::read) fn set_selection(&mut self, selection: Selection) {
        self.options.selection = selection;
        if let Some(reader) = &mut self.reader {
            reader.set_selection(selection);
        }
    }

    /// The number of the segment that is being read.
    fn current(&self) -> u64 {
        let last = self.next.checked_sub(1).and_then(|last| self.segments.get(last));
        last.map_or(0, |segment| segment.id)
    }

    /// Whether the current reader has this segment, and the segment is not compressed.
    pub(in crate::read) fn is_open_plain(&self, id: u64) -> bool {
        let reader = self.reader.as_ref().filter(|reader| reader.report().segment == id);
        id == self.current() && reader.is_some_and(|reader| !reader.source.is_compressed())
    }

    /// The file of the current reader.
    pub(in crate::read) fn source(&mut self) -> Option<&mut Source> {
        self.reader.as_mut().map(|reader| &mut reader.source)
    }

    /// Opens a segment again that was read.
    pub(in crate::read) fn open_again(&mut self, id: u64) -> Result<Source, Error> {
        self.open_segment(id)?.ok_or_else(|| {
            let text = format!("segment {id} was deleted while it was read");
            let error = Error::new(ErrorKind::NotFound, text);
            match &self.dir {
                Some(dir) => error.at_path(dir),
                None => error,
            }
        })
    }

    /// Notes that a block that was read could not be delivered.
    pub(in crate::read) fn note_undelivered(&mut self, error: Error) {
        self.unread.push(error);
    }

    /// Whether everything was read, and nobody writes the log.
    pub(in crate::read) fn is_over(&self) -> bool {
        let last = self.reader.as_ref().and_then(|reader| reader.report().sessions.last());
        let is_over =
            |last: &SessionReport| matches!(last.state, SessionState::Closed | SessionState::Died);
        self.next >= self.segments.len() && last.is_none_or(is_over)
    }
}
