#!/usr/bin/env python3
"""Quorate beside Debian's etcd and ZooKeeper: three durable members each, in turn, on this
machine, loaded by `quorate bench`. Writes docs/benchmarks.md.

  bench/compare.py --binary build/release/bin/quorate [--rows put,get,...] [--systems etcd,...]
                   [--repeats N] [--budget SECONDS] [--quick] [--fresh] [--page]

What was measured is kept in build/bench/state.json and not measured again, so that a run may be
interrupted, or done in slices: with --budget nothing is begun that would not end within so many
seconds. Every row is measured once before any is measured again. Another build of Quorate drops
what was measured before, unless --keep. --fresh drops everything, --page only writes the page,
--quick uses small numbers and writes no page.
"""
import argparse
import datetime
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import page  # noqa: E402
from rows import GROUPS, Run, Sizes  # noqa: E402
from systems import ROOT, ZOOKEEPER_JAR, System, Tool, versions  # noqa: E402


class State:
    """Every figure measured so far."""

    def __init__(self, path, build, keep):
        self.path = path
        self.kept = {'build': build, 'cells': [], 'commands': {}, 'took': {}, 'failed': []}
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

    def took(self, group, system):
        return self.kept['took'].get(f'{group} {system}')

    def note_time(self, group, system, seconds):
        self.kept['took'][f'{group} {system}'] = seconds

    def failed(self, texts=None):
        """What failed twice in the last run."""
        if texts is not None:
            self.kept['failed'] = texts
            self.save()
        return self.kept['failed']

    def commands(self):
        return self.kept['commands']

    def span(self):
        times = sorted(cell['when'] for cell in self.kept['cells']) or ['never']
        return times[0], times[-1]

    def save(self):
        with open(self.path + '.new', 'w') as file:
            json.dump(self.kept, file, indent=1)
        os.replace(self.path + '.new', self.path)


class Job:
    """One group on one system, once."""

    def __init__(self, group, system, repeat):
        self.group = group
        self.system = system
        self.repeat = repeat

    def __str__(self):
        return f'{self.group} of {self.system}, repeat {self.repeat + 1}'

    def wanted(self, options, state):
        return {row for row in GROUPS[self.group].rows
                if (not options.rows or row in options.rows or self.group in options.rows) and
                not state.has(row, self.system, self.repeat)}

    def estimate(self, options, state):
        """Seconds; what an earlier repeat took, if there was one."""
        took = state.took(self.group, self.system)
        return took or GROUPS[self.group].seconds[self.system] * (0.3 if options.quick else 1)


def jobs(repeats, systems):
    """Every group once before any group again: a run that is cut short has the whole table. The
    systems take turns within each group."""
    for repeat in range(repeats):
        for name, group in GROUPS.items():
            order = list(group.seconds) if repeat % 2 == 0 else list(reversed(group.seconds))
            if repeat < group.repeats_max:
                yield from (Job(name, system, repeat) for system in order if system in systems)


