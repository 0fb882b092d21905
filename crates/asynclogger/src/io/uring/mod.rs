//! The engine io_uring: several operations in flight, on files that the ring knows by number.
//!
//! One ring for all files of a flusher. The kernel's own threads perform the operations (`IOSQE_ASYNC`): the kernel
//! would try a write that makes a file longer on the flusher's thread first, in vain, and a device that hangs must not
//! hang the flusher. Completions ring the flusher's alarm.

mod flight;
mod kernel;
mod queue;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    os::fd::AsRawFd,
};

use rustix::io::Errno;

use self::{
    flight::{Flight, Flights, Outcome},
    kernel::{Kernel, Request, Target, Uring},
    queue::Queue,
};
use super::{Alarm, Completion, Operation, pwrite::Form};
use crate::{
    Error,
    mem::OfProcess,
    sync::{Arc, Mutex, lock},
};

/// The ring of one flusher. A forked child shares the kernel's side of the ring, but not the memory. So for the child
/// the ring does not exist.
pub(super) struct Ring<K: Kernel = Uring>(OfProcess<Mutex<State<K>>>);

struct State<K: Kernel> {
    queue: Queue<K>,
    flights: Flights,
    /// By key.
    files: BTreeMap<u32, Served>,
    next_key: u32,
    /// Free numbers of the ring's table of files; empty if the ring has no table.
    numbers: Vec<u32>,
}

/// A file that the ring serves, until its [`RingFile`] is gone *and* the last operation on the file is answered. The
/// kernel looks a queued operation's file up only when the operation begins; until then neither the number nor the
/// descriptor may become another file's.
struct Served {
    file: Arc<File>,
    number: Option<u32>,
    in_flight: u32,
    /// Whether its [`RingFile`] is gone: nobody waits for answers.
    is_gone: bool,
    /// Operations that have completed and were not reaped.
    done: VecDeque<(Completion, Operation)>,
}

impl Ring {
    /// # Errors
    /// [`ErrorKind::Engine`](crate::ErrorKind::Engine) if the system refuses a ring, or the ring lacks a needed
    /// operation.
    pub(super) fn new(alarm: &Alarm) -> Result<Ring, Error> {
        let (kernel, numbers) = Uring::new(alarm)?;
        Ok(Ring::over(kernel, numbers))
    }
}

impl<K: Kernel> Ring<K> {
    fn over(kernel: K, numbers: u32) -> Ring<K> {
        Ring(OfProcess::new(Mutex::new(State {
            queue: Queue::new(kernel),
            flights: Flights::default(),
            files: BTreeMap::new(),
            next_key: 0,
            numbers: (0..numbers).rev().collect(),
        })))
    }
}

impl<K: Kernel> State<K> {
    fn add(&mut self, file: &Arc<File>) -> u32 {
        self.next_key += 1;
        // If the system does not give the file this number, the number is not tried again.
        let descriptor = file.as_raw_fd();
        let number = self.numbers.pop().filter(|number| self.queue.set_file(*number, descriptor));
        let done = VecDeque::new();
        let served = Served { file: file.clone(), number, in_flight: 0, is_gone: false, done };
        self.files.insert(self.next_key, served);
        self.next_key
    }

    /// Begins a flight; gives the flight back if the ring takes no operation, now or ever again.
    fn launch(&mut self, mut flight: Flight) -> Result<(), Flight> {
        let Some(served) = self.files.get_mut(&flight.key) else {
            return Err(flight);
        };
        let descriptor = Target::Descriptor(served.file.as_raw_fd());
        let target = served.number.map_or(descriptor, Target::Number);
        served.in_flight += 1;
        let (key, act) = (flight.key, flight.act());
        let user_data = self.flights.put(flight);
        // SAFETY: the flight keeps the memory that the request points to, at the same place and unchanged, until its
        // completion is seen; the memory is leaked if the ring is dropped before. `files` keeps the file open as long.
        let taken = unsafe { self.queue.submit(&Request { target, act, user_data }) };
        let back = if taken { None } else { self.flights.take(user_data) };
        match back {
            None => Ok(()),
            Some(flight) => {
                self.landed(key);
                Err(flight)
            }
        }
    }

