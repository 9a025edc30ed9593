#!/usr/bin/env python3
"""`make bench`: measures the engine's floor and pyro in one run, and prints what pyro promises beside what it keeps.
It must not measure anything itself; floor.py, product.py, pairs.py, ports.py, workspaces.py, keystrokes.py and faces.py do.

    bench.py [--runs 20] [--boots 3] [--many 200] [--only LIST] [--json FILE]

The table goes to standard output, and so does the JSON unless a file is named for it. Ends with 1 when a promise is
broken. A machine that does something else meanwhile breaks promises: the load is shown.
"""
import argparse
import json
import os
import pathlib
import sys

import faces
import floor
import keystrokes
import pairs
import ports
import product
import promises
import workspaces

ROOT = pathlib.Path(__file__).resolve().parent.parent
# How many runs are started at once, and how many idle guests share the memory that is measured.
AT_ONCE, IDLE = 20, 10
PARTS = (
    "starts", "exec", "cold", "at_once", "fork", "environments", "idle", "many", "rest", "workspaces", "ports", "keystrokes",
    "mcp", "python",
)


def measure_idle(pyro, guests):
    rows = pyro.bench("--only", "idle", "--idle-guests", str(guests))
    if rows["idle_answer"]["n"] != guests:
        raise RuntimeError(f"not all of {guests} guests answered")
    return rows["idle_pss"]["p50"], rows["idle_cpu"]["p50"]


def idle(pyro):
    pss, cpu = measure_idle(pyro, IDLE)
    return {"idle_guests": IDLE, "idle_pss_mib": pss, "idle_cpu_percent": cpu}


def many(pyro, guests):
    if not guests:
        return {}
    pss, cpu = measure_idle(pyro, guests)
    return {"many_guests": guests, "many_pss_mib": pss, "many_cpu_percent": cpu}


def rest(pyro):
    return {
        "cold_run_256_mib_s": round(pyro.timed_run(*pairs.COLD, "--mem-mib", "256")[0], 4),
        "version_s": round(pyro.median_seconds(20, "--version"), 4),
        "env_list_s": round(pyro.median_seconds(20, "env", "list"), 4),
        "agent_bytes": pyro.agent_bytes(),
        "own_memory_bytes": pyro.own_memory_bytes(),
    }


def plan(pyro, engine, options):
    """What is measured, in order: a name, and what gives the floor's figures and ours."""
    return {
        "starts": lambda: pairs.restored_starts(pyro, engine, options.runs),
        "exec": lambda: pairs.warm_commands(pyro, engine, options.runs),
        "cold": lambda: pairs.cold_starts(pyro, engine, options.boots),
        "at_once": lambda: pairs.starts_at_once(pyro, engine, AT_ONCE, options.boots),
        "fork": lambda: pairs.forks(pyro, engine, options.boots),
        "environments": lambda: ({}, pairs.environments(pyro, options.runs)),
        "idle": lambda: ({}, idle(pyro)),
        "many": lambda: ({}, many(pyro, options.many)),
        "rest": lambda: ({}, rest(pyro)),
        "ports": lambda: ports.ports(pyro, engine, options.turns),
        "workspaces": lambda: workspaces.workspaces(pyro, engine, options.turns),
        "keystrokes": lambda: keystrokes.keystrokes(pyro, engine),
        "mcp": lambda: faces.mcp(pyro, options.runs),
        "python": lambda: faces.python(pyro, options.runs),
    }


def measure(pyro, options):
    """The floor's figures and ours, from one run."""
    floor_figures, figures = {}, {}
    with floor.opened(floor_options(pyro.environment())) as engine:
        engine.saved()
        for name, part in plan(pyro, engine, options).items():
            if name in options.only:
                print(f"[bench] {name}, load {os.getloadavg()[0]:.2f}", file=sys.stderr, flush=True)
                of_floor, ours = part()
                floor_figures.update(of_floor)
                figures.update(ours)
    return floor_figures, figures


def floor_options(detail):
    kernel = pathlib.Path(detail["kernel_image"])
    arguments = ["--kernel", str(kernel), "--modules", str(kernel.parent / "modules")]
    return floor.parse([*arguments, "--rootfs", detail["rootfs_image"]])


def print_figures(title, figures):
    for name, value in figures.items():
        if isinstance(value, dict):
            value = "  ".join(f"{part}={ms}" for part, ms in value.items())
        print(f"{title:<6} {name:<22} {value}")


def parts(text):
    names = text.split(",")
    unknown = set(names) - set(PARTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    return names


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="restores, restored runs and no-ops, each")
    parser.add_argument("--boots", type=int, default=3, help="boots, cold runs, and runs of many at once, each")
    parser.add_argument("--turns", type=int, default=5, help="workspaces, snapshots, resets and pushes, each")
    parser.add_argument("--many", type=int, default=0, metavar="N", help="also hold so many guests at once; takes long")
    parser.add_argument("--only", type=parts, default=list(PARTS), metavar="LIST", help=",".join(PARTS))
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    return parser.parse_args()


def main():
    options = parse()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    pyro = product.Product(target / "release/pyro", ROOT)
    load_before = os.getloadavg()[0]
    floor_figures, figures = measure(pyro, options)
    loads = {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)}
    rows = list(promises.judge(figures))
    print_figures("floor", floor_figures)
    print_figures("pyro", figures)
    print(f"load   {loads['before']} before, {loads['after']} after, {os.cpu_count()} processors\n")
    promises.print_table(rows)
    document = {"schema": 2, "load": loads, "floor": floor_figures, "pyro": figures, "promises": rows}
    text = json.dumps(document)
    if options.json:
        options.json.write_text(text + "\n")
    else:
        print("\n" + text)
    return 1 if any(row["kept"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
