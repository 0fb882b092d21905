//! A buffered writer behind a lock: what a program does without a logger.

use std::{
    fs::File,
    io::{BufWriter, Write},
    sync::{Mutex, PoisonError},
};

use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject, file_in},
};

/// The buffer here and of the channel's thread: eight times the default, which is faster.
pub(super) const BUFFER: usize = 64 << 10;

pub(super) struct MutexWriter(Mutex<BufWriter<File>>);

impl Subject for MutexWriter {
    const NAME: &'static str = "Mutex<BufWriter>";
    const SETUP: &'static str = "std, a buffer of 64 KiB";
    const NO_ROTATION: Option<&'static str> = Some("no rotation");

    fn open(place: &Place) -> Outcome<MutexWriter> {
        let file = File::create(file_in(place))?;
        Ok(MutexWriter(Mutex::new(BufWriter::with_capacity(BUFFER, file))))
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A failed write is a loss, which the count of the file shows.
        let _ = writer.write_all(record.line());
    }

    fn end(self) -> Outcome<Option<u64>> {
        let mut writer = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        writer.flush()?;
        Ok(None)
    }
}
