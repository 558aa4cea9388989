#!/usr/bin/env python3
"""Quorate beside Debian's etcd and ZooKeeper: three durable members each, in turn, on this
machine, loaded by `quorate bench`. Writes docs/benchmarks.md.

  bench/compare.py --binary build/release/bin/quorate [--rows put,get,...] [--systems etcd,...]
                   [--repeats N] [--budget SECONDS] [--quick] [--fresh] [--page]

What was measured is kept in build/bench/state.json and not measured again, so that a run may be
interrupted, or done in slices: --budget ends it after so many seconds, at the next pause.
Another build of Quorate drops what was measured before, unless --keep. --fresh drops everything,
--page only writes the page, --quick uses small numbers and writes no page.
"""
import argparse
import datetime
import hashlib
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import page  # noqa: E402
from rows import GROUPS, Run, Sizes  # noqa: E402
from systems import ROOT, ZOOKEEPER_JAR, Invalid, System, Tool, versions  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
from cluster import Failure  # noqa: E402


class State:
    """Every figure measured so far."""

    def __init__(self, path, build, keep):
        self.path = path
        self.kept = {'build': build, 'cells': [], 'commands': {}}
        if os.path.exists(path):
            with open(path) as file:
                before = json.load(file)
            if before['build'] == build or keep:
                self.kept = before
            else:
                print('another build of Quorate: what was measured before is dropped', flush=True)

    def cells(self, row, system=None):
        return [cell for cell in self.kept['cells']
                if cell['row'] == row and system in (None, cell['system'])]

    def has(self, row, system, repeat):
        return any(cell['repeat'] == repeat for cell in self.cells(row, system))

    def add(self, row, system, repeat, values):
        self.kept['cells'].append({'row': row, 'system': system, 'repeat': repeat,
                                   'when': datetime.datetime.now().isoformat(' ', 'minutes'),
                                   'values': values})

    def remember(self, commands):
        self.kept['commands'].update(commands)

    def commands(self):
        return self.kept['commands']

    def span(self):
        times = sorted(cell['when'] for cell in self.kept['cells']) or ['never']
        return times[0], times[-1]

    def save(self):
        with open(self.path + '.new', 'w') as file:
            json.dump(self.kept, file, indent=1)
        os.replace(self.path + '.new', self.path)


def jobs(repeats, systems):
    """(group, system, repeat), the systems taking turns within each group."""
    for repeat in range(repeats):
        for group, (_, _, takes_part, repeats_max) in GROUPS.items():
            if repeat >= repeats_max:
                continue
            order = takes_part if repeat % 2 == 0 else list(reversed(takes_part))
            for system in order:
                if system in systems:
                    yield group, system, repeat


def measure(options, state, systems, tool, sizes):
    """True when nothing failed; ends early when the budget is spent."""
    began = time.monotonic()
    good = True
    for group, system, repeat in jobs(options.repeats, systems):
        function, rows, _, _ = GROUPS[group]
        wanted = {row for row in rows
                  if (not options.rows or row in options.rows or group in options.rows) and
                  not state.has(row, system, repeat)}
        if not wanted:
            continue
        if options.budget and time.monotonic() - began > options.budget:
            print(f'the budget of {options.budget} s is spent; run again for the rest', flush=True)
            return good
        try:
            for row, values in function(Run(tool, systems[system], sizes, state, wanted)):
                state.add(row, system, repeat, values)
                state.remember(tool.commands)
                state.save()
                print(f'{repeat + 1} {system} {row}: ' + ', '.join(
                    f'{name} {value:,.2f}' for name, value in values.items()
                    if isinstance(value, (int, float)) and not isinstance(value, bool)), flush=True)
        except (Invalid, Failure, subprocess.TimeoutExpired) as why:
            print(f'VOID {group} of {system}, repeat {repeat + 1}: {why}', flush=True)
            good = False
    return good


def draw(binary, folder, path):
    """The picture; False if no sweep was measured."""
    files = [os.path.join(folder, f'sweep-{system}.json')
             for system in ('etcd', 'zookeeper', 'quorate')]
    files = [file for file in files if os.path.exists(file)]
    if not files:
        return False
    done = subprocess.run([binary, 'bench', 'plot', '--title', 'put, three durable members',
                           '--out', path, *files])
    return done.returncode == 0


def digest(path):
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument('--binary', required=True)
    parser.add_argument('--rows', default='', help='rows or groups, with commas; all if empty')
    parser.add_argument('--systems', default='etcd,quorate,zookeeper')
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--budget', type=float, default=0, help='seconds')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--fresh', action='store_true')
    parser.add_argument('--keep', action='store_true')
    parser.add_argument('--page', action='store_true')
    options = parser.parse_args()
    options.rows = [row for row in options.rows.split(',') if row]
    known = set(GROUPS) | {row for _, rows, _, _ in GROUPS.values() for row in rows}
    if set(options.rows) - known:
        parser.error(f'no such rows: {", ".join(sorted(set(options.rows) - known))}; there are '
                     f'{", ".join(sorted(known))}')
    return options


def main():
    options = arguments()
    binary = os.path.abspath(options.binary)
    folder = os.path.join(ROOT, 'build', 'bench-quick' if options.quick else 'bench')
    os.makedirs(folder, exist_ok=True)  # on the disk, not on a tmpfs
    path = os.path.join(folder, 'state.json')
    if options.fresh or options.quick:
        for name in os.listdir(folder):
            if name.endswith('.json'):
                os.remove(os.path.join(folder, name))
    state = State(path, digest(binary), options.keep)
    names = options.systems.split(',')
    if 'zookeeper' in names and not os.path.exists(ZOOKEEPER_JAR):
        print('ZooKeeper is not installed (apt-get install zookeeper): left out')
        names.remove('zookeeper')
    systems = {name: System(name, binary, folder) for name in names}
    tool = Tool(binary)
    good = True
    if not options.page:
        good = measure(options, state, systems, tool, Sizes(options.quick))
    table, bad, absent = page.goals_table(state)
    print('\n' + table + '\n' + '\n'.join(bad))
    if absent:
        print('not measured: ' + '; '.join(absent))
    if not options.quick:
        docs = os.path.join(ROOT, 'docs')
        plotted = draw(binary, folder, os.path.join(docs, page.PLOT))
        page.write(state, versions(binary), os.path.join(docs, 'benchmarks.md'), plotted)
        print('\nWritten to docs/benchmarks.md')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
