//! Reads segments in memory in the manner of `LogDir`, for the tests of the write side.

use super::super::{Layout, Reader, Report, history::History, report::Loss};
use crate::Position;
use crate::probe::Source;

/// A record and its position.
type Logged = (Position, Vec<u8>);

/// The records of all segments, the reports on them, and the loss over all of them.
pub(crate) fn read_segments(images: Vec<Vec<u8>>) -> (Vec<Logged>, Vec<Report>, Loss) {
    let (mut records, mut reports, mut history) = (Vec::new(), Vec::new(), History::default());
    for image in images.into_iter().filter(|image| !image.is_empty()) {
        let mut reader = Reader::new(Source::from_bytes(image), Layout::Auto).expect("a log");
        reader.set_history(history);
        while let Some(record) = reader.next_record().expect("in memory") {
            records.push((record.position(), record.bytes().to_vec()));
        }
        reports.push(reader.report().clone());
        history = reader.into_history().expect("a log of ours");
    }
    let lost = history.lost();
    (records, reports, lost)
}
