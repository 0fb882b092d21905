//! A mark on a file that is being written: a lock on a byte far behind its end.
//!
//! A writer that has lost its lock goes on in its file until its next look, and perhaps longer: another writer has the
//! log's path by then, and has given the file an archived name. The mark tells the other writer that the file may be
//! neither compressed nor deleted yet.

use std::{fs::File, io::ErrorKind, os::fd::AsFd};

use crate::{
    locks::{ByteLock, lock_last_byte},
    mem::OfProcess,
    sync::Arc,
};

/// The mark of a file that this process writes. Without a mark the file is written all the same.
pub(super) struct WriteMark(Option<OfProcess<Arc<File>>>);

impl WriteMark {
    /// Marks a file, unless the file system has no such locks.
    pub(super) fn put(file: &Arc<File>) -> WriteMark {
        let is_put = lock_last_byte(&**file, ByteLock::Exclusive).is_ok();
        WriteMark(is_put.then(|| OfProcess::new(file.clone())))
    }
}

impl Drop for WriteMark {
    fn drop(&mut self) {
        // The end of the descriptor is not enough: a forked child has a copy of the descriptor.
        if let Some(file) = self.0.as_ref().and_then(OfProcess::get) {
            let _ = lock_last_byte(&**file, ByteLock::Unlocked);
        }
    }
}

/// Whether a writer has marked a file. If not, the file takes no mark until this descriptor is closed.
pub(crate) fn is_marked(file: &impl AsFd) -> bool {
    let locked = lock_last_byte(file, ByteLock::Shared);
    locked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_marked_as_long_as_it_is_written() {
        let temp = tempfile::NamedTempFile::new().expect("a file");
        let look = || File::open(temp.path()).expect("the file");
        let written = File::options().write(true).open(temp.path()).expect("the file");
        let written = Arc::new(written);
        let mark = WriteMark::put(&written);
        assert!(is_marked(&look()));
        let copy = written.try_clone().expect("a descriptor as a forked child has one");
        drop(mark);
        let looks = [look(), look()];
        assert!(looks.iter().all(|look| !is_marked(look)));
        // Whoever compresses or deletes the file has come first.
        assert!(WriteMark::put(&written).0.is_none());
        drop((looks, copy));
        assert!(WriteMark::put(&written).0.is_some());
    }
}
