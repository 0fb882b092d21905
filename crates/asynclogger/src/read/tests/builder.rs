//! Builds files of the format in memory, and checks the reading of damaged ones.

use std::{collections::BTreeMap, ops::Range};

use super::super::{DamageKind, Reader, Report, history::History};
use crate::probe::Source;
use crate::{
    Dropped, LogId, Position,
    format::{
        BlockInfo, Kind, MIN_ALIGN, Prefix, Scale, Start, Totals,
        block::{build_table, data_len, finish_data},
        column::column_of,
        time::to_nanoseconds,
    },
};

/// A record as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) position: Position,
    pub(super) bytes: Vec<u8>,
    /// The place of the record in the file, its length included.
    pub(super) range: Range<usize>,
    /// The time of the record, which is that of its block if the block has no times.
    pub(super) time: i64,
    pub(super) block_time: i64,
}

/// A log, segment after segment.
#[derive(Clone, Debug)]
pub(super) struct Builder {
    pub(super) bytes: Vec<u8>,
    pub(super) written: Vec<Written>,
    /// The places of the blocks, starts, notes and ends.
    pub(super) parts: Vec<Range<usize>>,
    pub(super) log_id: LogId,
    pub(super) segment: u64,
    pub(super) align: usize,
    session: u64,
    totals: Totals,
    shards: BTreeMap<u32, (u64, u64)>,
    /// Time of the last part.
    pub(super) clock: i64,
    /// Whether the records of the next blocks have times.
    pub(super) is_timed: bool,
    /// The times of so many records go on, and then begin anew, as in an event's block; 0: they never go back.
    pub(super) stretch: usize,
    /// How many units later the next stretch begins.
    pub(super) drift: usize,
    /// The length of a unit of the times, in 2^-32 nanoseconds.
    pub(super) unit: u64,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            bytes: Vec::new(),
            written: Vec::new(),
            parts: Vec::new(),
            log_id: LogId([7; 16]),
            segment: 1,
            align: MIN_ALIGN,
            session: 0,
            totals: Totals::default(),
            shards: BTreeMap::new(),
            clock: 1_700_000_000_000_000_000,
            is_timed: false,
            stretch: 0,
            drift: 0,
            unit: 3 << 32,
        }
    }

    /// From now on records have times.
    pub(super) fn with_times(&mut self) -> &mut Builder {
        self.is_timed = true;
        self
    }

    fn prefix(&mut self) -> Prefix {
        self.clock += 1;
        Prefix {
            align: self.align as u32,
            offset: self.bytes.len() as u64,
            log_id: self.log_id,
            segment: self.segment,
            session: self.session,
            time: self.clock,
        }
    }

    fn push(&mut self, part: &[u8]) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(part);
        self.parts.push(begin..self.bytes.len());
    }

    /// A new session.
    pub(super) fn session(&mut self, session: u64) -> &mut Builder {
        self.session = session;
        self.totals = Totals::default();
        self.shards.clear();
        self.start()
    }

    fn start(&mut self) -> &mut Builder {
        let prefix = self.prefix();
        let first_sequence = self.totals.next_sequence;
        let mut buffer = vec![0; self.align];
        let previous = self.segment - 1;
        Start { previous, first_sequence, name: b"test" }.encode(&prefix, &mut buffer);
        self.push(&buffer);
        self
    }

    pub(super) fn block(&mut self, shard: u32, records: &[Vec<u8>]) -> &mut Builder {
        self.block_with(shard, records, Dropped::default())
    }

    /// The entry of the time of a record, by its index in the block.
    fn entry(&self, index: usize) -> u32 {
        let (stretch, at) = match self.stretch {
            0 => (0, index),
            len => (1 + index / len, index % len),
        };
        // An event's block has a base before its first record.
        let begin = if stretch > 0 { 100 + stretch % 5 * 3 + stretch * self.drift } else { 0 };
        (at / 2 * 10 + begin) as u32
    }

    pub(super) fn block_with(
        &mut self,
        shard: u32,
        records: &[Vec<u8>],
        dropped: Dropped,
    ) -> &mut Builder {
        let entries: Vec<u32> = (0..records.len()).map(|index| self.entry(index)).collect();
        let last = entries.iter().copied().max().unwrap_or_default();
        let counter = self.clock.cast_unsigned();
        let scale = Scale { base: self.clock, clock: 5, counter, unit: self.unit, last, shift: 0 };
        if self.is_timed {
            self.clock = scale.time(last);
        }
        let prefix = self.prefix();
        let mut payload = vec![0; 8];
        let (first_record, generation) = self.shards.get(&shard).copied().unwrap_or_default();
        let mut info = BlockInfo {
            sequence: self.totals.next_sequence,
            generation,
            first_record,
            shard,
            records: records.len() as u32,
            dropped,
            scale: self.is_timed.then_some(scale),
            ..BlockInfo::default()
        };
        let mut offsets = Vec::new();
        for record in records {
            offsets.push(payload.len());
            payload.extend_from_slice(&(record.len() as u32).to_le_bytes());
            payload.extend_from_slice(record);
        }
        let valid = payload.len() - 8;
        info.set_lengths(valid as u32, self.align);
        payload.resize(data_len(valid), 0);
        finish_data(&mut payload, &info);
        let mut table = Vec::new();
        assert_eq!(build_table(&payload, info.valid, &mut table), info.records);
        let data_at = self.bytes.len() + info.head_len as usize;
        let mut block = vec![0; info.block_len() as usize];
        let (head, rest) = block.split_at_mut(info.head_len as usize);
        let (data, tail) = rest.split_at_mut(info.data_len as usize);
        let column = column_of(&entries);
        for (kind, place) in [(Kind::Head, &mut *head), (Kind::Tail, &mut *tail)] {
            if let Some(range) = info.column_range(kind) {
                place[range].copy_from_slice(&column);
            }
        }
        info.encode(Kind::Head, &prefix, &table, head);
        data.copy_from_slice(&payload);
        let tail_at = prefix.offset + u64::from(info.head_len) + u64::from(info.data_len);
        info.encode(Kind::Tail, &Prefix { offset: tail_at, ..prefix }, &table, tail);
        self.push(&block);
        for (index, (record, offset)) in records.iter().zip(offsets).enumerate() {
            let begin = data_at + offset;
            self.written.push(Written {
                position: Position {
                    session: self.session,
                    shard,
                    number: first_record + index as u64,
                },
                bytes: record.clone(),
                range: begin..begin + 4 + record.len(),
                time: if self.is_timed { scale.time(entries[index]) } else { prefix.time },
                block_time: prefix.time,
            });
        }
        self.shards.insert(shard, (first_record + records.len() as u64, generation + 1));
        self.count(&info, prefix.time);
        self
    }

    fn count(&mut self, info: &BlockInfo, time: i64) {
        let totals = &mut self.totals;
        totals.next_sequence += 1;
        totals.records += u64::from(info.records);
        totals.segment_records += u64::from(info.records);
        totals.payload += info.payload();
        if totals.first_time == 0 {
            totals.first_time = time;
        }
        totals.last_time = time;
    }

    pub(super) fn note(&mut self, dropped: Dropped) -> &mut Builder {
        self.totals.dropped = dropped;
        self.close(Kind::Note, false)
    }

    pub(super) fn end(&mut self) -> &mut Builder {
        self.close(Kind::End, true)
    }

    fn close(&mut self, kind: Kind, session_over: bool) -> &mut Builder {
        let prefix = self.prefix();
        let mut buffer = vec![0; self.align];
        Totals { session_over, ..self.totals }.encode(kind, &prefix, &mut buffer);
        self.push(&buffer);
        self
    }

    /// Archives the segment and begins the next one; the session continues. Returns the file.
    pub(super) fn rotate(&mut self) -> Vec<u8> {
        self.close(Kind::End, false);
        self.abandon()
    }

    /// Begins the next segment without an end of this one.
    pub(super) fn abandon(&mut self) -> Vec<u8> {
        let file = std::mem::take(&mut self.bytes);
        self.parts.clear();
        self.segment += 1;
        self.totals.first_sequence = self.totals.next_sequence;
        self.totals.segment_records = 0;
        (self.totals.first_time, self.totals.last_time) = (0, 0);
        self.start();
        file
    }
}

