//! An upload whose bytes go out in parts while they come in.

use std::{collections::VecDeque, fmt, io, mem, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use object_store::{
    Attributes, MultipartUpload, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    path::Path,
};
use tokio::task::JoinHandle;

use crate::{Error, ErrorKind, runtime, store::repeated};

const PART_BYTES: usize = 8 << 20;
const CONCURRENCY: usize = 2;
/// S3 takes no smaller parts but the last.
const MIN_PART_BYTES: usize = 5 << 20;
/// What an upload that fails waits for the store to forget the parts.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where an upload goes.
pub(crate) struct Destination {
    pub(crate) client: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    pub(crate) place: String,
    pub(crate) attributes: Attributes,
}

/// An object that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The length in bytes.
    pub bytes: u64,
    /// The identity of the content, where the store has one.
    pub etag: Option<String>,
}

/// A writer of one object, made by [`Store::upload`](crate::Store::upload).
///
/// Bytes gather to a part; a part that is full goes out while the next one gathers. An object that is shorter than one part
/// goes out in one request. The memory is at most the part size times the number of parts on their way, and one more. The
/// object is visible when [`finish`](Upload::finish) has returned, and not before; an upload that is dropped or fails is
/// aborted, and leaves no parts unless the store is away or the process is killed: a lifecycle rule of the bucket clears those.
pub struct Upload {
    to: Destination,
    part_bytes: usize,
    concurrency: usize,
    gathered: BytesMut,
    bytes: u64,
    begun: Option<Box<dyn MultipartUpload>>,
    under_way: VecDeque<JoinHandle<object_store::Result<()>>>,
    /// The first error, which all later calls repeat.
    failed: Option<Error>,
}

impl Upload {
    pub(crate) fn new(to: Destination) -> Upload {
        Upload {
            to,
            part_bytes: PART_BYTES,
            concurrency: CONCURRENCY,
            gathered: BytesMut::new(),
            bytes: 0,
            begun: None,
            under_way: VecDeque::new(),
            failed: None,
        }
    }

    /// Sets the size of a part in bytes; 8 MiB unless set, and at least 5 MiB. A store takes at most 10,000 parts.
    #[must_use]
    pub fn part_bytes(mut self, bytes: usize) -> Upload {
        self.part_bytes = bytes.max(MIN_PART_BYTES);
        self
    }

    /// Sets how many parts are on their way at a time; 2 unless set, and at least 1.
    #[must_use]
    pub fn concurrency(mut self, parts: usize) -> Upload {
        self.concurrency = parts.max(1);
        self
    }

    /// Adds bytes to the object. Waits while as many parts are on their way as there may be.
    ///
    /// # Errors
    ///
    /// `Denied`, `Unavailable`: a part was refused. The upload is over then, and aborted.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        while !bytes.is_empty() {
            if self.gathered.capacity() == 0 {
                // One allocation a part; a small object takes no whole part.
                self.gathered.reserve(if self.bytes == 0 { bytes.len() } else { self.part_bytes });
            }
            let room = self.part_bytes.saturating_sub(self.gathered.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.gathered.extend_from_slice(now);
            self.bytes += now.len() as u64;
            bytes = later;
            if self.gathered.len() == self.part_bytes {
                let sent = self.send_part();
                self.end_if_failed(sent)?;
            }
        }
        Ok(())
    }

    /// Completes the object.
    ///
    /// # Errors
    ///
    /// `Denied`, `Unavailable`. The object is not there then, or, if the answer was lost, there as a whole.
    pub fn finish(mut self) -> Result<Written, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let etag = match self.begun.is_some() {
            true => self.complete(),
            false => self.put(),
        };
        let etag = self.end_if_failed(etag)?;
        Ok(Written { bytes: self.bytes, etag })
    }

    fn put(&mut self) -> Result<Option<String>, Error> {
        let payload = PutPayload::from(self.take_gathered());
        let (client, path) = (Arc::clone(&self.to.client), self.to.path.clone());
        let attributes = mem::take(&mut self.to.attributes);
        let options = PutOptions { attributes, ..PutOptions::default() };
        let put = runtime::wait(async move { client.put_opts(&path, payload, options).await })?;
        put.map(|result| result.e_tag).map_err(|error| self.error(&error))
    }

    fn complete(&mut self) -> Result<Option<String>, Error> {
        if !self.gathered.is_empty() {
            self.send_part()?;
        }
        while let Some(part) = self.under_way.pop_front() {
            self.wait_for(part)?;
        }
        let Some(mut begun) = self.begun.take() else { return Ok(None) };
        let (begun, completed) = runtime::wait(async move {
            let completed = begun.complete().await;
            (begun, completed)
        })?;
        match completed {
            Ok(result) => Ok(result.e_tag),
            Err(error) => {
                self.begun = Some(begun);
                Err(self.error(&error))
            }
        }
    }

    fn send_part(&mut self) -> Result<(), Error> {
        while self.under_way.len() >= self.concurrency {
            if let Some(part) = self.under_way.pop_front() {
                self.wait_for(part)?;
            }
        }
        let mut begun = match self.begun.take() {
            Some(begun) => begun,
            None => self.begin()?,
        };
        let handle = runtime::handle()?;
        let payload = PutPayload::from(self.take_gathered());
        let part = {
            let _entered = handle.enter();
            begun.put_part(payload)
        };
        self.begun = Some(begun);
        self.under_way.push_back(handle.spawn(part));
        Ok(())
    }

    fn begin(&mut self) -> Result<Box<dyn MultipartUpload>, Error> {
        let (client, path) = (Arc::clone(&self.to.client), self.to.path.clone());
        let attributes = mem::take(&mut self.to.attributes);
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let place = self.to.place.clone();
        // An answer that breaks off is asked for again. What the store has begun before is left to the lifecycle rule.
        runtime::wait(async move {
            let begin = || async {
                let begun = client.put_multipart_opts(&path, options.clone()).await;
                begun.map_err(|error| Error::of("write", place.clone(), &error))
            };
            repeated(begin).await
        })?
    }

    fn wait_for(&self, part: JoinHandle<object_store::Result<()>>) -> Result<(), Error> {
        match runtime::wait(part)? {
            Ok(sent) => sent.map_err(|error| self.error(&error)),
            Err(ended) => {
                Err(Error::new(ErrorKind::Other, "write", self.to.place.clone(), ended.to_string()))
            }
        }
    }

    fn take_gathered(&mut self) -> Bytes {
        mem::take(&mut self.gathered).freeze()
    }

    fn error(&self, cause: &object_store::Error) -> Error {
        Error::of("write", self.to.place.clone(), cause)
    }

    fn end_if_failed<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.abort();
        }
        result
    }

    /// Lets the store forget the parts, as far as the store can be reached.
    fn abort(&mut self) {
        let Some(mut begun) = self.begun.take() else { return };
        let under_way = mem::take(&mut self.under_way);
        let _ = runtime::wait(async move {
            for part in under_way {
                part.abort();
                // A part that arrives behind the abort would stay.
                let _ = part.await;
            }
            let _ = tokio::time::timeout(ABORT_TIMEOUT, begun.abort()).await;
        });
    }
}

impl io::Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes)?;
        Ok(bytes.len())
    }

    /// Does nothing: only a full part goes out, and only [`finish`](Upload::finish) makes the object visible.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.abort();
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("to", &self.to.place)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
