//! A file on a disk: by the ring as long as that works, by `pwritev2` otherwise, with the same bytes.

use std::{collections::VecDeque, fs::File, io, os::fd::AsFd};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

use super::{
    BlockFile, Completion, Driver, FileState, Operation,
    pwrite::{self, Form},
    uring::RingFile,
};
use crate::{EngineKind, IoMode};

/// Operations in a row that the ring may refuse before it is given up.
const STRIKES: u32 = 3;

/// A file and how it is written.
pub(super) struct DiskFile {
    /// Before the file, which has to outlive it.
    ring: Option<RingFile>,
    file: File,
    form: Form,
    mode: IoMode,
    /// Whether new operations go to the ring.
    rides: bool,
    strikes: u32,
    /// Done without the ring.
    done: VecDeque<Completion>,
}

impl DiskFile {
    pub(super) fn new(file: File, form: Form, mode: IoMode, driver: &Driver) -> DiskFile {
        let ring = driver.ring().map(|ring| RingFile::new(ring, &file, form));
        let rides = ring.is_some();
        DiskFile { ring, file, form, mode, rides, strikes: 0, done: VecDeque::new() }
    }

    fn perform(&self, operation: &Operation) -> io::Result<()> {
        pwrite::perform(&self.file, self.form, operation)
    }

    /// What to make of the ring's answer. One that is about the ring and not about the file is replaced
    /// by that of the plain call.
    fn judge(&mut self, result: io::Result<()>, operation: &Operation) -> io::Result<()> {
        let Err(error) = result else {
            self.strikes = 0;
            return Ok(());
        };
        match Errno::from_io_error(&error) {
            Some(Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP | Errno::INVAL | Errno::BADF)
                if !matches!(operation, Operation::Reserve { .. }) =>
            {
                self.rides = false;
            }
            Some(Errno::AGAIN | Errno::NOMEM | Errno::NOBUFS | Errno::BUSY | Errno::CANCELED) => {
                self.strikes += 1;
                self.rides &= self.strikes < STRIKES;
            }
            _ => return Err(error),
        }
        self.perform(operation)
    }
}

impl BlockFile for DiskFile {
    fn submit(&mut self, tag: u64, operation: Operation) {
        let operation = match self.ring.as_mut().filter(|_| self.rides) {
            None => operation,
            Some(ring) => match ring.submit(tag, operation) {
                Ok(()) => return,
                Err(operation) => {
                    self.rides = false;
                    operation
                }
            },
        };
        let result = self.perform(&operation);
        self.done.push_back(Completion { tag, result });
    }

    fn reap(&mut self) -> Option<Completion> {
        if let Some(completion) = self.done.pop_front() {
            return Some(completion);
        }
        let (Completion { tag, result }, operation) = self.ring.as_mut()?.reap()?;
        let result = self.judge(result, &operation);
        Some(Completion { tag, result })
    }

    fn write_now(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        pwrite::write_all(&self.file, self.form, bytes, offset)
    }

    fn reserve_now(&mut self, offset: u64, len: u64) -> io::Result<()> {
        pwrite::reserve(&self.file, offset, len)
    }

    fn sync_now(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn trim(&mut self) -> io::Result<()> {
        pwrite::trim(&self.file)
    }

    fn leave_direct(&mut self) -> io::Result<()> {
        if self.mode != IoMode::Direct {
            return Err(Errno::INVAL.into());
        }
        set_direct(&self.file, false)?;
        self.mode = IoMode::Buffered;
        Ok(())
    }

    fn mode(&self) -> IoMode {
        self.mode
    }

    fn engine(&self) -> EngineKind {
        if self.rides { EngineKind::IoUring } else { EngineKind::Pwritev2 }
    }

    fn room(&self) -> Option<u64> {
        pwrite::room(&self.file)
    }

    fn state(&self) -> io::Result<FileState> {
        pwrite::state(&self.file)
    }
}

pub(super) fn set_direct(file: &impl AsFd, on: bool) -> Result<(), Errno> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, on);
    fcntl_setfl(file, flags)
}
