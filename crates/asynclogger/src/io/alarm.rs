//! The flusher's alarm: an `eventfd` that threads ring, and that io_uring rings for completions.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{read, write},
};

use super::descriptor::above_standard;
use crate::{Error, mem::Process};

/// An alarm with one sleeper and any number of ringers. A ring before the sleep ends the sleep at once.
///
/// A forked child shares the counter with its parent. So the child neither rings nor takes a ring away.
#[derive(Debug)]
pub(crate) struct Alarm {
    counter: OwnedFd,
    maker: Process,
}

#[cfg_attr(loom, allow(dead_code, reason = "models have one of their own"))]
impl Alarm {
    /// # Errors
    /// If the system gives no descriptor.
    pub(crate) fn new() -> Result<Alarm, Error> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let counter = eventfd(0, flags)
            .and_then(above_standard)
            .map_err(|errno| Error::io("cannot make an eventfd", errno))?;
        Ok(Alarm { counter, maker: Process::current() })
    }

    /// Ends the sleep, by one system call that a signal handler may make.
    pub(crate) fn ring(&self) {
        if !self.maker.is_current() {
            return;
        }
        #[expect(clippy::host_endian_bytes, reason = "the kernel adds a number")]
        let one = 1_u64.to_ne_bytes();
        // The write fails only if the counter is full: the alarm rings already.
        let _ = write(&self.counter, &one);
    }

    /// Sleeps until the alarm rings or `deadline` is over; may return early.
    pub(crate) fn sleep(&self, deadline: Option<Instant>) {
        if !self.maker.is_current() {
            return;
        }
        let timeout = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let rang = poll(&mut [PollFd::new(&self.counter, PollFlags::IN)], timeout.as_ref());
        if rang.is_ok_and(|count| count > 0) {
            // The ring is taken before the sleeper looks for work: work that comes later rings again.
            let _ = read(&self.counter, &mut [0; 8]);
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_ring_before_the_sleep_ends_it_once() {
        let alarm = Alarm::new().expect("alarm");
        alarm.ring();
        alarm.ring();
        alarm.sleep(None);
        let deadline = Instant::now() + Duration::from_millis(5);
        while Instant::now() < deadline {
            alarm.sleep(Some(deadline));
        }
    }

    /// Child and parent share the counter.
    #[cfg(not(any(loom, miri)))]
    #[test]
    fn a_forked_child_neither_rings_nor_hears() {
        let alarm = Alarm::new().expect("alarm");
        let rings = || {
            let no_time = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::new(&alarm, PollFlags::IN)], Some(&no_time)).expect("polled") > 0
        };
        crate::mem::in_forked_child(|| {
            alarm.ring();
            true
        });
        assert!(!rings());
        alarm.ring();
        crate::mem::in_forked_child(|| {
            alarm.sleep(None);
            true
        });
        assert!(rings());
    }
}
