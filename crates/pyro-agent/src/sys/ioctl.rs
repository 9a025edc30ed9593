//! Device requests no crate wraps: the kernel's random generator, the loopback interface, freezing a file system.
#![expect(unsafe_code, reason = "these ioctls have no safe wrapper")]

use rustix::io;
use rustix::ioctl::IntegerSetter;
use rustix::ioctl::NoArg;
use rustix::ioctl::Opcode;
use rustix::ioctl::Setter;
use rustix::ioctl::ioctl;
use std::os::fd::AsFd;

const RNDADDENTROPY: Opcode = 0x4008_5203;
const RNDRESEEDCRNG: Opcode = 0x5207;
const SIOCSIFFLAGS: Opcode = 0x8914;
const FIFREEZE: Opcode = 0xc004_5877;
const BLKFLSBUF: Opcode = 0x1261;
const FITHAW: Opcode = 0xc004_5878;

const IFF_UP: i16 = 1;

/// Most bytes of entropy one call takes.
pub(crate) const POOL_BYTES_MAX: usize = 1024;

#[repr(C)]
struct RandPoolInfo {
    entropy_bits: i32,
    bytes: i32,
    pool: [u8; POOL_BYTES_MAX],
}

#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Mixes `bytes` (at most [`POOL_BYTES_MAX`]) into the kernel's generator and credits them in full.
pub(crate) fn add_entropy(random: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    let mut info = RandPoolInfo { entropy_bits: 0, bytes: 0, pool: [0; POOL_BYTES_MAX] };
    let room = info.pool.get_mut(..bytes.len()).ok_or(io::Errno::INVAL)?;
    room.copy_from_slice(bytes);
    info.bytes = i32::try_from(bytes.len()).map_err(|_| io::Errno::INVAL)?;
    info.entropy_bits = info.bytes * 8;
    // SAFETY: the opcode takes a pointer to a rand_pool_info whose `bytes` says how many bytes of the pool follow.
    unsafe { ioctl(random, Setter::<RNDADDENTROPY, RandPoolInfo>::new(info)) }
}

/// Makes the generator's next output depend on what was mixed in.
pub(crate) fn reseed(random: impl AsFd) -> io::Result<()> {
    // SAFETY: the opcode takes no argument.
    unsafe { ioctl(random, NoArg::<RNDRESEEDCRNG>::new()) }
}

/// Brings the loopback interface up.
pub(crate) fn loopback_up(socket: impl AsFd) -> io::Result<()> {
    let mut name = [0; 16];
    name[..2].copy_from_slice(b"lo");
    let request = InterfaceRequest { name, flags: IFF_UP, rest: [0; 22] };
    // SAFETY: the opcode takes a pointer to an ifreq of 40 bytes with a NUL-terminated name.
    unsafe { ioctl(socket, Setter::<SIOCSIFFLAGS, InterfaceRequest>::new(request)) }
}

/// Writes a file system's journal out and stops writes to it until [`thaw`]: the state an image is left in at power-off.
pub(crate) fn freeze(file_system: impl AsFd) -> io::Result<()> {
    // SAFETY: the opcode ignores its argument.
    unsafe { ioctl(file_system, IntegerSetter::<FIFREEZE>::new_usize(0)) }
}

/// Forgets what the kernel has cached of a block device, whose bytes may be others since.
pub(crate) fn forget_cached(device: impl AsFd) -> io::Result<()> {
    // SAFETY: the opcode takes no argument.
    unsafe { ioctl(device, NoArg::<BLKFLSBUF>::new()) }
}

/// Lets writes to a frozen file system go on.
pub(crate) fn thaw(file_system: impl AsFd) -> io::Result<()> {
    // SAFETY: the opcode ignores its argument.
    unsafe { ioctl(file_system, IntegerSetter::<FITHAW>::new_usize(0)) }
}
