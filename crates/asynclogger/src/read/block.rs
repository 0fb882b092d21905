//! One block in memory: which of its chunks are good, which records these hold, and the numbers of the
//! records.

use std::{ops::Range, time::SystemTime};

use crate::format::{BlockInfo, CHUNK, ChunkEntry, RECORD_HEADER, SHARD_HEADER, record::Records};

/// The properties of the block that is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BlockMeta {
    /// Offset of the block: of its head, or of the shard header in a file of the original.
    pub(crate) offset: u64,
    /// Offset of the data part.
    pub(crate) data_offset: u64,
    /// Offset of the head or tail by which the block was read.
    pub(crate) part_offset: u64,
    pub(crate) len: u64,
    pub(crate) segment: u64,
    pub(crate) session: u64,
    pub(crate) sequence: u64,
    pub(crate) generation: u64,
    /// The time when the block was sealed; `None` in files of the original.
    pub(crate) time: Option<SystemTime>,
    pub(crate) shard: u32,
}

/// Records back to back, all of them under valid checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Offset of the first one's length, from the shard header.
    pub(crate) start: usize,
    /// The end of the last record.
    pub(crate) end: usize,
    /// Number of the first one.
    pub(crate) number: u64,
}

/// Consecutive chunks that cost records, or could not be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadStretch {
    /// The first of the chunks.
    pub(crate) first: usize,
    /// The number of chunks.
    pub(crate) count: usize,
    /// The number of records that start in these chunks, plus one if an earlier record reaches into them.
    pub(crate) lost: u64,
    /// Whether the file ends within these chunks.
    pub(crate) torn: bool,
}

/// The result of checking a data part against its checksums and its table.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) runs: Vec<Run>,
    pub(crate) bad: Vec<BadStretch>,
    pub(crate) records: u64,
    /// Bytes of the records of `runs`.
    pub(crate) payload: u64,
}

impl Checked {
    pub(crate) fn lost(&self) -> u64 {
        self.bad.iter().map(|bad| bad.lost).sum()
    }
}

/// Takes the records from the good chunks. `data` is the data part as far as the file has it, at most as long
/// as in `info`; `good` marks the chunks with a valid checksum.
pub(crate) fn check(data: &[u8], info: &BlockInfo, table: &[ChunkEntry], good: &[bool]) -> Checked {
    let mut checked = Checked::default();
    let records_end = (SHARD_HEADER + info.valid as usize).min(data.len());
    let mut number = info.first_record;
    let mut chunk = 0;
    // A record that starts in good chunks and reaches into the bad ones after them.
    let mut cut_off = 0;
    while chunk < table.len() {
        let rest = good.get(chunk..).unwrap_or_default();
        let is_good = rest.first() == Some(&true);
        let count = rest.iter().take_while(|good| **good == is_good).count().max(1);
        let entries = table.get(chunk..chunk + count).unwrap_or_default();
        let starting: u64 = entries.iter().map(|entry| u64::from(entry.records)).sum();
        if is_good {
            let end = ((chunk + count) * CHUNK).min(records_end);
            let walked = walk(data.get(..end).unwrap_or(data), chunk, entries);
            checked.take(&walked, number);
            cut_off = starting.saturating_sub(walked.records);
            let contradicted = cut_off > 1 || chunk + count == table.len();
            if contradicted && cut_off > 0 {
                // The checksums are valid, but the records contradict the table: the records that were not
                // walked are lost here.
                let first = (walked.end / CHUNK).clamp(chunk, chunk + count - 1);
                let count = chunk + count - first;
                checked.bad.push(BadStretch { first, count, lost: cut_off, torn: false });
                cut_off = 0;
            }
        } else {
            let torn = data.len() < ((chunk + count) * CHUNK).min(info.data_len as usize);
            let lost = starting + cut_off;
            checked.bad.push(BadStretch { first: chunk, count, lost, torn });
            cut_off = 0;
        }
        number = number.saturating_add(starting);
        chunk += count;
    }
    checked
}

impl Checked {
    fn take(&mut self, walked: &Walked, number: u64) {
        if walked.records > 0 {
            self.runs.push(Run { start: walked.start, end: walked.end, number });
            self.records += walked.records;
            self.payload += walked.payload;
        }
    }
}

struct Walked {
    start: usize,
    end: usize,
    records: u64,
    payload: u64,
}