class Measuring:
    """Does the jobs one after the other; what fails is named, and the rest goes on."""

    def __init__(self, options, state, systems, tool):
        self.options = options
        self.state = state
        self.systems = systems
        self.tool = tool
        self.sizes = Sizes(options.quick)
        self.began = time.monotonic()

    def elapsed(self):
        return time.monotonic() - self.began

    def attempt(self, job, wanted):
        """The rows that failed. One failure ends the others of its cluster, so these begin again
        on a fresh one, without it."""
        failed = set()
        while missing := job.wanted(self.options, self.state) & wanted - failed:
            self.tool.row = None
            try:
                run = Run(self.tool, self.systems[job.system], self.sizes, self.state, missing)
                for row, values in GROUPS[job.group].function(run):
                    self.keep(job, row, values)
                return failed | (missing & job.wanted(self.options, self.state))
            except Exception as why:  # whatever it is, the other rows do not depend on it
                row = self.tool.row if self.tool.row in missing else None
                print(f'VOID {row or job.group} of {job.system}, repeat {job.repeat + 1}: '
                      f'{why or type(why).__name__}', flush=True)
                failed |= {row} if row else missing
        return failed

    def keep(self, job, row, values):
        self.state.add(row, job.system, job.repeat, values)
        self.state.remember(self.tool.commands)
        self.state.save()
        print(f'{job.repeat + 1} {job.system} {row}: ' + ', '.join(
            f'{name} {value:,.2f}' for name, value in values.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)), flush=True)

    def do(self, job, wanted):
        estimate = job.estimate(self.options, self.state)
        began = time.monotonic()
        failed = self.attempt(job, wanted)
        took = time.monotonic() - began
        if not failed and wanted == set(GROUPS[job.group].rows):
            self.state.note_time(job.group, job.system, took)
        print(f'[{self.elapsed():.0f} s] {job}: {took:.0f} s, {estimate:.0f} s were planned',
              flush=True)
        return failed

    def fits(self, *together):
        """All of them: the systems of a group are measured as often as each other."""
        seconds = sum(job.estimate(self.options, self.state) for job in together)
        return not self.options.budget or self.elapsed() + seconds <= self.options.budget

    def plan(self, todo):
        seconds = sum(job.estimate(self.options, self.state) for job in todo)
        first = sum(job.estimate(self.options, self.state) for job in todo if job.repeat == 0)
        print(f'{len(todo)} jobs, about {seconds / 60:.0f} min; every row once after about '
              f'{first / 60:.0f} min' + (f'; begins nothing that would not end within '
                                         f'{self.options.budget / 60:.0f} min'
                                         if self.options.budget else ''), flush=True)

    def everything(self):
        """True when nothing failed, at the second attempt at the latest."""
        todo = [job for job in jobs(self.options.repeats, self.systems)
                if job.wanted(self.options, self.state)]
        self.plan(todo)
        left_out, void = [], []
        for _, turns in itertools.groupby(todo, lambda job: (job.group, job.repeat)):
            turns = list(turns)
            if not self.fits(*turns):
                left_out += turns
                continue
            for job in turns:
                if failed := self.do(job, job.wanted(self.options, self.state)):
                    void.append((job, failed))
        still = []
        for job, failed in void:
            print(f'second attempt: {job}: {", ".join(sorted(failed))}', flush=True)
            if not self.fits(job) or (failed := self.do(job, failed)):
                still.append(f'{job}: {", ".join(sorted(failed))}')
        self.state.failed(still)
        if left_out:
            print('no time was left for: ' + '; '.join(map(str, left_out)) +
                  '. Run again for them.', flush=True)
        for text in still:
            print(f'FAILED twice: {text}', flush=True)
        return not still


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
    known = set(GROUPS) | {row for group in GROUPS.values() for row in group.rows}
    if set(options.rows) - known:
        parser.error(f'no such rows: {", ".join(sorted(set(options.rows) - known))}; there are '
                     f'{", ".join(sorted(known))}')
    return options


def write_page(state, binary, folder):
    docs = os.path.join(ROOT, 'docs')
    plotted = draw(binary, folder, os.path.join(docs, page.PLOT))
    page.write(state, versions(binary), os.path.join(docs, 'benchmarks.md'), plotted)
    print('\nWritten to docs/benchmarks.md')


def present(names):
    """Without those that are not installed."""
    for name, program in (('zookeeper', ZOOKEEPER_JAR), ('zookeeper', shutil.which('java')),
                          ('etcd', shutil.which('etcd'))):
        if name in names and not (program and os.path.exists(program)):
            print(f'{name} is not installed (tools/install_packages bench/packages.txt): left out')
            names = [other for other in names if other != name]
    return names


def ask_to_end(_number, _frame):
    raise KeyboardInterrupt


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, ask_to_end)
    binary = os.path.abspath(options.binary)
    folder = os.path.join(ROOT, 'build', 'bench-quick' if options.quick else 'bench')
    os.makedirs(folder, exist_ok=True)  # on the disk, not on a tmpfs
    path = os.path.join(folder, 'state.json')
    if options.fresh or options.quick:
        for name in os.listdir(folder):
            if name.endswith('.json'):
                os.remove(os.path.join(folder, name))
    state = State(path, digest(binary), options.keep)
    names = present(options.systems.split(','))
    systems = {name: System(name, binary, folder) for name in names}
    good = True
    if not options.page:
        try:
            good = Measuring(options, state, systems, Tool(binary)).everything()
        except KeyboardInterrupt:
            print('\ninterrupted; the page is written, and the same command measures the rest')
            good = False
    table, bad, absent = page.goals_table(state)
    print('\n' + table + '\n' + '\n'.join(bad))
    if absent:
        print('not measured: ' + '; '.join(absent))
    if not options.quick:
        write_page(state, binary, folder)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
