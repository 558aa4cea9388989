#!/usr/bin/env python3
"""How long nobody can write when the leader goes: killed, frozen, or asked to stop.

  bench/failover.py --binary build/release/bin/quorate [--trials 20] [--quick] [--no-write]

Quorate and Debian's etcd take turns, trial by trial, each on its own cluster of three members
with default settings; while one is measured the other is stopped (SIGSTOP), so that it takes no
processor time. Small puts go to every member all the time (tests/crash/load.h), and the figure
is the longest time between two acknowledgements, of whichever member. Writes the section
"Failover" of docs/benchmarks.md.
"""
import argparse
import bisect
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'crash'))

from cluster import Cluster, Failure, clean_environment  # noqa: E402
from rig import acknowledgements  # noqa: E402

PERIOD_MICROSECONDS = 2000  # between puts to one member: 1500 puts a second in all
DEADLINE_MILLISECONDS = 1000
BEFORE_SECONDS = 0.05  # looked at before the blow, so that a gap under way counts whole
PATIENCE_SECONDS = 10
SETTLE_SECONDS = 1.0
KINDS = [('kill', 'kill -9', signal.SIGKILL), ('freeze', 'SIGSTOP', signal.SIGSTOP),
         ('stop', 'SIGTERM', signal.SIGTERM)]
# Milliseconds, the median of Quorate's figure.
TARGETS = {'kill': 150, 'freeze': 1000, 'stop': 20}


