//! Everything that a reader reads, once, in one of two orders.

use std::{collections::VecDeque, sync::Arc};

use asynclogger::{
    Error,
    read::{Block, ByTime, LogDir, LogReport, Record},
};

use crate::{
    error::Failure,
    part::{Names, Part},
    report::Report,
};

/// Takes the records of a walk. `log` is the number of their log in the walk.
pub(crate) trait Sink {
    /// Takes the records of a block.
    fn take_block(&mut self, log: usize, names: &Names, block: &Block<'_>);

    /// Takes one record of a segment. The block of the record is not known.
    fn take_record(&mut self, log: usize, names: &Names, segment: u64, record: Record<'_>);

    /// Whether the sink wants no more for now.
    fn is_full(&self) -> bool;
}

/// Everything that a reader reads.
#[derive(Debug)]
pub(crate) struct Walk {
    order: Order,
    /// The reports on the logs that were read to their end. Their readers have the memory of a block each, so they are
    /// not kept.
    finished: Vec<(String, LogReport)>,
    unreadable: Vec<Error>,
}

#[derive(Debug)]
enum Order {
    /// One log after the other, as they stand in their files.
    AsWritten(VecDeque<Part>),
    ByTime(Box<ByTime>, Vec<Arc<Names>>),
}

impl Walk {
    pub(crate) fn as_written(parts: Vec<Part>, unreadable: Vec<Error>) -> Walk {
        Walk { order: Order::AsWritten(parts.into()), finished: Vec::new(), unreadable }
    }

    pub(crate) fn by_time(logs: Vec<LogDir>, unreadable: Vec<Error>) -> Walk {
        let names = logs.iter().map(|log| Arc::new(Names::of(log))).collect();
        let order = Order::ByTime(Box::new(ByTime::new(logs)), names);
        Walk { order, finished: Vec::new(), unreadable }
    }

    /// Reads until the sink is full; `false` if the end was reached.
    pub(crate) fn fill(&mut self, sink: &mut impl Sink) -> Result<bool, Failure> {
        match &mut self.order {
            Order::AsWritten(parts) => {
                while let Some(part) = parts.front_mut() {
                    let log = self.finished.len();
                    while !sink.is_full() {
                        let read =
                            part.read_block(|names, block| sink.take_block(log, names, block))?;
                        if read.is_none() {
                            break;
                        }
                    }
                    if sink.is_full() {
                        return Ok(true);
                    }
                    self.finished.push((part.names.event.clone(), part.log.report()));
                    parts.pop_front();
                }
                Ok(false)
            }
            Order::ByTime(by_time, names) => {
                while !sink.is_full() {
                    let Some(found) = by_time.next_record()? else { return Ok(false) };
                    if let Some(names) = names.get(found.log()) {
                        sink.take_record(found.log(), names, found.segment(), found.record());
                    }
                }
                Ok(true)
            }
        }
    }

    /// The report on what was read so far.
    pub(crate) fn report(&self) -> Report {
        let mut logs = self.finished.clone();
        match &self.order {
            Order::AsWritten(parts) => {
                // A log that was not begun has nothing to report but the gaps between its segments.
                logs.extend(parts.iter().map(|it| (it.names.event.clone(), it.log.report())));
            }
            Order::ByTime(by_time, names) => {
                let read = names.iter().zip(by_time.logs());
                logs.extend(read.map(|(names, log)| (names.event.clone(), log.report())));
            }
        }
        Report { logs, unreadable: self.unreadable.clone() }
    }

    /// Closes all files. The report stays.
    pub(crate) fn close(&mut self) {
        self.finished = self.report().logs;
        self.order = Order::AsWritten(VecDeque::new());
    }
}
