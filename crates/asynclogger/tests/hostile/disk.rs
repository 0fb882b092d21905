//! A small disk of a world's own, which the world can fill.

use std::{ffi::CString, io, os::unix::ffi::OsStrExt, path::Path};

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL")
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives this thread, and those that it starts, mounts of their own, which end with them.
pub fn enter_a_mount_namespace() -> io::Result<()> {
    // SAFETY: concerns the mounts, root and working directory of this thread only.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let (nothing, flags) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
    // SAFETY: the target ends with NUL; a change of propagation looks at nothing else but the flags.
    done(unsafe { libc::mount(c"none".as_ptr(), c"/".as_ptr(), nothing, flags, nothing.cast()) })
}

/// A file system in memory of a few MiB.
#[derive(Debug)]
pub struct SmallDisk(CString);

impl SmallDisk {
    pub fn mount(point: &Path) -> io::Result<SmallDisk> {
        let point = c_path(point);
        let (kind, options) = (c"tmpfs".as_ptr(), c"size=6m");
        // SAFETY: all strings end with NUL.
        done(unsafe { libc::mount(kind, point.as_ptr(), kind, 0, options.as_ptr().cast()) })?;
        Ok(SmallDisk(point))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Files that are still open keep it alive, but nobody finds it.
        // SAFETY: the path ends with NUL.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}
