//! Real projects go into a guest as tar streams, are built there, and pass their own tests there.

use crate::sandbox;
use pyro_testkit::Outcome;
use pyro_testkit::Sandbox;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

fn build_sandbox() -> Sandbox {
    sandbox().with_environment("debian:12-build")
}

/// Streams a folder into a guest and runs a script there.
fn in_guest(home: &Sandbox, folder: &Path, script: &str) -> Outcome {
    let mut tar = Command::new("tar")
        .args(["-C", folder.to_str().unwrap(), "-cf", "-", "."])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let script = format!("set -e; tar -xf - --no-same-owner; {script}");
    let output = home
        .pyro([
            "run",
            "debian:12-build",
            "--vcpu-count",
            "2",
            "--timeout-seconds",
            "1500",
            "--ttl-seconds",
            "0",
            "--",
            &script,
        ])
        .stdin(tar.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(tar.wait().unwrap().success());
    Outcome::from_output(&script, output)
}

/// zlib as Debian packages its source: configured, compiled, and its own `make check` passed. The static library alone: each
/// source would otherwise be compiled twice.
#[test]
fn a_c_project_from_a_debian_source_package() {
    let home = build_sandbox();
    let folder = home.home().join("c");
    std::fs::create_dir(&folder).unwrap();
    fetch_debian_source("zlib", &folder);
    let run = in_guest(
        &home,
        &folder,
        "mkdir src; tar -xf *.orig.tar.* -C src --strip-components=1; cd src; ./configure --static; make -j2 all; make check",
    );
    let run = run.succeeds();
    assert!(run.stdout().contains("zlib test OK"), "{run:?}");
    home.assert_nothing_left();
}

/// A Debian source package through the host's apt, with sources of its own: hosts rarely have `deb-src` lines.
fn fetch_debian_source(name: &str, folder: &Path) {
    let script = r#"
        set -e
        mkdir -p apt/lists/partial apt/cache/archives/partial apt/etc
        { cat /etc/apt/sources.list 2>/dev/null || true; } | sed -n 's/^deb \(.*\)$/deb-src \1/p' > apt/etc/sources.list
        for file in /etc/apt/sources.list.d/debian.sources; do
            [ ! -e "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" > apt/etc/debian.sources
        done
        mkdir apt/etc/parts; mv apt/etc/*.sources apt/etc/parts/ 2>/dev/null || true
        options="-o Dir::State::lists=$PWD/apt/lists -o Dir::Cache=$PWD/apt/cache -o Dir::Etc::sourcelist=$PWD/apt/etc/sources.list \
            -o Dir::Etc::sourceparts=$PWD/apt/etc/parts -o APT::Sandbox::User= -o APT::Get::List-Cleanup=0"
        apt-get $options -qq update
        apt-get $options -qq --download-only source "$0"
        rm -rf apt
    "#;
    let output = Command::new("sh").args(["-c", script, name]).current_dir(folder).output().unwrap();
    Outcome::from_output("apt-get source", output).succeeds();
}

/// simplejson as its authors publish it: its C extension compiled, and its own 144 tests passed.
#[test]
fn a_python_project_from_its_source_distribution() {
    let home = build_sandbox();
    let folder = home.home().join("python");
    std::fs::create_dir(&folder).unwrap();
    let pip = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-binary",
            ":all:",
        ])
        .arg("simplejson==3.19.3")
        .current_dir(&folder)
        .output()
        .unwrap();
    Outcome::from_output("pip download", pip).succeeds();
    let run = in_guest(
        &home,
        &folder,
        "mkdir src; tar -xf *.tar.gz -C src --strip-components=1; cd src; python3 setup.py --quiet build_ext --inplace; \
         python3 -c 'import simplejson._speedups'; python3 -m unittest discover -s simplejson/tests -t . 2>&1",
    );
    let run = run.succeeds();
    assert!(run.stdout().contains("Ran 144 tests"), "{run:?}");
    home.assert_nothing_left();
}
