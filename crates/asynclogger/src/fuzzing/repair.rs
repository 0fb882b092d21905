//! A repaired file against the damaged one: the same records in the same order, and nothing wrong any more.

use std::time::SystemTime;

use super::{damage::Damaged, input::Input, segment::Segment};
use crate::{
    ErrorKind,
    read::{
        Ending, Format, Loss, Reader, Report,
        parts::{History, repair_file},
    },
};

/// Position, time and bytes of a record.
type Kept = ((u64, u32, u64), Option<SystemTime>, Vec<u8>);

/// Makes a segment, damages it, repairs it, and compares both.
pub fn repair_segment(bytes: &[u8]) {
    let mut input = Input(bytes);
    let plan = input;
    let segment = Segment::plan(&mut input, 7);
    let mut damaged = Damaged::new(segment.bytes.clone());
    damaged.suffer(&mut input, plan);
    let Some((source, repaired, new)) = keeps_the_records(&damaged.bytes) else { return };
    assert!(repaired.is_whole() && repaired.ending != Ending::Torn, "{source:#?}\n{repaired:#?}");
    assert_eq!(lost_of_log(new), Loss::exact(0), "{source:#?}\n{repaired:#?}");
    assert_eq!(source.name, repaired.name);
    // A session of which nothing is left but a place in the numbers has nothing to be repaired.
    for session in &repaired.sessions {
        let before = source.sessions.iter().find(|it| it.session == session.session);
        let before = before.unwrap_or_else(|| panic!("{source:#?}\n{repaired:#?}"));
        assert_eq!(before.dropped, session.dropped, "{source:#?}\n{repaired:#?}");
        assert_eq!(before.salvaged, session.salvaged);
        assert_eq!(before.closed, session.closed, "{source:#?}\n{repaired:#?}");
        assert_eq!(before.records, session.records);
        if !source.is_whole() {
            assert!(session.repaired, "{source:#?}\n{repaired:#?}");
            assert!(session.given_up >= before.lost.at_least, "{source:#?}\n{repaired:#?}");
        }
    }
    let kept = source.sessions.iter().filter(|it| it.records > 0).count();
    assert!(repaired.sessions.len() >= kept, "{source:#?}\n{repaired:#?}");
}

/// Repairs a file, and returns the reports on both files, and the new one; `None` if the file cannot be read. Whatever its
/// bytes are, the records stay, and what was repaired is repaired to itself.
pub(super) fn keeps_the_records(file: &[u8]) -> Option<(Report, Report, Vec<u8>)> {
    let mut new = Vec::new();
    let open = || Reader::from_bytes(file.to_vec());
    let repaired = match repair_file(open, &mut new) {
        Ok(repaired) => repaired,
        Err(error) => {
            let is_known =
                matches!(error.kind(), ErrorKind::NotALog | ErrorKind::UnsupportedVersion);
            assert!(is_known, "{error}");
            return None;
        }
    };
    assert_eq!(repaired.bytes, new.len() as u64);
    let (before, source) = records_of(file);
    assert_eq!(repaired.source, source);
    let (after, report) = records_of(&new);
    assert!(
        before == after,
        "{} records, {} after the repair: {source:#?}",
        before.len(),
        after.len()
    );
    if repaired.is_copy {
        assert_eq!(file, new);
    }
    if matches!(source.format, Format::Native { .. }) {
        let mut again = Vec::new();
        let second = repair_file(|| Reader::from_bytes(new.clone()), &mut again);
        if report.is_whole() {
            assert!(second.is_ok_and(|second| second.is_copy) && again == new);
        }
    }
    Some((source, report, new))
}

/// The losses of a log that has this file alone.
fn lost_of_log(file: Vec<u8>) -> Loss {
    let mut reader = Reader::from_bytes(file).expect("a log");
    reader.set_history(History::default());
    while reader.next_record().expect("read").is_some() {}
    reader.into_history().unwrap_or_default().lost()
}

fn records_of(file: &[u8]) -> (Vec<Kept>, Report) {
    let mut reader = Reader::from_bytes(file.to_vec()).expect("a log");
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().expect("read") {
        let at = record.position();
        let position = (at.session(), at.shard(), at.number());
        records.push((position, record.time(), record.bytes().to_vec()));
    }
    (records, reader.report().clone())
}
