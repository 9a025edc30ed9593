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
import sys

import floor
import product

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIB = 1024 * 1024

# What is promised: name, what it is divided by (or None), limit, unit and what it means.
PROMISES = [
    ("cold_run_s", "boot_s", 1.5, "x floor boot", "pyro run, cold, whole process"),
    ("cold_run_256_mib_s", None, None, "s", "pyro run, cold, in a guest of 256 MiB"),
    ("version_s", None, 0.020, "s", "pyro --version"),
    ("env_list_s", None, 0.020, "s", "pyro env list"),
    ("agent_bytes", None, 2_000_000, "bytes", "the guest's agent"),
    ("own_memory_bytes", None, 20 * MIB, "bytes", "pyro's own memory during a run"),
]


def measure_product(pyro, runs):
    cold, parts = pyro.cold_run(runs)
    small, _ = pyro.cold_run(1, "--mem-mib", "256")
    return {
        "cold_run_s": round(cold, 4),
        "cold_run_parts": parts,
        "cold_run_256_mib_s": round(small, 4),
        "version_s": round(pyro.median_seconds(20, "--version"), 4),
        "env_list_s": round(pyro.median_seconds(20, "env", "list"), 4),
        "agent_bytes": pyro.agent_bytes(),
        "own_memory_bytes": pyro.own_memory_bytes(),
    }


def measure_floor(detail, options):
    kernel = pathlib.Path(detail["kernel_image"])
    arguments = ["--kernel", str(kernel), "--modules", str(kernel.parent / "modules")]
    arguments += ["--rootfs", detail["rootfs_image"], "--runs", str(options.runs), "--boots", str(options.runs)]
    return floor.measure(floor.parse(arguments))


def judge(figures, floor_figures):
    """One row for each promise: what was measured, as a ratio where it is promised as one, and whether it is kept."""
    for name, divisor, limit, unit, meaning in PROMISES:
        value = figures[name] / floor_figures[divisor] if divisor else figures[name]
        kept = None if limit is None else value <= limit
        yield {"name": name, "meaning": meaning, "value": round(value, 4), "limit": limit, "unit": unit, "kept": kept}


def number(value):
    if value is None:
        return ""
    return str(value) if isinstance(value, int) or value >= 1000 else f"{value:.3g}"


def print_table(floor_figures, figures, rows):
    print("floor   " + "  ".join(f"{name}={value}" for name, value in floor_figures.items()))
    print("parts   " + "  ".join(f"{name}={value}" for name, value in figures["cold_run_parts"].items()) + "\n")
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
    detail = pyro.environment()
    floor_figures = measure_floor(detail, options)
    figures = measure_product(pyro, options.runs)
    rows = list(judge(figures, floor_figures))
    print_table(floor_figures, figures, rows)
    document = json.dumps({"schema": 1, "floor": floor_figures, "pyro": figures, "promises": rows})
    if options.json:
        options.json.write_text(document + "\n")
    else:
        print("\n" + document)
    return 1 if any(row["kept"] is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
