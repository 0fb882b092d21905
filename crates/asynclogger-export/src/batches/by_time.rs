//! The rows of a builder in the order of their times.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use super::builder::{BatchBuilder, Rows, Run};

/// Batches in the order of time; made by [`BatchBuilder::finish_by_time`]. Batches that are not taken are lost.
#[derive(Debug)]
pub struct ByTime<'a> {
    rows: &'a mut BatchBuilder,
    /// The rows in the order of their times.
    order: Vec<u32>,
    /// How many of them have been taken.
    taken: usize,
    runs: Vec<Run>,
    run_indices: Vec<u32>,
    bytes: usize,
}

impl<'a> ByTime<'a> {
    pub(super) fn new(rows: &'a mut BatchBuilder, bytes: usize) -> ByTime<'a> {
        let times = &rows.times;
        let mut order: Vec<u32> = (0..).take(times.len()).collect();
        // A merge of the ordered runs, which are the blocks. The order of rows of equal times is that of the log.
        order.sort_by_key(|row| times.get(*row as usize));
        let run_indices = rows.run_indices();
        let runs = std::mem::take(&mut rows.runs);
        ByTime { rows, order, taken: 0, runs, run_indices, bytes }
    }

    /// Copies rows until their payload has the wished length; at least one.
    fn gather(&mut self) -> (Rows, Vec<u32>) {
        let from = &*self.rows;
        let left = self.order.get(self.taken..).unwrap_or_default();
        let payload = Vec::with_capacity(self.bytes.min(from.payload.len()) + 4096);
        let mut rows = Rows { times: Vec::new(), numbers: Vec::new(), ends: vec![0], payload };
        let mut runs = Vec::new();
        for row in left {
            let at = *row as usize;
            let (Some([start, end]), Some(time), Some(number), Some(run)) = (
                from.ends.get(at..at + 2),
                from.times.get(at),
                from.numbers.get(at),
                self.run_indices.get(at),
            ) else {
                continue;
            };
            let bytes = from.payload.get(*start as usize..*end as usize).unwrap_or_default();
            if !rows.times.is_empty() && rows.payload.len() + bytes.len() > self.bytes {
                break;
            }
            rows.payload.extend_from_slice(bytes);
            // Not longer than all payloads, whose length fits.
            rows.ends.push(i32::try_from(rows.payload.len()).unwrap_or(i32::MAX));
            rows.times.push(*time);
            rows.numbers.push(*number);
            runs.push(*run);
        }
        self.taken += rows.times.len();
        (rows, runs)
    }
}

impl Iterator for ByTime<'_> {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        if self.taken >= self.order.len() {
            return None;
        }
        let (rows, indices) = self.gather();
        let runs = indices.iter().filter_map(|index| self.runs.get(*index as usize));
        Some(self.rows.batch(rows, runs.map(|run| (run, 1))))
    }
}

impl Drop for ByTime<'_> {
    fn drop(&mut self) {
        self.rows.clear();
    }
}
