//! Documents of files, as every surface shows them. A name that is not UTF-8 is shown with replacement signs, and as it is in
//! base64 beside that. This file must not ask a guest anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use pyro_proto::tree::Timestamp;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// What an entry is, in the contract's words.
pub(super) const fn artifact_type(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File | EntryKind::HardLink => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::Special => "special",
    }
}

/// An entry at this path of the guest.
pub(super) fn entry(path: &[u8], entry: &Entry) -> Map<String, Value> {
    let mut map = Map::new();
    put(&mut map, "path", path);
    map.insert("artifact_type".to_owned(), artifact_type(entry.kind).into());
    map.insert("size_bytes".to_owned(), entry.size_bytes.into());
    map.insert("link_target".to_owned(), Value::Null);
    if entry.kind == EntryKind::Symlink {
        put(&mut map, "link_target", &entry.target);
    }
    map.insert("mode".to_owned(), format!("{:04o}", entry.mode).into());
    map.insert("mtime".to_owned(), seconds(entry.mtime));
    map.insert("uid".to_owned(), entry.uid.into());
    map.insert("gid".to_owned(), entry.gid.into());
    map
}

/// Bytes under a name, and in base64 if they are not UTF-8.
pub(super) fn put(map: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        map.insert(name.to_owned(), text.into());
    } else {
        map.insert(name.to_owned(), String::from_utf8_lossy(bytes).into());
        map.insert(format!("{name}_base64"), STANDARD.encode(bytes).into());
    }
}

/// Adds the fields of another document.
pub(super) fn merge(map: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        map.extend(more);
    }
}

/// Seconds since the Unix epoch.
#[expect(clippy::cast_precision_loss, reason = "a time in JSON is a number; microseconds survive")]
pub(super) fn seconds(time: Timestamp) -> Value {
    json!(((time.s as f64 + f64::from(time.ns) / 1e9) * 1e6).round() / 1e6)
}
