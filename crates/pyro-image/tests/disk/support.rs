//! Makes images and trees, and describes trees so that two of them can be compared. It must not use what it helps to test,
//! but for [`described`].

use pyro_image::disk::Ext4;
use pyro_image::disk::MergedError;
use pyro_image::disk::MergedRoot;
use pyro_image::disk::merged::ContentReader;
use pyro_image::disk::merged::Piece;
use pyro_image::disk::merged::Visit;
use pyro_proto::tree::Entry;
use pyro_proto::tree::EntryKind;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;

/// What our environments' disks are made with.
pub(crate) const BASE: &[&str] = &["-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=0,nodiscard"];
/// What our workspaces' disks are made with.
pub(crate) const RW: &[&str] =
    &["-O", "^resize_inode", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=1,nodiscard"];

/// Runs a program that must succeed.
pub(crate) fn run(program: &str, arguments: &[&OsStr]) -> Output {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| {
        panic!("{program}: {error}");
    });
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&text));
    output
}

/// Makes an image with what is in `tree`.
pub(crate) fn mkfs(image: &Path, tree: Option<&Path>, options: &[&str], mib: u32) {
    let size = format!("{mib}M");
    let mut arguments = ["-q", "-F", "-b", "4096", "-m", "0", "-I", "256"].map(OsStr::new).to_vec();
    arguments.extend(options.iter().map(OsStr::new));
    if let Some(tree) = tree {
        arguments.extend([OsStr::new("-d"), tree.as_os_str()]);
    }
    arguments.extend([image.as_os_str(), OsStr::new(&size)]);
    run("/sbin/mkfs.ext4", &arguments);
}

/// Lets debugfs do `commands` to an image.
pub(crate) fn debugfs(image: &Path, commands: &[&str]) {
    let script = image.with_extension("debugfs");
    let commands: Vec<String> = commands.iter().map(|command| in_its_folder(command)).collect();
    std::fs::write(&script, commands.join("\n")).unwrap();
    let arguments = [OsStr::new("-w"), OsStr::new("-f"), script.as_os_str(), image.as_os_str()];
    let output = run("/sbin/debugfs", &arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<&str> = said.lines().filter(|line| !line.starts_with("debugfs 1.")).collect();
    assert!(complaints.is_empty(), "{complaints:?} {}", String::from_utf8_lossy(&output.stdout));
}

/// These two commands take a path for a name, slashes and all, so they are given in the folder.
fn in_its_folder(command: &str) -> String {
    let mut words: Vec<&str> = command.split(' ').collect();
    let place = match words[0] {
        "mknod" => 1,
        "write" => 2,
        _ => return command.to_owned(),
    };
    let Some((folder, name)) = words[place].rsplit_once('/') else { return command.to_owned() };
    words[place] = name;
    format!("cd /{folder}\n{}\ncd /", words.join(" "))
}

pub(crate) fn open(image: &Path) -> Arc<Ext4> {
    Arc::new(Ext4::open(Box::new(File::open(image).unwrap())).unwrap())
}

/// What there is to know about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) kind: EntryKind,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime_s: i64,
    pub(crate) content: Vec<u8>,
}

pub(crate) type Facts = BTreeMap<Vec<u8>, Fact>;

/// What the host says of a tree, its root left out.
pub(crate) fn facts(tree: &Path) -> Facts {
    let (mut facts, mut links) = (Facts::new(), HashMap::new());
    collect(tree, &[], &mut facts, &mut links);
    facts
}

fn collect(folder: &Path, path: &[u8], facts: &mut Facts, links: &mut HashMap<u64, Vec<u8>>) {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let at = folder.join(&name);
        let path = [path, if path.is_empty() { b"" } else { b"/" }, name.as_bytes()].concat();
        let metadata = at.symlink_metadata().unwrap();
        let kind = metadata.file_type();
        let first = links.entry(metadata.ino()).or_insert_with(|| path.clone()).clone();
        let (kind, content) = if kind.is_dir() {
            (EntryKind::Directory, Vec::new())
        } else if kind.is_symlink() {
            (EntryKind::Symlink, at.read_link().unwrap().into_os_string().as_bytes().to_vec())
        } else if kind.is_fifo() || kind.is_char_device() {
            (EntryKind::Special, Vec::new())
        } else if first != path {
            (EntryKind::HardLink, first)
        } else {
            (EntryKind::File, std::fs::read(&at).unwrap())
        };
        let mode = metadata.mode() & 0o7777;
        let owner = (metadata.uid(), metadata.gid());
        facts.insert(path.clone(), Fact { kind, mode, owner, mtime_s: metadata.mtime(), content });
        if kind == EntryKind::Directory {
            collect(&at, &path, facts, links);
        }
    }
}

/// What a walk says of the tree at `path`, its root left out.
pub(crate) fn described(root: &MergedRoot, path: &str) -> Facts {
    let mut facts = Facts::new();
    let start = root.lookup(path.as_bytes(), true).unwrap();
    root.walk::<MergedError>(&start, |entry, content| {
        let Entry { kind, mode, uid, gid, mtime, .. } = entry;
        let content = content.map_or(entry.target, all);
        let fact = Fact { kind, mode, owner: (uid, gid), mtime_s: mtime.s, content };
        if !entry.path.is_root() {
            assert!(facts.insert(entry.path.into_bytes(), fact).is_none());
        }
        Ok(Visit::Continue)
    })
    .unwrap();
    facts
}

fn all(mut content: ContentReader<'_>) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 10_000]);
    loop {
        match content.next_piece(&mut buffer).unwrap() {
            Piece::Data(count) => bytes.extend_from_slice(&buffer[..count]),
            Piece::Hole(count) => bytes.resize(bytes.len() + usize::try_from(count).unwrap(), 0),
            Piece::End => return bytes,
        }
    }
}

/// The names in `facts`, as text.
pub(crate) fn names(facts: &Facts) -> Vec<String> {
    facts.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}
