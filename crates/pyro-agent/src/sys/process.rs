//! fork, exec, wait with resource usage, and closing what a child must not inherit. This file must not decide policy.
#![expect(unsafe_code, reason = "fork, execve, wait4 and close_range have no safe wrapper")]

use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::CStr;
use std::ffi::c_char;
use std::io;
use std::ptr;

/// Which side of a fork this is.
pub(crate) enum Forked {
    Parent(Pid),
    Child,
}

/// How a child ended and what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reaped {
    /// Exit code, or the signal that killed it as the second.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) max_rss_kib: u64,
    pub(crate) cpu_us: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Timeval {
    seconds: i64,
    microseconds: i64,
}

/// `struct rusage` of 64-bit Linux: two times and fourteen counters, the first of which is the largest resident set.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Rusage {
    user: Timeval,
    system: Timeval,
    max_rss_kib: i64,
    rest: [i64; 13],
}

const WNOHANG: i32 = 1;

const SCHED_RR: i32 = 2;
const SCHED_RESET_ON_FORK: i32 = 0x4000_0000;
const LOWEST_REAL_TIME: i32 = 1;

unsafe extern "C" {
    fn fork() -> i32;
    fn wait4(pid: i32, status: *mut i32, options: i32, usage: *mut Rusage) -> i32;
    fn execve(program: *const c_char, argv: *const *const c_char, envp: *const *const c_char) -> i32;
    fn _exit(status: i32) -> !;
    fn close_range(first: u32, last: u32, flags: i32) -> i32;
    fn sched_setscheduler(pid: i32, policy: i32, priority: *const i32) -> i32;
}

/// Lets this process run before every ordinary one whenever it has something to do. What it forks is ordinary.
pub(crate) fn run_first() -> io::Result<()> {
    // SAFETY: `struct sched_param` is one int, which the kernel only reads.
    match unsafe { sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &LOWEST_REAL_TIME) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Forks this process. The agent has one thread, so the child may do whatever the parent may.
pub(crate) fn fork_process() -> io::Result<Forked> {
    // SAFETY: glibc's fork leaves the allocator usable in the child, and no other thread of this process exists whose
    // locks the child could find taken.
    match unsafe { fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        raw => Pid::from_raw(raw).map(Forked::Parent).ok_or_else(|| io::Error::from(Errno::INVAL)),
    }
}

/// Replaces this process's program; returns only when the kernel refused.
pub(crate) fn exec(program: &CStr, argv: &[&CStr], envp: &[&CStr]) -> Errno {
    let argv = pointers(argv);
    let envp = pointers(envp);
    // SAFETY: both arrays end with a null pointer, every other element points to a NUL-terminated string that the caller's
    // borrows keep alive during the call.
    unsafe { execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

fn pointers(strings: &[&CStr]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// Ends this process at once: a forked child must not run what its parent would at exit.
pub(crate) fn end_process(status: i32) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { _exit(status) }
}

/// Reaps `pid` (any child when `None`) if it has ended; with `block`, waits until it has.
pub(crate) fn reap(pid: Option<Pid>, block: bool) -> io::Result<Option<(Pid, Reaped)>> {
    let mut status = 0;
    let mut usage = Rusage::default();
    let target = pid.map_or(-1, |pid| pid.as_raw_nonzero().get());
    let options = if block { 0 } else { WNOHANG };
    // SAFETY: both pointers are to live, writable values of the layout the kernel expects.
    let found = unsafe { wait4(target, &raw mut status, options, &raw mut usage) };
    if found < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Pid::from_raw(found).map(|pid| (pid, decode(status, &usage))))
}

fn decode(status: i32, usage: &Rusage) -> Reaped {
    let signal = status & 0x7f;
    let micros = |time: Timeval| time.seconds.saturating_mul(1_000_000).saturating_add(time.microseconds);
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    Reaped {
        code: (signal == 0).then_some((status >> 8) & 0xff),
        signal: (signal != 0).then_some(signal),
        max_rss_kib: unsigned(usage.max_rss_kib),
        cpu_us: unsigned(micros(usage.user).saturating_add(micros(usage.system))),
    }
}

/// Closes every descriptor of this process from 3 on, except those in `keep`.
pub(crate) fn close_all_but(keep: &[i32]) {
    let mut keep: Vec<u32> =
        keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd >= 3).collect();
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep {
        if first < fd {
            close_span(first, fd - 1);
        }
        first = first.max(fd + 1);
    }
    close_span(first, u32::MAX);
}

fn close_span(first: u32, last: u32) {
    // SAFETY: only called in a forked child that never touches the owners of the descriptors it closes here: it ends in
    // exec or _exit, which run no destructors.
    unsafe {
        close_range(first, last, 0);
    }
}