    /// Takes over the completions that the kernel has put into its queue.
    fn collect(&mut self) {
        while let Some((user_data, result)) = self.queue.next() {
            let Some(mut flight) = self.flights.take(user_data) else {
                continue;
            };
            let key = flight.key;
            let is_waited_for = self.files.get(&key).is_some_and(|served| !served.is_gone);
            let outcome = flight.outcome(result);
            let (flight, result) = match outcome {
                Outcome::Over(result) => (flight, result),
                // Nobody waits for this write, so its rest is not written.
                Outcome::GoesOn if !is_waited_for => (flight, Err(Errno::CANCELED.into())),
                Outcome::GoesOn => match self.launch(flight) {
                    Ok(()) => {
                        self.landed(key);
                        continue;
                    }
                    Err(back) => (back, Err(Errno::CANCELED.into())),
                },
            };
            if let Some(served) = self.files.get_mut(&key).filter(|_| is_waited_for) {
                let Flight { tag, operation, .. } = flight;
                served.done.push_back((Completion { tag, result }, operation));
            }
            self.landed(key);
        }
    }

    /// Counts a flight of the file as over; also one that the ring did not take.
    fn landed(&mut self, key: u32) {
        if let Some(served) = self.files.get_mut(&key) {
            served.in_flight -= 1;
        }
        self.let_go(key);
    }

    /// Lets a file go once neither writer nor kernel needs the file. Its number is free for another file then.
    fn let_go(&mut self, key: u32) {
        if self.files.get(&key).is_none_or(|served| !served.is_gone || served.in_flight > 0) {
            return;
        }
        let number = self.files.remove(&key).and_then(|served| served.number);
        // A number that the system does not take back is never used again.
        self.numbers.extend(number.filter(|number| self.queue.set_file(*number, -1)));
    }
}

impl<K: Kernel> Drop for State<K> {
    fn drop(&mut self) {
        // The kernel continues the operations in flight without the ring. Their memory and their files' descriptors
        // must never be used for anything else, so both are leaked.
        self.collect();
        self.flights.take_all().for_each(Flight::leak);
        let files = std::mem::take(&mut self.files).into_values();
        files
            .filter(|served| served.in_flight > 0)
            .for_each(|served| std::mem::forget(served.file));
    }
}

/// A file's side of the ring.
pub(super) struct RingFile<K: Kernel = Uring> {
    ring: Arc<Ring<K>>,
    key: u32,
    form: Form,
}

impl<K: Kernel> RingFile<K> {
    /// Adds `file` to the ring, which keeps the file open until all operations on it are answered.
    pub(super) fn new(ring: Arc<Ring<K>>, file: &Arc<File>, form: Form) -> RingFile<K> {
        let key = ring.0.get().map_or(0, |state| lock(state).add(file));
        RingFile { ring, key, form }
    }

    /// Begins an operation; gives the operation back if the ring takes none, now or ever again.
    pub(super) fn submit(&mut self, tag: u64, operation: Operation) -> Result<(), Operation> {
        let Some(state) = self.ring.0.get() else {
            return Err(operation);
        };
        let flight = Flight::new(self.key, self.form, tag, operation);
        lock(state).launch(flight).map_err(|flight| flight.operation)
    }

    /// The next completion, with its operation.
    pub(super) fn reap(&mut self) -> Option<(Completion, Operation)> {
        let mut state = lock(self.ring.0.get()?);
        state.collect();
        state.files.get_mut(&self.key)?.done.pop_front()
    }
}

impl<K: Kernel> Drop for RingFile<K> {
    fn drop(&mut self) {
        let Some(state) = self.ring.0.get() else {
            return;
        };
        let mut state = lock(state);
        state.collect();
        if let Some(served) = state.files.get_mut(&self.key) {
            served.is_gone = true;
            served.done.clear();
        }
        state.let_go(self.key);
    }
}
