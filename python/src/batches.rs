//! Records as a stream of Arrow batches, by the C data interface.

use std::sync::{Arc, Mutex};

use arrow_array::{RecordBatch, RecordBatchReader, ffi_stream::FFI_ArrowArrayStream};
use arrow_schema::{ArrowError, SchemaRef, ffi::FFI_ArrowSchema};
use pyo3::{
    prelude::*,
    types::{PyCapsule, PyIterator},
};

use crate::{
    error::Failure,
    reader::{fail_if_damaged, lock},
    rows::{Rows, schema},
    walk::Walk,
};

/// A stream of Arrow batches, which is read once. Whatever takes `__arrow_c_stream__` takes it: pyarrow, polars, duckdb.
#[pyclass(module = "pyasynclogger", frozen)]
#[derive(Debug)]
pub(crate) struct Batches {
    stream: Mutex<Option<Stream>>,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Batches {
    pub(crate) fn new(walk: Arc<Mutex<Walk>>, batch_size: usize, is_strict: bool) -> Batches {
        let failure = Arc::default();
        let stream = Stream {
            walk,
            rows: Rows::new(batch_size),
            is_strict,
            is_over: false,
            failure: Arc::clone(&failure),
        };
        Batches { stream: Mutex::new(Some(stream)), failure }
    }

    /// The failure that has ended the stream. A consumer shows its text only, in an exception of its own.
    pub(crate) fn failure(&self) -> Option<Failure> {
        lock(&self.failure).take()
    }
}

#[pymethods]
impl Batches {
    /// The stream, for one consumer. Another schema than that of the logs cannot be requested.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let stream = lock(&self.stream).take();
        let Some(stream) = stream else {
            return Err(Failure::Usage("these batches were taken already".into()).into());
        };
        let stream = FFI_ArrowArrayStream::new(Box::new(stream));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    /// The schema of the batches.
    #[staticmethod]
    fn __arrow_c_schema__(py: Python<'_>) -> PyResult<Bound<'_, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(schema().as_ref())
            .map_err(|error| Failure::Usage(error.to_string()))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// The batches, as those of pyarrow.
    fn __iter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyIterator>> {
        let py = slf.py();
        let readers = py.import("pyasynclogger._arrow")?;
        readers.call_method1("reader_of", (slf,))?.try_iter()
    }
}

/// Reads while a consumer asks for batches, on its thread, with or without the interpreter's lock.
#[derive(Debug)]
struct Stream {
    walk: Arc<Mutex<Walk>>,
    rows: Rows,
    is_strict: bool,
    is_over: bool,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Stream {
    fn fail(&mut self, failure: Failure) -> ArrowError {
        (self.is_over, self.is_strict) = (true, false);
        let text = failure.to_string();
        *lock(&self.failure) = Some(failure);
        ArrowError::ExternalError(text.into())
    }
}

impl Iterator for Stream {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.rows.take() {
                return Some(batch);
            }
            if self.is_over {
                let strict = std::mem::take(&mut self.is_strict);
                let checked = if strict { fail_if_damaged(&lock(&self.walk)) } else { Ok(()) };
                return checked.err().map(|failure| Err(self.fail(failure)));
            }
            let filled = lock(&self.walk).fill(&mut self.rows);
            match filled {
                Ok(true) => {}
                Ok(false) => {
                    self.is_over = true;
                    self.rows.end_batch();
                }
                Err(failure) => return Some(Err(self.fail(failure))),
            }
        }
    }
}

impl RecordBatchReader for Stream {
    fn schema(&self) -> SchemaRef {
        schema()
    }
}
