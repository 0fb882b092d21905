//! The stand-in for a file that was closed to save its descriptor. The stand-in remembers how the file was written.

use std::{collections::VecDeque, io};

use rustix::io::Errno;

use super::{BlockFile, Completion, FileState, Operation};
use crate::{EngineKind, IoMode};

/// A file without a descriptor. Every operation but a sync fails with `EBADF`: the writer opens the file again before
/// writing.
pub(crate) struct ClosedFile {
    mode: IoMode,
    engine: EngineKind,
    done: VecDeque<u64>,
}

impl ClosedFile {
    pub(crate) fn new(mode: IoMode, engine: EngineKind) -> ClosedFile {
        ClosedFile { mode, engine, done: VecDeque::new() }
    }
}

fn closed<T>() -> io::Result<T> {
    Err(Errno::BADF.into())
}

impl BlockFile for ClosedFile {
    fn submit(&mut self, tag: u64, _operation: Operation) {
        self.done.push_back(tag);
    }

    fn reap(&mut self) -> Option<Completion> {
        self.done.pop_front().map(|tag| Completion { tag, result: closed() })
    }

    fn write_now(&mut self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        closed()
    }

    fn reserve_now(&mut self, _offset: u64, _len: u64) -> io::Result<()> {
        closed()
    }

    /// Succeeds: a file is closed only after its bytes are as durable as the log's durability demands.
    fn sync_now(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn trim(&mut self) -> io::Result<()> {
        closed()
    }

    fn leave_direct(&mut self) -> io::Result<()> {
        closed()
    }

    fn mode(&self) -> IoMode {
        self.mode
    }

    fn engine(&self) -> EngineKind {
        self.engine
    }

    fn room(&self) -> Option<u64> {
        None
    }

    fn state(&self) -> io::Result<FileState> {
        closed()
    }

    fn set_mode(&self, _mode: u32) -> io::Result<()> {
        closed()
    }
}
