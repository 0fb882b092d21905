//! Logs with any times, written after docs/format.md: a logger has the times of its clock alone.

use crc32c::{crc32c, crc32c_append};

/// The alignment.
const A: usize = 4096;
const LOG_ID: [u8; 16] = [7; 16];
const SESSION: u64 = 0xA;

/// One segment of a log of one session and one shard.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) bytes: Vec<u8>,
    segment: u64,
    sequence: u64,
    first_sequence: u64,
    records: u64,
    segment_records: u64,
    payload: u64,
    times: (i64, i64),
}

fn sector(bytes: usize) -> usize {
    bytes.next_multiple_of(512)
}

impl Log {
    pub(crate) fn new(time: i64) -> Log {
        let mut log = Log {
            bytes: Vec::new(),
            segment: 1,
            sequence: 0,
            first_sequence: 0,
            records: 0,
            segment_records: 0,
            payload: 0,
            times: (0, 0),
        };
        log.start(time);
        log
    }

    /// Metadata at the end of the file, or behind `before` more bytes; `end` stands at its end.
    fn metadata(
        &self,
        (magic, version): (&[u8; 8], u32),
        (before, size): (usize, usize),
        time: i64,
        (body, end): (&[u8], &[u8]),
    ) -> Vec<u8> {
        let mut part = Vec::new();
        part.extend((size as u32).to_le_bytes());
        part.extend((size as u32 - 8).to_le_bytes());
        part.extend([0; 8]);
        part.extend(magic);
        part.extend(version.to_le_bytes());
        part.extend((A as u32).to_le_bytes());
        part.extend(((self.bytes.len() + before) as u64).to_le_bytes());
        part.extend(LOG_ID);
        part.extend(self.segment.to_le_bytes());
        part.extend(SESSION.to_le_bytes());
        part.extend(time.to_le_bytes());
        part.extend(body);
        part.resize(size - end.len(), 0);
        part.extend(end);
        let crc = crc32c_append(crc32c(&part[..12]), &part[16..]);
        part[12..16].copy_from_slice(&crc.to_le_bytes());
        part
    }

    fn start(&mut self, time: i64) {
        let name = b"made";
        let mut body = Vec::new();
        body.extend((self.segment - 1).to_le_bytes());
        body.extend(self.first_sequence.to_le_bytes());
        body.extend((name.len() as u32).to_le_bytes());
        body.extend(name);
        let start = self.metadata((b"ALOGSTRT", 1), (0, A), time, (&body, &[]));
        self.bytes.extend(start);
    }

    /// A block of records, each with its time in nanoseconds after `base`.
    pub(crate) fn block(&mut self, base: i64, records: &[(u32, &[u8])]) -> &mut Log {
        let mut payload = Vec::new();
        let mut column = Vec::new();
        for (after, record) in records {
            payload.extend((record.len() as u32).to_le_bytes());
            payload.extend(*record);
            column.splice(0..0, after.to_le_bytes());
        }
        let last = records.iter().map(|(after, _)| *after).max().unwrap();
        let mut scale = Vec::new();
        scale.extend(base.to_le_bytes());
        // The counter of the processor; a count is a nanosecond.
        for value in [1, 1, 1 << 32] {
            scale.extend(u64::to_le_bytes(value));
        }
        scale.extend(last.to_le_bytes());
        scale.extend(0u32.to_le_bytes());
        let data_len = sector(8 + payload.len());
        assert!(data_len <= 65_536, "one chunk");
        let table_len = 176 + 12;
        let head_len = (table_len + column.len() + scale.len()).next_multiple_of(A);
        let tail_len = (data_len + table_len + scale.len()).next_multiple_of(A) - data_len;
        let valid = payload.len() as u32;
        let mut data = ((data_len + tail_len) as u32).to_le_bytes().to_vec();
        data.extend(valid.to_le_bytes());
        data.extend(payload);
        data.resize(data_len, 0);

        let mut body = Vec::new();
        // The generation is the number of the shard's blocks before.
        for value in [self.sequence, self.sequence, self.records] {
            body.extend(value.to_le_bytes());
        }
        let (head, tail) = (head_len as u32, tail_len as u32);
        for value in [0, records.len() as u32, valid, head, data_len as u32, tail] {
            body.extend(value.to_le_bytes());
        }
        body.extend([0; 40]);
        for value in [1, 0, crc32c(&data), 8, records.len() as u32] {
            body.extend(u32::to_le_bytes(value));
        }
        column.extend(scale.iter());
        let has_room = table_len + column.len() <= tail_len;
        let in_tail = if has_room { &column } else { &scale };
        let time = base + i64::from(last);
        let head = self.metadata((b"ALOGHEAD", 2), (0, head_len), time, (&body, &column));
        let place = (head_len + data_len, tail_len);
        let tail = self.metadata((b"ALOGTAIL", 2), place, time, (&body, in_tail));
        self.bytes.extend([head, data, tail].concat());

        self.sequence += 1;
        self.records += records.len() as u64;
        self.segment_records += records.len() as u64;
        self.payload += u64::from(valid) - 4 * records.len() as u64;
        self.times.0 = if self.times.0 == 0 { time } else { self.times.0 };
        self.times.1 = time;
        self
    }

    /// The end of the log; the logger dropped and salvaged so many records.
    pub(crate) fn end(&mut self, dropped: u64, salvaged: u64) -> &mut Log {
        let mut body = Vec::new();
        for value in [self.sequence, self.records, self.payload, dropped, 0, 0, 0, 0] {
            body.extend(value.to_le_bytes());
        }
        body.extend(self.first_sequence.to_le_bytes());
        body.extend(self.segment_records.to_le_bytes());
        body.extend(self.times.0.to_le_bytes());
        body.extend(self.times.1.to_le_bytes());
        // The session is over.
        body.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        body.extend(salvaged.to_le_bytes());
        let end = self.metadata((b"ALOGENDS", 1), (0, A), self.times.1, (&body, &[]));
        self.bytes.extend(end);
        self
    }

    /// The next segment, in the same session. This one gets no end, as if the logger could not write any more.
    pub(crate) fn next_segment(&self) -> Log {
        let mut next = Log {
            bytes: Vec::new(),
            segment: self.segment + 1,
            first_sequence: self.sequence,
            segment_records: 0,
            times: (0, 0),
            ..self.clone()
        };
        next.start(self.times.1);
        next
    }
}
