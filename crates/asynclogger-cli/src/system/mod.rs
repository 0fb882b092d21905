//! What the systems have under different names, or not at all. The commands that read work on each of them.

#[cfg(not(target_os = "linux"))]
#[path = "named.rs"]
mod nameless;
#[cfg(target_os = "linux")]
mod nameless;
#[cfg(unix)]
mod stop;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub(crate) use self::nameless::{create_nameless, name, path_of};
#[cfg(windows)]
pub(crate) use self::windows::*;
#[cfg(unix)]
pub(crate) use self::{stop::*, unix::*};
