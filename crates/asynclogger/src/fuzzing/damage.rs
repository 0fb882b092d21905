//! Damage to a file: bits, sectors and pages are flipped, zeroed, copied, swapped, cut off, shifted.

use super::{input::Input, segment::Segment};
use crate::format::{
    MIN_ALIGN, SECTOR,
    checksum::{crc32c, crc32c_append},
};

/// The most changes that are made to one file.
const MOST: usize = 8;

/// A damaged file.
#[derive(Debug)]
pub(super) struct Damaged {
    pub(super) bytes: Vec<u8>,
    /// Whether the file can contain parts of another file.
    pub(super) has_foreign: bool,
    /// Whether bytes were inserted, or removed before the end.
    pub(super) is_shifted: bool,
}

impl Damaged {
    pub(super) fn new(bytes: Vec<u8>) -> Damaged {
        Damaged { bytes, has_foreign: false, is_shifted: false }
    }

    /// Makes the changes to the file that `input` decides. `plan` made the file; with another id it makes the
    /// other file.
    pub(super) fn suffer(&mut self, input: &mut Input<'_>, plan: Input<'_>) {
        for _ in 0..MOST {
            if input.is_empty() || self.bytes.is_empty() {
                break;
            }
            self.happen(input, plan);
        }
    }

    fn happen(&mut self, input: &mut Input<'_>, mut plan: Input<'_>) {
        let what = input.u8();
        let (to, from, amount) = (input.u16(), input.u16(), usize::from(input.u8()));
        let unit = if what & 0x80 == 0 { SECTOR } else { MIN_ALIGN };
        let len = self.bytes.len();
        let place = |index: usize| index * unit % len.next_multiple_of(unit);
        let (to_at, from_at) = (place(to), place(from));
        let size = (1 + amount % 16) * unit;
        let within = |at: usize| at..(at + size).min(len);
        match what & 0x0F {
            0..=2 => {
                // Near a field of a metadata block, or anywhere.
                let at = to * SECTOR % len + from % SECTOR;
                if let Some(byte) = self.bytes.get_mut(at) {
                    *byte ^= amount.max(1) as u8;
                }
            }
            3 => self.bytes[within(to_at)].fill(0),
            4 => self.bytes[within(to_at)].fill(amount as u8),
            5 => {
                let size = size.min(len - to_at).min(len - from_at);
                self.bytes.copy_within(from_at..from_at + size, to_at);
            }
            6 => {
                let copy = self.bytes[within(to_at)].to_vec();
                let size = copy.len().min(len - from_at);
                let end = to_at + size;
                self.bytes.copy_within(from_at..from_at + size, to_at);
                debug_assert!(end <= len);
                self.bytes[from_at..from_at + size].copy_from_slice(&copy[..size]);
            }
            7 => {
                let other = Segment::plan(&mut plan, 9).bytes;
                let end = within(to_at).end.min(other.len());
                if to_at < end {
                    self.bytes[to_at..end].copy_from_slice(&other[to_at..end]);
                    self.has_foreign = true;
                }
            }
            8 | 9 => self.bytes.truncate((to * SECTOR + from % SECTOR) % (len + 1)),
            10 => {
                let copy = self.bytes[within(from_at)].to_vec();
                self.bytes.resize(len + copy.len(), 0);
                self.bytes.copy_within(to_at..len, to_at + copy.len());
                self.bytes[to_at..to_at + copy.len()].copy_from_slice(&copy);
                self.is_shifted = true;
            }
            11 => {
                self.bytes.drain(within(to_at));
                self.is_shifted = true;
            }
            12 => {
                let size = if what & 0x40 == 0 { size } else { 1 + from % 5000 };
                self.bytes.resize(len + size, if amount < 64 { 0 } else { amount as u8 });
            }
            13 => {
                let range = within(to_at);
                let by = (from * SECTOR) % range.len().max(1);
                self.bytes[range].rotate_left(by);
            }
            14 => {
                // A write that began one sector early or late.
                let size = size.min(len - to_at);
                let back = SECTOR.min(to_at);
                self.bytes.copy_within(to_at..to_at + size, to_at - back);
            }
            _ => {
                let bit = from % 8;
                if let Some(byte) = self.bytes.get_mut(to_at + from / 8 % unit) {
                    *byte ^= 1 << bit;
                }
            }
        }
    }

    /// Puts a wrong value into a field of a metadata block, under a right checksum.
    pub(super) fn forge(&mut self, input: &mut Input<'_>, places: &[usize]) {
        let [which, field, how] = input.array();
        let Some(at) = places.get(usize::from(which) % places.len().max(1)).copied() else {
            return;
        };
        let offset = 4 * usize::from(field % 64);
        let value = input.u32();
        if let Some(place) = self.bytes.get_mut(at + offset..at + offset + 4) {
            let old = u32::from_le_bytes([place[0], place[1], place[2], place[3]]);
            let new = match how % 4 {
                0 => value,
                1 => old.wrapping_add(value % 16),
                2 => old.wrapping_sub(value % 16),
                _ => u32::MAX - value % 16,
            };
            place.copy_from_slice(&new.to_le_bytes());
        }
        seal(&mut self.bytes, at);
    }

    /// Moves a metadata block, or a whole block, to another place, as if it had been written there.
    pub(super) fn move_to(&mut self, input: &mut Input<'_>, places: &[usize]) {
        let [which, to, units] = input.array().map(usize::from);
        let Some(from) = places.get(which % places.len().max(1)).copied() else { return };
        let to = to % 128 * SECTOR;
        let end = (from + (1 + units % 24) * SECTOR).min(self.bytes.len());
        let Some(copy) = self.bytes.get(from..end).map(<[u8]>::to_vec) else { return };
        if to + copy.len() > self.bytes.len() {
            self.bytes.resize(to + copy.len(), 0);
        }
        self.bytes[to..to + copy.len()].copy_from_slice(&copy);
        for at in (to..to + copy.len()).step_by(SECTOR) {
            let Some(head) = self.bytes.get_mut(at..at + 40) else { continue };
            if head[16..20] == *b"ALOG" {
                head[32..40].copy_from_slice(&(at as u64).to_le_bytes());
                seal(&mut self.bytes, at);
            }
        }
    }
}

/// Puts the right checksum on the metadata block at `at`.
pub(super) fn seal(bytes: &mut [u8], at: usize) {
    let Some(size) = bytes.get(at..).and_then(|bytes| bytes.first_chunk()) else { return };
    let size = u32::from_le_bytes(*size) as usize;
    let Some(block) = bytes.get_mut(at..at.saturating_add(size)).filter(|_| size > 16) else {
        return;
    };
    let crc = crc32c_append(crc32c(&block[..12]), &block[16..]);
    block[12..16].copy_from_slice(&crc.to_le_bytes());
}
