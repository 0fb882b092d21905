//! From the name of an event to the names that its file may have. Pure.
//!
//! The rules of the original give the plain name: a character that cannot stand in a file name becomes `_`. Several
//! names can become the same that way. So each name also has a hashed form of its own, for when the plain one belongs
//! to another event, or when no plain one is possible.

use crate::{Error, ErrorKind};

/// The longest name of an event, in bytes: a name of this length fits into a start block of any size.
pub(crate) const MAX_EVENT_NAME: usize = 1024;

/// Archived names add a time, a number and suffixes to this; 255 bytes is the limit of file systems.
const MAX_BASE: usize = 200;
/// `~` and 16 hexadecimal digits.
const HASH_LEN: usize = 17;

/// The names of an event and of its files, without `.log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventName {
    full: String,
    plain: Option<String>,
    hashed: String,
}

impl EventName {
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if it is empty, or longer than [`MAX_EVENT_NAME`].
    pub(crate) fn of(name: &str) -> Result<EventName, Error> {
        if name.is_empty() {
            return Err(Error::new(ErrorKind::InvalidConfig, "the name of an event is empty"));
        }
        if name.len() > MAX_EVENT_NAME {
            let what = format!(
                "the name of an event has {} bytes; the most is {MAX_EVENT_NAME}",
                name.len()
            );
            return Err(Error::new(ErrorKind::InvalidConfig, what));
        }
        let sanitized = sanitized(name);
        let front = cut(&sanitized, MAX_BASE - HASH_LEN);
        let hashed = format!("{front}~{:016x}", fnv1a(name.as_bytes()));
        let has_plain = sanitized.len() <= MAX_BASE
            && !looks_hashed(&sanitized)
            && archived_base(&sanitized).is_none();
        Ok(EventName { full: name.to_owned(), plain: has_plain.then_some(sanitized), hashed })
    }

    /// The name as the caller gave it, which is the name in the start block.
    pub(crate) fn full(&self) -> &str {
        &self.full
    }

    /// The name by the rules of the original, if they give one.
    pub(crate) fn plain(&self) -> Option<&str> {
        self.plain.as_deref()
    }

    /// The name that follows from the full name alone.
    pub(crate) fn hashed(&self) -> &str {
        &self.hashed
    }
}

/// Applies the rules of the original, and two more: no control characters, no dot or dash in front.
fn sanitized(name: &str) -> String {
    let mut in_front = true;
    name.chars()
        .map(|letter| {
            let is_bad =
                matches!(letter, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | ' ')
                    || letter.is_control()
                    || (in_front && matches!(letter, '.' | '-'));
            in_front &= matches!(letter, '.' | '-');
            if is_bad { '_' } else { letter }
        })
        .collect()
}

/// The first whole letters of a text, at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether a name ends like a hashed one: it could be the hashed name of another event.
fn looks_hashed(name: &str) -> bool {
    name.len() >= HASH_LEN && {
        let tail = &name.as_bytes()[name.len() - HASH_LEN..];
        tail[0] == b'~' && tail[1..].iter().all(u8::is_ascii_hexdigit)
    }
}