/// `count` records of about `len` bytes, each different.
pub(super) fn records(seed: usize, count: usize, len: usize) -> Vec<Vec<u8>> {
    let record = |index: usize| {
        let mut bytes = format!("record {seed}.{index} ").into_bytes();
        bytes.resize(len + index % 7, b'a' + (seed % 26) as u8);
        bytes
    };
    (0..count).map(record).collect()
}

/// A small file with a bit of everything: two sessions, the second one with times, three shards, notes, records over
/// several chunks.
pub(super) fn sample() -> Builder {
    let mut log = Builder::new();
    log.session(0xA)
        .block(0, &records(1, 5, 20))
        .block(1, &records(2, 3, 300))
        .note(Dropped::from_array([1, 2, 3, 4, 5]))
        .block(0, &records(3, 4, 50))
        .block(2, &records(4, 2, 10))
        .block(1, &records(5, 3, 30))
        .end()
        .with_times()
        .session(0xB)
        .block(1, &records(6, 3, 100))
        .block(0, &records(7, 2, 5))
        .end();
    log
}

/// The smallest file with two shards, a note and a second session, whose records have times.
pub(super) fn tiny_sample() -> Builder {
    let mut log = Builder::new();
    log.session(0xA)
        .block(0, &records(1, 5, 20))
        .block(1, &records(2, 3, 30))
        .note(Dropped::from_array([1, 2, 3, 4, 5]))
        .block(0, &records(3, 4, 50))
        .end()
        .with_times()
        .session(0xB)
        .block(1, &records(6, 3, 100))
        .end();
    log
}

