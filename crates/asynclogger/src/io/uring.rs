//! The engine io_uring: several operations in flight, on files that the ring knows by number.
//!
//! One ring for all files of a flusher. Operations are done by the kernel's own threads (`IOSQE_ASYNC`): a
//! write that makes a file longer would be tried in vain on ours first, and a device that hangs must not
//! hang the flusher with it. Completions ring the flusher's alarm.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
};

use io_uring::{IoUring, Probe, opcode, squeue, types};
use rustix::io::Errno;

use super::{
    Alarm, Completion, Operation,
    pwrite::{Form, MAX_PIECES, go_on},
};
use crate::{
    Error, ErrorKind,
    sync::{Arc, Mutex, lock},
};

/// Of the submission queue. Each operation is submitted at once, so this bounds nothing.
const ENTRIES: u32 = 64;
/// Files that the ring knows by number; more are named by descriptor.
const FILES: u32 = 64;

/// Of the completion queue: many files may each have some in flight.
const COMPLETIONS: u32 = 1024;
/// Threads of the kernel that write files for us.
const WORKERS: u32 = 32;

/// The ring of one flusher.
pub(super) struct Ring(Mutex<State>);

struct State {
    uring: IoUring,
    /// By `user_data`: what is in flight.
    flights: Vec<Option<Flight>>,
    /// What has completed and was not reaped, by file.
    done: BTreeMap<u32, VecDeque<(Completion, Operation)>>,
    next_key: u32,
    /// Numbers of the ring's table of files that are free; empty if it has none.
    numbers: Vec<u32>,
    /// It was refused to enter the ring: never tried again, so what is still queued stays there.
    broken: bool,
}

/// One operation in flight. It keeps the memory that the kernel reads.
struct Flight {
    key: u32,
    target: Target,
    form: Form,
    tag: u64,
    operation: Operation,
    /// Bytes of a write that are done.
    done: usize,
    /// The rest of a write that is in several pieces.
    pieces: Pieces,
}

/// Where pieces are, as the kernel wants to be told.
#[derive(Default)]
struct Pieces(Vec<libc::iovec>);

// SAFETY: addresses within the memory of the flight's operation, which may be sent; the kernel alone follows
// them.
unsafe impl Send for Pieces {}

#[derive(Clone, Copy)]
enum Target {
    Number(u32),
    Descriptor(i32),
}

impl Ring {
    /// # Errors
    /// [`ErrorKind::Engine`] if the system refuses it, or it lacks an operation that we need.
    pub(super) fn new(alarm: &Alarm) -> Result<Ring, Error> {
        let refused = |error: io::Error| {
            Error::with_source(ErrorKind::Engine, "io_uring is not to be had here", error)
        };
        // Not shared with forked children.
        let uring = IoUring::builder()
            .dontfork()
            .setup_clamp()
            .setup_cqsize(COMPLETIONS)
            .build(ENTRIES)
            .map_err(refused)?;
        let submitter = uring.submitter();
        let mut probe = Probe::new();
        submitter.register_probe(&mut probe).map_err(refused)?;
        let needed = [
            opcode::Write::CODE,
            opcode::Writev::CODE,
            opcode::Fsync::CODE,
            opcode::Fallocate::CODE,
        ];
        if !needed.iter().all(|code| probe.is_supported(*code)) {
            return Err(refused(Errno::NOSYS.into()));
        }
        submitter.register_eventfd(alarm.as_fd().as_raw_fd()).map_err(refused)?;
        // Operations that go to the kernel's threads at once count as those on files without an end, for which
        // it would make as many as there are operations. An improvement, not a need: since Linux 5.15.
        let _ = submitter.register_iowq_max_workers(&mut [WORKERS, WORKERS]);
        // An improvement, not a need: since Linux 5.19.
        let numbered = submitter.register_files_sparse(FILES).is_ok();
        let numbers = if numbered { (0..FILES).rev().collect() } else { Vec::new() };
        Ok(Ring(Mutex::new(State {
            uring,
            flights: Vec::new(),
            done: BTreeMap::new(),
            next_key: 0,
            numbers,
            broken: false,
        })))
    }
}

