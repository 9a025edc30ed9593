//! A terminal for a program under test: a real one of the kernel's, whose other end is the test. It must not interpret what
//! is drawn.

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

/// Runs a program to its end with its standard error on a terminal; what it did, with everything that was drawn as its error
/// output.
pub fn run(command: &mut Command) -> Output {
    let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    rustix::pty::grantpt(&ours).unwrap();
    rustix::pty::unlockpt(&ours).unwrap();
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&ours, size).unwrap();
    let name = rustix::pty::ptsname(&ours, Vec::new()).unwrap();
    let theirs = std::ffi::OsStr::from_bytes(name.as_bytes());
    // It must not become the test's own.
    let flags = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap();
    let theirs = OpenOptions::new().read(true).write(true).custom_flags(flags).open(theirs).unwrap();
    command.env("TERM", "xterm").stdout(Stdio::piped()).stderr(Stdio::from(theirs));
    let child = command.spawn().unwrap();
    // The command keeps a copy of its end, and the terminal stays open with it.
    command.stderr(Stdio::null());
    let reader = std::thread::spawn(move || {
        let (mut ours, mut drawn, mut piece) = (File::from(ours), Vec::new(), [0; 4096]);
        // A terminal whose other end is closed says so by an error.
        while let Ok(count @ 1..) = ours.read(&mut piece) {
            drawn.extend_from_slice(&piece[..count]);
        }
        drawn
    });
    let mut output = child.wait_with_output().unwrap();
    output.stderr = reader.join().unwrap();
    output
}
