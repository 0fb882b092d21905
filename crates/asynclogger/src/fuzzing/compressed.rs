//! A compressed segment with frames of known content. The result of reading is compared with an independent
//! walk over the frames, with the same bytes read uncompressed, and with the written records.

use std::{
    fs::{self, File},
    ops::Range,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use zstd::{
    bulk::Compressor,
    stream::raw::{Decoder, Operation},
    zstd_safe::{
        CParameter::{ChecksumFlag, ContentSizeFlag},
        DParameter,
    },
};

use super::{
    input::Input,
    reading::{self, Got},
    segment::{PartKind, Segment, Written},
};
use crate::{
    ErrorKind,
    format::{
        CHUNK, ZSTD_MAGIC,
        seekable::{Footer, FrameEntry, MAX_CONTENT, TABLE_FOOTER, TABLE_HEADER, encode_table},
    },
    probe::{Compressed, Finding},
    read::{Damage, DamageKind, Ending, Format, Reader},
};

/// The most changes that are made to the file.
const MOST: usize = 8;
/// The magic of a skippable frame, without its first byte.
const SKIPPABLE: [u8; 3] = [0x2A, 0x4D, 0x18];

/// Compresses a segment, damages the compressed file, and reads it.
pub fn compressed_segment(bytes: &[u8]) {
    let mut input = Input(bytes);
    let [other_way, form, changes] = input.array();
    let change: [[u8; 3]; 3] = [input.array(), input.array(), input.array()];
    let segment = Segment::plan(&mut input, 7);
    let mut stored = Stored::new(&segment.bytes, form);
    for change in &change[..usize::from(changes % 4)] {
        stored.change_frames(*change);
    }
    stored.assemble(form);
    stored.suffer(&mut input);
    Case::new(&segment, &stored).check(other_way);
}

/// One frame: its content and its bytes.
struct Frame {
    content: Vec<u8>,
    bytes: Vec<u8>,
}

/// A compressed file, and the frames that were put into it.
struct Stored {
    frames: Vec<Frame>,
    /// Bytes of the segment in each frame, in the order of the segment.
    lens: Vec<usize>,
    bytes: Vec<u8>,
    /// The offsets in the file where a frame or the table begins.
    anchors: Vec<usize>,
}

impl Frame {
    fn new(content: Vec<u8>) -> Frame {
        let mut compressor = Compressor::new(1).expect("a compressor");
        compressor.set_parameter(ChecksumFlag(true)).expect("a parameter");
        compressor.set_parameter(ContentSizeFlag(true)).expect("a parameter");
        let bytes = compressor.compress(&content).expect("compressed");
        Frame { content, bytes }
    }
}

impl Stored {
    fn new(segment: &[u8], form: u8) -> Stored {
        let lens = [1024, 4096, 5000, 8192, 10_000, 1 << 14, 1 << 16, 2 << 20];
        let frame_len = lens[usize::from(form % 8)];
        let contents = segment.chunks(frame_len);
        Stored {
            lens: contents.clone().map(<[u8]>::len).collect(),
            frames: contents.map(|content| Frame::new(content.to_vec())).collect(),
            bytes: Vec::new(),
            anchors: Vec::new(),
        }
    }

    /// Good frames that were changed or moved.
    fn change_frames(&mut self, [what, which, other]: [u8; 3]) {
        let frames = &mut self.frames;
        if frames.is_empty() {
            return;
        }
        let (at, to) = (usize::from(which) % frames.len(), usize::from(other) % frames.len());
        match what % 4 {
            0 => frames.swap(at, to),
            1 => drop(frames.remove(at)),
            2 => {
                let Frame { content, bytes } = &frames[at];
                let copy = Frame { content: content.clone(), bytes: bytes.clone() };
                frames.insert(to, copy);
            }
            _ => {
                let mut content = frames[at].content.clone();
                let place = usize::from(other) * 64 % content.len() + usize::from(what >> 2);
                if let Some(byte) = content.get_mut(place) {
                    *byte ^= other.max(1);
                }
                frames[at] = Frame::new(content);
            }
        }
    }

    /// Puts the frames and a table together.
    fn assemble(&mut self, form: u8) {
        let entry = |frame: &Frame| FrameEntry {
            stored: frame.bytes.len() as u32,
            content: frame.content.len() as u32,
        };
        let entries: Vec<FrameEntry> = self.frames.iter().map(entry).collect();
        for frame in &self.frames {
            self.anchors.push(self.bytes.len());
            self.bytes.extend_from_slice(&frame.bytes);
        }
        self.anchors.push(self.bytes.len());
        let entry_len = match form >> 3 & 7 {
            6 => return,
            7 => 12,
            _ => 8,
        };
        let plain = encode_table(&entries).expect("few frames");
        let (header, rest) = plain.split_at(TABLE_HEADER);
        let (rows, footer) = rest.split_at(rest.len() - TABLE_FOOTER);
        let mut table = header.to_vec();
        for row in rows.chunks(8) {
            self.anchors.push(self.bytes.len() + table.len());
            table.extend_from_slice(row);
            table.resize(table.len() + entry_len - 8, 0xCC);
        }
        self.anchors.push(self.bytes.len() + table.len());
        table.extend_from_slice(footer);
        if entry_len == 12 {
            let body = (table.len() - TABLE_HEADER) as u32;
            table[4..8].copy_from_slice(&body.to_le_bytes());
            let descriptor = table.len() - 5;
            table[descriptor] = 0x80;
        }
        self.bytes.extend_from_slice(&table);
    }

    /// Makes the changes to the bytes that `input` decides.
    fn suffer(&mut self, input: &mut Input<'_>) {
        for _ in 0..MOST {
            if input.is_empty() || self.bytes.is_empty() {
                return;
            }
            let [what, anchor, near] = input.array();
            let (from, amount) = (input.u16(), input.u8());
            let bytes = &mut self.bytes;
            let len = bytes.len();
            let at = match what & 0x80 {
                0 => {
                    let anchor = self.anchors[usize::from(anchor) % self.anchors.len()];
                    anchor.saturating_add_signed(isize::from(near.cast_signed())) % len
                }
                _ => (usize::from(anchor) << 8 | usize::from(near)) % len,
            };
            let (from, size) = (from % len, usize::from(amount) + 1);
            let end = (at + size).min(len);
            match what % 8 {
                0 | 1 => bytes[at] ^= amount.max(1),
                2 => bytes[at..end].fill(0),
                3 => bytes[at..end].fill(amount),
                4 => bytes.truncate(at),
                5 => bytes.copy_within(from..(from + size).min(len).min(from + len - at), at),
                6 => {
                    let copy = bytes[from..(from + size).min(len)].to_vec();
                    drop(bytes.splice(at..at, copy));
                }
                _ => drop(bytes.drain(at..end)),
            }
        }
    }

    /// The table at the end of the bytes, if the table can be right.
    fn entries(&self) -> Option<Vec<FrameEntry>> {
        let footer = self.bytes.last_chunk::<TABLE_FOOTER>().and_then(Footer::decode)?;
        let before = self.bytes.len().checked_sub(footer.table_len())?;
        footer.entries(&self.bytes[before..], before as u64)
    }

    /// The content of the segment, as far as whole frames have it, with the offsets.
    fn known(&self, entries: Option<&[FrameEntry]>) -> Vec<(usize, &[u8])> {
        let Some(entries) = entries else { return self.known_by_frames() };
        let (mut known, mut at, mut begin) = (Vec::new(), 0, 0);
        for &FrameEntry { stored, content } in entries {
            let (end, len) = (at + stored as usize, content as usize);
            let is_this =
                |frame: &&Frame| frame.bytes == self.bytes[at..end] && frame.content.len() == len;
            if let Some(frame) = self.frames.iter().find(is_this) {
                known.push((begin, &frame.content[..]));
            }
            (at, begin) = (end, begin + len);
        }
        known
    }

    /// The same without a table: the frames one behind the other, and one frame of the usual length for each
    /// region without a frame. The walk ends at bytes that look like a frame and are not one of these frames.
    fn known_by_frames(&self) -> Vec<(usize, &[u8])> {
        let (mut known, mut at, mut begin, mut usual) = (Vec::new(), 0, 0, None);
        let frame_at = |at: usize| {
            let rest = &self.bytes[at..];
            self.frames.iter().find(|frame| rest.starts_with(&frame.bytes))
        };
        loop {
            if let Some(Frame { content, bytes }) = frame_at(at) {
                known.push((begin, &content[..]));
                (at, begin) = (at + bytes.len(), begin + content.len());
                usual = usual.max(Some(content.len()));
                continue;
            }
            let next = (at..self.bytes.len()).find(|at| frame_at(*at).is_some());
            let (Some(usual), Some(next)) = (usual, next) else { return known };
            let between = &self.bytes[at..next];
            if between.windows(4).any(|four| four == ZSTD_MAGIC || four[1..] == SKIPPABLE) {
                return known;
            }
            (at, begin) = (next, begin + usual);
        }
    }
}

/// The file on a disk while it is read, because only files are decompressed.
struct OnDisk(PathBuf);

impl OnDisk {
    fn new(bytes: &[u8]) -> OnDisk {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("asynclogger-fuzz-{}-{number}.log.zst", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).expect("a file");
        OnDisk(path)
    }

    /// The whole segment and the findings; `None` if the file has no frames.
    fn content(&self, stored: u64) -> Option<(Vec<u8>, Vec<Finding>)> {
        let file = File::open(&self.0).expect("a file");
        let mut compressed =
            Compressed::open(Box::new(file), stored).expect("no error of the system")?;
        let mut content = vec![0; compressed.len() as usize];
        let mut filled = 0;
        while filled < content.len() {
            let read = compressed.read_at(filled as u64, &mut content[filled..]).expect("memory");
            assert!(read > 0, "the end at {filled} of {}", content.len());
            filled += read;
        }
        Some((content, compressed.take_findings()))
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        // The rest of the table is not a finding.
        let _ = fs::remove_file(&self.0);
    }
}

/// A segment, and its damaged compressed file.
struct Case<'a> {
    segment: &'a Segment,
    stored: &'a Stored,
    entries: Option<Vec<FrameEntry>>,
}

