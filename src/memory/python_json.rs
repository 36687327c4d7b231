//! JSON text as Python writes it, so that both watchers produce the same bytes from the same data.
//!
//! Source: `serializer.py: DumpJson` (simplejson with its defaults, then a line feed).

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

/// The value as one line of JSON with `", "` and `": "`, only ASCII, and a line feed at the end.
///
/// # Errors
/// When the value cannot be written as JSON.
pub fn to_line(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut line = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, PythonFormatter))?;
    line.push(b'\n');
    Ok(String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(repr(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if matches!(character, ' '..='~') {
                write!(writer, "{character}")?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// Python's `repr(float)`: the shortest digits that read back as the same number, with an exponent below 1e-4
/// and from 1e16 on.
fn repr(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_text_is_python_s() {
        let value = json!({"b": [1, {"a": null}], "a": "é\u{1F600}\"\n\u{7f}\u{1}", "c": {}});
        assert_eq!(
            to_line(&value).unwrap(),
            "{\"b\": [1, {\"a\": null}], \"a\": \"\\u00e9\\ud83d\\ude00\\\"\\n\\u007f\\u0001\", \"c\": {}}\n"
        );
    }

    #[test]
    fn floats_are_python_s() {
        for (value, text) in [
            (1_795_343_883.732_168_7, "1795343883.7321687"),
            (1_795_343_883.0, "1795343883.0"),
            (0.0, "0.0"),
            (-0.5, "-0.5"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e16, "1e+16"),
            (1.25e20, "1.25e+20"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (9_007_199_254_740_992.0, "9007199254740992.0"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(repr(value), text);
        }
    }

    #[test]
    fn what_python_wrote_is_written_back_unchanged() {
        let text = concat!(
            r#"{"instance": {"inst4.example.com": {"restart_when": 1795343883.7321687, "restart_count": 6}}, "#,
            r#""node": {"node1.example.com": {"bootid": "da8187bb"}}}"#,
            "\n"
        );
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(to_line(&value).unwrap(), text);
    }
}