/// Records with times: a block whose tail has the column, too, and one whose tail has no room for it.
pub(super) fn timed_sample() -> Builder {
    let mut log = Builder::new();
    log.with_times()
        .session(0xD)
        .block(0, &records(20, 9, 20))
        .block(1, &records(21, 1500, 5))
        .block(0, &records(22, 4, 20))
        .end();
    log
}

/// Blocks of several chunks, with records that cross them.
pub(super) fn large_sample() -> Builder {
    let mut long = records(12, 3, 100);
    long.push(vec![b'L'; 150_000]);
    long.extend(records(13, 3, 30_000));
    let mut log = Builder::new();
    log.session(0xC)
        .block(0, &records(10, 90, 2500))
        .block(1, &long)
        .block(0, &records(14, 70, 1900))
        .end();
    log
}

/// The result of reading a file.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) records: Vec<(Position, Vec<u8>)>,
    /// The times of the records.
    pub(super) times: Vec<i128>,
    pub(super) report: Report,
}

pub(super) fn read(bytes: Vec<u8>) -> Result<Got, crate::Error> {
    read_all(&mut Reader::from_bytes(bytes)?)
}

pub(super) fn read_all(reader: &mut Reader) -> Result<Got, crate::Error> {
    let (mut records, mut times) = (Vec::new(), Vec::new());
    while let Some(record) = reader.next_record()? {
        records.push((record.position(), record.bytes().to_vec()));
        times.push(record.time().map_or(0, to_nanoseconds));
    }
    Ok(Got { records, times, report: reader.report().clone() })
}

/// A reader that keeps the accounts of a log, in the way in which `LogDir` uses it.
pub(super) fn reader_with(bytes: Vec<u8>, history: History) -> Reader {
    let source = Source::from_bytes(bytes);
    let mut reader = Reader::new(source, Default::default()).expect("a log");
    reader.set_history(history);
    reader
}

/// Checks the reading of a file after any damage: the delivered records were written, and come in order and
/// once; either the report has damage, or no record is lost; and the reported losses are the real ones.
/// `gone_with_the_end` is the number of records that were cut off without a trace, which no report can show.
pub(super) fn check(log: &Builder, got: &Got, context: &str) {
    let Got { records, times, report } = got;
    let written: BTreeMap<(u64, u32, u64), &Written> =
        log.written.iter().map(|record| (key(record.position), record)).collect();
    let mut last: BTreeMap<(u64, u32), u64> = BTreeMap::new();
    for ((position, bytes), time) in records.iter().zip(times) {
        let original = written.get(&key(*position));
        let original = original.filter(|original| original.bytes == *bytes);
        let original =
            original.unwrap_or_else(|| panic!("{context}: {position:?} was not written"));
        // Damage can take the times of a block. It never gives a record the time of another.
        let is_own = [original.time, original.block_time].map(i128::from).contains(time);
        assert!(is_own, "{context}: {position:?} has the time {time}");
        let shard = (position.session(), position.shard());
        if let Some(before) = last.insert(shard, position.number()) {
            assert!(before < position.number(), "{context}: {position:?} is out of order");
        }
    }
    assert_eq!(report.records, records.len() as u64, "{context}");
    let payload: usize = records.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(report.payload_bytes, payload as u64, "{context}");
    assert!(report.damage.iter().all(|damage| damage.offset + damage.len <= report.file_bytes));
    let least: u64 = report.damage.iter().map(|damage| damage.lost.at_least).sum();
    assert!(least <= report.lost.at_least, "{context}: {report:#?}");
}

/// The same as [`check`], for a file that has its old length: then every lost record is accounted for.
pub(super) fn check_losses(log: &Builder, got: &Got, context: &str) {
    check(log, got, context);
    let lost = (log.written.len() - got.records.len()) as u64;
    let report = &got.report;
    assert!(report.lost.admits(lost), "{context}: {lost} lost, told {}", report.lost);
    assert!(!report.is_whole() || lost == 0, "{context}: {lost} lost, and told to be whole");
}

fn key(position: Position) -> (u64, u32, u64) {
    (position.session(), position.shard(), position.number())
}

/// The kinds of damage in a report, in order.
pub(super) fn kinds(report: &Report) -> Vec<DamageKind> {
    report.damage.iter().map(|damage| damage.kind).collect()
}