/// Walks the records that start in `entries`, the chunks from `first_chunk` on, and that end within `data`.
/// Stops where the records contradict the table.
fn walk(data: &[u8], first_chunk: usize, entries: &[ChunkEntry]) -> Walked {
    let none = Walked { start: 0, end: first_chunk * CHUNK, records: 0, payload: 0 };
    let Some(first) = entries.iter().find(|entry| entry.records > 0) else { return none };
    let start = first.first as usize;
    let mut walked = Walked { start, end: start, records: 0, payload: 0 };
    let mut records = Records::new(data, start);
    for (index, entry) in entries.iter().enumerate() {
        let chunk_end = (first_chunk + index + 1) * CHUNK;
        if entry.records > 0 && entry.first as usize != records.offset() {
            break;
        }
        let mut here = 0;
        while here < entry.records && records.offset() < chunk_end {
            if records.next().is_none() {
                break;
            }
            here += 1;
        }
        walked.records += u64::from(here);
        walked.end = records.offset();
        if here < entry.records {
            break;
        }
    }
    let prefixes = RECORD_HEADER as u64 * walked.records;
    walked.payload = ((walked.end - start) as u64).saturating_sub(prefixes);
    walked
}

/// Removes from `runs` the records that lie only in `delivered` chunks, because these records were delivered
/// before the block was complete.
pub(crate) fn without_delivered(data: &[u8], runs: &[Run], delivered: &[bool]) -> Vec<Run> {
    without(data, runs, |_, record| {
        let touched = delivered.get(record.start / CHUNK..=(record.end - 1) / CHUNK);
        touched.is_some_and(|touched| !touched.is_empty() && touched.iter().all(|chunk| *chunk))
    })
}

/// Removes the records with these numbers; returns the remaining runs, the number of their records, and the
/// bytes of these records.
pub(crate) fn without_numbers(
    data: &[u8],
    runs: &[Run],
    numbers: &[Range<u64>],
) -> (Vec<Run>, u64, u64) {
    let (mut count, mut payload) = (0, 0);
    let left = without(data, runs, |number, record| {
        let is_out = numbers.iter().any(|numbers| numbers.contains(&number));
        if !is_out {
            count += 1;
            payload += (record.len() - RECORD_HEADER) as u64;
        }
        is_out
    });
    (left, count, payload)
}

/// Removes the records for whose number `is_out` returns `true`; returns the remaining runs, the number of the
/// removed records, and the bytes of these.
pub(crate) fn without_numbered(
    data: &[u8],
    runs: &[Run],
    is_out: impl Fn(u64) -> bool,
) -> (Vec<Run>, u64, u64) {
    let (mut count, mut payload) = (0, 0);
    let left = without(data, runs, |number, record| {
        let is_out = is_out(number);
        if is_out {
            count += 1;
            payload += (record.len() - RECORD_HEADER) as u64;
        }
        is_out
    });
    (left, count, payload)
}

/// The numbers of the records in `runs`.
pub(crate) fn numbers(data: &[u8], runs: &[Run]) -> Vec<Range<u64>> {
    let count = |run: &Run| {
        let records = Records::new(data.get(..run.end).unwrap_or_default(), run.start);
        records.count() as u64
    };
    runs.iter().map(|run| run.number..run.number.saturating_add(count(run))).collect()
}

