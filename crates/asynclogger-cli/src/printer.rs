//! Prints records, one after the other, in the form that the user asked for.

use std::io::Write;

use asynclogger::read::{ByTime, LogDir, Reader, Record};

use crate::{
    args::{Format, PrintArgs},
    output::Output,
    show::{self, Shown},
    sources::Problem,
};

/// A file or a log to read records from, or several logs.
pub(crate) enum Input {
    File(Box<Reader>),
    Log(Box<LogDir>),
    ByTime(Box<Merged>),
}

/// Logs whose records come in one order.
pub(crate) struct Merged {
    pub(crate) records: ByTime,
    /// The names of the logs, as far as they are known.
    names: Vec<Vec<u8>>,
}

impl Merged {
    pub(crate) fn new(records: ByTime) -> Merged {
        let mut merged = Merged { records, names: Vec::new() };
        merged.learn_names();
        merged
    }

    /// Takes over the names of logs that are new, or had no name so far.
    pub(crate) fn learn_names(&mut self) {
        self.names.resize(self.records.logs().len(), Vec::new());
        let unnamed = self.names.iter_mut().zip(self.records.logs());
        for (name, log) in unnamed.filter(|(name, _)| name.is_empty()) {
            let mut names = log.segments().iter().map(|segment| &segment.name);
            *name = names.find(|name| !name.is_empty()).cloned().unwrap_or_default();
        }
    }
}

impl Input {
    #[inline]
    fn next_record(&mut self) -> Result<Option<Record<'_>>, asynclogger::Error> {
        match self {
            Input::File(reader) => reader.next_record(),
            Input::Log(log) => log.next_record(),
            Input::ByTime(merged) => Ok(merged.records.next_record()?.map(|it| it.record())),
        }
    }

    /// The number of the segment that the last record is from, and the name of its log.
    fn segment(&self) -> (u64, &[u8]) {
        let reader = match self {
            Input::File(reader) => Some(&**reader),
            Input::Log(log) => log.reader(),
            Input::ByTime(_) => None,
        };
        let report = reader.map(Reader::report);
        report.map_or((0, &[]), |report| (report.segment, &report.name))
    }
}

/// Standard output as the target for records.
pub(crate) struct Printer {
    pub(crate) out: Output,
    format: Format,
    null: bool,
}

impl Printer {
    pub(crate) fn open(args: PrintArgs) -> std::io::Result<Printer> {
        Ok(Printer { out: Output::open()?, format: args.format, null: args.null })
    }

    /// Prints up to `most` records and returns their number. The output is flushed, so later messages on
    /// standard error are about records that were already printed.
    pub(crate) fn print_up_to(&mut self, input: &mut Input, most: u64) -> Result<u64, Problem> {
        let printed = self.print_each(input, most);
        self.out.flush()?;
        printed
    }

    fn print_each(&mut self, input: &mut Input, most: u64) -> Result<u64, Problem> {
        for printed in 0..most {
            if let Input::ByTime(merged) = input {
                let Some(next) = merged.records.next_record()? else { return Ok(printed) };
                let (record, segment) = (next.record(), next.segment());
                let (bytes, position, time) = (record.bytes(), record.position(), record.time());
                let event = merged.names.get(next.log()).map_or(&[][..], Vec::as_slice);
                self.print(&Shown { bytes, position, segment, event, time })?;
            } else if self.format == Format::Json {
                // The reader knows the segment of a record only after the record is read.
                let record = input.next_record()?.map(Record::into_owned);
                let Some(record) = record else { return Ok(printed) };
                let (segment, event) = input.segment();
                self.print(&Shown {
                    bytes: &record.bytes,
                    position: record.position,
                    segment,
                    event,
                    time: record.time,
                })?;
            } else {
                let Some(record) = input.next_record()? else { return Ok(printed) };
                let (bytes, position, time) = (record.bytes(), record.position(), record.time());
                self.print(&Shown { bytes, position, segment: 0, event: &[], time })?;
            }
        }
        Ok(most)
    }

    #[inline]
    fn print(&mut self, record: &Shown<'_>) -> Result<(), Problem> {
        let out = &mut self.out;
        match self.format {
            Format::Raw if out.is_terminal() => show::escaped(out, record.bytes)?,
            Format::Raw => out.write_all(record.bytes)?,
            Format::Json => show::json(out, record)?,
            Format::Hex => show::hex(out, record)?,
        }
        if self.null {
            out.write_all(b"\0")?;
        } else if self.format != Format::Raw || record.bytes.last() != Some(&b'\n') {
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}
