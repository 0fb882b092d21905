//! Quill, a logger in C++; `quill.cpp` is between.

use std::{ffi::CString, os::raw::c_char, os::unix::ffi::OsStrExt};

use crate::{
    outcome::Outcome,
    record::Record,
    subject::{Place, Subject, file_in},
};

unsafe extern "C" {
    fn quill_open(path: *const c_char) -> bool;
    fn quill_log(text: *const c_char, length: usize) -> bool;
    fn quill_end() -> bool;
}

/// The logger itself is a static of the other side: a process has one subject.
pub(super) struct Quill(());

impl Subject for Quill {
    const NAME: &'static str = "Quill (C++)";
    const SETUP: &'static str = "FileSink and a backend with their defaults: a queue a thread, which grows to 2 GiB and then blocks";
    const NO_ROTATION: Option<&'static str> = Some("rotates by the minute at most");

    fn open(place: &Place) -> Outcome<Quill> {
        let path = CString::new(file_in(place).as_os_str().as_bytes())?;
        // SAFETY: the path ends with a zero and lives until the call has returned.
        match unsafe { quill_open(path.as_ptr()) } {
            true => Ok(Quill(())),
            false => Err("Quill cannot be opened".into()),
        }
    }

    #[inline]
    fn log(&self, record: Record<'_>) {
        let text = record.text();
        // SAFETY: the pointer has `len` readable bytes, which are copied before the call returns; `open` has made the logger.
        // A record that is refused shows in the count of the file.
        let _ = unsafe { quill_log(text.as_ptr().cast(), text.len()) };
    }

    fn end(self) -> Outcome<Option<u64>> {
        // SAFETY: `open` has made the logger, and no thread logs any more: `self` is the only handle.
        match unsafe { quill_end() } {
            true => Ok(None),
            false => Err("Quill cannot be ended".into()),
        }
    }
}
