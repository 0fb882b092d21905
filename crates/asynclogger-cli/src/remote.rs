//! Logs in object stores: the URLs among the paths that are typed.

use std::path::Path;

#[cfg(not(feature = "remote"))]
use {
    crate::{commands::ls::Listed, sources::Problem},
    asynclogger::read::{ReadOptions, Scan},
};

/// Whether a path is the URL of a place in an object store. A file whose name looks like one can be typed as `./s3:/...`.
pub(crate) fn is_url(path: &Path) -> bool {
    url_of(path).is_some()
}

/// The text of a URL: letters and digits, `://`, and a rest.
pub(crate) fn url_of(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    (!scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(text)
}

#[cfg(feature = "remote")]
pub(crate) use self::store::{list, scan};

#[cfg(not(feature = "remote"))]
pub(crate) fn scan(url: &str, _: ReadOptions) -> Result<Scan, Problem> {
    Err(is_lacking(url))
}

#[cfg(not(feature = "remote"))]
pub(crate) fn list(url: &str) -> Result<Vec<Listed>, Problem> {
    Err(is_lacking(url))
}

#[cfg(not(feature = "remote"))]
fn is_lacking(url: &str) -> Problem {
    let what = format!("{url}: this build of asynclogger lacks the features `ship` and `export`");
    crate::outcome::Failure::Usage(what).into()
}

#[cfg(feature = "remote")]
mod store {
    use std::{
        path::PathBuf,
        sync::Arc,
        thread,
        time::{Duration, SystemTime},
    };

    use asynclogger::read::{ReadAt, ReadOptions, Scan};
    use asynclogger_store::{Entry, ErrorKind, Metadata, ObjectBytes, Store};
    use percent_encoding::percent_decode_str;

    use crate::{commands::ls::Listed, sources::Problem};

    /// How many objects are asked at a time what they hold.
    const ASKED: usize = 16;

    /// An object, and the store with the key that it has there.
    struct Object {
        store: Store,
        entry: Entry,
        /// The whole URL.
        url: String,
    }

    impl Object {
        fn bytes(&self) -> Arc<dyn ReadAt> {
            Arc::new(ObjectBytes::listed(&self.store, &self.entry))
        }
    }

    /// Whether a key is that of the list of a shipped batch.
    fn is_manifest(key: &str) -> bool {
        key.starts_with("_manifest/") || key.contains("/_manifest/")
    }

    /// The objects below a URL, by their keys; or the one object that the URL names.
    fn objects(url: &str) -> Result<Vec<Object>, Problem> {
        let below = Store::open(url)?;
        let mut entries = below.list("")?.collect::<Result<Vec<_>, _>>()?;
        let base = url.trim_end_matches('/');
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        let mut objects: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let url = format!("{base}/{}", entry.key);
                Object { store: below.clone(), entry, url }
            })
            .collect();
        if objects.is_empty() {
            objects.extend(named(base)?);
        }
        Ok(objects)
    }

    /// The object that a URL names.
    fn named(url: &str) -> Result<Option<Object>, Problem> {
        let Some((above, name)) = url.rsplit_once('/').filter(|(above, _)| !above.ends_with('/'))
        else {
            return Ok(None);
        };
        let store = match Store::open(above) {
            Ok(store) => store,
            // A bucket alone.
            Err(error) if error.kind() == ErrorKind::Invalid => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut entries = store.list("")?;
        let entry = entries.find(|entry| entry.as_ref().map_or(true, |entry| entry.key == name));
        let url = url.to_owned();
        Ok(entry.transpose()?.map(|entry| Object { store, entry, url }))
    }

    /// Finds the logs below a URL, or the object that the URL names.
    pub(crate) fn scan(url: &str, options: ReadOptions) -> Result<Scan, Problem> {
        let objects = objects(url)?;
        let logs = objects.iter().filter(|object| !is_manifest(&object.entry.key));
        let files = logs.map(|object| (PathBuf::from(&object.url), object.bytes()));
        Ok(options.scan_given(files))
    }

    /// The objects below a URL, with what they say of themselves.
    pub(crate) fn list(url: &str) -> Result<Vec<Listed>, Problem> {
        let mut objects = objects(url)?;
        objects.retain(|object| !is_manifest(&object.entry.key));
        let mut listed = Vec::with_capacity(objects.len());
        for objects in objects.chunks(ASKED) {
            let asked: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> =
                    objects.iter().map(|object| scope.spawn(|| ask(object))).collect();
                threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
            });
            for asked in asked {
                let asked = asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                listed.extend(asked?);
            }
        }
        Ok(listed)
    }

    /// `None`: the object was deleted since it was listed.
    fn ask(object: &Object) -> Result<Option<Listed>, Problem> {
        match object.store.head(&object.entry.key) {
            Ok(head) => Ok(Some(said(object, &head.metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn said(object: &Object, metadata: &Metadata) -> Listed {
        let text = |name: &str| metadata.get(&format!("alog-{name}"));
        let number = |name: &str| text(name)?.parse().ok();
        let time = |name: &str| {
            let nanoseconds = number(name).filter(|nanoseconds| *nanoseconds > 0)?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds))
        };
        let decoded = |text: &String| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Listed {
            file: object.url.clone(),
            event: text("event").map(decoded),
            log: text("log").cloned(),
            segment: number("segment"),
            records: number("records"),
            dropped: number("dropped"),
            first_time: time("first-ns"),
            last_time: time("last-ns"),
            bytes: object.entry.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme() {
        for url in ["s3://bucket/logs", "gs://b", "file:///var/log", "http://x"] {
            assert!(is_url(Path::new(url)), "{url}");
        }
        for path in ["/var/log/app.log", "app.log", "./s3://x", "a/b://c", "://x", "c:/x"] {
            assert!(!is_url(Path::new(path)), "{path}");
        }
    }
}
