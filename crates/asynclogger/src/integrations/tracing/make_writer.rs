//! Lines of `tracing_subscriber::fmt` as records.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::{EventLogger, Logger};

/// Makes a record of each call of `write`, without the line's end. `tracing_subscriber::fmt` writes each event by one
/// call, so each event is one record.
///
/// No call fails: a record that the log refuses is dropped and counted.
#[derive(Debug)]
pub struct LineWriter<'a> {
    to: To<'a>,
}

#[derive(Debug)]
enum To<'a> {
    Logger(&'a Logger),
    Event(&'a EventLogger),
}

impl<'a> MakeWriter<'a> for Logger {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { to: To::Logger(self) }
    }
}

impl<'a> MakeWriter<'a> for EventLogger {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { to: To::Event(self) }
    }
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let record = line.strip_suffix(b"\n").unwrap_or(line);
        match self.to {
            To::Logger(logger) => logger.log_bytes(record),
            To::Event(logger) => logger.log_bytes(record),
        }
        Ok(line.len())
    }

    /// Does nothing: `Logger::flush` waits for the disk, and an event must not.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
