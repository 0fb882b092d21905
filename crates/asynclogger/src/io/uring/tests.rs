//! Tests of the ring over a kernel that the test controls: the kernel refuses, is busy, has no room for completions,
//! answers late or never, writes less than asked.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    os::{fd::BorrowedFd, unix::fs::FileExt},
    rc::Rc,
};

use rustix::io::{Errno, fcntl_dupfd_cloexec};

use super::{
    kernel::{Act, Kernel, Request, Target},
    *,
};
use crate::mem::{AlignedBytes, Joined, StableBytes};

const FORM: Form = Form { align: 4096, synced: false };

/// The state of the kernel, and the answers that the test wants from it.
#[derive(Default)]
struct Device {
    /// The error with which entering the ring fails, and the number of failures.
    refuses: Option<(Errno, usize)>,
    /// Whether the kernel takes entries although entering fails.
    takes_anyway: bool,
    /// Whether a taken request waits until the test lets it begin.
    holds: bool,
    /// The number of bytes that the next write writes.
    short: Option<usize>,
    /// Room for completions.
    room: usize,
    /// The number of times the ring was entered to submit.
    entered: usize,
    queued: VecDeque<Request>,
    waiting: VecDeque<Request>,
    completed: VecDeque<(u64, i32)>,
    overflown: VecDeque<(u64, i32)>,
    files: Vec<Option<File>>,
    /// The target of the last request.
    target: Option<Target>,
}

#[derive(Clone)]
struct Told(Rc<RefCell<Device>>);

impl Device {
    fn complete(&mut self, user_data: u64, result: i32) {
        let has_room = self.completed.len() < self.room;
        if has_room { &mut self.completed } else { &mut self.overflown }
            .push_back((user_data, result));
    }

    /// Performs a request. The file is looked up only now, as a thread of the kernel does.
    fn perform(&mut self, request: Request) {
        let result = match (request.target, request.act) {
            (Target::Number(number), act) => match &self.files[number as usize] {
                Some(file) => perform(file, act, self.short.take()),
                None => Err(Errno::BADF.into()),
            },
            (Target::Descriptor(fd), act) => {
                // SAFETY: the descriptor is used for this call only; the call reports a descriptor that is not open.
                let file = fcntl_dupfd_cloexec(unsafe { BorrowedFd::borrow_raw(fd) }, 3);
                file.map_err(io::Error::from)
                    .and_then(|file| perform(&File::from(file), act, self.short.take()))
            }
        };
        let errno = |error: io::Error| -error.raw_os_error().expect("a number");
        self.complete(request.user_data, result.map_or_else(errno, |done| done as i32));
    }

    fn begin(&mut self) {
        for request in std::mem::take(&mut self.waiting) {
            self.perform(request);
        }
    }
}

fn perform(file: &File, act: Act, short: Option<usize>) -> io::Result<usize> {
    let mut done = 0;
    let mut write = |bytes: *const u8, len: usize, offset: u64| -> io::Result<()> {
        let len = len.min(short.map_or(usize::MAX, |short| short - done));
        // SAFETY: the code under test promises that the memory is valid.
        let bytes = unsafe { std::slice::from_raw_parts(bytes, len) };
        file.write_all_at(bytes, offset + done as u64)?;
        done += len;
        Ok(())
    };
    match act {
        Act::Write { bytes, len, offset, .. } => write(bytes, len as usize, offset)?,
        Act::WriteAll { pieces, count, offset, .. } => {
            // SAFETY: as above.
            for piece in unsafe { std::slice::from_raw_parts(pieces, count as usize) } {
                write(piece.iov_base.cast_const().cast(), piece.iov_len, offset)?;
            }
        }
        Act::Sync => file.sync_data()?,
        Act::Reserve { .. } => {}
    }
    Ok(done)
}

impl Kernel for Told {
    unsafe fn push(&mut self, request: &Request) -> bool {
        let mut device = self.0.borrow_mut();
        device.target = Some(request.target);
        device.queued.push_back(*request);
        true
    }

    fn enter(&mut self) -> io::Result<()> {
        let device = &mut *self.0.borrow_mut();
        device.entered += 1;
        let refusal = device.refuses.filter(|(_, times)| *times > 0);
        if let Some((errno, times)) = refusal {
            device.refuses = Some((errno, times - 1));
        }
        if refusal.is_none() || device.takes_anyway {
            device.waiting.append(&mut device.queued);
        }
        if !device.holds {
            device.begin();
        }
        refusal.map_or(Ok(()), |(errno, _)| Err(errno.into()))
    }

