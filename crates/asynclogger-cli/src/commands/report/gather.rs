//! From the heads of a log to the figures of a report.

use std::{collections::HashMap, time::Duration};

use asynclogger::{
    Dropped, Error,
    read::{DamageKind, Head, HeadKind, LogDir, Report, SessionState},
};

use super::{
    columns::Mark,
    model::{DamageRow, LogRow, Model, SegmentRow, SessionRow, Sums, more_dropped},
};
use crate::{
    figures::add_dropped, log_summary::count_missing, report::show_writer, units::nanoseconds,
};

/// A block without times of its own has the records of this time before its sealing, or of less if its shard was sealed
/// later than that: the default of the flush interval. A file does not have the interval.
const INTERVAL: Duration = Duration::from_secs(10);

/// Reads the heads of a log to its end, and adds what they say.
pub(super) fn add_log(model: &mut Model, log: &mut LogDir) -> Result<(), Error> {
    let mut gathering = Gathering::default();
    while let Some(head) = log.next_head()? {
        gathering.see(model, &head);
        gathering.see_damage(model, log);
    }
    gathering.see_damage(model, log);
    gathering.end(model, log);
    Ok(())
}

/// What is known of a log so far.
#[derive(Default)]
struct Gathering {
    segment: Option<u64>,
    sums: Sums,
    /// The records, bytes and times of each segment with heads.
    segments: HashMap<u64, Sums>,
    sessions: HashMap<u64, Session>,
    /// The time of the last head.
    time: i64,
    /// The damaged places in the segments that were read to their end, and how many segments these are.
    finished: (usize, u64),
    damage: u64,
}

#[derive(Default)]
struct Session {
    sums: Sums,
    /// The time of the last block of each shard, and its drops.
    shards: HashMap<u32, (i64, Dropped)>,
    /// The drops that have a place in time.
    dropped: Dropped,
    salvaged: u64,
    begin: i64,
    last: i64,
}

impl Gathering {
    fn see(&mut self, model: &mut Model, head: &Head) {
        let Some(time) = head.time else {
            self.add_timeless(model, head);
            return;
        };
        let now = nanoseconds(time);
        self.time = now;
        let before = self.segment.replace(head.segment);
        let is_new_file = before.is_some_and(|before| before != head.segment);
        if before.is_some_and(|before| before.saturating_add(1) < head.segment) {
            model.columns.mark(now, Mark::Missing, 1);
        }
        let is_restart = !self.sessions.is_empty() && !self.sessions.contains_key(&head.session);
        if is_restart {
            model.columns.mark(now, Mark::Restart, 1);
        } else if is_new_file {
            model.columns.mark(now, Mark::Rotation, 1);
        }
        let segment = self.segments.entry(head.segment).or_default();
        segment.times.add(time);
        let session = self
            .sessions
            .entry(head.session)
            .or_insert_with(|| Session { begin: now, ..Session::default() });
        session.last = session.last.max(now);
        session.sums.times.add(time);
        match head.kind {
            HeadKind::Block { shard, begin, records, payload_bytes, dropped, .. } => {
                for sums in [&mut self.sums, segment, &mut session.sums] {
                    sums.records = sums.records.saturating_add(records);
                    sums.bytes = sums.bytes.saturating_add(payload_bytes);
                }
                let earliest = now.saturating_sub(INTERVAL.as_nanos() as i64);
                let known = session.shards.get(&shard).copied();
                let (sealed, before) = known.unwrap_or((session.begin, Dropped::default()));
                let begin = begin.map_or(sealed.max(earliest), nanoseconds);
                model.columns.add_records(begin.min(now), now, records, payload_bytes);
                let fresh = more_dropped(&dropped, &before);
                model.columns.add_dropped(now, &fresh);
                add_dropped(&mut session.dropped, fresh);
                session.shards.insert(shard, (now, dropped));
            }
            HeadKind::Totals { dropped, salvaged, .. } => {
                let fresh = more_dropped(&dropped, &session.dropped);
                model.columns.add_dropped(now, &fresh);
                add_dropped(&mut session.dropped, fresh);
                if salvaged > session.salvaged {
                    model.columns.mark(now, Mark::Salvage, 1);
                    session.salvaged = salvaged;
                }
            }
            _ => {}
        }
    }

