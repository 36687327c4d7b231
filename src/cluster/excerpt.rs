//! Text from elsewhere, cut to the length of a log line.

/// The most foreign text that goes into one log line, in bytes.
pub const LONGEST_TEXT: usize = 3072;
/// The most of a name, a class or a summary, in bytes. A host name has at most 253.
pub const LONGEST_NAME: usize = 256;

/// The text, or if it is longer than `limit` bytes its beginning and its end, where the reason usually is,
/// with the number of bytes left out in between. Only that remark makes the result longer than `limit`.
#[must_use]
pub fn excerpt(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    let head = (0..=limit / 2).rev().find(is_boundary).unwrap_or(0);
    let tail = (text.len() - limit / 2..=text.len()).find(is_boundary).unwrap_or(text.len());
    format!("{} [{} bytes left out] {}", &text[..head], tail - head, &text[tail..])
}

/// How much of what somebody typed, or of a file's content, is shown in a message, in characters.
pub const LONGEST_QUOTE: usize = 60;

/// The first `longest` characters of a text from outside, in quotes and on one line: nobody should be shown a
/// whole file just because it has one of our names.
#[must_use]
pub fn quoted(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for character in text.chars().take(longest) {
        match character.is_control() {
            true => shown.extend(character.escape_debug()),
            false => shown.push(character),
        }
    }
    let cut = if text.chars().nth(longest).is_some() { "..." } else { "" };
    format!("'{shown}{cut}'")
}

/// The first three of these names, and how many more there are.
pub fn few<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    const SHOWN: usize = 3;
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(SHOWN).map(|name| excerpt(name, LONGEST_NAME)).collect();
    let shown = shown.join(", ");
    match names.count() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_is_short_and_on_one_line() {
        assert_eq!(quoted("root:x\n\u{1b}[0m", LONGEST_QUOTE), r"'root:x\n\u{1b}[0m'");
        assert_eq!(quoted(&"é".repeat(100), LONGEST_QUOTE), format!("'{}...'", "é".repeat(60)));
        assert_eq!(quoted("", LONGEST_QUOTE), "''");
    }

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        assert_eq!(excerpt("abcdef", 6), "abcdef");
        assert_eq!(excerpt("abcdefgh", 4), "ab [4 bytes left out] gh");
        let long = "é".repeat(1 << 20);
        for limit in [0, 1, 2, 3, 100, LONGEST_TEXT] {
            assert!(excerpt(&long, limit).len() <= limit + 40, "{limit}");
        }
    }

    #[test]
    fn many_names_are_a_few_and_a_number() {
        assert_eq!(few(["a", "b", "c"]), "a, b, c");
        assert_eq!(few(["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
