//! `GIT binary patch`: contents in base 85, compressed. It must not carry deltas out.

use super::base85;
use super::delta;
use super::error::PatchError;
use super::error::shown;
use super::model::BinaryData;
use super::model::Body;
use super::parse::Budget;
use super::reader::Reader;
use flate2::read::ZlibDecoder;
use pyro_proto::tree::TreePath;
use std::io::Read as _;

/// Reads the content of a binary file, if one is next.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    file: &TreePath,
    budget: &mut Budget,
) -> Result<Option<Body<'a>>, PatchError> {
    let Some(line) = reader.peek()? else { return Ok(None) };
    let text = line.text();
    let differ = text.starts_with(b"Binary files ") || text.starts_with(b"Files ");
    if differ && text.ends_with(b" differ") {
        reader.next()?;
        return Ok(Some(Body::BinaryUnknown));
    }
    if text != b"GIT binary patch" {
        return Ok(None);
    }
    reader.next()?;
    let forward = read_data(reader, file, budget)?.ok_or_else(|| wrong(file, line.number, "is missing"))?;
    let backward = read_data(reader, file, budget)?;
    Ok(Some(Body::Binary { forward, backward }))
}

fn wrong(file: &TreePath, line: usize, what: &'static str) -> PatchError {
    PatchError::Binary { file: shown(file.as_bytes()), line, what }
}

fn read_data(
    reader: &mut Reader<'_>,
    file: &TreePath,
    budget: &mut Budget,
) -> Result<Option<BinaryData>, PatchError> {
    let Some(first) = reader.peek()? else { return Ok(None) };
    let (is_delta, size) = match first.text() {
        text if text.starts_with(b"literal ") => (false, &text[8..]),
        text if text.starts_with(b"delta ") => (true, &text[6..]),
        _ => return Ok(None),
    };
    let wrong = |what| wrong(file, first.number, what);
    let digits = std::str::from_utf8(size).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let size = digits.and_then(|digits| digits.parse::<usize>().ok());
    let size = size.ok_or_else(|| wrong("has a size that cannot be read"))?;
    budget.take_binary(size, first.number)?;
    reader.next()?;
    let packed = read_lines(reader, file)?;
    let bytes = inflate(&packed, size).ok_or_else(|| wrong("is not what its size says"))?;
    if !is_delta {
        return Ok(Some(BinaryData::Literal(bytes.into())));
    }
    let (_, result, _) = delta::sizes(&bytes).ok_or_else(|| wrong("is no delta"))?;
    budget.take_binary(result, first.number)?;
    Ok(Some(BinaryData::Delta(bytes.into())))
}

/// The bytes of all lines up to the empty one.
fn read_lines(reader: &mut Reader<'_>, file: &TreePath) -> Result<Vec<u8>, PatchError> {
    let mut packed = Vec::new();
    while let Some(line) = reader.next()? {
        if line.text().is_empty() {
            break;
        }
        base85::decode_line(&mut packed, line.text())
            .ok_or_else(|| wrong(file, line.number, "has a malformed line"))?;
    }
    Ok(packed)
}

/// Inflates to exactly `size` bytes and never to more than one beyond; memory is taken as bytes arrive.
fn inflate(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(size).ok()?.checked_add(1)?;
    ZlibDecoder::new(packed).take(most).read_to_end(&mut bytes).ok()?;
    (bytes.len() == size).then_some(bytes)
}
