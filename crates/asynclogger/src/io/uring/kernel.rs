//! The calls that a ring consists of: the seam below which tests put a kernel that refuses, answers late, or never.

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

/// Of the submission queue. Each operation is submitted at once, so this bounds nothing.
const ENTRIES: u32 = 64;
/// Of the completion queue: many files may each have some in flight.
const COMPLETIONS: u32 = 1024;
/// Threads of the kernel that write files for us.
const WORKERS: u32 = 32;
/// Files that the ring knows by number; more are named by descriptor.
pub(super) const FILES: u32 = 64;
/// `IORING_ENTER_GETEVENTS`.
const GET_EVENTS: u32 = 1;

/// Which file an operation is on. The kernel looks for it when one of its threads begins the operation, not when it
/// is submitted: by then, number and descriptor have to be that file's still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io) enum Target {
    Number(u32),
    Descriptor(i32),
}

/// What the kernel is asked to do; the pointers are into memory that the flight keeps.
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
    /// Puts a request into the queue of those to submit; false: it has no room.
    ///
    /// # Safety
    /// Unless the request is never submitted, its memory must be valid and unchanged until its completion was taken.
    unsafe fn push(&mut self, request: &Request) -> bool;

    /// Asks the kernel to take what is queued.
    ///
    /// # Errors
    /// Those of the system. Then, too, some of it may have been taken.
    fn enter(&mut self) -> io::Result<()>;

    /// Whether the kernel has not taken all that was queued.
    fn is_queued(&mut self) -> bool;

    /// The next completion in the queue: what it is of, and the result.
    fn next(&mut self) -> Option<(u64, i32)>;

    /// Whether the kernel keeps completions for which the queue had no room. It rings for none of them.
    fn has_overflown(&mut self) -> bool;

    /// Asks for those, and submits nothing.
    ///
    /// # Errors
    /// Those of the system.
    fn fetch(&mut self) -> io::Result<()>;

    /// Gives a number to a descriptor's file, or takes it away (-1).
    ///
    /// # Errors
    /// Those of the system; then the number means what it meant.
    fn set_file(&mut self, number: u32, descriptor: i32) -> io::Result<()>;
}

/// The real one.
pub(in crate::io) struct Uring(IoUring);

impl Uring {
    /// With as many numbers for files as it has.
    ///
    /// # Errors
    /// [`ErrorKind::Engine`] if the system refuses it, or it lacks an operation that we need.
    pub(super) fn new(alarm: &Alarm) -> Result<(Uring, u32), Error> {
        let refused = |error: io::Error| {
            Error::with_source(ErrorKind::Engine, "io_uring is not to be had here", error)
        };
        let build = || {
            // A forked child must not see the queues: it would share them.
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
        // Operations that go to the kernel's threads at once count as those on files without an end, for which
        // it would make as many as there are operations. An improvement, not a need: since Linux 5.15.
        let _ = submitter.register_iowq_max_workers(&mut [WORKERS, WORKERS]);
        // An improvement, not a need: since Linux 5.19.
        let numbers = if submitter.register_files_sparse(FILES).is_ok() { FILES } else { 0 };
        Ok((Uring(uring), numbers))
    }
}

impl Request {
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
        // SAFETY: passed on to the caller.
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
