//! A bounded channel and a thread with a buffered writer: the usual asynchronous logger.

use std::{
    fs::File,
    io::{BufWriter, Write},
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::mutex::BUFFER;
use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject, file_in},
};

/// As many lines as `tracing-appender` has room for.
const LINES: usize = 128_000;

pub(super) struct Channel {
    sender: Sender<Vec<u8>>,
    writer: JoinHandle<std::io::Result<()>>,
}

/// Flushes when there is nothing to do, so that a line is in the file soon.
fn write(file: File, lines: &Receiver<Vec<u8>>) -> std::io::Result<()> {
    let mut writer = BufWriter::with_capacity(BUFFER, file);
    while let Ok(first) = lines.recv() {
        let mut failed = writer.write_all(&first).err();
        for line in lines.try_iter() {
            failed = writer.write_all(&line).err().or(failed);
        }
        // A failed write is a loss, which the count of the file shows; the thread goes on, or the callers would wait.
        let _ = (failed, writer.flush());
    }
    writer.flush()
}

impl Subject for Channel {
    const NAME: &'static str = "channel + BufWriter";
    const SETUP: &'static str =
        "crossbeam-channel, 128,000 lines, blocking; a thread with a buffer of 64 KiB";
    const NO_ROTATION: Option<&'static str> = Some("no rotation");

    fn open(place: &Place) -> Outcome<Channel> {
        let file = File::create(file_in(place))?;
        let (sender, receiver) = bounded(LINES);
        let writer = std::thread::Builder::new().spawn(move || write(file, &receiver))?;
        Ok(Channel { sender, writer })
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        // The receiver lives as long as this sender.
        let _ = self.sender.send(record.line().to_vec());
    }

    fn end(self) -> Outcome<Option<u64>> {
        drop(self.sender);
        self.writer.join().map_err(|_| "the writer panicked")??;
        Ok(None)
    }
}
