//! The first line of an HTTP answer, from whatever a server in a guest sends. This file must not read it.

/// Most bytes of an answer in which its status must stand.
pub(in crate::workspace) const HTTP_HEAD_BYTES_MAX: usize = 8 * 1024;

/// The status of an answer: `None` while its first line is not whole, `Some(None)` when it is no answer at all.
pub(in crate::workspace) fn http_status(head: &[u8]) -> Option<Option<u16>> {
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return (head.len() >= HTTP_HEAD_BYTES_MAX).then_some(None);
    };
    Some(status(&head[..end]))
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_first()?;
    let digits = rest.strip_prefix(b" ")?.get(..3)?;
    let ends = rest.get(4).is_none_or(|byte| matches!(byte, b' ' | b'\r'));
    if !minor.is_ascii_digit() || !digits.iter().all(u8::is_ascii_digit) || !ends {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_and_nothing_else_is_taken_for_one() {
        for (head, status) in [
            ("HTTP/1.1 200 OK\r\nx: y\r\n", 200),
            ("HTTP/1.0 302\r\n", 302),
            ("HTTP/1.1 503 \n", 503),
            ("HTTP/1.1 404\n", 404),
        ] {
            assert_eq!(http_status(head.as_bytes()), Some(Some(status)), "{head}");
        }
        for hostile in [
            "\n",
            "HTTP/1.1 \n",
            "HTTP/1.1 20\n",
            "HTTP/1.1 2000\n",
            "HTTP/2 200\n",
            "HTTP/1.1  200\n",
            "220 ftp\n",
        ] {
            assert_eq!(http_status(hostile.as_bytes()), Some(None), "{hostile}");
        }
        assert_eq!(http_status(b"HTTP/1.1 200 OK"), None);
        assert_eq!(http_status(b""), None);
        assert_eq!(
            http_status(&vec![b'H'; HTTP_HEAD_BYTES_MAX]),
            Some(None),
            "it is not waited for for ever"
        );
        assert_eq!(http_status(b"HTTP/1.1 \xff\xff\xff\n"), Some(None));
    }
}
