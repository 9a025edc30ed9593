//! The forms in which programs print a value: as it is, line by line, in base64, in hexadecimal, in an address, in JSON.
//! This file must not look for them anywhere.

use super::value::REDACTED_BYTES_MIN;
use super::value::SecretValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// Shortest line of a value of several lines, outside of a key's body, that is looked for alone, in bytes: shorter ones are often
/// not secret at all.
const LINE_BYTES_MIN: usize = 16;

/// One form of a value.
pub(super) type Form = Zeroizing<Vec<u8>>;

/// Every form of a value that is long enough to be looked for.
pub(super) fn of(value: &SecretValue) -> Vec<Form> {
    let text = value.expose();
    // A final line break is the file's it came from, and no program prints it with the value.
    let whole = text.trim();
    let mut forms = Vec::new();
    if !value.is_redacted() {
        return forms;
    }
    written(whole, &mut forms);
    if text.len() != whole.len() {
        // In base64 the line break is a part of it.
        encoded(text.as_bytes(), &mut forms);
    }
    if whole.contains('\n') {
        secret_lines(whole).for_each(|line| written(line, &mut forms));
    }
    forms.retain(|form| form.len() >= REDACTED_BYTES_MIN);
    forms.sort_by(|a, b| a.as_slice().cmp(b.as_slice()));
    forms.dedup();
    forms
}

/// The lines that are secret by themselves: in the body of a key all, and elsewhere those that are too long to be a word that
/// means nothing. The first and last line of a key, and its headers, are the same in many.
fn secret_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut in_key = false;
    text.lines().map(str::trim).filter(move |line| {
        if line.starts_with("-----") {
            in_key = line.starts_with("-----BEGIN ");
            return false;
        }
        let is_body = in_key && line.len() >= REDACTED_BYTES_MIN && !line.contains(": ");
        is_body || (!in_key && line.len() >= LINE_BYTES_MIN)
    })
}

fn written(text: &str, forms: &mut Vec<Form>) {
    forms.push(text.as_bytes().to_vec().into());
    encoded(text.as_bytes(), forms);
    for space in ["%20", "+"] {
        forms.push(percent(text, space, |byte| format!("%{byte:02X}")));
        forms.push(percent(text, space, |byte| format!("%{byte:02x}")));
    }
    forms.extend(json(text));
    let hex = text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    forms.push(hex.to_ascii_uppercase().into_bytes().into());
    forms.push(hex.into_bytes().into());
    if text.contains('\n') {
        // A terminal makes two bytes of each line break.
        forms.push(text.replace('\n', "\r\n").into_bytes().into());
    }
}

/// Base64 of the bytes wherever they begin in a longer text: the characters that depend on nothing beside them.
fn encoded(bytes: &[u8], forms: &mut Vec<Form>) {
    for skipped in 0..3_usize {
        let mut padded = vec![0; skipped];
        padded.extend_from_slice(bytes);
        let first = (skipped * 8).div_ceil(6);
        let last = (padded.len() * 8) / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let text = Zeroizing::new(engine.encode(&padded));
            forms.push(text.as_bytes()[first..last.max(first)].to_vec().into());
        }
    }
}

/// As an address or a form has it.
fn percent(text: &str, space: &str, escape: fn(u8) -> String) -> Form {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.extend_from_slice(space.as_bytes()),
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => out.push(byte),
            byte => out.extend_from_slice(escape(byte).as_bytes()),
        }
    }
    out.into()
}

/// Within a JSON string: as most write it, with slashes escaped, and in ASCII alone.
fn json(text: &str) -> Vec<Form> {
    let quoted = Zeroizing::new(serde_json::Value::from(text).to_string());
    let inner = &quoted[1..quoted.len() - 1];
    let ascii = inner.chars().fold(String::new(), |mut out, char| {
        if char.is_ascii() {
            out.push(char);
        } else {
            char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            });
        }
        out
    });
    let forms = [inner.to_owned(), inner.replace('/', "\\/"), ascii];
    forms.map(|form| form.into_bytes().into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(text: &str, form: &str) -> bool {
        of(&SecretValue::new(text.into()).unwrap()).iter().any(|known| known.as_slice() == form.as_bytes())
    }

    #[test]
    fn a_value_is_known_in_each_form() {
        let value = "p/ss wörd\"1";
        for form in [
            value,
            "p%2Fss%20w%C3%B6rd%221",
            "p%2fss%20w%c3%b6rd%221",
            "p%2Fss+w%C3%B6rd%221",
            "p/ss wörd\\\"1",
            "p\\/ss wörd\\\"1",
            "p/ss w\\u00f6rd\\\"1",
            "702f73732077c3b672642231",
            "702F73732077C3B672642231",
        ] {
            assert!(has(value, form), "{form}");
        }
    }

    #[test]
    fn base64_is_known_wherever_the_value_begins() {
        let value = "correct horse battery";
        let forms = of(&SecretValue::new(value.into()).unwrap());
        for before in ["", "u", "u:", "u:p", "user:"] {
            for after in ["", "x", "xy", "xyz"] {
                let text =
                    base64::engine::general_purpose::STANDARD.encode(format!("{before}{value}{after}"));
                let known =
                    |form: &Form| text.as_bytes().windows(form.len()).any(|part| part == form.as_slice());
                assert!(forms.iter().any(known), "{before}…{after}: {text}");
            }
        }
    }

    #[test]
    fn a_key_of_several_lines_is_known_line_by_line() {
        let key =
            "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nAQEFAASCBKcwggSjAgEAAoI\n-----END KEY-----\n";
        assert!(has(key, "MIIEvQIBADANBgkqhkiG9w0") && has(key, "AQEFAASCBKcwggSjAgEAAoI"));
        assert!(has(key, key.trim()) && has(key, &key.trim().replace('\n', "\r\n")));
    }

    #[test]
    fn of_a_key_its_whole_body_is_secret_and_what_all_keys_have_is_not() {
        let key = "note that is long enough\nshort note\n-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\n\r\nMIIEvQIBADANBgkqhkiG9w0\r\n  lAstOn3=\r\nabc\r\n-----END RSA PRIVATE KEY-----\r\nshort";
        for line in ["note that is long enough", "MIIEvQIBADANBgkqhkiG9w0", "lAstOn3=", "bEFzdE9uMz"] {
            assert!(has(key, line), "{line}");
        }
        let common = "-----BEGIN RSA PRIVATE KEY----- Proc-Type: 4,ENCRYPTED short note abc 616263 -----END RSA PRIVATE KEY-----";
        let needles = super::super::Needles::of(&[SecretValue::new(key.into()).unwrap()]);
        assert_eq!(needles.redact(common), common);
        let printed = "  lAstOn3=\n-----END RSA PRIVATE KEY-----\nshort";
        assert_eq!(needles.redact(printed), "  [REDACTED]\n-----END RSA PRIVATE KEY-----\nshort");
    }

    #[test]
    fn what_is_too_short_is_not_looked_for() {
        assert!(of(&SecretValue::new("12345\n".into()).unwrap()).is_empty());
    }
}
