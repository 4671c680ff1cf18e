"""What one command costs, and a table of many.

    measure.py run WORKLOAD NAME RESULTS [SERVER=PID...] -- COMMAND...   appends a line to RESULTS; ends with the command's code
    measure.py speed TITLE RESULTS                                       prints how many times faster than the first NAME each is
    measure.py table RESULTS                                             prints medians, spreads and ratios; 1 when a tool failed

A command's CPU seconds are those of itself and its children; its peak memory is that of the largest of these processes. A server's are
those of the process PID, of its children and of the children that it has waited for.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")


def stat_fields(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_of_tree(root):
    """The seconds of root, its descendants, and all that those have waited for."""
    children = {}
    ticks = {}
    for name in os.listdir("/proc"):
        fields = stat_fields(name) if name.isdigit() else None
        if fields:
            children.setdefault(int(fields[1]), []).append(int(name))
            ticks[int(name)] = sum(int(field) for field in fields[11:15])
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        total += ticks.get(pid, 0)
        todo += children.get(pid, [])
    return total / TICK


def run(workload, name, results, *rest):
    split = rest.index("--")
    servers = [int(server.partition("=")[2]) for server in rest[:split]]
    before = [cpu_of_tree(pid) for pid in servers]
    with tempfile.NamedTemporaryFile("r") as cost:
        command = ["/usr/bin/time", "-q", "-o", cost.name, "-f", "%U %S %M", *rest[split + 1 :]]
        start = time.monotonic()
        code = subprocess.call(command)
        seconds = time.monotonic() - start
        user, system, peak_kib = (float(word) for word in cost.read().split())
    time.sleep(0.1)  # a backend counts when its parent has waited for it
    spent = [cpu_of_tree(pid) - was for pid, was in zip(servers, before)]
    fields = [seconds, user + system, peak_kib / 1024, *spent]
    if code == 0:
        with open(results, "a", encoding="utf-8") as file:
            print(workload, name, *(f"{field:.3f}" for field in fields), sep="\t", file=file)
    return code


def read_results(results):
    """The rows of each tool of each workload, and what failed."""
    runs, failures = {}, {}
    with open(results, encoding="utf-8") as file:
        for line in file:
            workload, name, *fields = line.rstrip("\n").split("\t")
            rows = runs.setdefault(workload, {}).setdefault(name, [])
            if fields[0] == "failed":
                failures[workload, name] = fields[1]
            else:
                rows.append([float(field) for field in fields])
    return runs, failures


def line_of(name, rows, unit):
    seconds = [row[0] for row in rows]
    cpu, peak, source, target = (statistics.median(row[at] for row in rows) for at in range(1, 5))
    median = statistics.median(seconds)
    times = f"{median / unit:5.2f}x" if unit else "     -"
    share = f"{100 * cpu / (source + target):4.0f} %" if source + target > 0 else "     -"
    return (
        f"{name:38}  {median:7.2f} ({min(seconds):6.2f} to {max(seconds):6.2f})  {times}"
        f"  {cpu:9.2f}  {source:6.2f}  {target:6.2f}  {share}  {peak:8.1f}"
    )


def table(results):
    runs, failures = read_results(results)
    for workload, tools in runs.items():
        first = next(iter(tools.values()))
        unit = statistics.median(row[0] for row in first) if first else None
        print(f"\n{workload}\n{'':38}  seconds (least to most)   times  cpu: tool  source  target   share  peak MiB")
        for name, rows in tools.items():
            if rows:
                print(line_of(name, rows, unit))
            if (workload, name) in failures:
                print(f"{name:38}  FAILED: {failures[workload, name]}")
    print("\nshare: the tool's CPU seconds, in per cent of those of both servers")
    return 1 if failures else 0


def speed(title, results):
    runs, _ = read_results(results)
    print(f"\n{title}\n{'':10}  workers  seconds   times  cpu: tool  source  target  peak MiB")
    for workload, settings in runs.items():
        unit = None
        for name, rows in settings.items():
            seconds, cpu, peak, source, target = (statistics.median(row[at] for row in rows) for at in range(5))
            unit = unit or seconds
            print(
                f"{workload:10}  {name:>7}  {seconds:7.2f}  {unit / seconds:5.1f}x  {cpu:9.2f}  {source:6.2f}  {target:6.2f}  {peak:8.1f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit({"run": run, "speed": speed, "table": table}[sys.argv[1]](*sys.argv[2:]))
