//! A control group with a limit of memory, for a child that is to go beyond the limit.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::support::wait_until;

/// A group below the group of this process; removed on drop.
pub struct MemoryGroup {
    path: PathBuf,
}

impl MemoryGroup {
    /// Makes a group that allows this many bytes; or says why none can be made here.
    pub fn new(limit: u64) -> Result<MemoryGroup, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = |controllers: &str| {
            let lines = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
            let is_it = |line: &Vec<&str>| {
                line.len() == 3 && line[1].split(',').any(|one| one == controllers)
            };
            lines.filter(is_it).map(|line| line[2].trim_start_matches('/').to_owned()).next()
        };
        let (root, own, file) = if let Some(own) = own("memory") {
            ("/sys/fs/cgroup/memory", own, "memory.limit_in_bytes")
        } else {
            ("/sys/fs/cgroup", own("").unwrap_or_default(), "memory.max")
        };
        // A container can see its own group as the root.
        let parents = [Path::new(root).join(own), root.into()];
        let mut refused = "there are no control groups of memory".to_owned();
        for parent in parents.iter().filter(|parent| parent.is_dir()) {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("asynclogger-test-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Err(error) => refused = format!("{}: {error}", path.display()),
                Ok(()) => {
                    let group = MemoryGroup { path };
                    match fs::write(group.path.join(file), limit.to_string()) {
                        Ok(()) => return Ok(group),
                        Err(error) => refused = format!("{file}: {error}"),
                    }
                }
            }
        }
        Err(refused)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves this process into the group at this path.
    pub fn enter(path: &Path) {
        fs::write(path.join("cgroup.procs"), std::process::id().to_string()).expect("entered");
    }

    /// The number of processes that the kernel has killed for their memory.
    pub fn kills(&self) -> u64 {
        let read = |name| fs::read_to_string(self.path.join(name)).ok();
        let text = read("memory.oom_control").or_else(|| read("memory.events"));
        let text = text.expect("the group's events");
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.expect("a count of kills").parse().expect("a number")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // The kernel gives up a process of the group only a moment after its parent was told of its end.
        let path = &self.path;
        wait_until("the group is empty", || fs::remove_dir(path).is_ok() || !path.is_dir());
    }
}
