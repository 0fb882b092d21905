//! What stands for a file that was closed to save its descriptor: it remembers how it was written.

use std::{collections::VecDeque, io};

use rustix::io::Errno;

use super::{BlockFile, Completion, FileState, Operation};
use crate::{EngineKind, IoMode};

/// A file without a descriptor. What is asked of it fails with `EBADF`: whoever writes has it opened again
/// before.
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

    /// Nothing is closed before it is as safe as it has to be.
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
