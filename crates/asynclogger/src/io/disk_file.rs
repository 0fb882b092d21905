//! A file on a disk: written by the ring while the ring works, by `pwritev2` otherwise, with the same bytes.

use std::{collections::VecDeque, fs::File, io, os::fd::AsFd};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

use super::{
    BlockFile, Completion, Driver, FileState, Operation,
    pwrite::{self, Form},
    uring::RingFile,
    write_mark::WriteMark,
};
use crate::{EngineKind, IoMode, sync::Arc};

/// Refusals in a row after which the ring is no longer used.
const STRIKES: u32 = 3;

/// An open file, and the way to write it.
pub(super) struct DiskFile {
    ring: Option<RingFile>,
    _mark: WriteMark,
    /// Shared with the ring, which keeps the file open while operations on it are in flight.
    file: Arc<File>,
    form: Form,
    mode: IoMode,
    /// Whether new operations go to the ring.
    rides: bool,
    strikes: u32,
    /// Operations completed without the ring.
    done: VecDeque<Completion>,
}

impl DiskFile {
    pub(super) fn new(file: File, form: Form, mode: IoMode, driver: &Driver) -> DiskFile {
        let file = Arc::new(file);
        let ring = driver.ring().map(|ring| RingFile::new(ring, &file, form));
        let (rides, mark) = (ring.is_some(), WriteMark::put(&file));
        DiskFile { ring, _mark: mark, file, form, mode, rides, strikes: 0, done: VecDeque::new() }
    }

    fn perform(&self, operation: &Operation) -> io::Result<()> {
        pwrite::perform(&self.file, self.form, operation)
    }

    /// Judges the ring's answer. An error of the ring, not of the file, is replaced by the answer of the plain call.
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
        set_direct(&*self.file, false)?;
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

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        pwrite::set_mode(&self.file, mode)
    }
}

pub(super) fn set_direct(file: &impl AsFd, on: bool) -> Result<(), Errno> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, on);
    fcntl_setfl(file, flags)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::{
        Engine,
        io::Alarm,
        mem::{Arena, PiecedBytes, Run, StableBytes},
        sync::Arc,
    };

    /// Both engines write more pieces than one call takes.
    #[test]
    fn bytes_in_many_pieces_are_written_in_their_order() {
        const PIECES: usize = 2 * pwrite::MAX_PIECES + 300;
        for engine in [Engine::Auto, Engine::Pwrite] {
            let arena = Arena::new((PIECES + 2) * 4096, 4096).expect("an arena");
            let (mut front, mut body) = (Run::default(), Run::default());
            for number in 0..PIECES + 2 {
                let mut piece = arena.take().expect("a piece");
                piece.chunks_exact_mut(8).enumerate().for_each(|(at, word)| {
                    word.copy_from_slice(&((number * 512 + at) as u64).to_le_bytes());
                });
                if number < 2 { front.push(piece) } else { body.push(piece) }
            }
            let mut bytes = PiecedBytes::new(front, body, ());
            bytes.set_range(4096, 4096, PIECES * 4096);
            let bytes: Arc<dyn StableBytes> = Arc::new(bytes);
            let alarm = Alarm::new().expect("an alarm");
            let driver = Driver::new(engine, &alarm).expect("an engine");
            let file = tempfile::tempfile().expect("a file");
            let form = Form { align: 4096, synced: false };
            let copy = file.try_clone().expect("the file");
            let mut disk_file = DiskFile::new(file, form, IoMode::Buffered, &driver);
            disk_file.submit(9, Operation::Write { bytes: bytes.clone(), offset: 8192 });
            let Completion { tag, result } = loop {
                match disk_file.reap() {
                    Some(completion) => break completion,
                    None => alarm.sleep(None),
                }
            };
            result.expect("written");
            assert_eq!(tag, 9);
            let expected = bytes.to_vec();
            assert_eq!(expected.len(), PIECES * 4096);
            let mut found = vec![0; expected.len()];
            copy.read_exact_at(&mut found, 8192).expect("the file");
            assert!(found == expected, "{engine:?}");
            assert_eq!(copy.metadata().expect("metadata").len(), 8192 + found.len() as u64);
        }
    }

    /// A file that the ring wrote the last time, by the way in which it is written now.
    fn judged(answers: &[Errno], operation: &Operation) -> (EngineKind, Vec<bool>) {
        let alarm = Alarm::new().expect("an alarm");
        let driver = Driver::new(Engine::Auto, &alarm).expect("an engine");
        let file = tempfile::tempfile().expect("a file");
        let form = Form { align: 4096, synced: false };
        let mut file = DiskFile::new(file, form, IoMode::Buffered, &driver);
        file.rides = true;
        let judge = |errno: &Errno| file.judge(Err((*errno).into()), operation).is_ok();
        let is_done = answers.iter().map(judge).collect();
        (file.engine(), is_done)
    }

    /// An answer of the ring is not the answer of the file, and the other way round: a file system without
    /// reservations must not cost the log its ring, and a full disk is not tried again by another call.
    #[test]
    fn only_errors_of_the_ring_end_its_use() {
        const RING: EngineKind = EngineKind::IoUring;
        const CALLS: EngineKind = EngineKind::Pwritev2;
        let reserve = Operation::Reserve { offset: 0, len: 4096 };
        let refusals = [Errno::NOSYS, Errno::PERM, Errno::OPNOTSUPP, Errno::INVAL, Errno::BADF];
        for refusal in refusals {
            assert_eq!(judged(&[refusal], &Operation::Barrier), (CALLS, vec![true]), "{refusal}");
            assert_eq!(judged(&[refusal], &reserve), (RING, vec![false]), "{refusal}");
        }
        for busy in [Errno::AGAIN, Errno::NOMEM, Errno::NOBUFS, Errno::BUSY, Errno::CANCELED] {
            for operation in [&Operation::Barrier, &reserve] {
                assert_eq!(judged(&[busy; 2], operation), (RING, vec![true; 2]), "{busy}");
                assert_eq!(judged(&[busy; 3], operation), (CALLS, vec![true; 3]), "{busy}");
            }
        }
        for error in [Errno::NOSPC, Errno::IO] {
            assert_eq!(judged(&[error; 4], &Operation::Barrier), (RING, vec![false; 4]), "{error}");
        }
    }

    #[test]
    fn a_file_is_asked_itself() {
        let alarm = Alarm::new().expect("an alarm");
        let driver = Driver::new(Engine::Pwrite, &alarm).expect("an engine");
        let form = Form { align: 4096, synced: false };
        let disk_file = |file| DiskFile::new(file, form, IoMode::Buffered, &driver);
        let mut regular = disk_file(tempfile::tempfile().expect("a file"));
        assert!(regular.sync_now().is_ok() && regular.room().is_some_and(|bytes| bytes > 0));
        // Nothing can make a pipe durable.
        let (_reader, writer) = io::pipe().expect("a pipe");
        let mut pipe = disk_file(File::from(std::os::fd::OwnedFd::from(writer)));
        let errno = pipe.sync_now().map_err(|error| Errno::from_io_error(&error));
        assert_eq!(errno, Err(Some(Errno::INVAL)));
    }
}
