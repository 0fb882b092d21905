//! The properties of reading that hold for every file, whatever its bytes are.

use std::{collections::HashMap, time::SystemTime};

use crate::{
    Error,
    format::{CHUNK, Metadata, SECTOR, SHARD_HEADER, checksum::crc32c, metadata},
    read::{DamageKind, Reader, Record, Report, SessionReport},
};

/// A record as it was delivered. Its bytes were compared with those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Session, shard, number.
    pub(super) position: (u64, u32, u64),
    /// The offsets of the record's length and of its end.
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) time: Option<SystemTime>,
}

impl Delivered {
    pub(super) fn new(record: &Record<'_>, file: &[u8]) -> Delivered {
        let at = record.offset() as usize;
        let len = record.bytes().len();
        assert_eq!(file[at..at + 4], (len as u32).to_le_bytes(), "a length at {at:#x}");
        let end = at + 4 + len;
        assert_eq!(&file[at + 4..end], record.bytes(), "the record at {at:#x}");
        let position = record.position();
        let position = (position.session(), position.shard(), position.number());
        Delivered { position, at, end, time: record.time() }
    }
}

/// The result of reading a file.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) records: Vec<Delivered>,
    pub(super) report: Report,
}

/// Reads the file record by record, and then in another way that must give the same result.
pub(super) fn read(file: &[u8], other_way: u8) -> Result<Got, Error> {
    read_by(&|| Reader::from_bytes(file.to_vec()), file, other_way)
}

/// The same as [`read`], for a file that was opened by the caller.
pub(super) fn read_by(
    open: &dyn Fn() -> Result<Reader, Error>,
    file: &[u8],
    other_way: u8,
) -> Result<Got, Error> {
    let mut reader = open()?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(Delivered::new(&record, file));
    }
    let got = Got { records, report: reader.report().clone() };
    got.adds_up(file);
    match other_way % 4 {
        0 => {
            assert!(reader.next_record()?.is_none() && reader.next_block()?.is_none());
            assert_eq!(*reader.report(), got.report, "after the end");
        }
        1 => {
            assert_eq!(*open()?.read_to_end()?, got.report, "verified");
        }
        2 => got.agrees_with_blocks(open()?, file, 0)?,
        _ => got.agrees_with_blocks(open()?, file, usize::from(other_way >> 2))?,
    }
    Ok(got)
}

impl Got {
    /// The counts are those of the delivered records, no record came twice, and every entry lies in the file.
    fn adds_up(&self, file: &[u8]) {
        let Got { records, report } = self;
        assert_eq!(report.file_bytes, file.len() as u64);
        assert_eq!(report.records, records.len() as u64);
        let payload: usize = records.iter().map(|record| record.end - record.at - 4).sum();
        assert_eq!(report.payload_bytes, payload as u64);
        assert!(report.damage.len() <= 1000);
        let mut told = 0u64;
        for damage in &report.damage {
            let end = damage.offset.checked_add(damage.len);
            assert!(end.is_some_and(|end| end <= report.file_bytes), "{damage:?}");
            assert!(damage.lost.at_most.is_none_or(|most| most >= damage.lost.at_least));
            told = told.saturating_add(damage.lost.at_least);
        }
        assert!(told <= report.lost.at_least, "{report:#?}");
        assert!(report.lost.at_most.is_none_or(|most| most >= report.lost.at_least));
        assert!(!report.is_whole() || report.damage.is_empty());
        let mut last: HashMap<(u64, u32), u64> = HashMap::new();
        for Delivered { position: (session, shard, number), .. } in records {
            let before = last.insert((*session, *shard), *number);
            assert!(before.is_none_or(|before| before < *number), "{number} again: {report:#?}");
        }
        if report.log_id.is_some() {
            let sum = |of: fn(&SessionReport) -> u64| {
                report.sessions.iter().map(of).fold(0, u64::saturating_add)
            };
            assert_eq!(sum(|session| session.records), report.records);
            assert_eq!(sum(|session| session.blocks), report.blocks);
            assert_eq!(sum(|session| session.payload_bytes), report.payload_bytes);
            assert_eq!(sum(|session| session.lost.at_least), report.lost.at_least, "{report:#?}");
        }
    }

    /// Reads by blocks after a number of records, and compares.
    fn agrees_with_blocks(
        &self,
        mut reader: Reader,
        file: &[u8],
        records_first: usize,
    ) -> Result<(), Error> {
        let mut expected = self.records.iter();
        let mut last = None;
        for _ in 0..records_first {
            let Some(record) = reader.next_record()? else { break };
            let delivered = Delivered::new(&record, file);
            assert_eq!(expected.next(), Some(&delivered));
            last = Some(delivered);
        }
        // The block of the last record is loaded; the next block begins with another time or shard.
        let mut is_passed = last.is_none();
        while let Some(block) = reader.next_block()? {
            assert_eq!(block.records().count() as u64, block.record_count());
            let range = block.offset()..block.offset().saturating_add(block.len());
            for record in block.records() {
                let delivered = Delivered::new(&record, file);
                let mut next = expected.next();
                if !is_passed {
                    while next.is_some_and(|next| *next != delivered) {
                        next = expected.next();
                    }
                    is_passed = true;
                }
                assert_eq!(next, Some(&delivered));
                assert!(range.contains(&record.offset()));
            }
        }
        assert!(expected.next().is_none() || !is_passed);
        assert_eq!(*reader.report(), self.report, "by blocks");
        Ok(())
    }

    /// Every delivered record lies in chunks whose checksums are in a valid head or tail in its own place.
    pub(super) fn is_vouched_for(&self, file: &[u8]) {
        let mut vouched: Vec<(usize, usize)> = Vec::new();
        for at in (0..file.len()).step_by(SECTOR) {
            let Ok((prefix, metadata)) = metadata::decode(&file[at..]) else { continue };
            let (info, table, data_at) = match metadata {
                Metadata::Head(info, table, _) => (info, table, Some(at + info.head_len as usize)),
                Metadata::Tail(info, table, _) => {
                    (info, table, at.checked_sub(info.data_len as usize))
                }
                _ => continue,
            };
            let Some(data_at) = data_at.filter(|_| prefix.offset == at as u64) else { continue };
            for (index, entry) in table.entries().enumerate() {
                let begin = data_at + index * CHUNK;
                let end = (begin + CHUNK).min(data_at + info.data_len as usize);
                if file.get(begin..end).is_some_and(|chunk| crc32c(chunk) == entry.crc) {
                    vouched.push((begin, end));
                }
            }
        }
        for record in &self.records {
            let first = vouched.iter().any(|(begin, end)| (*begin..*end).contains(&record.at));
            let last = record.end - 1;
            let last = vouched.iter().any(|(begin, end)| (*begin..*end).contains(&last));
            assert!(first && last && record.at >= SHARD_HEADER, "{record:?} under no checksum");
        }
    }

    pub(super) fn has(&self, kind: DamageKind) -> bool {
        self.report.damage.iter().any(|damage| damage.kind == kind)
    }
}
