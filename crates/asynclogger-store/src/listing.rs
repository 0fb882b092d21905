//! The objects under a prefix, one after the other.

use std::{collections::VecDeque, fmt, time::SystemTime};

use futures_util::{
    StreamExt,
    stream::{BoxStream, ReadyChunks},
};
use object_store::{ObjectMeta, path::Path};

use crate::{Error, runtime};

/// At most that many entries are in memory beside the answer that they come from.
const BATCH: usize = 1000;

type Batches = ReadyChunks<BoxStream<'static, object_store::Result<ObjectMeta>>>;

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The key, without the prefix of the store.
    pub key: String,
    /// The length in bytes.
    pub size: u64,
    /// When the object was made.
    pub modified: SystemTime,
    /// The identity of the content, where the store has one.
    pub etag: Option<String>,
}

/// The objects under a prefix, in no promised order; made by [`Store::list`](crate::Store::list).
///
/// The answers of the store are read as the iterator goes on, so that the memory does not grow with the number of objects.
/// After an error the iterator ends.
pub struct Entries {
    /// `None` at the end.
    batches: Option<Batches>,
    ready: VecDeque<object_store::Result<ObjectMeta>>,
    root: Path,
    place: String,
}

impl Entries {
    pub(crate) fn new(
        found: BoxStream<'static, object_store::Result<ObjectMeta>>,
        root: Path,
        place: String,
    ) -> Entries {
        Entries { batches: Some(found.ready_chunks(BATCH)), ready: VecDeque::new(), root, place }
    }

    fn end(&mut self, error: Error) -> Option<Result<Entry, Error>> {
        self.batches = None;
        self.ready.clear();
        Some(Err(error))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Result<Entry, Error>> {
        loop {
            match self.ready.pop_front() {
                Some(Ok(meta)) => {
                    let Some(key) = below(&self.root, &meta.location) else { continue };
                    let (size, etag) = (meta.size, meta.e_tag);
                    let modified = meta.last_modified.into();
                    return Some(Ok(Entry { key, size, modified, etag }));
                }
                Some(Err(error)) => {
                    return self.end(Error::of("list", self.place.clone(), &error));
                }
                None => {}
            }
            let mut batches = self.batches.take()?;
            let more = runtime::wait(async move {
                let batch = batches.next().await;
                (batches, batch)
            });
            match more {
                Ok((batches, Some(batch))) => {
                    self.ready = batch.into();
                    self.batches = Some(batches);
                }
                Ok((_, None)) => return None,
                Err(error) => return self.end(error),
            }
        }
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The key of an object without the prefix of its store.
fn below(root: &Path, location: &Path) -> Option<String> {
    let key = location.as_ref().strip_prefix(root.as_ref())?;
    let key = if root.as_ref().is_empty() { key } else { key.strip_prefix('/')? };
    Some(key.to_owned())
}
