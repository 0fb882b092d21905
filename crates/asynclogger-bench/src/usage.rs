//! What this process has used, as the kernel counts it. Nothing but the measurement runs in the process.

use std::{fs, io, path::Path, time::Duration};

/// CPU time of the process, in user and kernel mode. The kernel's own threads, which write the page cache back, are in
/// nobody's account; io_uring's workers are in ours.
pub(crate) fn cpu() -> Duration {
    // SAFETY: `rusage` is plain numbers, for which zeros are valid; the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let time =
        |value: libc::timeval| Duration::new(value.tv_sec as u64, value.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// The greatest resident size so far, in bytes.
pub(crate) fn peak_resident() -> io::Result<u64> {
    Ok(field(&fs::read_to_string("/proc/self/status")?, "VmHWM:") * 1024)
}

/// How often threads other than the calling one were switched to, and how many there are.
pub(crate) fn wakes_of_others() -> io::Result<(u64, u64)> {
    // SAFETY: the call has no arguments and cannot fail.
    let own = unsafe { libc::gettid() }.to_string();
    let (mut wakes, mut threads) = (0, 0);
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        if task.file_name() == own.as_str() {
            continue;
        }
        // A thread that ends between the two calls is no thread.
        let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
        wakes += field(&status, "voluntary_ctxt_switches:");
        wakes += field(&status, "nonvoluntary_ctxt_switches:");
        threads += 1;
    }
    Ok((wakes, threads))
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Syncs all files of a directory, and the directory. Returns their bytes: lengths, and what they take on the disk.
pub(crate) fn sync_all(directory: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let (mut length, mut taken) = (0, 0);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            fs::File::open(entry.path())?.sync_all()?;
            length += metadata.len();
            taken += metadata.blocks() * 512;
        }
    }
    fs::File::open(directory)?.sync_all()?;
    Ok((length, taken))
}
