//! The way of one segment to the store.

use std::{fs::File, sync::Arc};

use asynclogger::ArchivedSegment;
use asynclogger_store::{Store, Upload};

use crate::{
    Error, ErrorKind,
    control::Control,
    existing::{self, Existing},
    facts::{self, Facts, each_part, form_of},
    fault,
    layout::{Form, Layout},
    manifest::FileEntry,
};

/// What all segments have in common on their way.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) store: Store,
    pub(crate) layout: Layout,
    pub(crate) host: String,
    pub(crate) part_bytes: usize,
    pub(crate) rate: Option<u64>,
    /// Read each object back.
    pub(crate) read_back: bool,
    pub(crate) control: Control,
}

/// A segment that is in the store.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) file: FileEntry,
    /// It was there before.
    pub(crate) was_there: bool,
}

impl Way {
    /// Brings a segment to the store, unless it is there. `begin` is called before the first byte is sent.
    pub(crate) fn send(
        &self,
        (segment, form): (&ArchivedSegment, Form),
        begin: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Sent, Error> {
        let file = facts::open(segment)?;
        let facts = facts::read(segment, &file, form, &self.control)?;
        fault::point("before-head");
        if let Some(there) = existing::look(&self.store, &self.layout, &self.host, (&facts, form))?
        {
            let file = self.confirm(&there, (segment, &file), (&facts, form), None)?;
            return Ok(Sent { file, was_there: true });
        }
        let key = self.layout.key(&facts, &self.host, form);
        begin()?;
        fault::point("before-upload");
        let etag = self.upload(segment, &file, &key, (&facts, form))?;
        fault::point("after-upload");
        self.check(&key, &facts, etag)?;
        if self.read_back {
            let content = facts::content(segment, &file, form)?;
            let content = facts::checksum(content, segment.path(), &self.control)?;
            existing::must_have(&self.store, &key, content, &self.control)?;
        }
        fault::point("after-verify");
        let file = FileEntry::new(&facts, key, facts.bytes, facts.crc32c);
        Ok(Sent { file, was_there: false })
    }

    /// Makes sure that a segment which is known to be in the store still is, as a whole, so that its file can go.
    pub(crate) fn verify(
        &self,
        segment: &ArchivedSegment,
        recorded: impl FnOnce(&str) -> Result<Option<u32>, Error>,
    ) -> Result<(), Error> {
        let file = facts::open(segment)?;
        let form = form_of(segment);
        let facts = facts::read(segment, &file, form, &self.control)?;
        let there = existing::look(&self.store, &self.layout, &self.host, (&facts, form))?;
        let Some(there) = there else {
            let place = self.store.location();
            let text =
                format!("{}: not in {place}, where it was shipped", segment.path().display());
            return Err(Error::new(ErrorKind::Conflict, text));
        };
        let crc32c = match there.crc32c {
            Some(crc32c) => Some(crc32c),
            None => recorded(&there.key)?,
        };
        self.confirm(&there, (segment, &file), (&facts, form), crc32c).map(drop)
    }

    /// The entry of an object that has the segment, compared with the file as far as the forms allow; read back if that is
    /// wanted. An object in the form that the file has no more is compared with what the file was made of. An object that is
    /// compressed, where the file is not, has to have its checksum in its metadata, or in a manifest.
    fn confirm(
        &self,
        there: &Existing,
        (segment, file): (&ArchivedSegment, &Arc<File>),
        (facts, form): (&Facts, Form),
        recorded: Option<u32>,
    ) -> Result<FileEntry, Error> {
        let key = &there.key;
        let known = match there.form {
            same if same == form => Some((facts.bytes, facts.crc32c)),
            Form::Plain => {
                let content = facts::content(segment, file, Form::Plain)?;
                Some(facts::checksum(content, segment.path(), &self.control)?)
            }
            Form::Zstd => there.crc32c.or(recorded).map(|crc32c| (there.bytes, crc32c)),
        };
        let conflict = |what: &str| {
            let text =
                format!("{}/{key}: {what}; the segment is left alone", self.store.location());
            Error::new(ErrorKind::Conflict, text)
        };
        let (bytes, crc32c) = match known {
            Some(known) => known,
            None if self.read_back => {
                return Err(conflict("nothing tells the checksum of the compressed object"));
            }
            None => {
                let crc32c = existing::checksum(&self.store, key, there.bytes, &self.control)?;
                (there.bytes, crc32c)
            }
        };
        if there.bytes != bytes || there.crc32c.is_some_and(|there| there != crc32c) {
            return Err(conflict("there is an object with other bytes of the segment"));
        }
        if self.read_back {
            existing::must_have(&self.store, key, (bytes, crc32c), &self.control)?;
        }
        Ok(FileEntry::new(facts, key.clone(), bytes, crc32c))
    }

    fn upload(
        &self,
        segment: &ArchivedSegment,
        file: &Arc<File>,
        key: &str,
        (facts, form): (&Facts, Form),
    ) -> Result<Option<String>, Error> {
        let metadata = facts.metadata(&self.host, form);
        let upload = self.store.upload(key, metadata)?;
        let mut upload: Upload = upload.part_bytes(self.part_bytes);
        let mut crc = 0;
        let content = facts::content(segment, file, form)?;
        let bytes = each_part(content, segment.path(), &self.control, |part| {
            self.control.take_turn(part.len() as u64, self.rate);
            crc = crc32c::crc32c_append(crc, part);
            upload.push(part)?;
            fault::point("in-upload");
            Ok(())
        })?;
        if (bytes, crc) != (facts.bytes, facts.crc32c) {
            let text = format!("{}: the file changed while it was read", segment.path().display());
            return Err(Error::new(ErrorKind::Local, text));
        }
        self.control.check()?;
        Ok(upload.finish()?.etag)
    }

    /// Asks the store what it has.
    fn check(&self, key: &str, facts: &Facts, etag: Option<String>) -> Result<(), Error> {
        let object = self.store.head(key)?;
        let is_same = etag.is_none() || object.etag.is_none() || etag == object.etag;
        if object.size == facts.bytes && is_same {
            return Ok(());
        }
        let (place, size) = (self.store.location(), object.size);
        let text = format!(
            "{place}/{key}: after the upload of {} bytes the store has another object there, of {size} bytes",
            facts.bytes
        );
        Err(Error::new(ErrorKind::Conflict, text))
    }
}
