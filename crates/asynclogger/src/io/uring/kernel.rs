//! The calls that a ring consists of. Below this seam, tests put a kernel that refuses, answers late, or never answers.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use io_uring::{IoUring, Probe, opcode, squeue, types};
use rustix::io::Errno;

use crate::{
    Error, ErrorKind,
    io::{Alarm, descriptor::with_standard_taken},
};

/// Entries of the submission queue. Each operation is submitted at once, so the number bounds nothing.
const ENTRIES: u32 = 64;
/// Entries of the completion queue: many files can each have several operations in flight.
const COMPLETIONS: u32 = 1024;
/// The most kernel threads that perform operations for one ring.
const WORKERS: u32 = 32;
/// Files that the ring knows by number; further files are named by descriptor.
pub(super) const FILES: u32 = 64;
/// `IORING_ENTER_GETEVENTS`.
const GET_EVENTS: u32 = 1;

/// The file of an operation. The kernel looks the file up when one of its threads begins the operation, not when the
/// operation is submitted. Until then number and descriptor must stay that file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io) enum Target {
    Number(u32),
    Descriptor(i32),
}

/// A system call for the kernel to perform. The pointers are into memory that the flight keeps.
#[derive(Clone, Copy, Debug)]
pub(in crate::io) enum Act {
    Write { bytes: *const u8, len: u32, offset: u64, flags: i32 },
    WriteAll { pieces: *const libc::iovec, count: u32, offset: u64, flags: i32 },
    Sync,
    Reserve { offset: u64, len: u64 },
}

#[derive(Clone, Copy, Debug)]
pub(in crate::io) struct Request {
    pub(super) target: Target,
    pub(super) act: Act,
    /// Comes back with the completion.
    pub(super) user_data: u64,
}

pub(in crate::io) trait Kernel {
    /// Puts a request into the submission queue; `false` if the queue has no room.
    ///
    /// # Safety
    /// Unless the request is never submitted, its memory must be valid and unchanged until its completion is taken.
    unsafe fn push(&mut self, request: &Request) -> bool;

    /// Asks the kernel to take the queued requests.
    ///
    /// # Errors
    /// The system's errors. The kernel may have taken some requests all the same.
    fn enter(&mut self) -> io::Result<()>;

    /// Whether a request is queued that the kernel has not taken.
    fn is_queued(&mut self) -> bool;

    /// The next completion in the queue: the request's `user_data`, and the result.
    fn next(&mut self) -> Option<(u64, i32)>;

    /// Whether the kernel keeps completions for which the queue had no room. The kernel rings for none of them.
    fn has_overflown(&mut self) -> bool;

    /// Asks the kernel for the completions that had no room, and submits nothing.
    ///
    /// # Errors
    /// The system's errors.
    fn fetch(&mut self) -> io::Result<()>;

    /// Gives a number to a descriptor's file, or takes the number away (-1).
    ///
    /// # Errors
    /// The system's errors; the number then keeps its meaning.
    fn set_file(&mut self, number: u32, descriptor: i32) -> io::Result<()>;
}

/// The system's io_uring.
pub(in crate::io) struct Uring(IoUring);

impl Uring {
    /// Makes a ring. Returns the ring and the number of file numbers that it has.
    ///
    /// # Errors
    /// [`ErrorKind::Engine`] if the system refuses a ring, or the ring lacks a needed operation.
    pub(super) fn new(alarm: &Alarm) -> Result<(Uring, u32), Error> {
        let refused = |error: io::Error| {
            Error::with_source(ErrorKind::Engine, "io_uring is not available here", error)
        };
        let build = || {
            // A forked child must not see the queues, which it would share with its parent.
            IoUring::builder().dontfork().setup_clamp().setup_cqsize(COMPLETIONS).build(ENTRIES)
        };
        let uring = with_standard_taken(build).map_err(refused)?;
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
        // The kernel counts operations that go to its threads at once like operations on unbounded files, and would
        // make a thread for each. The limit is an improvement, not a need: since Linux 5.15.
        let _ = submitter.register_iowq_max_workers(&mut [WORKERS, WORKERS]);
        // An improvement, not a need: since Linux 5.19.
        let numbers = if submitter.register_files_sparse(FILES).is_ok() { FILES } else { 0 };
        Ok((Uring(uring), numbers))
    }
}

impl Request {
    fn entry(&self) -> squeue::Entry {
        // Both types that name a file have a trait in common, but the crate does not export the trait.
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
        let entry = match self.act {
            Act::Write { bytes, len, offset, flags } => {
                on_target!(|file| opcode::Write::new(file, bytes, len)
                    .offset(offset)
                    .rw_flags(flags)
                    .build())
            }
            Act::WriteAll { pieces, count, offset, flags } => {
                on_target!(|file| opcode::Writev::new(file, pieces, count)
                    .offset(offset)
                    .rw_flags(flags)
                    .build())
            }
            Act::Sync => {
                let flags = types::FsyncFlags::DATASYNC;
                on_target!(|file| opcode::Fsync::new(file).flags(flags).build())
            }
            Act::Reserve { offset, len } => {
                on_target!(|file| opcode::Fallocate::new(file, len)
                    .offset(offset)
                    .mode(libc::FALLOC_FL_KEEP_SIZE)
                    .build())
            }
        };
        entry.user_data(self.user_data).flags(squeue::Flags::ASYNC)
    }
}

impl Kernel for Uring {
    unsafe fn push(&mut self, request: &Request) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { self.0.submission().push(&request.entry()) }.is_ok()
    }

    fn enter(&mut self) -> io::Result<()> {
        self.0.submit().map(drop)
    }

    fn is_queued(&mut self) -> bool {
        !self.0.submission().is_empty()
    }

    fn next(&mut self) -> Option<(u64, i32)> {
        self.0.completion().next().map(|entry| (entry.user_data(), entry.result()))
    }

    fn has_overflown(&mut self) -> bool {
        self.0.submission().cq_overflow()
    }

    fn fetch(&mut self) -> io::Result<()> {
        // SAFETY: no entry is submitted, and no signal mask is given.
        unsafe { self.0.submitter().enter::<libc::sigset_t>(0, 0, GET_EVENTS, None) }.map(drop)
    }

    fn set_file(&mut self, number: u32, descriptor: i32) -> io::Result<()> {
        self.0.submitter().register_files_update(number, &[descriptor]).map(drop)
    }
}
