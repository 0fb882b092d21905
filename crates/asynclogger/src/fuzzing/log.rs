//! Several segments of one log, with the accounts that continue from one to the next.

use std::collections::{BTreeMap, BTreeSet};

use super::{damage::Damaged, input::Input, reading::Delivered, segment::Segment, verify::Case};
use crate::{
    LogId,
    probe::Source,
    read::{Format, Layout, Reader, parts::History},
};

/// Makes a log, damages or removes some of its segments, and reads the log in the manner of `LogDir`.
pub fn read_log(bytes: &[u8]) {
    let mut input = Input(bytes);
    let segments = Segment::plan_log(&mut input);
    let removed = input.u8();
    let mut log = Log::default();
    let mut shifted = false;
    for (index, segment) in segments.iter().enumerate() {
        let count = usize::from(input.u8()) % 20;
        let (own, rest) = input.0.split_at(count.min(input.0.len()));
        input.0 = rest;
        let mut damaged = Damaged::new(segment.bytes.clone());
        damaged.suffer(&mut Input(own), Input(&[]));
        shifted |= damaged.is_shifted || damaged.bytes.len() < segment.bytes.len();
        if damaged.has_foreign {
            return;
        }
        let is_removed = removed >> index & 1 == 1 && removed & 0xF0 != 0;
        log.read(segment, &damaged, is_removed);
    }
    log.check(shifted);
}

#[derive(Default)]
struct Log {
    history: History,
    /// For each written position, whether a reader can find the record.
    written: BTreeMap<(u64, u32, u64), bool>,
    delivered: BTreeSet<(u64, u32, u64)>,
    last: BTreeMap<(u64, u32), u64>,
    /// Whether a segment is missing. A missing segment before the first existing one or after the last one
    /// leaves no sign of its losses.
    is_removed: bool,
}

impl Log {
    fn read(&mut self, segment: &Segment, damaged: &Damaged, is_removed: bool) {
        let case = Case::new(segment, damaged);
        let is_there = !is_removed && case.found().next().is_some();
        let positions = segment.written.iter().map(|record| record.position);
        let repeated: BTreeSet<_> =
            positions.filter(|position| self.written.contains_key(position)).collect();
        for record in &segment.written {
            let left = self.written.entry(record.position).or_default();
            *left |= is_there && case.is_left(record);
        }
        if !is_there {
            self.is_removed = true;
            return;
        }
        let source = Source::from_bytes(damaged.bytes.clone());
        let mut reader = Reader::new(source, Layout::Auto).expect("something of ours");
        assert!(matches!(reader.report().format, Format::Native { .. }));
        reader.set_history(std::mem::take(&mut self.history));
        while let Some(record) = reader.next_record().expect("no input or output") {
            let Delivered { position, at, end, time } = Delivered::new(&record, &damaged.bytes);
            let known = |written: &&super::segment::Written| written.position == position;
            let written = segment.written.iter().find(known).expect("written");
            assert_eq!((written.at, written.end), (at, end));
            assert!(written.may_have(time), "{written:?}: {time:?}");
            assert!(self.delivered.insert(position), "{position:?} again");
            let shard = (position.0, position.1);
            let before = self.last.get(&shard).copied().unwrap_or(0);
            // The records that a failed write left out come late.
            let is_late = repeated.contains(&position);
            assert!(is_late || before <= position.2, "{position:?} out of order");
            self.last.insert(shard, before.max(position.2));
        }
        assert_eq!(reader.report().log_id, Some(LogId([7; 16])));
        self.history = reader.into_history().expect("a log of ours");
    }

    fn check(&self, is_cut: bool) {
        let lost = self.history.lost();
        let gone = self.written.keys().filter(|position| !self.delivered.contains(position));
        let gone = gone.count() as u64;
        assert!(lost.at_least <= gone, "{gone} gone, told {lost}");
        if !is_cut && !self.is_removed {
            assert!(lost.admits(gone), "{gone} gone, told {lost}");
        }
        for (position, is_left) in &self.written {
            if *is_left {
                assert!(self.delivered.contains(position), "{position:?} was there");
            }
        }
        let records: u64 = self.history.sessions().iter().map(|session| session.records).sum();
        assert_eq!(records, self.delivered.len() as u64);
    }
}
