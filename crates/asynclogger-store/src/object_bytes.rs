//! An object, read at any offset as a file is.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
};

use asynclogger::read::ReadAt;
use bytes::Bytes;
use tokio::task::AbortHandle;

use crate::{Entry, Error, Store, read_ahead::ReadAhead, runtime};

/// Pieces that stay in memory: the one that is read, and two others, so that a reader can look ahead and come back.
const KEPT: usize = 3;

/// An object that is read at any offset, by requests for ranges.
///
/// A place that is jumped to costs a request for 64 KiB; where the reading goes on, pieces grow to 4 MiB, and the next one is
/// fetched while the last one is read. At most 16 MiB are in memory. The object is the one that was seen first, by its
/// length and etag: once another one stands at the key, reading fails with [`ErrorKind::Conflict`](crate::ErrorKind::Conflict), as
/// [`io::ErrorKind::InvalidData`].
#[derive(Debug)]
pub struct ObjectBytes {
    store: Store,
    key: String,
    size: u64,
    etag: Option<String>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// The one that was used last is the first.
    pieces: VecDeque<Piece>,
    read_ahead: ReadAhead,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct Piece {
    offset: u64,
    bytes: Bytes,
}

/// A request whose answer nobody waits for yet.
#[derive(Debug)]
struct UnderWay {
    range: Range<u64>,
    answer: mpsc::Receiver<Result<Bytes, Error>>,
    task: AbortHandle,
}

impl UnderWay {
    fn wait(&self) -> Result<Piece, Error> {
        let bytes = runtime::ended(self.answer.recv())??;
        Ok(Piece { offset: self.range.start, bytes })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ObjectBytes {
    /// Asks the store for the object, and reads that one.
    ///
    /// # Errors
    ///
    /// Those of [`Store::head`].
    pub fn open(store: &Store, key: &str) -> Result<ObjectBytes, Error> {
        let object = store.head(key)?;
        Ok(ObjectBytes::new(store, key, object.size, object.etag))
    }

    /// Reads an object of a listing. Makes no request yet.
    #[must_use]
    pub fn listed(store: &Store, entry: &Entry) -> ObjectBytes {
        ObjectBytes::new(store, &entry.key, entry.size, entry.etag.clone())
    }

    fn new(store: &Store, key: &str, size: u64, etag: Option<String>) -> ObjectBytes {
        let (store, key) = (store.clone(), key.to_owned());
        ObjectBytes { store, key, size, etag, cache: Mutex::default() }
    }

    /// The key of the object.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The identity of the content that is read, where the store has one.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    fn fetch(
        &self,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Bytes, Error>> + Send + 'static {
        let (store, key, etag) = (self.store.clone(), self.key.clone(), self.etag.clone());
        let size = self.size;
        async move {
            let wanted = range.end.saturating_sub(range.start);
            let (bytes, object) = store.clone().fetch(key.clone(), range, etag.clone()).await?;
            let is_same = object.size == size && is_same_etag(&etag, &object.etag);
            match is_same && bytes.len() as u64 == wanted {
                true => Ok(bytes),
                false => Err(store.replaced(&key)),
            }
        }
    }

    /// The piece with the byte at `offset`.
    fn piece(&self, cache: &mut Cache, offset: u64, wanted: u64) -> Result<Piece, Error> {
        if let Some(piece) = cache.take(offset) {
            return Ok(piece);
        }
        let under_way = cache.under_way.take_if(|under_way| under_way.range.contains(&offset));
        let piece = match under_way {
            Some(under_way) => under_way.wait()?,
            None => {
                let range = cache.read_ahead.piece(offset, wanted, self.size);
                Piece { offset: range.start, bytes: runtime::wait(self.fetch(range))?? }
            }
        };
        if let Some(range) = cache.read_ahead.next(self.size) {
            let (answer, task) = runtime::start(self.fetch(range.clone()))?;
            cache.under_way = Some(UnderWay { range, answer, task });
        }
        Ok(piece)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadAt for ObjectBytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if offset >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let mut cache = self.cache();
        let piece = self.piece(&mut cache, offset, buffer.len() as u64)?;
        let from = usize::try_from(offset - piece.offset).unwrap_or(usize::MAX);
        let found = piece.bytes.get(from..).unwrap_or_default();
        let read = found.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..read), found.get(..read)) {
            to.copy_from_slice(from);
        }
        cache.keep(piece);
        Ok(read)
    }
}

impl Cache {
    fn take(&mut self, offset: u64) -> Option<Piece> {
        let at = self.pieces.iter().position(|piece| piece.contains(offset))?;
        self.pieces.remove(at)
    }

    fn keep(&mut self, piece: Piece) {
        self.pieces.push_front(piece);
        self.pieces.truncate(KEPT);
    }
}

impl Piece {
    fn contains(&self, offset: u64) -> bool {
        (self.offset..self.offset + self.bytes.len() as u64).contains(&offset)
    }
}

/// Listings of some stores leave out the quotes that answers have.
fn is_same_etag(first: &Option<String>, now: &Option<String>) -> bool {
    let bare = |etag: &Option<String>| etag.as_ref().map(|etag| etag.trim_matches('"').to_owned());
    first.is_none() || now.is_none() || bare(first) == bare(now)
}