    fn is_queued(&mut self) -> bool {
        !self.0.borrow().queued.is_empty()
    }

    fn next(&mut self) -> Option<(u64, i32)> {
        self.0.borrow_mut().completed.pop_front()
    }

    fn has_overflown(&mut self) -> bool {
        !self.0.borrow().overflown.is_empty()
    }

    fn fetch(&mut self) -> io::Result<()> {
        let device = &mut *self.0.borrow_mut();
        let room = device.room - device.completed.len();
        let fetched = room.min(device.overflown.len());
        device.completed.extend(device.overflown.drain(..fetched));
        Ok(())
    }

    fn set_file(&mut self, number: u32, descriptor: i32) -> io::Result<()> {
        let file = if descriptor < 0 {
            None
        } else {
            // SAFETY: the descriptor is the caller's, and open.
            let file = unsafe { BorrowedFd::borrow_raw(descriptor) };
            Some(File::from(fcntl_dupfd_cloexec(file, 3)?))
        };
        self.0.borrow_mut().files[number as usize] = file;
        Ok(())
    }
}

/// A ring with `numbers` file numbers, and the handle that controls its kernel.
#[expect(clippy::arc_with_non_send_sync, reason = "all of it is on one thread")]
fn ring(numbers: u32) -> (Arc<Ring<Told>>, Rc<RefCell<Device>>) {
    let files = (0..numbers).map(|_| None).collect();
    let told = Rc::new(RefCell::new(Device { room: 1000, files, ..Device::default() }));
    (Arc::new(Ring::over(Told(told.clone()), numbers)), told)
}

fn file() -> Arc<File> {
    Arc::new(tempfile::tempfile().expect("a file"))
}

fn bytes(len: usize, byte: u8) -> Arc<dyn StableBytes> {
    let mut bytes = AlignedBytes::new(len, 4096).expect("memory");
    bytes.fill(byte);
    Arc::new(bytes)
}

fn write(byte: u8, offset: u64) -> Operation {
    Operation::Write { bytes: bytes(8192, byte), offset }
}

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().expect("metadata").len() as usize];
    file.read_exact_at(&mut bytes, 0).expect("the file");
    bytes
}

/// The tags of all completed operations, and whether each succeeded.
fn reaped<K: Kernel>(file: &mut RingFile<K>) -> Vec<u64> {
    std::iter::from_fn(|| file.reap())
        .map(|(Completion { tag, result }, _)| {
            result.expect("written");
            tag
        })
        .collect()
}

#[test]
fn what_is_taken_is_done_and_answered() {
    let (ring, _told) = ring(1);
    let (first, second) = (file(), file());
    // One file by number, one by descriptor.
    let mut files = [&first, &second].map(|file| RingFile::new(ring.clone(), file, FORM));
    for (at, ring_file) in files.iter_mut().enumerate() {
        let joined = Joined::new([bytes(4096, b'a'), bytes(4096, b'b')]);
        let many = Operation::Write { bytes: Arc::new(joined), offset: 8192 };
        for (tag, operation) in [(0, write(at as u8, 0)), (1, many), (2, Operation::Barrier)] {
            assert!(ring_file.submit(tag, operation).is_ok());
        }
        assert_eq!(reaped(ring_file), [0, 1, 2]);
    }
    let expected = |byte| [[byte; 8192].as_slice(), &[b'a'; 4096], &[b'b'; 4096]].concat();
    assert!(content(&first) == expected(0) && content(&second) == expected(1));
}

/// The kernel refuses to be entered: the operation goes back to its owner. The request that stays in the queue, whose
/// memory is the owner's again, is never submitted, whatever happens afterwards.
#[test]
fn a_ring_that_refused_is_never_submitted_to_again() {
    for errno in [Errno::NOMEM, Errno::AGAIN, Errno::BADFD] {
        let (ring, told) = ring(1);
        let file = file();
        let mut ring_file = RingFile::new(ring, &file, FORM);
        told.borrow_mut().holds = true;
        assert!(ring_file.submit(1, write(b'a', 0)).is_ok());
        told.borrow_mut().refuses = Some((errno, 1));
        assert!(ring_file.submit(2, write(b'b', 8192)).is_err());
        let entered = told.borrow().entered;
        assert!(ring_file.submit(3, write(b'c', 16_384)).is_err(), "though it would be taken");
        // Completions overflow, are asked for, and seen.
        told.borrow_mut().room = 0;
        told.borrow_mut().begin();
        told.borrow_mut().room = 1;
        assert_eq!(reaped(&mut ring_file), [1]);
        drop(ring_file);
        let device = told.borrow();
        assert_eq!((device.entered, device.waiting.len()), (entered, 0));
        assert!(content(&file) == [b'a'; 8192]);
    }
}

