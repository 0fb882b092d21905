//! The files that a log is written to, while it is read.

use std::collections::HashMap;

use asynclogger::{
    LogId,
    read::{Block, LogDir, Report},
};

use crate::{
    Error, ErrorKind, WrittenFile,
    batches::{BatchBuilder, Columns, Origin, SourceId, Strings, to_nanoseconds},
    decode::Decoder,
    export::Settings,
    facts::{self, Times},
    output::{Facts, Sink},
    partition::{Span, encoded},
};

/// The bytes of payload of a batch.
const BATCH_BYTES: usize = 1 << 20;
/// The most files that one log is written to at a time.
const MAX_OPEN: usize = 48;

/// The files of one log: one for each segment and partition.
///
/// Rows gather in memory, up to a limit over all files; then the file with the most of them gets them as a group. So the
/// groups depend on the log and the limit alone, and the same log gives the same bytes.
pub(crate) struct OpenFiles<'a> {
    settings: &'a Settings,
    limit: usize,
    log_id: Option<LogId>,
    event: Vec<u8>,
    /// The names of the files of the segments, by their numbers.
    sources: HashMap<u64, String>,
    open: Vec<OpenFile>,
    /// The file that the last record went to.
    current: usize,
    /// Bytes that have gathered.
    gathered: usize,
    /// How often this log was given a name. A file that was closed, so that others could be opened, has a successor.
    names: HashMap<String, u32>,
    /// Counts uses of files.
    clock: u64,
    pub(crate) written: Vec<WrittenFile>,
    pub(crate) undecoded: u64,
}

struct OpenFile {
    segment: u64,
    span: Span,
    rows: BatchBuilder,
    source: SourceId,
    /// The file, once it has been begun.
    sink: Option<(String, Sink)>,
    decoder: Decoder,
    records: u64,
    payload_bytes: u64,
    times: Times,
    last_used: u64,
}

