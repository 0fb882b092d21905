//! File systems for one test: made on an image or in memory, mounted, and gone at its end.
//!
//! Each is mounted in a mount namespace of the test's own thread (and of the threads and processes that
//! it starts), so nobody else sees it, and it ends with them whatever happens to them. Its loop device
//! is given up as soon as it is mounted: the kernel frees it when it is unmounted.

use std::{
    ffi::{CString, OsStr},
    fs::File,
    io::{BufRead, BufReader, Write},
    mem::MaybeUninit,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::support::directory;

const MIB: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// On a device with sectors of 512 bytes.
    Ext4,
    /// On one with sectors of 4096.
    Ext4On4k,
    /// Without a journal: a name is durable when its directory was synced, and not before. After a power cut it has to
    /// be repaired.
    Ext4WithoutJournal,
    Xfs,
    /// With sectors and blocks of 16 KiB: direct I/O asks for more than the format's least alignment.
    XfsOn16k,
    Btrfs,
    Tmpfs,
    /// Refuses `O_DIRECT`.
    Ramfs,
    /// With an upper directory on ext4.
    Overlay,
}

impl FileSystem {
    /// Makes and mounts one; or says why that cannot be done here.
    pub fn mount(self) -> Result<Mounted, String> {
        self.mount_of_size(self.least_mib())
    }

    /// About the least that each of them takes. The images are sparse.
    pub fn least_mib(self) -> u64 {
        match self {
            FileSystem::Xfs | FileSystem::XfsOn16k => 400,
            FileSystem::Btrfs => 256,
            _ => 128,
        }
    }

    /// As [`mount`](FileSystem::mount), of about so many MiB.
    pub fn mount_of_size(self, mib: u64) -> Result<Mounted, String> {
        enter_a_mount_namespace()?;
        match self {
            FileSystem::Tmpfs => in_memory("tmpfs", &format!("size={mib}m")),
            FileSystem::Ramfs => in_memory("ramfs", "mode=755"),
            FileSystem::Overlay => overlay(FileSystem::Ext4.mount_of_size(mib)?),
            on_a_device => on_a_loop(on_a_device, mib),
        }
    }

    /// The bytes of a sector of its device.
    pub fn sector(self) -> u32 {
        match self {
            FileSystem::Ext4On4k => 4096,
            FileSystem::XfsOn16k => 16384,
            _ => 512,
        }
    }

    /// Makes one on this device.
    pub fn make_on(self, device: &LoopDevice) -> Result<(), String> {
        let mkfs: &[&str] = match self {
            FileSystem::Xfs => &["mkfs.xfs", "-q", "-f"],
            FileSystem::XfsOn16k => {
                &["mkfs.xfs", "-q", "-f", "-s", "size=16384", "-b", "size=16384"]
            }
            FileSystem::Btrfs => &["mkfs.btrfs", "-q", "-f"],
            FileSystem::Ext4WithoutJournal => {
                // A block for each inode: the sync of a file writes no other file's half-made state.
                &["mkfs.ext4", "-q", "-m", "0", "-b", "1024", "-I", "1024", "-O", "^has_journal"]
            }
            _ => &["mkfs.ext4", "-q", "-m", "0"],
        };
        run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&device.0)).map(drop)
    }

    /// Does what a machine does between a power cut and the mount; returns what it printed.
    pub fn repair(self, device: &LoopDevice) -> Result<String, String> {
        if self != FileSystem::Ext4WithoutJournal {
            return Ok(String::new());
        }
        let output = Command::new("e2fsck").args(["-f", "-y"]).arg(&device.0).output();
        let output = output.map_err(|error| format!("e2fsck: {error}"))?;
        let said = format!("e2fsck: {}", String::from_utf8_lossy(&output.stdout));
        // 1: something was repaired.
        if output.status.code().is_some_and(|code| code < 4) { Ok(said) } else { Err(said) }
    }
}

/// A mounted file system; unmounted on drop.
#[derive(Debug)]
pub struct Mounted {
    point: PathBuf,
    /// What it lies on; unmounted after it.
    _below: Option<Box<Mounted>>,
    /// Of the mount point, and of the image.
    _directory: TempDir,
}

impl Mounted {
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// Bytes that can still be written.
    pub fn free(&self) -> u64 {
        let path = CString::new(self.point.as_os_str().as_bytes()).expect("no NUL");
        let mut answer = MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: the path ends with NUL, and the structure is ours; zeros are a valid value of it.
        let (result, answer) = unsafe {
            let result = libc::statvfs(path.as_ptr(), answer.as_mut_ptr());
            (result, answer.assume_init())
        };
        assert_eq!(result, 0, "statvfs");
        answer.f_bavail * answer.f_frsize
    }

