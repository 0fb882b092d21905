//! Forked children for tests.

/// Forks, and asks the child: `true` is what it should say. A child that panics or is killed says no.
#[track_caller]
pub(crate) fn in_forked_child(check: impl FnOnce() -> bool) {
    // SAFETY: the child does what the test asks it to, and leaves without anything of the parent's being run.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(!matches!(said, Ok(true)))) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(!libc::WIFSIGNALED(status), "the child was killed by {}", libc::WTERMSIG(status));
    assert_eq!(libc::WEXITSTATUS(status), 0, "the child said no");
}
