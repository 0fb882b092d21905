//! What a segment says of itself, and the checksum of its file.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use asynclogger::{
    ArchivedSegment,
    read::{Head, HeadKind, ReadAt, ReadOptions},
};
use asynclogger_store::Metadata;
use serde::{Deserialize, Serialize};

use crate::{
    Error, ErrorKind,
    control::Control,
    layout::{Form, encode},
};

const BUFFER_BYTES: usize = 1 << 20;

/// What has to be known of a segment before its upload begins: name and metadata go first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) name: Vec<u8>,
    pub(crate) log: String,
    pub(crate) segment: u64,
    /// Length and CRC32C of the object: of the segment in the form in which it is shipped.
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) records: u64,
    pub(crate) sessions: Vec<SessionDrops>,
    /// When the segment was begun.
    pub(crate) start_ns: u64,
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
}

/// What a session has refused, from its beginning to the end of the segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionDrops {
    pub(crate) session: u64,
    pub(crate) dropped: u64,
}

/// The form of a segment's file.
pub(crate) fn form_of(segment: &ArchivedSegment) -> Form {
    if segment.is_compressed() { Form::Zstd } else { Form::Plain }
}

/// Opens the file of a segment, if it still is the file that was listed.
pub(crate) fn open(segment: &ArchivedSegment) -> Result<Arc<File>, Error> {
    segment.open().map(Arc::new).map_err(|error| match error.kind() {
        asynclogger::ErrorKind::NotFound => Error::new(ErrorKind::Gone, error.to_string()),
        _ => Error::of_log(&error),
    })
}

/// The bytes of a segment in a form: those of its file, or, for the plain form of a compressed file, those it was made of.
pub(crate) fn content(
    segment: &ArchivedSegment,
    file: &Arc<File>,
    form: Form,
) -> Result<Box<dyn Read>, Error> {
    if form == form_of(segment) {
        return Ok(Box::new(FromStart::of(file.clone())));
    }
    Ok(Box::new(segment.content().map_err(|error| Error::of_log(&error))?))
}

/// Reads the file twice: all bytes for the checksum, and the heads of its blocks. So a file that cannot be read, or that
/// is no log, is found before a request is made.
pub(crate) fn read(
    segment: &ArchivedSegment,
    file: &Arc<File>,
    form: Form,
    control: &Control,
) -> Result<Facts, Error> {
    let (bytes, crc32c) = checksum(content(segment, file, form)?, segment.path(), control)?;
    let mut facts = Facts {
        name: segment.name().to_vec(),
        log: segment.log_id().to_string(),
        segment: segment.segment(),
        bytes,
        crc32c,
        ..Facts::default()
    };
    let (mut start, mut first, mut last) = (None, None, None);
    let given: Arc<dyn ReadAt> = file.clone();
    let reader = ReadOptions::new().open_at(segment.path(), given);
    let mut reader = reader.map_err(|error| Error::of_log(&error))?;
    while let Some(head) = reader.next_head().map_err(|error| Error::of_log(&error))? {
        let Head { time, kind, .. } = head;
        start = start.or(time);
        if let HeadKind::Block { records, begin, .. } = kind {
            facts.records += records;
            first = earlier(first, begin.or(time));
            last = last.max(time);
        }
    }
    let Some(start) = start.map(nanoseconds) else {
        let text = format!("{}: nothing in the file tells when it began", segment.path().display());
        return Err(Error::new(ErrorKind::Local, text));
    };
    let sessions = &reader.report().sessions;
    facts.sessions = sessions
        .iter()
        .map(|one| SessionDrops { session: one.session, dropped: one.dropped.total() })
        .collect();
    facts.start_ns = start;
    facts.first_ns = first.map_or(start, nanoseconds);
    facts.last_ns = last.map_or(start, nanoseconds);
    Ok(facts)
}

/// Length and CRC32C of bytes.
pub(crate) fn checksum(
    bytes: impl Read,
    path: &Path,
    control: &Control,
) -> Result<(u64, u32), Error> {
    let mut crc = 0;
    let length = each_part(bytes, path, control, |part| {
        crc = crc32c::crc32c_append(crc, part);
        Ok(())
    })?;
    Ok((length, crc))
}

/// Gives all bytes to `take`, in parts, and returns how many there are.
pub(crate) fn each_part(
    mut bytes: impl Read,
    path: &Path,
    control: &Control,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<u64, Error> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut offset = 0;
    loop {
        control.check()?;
        let read = match bytes.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(Error::read(path))?,
        };
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            return Ok(offset);
        };
        take(part)?;
        offset += read as u64;
    }
}

/// Reads what can be read at any offset, from its beginning on.
pub(crate) struct FromStart {
    bytes: Arc<dyn ReadAt>,
    offset: u64,
}

impl FromStart {
    pub(crate) fn of(bytes: Arc<dyn ReadAt>) -> FromStart {
        FromStart { bytes, offset: 0 }
    }
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read_at(self.offset, buffer)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl Facts {
    pub(crate) fn dropped(&self) -> u64 {
        self.sessions.iter().fold(0, |sum, session| sum.saturating_add(session.dropped))
    }

    /// What the object says of itself.
    pub(crate) fn metadata(&self, host: &str, form: Form) -> Metadata {
        let codec = match form {
            Form::Plain => "none",
            Form::Zstd => "zstd",
        };
        let fields = [
            ("version", "1".to_owned()),
            ("log", self.log.clone()),
            ("segment", self.segment.to_string()),
            ("event", encode(&self.name)),
            ("host", encode(host.as_bytes())),
            ("records", self.records.to_string()),
            ("dropped", self.dropped().to_string()),
            ("first-ns", self.first_ns.to_string()),
            ("last-ns", self.last_ns.to_string()),
            ("crc32c", show_crc(self.crc32c)),
            ("bytes", self.bytes.to_string()),
            ("codec", codec.to_owned()),
        ];
        fields.into_iter().map(|(name, value)| (format!("alog-{name}"), value)).collect()
    }
}

/// Eight hex digits.
pub(crate) fn show_crc(crc: u32) -> String {
    format!("{crc:08x}")
}

fn earlier(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
