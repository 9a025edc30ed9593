//! The probe's result, kept until the host boots again, QEMU changes or the KVM device does. A cache that cannot be read or
//! written is as good as none: the probe is cheap enough to repeat.

use super::KvmDevice;
use super::ProbeReport;
use super::probe;
use serde::Deserialize;
use serde::Serialize;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

const SCHEMA: u32 = 1;

/// Largest cache file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    schema: u32,
    key: Key,
    report: ProbeReport,
}

/// Everything a result depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    boot_id: String,
    qemu: String,
    kvm_device: KvmDevice,
}

/// A result, and whether it was found just now.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) report: ProbeReport,
    pub(crate) fresh: bool,
}

/// The probe's result from `cache_file`, or a new one that is then kept there. Whether the device opens is looked at each
/// time: it is quick, and depends on who asks.
pub async fn cached(cache_file: &Path, qemu: &Path, deadline: Duration) -> ProbeReport {
    find(cache_file, qemu, deadline).await.report
}

/// As [`cached`]. A result that needed no guest is kept too, so that it is fresh only once.
pub(crate) async fn find(cache_file: &Path, qemu: &Path, deadline: Duration) -> Found {
    let Some(key) = Key::now(qemu, KvmDevice::examine()) else {
        return Found { report: probe(qemu, deadline).await, fresh: true };
    };
    if let Some(report) = read(cache_file, &key) {
        return Found { report, fresh: false };
    }
    let report = probe(qemu, deadline).await;
    let document = Document { schema: SCHEMA, key, report: report.clone() };
    // Without the cache the next start pays for the probe again, and nothing else is lost.
    let _ = write(cache_file, &document);
    Found { report, fresh: true }
}

impl Key {
    fn now(qemu: &Path, kvm_device: KvmDevice) -> Option<Self> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let program = crate::qemu::Program::find(Some(qemu.to_owned()), "").ok()?;
        Some(Self { boot_id, qemu: program.identity().to_owned(), kvm_device })
    }
}

fn read(cache_file: &Path, key: &Key) -> Option<ProbeReport> {
    if fs::metadata(cache_file).ok()?.len() > FILE_BYTES_MAX {
        return None;
    }
    let document: Document = serde_json::from_slice(&fs::read(cache_file).ok()?).ok()?;
    (document.schema == SCHEMA && document.key == *key).then_some(document.report)
}

/// Replaces the file as a whole: another process may be reading or writing it.
fn write(cache_file: &Path, document: &Document) -> io::Result<()> {
    let mut aside = cache_file.as_os_str().to_owned();
    aside.push(format!(".{}.new", std::process::id()));
    let aside = PathBuf::from(aside);
    let written =
        fs::write(&aside, serde_json::to_vec_pretty(document)?).and_then(|()| fs::rename(&aside, cache_file));
    written.inspect_err(|_| drop(fs::remove_file(&aside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let kvm_device = KvmDevice::Opens { major: 10, minor: 232 };
        let key = Key { boot_id: "boot".to_owned(), qemu: "qemu".to_owned(), kvm_device: kvm_device.clone() };
        Document { schema: SCHEMA, key, report: ProbeReport::unusable(kvm_device, "slow".to_owned()) }
    }

    #[test]
    fn a_result_is_kept_for_the_same_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("probe.json");
        assert_eq!(read(&file, &document().key), None);
        write(&file, &document()).unwrap();
        assert_eq!(read(&file, &document().key), Some(document().report));
        let rebooted = Key { boot_id: "another".to_owned(), ..document().key };
        assert_eq!(read(&file, &rebooted), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_or_newer_file_is_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("probe.json");
        write(&file, &Document { schema: SCHEMA + 1, ..document() }).unwrap();
        assert_eq!(read(&file, &document().key), None);
        fs::write(&file, "{\"schema\": 1, \"key").unwrap();
        assert_eq!(read(&file, &document().key), None);
    }

    #[test]
    fn golden_shape() {
        let text = r#"{"schema":1,"key":{"boot_id":"boot","qemu":"qemu","kvm_device":{"state":"opens","major":10,"minor":232}},"report":{"verdict":{"state":"unusable","reason":"slow"},"kvm_device":{"state":"opens","major":10,"minor":232},"guest_iterations_per_s":null,"native_iterations_per_s":null}}"#;
        assert_eq!(serde_json::to_string(&document()).unwrap(), text);
        assert_eq!(serde_json::from_str::<Document>(text).unwrap(), document());
    }
}
