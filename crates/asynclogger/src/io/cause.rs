//! The meaning of a system error for the writer of a file.

use std::io;

use rustix::io::Errno;

/// Kinds of errors, one for each reaction.
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
    /// The system refuses the form of the request: an alignment, a flag.
    Invalid,
    /// The system lacks a resource now; a later attempt can succeed.
    Busy,
    /// Anything else.
    Other,
}

impl Cause {
    /// The cause of an error; [`Cause::Other`] for an error without a system number.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_reaction() {
        let of = |errno: Errno| Cause::of(&errno.into());
        let all = [
            (Cause::Space, vec![Errno::NOSPC, Errno::DQUOT]),
            (Cause::Limit, vec![Errno::FBIG]),
            (Cause::Device, vec![Errno::IO]),
            (Cause::Gone, vec![Errno::ROFS, Errno::NODEV, Errno::STALE, Errno::TIMEDOUT]),
            (Cause::Invalid, vec![Errno::INVAL, Errno::OPNOTSUPP]),
            (Cause::Busy, vec![Errno::AGAIN, Errno::NOMEM, Errno::INTR, Errno::MFILE]),
            (Cause::Other, vec![Errno::PERM, Errno::BADF]),
        ];
        for (cause, errors) in all {
            errors.into_iter().for_each(|errno| assert_eq!(of(errno), cause, "{errno}"));
        }
        assert_eq!(Cause::of(&io::Error::other("no number")), Cause::Other);
    }
}
