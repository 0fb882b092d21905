//! Guards the two queues of a ring: nothing is submitted after a refusal, and no completion stays unseen.

use std::{collections::VecDeque, io};

use rustix::io::Errno;

use super::kernel::{Kernel, Request};

/// The most attempts to have a request taken: a busy kernel takes one after some completions were seen.
const ATTEMPTS: usize = 1_000;

/// The two queues of a ring, with the rules for their use.
///
/// A request that the kernel does not take stays in the submission queue, with the addresses of memory that goes back
/// to its owner. The next submission would submit that request, too. So this type is the only way to submit, and shuts
/// at the first refusal. Completions of requests taken before are still seen.
pub(super) struct Queue<K> {
    kernel: K,
    is_shut: bool,
    /// Completions seen while the kernel was too busy to take a request.
    seen: VecDeque<(u64, i32)>,
}

impl<K: Kernel> Queue<K> {
    pub(super) fn new(kernel: K) -> Queue<K> {
        Queue { kernel, is_shut: false, seen: VecDeque::new() }
    }

    /// Submits a request. Returns whether the kernel took the request; if not, the kernel never reads its memory.
    ///
    /// # Safety
    /// If the request is taken, its memory must be valid and unchanged until its completion is seen.
    pub(super) unsafe fn submit(&mut self, request: &Request) -> bool {
        if self.is_shut {
            return false;
        }
        // SAFETY: the caller's promise is the same. If the request is not taken here, the queue is shut before another
        // submission can take the request along.
        let mut is_queued = unsafe { self.kernel.push(request) };
        let is_full = !is_queued;
        for _ in 0..ATTEMPTS {
            if !is_queued {
                break;
            }
            let entered = self.kernel.enter();
            // The queue decides, not the answer: a call that fails may have taken the request before.
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

    /// The next completion: the request's `user_data`, and the result.
    pub(super) fn next(&mut self) -> Option<(u64, i32)> {
        let next = self.seen.pop_front().or_else(|| self.kernel.next());
        if next.is_some() || !self.kernel.has_overflown() {
            return next;
        }
        // Many files can have more completions than the queue has room for. The kernel keeps the rest until asked, and
        // does not ring for it.
        self.kernel.fetch().ok()?;
        self.kernel.next()
    }

    /// Gives a number to a descriptor's file, or takes the number away (-1). Returns whether the system agreed.
    pub(super) fn set_file(&mut self, number: u32, descriptor: i32) -> bool {
        self.kernel.set_file(number, descriptor).is_ok()
    }
}