impl State {
    /// Puts a flight into its place and submits it; gives it back if that cannot be.
    fn launch(&mut self, mut flight: Flight) -> Result<(), Flight> {
        if self.broken {
            return Err(flight);
        }
        flight.list_pieces();
        let at = match self.flights.iter().position(Option::is_none) {
            Some(at) => at,
            None => {
                self.flights.push(None);
                self.flights.len() - 1
            }
        };
        let entry = flight.entry().user_data(at as u64).flags(squeue::Flags::ASYNC);
        self.flights[at] = Some(flight);
        // SAFETY: the memory of a write, and the list of its pieces, are held by the flight, at the same place
        // and unchanged, until its completion is seen; the file is open, by its number or its descriptor, which its owner keeps.
        let queued = unsafe { self.uring.submission().push(&entry) }.is_ok();
        if queued && self.enter() {
            return Ok(());
        }
        // It was not taken, and the ring is never entered again.
        self.broken = true;
        match self.flights[at].take() {
            Some(flight) => Err(flight),
            None => Ok(()),
        }
    }

    /// Makes the kernel take what is queued.
    fn enter(&mut self) -> bool {
        // Bounded: busy means that completions have to be seen first.
        for _ in 0..1_000 {
            match self.uring.submit() {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if Errno::from_io_error(&error) == Some(Errno::BUSY) => self.collect(),
                Err(_) => return false,
            }
        }
        false
    }

    /// Takes over what has completed.
    fn collect(&mut self) {
        loop {
            let Some(entry) = self.uring.completion().next() else {
                // More than the queue has room for, as many files have: the kernel keeps the rest until it is
                // asked for it, and rings for nothing.
                if self.uring.submission().cq_overflow() && self.uring.submit().is_ok() {
                    continue;
                }
                return;
            };
            let at = usize::try_from(entry.user_data()).unwrap_or(usize::MAX);
            let Some(mut flight) = self.flights.get_mut(at).and_then(Option::take) else {
                continue;
            };
            let result = match flight.outcome(entry.result()) {
                Outcome::Over(result) => result,
                Outcome::GoesOn => match self.launch(flight) {
                    Ok(()) => continue,
                    Err(back) => {
                        flight = back;
                        Err(Errno::CANCELED.into())
                    }
                },
            };
            let Flight { key, tag, operation, .. } = flight;
            // Of a file that is gone nobody waits for it.
            if let Some(done) = self.done.get_mut(&key) {
                done.push_back((Completion { tag, result }, operation));
            }
        }
    }
}

enum Outcome {
    Over(io::Result<()>),
    /// A short write, or one that was interrupted.
    GoesOn,
}

impl Flight {
    fn entry(&self) -> squeue::Entry {
        // The types of both ways to name a file have a trait in common that cannot be named.
        macro_rules! on_target {
            (|$file:ident| $build:expr) => {
                match self.target {
                    Target::Number(number) => {
                        let $file = types::Fixed(number);
                        $build
                    }
                    Target::Descriptor(fd) => {
                        let $file = types::Fd(fd);
                        $build
                    }
                }
            };
        }
        match &self.operation {
            Operation::Write { bytes, offset } => {
                let flags = if self.form.synced { libc::RWF_DSYNC } else { 0 };
                let at = offset + self.done as u64;
                let Pieces(pieces) = &self.pieces;
                if !pieces.is_empty() {
                    let count = pieces.len() as u32;
                    return on_target!(|file| opcode::Writev::new(file, pieces.as_ptr(), count)
                        .offset(at)
                        .rw_flags(flags)
                        .build());
                }
                let rest = bytes.pieces_from(self.done).next().unwrap_or_default();
                // Blocks are at most 1 GiB and their table.
                let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
                on_target!(|file| opcode::Write::new(file, rest.as_ptr(), len)
                    .offset(at)
                    .rw_flags(flags)
                    .build())
            }
            Operation::Barrier => {
                let flags = types::FsyncFlags::DATASYNC;
                on_target!(|file| opcode::Fsync::new(file).flags(flags).build())
            }
            Operation::Reserve { offset, len } => {
                on_target!(|file| opcode::Fallocate::new(file, *len)
                    .offset(*offset)
                    .mode(libc::FALLOC_FL_KEEP_SIZE)
                    .build())
            }
        }
    }

