//! The engine `pwritev2`: one write at a time, synced by a flag of the call.

use std::{
    fs::File,
    io::{self, ErrorKind, IoSlice},
};

use rustix::io::{Errno, ReadWriteFlags, pwritev2};

use super::BlockFile;

/// A file written by `pwritev2`.
#[derive(Debug)]
pub(super) struct PwriteFile {
    file: File,
    align: usize,
    flags: ReadWriteFlags,
}

impl PwriteFile {
    pub(super) fn new(file: File, align: usize, synced: bool) -> PwriteFile {
        let flags = if synced { ReadWriteFlags::DSYNC } else { ReadWriteFlags::empty() };
        PwriteFile { file, align, flags }
    }
}

impl BlockFile for PwriteFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        debug_assert!(bytes.as_ptr().addr().is_multiple_of(self.align));
        debug_assert!(bytes.len().is_multiple_of(self.align));
        debug_assert!(offset.is_multiple_of(self.align as u64));
        let mut done = 0;
        while done < bytes.len() {
            let rest = [IoSlice::new(&bytes[done..])];
            match pwritev2(&self.file, &rest, offset + done as u64, self.flags) {
                // A short write goes on at a multiple of the alignment: the last unit is repeated.
                Ok(written) => {
                    let whole = (done + written) & !(self.align - 1);
                    let finished = done + written >= bytes.len();
                    if written < self.align && !finished {
                        return Err(io::Error::new(
                            ErrorKind::WriteZero,
                            format!("{written} bytes of {} written", bytes.len() - done),
                        ));
                    }
                    done = if finished { bytes.len() } else { whole };
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn barrier(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}