/// The kernel reports a refusal and has taken the entry: the operation is in flight, and nobody writes the same bytes
/// again.
#[test]
fn what_was_taken_is_in_flight_whatever_the_answer_was() {
    let (ring, told) = ring(1);
    let file = file();
    let mut ring_file = RingFile::new(ring, &file, FORM);
    told.borrow_mut().refuses = Some((Errno::AGAIN, 1));
    told.borrow_mut().takes_anyway = true;
    assert!(ring_file.submit(1, write(b'a', 0)).is_ok());
    assert_eq!(reaped(&mut ring_file), [1]);
    assert!(ring_file.submit(2, write(b'b', 0)).is_ok(), "not a reason to do without the ring");
}

/// The kernel is busy until completions were seen, or interrupted. Neither is a refusal, and no operation is lost.
#[test]
fn a_busy_kernel_is_asked_again() {
    for errno in [Errno::BUSY, Errno::INTR] {
        let (ring, told) = ring(1);
        let file = file();
        let mut ring_file = RingFile::new(ring, &file, FORM);
        assert!(ring_file.submit(1, write(b'a', 0)).is_ok());
        told.borrow_mut().refuses = Some((errno, 5));
        assert!(ring_file.submit(2, write(b'b', 8192)).is_ok());
        assert_eq!(reaped(&mut ring_file), [1, 2]);
        // The kernel is busy for ever: the operation is refused in the end.
        told.borrow_mut().refuses = Some((errno, usize::MAX));
        assert!(ring_file.submit(3, write(b'c', 0)).is_err());
        told.borrow_mut().refuses = None;
        assert!(ring_file.submit(4, write(b'd', 0)).is_err());
    }
}

/// Many files have more completions than the queue has room for: the kernel keeps the rest, and rings for none of them.
#[test]
fn completions_that_overflow_are_fetched() {
    let (ring, told) = ring(1);
    let file = file();
    let mut ring_file = RingFile::new(ring, &file, FORM);
    told.borrow_mut().room = 3;
    for tag in 0..20 {
        assert!(ring_file.submit(tag, write(tag as u8, tag * 8192)).is_ok());
    }
    assert_eq!(told.borrow().overflown.len(), 17);
    assert_eq!(reaped(&mut ring_file), (0..20).collect::<Vec<_>>());
    assert_eq!(content(&file).len(), 20 * 8192);
}

/// A late completion, for which nobody waits, ends no other flight. Ending one would give back memory that the kernel
/// still reads.
#[test]
fn a_late_completion_ends_no_other_flight() {
    let (ring, told) = ring(1);
    let file = file();
    let mut ring_file = RingFile::new(ring, &file, FORM);
    told.borrow_mut().holds = true;
    let mut named = Vec::new();
    for tag in 0..2 {
        assert!(ring_file.submit(tag, write(tag as u8, 0)).is_ok());
        named.push(told.borrow().waiting[0].user_data);
        if tag == 0 {
            told.borrow_mut().begin();
            assert_eq!(reaped(&mut ring_file), [0]);
        }
    }
    assert_ne!(named[0], named[1], "the same place, another flight");
    // The same completion again, and completions for places that never existed.
    for late in [named[0], named[1] ^ 1 << 40, 5, u64::MAX] {
        told.borrow_mut().complete(late, 8192);
    }
    assert!(reaped(&mut ring_file).is_empty());
    told.borrow_mut().begin();
    assert_eq!(reaped(&mut ring_file), [1]);
    assert!(content(&file) == [1; 8192]);
}