/// The base of a name like that of an archived segment, `{base}_{YYYY-MM-DD_HH-MM-SS}[.N]`. An event of such a name
/// would write among the archived segments of another event.
pub(super) fn archived_base(name: &str) -> Option<&str> {
    const PATTERN: &[u8] = b"_0000-00-00_00-00-00";
    let front = match name.rsplit_once('.') {
        Some((front, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => front,
        _ => name,
    };
    let at = front.len().checked_sub(PATTERN.len())?;
    let fits = front.as_bytes()[at..].iter().zip(PATTERN).all(|(byte, pattern)| match pattern {
        b'0' => byte.is_ascii_digit(),
        _ => byte == pattern,
    });
    // All of the pattern is ASCII, so this is the boundary of a letter.
    fits.then(|| &front[..at])
}

/// A name as a file system sees it that does not distinguish upper and lower case.
pub(super) fn folded(base: &str) -> String {
    base.to_lowercase()
}

/// FNV-1a, 64 bits. The names of files depend on this hash, so it must never change.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(name: &str) -> Option<String> {
        EventName::of(name).expect("a name").plain().map(str::to_owned)
    }

    /// `TestSanitizeEventName` of the original, by its rules and its examples.
    #[test]
    fn sanitize_event_name() {
        for (name, expected) in [
            ("payment", "payment"),
            ("payment/event", "payment_event"),
            ("payment\\event", "payment_event"),
            ("payment:event", "payment_event"),
            ("order*test", "order_test"),
            ("a?b", "a_b"),
            ("a\"b", "a_b"),
            ("a<b>c|d", "a_b_c_d"),
            ("login event", "login_event"),
            ("user-login_2", "user-login_2"),
            ("v1.2", "v1.2"),
        ] {
            assert_eq!(plain(name).as_deref(), Some(expected), "{name}");
        }
        let longest = "x".repeat(MAX_BASE);
        assert_eq!(plain(&longest), Some(longest.clone()));
        assert!(EventName::of("").is_err());
        assert!(EventName::of(&"x".repeat(MAX_EVENT_NAME + 1)).is_err());
    }

    #[test]
    fn names_that_would_mean_something_else_in_a_directory() {
        for (name, expected) in [
            (".", "_"),
            ("..", "__"),
            ("../../etc/passwd", "___.._etc_passwd"),
            (".hidden", "_hidden"),
            ("--help", "__help"),
            ("-.-x-.", "___x-."),
            ("a\nb\0c\x7f\u{85}", "a_b_c__"),
        ] {
            assert_eq!(plain(name).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn some_names_have_a_hash_whatever_else_is_there() {
        let long = "x".repeat(MAX_BASE + 1);
        for name in [
            long.as_str(),
            "app_2026-01-02_03-04-05",
            "app_2026-01-02_03-04-05.12",
            "_2026-01-02_03-04-05",
            "app~0123456789abcdef",
        ] {
            let name = EventName::of(name).expect("a name");
            assert_eq!(name.plain(), None, "{name:?}");
            assert!(name.hashed().len() <= MAX_BASE);
        }
        for name in ["app_2026-01-02", "app_2026-01-02_03-04-05x", "app~1", "a.1", "1"] {
            assert_eq!(plain(name).as_deref(), Some(name));
        }
    }

    /// The names of files depend on this hash, so this must hold for ever.
    #[test]
    fn the_hash_stays_what_it_is() {
        assert_eq!(fnv1a(b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_F739_67E8);
        let name = EventName::of("payment/event").expect("a name");
        assert_eq!(name.hashed(), format!("payment_event~{:016x}", fnv1a(b"payment/event")));
    }

    fn is_safe(base: &str) {
        let first = base.chars().next().expect("not empty");
        assert!(!matches!(first, '.' | '-'), "{base}");
        assert!(base.len() <= MAX_BASE, "{base}");
        assert!(!base.chars().any(|c| c == '/' || c == '\0' || c.is_control()), "{base}");
        assert_eq!(archived_base(base), None, "{base}");
    }

    proptest! {
        #[test]
        fn every_name_is_safe(name in "(?s).{1,80}", times in 1_usize..4) {
            let name = name.repeat(times);
            if let Ok(name) = EventName::of(&name) {
                is_safe(name.hashed());
                prop_assert!(looks_hashed(name.hashed()));
                if let Some(plain) = name.plain() {
                    is_safe(plain);
                    prop_assert!(!looks_hashed(plain));
                }
            }
        }

        #[test]
        fn different_names_have_different_hashes(a in "[ab/ .A]{1,12}", b in "[ab/ .A]{1,12}") {
            let (one, other) = (EventName::of(&a).expect("a"), EventName::of(&b).expect("b"));
            prop_assert_eq!(a == b, one.hashed() == other.hashed());
        }

        #[test]
        fn what_needs_no_change_has_none(name in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,150}") {
            prop_assume!(archived_base(&name).is_none());
            prop_assert_eq!(plain(&name), Some(name));
        }
    }
}
