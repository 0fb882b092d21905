//! Files of the original: a chain of shard headers without checksums (docs/format.md, sections 1 and 6).

use super::{
    block::{BlockMeta, Run},
    ledger::most_records,
    loaded::Loaded,
    report::{Damage, DamageKind, Ending, Layout, Loss, Report},
    step::Step,
};
use crate::{
    Error,
    format::{RECORD_HEADER, SECTOR, SHARD_HEADER, record::Records},
    probe::Source,
};

/// How many bytes of a file are read at a time in the search for zeros.
const WINDOW: usize = 256 * 1024;

/// A shard header.
#[derive(Clone, Copy, Debug)]
struct Header {
    capacity: u64,
    valid: u64,
}

impl Header {
    fn read(source: &mut Source, offset: u64) -> Result<Option<Header>, Error> {
        let mut bytes = [0; SHARD_HEADER];
        if source.read_at(offset, &mut bytes)? < SHARD_HEADER {
            return Ok(None);
        }
        let [a, b, c, d, e, f, g, h] = bytes;
        let number = |bytes| u64::from(u32::from_le_bytes(bytes));
        Ok(Some(Header { capacity: number([a, b, c, d]), valid: number([e, f, g, h]) }))
    }

    fn is_end(&self) -> bool {
        self.capacity == 0 || self.valid == 0
    }

    fn is_plausible(&self) -> bool {
        self.capacity >= self.valid + SHARD_HEADER as u64
    }

    /// The distance to the next header, in bytes.
    fn step(&self, layout: Layout) -> u64 {
        match layout {
            Layout::Capacity => self.capacity,
            _ => (self.valid + SHARD_HEADER as u64).next_multiple_of(SECTOR as u64),
        }
    }
}

/// The walk over the shards of one file.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) report: Report,
    layout: Layout,
    pos: u64,
    /// Number of the next record in the file.
    number: u64,
    /// Number of the next shard in the file.
    shard: u32,
    /// The state before the last shard, if the end of the file cut that shard and its damage is in the
    /// report.
    torn: Option<Box<Torn>>,
    /// Where the delivery continues in a shard that is read again.
    delivered_to: usize,
}

#[derive(Debug)]
struct Torn {
    report: Report,
    pos: u64,
    number: u64,
    shard: u32,
    delivered_to: usize,
}

impl Original {
    pub(super) fn new(report: Report, layout: Layout) -> Original {
        Original { report, layout, pos: 0, number: 0, shard: 0, torn: None, delivered_to: 0 }
    }

    /// Continues after the file has grown.
    pub(super) fn grow(&mut self, len: u64) {
        if let Some(torn) = self.torn.take() {
            let Torn { report, pos, number, shard, delivered_to } = *torn;
            (self.report, self.pos, self.number) = (report, pos, number);
            (self.shard, self.delivered_to) = (shard, delivered_to);
        }
        (self.report.file_bytes, self.report.stored_bytes) = (len, len);
        self.report.ending = Ending::Open;
    }

    /// Reads the next shard into `loaded`.
    pub(super) fn step(&mut self, source: &mut Source, loaded: &mut Loaded) -> Result<Step, Error> {
        if self.pos >= source.len() {
            return Ok(self.end());
        }
        let Some(header) = Header::read(source, self.pos)? else {
            self.rest(source, DamageKind::TornTail)?;
            return Ok(self.end());
        };
        if header.is_end() || !header.is_plausible() {
            let kind = if header.is_end() { DamageKind::TornTail } else { DamageKind::BadHeader };
            self.rest(source, kind)?;
            return Ok(self.end());
        }
        self.shard(source, header, loaded)
    }

    fn end(&mut self) -> Step {
        self.report.ending = if self.torn.is_some() { Ending::Torn } else { Ending::Open };
        Step::End
    }

    /// The chain ends here, before the end of the file: the rest of the file is damaged unless it is zeros.
    fn rest(&mut self, source: &mut Source, kind: DamageKind) -> Result<(), Error> {
        if are_zeros(source, self.pos)? {
            return Ok(());
        }
        self.keep(self.delivered_to);
        let (offset, len) = (self.pos, source.len() - self.pos);
        self.damage(offset, len, kind, most_records(len));
        self.pos = source.len();
        Ok(())
    }