/// The memory of an operation that is never answered is never used again, and its file stays open, also when the ring
/// is dropped.
#[test]
fn what_is_never_answered_keeps_its_memory_and_its_file() {
    let (ring, told) = ring(0);
    let file = file();
    let mut ring_file = RingFile::new(ring, &file, FORM);
    told.borrow_mut().holds = true;
    let memory = bytes(8192, b'a');
    let operation = Operation::Write { bytes: memory.clone(), offset: 0 };
    assert!(ring_file.submit(1, operation).is_ok());
    assert_eq!(Arc::strong_count(&memory), 2);
    // The file is dropped, and the ring with it.
    drop(ring_file);
    assert_eq!((Arc::strong_count(&memory), Arc::strong_count(&file)), (2, 2));
    // The operation begins after all.
    told.borrow_mut().begin();
    assert!(content(&file) == [b'a'; 8192]);
}

/// A queued operation's file is looked up when the operation begins: until then neither number nor descriptor is
/// another file's.
#[test]
fn a_queued_write_goes_to_its_own_file() {
    for numbers in [0, 1, 2] {
        let (ring, told) = ring(numbers);
        let first = file();
        let copy = first.try_clone().expect("the file");
        let mut first_file = RingFile::new(ring.clone(), &first, FORM);
        told.borrow_mut().holds = true;
        for tag in 0..3 {
            assert!(first_file.submit(tag, write(b'a', tag * 8192)).is_ok());
        }
        drop((first_file, first));
        // The second file takes the descriptor of the first if that is closed, and its number if that is free.
        let second = file();
        let mut second_file = RingFile::new(ring.clone(), &second, FORM);
        told.borrow_mut().begin();
        told.borrow_mut().holds = false;
        assert!(second_file.submit(9, write(b'b', 0)).is_ok());
        assert_eq!(reaped(&mut second_file), [9]);
        assert!(content(&second) == [b'b'; 8192], "{numbers} numbers");
        assert!(content(&copy) == [b'a'; 3 * 8192], "{numbers} numbers");
        // All operations were answered: the number is free again.
        let third = file();
        let mut third_file = RingFile::new(ring, &third, FORM);
        assert!(third_file.submit(0, write(b'c', 0)).is_ok());
        let target = told.borrow().target;
        assert_eq!(target == Some(Target::Number(0)), numbers > 0, "{numbers} numbers");
    }
}

/// A short write continues at a multiple of the alignment: the last unit is written again.
#[test]
fn a_short_write_goes_on_where_it_was() {
    let (ring, told) = ring(1);
    let file = file();
    let mut ring_file = RingFile::new(ring, &file, FORM);
    told.borrow_mut().short = Some(5000);
    let joined = Joined::new([bytes(8192, b'a'), bytes(4096, b'b')]);
    let operation = Operation::Write { bytes: Arc::new(joined), offset: 4096 };
    assert!(ring_file.submit(1, operation).is_ok());
    assert_eq!(reaped(&mut ring_file), [1]);
    assert_eq!(told.borrow().entered, 2);
    let expected = [[0; 4096].as_slice(), &[b'a'; 8192], &[b'b'; 4096]].concat();
    assert!(content(&file) == expected);
}

/// The rest of a short write to a dropped file is written nowhere, and the file's number is free.
#[test]
fn a_short_write_of_a_file_that_is_gone_ends_there() {
    let (ring, told) = ring(1);
    let first = file();
    let mut first_file = RingFile::new(ring.clone(), &first, FORM);
    {
        let mut device = told.borrow_mut();
        (device.holds, device.short) = (true, Some(4096));
    }
    assert!(first_file.submit(1, write(b'a', 0)).is_ok());
    drop(first_file);
    told.borrow_mut().begin();
    told.borrow_mut().holds = false;
    // By descriptor: the number is still the first one's when it comes.
    let second = file();
    let mut second_file = RingFile::new(ring.clone(), &second, FORM);
    assert!(second_file.submit(2, write(b'b', 8192)).is_ok());
    assert_eq!(reaped(&mut second_file), [2]);
    assert!(content(&first) == [b'a'; 4096]);
    assert_eq!(told.borrow().entered, 2, "once for each of what was submitted");
    let third = file();
    let mut third_file = RingFile::new(ring, &third, FORM);
    assert!(third_file.submit(3, write(b'c', 0)).is_ok());
    assert_eq!(told.borrow().target, Some(Target::Number(0)), "it was free");
}

