//! Random bytes, for ids.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::{Error, ErrorKind};

/// `N` random bytes from the system.
///
/// # Errors
/// The system's errors.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let filled = getrandom(&mut bytes[..], GetRandomFlags::empty())
        .map_err(|errno| Error::io("cannot get random bytes", errno))?;
    if filled < N {
        return Err(Error::new(ErrorKind::Io, "cannot get enough random bytes"));
    }
    Ok(bytes)
}
