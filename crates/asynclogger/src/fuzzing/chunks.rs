//! The walk over the records of one block in which any chunk can be bad.

use std::cell::RefCell;

use super::input::Input;
use crate::{
    format::{
        BlockInfo, CHUNK, ChunkEntry, MIN_ALIGN, RECORD_HEADER, SHARD_HEADER, block::data_len,
        record::Records,
    },
    read::parts::{self, Checked},
};

/// Chunks of the longest data part.
const CHUNKS: usize = 5;

thread_local! {
    /// Zeros, except the lengths of the current records: the other bytes of a record have no effect.
    static DATA: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNKS * CHUNK]);
}

/// Takes the records from the good chunks of a block, by a right or a wrong table.
pub fn check_block(bytes: &[u8]) {
    DATA.with_borrow_mut(|data| {
        let mut input = Input(bytes);
        let mut plan = Plan::new(&mut input, data);
        plan.forge(&mut input, data);
        if plan.info.fits(&plan.table) {
            let len = plan.len.min(data.len());
            plan.check(&data[..len]);
        } else {
            assert!(!plan.is_honest, "{plan:?}");
        }
        plan.lengths.iter().for_each(|at| data[*at..*at + RECORD_HEADER].fill(0));
    });
}

/// A block whose data are lengths in a buffer of zeros.
#[derive(Debug)]
struct Plan {
    info: BlockInfo,
    table: Vec<ChunkEntry>,
    good: Vec<bool>,
    delivered: Vec<bool>,
    /// The beginning and the end of each record.
    records: Vec<(usize, usize)>,
    /// The places where lengths were written.
    lengths: Vec<usize>,
    /// The data part, as far as it exists.
    len: usize,
    is_honest: bool,
}

impl Plan {
    fn new(input: &mut Input<'_>, data: &mut [u8]) -> Plan {
        let [good, delivered, count, cut] = input.array();
        let (mut at, mut records) = (SHARD_HEADER, Vec::new());
        for _ in 0..1 + count % 24 {
            let [unit, len] = input.array().map(usize::from);
            let len = match unit & 3 {
                0 => 1 + len,
                1 => 1 + len * 64,
                2 => 1 + len * 521,
                // The record ends at the end of a chunk, or some bytes from there.
                _ => (CHUNK - at % CHUNK + len % 16).saturating_sub(8 + RECORD_HEADER).max(1),
            };
            let end = at + RECORD_HEADER + len;
            if end > data.len() {
                break;
            }
            data[at..at + RECORD_HEADER].copy_from_slice(&(len as u32).to_le_bytes());
            records.push((at, end));
            at = end;
        }
        let valid = at - SHARD_HEADER;
        let mut info = BlockInfo {
            first_record: input.u64() >> 1,
            records: records.len() as u32,
            ..BlockInfo::default()
        };
        info.set_lengths(valid as u32, MIN_ALIGN);
        let mut table = vec![ChunkEntry::default(); data_len(valid).div_ceil(CHUNK)];
        for (at, _) in &records {
            let entry = &mut table[at / CHUNK];
            entry.first = if entry.records == 0 { *at as u32 } else { entry.first };
            entry.records += 1;
        }
        let len = match cut {
            0..128 => info.data_len as usize,
            _ => (usize::from(cut) - 128) * 2503 % (info.data_len as usize + 1),
        };
        // A chunk that the end of the file cuts is not good.
        let is_held = |index: usize| ((index + 1) * CHUNK).min(info.data_len as usize) <= len;
        let good: Vec<bool> =
            (0..table.len()).map(|index| good >> index & 1 == 0 && is_held(index)).collect();
        let is_delivered = |(index, good): (usize, &bool)| *good && delivered >> index & 1 == 1;
        let delivered = good.iter().enumerate().map(is_delivered).collect();
        let lengths = records.iter().map(|(at, _)| *at).collect();
        Plan { info, table, good, delivered, records, lengths, len, is_honest: true }
    }

    /// Wrong lengths under right checksums, and wrong tables.
    fn forge(&mut self, input: &mut Input<'_>, data: &mut [u8]) {
        while !input.is_empty() {
            let [what, which] = input.array();
            let value = input.u32();
            let chunk = usize::from(which) % self.table.len();
            let entry = &mut self.table[chunk];
            match what % 4 {
                0 => (entry.records, self.is_honest) = (value % 64, false),
                1 => (entry.first, self.is_honest) = (value, false),
                2 => (self.info.records, self.is_honest) = (value % 64, false),
                _ => {
                    let at = self.lengths[usize::from(which) % self.lengths.len()];
                    data[at..at + RECORD_HEADER].copy_from_slice(&value.to_le_bytes());
                    self.is_honest = false;
                }
            }
        }
    }

    fn check(&self, data: &[u8]) {
        let Plan { info, table, good, .. } = self;
        let checked = parts::check(data, info, table, good);
        let taken = self.records_of(&checked, data);
        assert_eq!(checked.records, taken.len() as u64);
        assert_eq!(checked.records + checked.lost(), u64::from(info.records), "{self:?}");
        let payload: usize = taken.iter().map(|(_, at, end)| end - at - RECORD_HEADER).sum();
        assert_eq!(checked.payload, payload as u64, "{self:?}");
        let is_good =
            |at: usize, end: usize| good[at / CHUNK..=(end - 1) / CHUNK].iter().all(|g| *g);
        for (number, at, end) in &taken {
            assert!(is_good(*at, *end), "{at}..{end} in {self:?}");
            assert!(number - info.first_record < u64::from(info.records), "{self:?}");
        }
        let mut bad_end = 0;
        for bad in &checked.bad {
            assert!(bad.count > 0 && bad.first >= bad_end && bad.first + bad.count <= table.len());
            bad_end = bad.first + bad.count;
        }
        if self.is_honest {
            let numbered = (info.first_record..).zip(&self.records);
            let left = numbered.filter(|(_, (at, end))| is_good(*at, *end));
            let left: Vec<_> = left.map(|(number, (at, end))| (number, *at, *end)).collect();
            assert_eq!(taken, left, "{self:?}");
            assert!(checked.bad.iter().all(|bad| !good[bad.first]), "{self:?}");
        }
        self.check_delivered(&checked, &taken, data);
    }

    /// The records that were delivered earlier from some chunks are removed, and no others.
    fn check_delivered(&self, checked: &Checked, taken: &[(u64, usize, usize)], data: &[u8]) {
        let runs = parts::without_delivered(data, &checked.runs, &self.delivered);
        let left = self.records_of(&Checked { runs, ..Checked::default() }, data);
        let was_delivered = |(_, at, end): &&(u64, usize, usize)| {
            self.delivered[at / CHUNK..=(end - 1) / CHUNK].iter().all(|delivered| *delivered)
        };
        let expected = taken.iter().filter(|record| !was_delivered(record));
        assert!(left.iter().eq(expected), "{self:?}");
    }

    /// Number, begin and end of the records of all runs.
    fn records_of(&self, checked: &Checked, data: &[u8]) -> Vec<(u64, usize, usize)> {
        let (mut records, mut last) = (Vec::new(), None);
        for run in &checked.runs {
            assert!(last.is_none_or(|(number, end)| number < run.number && end <= run.start));
            let walk = Records::new(&data[..run.end], run.start);
            for (number, (at, record)) in (run.number..).zip(walk) {
                last = Some((number, at + RECORD_HEADER + record.len()));
                records.push((number, at, at + RECORD_HEADER + record.len()));
            }
            assert_eq!(last.map(|(_, end)| end), Some(run.end), "{self:?}");
        }
        records
    }
}
