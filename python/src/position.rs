//! The place of a record in its log.

use pyo3::prelude::*;

/// The place of a record in its log: session, shard, and the number of the record in its shard.
#[pyclass(module = "pyasynclogger", frozen, eq, ord, hash, get_all)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    /// The random id of the session, that is, of the run of the logger.
    session: u64,
    /// The shard that took the record.
    shard: u32,
    /// The number of the record in its shard and session, from 0.
    number: u64,
}

#[pymethods]
impl Position {
    #[new]
    fn new(session: u64, shard: u32, number: u64) -> Position {
        Position { session, shard, number }
    }

    fn __getnewargs__(&self) -> (u64, u32, u64) {
        (self.session, self.shard, self.number)
    }

    fn __repr__(&self) -> String {
        let Position { session, shard, number } = self;
        format!("Position(session={session}, shard={shard}, number={number})")
    }
}

impl From<asynclogger::Position> for Position {
    fn from(position: asynclogger::Position) -> Position {
        Position {
            session: position.session(),
            shard: position.shard(),
            number: position.number(),
        }
    }
}
