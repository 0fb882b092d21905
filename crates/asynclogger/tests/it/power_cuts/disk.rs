//! A disk of which each write and each flush is known: a file system (FUSE) with one file, in the memory of this
//! process, for a loop device.
//!
//! This process must not use what is mounted from the disk: killed in such a call, it would wait for itself. Other
//! processes get errors when it is gone.

use std::{
    ffi::OsStr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, Session, WriteFlags,
};
use tempfile::TempDir;

use super::recording::{Recording, What};
use crate::{crash_safe::Counts, support::directory};

/// The one file.
const NAME: &str = "disk";
const FILE: INodeNo = INodeNo(2);
/// The kernel can keep what it knows of names and attributes: they never change.
const FOR_EVER: Duration = Duration::from_secs(3600);

pub struct Disk {
    shared: Arc<Shared>,
    /// Unmounted on drop, in front of the directory.
    _session: BackgroundSession,
    directory: TempDir,
}

struct Shared {
    len: u64,
    recording: Mutex<Recording>,
    /// What the worker has said so far.
    counts: Counts,
}

impl Shared {
    fn recording(&self) -> MutexGuard<'_, Recording> {
        // A check that failed while it looked at the recording has changed nothing.
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    /// Mounts a disk of zeros.
    ///
    /// # Errors
    /// Why that cannot be done here.
    pub fn new(mib: u64, counts: Counts) -> Result<Disk, String> {
        let (directory, len) = (directory(), mib << 20);
        let recording = Mutex::new(Recording::new(len as usize));
        let shared = Arc::new(Shared { len, recording, counts });
        let refused = |error| format!("FUSE: {error}");
        let session = Session::new(OneFile(shared.clone()), directory.path(), &Config::default());
        let session = session.and_then(Session::spawn).map_err(refused)?;
        Ok(Disk { shared, _session: session, directory })
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join(NAME)
    }

    pub fn recording(&self) -> MutexGuard<'_, Recording> {
        self.shared.recording()
    }
}

struct OneFile(Arc<Shared>);

impl OneFile {
    fn record(&self, what: What) {
        // What is known now was said before this entry, and all that it rests on is in the entries before.
        self.0.recording().add(what, &self.0.counts);
    }

    fn attr(&self, ino: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match ino {
            INodeNo::ROOT => (FileType::Directory, 0o755, 0),
            FILE => (FileType::RegularFile, 0o600, self.0.len),
            _ => return None,
        };
        Some(FileAttr {
            ino,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for OneFile {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Else the longest that the kernel takes.
        let _ = config.set_max_write(1 << 20);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attr(FILE) {
            Some(attr) if parent == INodeNo::ROOT && name == NAME => {
                reply.entry(&FOR_EVER, &attr, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attr(ino) {
            Some(attr) => reply.attr(&FOR_EVER, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // No page cache: what the device writes comes here at once.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let recording = self.0.recording();
        reply.data(recording.now(offset as usize, size as usize));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if offset + data.len() as u64 > self.0.len {
            return reply.error(Errno::ENOSPC);
        }
        self.record(What::Write { offset: offset as usize, bytes: data.into() });
        reply.written(data.len() as u32);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.record(What::Flush);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // The close of a descriptor: nothing for a disk.
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        // Zeros are written like other bytes.
        reply.error(Errno::EOPNOTSUPP);
    }
}
