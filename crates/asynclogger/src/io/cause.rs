//! What an error of the system means to somebody who writes a file.

use std::io;

use rustix::io::Errno;

/// The kinds of errors that are reacted to in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No space on the device, or the owner's quota is used up.
    Space,
    /// The file may not become longer.
    Limit,
    /// The device failed: these bytes, at this place.
    Device,
    /// The file system is read-only, shut down, or gone.
    Gone,
    /// Refused as it was asked: an alignment, a flag.
    Invalid,
    /// Not now.
    Busy,
    /// Anything else.
    Other,
}

impl Cause {
    /// Of an error; of one without a number, [`Cause::Other`].
    pub(crate) fn of(error: &io::Error) -> Cause {
        match Errno::from_io_error(error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Cause::Space,
            Some(Errno::FBIG) => Cause::Limit,
            Some(Errno::IO) => Cause::Device,
            Some(
                Errno::ROFS
                | Errno::NODEV
                | Errno::NXIO
                | Errno::STALE
                | Errno::SHUTDOWN
                | Errno::NOTCONN
                | Errno::REMOTEIO
                | Errno::NOMEDIUM
                | Errno::TIMEDOUT,
            ) => Cause::Gone,
            Some(Errno::INVAL | Errno::OPNOTSUPP) => Cause::Invalid,
            Some(
                Errno::AGAIN
                | Errno::NOMEM
                | Errno::NOBUFS
                | Errno::BUSY
                | Errno::CANCELED
                | Errno::INTR
                | Errno::MFILE
                | Errno::NFILE,
            ) => Cause::Busy,
            _ => Cause::Other,
        }
    }
}
