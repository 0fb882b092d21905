//! The reader that Python has.

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use asynclogger::read::ReadOptions;
use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};

use crate::{
    batches::Batches,
    chunk::Chunk,
    error::Failure,
    part::Part,
    plan::{Stretch, parts_of},
    sources::{Sources, find},
    times::from_ns,
    walk::Walk,
};

/// Locks, whatever a panic under the lock has left: every state of these values is one that can be gone on with.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The settings by which records are chosen.
pub(crate) fn options(since: Option<i64>, until: Option<i64>) -> ReadOptions {
    let options = ReadOptions::new();
    let options = since.map_or(options, |since| options.since(from_ns(since)));
    until.map_or(options, |until| options.until(from_ns(until)))
}

/// How a reader is used: a record is delivered once, so one reader serves one way.
const FRESH: u8 = 0;
const RECORDS: u8 = 1;
const BATCHES: u8 = 2;
const CLOSED: u8 = 3;

/// Reads logs: iterate over it for records, or take Arrow batches from it.
#[pyclass(module = "pyasynclogger", frozen)]
#[derive(Debug)]
pub(crate) struct Reader {
    walk: Arc<Mutex<Walk>>,
    /// Never waited for with the lock of the interpreter by a holder that waits for that lock: no Python object is made
    /// or dropped while this is locked.
    cursor: Mutex<Cursor>,
    events: Vec<String>,
    is_strict: bool,
    way: AtomicU8,
}

/// The chunk that is being handed out.
#[derive(Debug, Default)]
struct Cursor {
    chunk: Arc<Chunk>,
    next: usize,
}

impl Cursor {
    fn take(&mut self) -> Option<(Arc<Chunk>, usize)> {
        let index = self.next;
        (index < self.chunk.len()).then(|| {
            self.next += 1;
            (Arc::clone(&self.chunk), index)
        })
    }
}

/// Opens what is at `paths`.
#[pyfunction]
#[pyo3(signature = (paths, *, event, since, until, by_time, strict))]
pub(crate) fn open(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    event: Option<OsString>,
    since: Option<i64>,
    until: Option<i64>,
    by_time: bool,
    strict: bool,
) -> PyResult<Reader> {
    let reader = py.detach(|| -> Result<Reader, Failure> {
        let sources = find(&paths, event.as_deref(), options(since, until))?;
        let Sources { logs, unreadable } = sources;
        let parts: Vec<Part> = logs.into_iter().map(|log| Part::new(log, None)).collect();
        let events = parts.iter().map(|part| part.names.event.clone()).collect();
        let walk = match by_time {
            true => Walk::by_time(parts.into_iter().map(|part| part.log).collect(), unreadable),
            false => Walk::as_written(parts, unreadable),
        };
        Ok(Reader::new(walk, events, strict))
    })?;
    Ok(reader)
}

/// Opens stretches of blocks, as a plan has made them.
#[pyfunction]
pub(crate) fn open_parts(
    py: Python<'_>,
    stretches: Vec<Stretch>,
    since: Option<i64>,
    until: Option<i64>,
    strict: bool,
) -> PyResult<Reader> {
    let reader = py.detach(|| -> Result<Reader, Failure> {
        let parts = parts_of(&stretches, options(since, until))?;
        let events = parts.iter().map(|part| part.names.event.clone()).collect();
        Ok(Reader::new(Walk::as_written(parts, Vec::new()), events, strict))
    })?;
    Ok(reader)
}

impl Reader {
    fn new(walk: Walk, events: Vec<String>, is_strict: bool) -> Reader {
        Reader {
            walk: Arc::new(Mutex::new(walk)),
            cursor: Mutex::default(),
            events,
            is_strict,
            way: AtomicU8::new(FRESH),
        }
    }

    /// Chooses the way in which this reader is used; an error if it is used in another one.
    fn choose(&self, way: u8) -> Result<(), Failure> {
        let swapped = self.way.compare_exchange(FRESH, way, Ordering::Relaxed, Ordering::Relaxed);
        let text = match swapped {
            Ok(_) => return Ok(()),
            Err(RECORDS) if way == RECORDS => return Ok(()),
            Err(RECORDS) => "this reader is being iterated over; open another one for batches",
            Err(BATCHES) => "the batches of this reader were taken; open another one",
            Err(_) => "this reader is closed",
        };
        Err(Failure::Usage(text.into()))
    }

    /// Reads the next chunk; `false` at the end.
    fn read(&self) -> Result<bool, Failure> {
        let mut walk = lock(&self.walk);
        let mut chunk = {
            let mut cursor = lock(&self.cursor);
            if cursor.next < cursor.chunk.len() {
                // Another thread has read meanwhile.
                return Ok(true);
            }
            cursor.next = 0;
            std::mem::take(&mut cursor.chunk)
        };
        // The memory is used again, unless another thread still makes an object of the last record.
        let taken = match Arc::get_mut(&mut chunk) {
            Some(own) => std::mem::take(own),
            None => Chunk::default(),
        };
        let mut fresh = taken;
        fresh.clear();
        let is_more = walk.fill(&mut fresh);
        let has_records = fresh.len() > 0;
        lock(&self.cursor).chunk = Arc::new(fresh);
        let is_more = is_more?;
        if !is_more && !has_records && self.is_strict {
            fail_if_damaged(&walk)?;
        }
        Ok(is_more || has_records)
    }
}

/// With `strict`, at the end.
pub(crate) fn fail_if_damaged(walk: &Walk) -> Result<(), Failure> {
    walk.report().fault().map_or(Ok(()), |text| Err(Failure::Damaged(text)))
}

#[pymethods]
impl Reader {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.choose(RECORDS)?;
        loop {
            let taken = lock(&self.cursor).take();
            if let Some((chunk, index)) = taken {
                return chunk.record(py, index);
            }
            let is_more = py.detach(|| self.read())?;
            py.check_signals()?;
            if !is_more {
                return Ok(None);
            }
        }
    }

    /// The names of the logs that are read.
    #[getter]
    fn events(&self) -> Vec<String> {
        self.events.clone()
    }

    /// The records as a stream of Arrow batches.
    #[pyo3(signature = (batch_size = 65536))]
    fn to_batches(&self, batch_size: usize) -> PyResult<Batches> {
        if batch_size == 0 {
            return Err(Failure::Usage("batch_size is at least 1".into()).into());
        }
        self.choose(BATCHES)?;
        Ok(Batches::new(Arc::clone(&self.walk), batch_size, self.is_strict))
    }

    /// All records as a table of pyarrow.
    #[pyo3(signature = (batch_size = 65536))]
    fn to_arrow<'py>(&self, py: Python<'py>, batch_size: usize) -> PyResult<Bound<'py, PyAny>> {
        let tables = py.import("pyasynclogger._arrow")?;
        // Without pyarrow, the reader can still be used in another way.
        tables.call_method0("pyarrow")?;
        let batches = Bound::new(py, self.to_batches(batch_size)?)?;
        let table = tables.call_method1("table_of", (&batches,));
        match batches.get().failure() {
            Some(failure) => Err(failure.into()),
            None => table,
        }
    }

    /// The report on what was read so far.
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        py.detach(|| lock(&self.walk).report()).to_dict(py)
    }

    /// Closes all files.
    fn close(&self, py: Python<'_>) {
        self.way.store(CLOSED, Ordering::Relaxed);
        py.detach(|| lock(&self.walk).close());
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) {
        self.close(py);
    }
}
