//! The limit that the system sets for the files of the process (`RLIMIT_FSIZE`), at the moment in which a file is
//! begun. Later files keep to the limit, which counts as [`Rotation::max_size`](crate::Rotation::max_size).

use std::path::Path;

use rustix::io::Errno;

use crate::{Error, Rotation, io::file_limit};

/// # Errors
/// `EFBIG` if a session that begins at `offset` has no room for the shortest block.
pub(super) fn check(path: &Path, offset: u64) -> Result<(), Error> {
    let needed = offset.saturating_add(Rotation::least_file());
    match file_limit() {
        Some(limit) if limit < needed => {
            let what = format!(
                "a file of this process may have {limit} bytes (RLIMIT_FSIZE, `ulimit -f`), and the log needs at \
                 least {needed}: raise the limit"
            );
            Err(Error::io(what, Errno::FBIG).at_path(path))
        }
        _ => Ok(()),
    }
}

/// Why a file of `size` bytes is not continued; `None`: the limit allows one more session.
pub(super) fn why_not_continued(size: u64) -> Option<String> {
    let limit = file_limit()?;
    let is_over = size.saturating_add(Rotation::least_file()) > limit;
    is_over.then(|| {
        format!("it has {size} bytes, and the limit of the process is {limit} (RLIMIT_FSIZE)")
    })
}
