#!/usr/bin/env python3
"""`make bench`: measures the engine's floor and pyro in one run, and prints what pyro promises beside what it keeps.
It must not measure anything itself; floor.py and product.py do.

    bench.py [--runs 5] [--json FILE]

The table goes to standard output, and so does the JSON unless a file is named for it. Ends with 1 when a promise is
broken.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys

import floor
import product

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
# A start that boots, as a template's first one must.
COLD = ("--no-template",)

# What is promised: name, limit, unit and what it means. A time is promised as a ratio to what the engine alone takes.
PROMISES = [
    ("cold_run_ratio", 1.5, "x floor boot", "pyro run, cold, whole process"),
    ("cold_run_256_mib_s", None, "s", "pyro run, cold, in a guest of 256 MiB"),
    ("version_s", 0.020, "s", "pyro --version"),
    ("env_list_s", 0.020, "s", "pyro env list"),
    ("agent_bytes", 2_000_000, "bytes", "the guest's agent"),
    ("own_memory_bytes", 20 * MIB, "bytes", "pyro's own memory during a run"),
]


def measure_starts(pyro, engine, runs):
    """Boots of the floor and cold runs of ours in turn, so that what else the machine does falls on both alike."""
    boots, colds, parts = [], [], []
    for _ in range(runs):
        boots.append(engine.boot_s())
        cold, part = pyro.timed_run(*COLD)
        colds.append(cold)
        parts.append(part)
    return boots, {
        "cold_run_s": median(colds),
        "cold_run_ratio": median(cold / boot for cold, boot in zip(colds, boots)),
        "cold_run_parts_ms": {name: median(part[name] for part in parts) for name in parts[0]},
    }


def measure_rest(pyro):
    return {
        "cold_run_256_mib_s": round(pyro.timed_run(*COLD, "--mem-mib", "256")[0], 4),
        "version_s": round(pyro.median_seconds(20, "--version"), 4),
        "env_list_s": round(pyro.median_seconds(20, "env", "list"), 4),
        "agent_bytes": pyro.agent_bytes(),
        "own_memory_bytes": pyro.own_memory_bytes(),
    }


def floor_options(detail, runs):
    kernel = pathlib.Path(detail["kernel_image"])
    arguments = ["--kernel", str(kernel), "--modules", str(kernel.parent / "modules")]
    return floor.parse([*arguments, "--rootfs", detail["rootfs_image"], "--runs", str(runs)])


def measure(pyro, runs):
    """The floor's figures and ours, from one run."""
    with floor.opened(floor_options(pyro.environment(), runs)) as engine:
        boots, starts = measure_starts(pyro, engine, runs)
        floor_figures = {"boot_s": median(boots), **engine.restores()}
    return floor_figures, {**starts, **measure_rest(pyro)}


def median(values):
    return round(statistics.median(values), 4)


def judge(figures):
    """One row for each promise: what was measured, and whether it is kept."""
    for name, limit, unit, meaning in PROMISES:
        value = figures[name]
        kept = None if limit is None else value <= limit
        yield {"name": name, "meaning": meaning, "value": value, "limit": limit, "unit": unit, "kept": kept}


def number(value):
    if value is None:
        return ""
    return str(value) if isinstance(value, int) or value >= 1000 else f"{value:.3g}"


def print_table(floor_figures, figures, rows):
    print("floor   " + "  ".join(f"{name}={value}" for name, value in floor_figures.items()))
    print("run, ms " + "  ".join(f"{name}={value}" for name, value in figures["cold_run_parts_ms"].items()) + "\n")
    print(f"{'promise':<40} {'measured':>10} {'limit':>10} {'unit':<14} verdict")
    for row in rows:
        verdict = {True: "ok", False: "OVER", None: ""}[row["kept"]]
        values = f"{number(row['value']):>10} {number(row['limit']):>10}"
        print(f"{row['meaning']:<40} {values} {row['unit']:<14} {verdict}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="boots, restores and cold runs, each")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    return parser.parse_args()


def main():
    options = parse()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    pyro = product.Product(target / "release/pyro", ROOT)
    floor_figures, figures = measure(pyro, options.runs)
    rows = list(judge(figures))
    print_table(floor_figures, figures, rows)
    document = json.dumps({"schema": 1, "floor": floor_figures, "pyro": figures, "promises": rows})
    if options.json:
        options.json.write_text(document + "\n")
    else:
        print("\n" + document)
    return 1 if any(row["kept"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
