//! A store: what can be asked of it.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use object_store::{
    Attribute, Attributes, GetOptions, GetResult, ObjectStore, PutMode, PutOptions, PutPayload,
    path::Path,
};

use crate::{
    Entries, Error, ErrorKind, Location, Scheme, Upload, Written, backend, runtime,
    upload::Destination,
};

/// What an object says of itself beside its bytes: lower case names with values in ASCII, 2 KiB in all.
pub type Metadata = BTreeMap<String, String>;

/// How often an answer is asked for when the answer breaks off. The client below repeats requests,
/// but not all answers.
pub(crate) const ATTEMPTS: u32 = 4;
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(100);

/// An object as the store describes it, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Object {
    /// The length in bytes.
    pub size: u64,
    /// When the object was made.
    pub modified: SystemTime,
    /// The identity of the content, where the store has one.
    pub etag: Option<String>,
    /// The metadata that the object was written with. A directory keeps none.
    pub metadata: Metadata,
}

/// The objects under a prefix of a bucket, container or directory. A clone is another handle of the same client.
///
/// Keys are relative to the prefix, have no empty, `.` or `..` segment, and so stay below the prefix. Each call blocks until
/// the store has answered or the retries are over.
#[derive(Clone)]
pub struct Store {
    client: Arc<dyn ObjectStore>,
    location: Location,
    root: Path,
}

impl Store {
    /// Opens the store of a URL; see [`Location::parse`]. No request is made yet.
    ///
    /// # Errors
    ///
    /// `Invalid`: the URL or the environment makes no sense.
    pub fn open(url: &str) -> Result<Store, Error> {
        Store::at(Location::parse(url)?)
    }

    /// Opens the store of a location. No request is made yet.
    ///
    /// # Errors
    ///
    /// `Invalid`: what the environment says makes no sense, or the endpoint is plain http without the allowance.
    pub fn at(location: Location) -> Result<Store, Error> {
        let client = backend::open(&location)?;
        Store::over(client, location)
    }

    /// A store over a client of the caller's own, below the prefix of `location`: with credentials or settings that do not
    /// come from the environment, or, in tests, one that fails on command.
    ///
    /// # Errors
    ///
    /// `Invalid`: no object can have the prefix.
    pub fn over(client: Arc<dyn ObjectStore>, location: Location) -> Result<Store, Error> {
        let root = Path::parse(location.prefix()).map_err(|error| {
            Error::new(ErrorKind::Invalid, "open", location.to_string(), error.to_string())
        })?;
        Ok(Store { client, location, root })
    }

    /// Where the store is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The objects whose keys begin with the whole segments of `prefix`; all for `""`.
    ///
    /// # Errors
    ///
    /// `Invalid`, if no key can begin so. What the store refuses comes from the iterator.
    pub fn list(&self, prefix: &str) -> Result<Entries, Error> {
        let path = match prefix {
            "" => self.root.clone(),
            _ => self.path("list", prefix)?,
        };
        let place = self.place(prefix);
        let client = Arc::clone(&self.client);
        let begin = move |last: Option<&Path>| match last {
            Some(last) => client.list_with_offset(Some(&path), last),
            None => client.list(Some(&path)),
        };
        Entries::new(begin, self.root.clone(), place)
    }