    /// A shard of a file of the original.
    fn add_timeless(&mut self, model: &mut Model, head: &Head) {
        if let HeadKind::Block { records, payload_bytes, .. } = head.kind {
            model.timeless = model.timeless.saturating_add(records);
            let segment = self.segments.entry(head.segment).or_default();
            for sums in [&mut self.sums, segment] {
                sums.records = sums.records.saturating_add(records);
                sums.bytes = sums.bytes.saturating_add(payload_bytes);
            }
        }
    }

    /// Marks the damage that was found since the last look.
    fn see_damage(&mut self, model: &mut Model, log: &LogDir) {
        let (known, mut finished) = self.finished;
        finished += log.finished().iter().skip(known).map(Report::damage_count).sum::<u64>();
        self.finished = (log.finished().len(), finished);
        let current = log.reader().map_or(0, |reader| reader.report().damage_count());
        let damage = finished + current;
        if damage > self.damage && self.segment.is_some() {
            model.columns.mark(self.time, Mark::Damage, damage - self.damage);
        }
        self.damage = self.damage.max(damage);
    }

    /// Adds the rows of the tables.
    fn end(mut self, model: &mut Model, log: &LogDir) {
        let report = log.report();
        let names = report.segments.iter().rev().map(|segment| &segment.name);
        let name = names.clone().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        for segment in &report.segments {
            let mut sums = self.segments.remove(&segment.segment).unwrap_or_default();
            sums.stored = segment.stored_bytes;
            sums.dropped = segment.dropped();
            sums.salvaged = segment.salvaged();
            sums.lost = segment.lost.into();
            sums.damage = segment.damage_count();
            sums.sessions = segment.sessions.len() as u64;
            self.sums.stored = self.sums.stored.saturating_add(segment.stored_bytes);
            self.sums.damage += sums.damage;
            self.sums.times.add_all(&sums.times);
            let ending = format!("{}{}", segment.ending, show_writer(segment));
            let (path, number) = (segment.path.clone(), segment.segment);
            for damage in segment.damage.iter().filter(|it| it.kind != DamageKind::Repeated) {
                model.damage.push(DamageRow {
                    path: path.clone(),
                    offset: damage.offset,
                    len: damage.len,
                    kind: damage.kind.to_string(),
                    lost: damage.lost.into(),
                });
            }
            model.damage.left_out += segment.damage_left_out;
            model.segments.push(SegmentRow { path, number, sums, ending });
        }
        for found in &report.sessions {
            let session = self.sessions.remove(&found.session);
            if found.state == SessionState::Died {
                // A session without heads has no time.
                if let Some(session) = &session {
                    model.columns.mark(session.last, Mark::Death, 1);
                }
                self.sums.died += 1;
            }
            let session = session.unwrap_or_default();
            let sums = Sums {
                dropped: found.dropped,
                salvaged: found.salvaged,
                lost: found.lost.into(),
                ..session.sums
            };
            let state = match found.state {
                SessionState::Died => "its writer died".into(),
                SessionState::Live => "being written".into(),
                state => state.to_string(),
            };
            model.sessions.push(SessionRow { log: name.clone(), id: found.session, sums, state });
        }
        report.unread.iter().for_each(|error| model.unread.push(format!("{error:#}")));
        self.sums.dropped = report.dropped();
        self.sums.salvaged = report.salvaged();
        self.sums.lost = report.lost.into();
        self.sums.segments = report.segments.len() as u64;
        self.sums.missing = count_missing(&report);
        self.sums.sessions = report.sessions.len() as u64;
        let path = report.segments.last().map(|last| last.path.clone()).unwrap_or_default();
        model.sums.add(&self.sums);
        model.logs.push(LogRow { name, path, sums: self.sums });
    }
}
