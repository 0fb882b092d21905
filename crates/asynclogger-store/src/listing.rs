//! The objects under a prefix, one after the other.

use std::{collections::VecDeque, fmt, mem, time::SystemTime};

use futures_util::{
    StreamExt,
    stream::{BoxStream, ReadyChunks},
};
use object_store::{ObjectMeta, path::Path};

use crate::{
    Error, ErrorKind, runtime,
    store::{ATTEMPTS, RETRY_DELAY},
};

/// At most that many entries are in memory beside the answer that they come from.
const BATCH: usize = 1000;

type Found = BoxStream<'static, object_store::Result<ObjectMeta>>;
type Batches = ReadyChunks<Found>;
/// Begins a listing: behind an object, or at the beginning.
type Begin = Box<dyn Fn(Option<&Path>) -> Found + Send>;

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
/// Where an answer breaks off, the listing goes on behind the last object; the client repeats requests, but not answers.
/// After an error the iterator ends.
pub struct Entries {
    begin: Begin,
    /// `None` at the end.
    batches: Option<Batches>,
    ready: VecDeque<object_store::Result<ObjectMeta>>,
    past: Past,
    failures: u32,
    root: Path,
    place: String,
}

impl Entries {
    pub(crate) fn new(
        begin: impl Fn(Option<&Path>) -> Found + Send + 'static,
        root: Path,
        place: String,
    ) -> Result<Entries, Error> {
        let mut entries = Entries {
            begin: Box::new(begin),
            batches: None,
            ready: VecDeque::new(),
            past: Past::Nothing,
            failures: 0,
            root,
            place,
        };
        entries.go_on()?;
        Ok(entries)
    }

    fn go_on(&mut self) -> Result<(), Error> {
        // The client may want to be called where its requests run.
        let _entered = runtime::handle()?.enter();
        let last = match &self.past {
            Past::InOrder(last) => Some(last),
            Past::Nothing | Past::Unordered => None,
        };
        self.batches = Some((self.begin)(last).ready_chunks(BATCH));
        Ok(())
    }

    /// Goes on behind the last object, unless the store fails again and again, or lists in no order: then what was listed
    /// does not tell what is missing.
    fn recover(&mut self, error: Error) -> Result<(), Error> {
        self.failures += 1;
        let is_over = error.kind() != ErrorKind::Unavailable || self.failures >= ATTEMPTS;
        if is_over || matches!(self.past, Past::Unordered) {
            return Err(error);
        }
        self.ready.clear();
        let pause = RETRY_DELAY * self.failures;
        runtime::wait(async move { tokio::time::sleep(pause).await })?;
        self.go_on()
    }

    fn end(&mut self, error: Error) -> Option<Result<Entry, Error>> {
        self.batches = None;
        self.ready.clear();
        Some(Err(error))
    }
}

/// What was listed.
#[derive(Debug)]
enum Past {
    Nothing,
    /// All keys came in order, up to this one.
    InOrder(Path),
    Unordered,
}

impl Past {
    fn add(&mut self, key: &Path) {
        *self = match mem::replace(self, Past::Unordered) {
            Past::InOrder(last) if last.as_ref() >= key.as_ref() => Past::Unordered,
            Past::Nothing | Past::InOrder(_) => Past::InOrder(key.clone()),
            Past::Unordered => Past::Unordered,
        };
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Result<Entry, Error>> {
        loop {
            match self.ready.pop_front() {
                Some(Ok(meta)) => {
                    self.failures = 0;
                    self.past.add(&meta.location);
                    let Some(key) = below(&self.root, &meta.location) else { continue };
                    let (size, etag) = (meta.size, meta.e_tag);
                    let modified = meta.last_modified.into();
                    return Some(Ok(Entry { key, size, modified, etag }));
                }
                Some(Err(error)) => {
                    let error = Error::of("list", self.place.clone(), &error);
                    match self.recover(error) {
                        Ok(()) => continue,
                        Err(error) => return self.end(error),
                    }
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

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::stream;
    use object_store::client::{HttpError, HttpErrorKind};

    use super::*;

    /// The objects of a store, as it lists them.
    #[derive(Clone, Copy)]
    struct Objects(&'static [&'static str]);

    impl Objects {
        /// The objects behind `last`, up to the first `most` ones; then the answer breaks off.
        fn behind(self, last: Option<&Path>, most: usize) -> Found {
            let last = last.map(|last| last.as_ref().to_owned());
            let is_wanted =
                move |key: &&&str| last.as_ref().is_none_or(|last| **key > last.as_str());
            let keys: Vec<&str> = self.0.iter().filter(is_wanted).copied().collect();
            let is_cut = keys.len() > most;
            let found = keys.into_iter().take(most).map(|key| Ok(meta(key)));
            let cut = is_cut.then(|| {
                let source = HttpError::new(HttpErrorKind::Decode, std::fmt::Error);
                Err(object_store::Error::Generic { store: "S3", source: Box::new(source) })
            });
            stream::iter(found.chain(cut).collect::<Vec<_>>()).boxed()
        }
    }

    fn meta(key: &str) -> ObjectMeta {
        ObjectMeta {
            location: Path::from(key),
            last_modified: Default::default(),
            size: 1,
            e_tag: None,
            version: None,
        }
    }

    /// The keys that are listed and the error, and how often a listing was begun.
    fn listed(objects: Objects, most: usize) -> (Vec<String>, Option<ErrorKind>, usize) {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let begin = move |last: Option<&Path>| {
            count.fetch_add(1, Ordering::Relaxed);
            objects.behind(last, most)
        };
        let (mut keys, mut failed) = (Vec::new(), None);
        for entry in Entries::new(begin, Path::default(), "place".to_owned()).unwrap() {
            match entry {
                Ok(entry) => keys.push(entry.key),
                Err(error) => failed = Some(error.kind()),
            }
        }
        (keys, failed, begun.load(Ordering::Relaxed))
    }

    #[test]
    fn a_listing_that_breaks_off_goes_on_behind_the_last_object() {
        let objects = Objects(&["a", "b", "c", "d", "e"]);
        assert_eq!(
            listed(objects, 5),
            (["a", "b", "c", "d", "e"].map(String::from).into(), None, 1)
        );
        assert_eq!(
            listed(objects, 2),
            (["a", "b", "c", "d", "e"].map(String::from).into(), None, 3)
        );
    }

    #[test]
    fn a_store_that_fails_again_and_again_is_an_error() {
        let failed = Some(ErrorKind::Unavailable);
        assert_eq!(listed(Objects(&["a"]), 0), (Vec::new(), failed, ATTEMPTS as usize));
    }

    #[test]
    fn a_listing_without_order_does_not_go_on_for_objects_would_be_missing() {
        let failed = Some(ErrorKind::Unavailable);
        assert_eq!(
            listed(Objects(&["b", "a", "c"]), 2),
            (["b", "a"].map(String::from).into(), failed, 1)
        );
    }
}
