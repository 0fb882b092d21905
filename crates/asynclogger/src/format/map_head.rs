//! The head of a crash map: the file that holds a logger's memory, so that the records outlive the process.
//!
//! A map is read on the machine that wrote it, by the same or another version of this library. So the head says in which
//! version and byte order the words behind it were written, and everything that their places follow from.

use super::{
    LogId,
    bytes::{Put, Take},
    checksum::crc32c,
};

/// The length of the head, in bytes: the words of the map follow.
pub(crate) const MAP_HEAD_LEN: usize = 16 * 1024;

const MAGIC: [u8; 8] = *b"ALOGMAP\n";
/// The version of a map whose records have no times, and of one whose records have them. Only maps of these versions are
/// salvaged.
const VERSION: u32 = 2;
const TIMED_VERSION: u32 = 3;
/// The words of a map are written in the byte order of the machine: this word shows which.
const BYTE_ORDER: u32 = if cfg!(target_endian = "little") { 1 } else { 2 };
/// Magic, version, byte order, checksum.
const CHECKED_AT: usize = 20;

/// The fixed fields of a map. Lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapHead {
    pub(crate) log_id: LogId,
    pub(crate) session: u64,
    /// The running kernel's boot: after another boot a map on a disk can hold anything.
    pub(crate) boot: [u8; 16],
    /// The process that made the map, for reports.
    pub(crate) pid: u32,
    /// Wall time at which the map was made, in nanoseconds since the epoch.
    pub(crate) made: i64,
    pub(crate) align: u32,
    /// Bytes of header and records of each buffer.
    pub(crate) capacity: u32,
    pub(crate) buffers: u32,
    pub(crate) shards: u32,
    /// The number of slots in the journal of each log.
    pub(crate) slots: u32,
    /// The number of logs of a manager; 0: the map is that of a logger.
    pub(crate) logs: u32,
    /// The number and the length of the pieces of memory for the logs of a manager.
    pub(crate) pieces: u32,
    pub(crate) piece: u32,
    /// What the times of records are taken from: 0 if records have none, else 1 and the number of the counter.
    pub(crate) times: u32,
    /// The path of the active file, from the root.
    pub(crate) path: Vec<u8>,
    /// The path of the file in the failover directory; empty: there is no such directory.
    pub(crate) away: Vec<u8>,
}

/// Why a head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAMap {
    /// The bytes are no head, or a damaged one.
    Damaged,
    /// The map is of this version, which this library does not know.
    Version(u32),
}

impl MapHead {
    /// The head's bytes; `None` if the paths do not fit.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; MAP_HEAD_LEN];
        if self.path.len() + self.away.len() > MAP_HEAD_LEN - 256 {
            return None;
        }
        let (front, body) = bytes.split_at_mut_checked(CHECKED_AT)?;
        let mut put = Put(body);
        put.bytes(&self.log_id.0);
        put.u64(self.session);
        put.bytes(&self.boot);
        put.u32(self.pid);
        put.i64(self.made);
        let sizes = [self.align, self.capacity, self.buffers, self.shards, self.slots];
        for field in sizes.into_iter().chain([self.logs, self.pieces, self.piece]) {
            put.u32(field);
        }
        for path in [&self.path, &self.away] {
            put.u32(path.len() as u32);
            put.bytes(path);
        }
        put.u32(self.times);
        put.finish();
        let checksum = crc32c(body);
        let mut put = Put(front);
        put.bytes(&MAGIC);
        put.u32(self.version());
        put.u32(BYTE_ORDER);
        put.u32(checksum);
        Some(bytes)
    }

    fn version(&self) -> u32 {
        if self.times == 0 { VERSION } else { TIMED_VERSION }
    }

    /// # Errors
    /// Why these bytes are no head of a map that can be read here.
    pub(crate) fn decode(bytes: &[u8]) -> Result<MapHead, NotAMap> {
        let (front, body) = bytes.split_at_checked(CHECKED_AT).ok_or(NotAMap::Damaged)?;
        let mut take = Take(front);
        if take.array() != Some(MAGIC) {
            return Err(NotAMap::Damaged);
        }
        let version = match take.u32() {
            Some(version @ (VERSION | TIMED_VERSION)) => version,
            other => return Err(other.map_or(NotAMap::Damaged, NotAMap::Version)),
        };
        if take.u32() != Some(BYTE_ORDER)
            || bytes.len() != MAP_HEAD_LEN
            || take.u32() != Some(crc32c(body))
        {
            return Err(NotAMap::Damaged);
        }
        let head = MapHead::fields(Take(body)).filter(|head| head.version() == version);
        head.ok_or(NotAMap::Damaged)
    }

    fn fields(mut take: Take<'_>) -> Option<MapHead> {
        let mut head = MapHead {
            log_id: LogId(take.array()?),
            session: take.u64()?,
            boot: take.array()?,
            pid: take.u32()?,
            made: take.i64()?,
            align: take.u32()?,
            capacity: take.u32()?,
            buffers: take.u32()?,
            shards: take.u32()?,
            slots: take.u32()?,
            logs: take.u32()?,
            pieces: take.u32()?,
            piece: take.u32()?,
            times: 0,
            path: sized(&mut take)?,
            away: sized(&mut take)?,
        };
        // Behind the paths, since maps of version 2 have zeroes there.
        head.times = take.u32()?;
        Some(head)
    }
}

fn sized(take: &mut Take<'_>) -> Option<Vec<u8>> {
    let len = take.u32()? as usize;
    Some(take.bytes(len)?.to_vec())
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    fn head() -> MapHead {
        MapHead {
            log_id: LogId([7; 16]),
            session: 8,
            boot: [9; 16],
            pid: 10,
            made: -11,
            align: 4096,
            capacity: 1 << 20,
            buffers: 16,
            shards: 8,
            slots: 128,
            logs: 3,
            pieces: 7,
            piece: 32_768,
            times: 2,
            path: b"/var/log/app.log".to_vec(),
            away: Vec::new(),
        }
    }

    #[test]
    fn a_head_survives_its_bytes_and_every_flipped_bit_is_found() {
        let bytes = head().encode().expect("it fits");
        assert_eq!(MapHead::decode(&bytes), Ok(head()));
        for at in (0..200).chain([bytes.len() - 1]) {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(MapHead::decode(&damaged).is_err(), "byte {at}, bit {bit}");
            }
        }
        assert_eq!(MapHead::decode(&bytes[..100]), Err(NotAMap::Damaged));
        let mut newer = bytes;
        newer[8] = 4;
        assert_eq!(MapHead::decode(&newer), Err(NotAMap::Version(4)));
        let without = MapHead { times: 0, ..head() };
        let bytes = without.encode().expect("it fits");
        assert_eq!((bytes[8], MapHead::decode(&bytes)), (2, Ok(without)));
    }

    #[test]
    fn paths_that_do_not_fit_are_refused() {
        let long = MapHead { path: vec![b'a'; MAP_HEAD_LEN], ..head() };
        assert_eq!(long.encode(), None);
    }
}
