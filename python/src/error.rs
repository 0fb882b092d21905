//! Errors of the core library as exceptions of `pyasynclogger`.

use asynclogger::{Error, ErrorKind};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyDict};

/// The reason why a call of this module fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A file or a directory cannot be read.
    Read(Error),
    /// The directory has no log, or none of the event.
    NoLog(String),
    /// The call contradicts an earlier one, or its arguments each other.
    Usage(String),
    /// Everything was read, and `strict` was asked for, and records are missing.
    Damaged(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Read(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Read(error) => write!(f, "{error:#}"),
            Failure::NoLog(text) | Failure::Usage(text) | Failure::Damaged(text) => {
                f.write_str(text)
            }
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        Python::attach(|py| exception(py, &failure).unwrap_or_else(|error| error))
    }
}

fn exception(py: Python<'_>, failure: &Failure) -> PyResult<PyErr> {
    let class = match failure {
        Failure::Usage(text) => return Ok(PyValueError::new_err(text.clone())),
        Failure::NoLog(_) => "NotALogError",
        Failure::Damaged(_) => "DamageError",
        Failure::Read(error) => match error.kind() {
            ErrorKind::NotALog | ErrorKind::NotAFile => "NotALogError",
            ErrorKind::UnsupportedVersion => "UnsupportedVersionError",
            ErrorKind::Io => "ReadError",
            _ => "Error",
        },
    };
    let fields = PyDict::new(py);
    if let Failure::Read(error) = failure {
        fields.set_item("path", error.path())?;
        fields.set_item("offset", error.offset())?;
        if let Some(code) = error.io_error().and_then(std::io::Error::raw_os_error) {
            fields.set_item("errno", code)?;
        }
    }
    let class = py.import("pyasynclogger._errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((failure.to_string(),), Some(&fields))?))
}