class Load:
    """crash_load probe, and what it saw."""

    def __init__(self, program, cluster, folder):
        self.path = os.path.join(folder, 'acknowledged.txt')
        self.process = subprocess.Popen(
            [program, 'probe', '--endpoints', cluster.endpoints, '--output', self.path,
             '--pause-microseconds', str(PERIOD_MICROSECONDS), '--milliseconds', '3600000',
             '--deadline-milliseconds', str(DEADLINE_MILLISECONDS)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=clean_environment())

    def finish(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        return acknowledgements(self.path)[0]


def longest_gap(times, blow, end):
    """Seconds without an acknowledgement; None if writing never came back."""
    inside = times[bisect.bisect_left(times, blow - BEFORE_SECONDS):bisect.bisect_right(times, end)]
    if len(inside) < 2 or inside[-1] <= blow:
        return None
    return max(later - earlier for earlier, later in zip(inside, inside[1:]))


def trial(cluster, program, folder, number):
    """One blow to the leader under load; returns the gap in milliseconds."""
    leader = cluster.leader()
    load = Load(program, cluster, folder)
    time.sleep(SETTLE_SECONDS + random.random() * 0.2)  # not in step with any heartbeat
    quiet_from = time.monotonic() - SETTLE_SECONDS / 2
    blow = time.monotonic()
    leader.process.send_signal(number)
    time.sleep(2.5 if cluster.extra is None else cluster.extra)
    end = time.monotonic()
    times = load.finish()
    before = longest_gap(times, quiet_from, blow)
    gap = longest_gap(times, blow, end)
    if number == signal.SIGSTOP:
        leader.process.send_signal(signal.SIGCONT)
    else:
        leader.process.wait(timeout=10)
        leader.start()
    cluster.wait_ready()
    if gap is None:
        raise Failure(f'no write was acknowledged within {end - blow:.1f} s')
    return gap * 1000, (before or 0) * 1000


def pause(cluster, number):
    for node in cluster.nodes:
        if node.alive():
            node.process.send_signal(number)


def measure(systems, trials, kinds, program, folder):
    """{(system, kind): [milliseconds]}, and which trials gave none: their cluster is replaced"""
    gaps = {(name, kind): [] for name, _ in systems for kind, _, _ in kinds}
    clusters = {}
    void = []
    try:
        for name, command in systems:
            clusters[name] = begin(name, command, folder)
        for number in range(trials):
            for kind, _, blow in kinds:
                for name, command in systems if number % 2 == 0 else reversed(systems):
                    cluster = clusters[name]
                    pause(cluster, signal.SIGCONT)
                    try:
                        cluster.wait_ready()
                        gap, before = trial(cluster, program, cluster.directory, blow)
                    except (Failure, OSError, subprocess.TimeoutExpired) as why:
                        print(f'{number + 1}/{trials} {name} {kind}: VOID: {why}', flush=True)
                        void.append(f'{name} {kind}')
                        end(clusters.pop(name))
                        clusters[name] = begin(name, command, folder)
                        continue
                    pause(cluster, signal.SIGSTOP)
                    gaps[name, kind].append(gap)
                    print(f'{number + 1}/{trials} {name} {kind}: {gap:.1f} ms '
                          f'(before the blow at most {before:.1f})', flush=True)
    finally:
        for cluster in clusters.values():
            end(cluster)
    return gaps, void


def begin(name, command, folder):
    """A cluster that is stopped until it has its turn."""
    cluster = Cluster(command, extra_flags=['--log-level', 'error'],
                      keep_directory=tempfile.mkdtemp(prefix=name + '-', dir=folder))
    cluster.extra = 4.0 if name == 'etcd' else 2.5
    cluster.__enter__()
    pause(cluster, signal.SIGSTOP)
    return cluster


def end(cluster):
    pause(cluster, signal.SIGCONT)
    cluster.__exit__(None, None, None)


def kept(path, gaps):
    """A long series in several sittings."""
    earlier = {}
    if os.path.exists(path):
        with open(path) as file:
            earlier = json.load(file)
    merged = {(name, kind): earlier.get(f'{name} {kind}', []) + values
              for (name, kind), values in gaps.items()}
    with open(path, 'w') as file:
        json.dump({f'{name} {kind}': values for (name, kind), values in merged.items()}, file)
    return merged


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def table(gaps, systems, kinds):
    lines = ['| the leader gets | system | median | p90 | longest | target for the median |',
             '|---|---|---|---|---|---|']
    missed = []
    for kind, label, _ in kinds:
        for name, _ in systems:
            values = gaps[name, kind]
            if not values:
                lines.append(f'| {label} | {name} | not measured | | | |')
                continue
            median = statistics.median(values)
            goal = ''
            if name == 'quorate':
                met = median <= TARGETS[kind]
                goal = f'at most {TARGETS[kind]} ms' + ('' if met else ', **missed**')
                if not met:
                    missed.append(f'{label}: {median:.0f} ms, target {TARGETS[kind]} ms')
            lines.append(f'| {label} | {name} | {median:.0f} ms | {percentile(values, 0.9):.0f} ms '
                         f'| {max(values):.0f} ms | {goal} |')
    return '\n'.join(lines), missed


def section(text, trials):
    return f"""{START}
Written by `make failover`: {trials} blows of each kind to the leader of three members under load,
the systems taking turns. The figure is the longest time in which no write was acknowledged by any
member; default settings on both sides. Three members, the client and one disk share this machine.

{text}
{END}
"""


START = '## When the leader goes\n'
END = '<!-- end of the failover section -->'


def write_section(text, trials):
    path = os.path.join(ROOT, 'docs', 'benchmarks.md')
    with open(path) as file:
        page = file.read()
    if START in page:
        before, rest = page.split(START, 1)
        rest = rest.split(END, 1)[1].lstrip('\n') if END in rest else ''
        page = before.rstrip('\n') + '\n\n' + section(text, trials) + ('\n' + rest if rest else '')
    else:
        page = page.rstrip('\n') + '\n\n' + section(text, trials)
    with open(path, 'w') as file:
        file.write(page)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--binary', required=True)
    parser.add_argument('--trials', type=int, default=20)
    parser.add_argument('--kinds', default='kill,freeze,stop')
    parser.add_argument('--only', choices=['quorate', 'etcd'])
    parser.add_argument('--keep', help='a file: earlier results in it count, new ones are added')
    parser.add_argument('--quick', action='store_true', help='3 trials, nothing written')
    parser.add_argument('--no-write', action='store_true')
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    program = os.path.join(os.path.dirname(binary), 'crash_load')
    systems = [('etcd', ['etcd']), ('quorate', [binary, 'serve'])]
    if options.only:
        systems = [system for system in systems if system[0] == options.only]
    kinds = [kind for kind in KINDS if kind[0] in options.kinds.split(',')]
    trials = min(3, options.trials) if options.quick else options.trials
    if trials == 0:
        return 0
    folder = os.path.join(ROOT, 'build', 'failover')  # on the disk, not on a tmpfs
    os.makedirs(folder, exist_ok=True)
    try:
        gaps, void = measure(systems, trials, kinds, program, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.keep:
        gaps = kept(options.keep, gaps)
        trials = min(len(values) for values in gaps.values())
    text, missed = table(gaps, systems, kinds)
    print('\n' + text)
    if void:
        text += '\n\nTrials that gave no figure: ' + ', '.join(void) + '.'
    for line in missed:
        print('missed: ' + line)
    if not (options.quick or options.no_write or options.only or len(kinds) < len(KINDS)):
        write_section(text, trials)
        print('\nWritten to docs/benchmarks.md')
    return 1 if void else 0


if __name__ == '__main__':
    sys.exit(main())
