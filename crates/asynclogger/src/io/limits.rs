//! Limits that the system sets for this process.

use std::{fs, path::Path};

use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

use crate::Error;

/// The number of descriptors that the process may have open; `None`: unlimited.
pub(crate) fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The greatest length that a file of this process may have, in bytes; `None`: unlimited.
pub(crate) fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// # Errors
/// `EFBIG` if no file of the process may have `needed` bytes.
pub(crate) fn check_file_limit(path: &Path, needed: u64) -> Result<(), Error> {
    match file_size_limit() {
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

/// The bytes of memory that the control groups of this process still allow; `None`: unlimited, or not known.
///
/// A process that goes beyond them is killed, also when the memory is that of a file in memory: such a file cannot be
/// refused by an error.
pub(super) fn memory_left() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().filter_map(left_in).min()
}

/// The bytes that one line of `/proc/self/cgroup`, `number:controllers:path`, allows.
fn left_in(line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, limit, usage) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
        all if all.split(',').any(|one| one == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
        }
        _ => return None,
    };
    // Each ancestor's limit holds, too. A container can see its own group as the root: then the path leads nowhere, and
    // the root has the limit.
    let own = Path::new(path.trim_start_matches('/'));
    let groups = own.ancestors().map(|group| Path::new(root).join(group));
    let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let left = |group: &Path| {
        Some(number(&group.join(limit))?.saturating_sub(number(&group.join(usage))?))
    };
    groups.filter_map(|group| left(&group)).min()
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    #[test]
    fn lines_that_name_no_group_of_memory_give_no_limit() {
        for line in ["", "1", "3:cpu:/", "2:cpu,cpuacct:/a", "0::"] {
            // The last one is the root group, which has no limit of its own.
            assert!(left_in(line).is_none_or(|left| left > 1 << 20), "{line}");
        }
        assert!(memory_left().is_none_or(|left| left > 1 << 20));
    }

    #[test]
    fn limits_are_those_of_the_process() {
        let limits = fs::read_to_string("/proc/self/limits").expect("the limits");
        let soft = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("a limit");
            line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok())
        };
        assert_eq!(descriptor_limit(), soft("Max open files"));
        assert_eq!(file_size_limit(), soft("Max file size"));
    }
}
