//! A record that carries its thread and its number, and whose every byte can be checked.

/// `[u32 thread][u64 number][u32 check]`, little-endian.
const HEAD: usize = 16;
/// Length of the copy of the identity at the end of a record that has room for it. The copy shows that the
/// middle is not another record's.
const TRAILER: usize = 8;

/// The form of all records of a run, without the identity.
pub(super) struct Record {
    pattern: Vec<u8>,
}

impl Record {
    /// `len` is at least [`BENCH_MIN_RECORD`](crate::writing::args::BENCH_MIN_RECORD).
    pub(super) fn new(len: usize) -> Record {
        let mut pattern = Vec::with_capacity(len + 8);
        let mut word = 0;
        while pattern.len() < len {
            word += 1;
            pattern.extend_from_slice(&mix(0, word).to_le_bytes());
        }
        pattern.truncate(len);
        Record { pattern }
    }

    /// Makes a buffer that [`stamp`](Record::stamp) turns into one record after the other.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.pattern.clone()
    }

    /// Writes the identity into `buffer` with a few stores, whatever the length of the record.
    #[inline]
    pub(super) fn stamp(buffer: &mut [u8], thread: u32, number: u64) {
        let mixed = mix(thread, number);
        let len = buffer.len();
        buffer[0..4].copy_from_slice(&thread.to_le_bytes());
        buffer[4..12].copy_from_slice(&number.to_le_bytes());
        buffer[12..16].copy_from_slice(&(mixed as u32).to_le_bytes());
        if len >= HEAD + TRAILER {
            buffer[len - TRAILER..].copy_from_slice(&mixed.to_le_bytes());
        }
    }

    /// The thread and the number of a record, if every byte is as it was made.
    pub(super) fn identify(&self, bytes: &[u8]) -> Option<(u32, u64)> {
        if bytes.len() != self.pattern.len() {
            return None;
        }
        let thread = u32::from_le_bytes(bytes.get(0..4)?.try_into().ok()?);
        let number = u64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?);
        let check = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?);
        let mixed = mix(thread, number);
        let (middle, trailer) = match bytes.len() >= HEAD + TRAILER {
            true => (HEAD..bytes.len() - TRAILER, &mixed.to_le_bytes()[..]),
            false => (HEAD..bytes.len(), &[][..]),
        };
        let whole = check == mixed as u32
            && bytes[middle.clone()] == self.pattern[middle.clone()]
            && &bytes[middle.end..] == trailer;
        whole.then_some((thread, number))
    }
}

/// Spreads an identity over 64 bits (multiply and fold, twice).
#[inline]
fn mix(thread: u32, number: u64) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ (product >> 64) as u64
    };
    let seed = fold(number ^ 0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93);
    fold(seed ^ u64::from(thread), 0xa076_1d64_78bd_642f) ^ number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_again_and_any_changed_bit_is_seen() {
        for len in [16, 17, 23, 24, 25, 100, 256] {
            let record = Record::new(len);
            let mut bytes = record.buffer();
            assert_eq!(bytes.len(), len);
            for (thread, number) in [(0, 0), (1, 0), (0, 1), (4095, u64::MAX)] {
                Record::stamp(&mut bytes, thread, number);
                assert_eq!(record.identify(&bytes), Some((thread, number)), "{len}");
                for bit in 0..len * 8 {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    assert_eq!(record.identify(&bytes), None, "length {len}, bit {bit}");
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                assert_eq!(record.identify(&bytes[..len - 1]), None);
            }
        }
    }
}