/// Removes from `runs` the records for whose number and place `is_out` returns `true`.
fn without(
    data: &[u8],
    runs: &[Run],
    mut is_out: impl FnMut(u64, Range<usize>) -> bool,
) -> Vec<Run> {
    let mut left: Vec<Run> = Vec::new();
    for run in runs {
        let records = Records::new(data.get(..run.end).unwrap_or_default(), run.start);
        for (number, (start, record)) in (run.number..).zip(records) {
            let end = start + RECORD_HEADER + record.len();
            if is_out(number, start..end) {
                continue;
            }
            match left.last_mut().filter(|last| last.end == start) {
                Some(last) => last.end = end,
                None => left.push(Run { start, end, number }),
            }
        }
    }
    left
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::format::block::{build_table, data_len};

    /// A data part of records of these lengths.
    fn data(lens: &[usize]) -> (Vec<u8>, BlockInfo, Vec<ChunkEntry>) {
        let mut data = vec![0; SHARD_HEADER];
        for (index, len) in lens.iter().enumerate() {
            data.extend_from_slice(&(*len as u32).to_le_bytes());
            data.resize(data.len() + len, index as u8);
        }
        let valid = data.len() - SHARD_HEADER;
        data.resize(data_len(valid), 0);
        let mut info = BlockInfo { first_record: 100, ..BlockInfo::default() };
        info.set_lengths(valid as u32, 4096);
        let mut table = Vec::new();
        info.records = build_table(&data, info.valid, &mut table);
        assert!(info.fits(&table));
        (data, info, table)
    }

    /// First number and count of each run.
    fn numbers(data: &[u8], checked: &Checked) -> Vec<(u64, usize)> {
        let count = |run: &Run| Records::new(&data[..run.end], run.start).count();
        checked.runs.iter().map(|run| (run.number, count(run))).collect()
    }

    #[test]
    fn a_record_over_several_bad_chunks_is_lost_once() {
        // Two short records, one over five chunks, two short records.
        let (data, info, table) = data(&[10, 20, 4 * CHUNK, 30, 40]);
        assert_eq!(table.len(), 5);
        let checked = check(&data, &info, &table, &[true, false, true, false, true]);
        assert_eq!(numbers(&data, &checked), [(100, 2), (103, 2)]);
        assert_eq!((checked.records, checked.payload, checked.lost()), (4, 100, 1));
        let lost: Vec<_> = checked.bad.iter().map(|bad| (bad.first, bad.count, bad.lost)).collect();
        assert_eq!(lost, [(1, 1, 1), (3, 1, 0)]);
        let checked = check(&data, &info, &table, &[false; 5]);
        assert_eq!((checked.records, checked.lost(), checked.bad.len()), (0, 5, 1));
    }

    #[test]
    fn every_set_of_good_chunks_adds_up() {
        let lens: Vec<usize> = (0..60).map(|n| 10 + (n * 7919) % 20_000).collect();
        let (data, info, table) = data(&lens);
        let chunks = table.len();
        for set in 0..1u32 << chunks {
            let good: Vec<bool> = (0..chunks).map(|chunk| set >> chunk & 1 == 1).collect();
            let checked = check(&data, &info, &table, &good);
            assert_eq!(checked.records + checked.lost(), 60, "{good:?}");
            for run in &checked.runs {
                let records = Records::new(&data[..run.end], run.start);
                for (number, (_, record)) in (run.number..).zip(records) {
                    let index = (number - 100) as usize;
                    assert_eq!((record.len(), record[0]), (lens[index], index as u8));
                }
                assert!((run.start / CHUNK..=(run.end - 1) / CHUNK).all(|chunk| good[chunk]));
            }
        }
    }

    #[test]
    fn records_beyond_the_count_of_the_table_are_not_taken() {
        let (data, mut info, mut table) = data(&[10, 20, 30]);
        (info.records, table[0].records) = (2, 2);
        let checked = check(&data, &info, &table, &[true]);
        assert_eq!(numbers(&data, &checked), [(100, 2)]);
        table[0].records = 5;
        let checked = check(&data, &info, &table, &[true]);
        assert_eq!((checked.records, checked.lost()), (3, 2));
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        let (_, info, table) = data(&[10, CHUNK, 30]);
        let wrong = |change: fn(&mut [ChunkEntry])| {
            let mut table = table.clone();
            change(&mut table);
            !info.fits(&table)
        };
        assert!(wrong(|table| table[0].records += 1));
        assert!(wrong(|table| table[0].first = 0));
        assert!(wrong(|table| table[0].first = 4));
        assert!(wrong(|table| table[1].first = 8));
        assert!(wrong(|table| (table[0].records, table[1].records) = (3, 0)));
    }

    #[test]
    fn what_was_delivered_is_taken_out() {
        let (data, info, table) = data(&[10, CHUNK, 30, CHUNK, 40]);
        let checked = check(&data, &info, &table, &[true; 3]);
        let left = |delivered: &[bool]| {
            let runs = without_delivered(&data, &checked.runs, delivered);
            numbers(&data, &Checked { runs, ..Checked::default() })
        };
        assert_eq!(left(&[true, false, false]), [(101, 4)]);
        assert_eq!(left(&[false, true, false]), [(100, 2), (103, 2)]);
        assert_eq!(left(&[true; 3]), []);
        assert_eq!(left(&[false; 3]), [(100, 5)]);
    }
}
