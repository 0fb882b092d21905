//! `asynclogger cat`: records become lines.

use std::{io::Write, path::Path};

use asynclogger::read::{Layout, LogDir, ReadOptions, Reader, Record, Report};

use crate::{
    args::{CatArgs, Format, LayoutArg},
    outcome::{Answer, Failure},
    output::Output,
    report::{say_damage, say_missing},
    show::{self, Shown},
    sources::{Problem, Source, for_each_source},
};

pub(crate) fn run(args: CatArgs) -> Result<Answer, Failure> {
    let mut printer = Printer { out: Output::open()?, format: args.format, null: args.null };
    let layout = match args.layout {
        LayoutArg::Auto => Layout::Auto,
        LayoutArg::Seed => Layout::Seed,
        LayoutArg::Capacity => Layout::Capacity,
    };
    let open = |path: &Path| -> Result<Input, Problem> {
        Ok(Input::File(Box::new(ReadOptions::new().layout(layout).open(path)?)))
    };
    let told = for_each_source(&args.input, |source| match source {
        Source::File(path) => print(&mut printer, open(&path)?),
        // A layout is how one file is to be read: what a log knows beyond its files does not count then.
        Source::Log(log) if layout != Layout::Auto => {
            log.segments().iter().try_fold(Answer::Fine, |answer, segment| {
                Ok(answer.and(print(&mut printer, open(&segment.path)?)?))
            })
        }
        Source::Log(log) => print(&mut printer, Input::Log(log)),
    })?;
    Ok(told.answer)
}

fn print(printer: &mut Printer, mut input: Input) -> Result<Answer, Problem> {
    let printed = print_all(printer, &mut input);
    // What is said on standard error is about what is out already.
    printer.out.flush()?;
    printed?;
    input.tell_damage()
}

fn print_all(printer: &mut Printer, input: &mut Input) -> Result<(), Problem> {
    if printer.format == Format::Json {
        // Only after the record is read can the reader say which segment it is from.
        while let Some(record) = input.next_record()?.map(|record| record.to_owned()) {
            printer.print(&Shown {
                bytes: &record.bytes,
                position: record.position,
                segment: input.segment(),
                time: record.time,
            })?;
        }
    } else {
        while let Some(record) = input.next_record()? {
            let (bytes, position, time) = (record.bytes(), record.position(), record.time());
            printer.print(&Shown { bytes, position, segment: 0, time })?;
        }
    }
    Ok(())
}

/// A file or a log, as something that has records.
enum Input {
    File(Box<Reader>),
    Log(Box<LogDir>),
}

impl Input {
    #[inline]
    fn next_record(&mut self) -> Result<Option<Record<'_>>, asynclogger::Error> {
        match self {
            Input::File(reader) => reader.next_record(),
            Input::Log(log) => log.next_record(),
        }
    }

    /// That of the last record.
    fn segment(&self) -> u64 {
        match self {
            Input::File(reader) => reader.report().segment,
            Input::Log(log) => log.reader().map_or(0, |reader| reader.report().segment),
        }
    }

    /// At the end: what was met on the way.
    fn tell_damage(&self) -> Result<Answer, Problem> {
        match self {
            Input::File(reader) => Ok(tell(reader.report())),
            Input::Log(log) => match log.reader() {
                Some(reader) if log.segments().len() == 1 => Ok(tell(reader.report())),
                // The reports of all segments but the last are gone, and what lies between them no segment knows.
                _ => {
                    let report = log.verify()?;
                    report.segments.iter().for_each(say_damage);
                    say_missing(&report);
                    Ok(Answer::fine_if(report.is_whole()))
                }
            },
        }
    }
}

/// Damage is no reason to end: the rest was printed.
fn tell(report: &Report) -> Answer {
    say_damage(report);
    Answer::fine_if(report.is_whole())
}

struct Printer {
    out: Output,
    format: Format,
    null: bool,
}

impl Printer {
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