impl<'a> Case<'a> {
    fn new(segment: &'a Segment, stored: &'a Stored) -> Case<'a> {
        Case { segment, stored, entries: stored.entries() }
    }

    fn check(&self, other_way: u8) {
        let file = OnDisk::new(&self.stored.bytes);
        let known = self.stored.known(self.entries.as_deref());
        let Some((content, findings)) = file.content(self.stored.bytes.len() as u64) else {
            assert!(known.is_empty(), "it has a whole frame");
            let error = Reader::open(&file.0).expect_err("it has no frames");
            assert_eq!(error.kind(), ErrorKind::NotALog, "{error}");
            return;
        };
        self.content_is_known(&content, &findings, &known);
        let intact = self.intact(&known);
        let plain = reading::read(&content, other_way);
        let got = reading::read_by(&|| Reader::open(&file.0), &content, other_way);
        let native = |got: &Got| matches!(got.report.format, Format::Native { .. });
        match (plain.ok().filter(native), got) {
            (Some(plain), Ok(got)) => {
                self.is_what_it_was(plain, &got, findings);
                self.delivers_what_is_left(&got, &intact);
                self.tells_the_loss(&got, content.len());
            }
            (None, Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::NotALog, "{error}");
                let mut metadata = self.segment.parts.iter().flat_map(|part| part.metadata());
                assert!(!metadata.any(|range| is_in(&intact, &range)), "{error}");
            }
            (Some(_), Err(error)) => panic!("{error}"),
            (None, Ok(got)) => panic!("{:#?}", got.report),
        }
    }

    /// Whole frames give the bytes that were compressed, and no finding.
    fn content_is_known(&self, content: &[u8], findings: &[Finding], known: &[(usize, &[u8])]) {
        let has_table = !findings.contains(&Finding::SeekTable);
        assert_eq!(has_table, self.entries.is_some(), "{findings:?}");
        if let Some(entries) = &self.entries {
            self.frames_are_told(content, findings, entries);
        }
        for (begin, bytes) in known {
            let end = begin + bytes.len();
            assert_eq!(content.get(*begin..end), Some(*bytes), "{begin:#x}..{end:#x}");
            let finding = Finding::Frame { offset: *begin as u64, len: bytes.len() as u64 };
            assert!(bytes.is_empty() || !findings.contains(&finding), "{finding:?}");
        }
    }

    /// The frames stand at the places of the table, and exactly the frames that zstd refuses are reported as
    /// damaged.
    fn frames_are_told(&self, content: &[u8], findings: &[Finding], entries: &[FrameEntry]) {
        let (mut at, mut begin) = (0, 0);
        for entry in entries {
            let (end, len) = (at + entry.stored as usize, entry.content as usize);
            let (frame, content) = (&self.stored.bytes[at..end], &content[begin..begin + len]);
            let whole = zstd::bulk::decompress(frame, len).ok().filter(|it| it.len() == len);
            let finding = Finding::Frame { offset: begin as u64, len: len as u64 };
            let is_told = findings.contains(&finding);
            assert!(len == 0 || whole.is_none() == is_told, "{finding:?}: {findings:?}");
            assert!(content == whole.unwrap_or_else(|| beginning(frame, len)), "{finding:?}");
            (at, begin) = (end, begin + len);
        }
        assert_eq!(content.len(), begin);
    }

    /// The parts of the segment that whole frames contain, in their places.
    fn intact(&self, known: &[(usize, &[u8])]) -> Vec<Range<usize>> {
        let mut intact: Vec<Range<usize>> = Vec::new();
        for (begin, bytes) in known {
            let range = *begin..begin + bytes.len();
            if self.segment.bytes.get(range.clone()) != Some(*bytes) {
                continue;
            }
            match intact.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => intact.push(range),
            }
        }
        intact
    }

    /// The file reads like the same bytes uncompressed, except for the reports on frames and table.
    fn is_what_it_was(&self, plain: Got, got: &Got, findings: Vec<Finding>) {
        assert_eq!(got.records, plain.records);
        let is_whole = plain.report.is_whole() && findings.is_empty();
        assert_eq!(got.report.is_whole(), is_whole, "{:#?}", got.report);
        let mut told = Vec::new();
        let (mut report, mut expected) = (got.report.clone(), plain.report);
        report.damage.retain(|damage| match damage.kind {
            DamageKind::SeekTable => {
                told.push(Finding::SeekTable);
                false
            }
            DamageKind::Frame => {
                told.push(Finding::Frame { offset: damage.offset, len: damage.len });
                false
            }
            _ => true,
        });
        assert!(told.iter().all(|told| findings.contains(told)), "{:#?}", got.report);
        for finding in findings.iter().filter(|finding| !told.contains(finding)) {
            // No byte of the frame was read, because no part can begin there.
            let Finding::Frame { offset, len } = *finding else { panic!("{:#?}", got.report) };
            let covers = |damage: &Damage| {
                damage.offset < offset + len && offset < damage.offset + damage.len
            };
            assert!(report.damage.iter().any(covers), "{finding:?}: {:#?}", got.report);
        }
        if findings.contains(&Finding::SeekTable) && expected.ending != Ending::Clean {
            expected.lost.at_most = None;
        }
        expected.stored_bytes = self.stored.bytes.len() as u64;
        expected.path.clone_from(&report.path);
        assert_eq!(report, expected);
    }

    /// Only written records are delivered, in their order; and every record is delivered whose chunks are in
    /// whole frames, if the head or the tail of its block is too.
    fn delivers_what_is_left(&self, got: &Got, intact: &[Range<usize>]) {
        let mut records = got.records.iter().peekable();
        for written in &self.segment.written {
            let is_it = |record: &&reading::Delivered| {
                (record.position, record.at, record.end)
                    == (written.position, written.at, written.end)
                    && written.may_have(record.time)
            };
            if records.next_if(is_it).is_none() {
                assert!(!self.is_left(written, intact), "{written:?}: {:#?}", got.report);
            }
        }
        assert_eq!(records.next(), None, "{:#?}", got.report);
    }

    fn is_left(&self, record: &Written, intact: &[Range<usize>]) -> bool {
        let part = &self.segment.parts[record.part];
        let PartKind::Block { data, .. } = &part.kind else { return false };
        let chunk = |at: usize| (at - data.start) / CHUNK;
        let begin = data.start + chunk(record.at) * CHUNK;
        let end = (data.start + (chunk(record.end - 1) + 1) * CHUNK).min(data.end);
        is_in(intact, &(begin..end)) && part.metadata().any(|range| is_in(intact, &range))
    }

    fn tells_the_loss(&self, got: &Got, len: usize) {
        let lost = got.report.lost;
        let gone = self.segment.written.len() - got.records.len();
        assert!(lost.at_least <= gone as u64, "{gone} lost: {:#?}", got.report);
        let lens = |entries: &Vec<FrameEntry>| {
            let lens = entries.iter().map(|entry| entry.content as usize);
            lens.eq(self.stored.lens.iter().copied())
        };
        if self.entries.as_ref().is_none_or(lens) {
            let within = |record: &&Written| record.at < len;
            let gone = self.segment.written.iter().filter(within).count();
            let gone = gone.saturating_sub(got.records.len()) as u64;
            let most = lost.at_most;
            assert!(most.is_none_or(|most| most >= gone), "{gone} lost: {:#?}", got.report);
        }
    }
}

/// The content of a damaged frame: the bytes before the damage, fed one by one, and then zeros.
fn beginning(frame: &[u8], len: usize) -> Vec<u8> {
    let (mut content, mut done) = (vec![0; len], 0);
    let mut decoder = Decoder::new().expect("a decoder");
    let longest = DParameter::WindowLogMax(MAX_CONTENT.ilog2());
    decoder.set_parameter(longest).expect("a parameter");
    'bytes: for byte in frame.chunks(1) {
        let mut byte = byte;
        while done < len {
            let Ok(status) = decoder.run_on_buffers(byte, &mut content[done..]) else {
                break 'bytes;
            };
            done += status.bytes_written;
            if status.remaining == 0 {
                break 'bytes;
            }
            if status.bytes_written == 0 {
                break;
            }
            byte = &byte[status.bytes_read..];
        }
    }
    content[done..].fill(0);
    content
}

fn is_in(intact: &[Range<usize>], range: &Range<usize>) -> bool {
    intact.iter().any(|whole| whole.start <= range.start && range.end <= whole.end)
}
