"""Takes published ports and QEMU's own `hostfwd` in turn: the same server in a guest, the same client here. It must not know
what is promised.

The server sends zeros until so many bytes are gone, or reads to the end and answers with how many there were. Both guests
have one processor and the same kernel; QEMU's has a virtio network card and its user-mode network.

An upload is compared with what the guest's channel takes as well, the same bytes as the input of a command: a virtio-serial
port gives a Linux guest 4 KiB at a time, each with an interrupt, where a network card's packets come many at once.
"""
import contextlib
import socket
import subprocess
import time

import workspaces
from pairs import median
from pairs import ratio

GUEST_PORT, BYTES, CHUNK = 9000, 64 << 20, 256 << 10
# How long a transfer may take before the measurement is given up, in seconds.
PATIENCE_S = 120

# One line, for a loop that reads lines; `$` is kept from the shell by single quotes.
SERVER = (
    "perl -MIO::Socket::INET -e '"
    f"$l = IO::Socket::INET->new(Listen => 9, LocalPort => {GUEST_PORT}, ReuseAddr => 1) or die; $| = 1; print qq(up\\n);"
    f" $b = qq(\\0) x {CHUNK};"
    " while ($c = $l->accept) { sysread($c, $w, 1);"
    f" if ($w eq qq(d)) {{ for (1..{BYTES // CHUNK}) {{ $o = 0; $o += syswrite($c, $b, {CHUNK} - $o, $o) while $o < {CHUNK} }} }}"
    f" else {{ $t = 0; $t += $n while $n = sysread($c, $i, {CHUNK}); syswrite($c, $t) }} close $c }}'"
)


def connected(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    return contextlib.closing(connection)


def download_s(port):
    """Seconds until all the bytes are here."""
    start, total = time.monotonic(), 0
    with connected(port) as connection:
        connection.sendall(b"d")
        while got := connection.recv(CHUNK):
            total += len(got)
    if total != BYTES:
        raise RuntimeError(f"{total} of {BYTES} bytes came")
    return time.monotonic() - start


def upload_s(port):
    """Seconds until the server has said that it has all the bytes."""
    start = time.monotonic()
    with connected(port) as connection:
        connection.sendall(b"u")
        for _ in range(BYTES // CHUNK):
            connection.sendall(bytes(CHUNK))
        connection.shutdown(socket.SHUT_WR)
        said = connection.makefile("rb").read()
    if int(said) != BYTES:
        raise RuntimeError(f"{said!r} of {BYTES} bytes arrived")
    return time.monotonic() - start


def round_trip_s(port):
    """Seconds of a connection of its own that asks one thing."""
    start = time.monotonic()
    with connected(port) as connection:
        connection.sendall(b"u")
        connection.shutdown(socket.SHUT_WR)
        if connection.makefile("rb").read() != b"0":
            raise RuntimeError("the server did not answer")
    return time.monotonic() - start


def input_s(all_of_them, workspace):
    """Seconds until a command has read the same bytes from its input."""
    with subprocess.Popen(["head", "-c", str(BYTES), "/dev/zero"], stdout=subprocess.PIPE) as zeros:
        return all_of_them.call("exec", workspace, "--", "sh", "-c", "cat > /dev/null", source=zeros.stdout)[0]


MEASURES = {"download": download_s, "upload": upload_s, "request": round_trip_s}


@contextlib.contextmanager
def published(all_of_them):
    """A workspace with the server and its port published: its id, and the port here."""
    with all_of_them.made("--publish", str(GUEST_PORT)) as (_, workspace):
        all_of_them.call("exec", workspace, "--detach", "--timeout-seconds", "0", "--", f"{SERVER} > /tmp/up")
        all_of_them.call("exec", workspace, "--", "while ! grep -q up /tmp/up; do sleep 0.05; done")
        yield workspace, all_of_them.json("port", "list", workspace)["published_ports"][0]["host_port"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def forwarded(engine):
    """A guest of the floor's with the same server, behind a port that QEMU forwards."""
    port = free_port()
    guest = engine.networked(port, GUEST_PORT)
    try:
        guest.ask(f"({SERVER} > /dev/null 2>&1 < /dev/null &)")
        guest.ask("perl -MIO::Socket::INET -e 'select(undef, undef, undef, 0.05) until "
                  f"IO::Socket::INET->new(PeerAddr => qq(127.0.0.1:{GUEST_PORT}))'")
        yield port
    finally:
        guest.end()


def ports(pyro, engine, runs):
    rows, inputs = {name: [] for name in MEASURES}, []
    with workspaces.opened(pyro) as (all_of_them, _), published(all_of_them) as (workspace, ours), forwarded(engine) as theirs:
        for name, measure in MEASURES.items():
            # The first of each does not count.
            measure(ours), measure(theirs)
            for _ in range(runs):
                rows[name].append((measure(theirs), measure(ours)))
                if name == "upload":
                    inputs.append(input_s(all_of_them, workspace))
    floor, figures = {}, {}
    for name, pairs in rows.items():
        theirs, ours = (median(column) for column in zip(*pairs))
        if name == "request":
            floor["hostfwd_request_s"], figures["port_request_s"] = theirs, ours
            figures["port_request_ratio"] = ratio(ours, theirs)
            continue
        floor[f"hostfwd_{name}_mib_s"] = round(BYTES / theirs / (1 << 20), 1)
        figures[f"port_{name}_mib_s"] = round(BYTES / ours / (1 << 20), 1)
        figures[f"port_{name}_ratio"] = ratio(ours, theirs)
    figures["channel_input_mib_s"] = round(BYTES / median(inputs) / (1 << 20), 1)
    figures["port_upload_input_ratio"] = ratio(median(ours for _, ours in rows["upload"]), median(inputs))
    return floor, figures
