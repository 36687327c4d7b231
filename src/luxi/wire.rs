//! LUXI's framing, without any I/O: one JSON text and one end byte per message, in both directions.
//!
//! Source: `rpc/transport.py: Transport`, `UDSServer.hs`.

use serde::Serialize;
use thiserror::Error;

/// Ends every message. JSON text cannot contain it.
pub const END_OF_MESSAGE: u8 = 0x03;

/// Longest accepted answer, in bytes. 10,000 instances need about 3 MB.
pub const FRAME_LIMIT: usize = 64 << 20;

/// Most values in an answer that is parsed: texts, numbers, lists and objects, at any depth. A value of two
/// bytes costs up to a hundred in memory, so a limit on bytes alone is not enough. An instance in a query has
/// about 40; this is enough for 50,000 in one node group, where Ganeti itself would long have become unusably
/// slow.
pub const VALUES_LIMIT: usize = 2_000_000;

/// An answer grew past the limit before its end byte came.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the answer is longer than {limit} bytes")]
pub struct FrameTooLong {
    /// The limit in bytes.
    pub limit: usize,
}

/// Cuts a byte stream into messages. Feed it what was read, and take out whole messages.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// This many bytes at the start of the buffer are known to contain no end byte.
    searched: usize,
    limit: usize,
}

impl FrameDecoder {
    /// A decoder that accepts messages of up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), searched: 0, limit }
    }

    /// Takes in what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message without its end byte, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the message is longer than the limit. The stream is then useless.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameTooLong> {
        let end = self.buffer[self.searched..].iter().position(|&byte| byte == END_OF_MESSAGE);
        let length = end.map_or(self.buffer.len(), |offset| self.searched + offset);
        if length > self.limit {
            return Err(FrameTooLong { limit: self.limit });
        }
        self.searched = length;
        if end.is_none() {
            return Ok(None);
        }
        let rest = self.buffer.split_off(length + 1);
        let mut frame = std::mem::replace(&mut self.buffer, rest);
        frame.truncate(length);
        self.searched = 0;
        Ok(Some(frame))
    }

    /// Whether everything taken in has been given out again.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// Whether the JSON text has more than `limit` values; counting stops at the first one too many. For text
/// that is not JSON the result is meaningless.
#[must_use]
pub fn has_more_values(text: &[u8], limit: usize) -> bool {
    let mut values = 1_usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b'[' | b'{' => {
                values += 1;
                if values > limit {
                    return true;
                }
            }
            b'"' => {
                while bytes
                    .next()
                    .is_some_and(|byte| *byte != b'"' && (*byte != b'\\' || bytes.next().is_some()))
                {
                }
            }
            _ => {}
        }
    }
    values > limit
}

/// One message, end byte included.
///
/// # Errors
/// When the value cannot be written as JSON (a map with keys that are not strings, for example).
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(END_OF_MESSAGE);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(decoder: &mut FrameDecoder) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| decoder.next_frame().unwrap()).collect()
    }

    #[test]
    fn the_cut_does_not_depend_on_how_the_bytes_arrive() {
        let stream = b"{\"a\":1}\x03\x03[]\x03rest";
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let mut decoder = FrameDecoder::new(7);
                let mut found = Vec::new();
                for part in [&stream[..first], &stream[first..second], &stream[second..]] {
                    decoder.push(part);
                    found.extend(frames(&mut decoder));
                }
                assert_eq!(found, [b"{\"a\":1}".to_vec(), b"".to_vec(), b"[]".to_vec()]);
                assert!(!decoder.buffer.is_empty(), "a torn message must be noticed");
            }
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_with_or_without_its_end() {
        for bytes in [&b"12345"[..], &b"12345\x03"[..]] {
            let mut decoder = FrameDecoder::new(4);
            decoder.push(bytes);
            assert_eq!(decoder.next_frame(), Err(FrameTooLong { limit: 4 }));
        }
        let mut decoder = FrameDecoder::new(4);
        decoder.push(b"1234\x03");
        assert_eq!(frames(&mut decoder), [b"1234".to_vec()]);
        assert!(decoder.buffer.is_empty());
    }

    #[test]
    fn values_are_counted_outside_of_texts() {
        for (text, values) in [
            ("7", 1),
            (r#""a,[b\\",c""#, 1),
            ("[]", 2),
            ("[1,2]", 3),
            (r#"{"a":[1,"x,y[{"],"b\"{":{}}"#, 5),
            (r#"["unended, [[["#, 2),
        ] {
            assert!(has_more_values(text.as_bytes(), values - 1), "{text}");
            assert!(!has_more_values(text.as_bytes(), values + 1), "{text}");
        }
    }

    #[test]
    fn an_end_byte_inside_a_string_is_escaped() {
        assert_eq!(encode(&"a\u{3}b").unwrap(), b"\"a\\u0003b\"\x03");
    }
}
