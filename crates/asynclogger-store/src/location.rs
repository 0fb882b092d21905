//! Which store, and which part of it, from a URL.

use std::{fmt, str::FromStr};

use object_store::path::Path;
use url::Url;

use crate::{Error, ErrorKind};

/// The kinds of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `s3://BUCKET/PREFIX`, also `s3a://`: Amazon S3, and what speaks its protocol.
    S3,
    /// `gs://BUCKET/PREFIX`: Google Cloud Storage.
    Gcs,
    /// `az://CONTAINER/PREFIX`, `azure://`, `abfs://` and `abfss://`, there also `CONTAINER@ACCOUNT.dfs.core.windows.net`:
    /// Azure Blob Storage.
    Azure,
    /// `file:///DIRECTORY`.
    File,
    /// `memory://NAME/PREFIX`: objects that live as long as the process, for tests.
    Memory,
}

impl Scheme {
    fn of(url: &Url) -> Option<Scheme> {
        Some(match url.scheme() {
            "s3" | "s3a" => Scheme::S3,
            "gs" => Scheme::Gcs,
            "az" | "azure" | "abfs" | "abfss" => Scheme::Azure,
            "file" => Scheme::File,
            "memory" => Scheme::Memory,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Gcs => "gs",
            Scheme::Azure => "az",
            Scheme::File => "file",
            Scheme::Memory => "memory",
        }
    }
}

/// A store and a prefix in it, parsed from a URL.
///
/// The prefix is taken as it stands, in whole segments; that of `file` is a path, and so is percent-decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    scheme: Scheme,
    bucket: String,
    /// Only Azure, from `CONTAINER@ACCOUNT...`.
    account: Option<String>,
    prefix: Path,
}

impl Location {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// `Invalid`: the URL has another scheme than those of [`Scheme`], no bucket, a user, a password, a query or a
    /// fragment, or a prefix that no object can have. The error shows no more of the URL than its scheme.
    pub fn parse(url: &str) -> Result<Location, Error> {
        let refused = |cause: &str| {
            let scheme = url.split_once("://").map_or("a URL", |(scheme, _)| scheme);
            Error::new(ErrorKind::Invalid, "use", format!("the URL ({scheme})"), cause)
        };
        let parsed = Url::parse(url).map_err(|error| refused(&error.to_string()))?;
        let known = "the scheme is none of s3, gs, az, abfs, file, memory";
        let scheme = Scheme::of(&parsed).ok_or_else(|| refused(known))?;
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(refused(
                "a query (?) or a fragment (#) has no place in the URL of a store",
            ));
        }
        let host = parsed.host_str().unwrap_or_default();
        let user = parsed.username();
        let is_abfs = parsed.scheme().starts_with("abfs");
        if parsed.password().is_some() || !user.is_empty() && !is_abfs {
            return Err(refused("credentials have no place in a URL; set them in the environment"));
        }
        if parsed.port().is_some() {
            return Err(refused("a port has no place in the URL of a store; set the endpoint"));
        }
        let (bucket, account) = match (scheme, user) {
            (Scheme::File, _) => {
                if !matches!(host, "" | "localhost") {
                    return Err(refused(
                        "a directory begins with three slashes: file:///DIRECTORY",
                    ));
                }
                (String::new(), None)
            }
            (_, "") => (host.to_owned(), None),
            (_, container) => {
                let account = host.split('.').next().unwrap_or_default();
                (container.to_owned(), Some(account.to_owned()))
            }
        };
        if scheme != Scheme::File && bucket.is_empty() {
            return Err(refused("the bucket is missing"));
        }
        let invalid = |error: object_store::path::Error| refused(&error.to_string());
        let prefix = match scheme {
            Scheme::File => {
                let path =
                    parsed.to_file_path().map_err(|()| refused("the path is not absolute"))?;
                Path::from_absolute_path(path).map_err(invalid)?
            }
            _ => Path::parse(raw_path(url)).map_err(invalid)?,
        };
        Ok(Location { scheme, bucket, account, prefix })
    }

    /// The kind of the store.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The bucket or container; empty for a directory.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The account of Azure, if the URL names it.
    pub(crate) fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// What all keys begin with, without a slash at either end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.prefix.as_ref()
    }
}

/// The path as it was given: a key is not percent-encoded in the URL of a store, and `Url` would encode it.
fn raw_path(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split_once('/').map_or("", |(_, path)| path)
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(url: &str) -> Result<Location, Error> {
        Location::parse(url)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.scheme.name(), self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_all_stores_are_parsed() {
        let parsed = |url: &str| Location::parse(url).unwrap();
        let shown = |url: &str| parsed(url).to_string();
        assert_eq!(shown("s3://b/p/q/"), "s3://b/p/q");
        assert_eq!(shown("s3a://b"), "s3://b/");
        assert_eq!(shown("gs://b/p%2Fq"), "gs://b/p%2Fq");
        assert_eq!(shown("file:///tmp/a%20b"), "file:///tmp/a b");
        assert_eq!(shown("az://c/p"), "az://c/p");
        let abfs = parsed("abfss://c@acc.dfs.core.windows.net/p");
        assert_eq!((abfs.bucket(), abfs.account(), abfs.prefix()), ("c", Some("acc"), "p"));
        assert_eq!(parsed("s3://b/x").scheme(), Scheme::S3);
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for url in [
            "s3://KEY:SECRET@b/p",
            "s3://SECRET@b/p",
            "az://c/p?sig=SECRET",
            "gs://b/p#SECRET",
            "https://SECRET.example/b",
            "abfss://c:SECRET@acc.dfs.core.windows.net/p",
            "s3:///SECRET",
            "s3://b/a/../SECRET",
            "file://host/SECRET",
        ] {
            let error = Location::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            let shown = format!("{error} {error:?}");
            // The name of a segment that no key can have is no secret.
            assert!(!shown.contains("SECRET") || url.contains(".."), "{url}: {shown}");
        }
    }
}
