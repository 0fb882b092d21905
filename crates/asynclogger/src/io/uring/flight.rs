//! Operations in flight. Each keeps the memory that the kernel reads, until the kernel has answered.

use std::io;

use rustix::io::Errno;

use super::kernel::Act;
use crate::io::{
    Operation,
    pwrite::{Form, MAX_PIECES, go_on},
};

/// One operation in flight.
pub(super) struct Flight {
    /// The key of the operation's file.
    pub(super) key: u32,
    pub(super) form: Form,
    pub(super) tag: u64,
    pub(super) operation: Operation,
    /// Bytes of a write that are written.
    done: usize,
    /// The unwritten rest of a write, if that rest is in several pieces.
    pieces: Pieces,
}

/// Addresses and lengths of pieces, in the kernel's form.
#[derive(Default)]
struct Pieces(Vec<libc::iovec>);

// SAFETY: the addresses are within the memory of the flight's operation, which may be sent; only the kernel follows
// them.
unsafe impl Send for Pieces {}

pub(super) enum Outcome {
    Over(io::Result<()>),
    /// The write was short or interrupted: its rest is still to be submitted.
    GoesOn,
}

impl Flight {
    pub(super) fn new(key: u32, form: Form, tag: u64, operation: Operation) -> Flight {
        Flight { key, form, tag, operation, done: 0, pieces: Pieces::default() }
    }

    /// The rest of the operation, as the kernel wants it. The pointers stay valid, and their memory unchanged, until
    /// this function is called again or the flight is dropped, wherever the flight is moved.
    pub(super) fn act(&mut self) -> Act {
        let Flight { form, operation, done, pieces: Pieces(pieces), .. } = self;
        let (bytes, offset) = match operation {
            Operation::Write { bytes, offset } => (bytes, *offset + *done as u64),
            Operation::Barrier => return Act::Sync,
            Operation::Reserve { offset, len } => {
                return Act::Reserve { offset: *offset, len: *len };
            }
        };
        let flags = if form.synced { libc::RWF_DSYNC } else { 0 };
        // Pieces beyond the limit of one call are written like the rest of a short write.
        let rest = bytes.pieces_from(*done).take(MAX_PIECES);
        pieces.clear();
        pieces.extend(rest.map(|piece| libc::iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        }));
        match pieces[..] {
            [libc::iovec { iov_base, iov_len }] => {
                // Blocks are at most 1 GiB and their table.
                let len = u32::try_from(iov_len).unwrap_or(u32::MAX);
                Act::Write { bytes: iov_base.cast_const().cast(), len, offset, flags }
            }
            _ => {
                let count = pieces.len() as u32;
                Act::WriteAll { pieces: pieces.as_ptr(), count, offset, flags }
            }
        }
    }

    pub(super) fn outcome(&mut self, result: i32) -> Outcome {
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

    /// Leaks the memory: the kernel may read it for ever.
    pub(super) fn leak(self) {
        std::mem::forget((self.operation, self.pieces));
    }
}

/// All operations in flight. A completion names its flight by place and generation, so a late completion does not end
/// another flight that has the same place by then.
#[derive(Default)]
pub(super) struct Flights(Vec<Place>);

#[derive(Default)]
struct Place {
    generation: u32,
    flight: Option<Flight>,
}

impl Flights {
    /// Puts a flight into a free place. Returns the name of the flight that its completion has to carry.
    pub(super) fn put(&mut self, flight: Flight) -> u64 {
        let Flights(places) = self;
        let at = match places.iter().position(|place| place.flight.is_none()) {
            Some(at) => at,
            None => {
                places.push(Place::default());
                places.len() - 1
            }
        };
        let place = &mut places[at];
        place.generation = place.generation.wrapping_add(1);
        place.flight = Some(flight);
        u64::from(place.generation) << 32 | at as u64
    }

    /// Takes the flight that a completion names; `None` if that flight is over or never was.
    pub(super) fn take(&mut self, named: u64) -> Option<Flight> {
        let place = self.0.get_mut(named as u32 as usize)?;
        if u64::from(place.generation) != named >> 32 {
            return None;
        }
        place.flight.take()
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Flight> {
        self.0.drain(..).filter_map(|place| place.flight)
    }
}
