//! Layers, held against what QEMU's own tools read and write.

use crate::support::run;
use pyro_image::disk::LayerFormat;
use pyro_image::disk::LayeredDisk;
use pyro_image::disk::LayersError;
use pyro_image::disk::Qcow2;
use pyro_image::disk::Qcow2Error;
use pyro_image::disk::create_overlay;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

const SIZE: u64 = (300 << 20) + 512;

/// How QEMU is told of a chain: the last layer with the others below it.
fn options(layers: &[PathBuf]) -> String {
    let mut text = String::new();
    for (depth, layer) in layers.iter().rev().enumerate() {
        let prefix = "backing.".repeat(depth);
        let driver = if depth + 1 == layers.len() { "raw" } else { "qcow2" };
        text += &format!("{prefix}driver={driver},{prefix}file.filename={},", layer.display());
    }
    text.trim_end_matches(',').to_owned()
}

fn qemu_io(layers: &[PathBuf], commands: &[&str]) {
    let options = options(layers);
    let mut arguments = vec![OsStr::new("--image-opts"), OsStr::new("-d"), OsStr::new("unmap")];
    for command in commands {
        arguments.extend([OsStr::new("-c"), OsStr::new(command)]);
    }
    arguments.push(OsStr::new(&options));
    run("qemu-io", &arguments);
}

fn overlay(path: &Path, size: u64) -> PathBuf {
    create_overlay(&File::create_new(path).unwrap(), size).unwrap();
    path.to_owned()
}

/// A raw disk and two overlays with all that an overlay may say of a subcluster.
fn chain(dir: &Path) -> Vec<PathBuf> {
    let raw = dir.join("0.raw");
    let file = File::create_new(&raw).unwrap();
    file.set_len(SIZE).unwrap();
    file.write_all_at(&[1; 300_000], 1 << 20).unwrap();
    file.write_all_at(&[2; 70_000], 200 << 20).unwrap();
    let first = [raw, overlay(&dir.join("1.qcow2"), SIZE)].to_vec();
    qemu_io(
        &first,
        &[
            "write -P 3 1050000 5000",
            "write -P 4 150M 1M",
            "write -z 1150000 20000",
            "write -z -u 200M 64k",
            "write -P 5 314572800 512",
        ],
    );
    let second = [&first[..], &[overlay(&dir.join("2.qcow2"), SIZE)]].concat();
    qemu_io(
        &second,
        &["write -P 6 151M 3000", "discard 150M 128k", "write -P 7 1160000 100", "write -P 8 270M 2M"],
    );
    second
}

fn with_formats(layers: &[PathBuf]) -> Vec<(PathBuf, LayerFormat)> {
    let format = |index| if index == 0 { LayerFormat::Raw } else { LayerFormat::Qcow2 };
    layers.iter().cloned().enumerate().map(|(index, layer)| (layer, format(index))).collect()
}

#[test]
fn an_overlay_holds_what_its_tools_say_whatever_its_size() {
    let dir = tempfile::tempdir().unwrap();
    for (index, size) in [64 << 20, 2 << 30, 1 << 40].into_iter().enumerate() {
        let path = overlay(&dir.path().join(index.to_string()), size);
        run("qemu-img", &[OsStr::new("check"), path.as_os_str()]);
        let last = format!("write -P 9 {} 4096", size - 4096);
        run("qemu-io", &[OsStr::new("-c"), OsStr::new(&last), path.as_os_str()]);
        run("qemu-img", &[OsStr::new("check"), path.as_os_str()]);
        let disk = LayeredDisk::open(&[(path, LayerFormat::Qcow2)]).unwrap();
        let mut bytes = [1; 8192];
        disk.read_at(&mut bytes, size - 8192).unwrap();
        assert!(bytes[..4096].iter().all(|byte| *byte == 0) && bytes[4096..].iter().all(|byte| *byte == 9));
    }
}

#[test]
fn a_chain_reads_as_qemu_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let layers = chain(dir.path());
    let expected = dir.path().join("expected");
    let options = options(&layers);
    run(
        "qemu-img",
        &[
            OsStr::new("convert"),
            OsStr::new("--image-opts"),
            OsStr::new("-O"),
            OsStr::new("raw"),
            OsStr::new(&options),
            expected.as_os_str(),
        ],
    );
    let disk = LayeredDisk::open(&with_formats(&layers)).unwrap();
    assert_eq!(disk.size(), SIZE);
    let expected = File::open(expected).unwrap();
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut offset = 0;
    while offset < SIZE {
        // A length that is in step with nothing.
        let length = usize::try_from((SIZE - offset).min(1_000_003)).unwrap();
        disk.read_at(&mut left[..length], offset).unwrap();
        expected.read_exact_at(&mut right[..length], offset).unwrap();
        assert!(left[..length] == right[..length], "byte {offset} and what follows differ");
        offset += length as u64;
    }
    assert!(matches!(disk.read_at(&mut [0; 2], SIZE - 1), Err(LayersError::Beyond { .. })));
}

#[test]
fn layers_of_other_kinds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let open = || Qcow2::open(File::open(&path).unwrap());
    std::fs::write(&path, [0; 70_000]).unwrap();
    assert!(matches!(open(), Err(Qcow2Error::NotQcow2)));
    for options in
        ["cluster_size=64k", "extended_l2=on,cluster_size=128k", "extended_l2=on,data_file=external"]
    {
        let options = options.replace("external", &dir.path().join("external").display().to_string());
        let arguments = ["create", "-q", "-f", "qcow2", "-o", &options];
        let mut arguments = arguments.map(OsStr::new).to_vec();
        arguments.extend([path.as_os_str(), OsStr::new("64M")]);
        run("qemu-img", &arguments);
        assert!(matches!(open(), Err(Qcow2Error::Unsupported { .. })), "{options}");
    }
    let arguments = ["create", "-q", "-f", "qcow2", "-o", "extended_l2=on", "-F", "raw", "-b", "/dev/null"];
    let mut arguments = arguments.map(OsStr::new).to_vec();
    arguments.extend([path.as_os_str(), OsStr::new("64M")]);
    run("qemu-img", &arguments);
    let error = open().unwrap_err();
    assert_eq!(error.to_string(), "it has a backing file named in the image, which is not supported");
    assert!(matches!(LayeredDisk::open(&[]), Err(LayersError::Count { count: 0 })));
}
