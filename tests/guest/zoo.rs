//! Trees of the host that the tests of seeds and pushes send: whatever a real repository may have in it, and archives that
//! nobody honest makes. It must not run guests.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Runs a program of the host; what it printed.
#[track_caller]
pub(crate) fn host(folder: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// One of everything that must survive, and a FIFO, which is left out.
pub(crate) fn make(root: &Path) {
    for folder in ["bin", "empty/inner", "node_modules/.bin", "node_modules/typescript/bin", "deep/er/est"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("bin/run.sh"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(root.join("bin/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("secret"), "only mine").unwrap();
    fs::set_permissions(root.join("secret"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::write(root.join("node_modules/typescript/bin/tsc"), "#!/usr/bin/env node\n").unwrap();
    symlink("../typescript/bin/tsc", root.join("node_modules/.bin/tsc")).unwrap();
    symlink("/usr/bin/python3", root.join("python")).unwrap();
    symlink("../../../../etc/passwd", root.join("climbs")).unwrap();
    symlink("nowhere at all", root.join("dangling")).unwrap();
    fs::write(root.join("big"), vec![7; 3 << 20]).unwrap();
    fs::hard_link(root.join("big"), root.join("deep/big-too")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"no \xff utf-8\n")), "odd").unwrap();
    fs::write(root.join("deep/er/est/file"), "").unwrap();
    fs::write(root.join("n".repeat(255)), "long").unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    drop(sparse);
    host(root, "touch", &["-d", "2001-02-03 04:05:06.123456789 UTC", "bin/run.sh", "deep/er"]);
    host(root, "mkfifo", &["pipe"]);
}

/// A tar archive's member.
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: u8,
    pub(crate) target: &'a str,
    pub(crate) content: &'a [u8],
}

/// A file.
pub(crate) const fn file<'a>(name: &'a str, content: &'a [u8]) -> Member<'a> {
    Member { name, kind: b'0', target: "", content }
}

/// A link: `2` for a symbolic one, `1` for a hard one.
pub(crate) const fn link<'a>(kind: u8, name: &'a str, target: &'a str) -> Member<'a> {
    Member { name, kind, target, content: b"" }
}

/// An archive of these, made by hand because no program makes such ones.
pub(crate) fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for member in members {
        if member.name.len() > 100 {
            let long = [member.name.as_bytes(), b"\0"].concat();
            add(&mut archive, b"././@LongLink", b'L', "", &long);
        }
        let name = &member.name.as_bytes()[..member.name.len().min(100)];
        add(&mut archive, name, member.kind, member.target, member.content);
    }
    archive.extend([0; 1024]);
    archive
}

fn add(archive: &mut Vec<u8>, name: &[u8], kind: u8, target: &str, content: &[u8]) {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    if matches!(kind, b'3' | b'4') {
        put(329, b"0000010\0");
        put(337, b"0000001\0");
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.extend(header);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}