    /// What the store says of an object.
    ///
    /// # Errors
    ///
    /// `NotFound`, if there is none. S3 says `Denied` instead to credentials that may not list the bucket.
    pub fn head(&self, key: &str) -> Result<Object, Error> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let result = self.request("look at", key, move |client, path| async move {
            client.get_opts(&path, options).await
        })?;
        Ok(self.object(&result))
    }

    /// The bytes of a range of an object; fewer, if the object ends before.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Denied`, `Unavailable`; `Other` for a range that begins behind the object's end.
    pub fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        Ok(self.get(key, range, None)?.0)
    }

    /// The same, with what the store says of the object. With `etag`, another object at that key is a `Conflict`.
    pub(crate) fn get(
        &self,
        key: &str,
        range: Range<u64>,
        etag: Option<&str>,
    ) -> Result<(Bytes, Object), Error> {
        runtime::wait(self.clone().fetch(key.to_owned(), range, etag.map(str::to_owned)))?
    }

    /// The request of [`get`](Store::get), for the threads of the stores.
    pub(crate) async fn fetch(
        self,
        key: String,
        range: Range<u64>,
        etag: Option<String>,
    ) -> Result<(Bytes, Object), Error> {
        let (store, key) = (&self, &key);
        repeated(|| store.fetch_once(key, range.clone(), etag.clone())).await
    }

    async fn fetch_once(
        &self,
        key: &str,
        range: Range<u64>,
        etag: Option<String>,
    ) -> Result<(Bytes, Object), Error> {
        let path = self.path("read", key)?;
        let failed = |error| Error::of("read", self.place(key), &error);
        let range = Some(range.into());
        let options = GetOptions { range, if_match: etag, ..GetOptions::default() };
        let result = self.client.get_opts(&path, options).await.map_err(failed)?;
        let object = self.object(&result);
        let expected = result.range.end.saturating_sub(result.range.start);
        let bytes = result.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != expected {
            let cause = format!("the answer has {} of {expected} bytes", bytes.len());
            return Err(Error::new(ErrorKind::Unavailable, "read", self.place(key), cause));
        }
        Ok((bytes, object))
    }

    /// Writes an object in one request; with `create_only`, only if there is none at that key.
    ///
    /// # Errors
    ///
    /// `Conflict`, if there is one; `Denied`, `Unavailable`.
    pub fn put_small(
        &self,
        key: &str,
        bytes: impl Into<Bytes>,
        metadata: Metadata,
        create_only: bool,
    ) -> Result<Written, Error> {
        let payload = PutPayload::from(bytes.into());
        let size = payload.content_length() as u64;
        let mode = if create_only { PutMode::Create } else { PutMode::Overwrite };
        let attributes = self.attributes(metadata);
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let result = self.request("write", key, move |client, path| async move {
            client.put_opts(&path, payload, options).await
        })?;
        Ok(Written { bytes: size, etag: result.e_tag })
    }

    /// Begins an upload, in parts of 8 MiB, two of which are on their way at a time.
    ///
    /// # Errors
    ///
    /// `Invalid`, if no object can have the key. The first request is made when the first part is full.
    pub fn upload(&self, key: &str, metadata: Metadata) -> Result<Upload, Error> {
        let destination = Destination {
            client: Arc::clone(&self.client),
            path: self.path("write", key)?,
            place: self.place(key),
            attributes: self.attributes(metadata),
        };
        Ok(Upload::new(destination))
    }

    /// Deletes an object. One that is not there is no error in S3 and GCS, and `NotFound` in the others.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Denied`, `Unavailable`.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        self.request("delete", key, |client, path| async move {
            object_store::ObjectStoreExt::delete(&client, &path).await
        })
    }

    /// Makes the request of one object, and names what failed.
    fn request<T, F>(
        &self,
        doing: &'static str,
        key: &str,
        ask: impl FnOnce(Arc<dyn ObjectStore>, Path) -> F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let path = self.path(doing, key)?;
        let answer = runtime::wait(ask(Arc::clone(&self.client), path))?;
        answer.map_err(|error| Error::of(doing, self.place(key), &error))
    }

    fn path(&self, doing: &'static str, key: &str) -> Result<Path, Error> {
        let invalid = |cause| Error::new(ErrorKind::Invalid, doing, self.place(key), cause);
        let below = Path::parse(key).map_err(|error| invalid(error.to_string()))?;
        if below.as_ref() != key || key.is_empty() {
            return Err(invalid("a key does not begin or end with a slash".to_owned()));
        }
        let whole = match self.root.as_ref() {
            "" => key.to_owned(),
            root => format!("{root}/{key}"),
        };
        Path::parse(whole).map_err(|error| invalid(error.to_string()))
    }

    /// The error of reading an object that is not the one that was seen first.
    pub(crate) fn replaced(&self, key: &str) -> Error {
        let cause = "the object was replaced while it was read";
        Error::new(ErrorKind::Conflict, "read", self.place(key), cause)
    }

    /// The object in errors.
    fn place(&self, key: &str) -> String {
        match self.root.as_ref() {
            "" => format!("{}{key}", self.location),
            _ => format!("{}/{key}", self.location),
        }
    }

    fn object(&self, result: &GetResult) -> Object {
        let metadata = result.attributes.iter().filter_map(|(name, value)| match name {
            Attribute::Metadata(name) => {
                let name = match self.location.scheme() {
                    Scheme::Azure => name.replace('_', "-"),
                    _ => name.to_string(),
                };
                Some((name, value.to_string()))
            }
            _ => None,
        });
        Object {
            size: result.meta.size,
            modified: result.meta.last_modified.into(),
            etag: result.meta.e_tag.clone(),
            metadata: metadata.collect(),
        }
    }

    fn attributes(&self, metadata: Metadata) -> Attributes {
        if self.location.scheme() == Scheme::File {
            return Attributes::new();
        }
        let named = metadata.into_iter().map(|(name, value)| {
            let name = match self.location.scheme() {
                // Azure takes only names that are identifiers of C#.
                Scheme::Azure => name.replace('-', "_"),
                _ => name,
            };
            (Attribute::Metadata(name.into()), value)
        });
        named.collect()
    }
}

/// Asks again, a few times, while the store cannot be reached or its answers break off.
pub(crate) async fn repeated<T, F: Future<Output = Result<T, Error>>>(
    mut ask: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut attempt = 1;
    loop {
        match ask().await {
            Err(error) if error.kind() == ErrorKind::Unavailable && attempt < ATTEMPTS => {
                tokio::time::sleep(RETRY_DELAY * attempt).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's own `Debug` can show more than it should.
        f.debug_tuple("Store").field(&self.location.to_string()).finish()
    }
}
