#!/usr/bin/env python3
"""The floor: what the engine alone costs on this machine, with nothing of ours around it. It must not import or run
anything of the product, so that a product figure taken in the same run can be divided by it.

It boots a guest under QEMU's software emulation, pauses it, writes its device state and memory out, and restores it
several times, each on a private copy-on-write mapping of the same memory file. A shell loop in the initramfs stands in
for an agent: one line in, its output and `RC=n` out, over one virtio-serial port.

    floor.py --kernel VMLINUX --modules DIR --rootfs ROOT.ext4 [--runs 7] [--boots 3] [--mem 384]

VMLINUX is an uncompressed ELF kernel, DIR holds the uncompressed modules it needs (virtio_mmio.ko, virtio_blk.ko) or is
empty when they are built in, ROOT.ext4 holds a root file system with git. Needs qemu-system-x86_64, busybox (static),
cpio. Prints JSON: boot_s (power-on to the loop answering), restore_s (spawn to `git --version` answered), exec_s (a warm
`git --version`), noop_s (a warm `true`).
"""
import argparse
import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

# What a guest needs before its root is there. Others in the folder are left alone: each costs start-up time.
MODULES = ("virtio_mmio", "virtio_blk", "virtio_console")
# The same for a guest with a network card, in this order.
NETWORK_MODULES = ("failover", "net_failover", "virtio_net")
# How long anything may take before the measurement is given up, in seconds.
PATIENCE_S = 120

# A terminal's program that says so when it answers every byte as it comes.
ANSWERER = "stty raw -echo; echo up; exec cat"

INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t devtmpfs d /dev 2>/dev/null
$B mount -t proc p /proc
$B mount -t sysfs s /sys
for m in MODULES; do [ -f /m/$m.ko ] && $B insmod /m/$m.ko; done
if $B grep -q network /proc/cmdline; then
for m in NETWORK; do [ -f /m/$m.ko ] && $B insmod /m/$m.ko; done
$B ifconfig lo 127.0.0.1
$B ifconfig eth0 10.0.2.15
fi
$B mount -t ext4 -o ro /dev/vda /mnt
$B mount --move /dev /mnt/dev
$B mount --move /proc /mnt/proc
P=/mnt/dev/$($B ls /sys/class/virtio-ports | $B head -1)
exec 3<>$P
echo READY >&3
while read -r line <&3; do $B chroot /mnt /bin/sh -c "$line" >&3 2>&1; echo "RC=$?" >&3; done
"""


def tsc_khz():
    """The host's TSC frequency: an emulated guest cannot calibrate its own reliably, and may hang trying."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("cpu MHz"):
            return int(float(line.split(":")[1]) * 1000)
    raise RuntimeError("/proc/cpuinfo names no clock frequency")


def write_initrd(folder, modules):
    """An uncompressed initramfs of busybox, the modules and the loop; returns its path."""
    root = folder / "initrd"
    for name in ("bin", "dev", "proc", "sys", "mnt", "m"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    for name in MODULES + NETWORK_MODULES:
        module = pathlib.Path(modules) / f"{name}.ko"
        if module.exists():
            shutil.copy(module, root / "m")
    (root / "init").write_text(INIT.replace("MODULES", " ".join(MODULES)).replace("NETWORK", " ".join(NETWORK_MODULES)))
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    image = folder / "initrd.img"
    with image.open("wb") as out:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names.encode(), stdout=out, check=True)
    return image


class Listener:
    """A unix socket the engine connects to, so that its arrival is an event and nobody polls for it."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(1)
        self.socket.settimeout(PATIENCE_S)

    def accept(self):
        with self.socket:
            connection, _ = self.socket.accept()
        connection.settimeout(PATIENCE_S)
        return connection.makefile("rw", newline="\n")


class Monitor:
    """QEMU's machine protocol: commands, and waiting for the event that says a migration is over."""

    def __init__(self, stream):
        self.stream = stream
        self.events = []
        self.read()  # the greeting
        self.call("qmp_capabilities")
        wanted = ("x-ignore-shared", "events")
        self.call("migrate-set-capabilities", capabilities=[{"capability": name, "state": True} for name in wanted])

    def read(self):
        line = self.stream.readline()
        if not line:
            raise RuntimeError("the monitor closed")
        return json.loads(line)

    def call(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = self.read()
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer)

    def wait_for_migration(self):
        while True:
            event = self.events.pop(0) if self.events else self.read()
            status = event.get("data", {}).get("status") if event.get("event") == "MIGRATION" else None
            if status == "failed":
                raise RuntimeError("the migration failed")
            if status == "completed":
                return


