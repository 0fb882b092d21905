//! A file in memory that keeps its blocks, and checks that they have the accepted records.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::Relaxed as StdRelaxed},
};

use super::{RECORD_LEN, Record};
use crate::{
    EngineKind, Error, ErrorKind, IoMode, Position,
    format::{
        LogId, MIN_ALIGN, Prefix,
        metadata::{self, Metadata},
        record::Records,
    },
    io::{BlockFile, Completion, FileState, Operation},
    sync::{Arc, GlobalMutex},
    write::segments::{NextSegment, Promoted, Segment, Standing},
};

/// The blocks that the file got.
#[derive(Clone, Default)]
pub(super) struct Written {
    blocks: Arc<GlobalMutex<Vec<Block>>>,
    pub(super) barriers: Arc<AtomicUsize>,
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    shard: u32,
    generation: u64,
    first_record: u64,
    pub(super) records: Vec<Record>,
}

impl Written {
    pub(super) fn blocks(&self) -> Vec<Block> {
        self.blocks.lock().expect("blocks").clone()
    }

    pub(super) fn records(&self) -> usize {
        self.blocks().iter().map(|block| block.records.len()).sum()
    }

    pub(super) fn has(&self, record: Record) -> bool {
        self.blocks().iter().any(|block| block.records.contains(&record))
    }

    /// Checks that every accepted record is there once, whole, under its number, and that no other record is. The
    /// blocks of a shard are in the order of their generations.
    pub(super) fn verify(&self, accepted: &[(Position, Record)]) {
        let blocks = self.blocks();
        let mut found = Vec::new();
        for shard in 0..4 {
            let (mut next, mut generations) = (0, None);
            for block in blocks.iter().filter(|block| block.shard == shard) {
                assert!(generations < Some(block.generation), "generations in order: {blocks:?}");
                generations = Some(block.generation);
                assert_eq!(block.first_record, next, "numbered in order: {blocks:?}");
                for record in &block.records {
                    found.push((shard, next, *record));
                    next += 1;
                }
            }
        }
        let mut expected: Vec<_> = accepted
            .iter()
            .map(|(position, record)| (position.shard(), position.number(), *record))
            .collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "accepted is written, once and in order: {blocks:?}");
    }
}

/// A file in memory that checks the operations that it gets.
struct MemoryFile {
    written: Written,
    end: u64,
    done: VecDeque<Completion>,
}

impl MemoryFile {
    fn write(&mut self, bytes: &[u8], offset: u64) {
        assert_eq!(offset, self.end, "appended");
        self.end += bytes.len() as u64;
        let Ok((_, Metadata::Head(info, ..))) = metadata::decode(bytes) else {
            return;
        };
        let (head_len, data_len) = (info.head_len as usize, info.data_len as usize);
        let (data, tail) = bytes[head_len..].split_at(data_len);
        assert!(matches!(metadata::decode(tail), Ok((_, Metadata::Tail(..)))));
        assert_eq!(data[4..8], info.valid.to_le_bytes(), "the header is the block's");
        let records = Records::new(&data[..RECORD_LEN + info.valid as usize], RECORD_LEN);
        let records: Vec<_> =
            records.map(|(_, record)| record.try_into().expect("a whole record")).collect();
        assert_eq!(records.len() * RECORD_LEN, info.valid as usize, "no bytes but records");
        assert_eq!(records.len(), info.records as usize);
        let (shard, generation, first_record) = (info.shard, info.generation, info.first_record);
        let block = Block { shard, generation, first_record, records };
        self.written.blocks.lock().expect("blocks").push(block);
    }
}

impl BlockFile for MemoryFile {
    fn submit(&mut self, tag: u64, operation: Operation) {
        match operation {
            Operation::Write { bytes, offset } => self.write(&bytes.to_vec(), offset),
            Operation::Barrier => {
                self.written.barriers.fetch_add(1, StdRelaxed);
            }
            Operation::Reserve { .. } => {}
        }
        self.done.push_back(Completion { tag, result: Ok(()) });
    }

    fn reap(&mut self) -> Option<Completion> {
        self.done.pop_front()
    }

    fn write_now(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write(bytes, offset);
        Ok(())
    }

    fn reserve_now(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_now(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn trim(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn leave_direct(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn mode(&self) -> IoMode {
        IoMode::Direct
    }

    fn engine(&self) -> EngineKind {
        EngineKind::Pwritev2
    }

    fn room(&self) -> Option<u64> {
        None
    }

    fn state(&self) -> io::Result<FileState> {
        let (len, mode) = (self.end, 0o644);
        Ok(FileState { identity: (0, 0), links: 1, len, on_disk: len, mode })
    }

    fn set_mode(&self, _mode: u32) -> io::Result<()> {
        Ok(())
    }
}

/// A segment in a file in memory, and what that gets.
pub(super) fn segment() -> (Segment, Written) {
    let written = Written::default();
    let file = MemoryFile { written: written.clone(), end: 0, done: VecDeque::new() };
    let (align, log_id) = (MIN_ALIGN as u32, LogId::default());
    let prefix = Prefix { align, offset: 0, log_id, segment: 1, session: 1, time: 0 };
    (Segment::new(Box::new(file), PathBuf::new(), prefix, 0, 0), written)
}

/// No model needs a second segment.
pub(super) struct NoOther;

impl NextSegment for NoOther {
    fn prepare(&mut self, _: &Segment) -> Result<Segment, Error> {
        Err(Error::new(ErrorKind::Io, "there is no second file"))
    }

    fn promote(&mut self, _: &mut Segment, _: &mut Segment, _: u64) -> Result<Promoted, Error> {
        unreachable!("nothing rotates")
    }

    fn has_prepared(&self, _: &Segment) -> bool {
        true
    }

    fn has_elsewhere(&self) -> bool {
        false
    }

    fn elsewhere(&mut self, _: &Segment, _: u64) -> Result<Segment, Error> {
        unreachable!("nothing fails")
    }

    fn home(&mut self, _: &Segment, _: u64) -> Result<Segment, Error> {
        unreachable!("it is never away")
    }

    fn discard(&mut self, _: Segment) {}

    fn standing(&self, _: &Segment, _: u64) -> Standing {
        Standing::Here
    }
}