/// A refusal of the rest of a short write is reported, not kept.
#[test]
fn a_short_write_whose_rest_is_refused_is_told() {
    let (ring, told) = ring(1);
    let file = file();
    let mut ring_file = RingFile::new(ring, &file, FORM);
    {
        let mut device = told.borrow_mut();
        (device.holds, device.short) = (true, Some(4096));
    }
    assert!(ring_file.submit(1, write(b'a', 0)).is_ok());
    told.borrow_mut().begin();
    told.borrow_mut().refuses = Some((Errno::NOMEM, usize::MAX));
    let (Completion { tag, result }, operation) = ring_file.reap().expect("an answer");
    assert_eq!((tag, Errno::from_io_error(&result.expect_err("told"))), (1, Some(Errno::CANCELED)));
    assert!(matches!(operation, Operation::Write { offset: 0, .. }), "all of it is written again");
    assert!(ring_file.reap().is_none());
}

/// The system's kernel keeps completions that have no room in the queue. Fetching them submits nothing.
#[test]
fn the_systems_ring_keeps_what_overflows() {
    let alarm = Alarm::new().expect("an alarm");
    let Ok((mut kernel, _)) = Uring::new(&alarm) else {
        return println!("skipped: no io_uring here");
    };
    let file = file();
    let target = Target::Descriptor(file.as_raw_fd());
    let submit = |kernel: &mut Uring, user_data| {
        // SAFETY: the request points to no memory.
        assert!(unsafe { kernel.push(&Request { target, act: Act::Sync, user_data }) });
    };
    const MANY: u64 = 3000;
    for user_data in 0..MANY {
        submit(&mut kernel, user_data);
        kernel.enter().expect("taken");
        assert!(!kernel.is_queued());
    }
    // The kernel does not ring for a completion that has no room, so there is no ring to sleep for.
    while !kernel.has_overflown() {
        std::thread::yield_now();
    }
    // One that stays where it is.
    submit(&mut kernel, MANY);
    let mut seen = std::collections::BTreeSet::new();
    while (seen.len() as u64) < MANY {
        match kernel.next() {
            Some((user_data, result)) => assert!(result == 0 && seen.insert(user_data)),
            None if kernel.has_overflown() => kernel.fetch().expect("fetched"),
            None => std::thread::yield_now(),
        }
    }
    assert!(kernel.is_queued() && !seen.contains(&MANY));
}

/// A forked child has neither the queues nor a file in them; the parent's numbers keep their meaning.
#[test]
fn a_forked_child_leaves_the_ring_alone() {
    let (ring, told) = ring(1);
    let file = file();
    let mut ring_file = RingFile::new(ring.clone(), &file, FORM);
    told.borrow_mut().holds = true;
    assert!(ring_file.submit(1, write(b'a', 0)).is_ok());
    let mut owned = Some((ring, ring_file));
    crate::mem::in_forked_child(|| {
        told.borrow_mut().begin();
        let entered = told.borrow().entered;
        let (ring, mut ring_file) = owned.take().expect("a ring");
        let is_inert = ring_file.submit(2, write(b'b', 0)).is_err() && ring_file.reap().is_none();
        drop((ring_file, ring));
        let device = told.borrow();
        is_inert && device.entered == entered && device.files[0].is_some()
    });
    let (_ring, mut ring_file) = owned.expect("the parent's");
    told.borrow_mut().begin();
    assert_eq!(reaped(&mut ring_file), [1]);
}

/// The system's ring, in a child that has mapped other memory where the parent's queues are.
#[test]
fn a_forked_child_leaves_the_systems_ring_alone() {
    let alarm = Alarm::new().expect("an alarm");
    let Ok(ring) = Ring::new(&alarm) else {
        return println!("skipped: no io_uring here");
    };
    let file = file();
    let mut owned = Some(RingFile::new(Arc::new(ring), &file, FORM));
    crate::mem::in_forked_child(|| {
        let mine: Vec<_> = (1..100_u8).map(|byte| vec![byte; 256 << 10]).collect();
        drop(owned.take());
        mine.iter().zip(1..).all(|(bytes, byte)| bytes.iter().all(|b| *b == byte))
    });
    let mut ring_file = owned.expect("the parent's");
    assert!(ring_file.submit(1, write(b'a', 0)).is_ok());
    loop {
        if let Some((Completion { result, .. }, _)) = ring_file.reap() {
            break result.expect("written");
        }
        alarm.sleep(None);
    }
    assert!(content(&file) == [b'a'; 8192]);
}
