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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_file_refuses_all_but_a_sync_and_knows_how_it_was_written() {
        let mut file = ClosedFile::new(IoMode::Direct, EngineKind::IoUring);
        assert_eq!((file.mode(), file.engine()), (IoMode::Direct, EngineKind::IoUring));
        let file_again = ClosedFile::new(IoMode::Buffered, EngineKind::Pwritev2);
        let told = (file_again.mode(), file_again.engine());
        assert_eq!(told, (IoMode::Buffered, EngineKind::Pwritev2));
        let refused = |answer: io::Result<()>| {
            let errno = answer.map_err(|error| Errno::from_io_error(&error));
            assert_eq!(errno, Err(Some(Errno::BADF)));
        };
        refused(file.write_now(&[1], 0));
        refused(file.reserve_now(0, 4096));
        refused(file.trim());
        refused(file.leave_direct());
        refused(file.state().map(drop));
        refused(file.set_mode(0o600));
        assert!(file.sync_now().is_ok() && file.room().is_none() && file.reap().is_none());
        for tag in [7, 3] {
            file.submit(tag, Operation::Barrier);
        }
        for tag in [7, 3] {
            let completion = file.reap().expect("a completion");
            assert_eq!(completion.tag, tag);
            refused(completion.result);
        }
        assert!(file.reap().is_none());
    }
}