    /// Lists the pieces that are left, if there is more than one. What is beyond one call's reach is written
    /// like the rest of a short write.
    fn list_pieces(&mut self) {
        let Operation::Write { bytes, .. } = &self.operation else {
            return;
        };
        let Pieces(pieces) = &mut self.pieces;
        pieces.clear();
        let rest = bytes.pieces_from(self.done).take(MAX_PIECES);
        pieces.extend(rest.map(|piece| libc::iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        }));
        if pieces.len() == 1 {
            pieces.clear();
        }
    }

    fn outcome(&mut self, result: i32) -> Outcome {
        if result < 0 {
            let errno = Errno::from_raw_os_error(-result);
            return match errno {
                Errno::INTR => Outcome::GoesOn,
                errno => Outcome::Over(Err(errno.into())),
            };
        }
        let Operation::Write { bytes, .. } = &self.operation else {
            return Outcome::Over(Ok(()));
        };
        let len = bytes.len();
        match go_on(self.form.align, len, self.done, result as usize) {
            Ok(done) if done == len => Outcome::Over(Ok(())),
            Ok(done) => {
                self.done = done;
                Outcome::GoesOn
            }
            Err(error) => Outcome::Over(Err(error)),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // What is in flight goes on without the ring, and without us: its memory must never be anything
        // else again.
        self.collect();
        for flight in self.flights.drain(..).flatten() {
            std::mem::forget((flight.operation, flight.pieces));
        }
    }
}

/// A file's side of the ring.
pub(super) struct RingFile {
    ring: Arc<Ring>,
    key: u32,
    target: Target,
    form: Form,
}

impl RingFile {
    /// `file` has to stay open as long as this lives.
    pub(super) fn new(ring: Arc<Ring>, file: &File, form: Form) -> RingFile {
        let mut state = lock(&ring.0);
        state.next_key += 1;
        let (key, fd) = (state.next_key, file.as_raw_fd());
        state.done.insert(key, VecDeque::new());
        // By number it is this file, whatever becomes of the descriptor.
        let number = state
            .numbers
            .pop()
            .filter(|number| state.uring.submitter().register_files_update(*number, &[fd]).is_ok());
        let target = number.map_or(Target::Descriptor(fd), Target::Number);
        drop(state);
        RingFile { ring, key, target, form }
    }

    /// Begins an operation; gives it back if the ring does not take it, now or ever again.
    pub(super) fn submit(&mut self, tag: u64, operation: Operation) -> Result<(), Operation> {
        let RingFile { key, target, form, .. } = *self;
        let flight =
            Flight { key, target, form, tag, operation, done: 0, pieces: Pieces::default() };
        lock(&self.ring.0).launch(flight).map_err(|flight| flight.operation)
    }

    /// The next that has completed, with what it was.
    pub(super) fn reap(&mut self) -> Option<(Completion, Operation)> {
        let mut state = lock(&self.ring.0);
        state.collect();
        state.done.get_mut(&self.key)?.pop_front()
    }
}

impl Drop for RingFile {
    fn drop(&mut self) {
        let mut state = lock(&self.ring.0);
        state.collect();
        state.done.remove(&self.key);
        if let Target::Number(number) = self.target {
            // Operations in flight hold the file by themselves.
            let _ = state.uring.submitter().register_files_update(number, &[-1]);
            state.numbers.push(number);
        }
    }
}
