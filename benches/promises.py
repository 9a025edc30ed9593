"""What pyro promises, and whether figures keep it. It must not measure anything."""

MIB = 1024 * 1024

# Name, limit, unit and what it means. A time that has a floor is promised as a ratio to what the engine alone takes.
PROMISES = [
    ("run_p50_ratio", 1.25, "x floor restore", "pyro run, restored, whole process, p50"),
    ("run_p99_ratio", 2.0, "x floor restore", "pyro run, restored, whole process, p99"),
    ("exec_ratio", 1.3, "x floor no-op", "warm exec of true in a kept guest, p50"),
    ("cold_run_ratio", 1.5, "x floor boot", "pyro run, cold, whole process"),
    ("at_once_ratio", 1.3, "x floor at once", "20 runs at once, until the last ended"),
    ("fork_10_pause_s", 0.5, "s", "pause of a guest forked into 10"),
    ("fork_10_child_ratio", 2.0, "x floor restore", "each of these forks, start to answer, p50"),
    ("environment_ratio", 1.15, "x debian:12-base", "start of debian:12-build"),
    ("idle_pss_mib", 45, "MiB", "idle guest's share of memory, among others"),
    ("idle_cpu_percent", 1, "% of a core", "idle guest's processor time"),
    ("many_pss_mib", 45, "MiB", "the same, with as many as --many"),
    ("own_memory_bytes", 20 * MIB, "bytes", "pyro's own memory during a run"),
    ("agent_bytes", 2_000_000, "bytes", "the guest's agent"),
    ("version_s", 0.020, "s", "pyro --version"),
    ("env_list_s", 0.020, "s", "pyro env list"),
    ("create_ratio", 1.5, "x floor restore", "workspace create, whole process"),
    # 0.6 of its speed.
    ("seed_ratio", 1 / 0.6, "x raw tar", "seed of 10,000 files, 200 MB"),
    ("push_10_s", 1.5, "s", "push after touching 10 of 10,000 files"),
    ("diff_10_s", 1.5, "s", "diff with 10 of 10,000 files changed"),
    ("snapshot_ratio", 3.0, "x floor restore", "snapshot with 10,000 files"),
    ("reset_ratio", 3.0, "x floor restore", "reset with 10,000 files"),
    ("snapshot_growth", 1.5, "x with 10 files", "the same snapshot"),
    ("reset_growth", 1.5, "x with 10 files", "the same reset"),
    # 0.7 of its throughput.
    ("port_download_ratio", 1 / 0.7, "x QEMU's hostfwd", "download through a published port, 64 MiB"),
    ("port_upload_ratio", 1 / 0.7, "x QEMU's hostfwd", "upload through a published port, 64 MiB"),
    ("port_upload_input_ratio", None, "x command's input", "the same upload"),
    ("port_request_s", None, "s", "a connection to a published port, with one answer"),
    ("supervisor_peak_mib", 48, "MiB", "a supervisor's memory at most, after a seed"),
    ("keystroke_ratio", 1.5, "x floor echo", "a key's round trip at an attached terminal, p50"),
    ("keystroke_terminal_ratio", 1.5, "x floor terminal", "the same, beside a terminal in the floor's guest"),
    ("mcp_overhead_ms", 5, "ms", "MCP workspace_exec over a supervisor's call"),
    ("python_overhead_ms", 2, "ms", "Python exec_workspace over the same call"),
    ("python_import_ms", 50, "ms", "import pyro_mcp"),
    ("exec_true_s", None, "s", "workspace exec of sh -c true, whole process"),
    ("start_s", None, "s", "start of a stopped workspace"),
    ("stop_s", None, "s", "stop of a workspace"),
    ("fork_2_s", None, "s", "two forks of a running workspace, started"),
    ("cold_run_256_mib_s", None, "s", "pyro run, cold, in a guest of 256 MiB"),
]


def judge(figures):
    """One row for each promise: what was measured, and whether it is kept; nothing is said of what was not measured."""
    for name, limit, unit, meaning in PROMISES:
        value = figures.get(name)
        kept = None if limit is None or value is None else value <= limit
        yield {"name": name, "meaning": meaning, "value": value, "limit": limit, "unit": unit, "kept": kept}


def verdict(row):
    if row["value"] is None:
        return "not measured"
    return {True: "ok", False: "OVER", None: ""}[row["kept"]]


def number(value):
    if value is None:
        return ""
    return str(value) if isinstance(value, int) or value >= 1000 else f"{value:.3g}"


def print_table(rows):
    print(f"{'promise':<44} {'measured':>10} {'limit':>10} {'unit':<17} verdict")
    for row in rows:
        values = f"{number(row['value']):>10} {number(row['limit']):>10}"
        print(f"{row['meaning']:<44} {values} {row['unit']:<17} {verdict(row)}")
