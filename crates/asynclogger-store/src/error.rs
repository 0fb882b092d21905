//! One opaque error: the failed operation, the key, and the cause without anything secret.

use std::{error, fmt, io};

use object_store::client::HttpError;

/// The kinds of [`Error`], by what a caller does about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URL, the key or the environment makes no sense; to try again is of no use.
    Invalid,
    /// There is no such object, or no such bucket.
    NotFound,
    /// The store refuses the credentials, or what they ask for (401, 403).
    Denied,
    /// The object exists already, or is another than before (409, 412).
    Conflict,
    /// The store cannot be reached, is overloaded or has an error of its own (timeouts, 429, 5xx, a cut answer).
    Unavailable,
    /// Something else; the text tells more.
    Other,
}

/// An error of a store: what was being done to which object, and the cause.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    doing: &'static str,
    place: String,
    cause: String,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        doing: &'static str,
        place: impl Into<String>,
        cause: impl Into<String>,
    ) -> Error {
        Error(Box::new(Inner { kind, doing, place: place.into(), cause: cause.into() }))
    }

    pub(crate) fn of(
        doing: &'static str,
        place: impl Into<String>,
        cause: &object_store::Error,
    ) -> Error {
        let shown = cause.to_string();
        Error::new(kind_of(cause, &shown), doing, place, without_secrets(&shown))
    }

    /// What a caller can do about the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { doing, place, cause, .. } = &*self.0;
        write!(f, "cannot {doing} {place}: {cause}")
    }
}

impl error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match error.kind() {
            ErrorKind::Invalid => io::ErrorKind::InvalidInput,
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::Denied => io::ErrorKind::PermissionDenied,
            // What was read before and what would be read now are not one object.
            ErrorKind::Conflict => io::ErrorKind::InvalidData,
            ErrorKind::Unavailable => io::ErrorKind::TimedOut,
            ErrorKind::Other => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

fn kind_of(cause: &object_store::Error, shown: &str) -> ErrorKind {
    use object_store::Error as E;
    match cause {
        E::NotFound { .. } => ErrorKind::NotFound,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => ErrorKind::Denied,
        E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => {
            ErrorKind::Conflict
        }
        E::InvalidPath { .. }
        | E::NotSupported { .. }
        | E::NotImplemented { .. }
        | E::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
        E::Generic { source, .. } => kind_of_source(source.as_ref(), shown),
        _ => ErrorKind::Other,
    }
}

fn kind_of_source(source: &(dyn error::Error + 'static), shown: &str) -> ErrorKind {
    let mut next = Some(source);
    while let Some(error) = next {
        if error.is::<HttpError>() {
            return ErrorKind::Unavailable;
        }
        let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        if error.downcast_ref::<io::Error>().is_some_and(denied) {
            return ErrorKind::Denied;
        }
        next = error.source();
    }
    // The status is in no public type; these are the words of `object_store` before the status.
    let status = shown.split_once("status code: ").map_or("", |(_, status)| status);
    // An answer of 200 can have an error of the server in its body.
    let late = shown.contains("error response: ");
    match late || status.starts_with('5') || status.starts_with("429") || status.starts_with("408")
    {
        true => ErrorKind::Unavailable,
        false => ErrorKind::Other,
    }
}

/// The text of a cause without the queries of URLs (signatures), and of an answer in XML no more than its code: the
/// whole of it repeats the request, with the key id.
fn without_secrets(text: &str) -> String {
    let code = between(text, "<Code>", "</Code>").map(|code| format!("({code})"));
    let head = text.split('<').next().unwrap_or_default();
    let words = head.split_whitespace().map(without_query);
    words.chain(code.as_deref()).collect::<Vec<_>>().join(" ")
}

fn without_query(word: &str) -> &str {
    match word.contains("://") {
        true => word.split('?').next().unwrap_or_default(),
        false => word,
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    text.split_once(from)?.1.split_once(to).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_urls_and_answers_are_left_out() {
        let text = "Error performing GET https://a.example/c/k?sv=1&sig=SECRET in 3ms - Server returned non-2xx status \
                    code: 403 Forbidden: <?xml?><Error><Code>SignatureDoesNotMatch</Code>\
                    <AWSAccessKeyId>AKIASECRET</AWSAccessKeyId></Error>";
        let shown = without_secrets(text);
        assert!(!shown.contains("SECRET"), "{shown}");
        assert!(shown.contains("https://a.example/c/k in"), "{shown}");
        assert!(shown.ends_with("Forbidden: (SignatureDoesNotMatch)"), "{shown}");
    }

    #[test]
    fn statuses_of_servers_are_told_from_those_of_clients() {
        let of = |status: &str| {
            let shown = format!("Server returned non-2xx status code: {status}: ");
            let source: Box<dyn error::Error + Send + Sync> = shown.clone().into();
            kind_of(&object_store::Error::Generic { store: "S3", source }, &shown)
        };
        assert_eq!(of("503 Service Unavailable"), ErrorKind::Unavailable);
        assert_eq!(of("429 Too Many Requests"), ErrorKind::Unavailable);
        assert_eq!(of("400 Bad Request"), ErrorKind::Other);
    }
}
