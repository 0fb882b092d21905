//! An object store as the place of an export's files.

use std::io::{self, Write};

use asynclogger_export::{Begun, Destination, Format};
use asynclogger_store::{ErrorKind, Metadata, Store, Upload};

/// The objects below a URL. An object is visible when it is complete.
#[derive(Debug)]
pub(super) struct Bucket(pub(super) Store);

impl Destination for Bucket {
    fn begin(&self, name: &str, format: Format) -> io::Result<Box<dyn Begun>> {
        let Bucket(store) = self;
        match store.head(name) {
            Ok(object) => {
                let bytes = store.get_range(name, format.mark_range(object.size));
                if !format.has_mark(&bytes.map_err(io::Error::other)?) {
                    let text = "exists, and is no file of an earlier export";
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io::Error::other(error)),
        }
        let upload = store.upload(name, Metadata::new()).map_err(io::Error::other)?;
        Ok(Box::new(BegunObject(upload.concurrency(1))))
    }
}

struct BegunObject(Upload);

impl Write for BegunObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes).map(|()| bytes.len()).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Begun for BegunObject {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish().map(|_| ()).map_err(io::Error::other)
    }
}