class Guest:
    """One QEMU process: its monitor and the loop's port."""

    def __init__(self, floor, name, memory, incoming=False, forward=None):
        port, monitor = (Listener(floor.folder / f"{name}.{suffix}") for suffix in ("port", "qmp"))
        self.process = subprocess.Popen(floor.command(name, memory, port.path, monitor.path, incoming, forward))
        floor.guests.append(self)
        self.port = port.accept()
        self.monitor = Monitor(monitor.accept())

    def wait_until_ready(self):
        line = self.port.readline().strip()
        if line != "READY":
            raise RuntimeError(f"the guest said {line!r} instead of READY")

    def ask(self, line):
        """Runs a line in the guest; returns seconds and output."""
        start, output = time.monotonic(), []
        self.port.write(line + "\n")
        self.port.flush()
        while True:
            got = self.port.readline()
            if not got:
                raise RuntimeError("the guest's port closed")
            if got.startswith("RC="):
                return time.monotonic() - start, "".join(output)
            output.append(got)

    def warm(self, line):
        """The best of five after one that does not count."""
        self.ask(line)
        return min(self.ask(line)[0] for _ in range(5))

    def answer_bytes(self):
        """From here on the guest sends back every byte as it comes, and does nothing else any more."""
        self.port.write("exec cat <&3\n")
        self.port.flush()

    def answer_keys(self):
        """The same through a terminal in the guest: `script`, which nobody here wrote, joins the port to it."""
        terminals = "mkdir -p /dev/pts && mount -t devpts devpts /dev/pts"
        self.port.write(f"{terminals} && exec script -qc '{ANSWERER}' /dev/null <&3\n")
        self.port.flush()
        while self.port.readline() != "up\n":
            pass

    def byte_s(self):
        """The seconds until a byte has come back, with the end of its line."""
        start = time.monotonic()
        self.port.write("k\n")
        self.port.flush()
        if self.port.readline() != "k\n":
            raise RuntimeError("something else than the byte came back")
        return time.monotonic() - start

    def end(self):
        self.process.kill()
        self.process.wait()


