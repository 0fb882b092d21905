//! The rules for the two queues of a ring: nothing is submitted after a refusal, and no completion stays unseen.

use std::{collections::VecDeque, io};

use rustix::io::Errno;

use super::kernel::{Kernel, Request};

/// Attempts to have a request taken. Bounded: busy means that completions have to be seen first.
const ATTEMPTS: usize = 1_000;

/// A kernel's queues.
///
/// A request that the kernel does not take stays in its queue, with the addresses of memory that goes back to the
/// owner. Whatever is submitted later would submit that, too. So this is the only way to submit, and it shuts with
/// the first refusal; completions of what was taken before go on being seen.
pub(super) struct Queue<K> {
    kernel: K,
    is_shut: bool,
    /// Seen while the kernel was too busy to take a request.
    seen: VecDeque<(u64, i32)>,
}

impl<K: Kernel> Queue<K> {
    pub(super) fn new(kernel: K) -> Queue<K> {
        Queue { kernel, is_shut: false, seen: VecDeque::new() }
    }

    /// Submits a request; whether it was taken. If not, its memory is never read.
    ///
    /// # Safety
    /// If it was taken, its memory must be valid and unchanged until its completion was seen.
    pub(super) unsafe fn submit(&mut self, request: &Request) -> bool {
        if self.is_shut {
            return false;
        }
        // SAFETY: passed on to the caller; if it is not taken here, the queue is shut before anything else can be
        // submitted with it.
        let mut is_queued = unsafe { self.kernel.push(request) };
        let is_full = !is_queued;
        for _ in 0..ATTEMPTS {
            if !is_queued {
                break;
            }
            let entered = self.kernel.enter();
            // Not the answer says it: a call that fails may have taken it before.
            is_queued = self.kernel.is_queued();
            match entered.map_err(|error| (error.kind(), Errno::from_io_error(&error))) {
                Ok(()) | Err((io::ErrorKind::Interrupted, _)) => {}
                Err((_, Some(Errno::BUSY))) => {
                    self.seen.extend(std::iter::from_fn(|| self.kernel.next()))
                }
                Err(_) => break,
            }
        }
        self.is_shut = is_full || is_queued;
        !self.is_shut
    }

    /// The next completion: what it is of, and the result.
    pub(super) fn next(&mut self) -> Option<(u64, i32)> {
        let next = self.seen.pop_front().or_else(|| self.kernel.next());
        if next.is_some() || !self.kernel.has_overflown() {
            return next;
        }
        // More than the queue has room for, as many files have: the kernel keeps the rest until it is asked for it,
        // and rings for nothing.
        self.kernel.fetch().ok()?;
        self.kernel.next()
    }

    /// Gives a number to a descriptor's file, or takes it away (-1); whether it did.
    pub(super) fn set_file(&mut self, number: u32, descriptor: i32) -> bool {
        self.kernel.set_file(number, descriptor).is_ok()
    }
}
