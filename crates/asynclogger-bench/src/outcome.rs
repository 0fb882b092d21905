//! Errors of a measurement: text is enough, a person reads them.

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