class Floor:
    """A kernel, a root file system and memory size, and what starting and restoring them costs."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = pathlib.Path(folder)
        # A boot writes to its memory's file, so one that is not saved must not have the saved one's.
        self.memory, self.unsaved_memory = (
            pathlib.Path("/dev/shm") / f"pyro-floor-{os.getpid()}.{name}" for name in ("mem", "unsaved")
        )
        self.initrd = write_initrd(self.folder, options.modules)
        self.guests = []
        self.numbers = itertools.count()

    def command(self, name, memory, port, monitor, incoming, forward):
        size, share = self.options.mem, "off" if incoming else "on"
        memory = f"memory-backend-file,id=m,size={size}M,mem-path={memory},share={share}"
        kernel_line = f"console=ttyS0 panic=-1 reboot=t quiet tsc_early_khz={tsc_khz()} tsc=reliable"
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        command += ["-M", "microvm,x-option-roms=off,rtc=on,pcie=off,memory-backend=m", "-m", str(size)]
        command += ["-accel", "tcg,thread=multi", "-cpu", "max", "-object", memory]
        command += ["-serial", f"file:{self.folder}/{name}.console"]
        command += ["-kernel", self.options.kernel, "-initrd", str(self.initrd), "-append", kernel_line]
        command += ["-drive", f"id=d,file={self.options.rootfs},format=raw,if=none,readonly=on,file.locking=off"]
        command += ["-device", "virtio-blk-device,drive=d", "-device", "virtio-serial-device"]
        command += ["-chardev", f"socket,id=c,path={port}", "-device", "virtserialport,chardev=c,name=agent"]
        command += ["-qmp", f"unix:{monitor}"]
        if forward:
            here, there = forward
            command[command.index("-append") + 1] += " network"
            command += ["-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{here}-:{there}"]
            command += ["-device", "virtio-net-device,netdev=n"]
        return command + (["-incoming", "defer"] if incoming else [])

    def boot(self, memory):
        """Boots a guest on this memory file; returns the seconds until it is ready, and the guest, still running."""
        start = time.monotonic()
        guest = Guest(self, f"boot{next(self.numbers)}", memory)
        guest.wait_until_ready()
        return time.monotonic() - start, guest

    def boot_s(self):
        """The seconds of one boot, and nothing left of it."""
        took, guest = self.boot(self.unsaved_memory)
        guest.end()
        return took

    def networked(self, here, there):
        """A guest with a network card, a port of which QEMU forwards to from here."""
        guest = Guest(self, f"network{next(self.numbers)}", self.unsaved_memory, forward=(here, there))
        guest.wait_until_ready()
        return guest

    def save(self, guest):
        """Pauses the guest and writes its state. Its port stays connected: the loop would see an end of file."""
        for _ in range(3):
            guest.ask("git --version")
        guest.monitor.call("stop")
        guest.monitor.call("migrate", uri=f"exec:cat > {self.folder}/state")
        guest.monitor.wait_for_migration()
        guest.end()

    def saved(self):
        """Boots a guest and saves it, so that it can be restored from now on."""
        _, guest = self.boot(self.memory)
        self.save(guest)

    def restored(self):
        """One restore: the seconds until `git --version` is answered, and the guest, still running."""
        start = time.monotonic()
        guest = Guest(self, f"restore{next(self.numbers)}", self.memory, incoming=True)
        guest.monitor.call("migrate-incoming", uri=f"exec:cat {self.folder}/state")
        guest.monitor.wait_for_migration()
        guest.monitor.call("cont")
        _, output = guest.ask("git --version")
        took = time.monotonic() - start
        if not output.startswith("git version"):
            raise RuntimeError(f"the restored guest said {output!r}")
        return took, guest

    def restore_s(self):
        """The seconds of one restore, and nothing left of it."""
        took, guest = self.restored()
        guest.end()
        return took

    def restores_at_once_s(self, count):
        """The seconds until so many restores, all begun at once, have answered and are gone."""
        start = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            # Taking the results raises what went wrong in any of them.
            list(pool.map(lambda _: self.restore_s(), range(count)))
        return time.monotonic() - start

    def measured_restore(self):
        """One restore: seconds to the first `git --version`, of a warm one, and of a warm `true`."""
        took, guest = self.restored()
        row = took, guest.warm("git --version"), guest.warm("true")
        guest.end()
        return row

    def restores(self):
        """Boots and saves a guest and restores it; returns the medians."""
        self.saved()
        rows = [self.measured_restore() for _ in range(self.options.runs)]
        restore, warm, noop = (round(statistics.median(column), 4) for column in zip(*rows))
        return {"restore_s": restore, "exec_s": warm, "noop_s": noop, "runs": len(rows)}


@contextlib.contextmanager
def opened(options):
    """A floor to measure on; afterwards no process, memory or file of it is left."""
    with tempfile.TemporaryDirectory(prefix="pyro-floor-") as folder:
        floor = Floor(options, folder)
        try:
            yield floor
        finally:
            for guest in floor.guests:
                guest.end()
            for memory in (floor.memory, floor.unsaved_memory):
                memory.unlink(missing_ok=True)


def measure(options):
    with opened(options) as floor:
        boots = [floor.boot_s() for _ in range(options.boots)]
        return {"boot_s": round(statistics.median(boots), 3), **floor.restores()}


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--modules", required=True)
    parser.add_argument("--rootfs", required=True)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--boots", type=int, default=3)
    parser.add_argument("--mem", type=int, default=384, help="guest memory, MiB")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(measure(parse())))