impl<'a> OpenFiles<'a> {
    pub(crate) fn new(settings: &'a Settings, limit: usize) -> OpenFiles<'a> {
        OpenFiles {
            settings,
            limit,
            log_id: None,
            event: Vec::new(),
            sources: HashMap::new(),
            open: Vec::new(),
            current: 0,
            gathered: 0,
            names: HashMap::new(),
            clock: 0,
            written: Vec::new(),
            undecoded: 0,
        }
    }

    /// From now on the blocks are from this log.
    pub(crate) fn begin_log(&mut self, log: &LogDir) {
        let segments = log.segments();
        self.log_id = log.log_id();
        let named = segments.iter().find(|segment| !segment.name.is_empty());
        self.event = named.map(|segment| segment.name.clone()).unwrap_or_default();
        let sources = segments.iter().map(|it| (it.id, it.path.to_string_lossy().into_owned()));
        self.sources = sources.collect();
        self.names.clear();
        if self.settings.is_stream() {
            // The rows of the log before have another source.
            self.open.iter_mut().for_each(|file| file.segment = u64::MAX);
        }
    }

    /// Takes over the records of a block, and returns their number.
    pub(crate) fn take(&mut self, block: &Block<'_>) -> Result<u64, Error> {
        let (segment, origin) = (block.segment(), Origin::of_block(block));
        let has_times = block.has_times();
        let (mut is_begun, mut count) = (false, 0);
        for record in block.records() {
            let time = record.time().map(to_nanoseconds);
            let bytes = record.bytes();
            let fits = |file: &OpenFile| file.segment == segment && file.span.has(time);
            if !is_begun || !self.open.get(self.current).is_some_and(fits) {
                self.turn_to(segment, self.settings.partition.span(time))?;
                if let Some(file) = self.open.get_mut(self.current) {
                    file.rows.begin(file.source, origin);
                    file.times.note(time.is_some(), has_times);
                }
                is_begun = true;
            }
            let Some(file) = self.open.get_mut(self.current) else { continue };
            let number = record.position().number();
            if file.rows.append(time, number, bytes).is_err() {
                self.write_out(self.current)?;
                let Some(file) = self.open.get_mut(self.current) else { continue };
                file.rows.begin(file.source, origin);
                let appended = file.rows.append(time, number, bytes);
                appended.map_err(|full| Error::because(ErrorKind::Output, "a record", full))?;
            }
            count += 1;
            self.gathered += bytes.len() + BatchBuilder::ROW_BYTES;
            if self.gathered >= self.limit {
                self.write_largest()?;
                is_begun = false;
            }
        }
        Ok(count)
    }

    /// Makes the file of a segment and time the current one.
    fn turn_to(&mut self, segment: u64, span: Span) -> Result<(), Error> {
        self.clock += 1;
        let is_it = |file: &OpenFile| (file.segment, file.span) == (segment, span);
        if let Some(at) = self.open.iter().position(is_it) {
            self.current = at;
        } else if let Some(stream) = self.open.first_mut().filter(|_| self.settings.is_stream()) {
            let source = self.sources.get(&segment).map_or("", String::as_str);
            stream.source = stream.rows.source(&self.event, self.settings.host.as_deref(), source);
            (stream.segment, self.current) = (segment, 0);
        } else {
            if self.open.len() >= MAX_OPEN {
                let oldest = self.open.iter().enumerate().min_by_key(|(_, file)| file.last_used);
                let oldest = oldest.map_or(0, |(at, _)| at);
                self.end(oldest, facts::closed_early())?;
            }
            let file = self.new_file(segment, span);
            self.open.push(file);
            self.current = self.open.len() - 1;
        }
        if let Some(file) = self.open.get_mut(self.current) {
            file.last_used = self.clock;
        }
        Ok(())
    }

    fn new_file(&self, segment: u64, span: Span) -> OpenFile {
        let strings = match self.settings.style.format {
            crate::Format::Parquet => Strings::Dictionary,
            crate::Format::Arrow | crate::Format::JsonLines => Strings::Plain,
        };
        let columns = Columns::new().event(self.settings.has_event_column()).strings(strings);
        let mut rows = BatchBuilder::new(columns);
        let source = self.sources.get(&segment).map_or("", String::as_str);
        let source = rows.source(&self.event, self.settings.host.as_deref(), source);
        let (decode, keep) = (&self.settings.decode, self.settings.keep_payload);
        let as_text = self.settings.style.format == crate::Format::JsonLines;
        let decoder = Decoder::new(decode, keep, as_text, &rows.schema());
        OpenFile {
            segment,
            span,
            rows,
            source,
            sink: None,
            decoder,
            records: 0,
            payload_bytes: 0,
            times: Times::default(),
            last_used: 0,
        }
    }

    fn write_largest(&mut self) -> Result<(), Error> {
        let largest =
            self.open.iter().enumerate().max_by_key(|(_, file)| file.rows.payload_bytes());
        largest.map(|(at, _)| at).map_or(Ok(()), |at| self.write_out(at))
    }

    /// Writes the rows that have gathered for a file.
    fn write_out(&mut self, at: usize) -> Result<(), Error> {
        let Some(file) = self.open.get_mut(at).filter(|file| file.rows.rows() > 0) else {
            return Ok(());
        };
        if file.sink.is_none() {
            let name = match self.settings.is_stream() {
                true => String::new(),
                false => name_of(self.settings, self.log_id, &self.event, &self.sources, file),
            };
            let given = self.names.entry(name.clone()).or_default();
            *given += 1;
            let extension = self.settings.style.format.extension();
            let name = match *given {
                1 => format!("{name}.{extension}"),
                more => format!("{name}.{more}.{extension}"),
            };
            let source = self.sources.get(&file.segment).map_or("", String::as_str);
            let facts =
                facts::before(self.settings, self.log_id, file.segment, &self.event, source);
            let begun = self.settings.begin(&name)?;
            let style = self.settings.style;
            let sink = Sink::begin(&name, begun, file.decoder.schema(), style, facts)?;
            file.sink = Some((name, sink));
        }
        let Some((name, sink)) = &mut file.sink else { return Ok(()) };
        let (rows, bytes) = (file.rows.rows(), file.rows.payload_bytes());
        let wrong = |error| Error::output(name, error);
        for batch in file.rows.finish_by_time(BATCH_BYTES) {
            let (batch, undecoded) = file.decoder.decode(batch.map_err(wrong)?).map_err(wrong)?;
            self.undecoded += undecoded;
            sink.write(&batch)?;
        }
        sink.end_group()?;
        file.records += rows as u64;
        file.payload_bytes += bytes as u64;
        self.gathered = self.gathered.saturating_sub(bytes + rows * BatchBuilder::ROW_BYTES);
        Ok(())
    }

    /// Completes the files of the segments that have been read; `reports` has their reports.
    pub(crate) fn end_segments(
        &mut self,
        is_read: impl Fn(u64) -> bool,
        reports: &[Report],
    ) -> Result<(), Error> {
        if self.settings.is_stream() {
            return Ok(());
        }
        while let Some(at) = self.open.iter().position(|file| is_read(file.segment)) {
            let segment = self.open.get(at).map(|file| file.segment);
            let report = reports.iter().find(|report| Some(report.segment) == segment);
            self.end(at, report.map(facts::of_segment).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Completes the one stream of all logs.
    pub(crate) fn end_stream(&mut self) -> Result<(), Error> {
        match self.open.is_empty() {
            true => Ok(()),
            false => self.end(0, Facts::new()),
        }
    }

    /// Completes a file; `more` are the facts beside those of its records.
    fn end(&mut self, at: usize, more: Facts) -> Result<(), Error> {
        self.write_out(at)?;
        let file = self.open.swap_remove(at);
        self.current = 0;
        let Some((name, sink)) = file.sink else { return Ok(()) };
        let source = self.sources.get(&file.segment).map_or("", String::as_str);
        let mut facts =
            facts::before(self.settings, self.log_id, file.segment, &self.event, source);
        facts.extend(facts::after(file.records, file.times));
        facts.extend(more);
        sink.finish(facts)?;
        self.written.push(WrittenFile {
            name,
            records: file.records,
            payload_bytes: file.payload_bytes,
        });
        Ok(())
    }
}

/// The name of a file, without what its format adds.
fn name_of(
    settings: &Settings,
    log_id: Option<LogId>,
    event: &[u8],
    sources: &HashMap<u64, String>,
    file: &OpenFile,
) -> String {
    let directories = settings.partition.directories(event, file.span);
    match log_id {
        Some(log_id) => format!("{directories}{log_id}-{:06}", file.segment),
        // A file of the original has no number but its name.
        None => {
            let source = sources.get(&file.segment).map_or("", String::as_str);
            let name = source.rsplit('/').next().unwrap_or_default();
            format!("{directories}original-{}", encoded(name.as_bytes()))
        }
    }
}
