//! Forked children for tests.

/// Forks, and runs `check` in the child. Panics unless `check` returns `true` there: a child that panics or is killed
/// fails the test, too, and so does a child that waits for ever.
#[track_caller]
pub(crate) fn in_forked_child(check: impl FnOnce() -> bool) {
    // SAFETY: the child runs the test's `check` and exits without running any cleanup of the parent.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: the timer is the child's.
        unsafe { libc::alarm(60) };
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
