//! What happens below the logger while it is measured.

use std::{
    fs::File,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use crate::{args::Trouble, outcome::Outcome};

const BEFORE: Duration = Duration::from_millis(500);
const LASTS: Duration = Duration::from_secs(2);
/// `_IOWR('X', 119, int)` and `_IOWR('X', 120, int)`, from linux/fs.h.
const FIFREEZE: libc::Ioctl = 0xc004_5877_u32 as libc::Ioctl;
const FITHAW: libc::Ioctl = 0xc004_5878_u32 as libc::Ioctl;

/// Makes the trouble, and calls `over` at its end.
pub(crate) fn make(trouble: Trouble, directory: &Path, over: impl FnOnce()) -> Outcome<()> {
    match trouble {
        Trouble::None | Trouble::Rotate => {
            over();
            return Ok(());
        }
        Trouble::Freeze => {
            let root = File::open(directory)?;
            sleep(BEFORE);
            let frozen = Frozen::new(root)?;
            sleep(LASTS);
            drop(frozen);
        }
        Trouble::Full => {
            sleep(BEFORE);
            let ballast = Ballast::new(directory.join("ballast"))?;
            sleep(LASTS);
            drop(ballast);
        }
    }
    over();
    Ok(())
}

/// A file system that takes no writes, until it is dropped: a write to it waits in the kernel, buffered or direct.
struct Frozen(File);

impl Frozen {
    fn new(root: File) -> Outcome<Frozen> {
        // SAFETY: the call takes a descriptor, which `root` keeps open, and no memory.
        let result = unsafe { libc::ioctl(root.as_raw_fd(), FIFREEZE, 0) };
        match result {
            0 => Ok(Frozen(root)),
            _ => Err(format!("FIFREEZE: {}", std::io::Error::last_os_error()).into()),
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::ioctl(self.0.as_raw_fd(), FITHAW, 0) };
    }
}

/// A file that takes all room of a file system, until it is dropped.
struct Ballast(PathBuf);

impl Ballast {
    fn new(path: PathBuf) -> Outcome<Ballast> {
        let file = File::create(&path)?;
        let ballast = Ballast(path);
        let (mut end, mut piece) = (0, 1 << 30);
        while piece >= 512 {
            // SAFETY: the call takes a descriptor, which `file` keeps open, and no memory.
            match unsafe { libc::fallocate(file.as_raw_fd(), 0, end, piece) } {
                0 => end += piece,
                _ => piece /= 2,
            }
        }
        Ok(ballast)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