    /// Writes a file that leaves `bytes` free.
    pub fn fill_up_to(&self, bytes: u64) -> PathBuf {
        let path = self.point.join("filler");
        let mut file = File::create(&path).expect("the filler");
        // The file system needs some of it for itself, so it comes nearer in steps.
        while let Some(more) = self.free().checked_sub(bytes).filter(|more| *more > 0) {
            let piece = vec![0x5A; (more as usize / 2).max(16 << 10)];
            file.write_all(&piece).expect("room for the filler");
            // What is not allocated yet is not counted.
            file.sync_data().expect("room for the filler");
        }
        path
    }

    /// Freezes the file system: whoever writes to it waits, until the guard is dropped.
    ///
    /// # Errors
    /// Why it cannot be done here.
    pub fn freeze(&self) -> Result<Frozen, String> {
        // A process of its own, so that the file system does not stay frozen if this one is killed; its
        // own group, so that an interrupt from the terminal does not reach it.
        let script = "fsfreeze -f \"$1\" || exit 1; echo frozen; timeout 120 cat >/dev/null; \
                      fsfreeze -u \"$1\"";
        let spawned = Command::new("sh")
            .args([OsStr::new("-c"), OsStr::new(script), OsStr::new("sh"), self.point.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut keeper = spawned.map_err(|error| format!("sh: {error}"))?;
        let mut answer = String::new();
        let output = keeper.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut answer).expect("an answer");
        // From here on the guard sees to the end of the process.
        let frozen = Frozen { keeper };
        if answer != "frozen\n" {
            return Err("fsfreeze does not work here".into());
        }
        Ok(frozen)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A panic may have left a file open.
        if run(Command::new("umount").arg(&self.point)).is_err() {
            let _ = run(Command::new("umount").arg("-l").arg(&self.point));
        }
    }
}

/// Keeps a file system frozen; thaws it on drop.
#[derive(Debug)]
pub struct Frozen {
    keeper: Child,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The file system, or a word on why this test does nothing.
pub fn or_skip<T>(result: Result<T, String>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(reason) => {
            skipped(&reason);
            None
        }
    }
}

/// Says that the current test is skipped, past the capture of the harness.
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// Runs a command to its end; returns what it printed.
pub fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Gives this thread mounts of its own, which it does not share with the rest of the system.
pub fn enter_a_mount_namespace() -> Result<(), String> {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        return Err("mounting needs root".into());
    }
    let refused = |what| format!("{what}: {}", std::io::Error::last_os_error());
    // SAFETY: concerns the mounts, root and working directory of this thread only.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(refused("a mount namespace"));
    }
    let (nothing, flags) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
    // SAFETY: the target ends with NUL; a change of propagation looks at nothing else but the flags.
    let result =
        unsafe { libc::mount(c"none".as_ptr(), c"/".as_ptr(), nothing, flags, nothing.cast()) };
    if result == 0 { Ok(()) } else { Err(refused("private mounts")) }
}

/// A mount point in `directory`, whose mount is not yet there.
fn mount_point(directory: &TempDir) -> PathBuf {
    let point = directory.path().join("mounted");
    std::fs::create_dir(&point).expect("the mount point");
    point
}

fn in_memory(kind: &str, options: &str) -> Result<Mounted, String> {
    let directory = directory();
    let point = mount_point(&directory);
    run(Command::new("mount").args(["-t", kind, "-o", options, kind]).arg(&point))?;
    Ok(Mounted { point, _below: None, _directory: directory })
}

fn on_a_loop(kind: FileSystem, mib: u64) -> Result<Mounted, String> {
    let directory = directory();
    let image = directory.path().join("image");
    let file = File::create(&image).expect("the image");
    file.set_len(mib * MIB).expect("a sparse image");
    let device = LoopDevice::attach(&image, kind.sector(), false)?;
    kind.make_on(&device)?;
    let point = mount_point(&directory);
    run(Command::new("mount").arg(&device.0).arg(&point))?;
    Ok(Mounted { point, _below: None, _directory: directory })
}

fn overlay(below: Mounted) -> Result<Mounted, String> {
    let directory = directory();
    let point = mount_point(&directory);
    let part = |name: &str| {
        let path = below.path().join(name);
        std::fs::create_dir(&path).expect("a directory");
        path
    };
    let (lower, upper, work) = (part("lower"), part("upper"), part("work"));
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    run(Command::new("mount").args(["-t", "overlay", "-o", &options, "overlay"]).arg(&point))?;
    Ok(Mounted { point, _below: Some(Box::new(below)), _directory: directory })
}

/// Given up on drop; while something is mounted from it, the kernel does so at the end of that.
#[derive(Debug)]
pub struct LoopDevice(String);

impl LoopDevice {
    /// A device with the bytes of this file; `is_direct`: nothing is kept in the page cache of the file.
    pub fn attach(file: &Path, sector: u32, is_direct: bool) -> Result<LoopDevice, String> {
        let sector = sector.to_string();
        let mut losetup = Command::new("losetup");
        losetup.args(["--find", "--show", "--sector-size", &sector]);
        if is_direct {
            losetup.arg("--direct-io=on");
        }
        run(losetup.arg(file)).map(LoopDevice)
    }

    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = run(Command::new("losetup").arg("--detach").arg(&self.0));
    }
}