    fn shard(
        &mut self,
        source: &mut Source,
        header: Header,
        loaded: &mut Loaded,
    ) -> Result<Step, Error> {
        let offset = self.pos;
        let wanted = SHARD_HEADER + header.valid as usize;
        source.fill(offset, wanted, &mut loaded.data)?;
        let mut records = Records::new(&loaded.data, SHARD_HEADER);
        let count = records.by_ref().count() as u64;
        let end = records.offset();
        let is_cut = loaded.data.len() < wanted;
        // The capacity leads out of the file, past bytes that may be shards.
        let padded = offset.saturating_add(header.step(Layout::Seed));
        let next = offset.saturating_add(header.step(self.layout));
        let is_short = !is_cut && next > source.len() && !are_zeros(source, padded)?;
        // A shard that begins with a length of 0 has no records; the metadata blocks of this library look
        // like that.
        let rest = loaded.data.get(end..).unwrap_or_default();
        let is_empty = count == 0 && rest.starts_with(&[0; RECORD_HEADER]);
        if is_cut || is_short {
            self.keep(end);
        }
        let left = loaded.data.len() - end;
        if is_cut {
            // The header has the length of the whole shard.
            let most = most_records((wanted - end) as u64);
            self.damage(offset + end as u64, left as u64, DamageKind::TornTail, most);
        } else if left > 0 && !is_empty {
            let most = most_records(left as u64);
            self.damage(offset + end as u64, left as u64, DamageKind::BadLength, most);
        }
        if is_short {
            let len = source.len() - padded;
            self.damage(padded, len, DamageKind::TornTail, most_records(len));
        }
        let first = std::mem::take(&mut self.delivered_to).max(SHARD_HEADER);
        let skipped = Records::new(loaded.data.get(..first).unwrap_or_default(), SHARD_HEADER);
        let number = self.number + skipped.count() as u64;
        loaded.runs.clear();
        if end > first {
            loaded.runs.push(Run { start: first, end, number });
        }
        loaded.times.clear();
        loaded.meta = BlockMeta {
            offset,
            data_offset: offset,
            len: header.step(self.layout),
            sequence: u64::from(self.shard),
            ..BlockMeta::default()
        };
        self.count(count, (end - SHARD_HEADER) as u64);
        self.pos = next;
        Ok(if count > 0 { Step::Block } else { Step::Other })
    }

    fn count(&mut self, records: u64, bytes: u64) {
        self.number += records;
        if records > 0 {
            self.shard = self.shard.saturating_add(1);
            self.report.blocks += 1;
            self.report.records += records;
            self.report.payload_bytes += bytes.saturating_sub(RECORD_HEADER as u64 * records);
        }
    }

    /// Remembers the state before the torn end.
    fn keep(&mut self, delivered_to: usize) {
        let (pos, number, shard) = (self.pos, self.number, self.shard);
        let report = self.report.clone();
        self.torn = Some(Box::new(Torn { report, pos, number, shard, delivered_to }));
    }

    fn damage(&mut self, offset: u64, len: u64, kind: DamageKind, most: u64) {
        let lost = Loss::range(0, Some(most));
        self.report.add_damage(Damage { offset, len, kind, lost });
        let sum = self.report.lost.at_most.map(|sum| sum.saturating_add(most));
        self.report.lost.at_most = sum;
    }
}

fn are_zeros(source: &mut Source, from: u64) -> Result<bool, Error> {
    let (mut offset, mut window) = (from, Vec::new());
    loop {
        source.fill(offset, WINDOW, &mut window)?;
        if window.is_empty() {
            return Ok(true);
        }
        if window.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        offset += window.len() as u64;
    }
}

/// How a walk by one rule ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Walk {
    /// At an impossible header.
    Bad,
    /// Beyond the end of the file, or at a header of zeros.
    Short,
    /// Exactly at the end of the file.
    Exact,
}

/// The rule by which the file is a chain of shards; `None` if neither rule fits.
///
/// The better ending wins, then the greater number of shards, then `Capacity`. A walk by the wrong rule soon
/// meets records in the place of a header, or jumps over shards.
pub(super) fn layout_of(source: &mut Source) -> Result<Option<Layout>, Error> {
    if !begins_plausibly(source)? {
        return Ok(None);
    }
    let capacity = walk(source, Layout::Capacity)?;
    let seed = walk(source, Layout::Seed)?;
    Ok(Some(if seed > capacity { Layout::Seed } else { Layout::Capacity }))
}

fn walk(source: &mut Source, layout: Layout) -> Result<(Walk, u64), Error> {
    let (mut offset, mut shards) = (0, 0);
    loop {
        // The last shard does not have to be padded.
        if offset >= source.len() {
            return Ok((Walk::Exact, shards));
        }
        let Some(header) = Header::read(source, offset)? else { return Ok((Walk::Short, shards)) };
        if header.is_end() {
            return Ok((Walk::Short, shards));
        }
        if !header.is_plausible() {
            return Ok((Walk::Bad, shards));
        }
        shards += 1;
        let next = offset.saturating_add(header.step(layout));
        let data_end = offset + SHARD_HEADER as u64 + header.valid;
        let is_cut = match layout {
            Layout::Capacity => next > source.len(),
            _ => data_end > source.len(),
        };
        if is_cut {
            return Ok((Walk::Short, shards));
        }
        offset = next;
    }
}

/// Whether the first header is possible and its shard begins with a record that lies completely in the file.
fn begins_plausibly(source: &mut Source) -> Result<bool, Error> {
    let Some(header) = Header::read(source, 0)? else { return Ok(false) };
    let mut prefix = [0; RECORD_HEADER];
    let has_prefix = source.read_at(SHARD_HEADER as u64, &mut prefix)? == RECORD_HEADER;
    let first = u64::from(u32::from_le_bytes(prefix)) + RECORD_HEADER as u64;
    let is_whole = first > RECORD_HEADER as u64
        && first <= header.valid
        && SHARD_HEADER as u64 + first <= source.len();
    Ok(!header.is_end() && header.is_plausible() && has_prefix && is_whole)
}
