"""Takes the engine's floor and pyro in turn, so that whatever else the machine does falls on both alike, and divides the
one by the other. It must not know what is promised.
"""
import statistics

# A start that boots, as a template's first one must.
COLD = ("--no-template",)
BASE, BUILD = "debian:12-base", "debian:12-build"


def median(values):
    # To the microsecond: the floor's echo of a byte takes a hundred of them.
    return round(statistics.median(values), 6)


def ratio(ours, floor):
    return round(ours / floor, 4)


def where_time_goes(tooks, parts):
    """Medians of the parts that pyro names, and of what is left: its own start, and the guest's end."""
    named = [name for name in parts[0] if name != "total_ms"]
    rest = [took * 1000 - sum(part[name] for name in named) for took, part in zip(tooks, parts)]
    return {**{name: median(part[name] for part in parts) for name in named}, "rest_ms": median(rest)}


def cold_starts(pyro, engine, runs):
    boots, colds, parts = [], [], []
    for _ in range(runs):
        boots.append(engine.boot_s())
        cold, part = pyro.timed_run(*COLD)
        colds.append(cold)
        parts.append(part)
    ours = {
        "cold_run_s": median(colds),
        "cold_run_ratio": ratio(median(colds), median(boots)),
        "cold_run_parts_ms": where_time_goes(colds, parts),
    }
    return {"boot_s": median(boots)}, ours


def restored_starts(pyro, engine, runs):
    """The p99 of so few is their largest."""
    # The first of each does not count: it makes the template, and reads what the others find in memory.
    pyro.restored_s()
    engine.restore_s()
    restores, starts, parts = [], [], []
    for _ in range(runs):
        restores.append(engine.restore_s())
        took, part = pyro.timed_run()
        starts.append(took)
        parts.append(part)
    floor = median(restores)
    ours = {
        "run_s": median(starts),
        "run_worst_s": round(max(starts), 4),
        "run_p50_ratio": ratio(median(starts), floor),
        "run_p99_ratio": ratio(max(starts), floor),
        "run_parts_ms": where_time_goes(starts, parts),
    }
    return {"restore_s": floor, "restore_worst_s": round(max(restores), 4)}, ours


def warm_commands(pyro, engine, runs):
    """A no-op in a kept guest of the floor's, before and after ours."""
    _, guest = engine.restored()
    guest.ask("true")
    noops = [guest.ask("true")[0] for _ in range(runs)]
    rows = pyro.bench("--only", "exec", "--runs", "5")
    noops += [guest.ask("true")[0] for _ in range(runs)]
    guest.end()
    ours = rows["exec_warm_true"]["p50"] / 1000
    names = ("channel_round_trip", "exec_warm_true", "exec_warm_git")
    shown = {f"{name}_s": round(rows[name]["p50"] / 1000, 5) for name in names}
    return {"noop_s": median(noops)}, {**shown, "exec_ratio": ratio(ours, median(noops))}


def starts_at_once(pyro, engine, count, runs):
    floor, ours = [], []
    for _ in range(runs):
        floor.append(engine.restores_at_once_s(count))
        ours.append(pyro.restored_at_once_s(count))
    at_once = {"at_once_s": median(ours), "at_once_ratio": ratio(median(ours), median(floor))}
    return {"at_once_s": median(floor)}, at_once


def forks(pyro, engine, runs):
    restores = [engine.restore_s() for _ in range(runs)]
    rows = pyro.bench("--only", "fork", "--forks", "10")
    restores += [engine.restore_s() for _ in range(runs)]
    child = rows["fork_10_child"]["p50"] / 1000
    ours = {
        "fork_10_pause_s": round(rows["fork_10_pause"]["p50"] / 1000, 4),
        "fork_10_total_s": round(rows["fork_10_total"]["p50"] / 1000, 4),
        "fork_10_child_s": round(child, 4),
        "fork_10_pss_mib": rows["fork_10_pss"]["p50"],
        "fork_10_child_ratio": ratio(child, median(restores)),
    }
    return {"fork_restore_s": median(restores)}, ours


def environments(pyro, runs):
    """Nothing when they are not both installed: installing them takes minutes."""
    if not pyro.installed(BASE, BUILD):
        return {}
    question = ["--", "true"]
    for name in (BASE, BUILD):
        pyro.restored_s(name, question)
    pairs = [[pyro.restored_s(name, question) for name in (BASE, BUILD)] for _ in range(runs)]
    base, build = (median(column) for column in zip(*pairs))
    return {"base_run_s": base, "build_run_s": build, "environment_ratio": ratio(build, base)}
