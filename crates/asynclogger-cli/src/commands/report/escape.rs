//! Names and paths come from outside; here they become text of a page.

use std::fmt::Write as _;

/// The text for any bytes: what means something in HTML is escaped, and so are control characters, characters that turn
/// the direction of a text, and bytes that are not UTF-8, which are shown as `\x..` or `\u{..}`.
pub(super) fn text(bytes: impl AsRef<[u8]>) -> String {
    let mut text = String::new();
    for chunk in bytes.as_ref().utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '&' => text.push_str("&amp;"),
                '<' => text.push_str("&lt;"),
                '>' => text.push_str("&gt;"),
                '"' => text.push_str("&quot;"),
                '\'' => text.push_str("&#39;"),
                _ if turns_text(char) => text.extend(char.escape_unicode()),
                _ if char.is_control() => {
                    let _ = write!(text, "\\x{:02x}", u32::from(char));
                }
                _ => text.push(char),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn turns_text(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn nothing_of_a_name_becomes_markup() {
        let name = b"<script>alert('1')</script>&\"\x1b[2J\n\xff \xe2\x80\xae\xc3\xa9";
        assert_eq!(
            text(name),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;\\x1b[2J\\x0a\\xff \\u{202e}\u{e9}"
        );
    }
}
