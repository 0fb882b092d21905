//! The start of a segment, and the facts about the rest that need no reading of records.

use super::{
    place::{Body, Ids, Part, Place, look},
    source::Source,
};
use crate::{
    Error,
    format::{Lineage, Prefix, Totals, metadata},
};

/// How many bytes are read to find the first record of a segment. A segment with two thousand sessions before
/// its first record counts as having one, so that opening a log does not take longer each time that a program
/// starts.
pub(super) const MAX_WALK: u64 = 16 << 20;

/// The start of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) prefix: Prefix,
    /// Number of the segment before this one; 0 if there is none.
    pub(crate) previous: u64,
    /// The full name of the log or event.
    pub(crate) name: Vec<u8>,
}

/// The sums over the heads of a segment's blocks. The end of the segment does not have these sums: if a
/// segment was continued, its last end counts only one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) payload: u64,
    /// Times of the first and the last block, in nanoseconds since the epoch.
    pub(crate) times: Option<(i64, i64)>,
}

impl Origin {
    /// Reads the start of a segment; the inner error is the reason why there is none.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn read(source: &mut Source) -> Result<Result<Origin, String>, Error> {
        let mut buffer = Vec::new();
        Ok(Err(match look(source, 0, &mut buffer)? {
            Place::Valid(Part { prefix, body: Body::Start { previous, name, .. }, .. })
                if prefix.offset == 0 =>
            {
                return Ok(Ok(Origin { prefix, previous, name }));
            }
            Place::Valid(_) => "it does not begin with a start block".into(),
            Place::Later(version) => format!("it was written in version {version} of the format"),
            Place::Nothing if metadata::has_magic(&buffer) => "its start block is damaged".into(),
            Place::Nothing => "it does not begin like a log of asynclogger".into(),
        }))
    }

    pub(crate) fn lineage(&self) -> Lineage {
        self.prefix.lineage()
    }

    /// The end of the segment, if the segment ends with an end that belongs there.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn end(&self, source: &mut Source) -> Result<Option<(Prefix, Totals)>, Error> {
        let Some(at) = source.len().checked_sub(u64::from(self.prefix.align)) else {
            return Ok(None);
        };
        Ok(match self.part(source, at, &mut Vec::new())? {
            Some(Part { prefix, body: Body::Totals { totals, is_end: true }, .. }) => {
                Some((prefix, totals))
            }
            _ => None,
        })
    }

    /// The wall time of the last record, from the end; `None` if the segment has no end.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn last_time(&self, source: &mut Source) -> Result<Option<i64>, Error> {
        // The end of a session without records has no time of a record: its own time stands in for those of
        // the sessions before.
        let time = |(end, totals): (Prefix, Totals)| match totals.last_time {
            0 => end.time,
            last_time => last_time,
        };
        Ok(self.end(source)?.map(time))
    }

    /// The time since which a clean segment holds records; `None` if it holds none. The length of the segment
    /// does not show that, because a session without records leaves a start, an end and perhaps a note of
    /// drops. The last end does not show that either, because it counts the records of its own session only.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn filled_since(&self, source: &mut Source) -> Result<Option<i64>, Error> {
        let (align, len) = (u64::from(self.prefix.align), source.len());
        let (mut session, mut buffer) = (self.prefix.time, Vec::new());
        let mut at = align;
        while at < len.min(MAX_WALK) {
            match self.part(source, at, &mut buffer)? {
                Some(Part { prefix, body: Body::Start { .. }, .. }) => session = prefix.time,
                Some(Part { body: Body::Totals { .. }, .. }) => {}
                Some(Part { prefix, .. }) => return Ok(Some(prefix.time)),
                // A damaged part: this session wrote something there.
                None => return Ok(Some(session)),
            }
            at += align;
        }
        Ok((len > MAX_WALK).then_some(session))
    }

    /// Counts the contents of the segment; of a damaged or cut segment, the contents before the damage.
    ///
    /// # Errors
    /// Errors of the system.
    pub(crate) fn tally(&self, source: &mut Source) -> Result<Tally, Error> {
        let (mut tally, mut at, mut buffer) = (Tally::default(), 0, Vec::new());
        while let Some(part) = self.part(source, at, &mut buffer)? {
            match &part.body {
                Body::Block { is_tail: true, .. } => break,
                Body::Block { info, .. } => {
                    tally.records += u64::from(info.records);
                    tally.payload += info.payload();
                    let first = tally.times.map_or(part.prefix.time, |(first, _)| first);
                    tally.times = Some((first, part.prefix.time));
                }
                Body::Start { .. } | Body::Totals { .. } => {}
            }
            at += part.claimed_len();
        }
        Ok(tally)
    }

    /// The part of this segment at an offset, if there is one.
    fn part(
        &self,
        source: &mut Source,
        at: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Part>, Error> {
        let Prefix { log_id, segment, align, .. } = self.prefix;
        let ids = Ids { log_id, segment, align };
        Ok(match look(source, at, buffer)? {
            Place::Valid(part) if part.belongs(None) && part.ids() == ids => Some(part),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Kind, LogId, MIN_ALIGN, Start};

    const ORIGIN: Prefix = Prefix {
        align: MIN_ALIGN as u32,
        offset: 0,
        log_id: LogId([1; 16]),
        segment: 7,
        session: 2,
        time: 3,
    };

    /// A start and an end.
    fn bytes() -> Vec<u8> {
        let mut bytes = vec![0; 2 * MIN_ALIGN];
        let (start, end) = bytes.split_at_mut(MIN_ALIGN);
        Start { previous: 6, first_sequence: 0, name: b"app" }.encode(&ORIGIN, start);
        let totals = Totals { last_time: 5, ..Totals::default() };
        totals.encode(Kind::End, &Prefix { offset: MIN_ALIGN as u64, time: 9, ..ORIGIN }, end);
        bytes
    }

    fn read(bytes: Vec<u8>) -> Result<Origin, String> {
        Origin::read(&mut Source::from_bytes(bytes)).expect("no error of the system")
    }

    #[test]
    fn start_and_end_are_those_of_the_same_segment() {
        let mut source = Source::from_bytes(bytes());
        let origin = Origin::read(&mut source).expect("read").expect("a start");
        assert_eq!(origin, Origin { prefix: ORIGIN, previous: 6, name: b"app".to_vec() });
        assert_eq!(origin.last_time(&mut source).expect("read"), Some(5));
        assert_eq!(origin.filled_since(&mut source).expect("read"), None);
        assert_eq!(origin.tally(&mut source).expect("read"), Tally::default());
        let other = Origin { prefix: Prefix { segment: 8, ..ORIGIN }, ..origin.clone() };
        assert_eq!(other.end(&mut source).expect("read"), None);
        source.change(|bytes| bytes.truncate(MIN_ALIGN));
        source.refresh().expect("memory");
        assert_eq!(origin.last_time(&mut source).expect("read"), None);
    }

    #[test]
    fn what_has_no_start_says_why() {
        let says = |bytes: Vec<u8>, what: &str| {
            let reason = read(bytes).expect_err("no start");
            assert!(reason.contains(what), "{reason}");
        };
        says(Vec::new(), "like a log of asynclogger");
        says(vec![7; 100], "like a log of asynclogger");
        says(bytes().split_off(MIN_ALIGN), "with a start block");
        let mut damaged = bytes();
        damaged.iter_mut().skip(200).take(1).for_each(|byte| *byte ^= 1);
        says(damaged, "is damaged");
    }
}
