//! What already stands in the store at the names of a segment.

use std::{path::PathBuf, sync::Arc};

use asynclogger::read::{ReadAt, ReadOptions};
use asynclogger_store::{ErrorKind as StoreKind, Object, ObjectBytes, Store};

use crate::{
    Error, ErrorKind,
    control::Control,
    facts::{self, Facts, FromStart, show_crc},
    layout::{Form, Layout},
};

/// An object that has the segment, in one form or the other.
#[derive(Debug)]
pub(crate) struct Existing {
    pub(crate) key: String,
    pub(crate) form: Form,
    pub(crate) bytes: u64,
    /// What the object says of its content.
    pub(crate) crc32c: Option<u32>,
}

/// Looks at the names of a segment in both forms.
///
/// # Errors
///
/// `Conflict`, if there is an object of another segment.
pub(crate) fn look(
    store: &Store,
    layout: &Layout,
    host: &str,
    (facts, form): (&Facts, Form),
) -> Result<Option<Existing>, Error> {
    for form_there in [form, form.other()] {
        let key = layout.key(facts, host, form_there);
        let object = match store.head(&key) {
            Ok(object) => object,
            Err(error) if error.kind() == StoreKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let conflict = |what: &str| {
            let text = format!("{}/{key}: {what}; the segment is left alone", store.location());
            Error::new(ErrorKind::Conflict, text)
        };
        if whose(store, &key, &object)? != Some((facts.log.clone(), facts.segment)) {
            return Err(conflict("there is an object of another segment"));
        }
        let crc32c = object.metadata.get("alog-crc32c");
        let crc32c = crc32c.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        return Ok(Some(Existing { key, form: form_there, bytes: object.size, crc32c }));
    }
    Ok(None)
}

/// The log and the number of the segment in an object: as its metadata says, or, where the store keeps none, its content.
fn whose(store: &Store, key: &str, object: &Object) -> Result<Option<(String, u64)>, Error> {
    let said = |name: &str| object.metadata.get(name);
    if let (Some(log), Some(segment)) = (said("alog-log"), said("alog-segment")) {
        return Ok(segment.parse().ok().map(|segment| (log.clone(), segment)));
    }
    let bytes: Arc<dyn ReadAt> = Arc::new(ObjectBytes::open(store, key)?);
    let scan = ReadOptions::new().scan_given([(PathBuf::from(key), bytes)]);
    let found = scan.logs.first().and_then(|log| {
        let segment = log.segments().first()?;
        Some((log.log_id()?.to_string(), segment.id))
    });
    Ok(found)
}

/// Reads an object back.
pub(crate) fn checksum(
    store: &Store,
    key: &str,
    bytes: u64,
    control: &Control,
) -> Result<u32, Error> {
    let object = FromStart::of(Arc::new(ObjectBytes::open(store, key)?));
    let (read, crc32c) = facts::checksum(object, key.as_ref(), control)?;
    match read == bytes {
        true => Ok(crc32c),
        false => {
            let text =
                format!("{}/{key}: the object has {read} bytes, not {bytes}", store.location());
            Err(Error::new(ErrorKind::Conflict, text))
        }
    }
}

/// An error unless the object has these bytes.
pub(crate) fn must_have(
    store: &Store,
    key: &str,
    (bytes, crc32c): (u64, u32),
    control: &Control,
) -> Result<(), Error> {
    let there = checksum(store, key, bytes, control)?;
    if there == crc32c {
        return Ok(());
    }
    let (there, here) = (show_crc(there), show_crc(crc32c));
    let place = store.location();
    let text = format!("{place}/{key}: read back, the object has CRC32C {there}, not {here}");
    Err(Error::new(ErrorKind::Conflict, text))
}
