//! Digests of files that the host names. This file must not follow a link below the root.

use super::beneath::Beneath;
use super::fault;
use super::fault::Fallible;
use super::send::next_path;
use super::sink::Sink;
use super::source::Source;
use pyro_proto::tree::Record;
use pyro_proto::tree::TreePath;
use rustix::fs::FileType;
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::Digest as _;
use sha2::Sha256;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

pub(super) fn run(root: &[u8], source: &mut Source, sink: &mut Sink) -> Fallible<()> {
    let mut beneath = Beneath::open(root)?;
    let mut buffer = vec![0; READ_BYTES];
    while let Some(path) = next_path(source, sink)? {
        if path.is_in_stage() {
            continue;
        }
        match digest(&mut beneath, &path, &mut buffer) {
            Ok(Some(digest)) => sink.record(&Record::Digest(path, digest))?,
            // Not there, no file, or only by way of a link.
            Ok(None) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => {}
            Err(errno) => sink.warn(beneath.fault("reading", &path, errno).message)?,
        }
    }
    Ok(())
}

fn digest(beneath: &mut Beneath, path: &TreePath, buffer: &mut [u8]) -> Result<Option<[u8; 32]>, Errno> {
    let file = beneath.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    loop {
        match fault::retry(|| rustix::io::read(&file, &mut *buffer))? {
            0 => return Ok(Some(hash.finalize().into())),
            count => hash.update(&buffer[..count]),
        }
    }
}
