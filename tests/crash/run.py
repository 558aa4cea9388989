#!/usr/bin/env python3
"""Crash tests: real members, real faults, real clients whose history is checked.

  tests/crash/run.py --binary build/dev/bin/quorate [NAME...]     each test once, seed 1
  tests/crash/run.py --binary ... NAME --seed N --scale 4          one of them again
  tests/crash/run.py --binary ... --jobs 3                          three tests at a time
  tests/crash/run.py --binary ... --minutes N                      random tests and seeds
  tests/crash/run.py --binary ... --consensus multipaxos           clusters of that protocol

A NAME selects tests whose name contains it. A failure prints how to repeat it and keeps its
directory. The last line is `N passed, N failed, N skipped`. With --minutes a failure ends the run.
"""
import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import disks  # noqa: E402
import networks  # noqa: E402
import partition  # noqa: E402
import processes  # noqa: E402
from rig import ROOT, Failure, Rig, Skip, e2e  # noqa: E402


def tests():
    for module in (processes, disks, networks, partition):
        for name, function in vars(module).items():
            if name.startswith('test_') and callable(function):
                yield f'{module.__name__}.{name[5:]}', function


class Runner:
    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = folder
        self.passed = self.failed = 0
        self.skipped = {}

    def play(self, name, function, seed, scale):
        rig = Rig(self.binary, name, seed, self.folder, scale)
        started = time.monotonic()
        try:
            function(rig)
            self.passed += 1
            said = '; '.join(rig.notes)
            print(f'ok      {name} seed {seed} ({time.monotonic() - started:.1f} s): {said}',
                  flush=True)
            return True
        except Skip as why:
            self.skipped[name] = why
            print(f'SKIPPED {name}: {why}', flush=True)
            return True
        except Failure as why:
            text = str(why)
        except Exception:  # a test that breaks is a test that fails; the rest still run
            text = traceback.format_exc()
        self.failed += 1
        print(f'FAILED {name} seed {seed} ({time.monotonic() - started:.1f} s)\n  {text}\n'
              f'  again: tests/crash/run.py --binary {self.binary} {name} --seed {seed} '
              f'--scale {scale}{" --consensus " + e2e.CONSENSUS if e2e.CONSENSUS else ""}', flush=True)
        return False


def in_turns(names, options, binary):
    """Several tests at a time, each in a process of its own; most of them wait most of the time."""
    left = list(names)
    running = []
    passed = failed = skipped = 0
    while left or running:
        while left and len(running) < options.jobs:
            name = left.pop(0)
            output = tempfile.TemporaryFile('w+')
            running.append((subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), '--binary', binary, '--seed',
                 str(options.seed), '--scale', str(options.scale),
                 *(['--consensus', options.consensus] if options.consensus else []), name],
                stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL), output))
        time.sleep(0.05)
        for process, output in [each for each in running if each[0].poll() is not None]:
            running.remove((process, output))
            output.seek(0)
            *lines, last = output.read().splitlines() or ['']
            print('\n'.join(lines), flush=True)
            counts = re.match(r'(\d+) passed, (\d+) failed, (\d+) skipped', last)
            if not counts:
                print(f'FAILED {process.args[-1]}: ended without a summary\n{last}', flush=True)
                failed += 1
                continue
            passed += int(counts.group(1))
            failed += int(counts.group(2))
            skipped += int(counts.group(3))
    return passed, failed, skipped


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--binary', required=True)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--scale', type=float, default=1.0, help='how long random parts last')
    parser.add_argument('--minutes', type=float, default=0)
    parser.add_argument('--jobs', type=int, default=1, help='tests at a time')
    parser.add_argument('--consensus', help='protocol of the clusters; else CONSENSUS or Raft')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    if options.consensus:
        e2e.CONSENSUS = options.consensus
    binary = os.path.abspath(options.binary)
    exact = {name for name, _ in tests()} & set(options.names)
    chosen = [(name, function) for name, function in tests()
              if not options.names or any(part in name for part in options.names
                                           if part not in exact) or name in exact]
    if options.list:
        for name, function in chosen:
            print(f'{name}: {(function.__doc__ or "").splitlines()[0]}')
        return 0
    folder = os.path.join(ROOT, 'build', 'crash')  # on the disk, not on a tmpfs
    os.makedirs(folder, exist_ok=True)
    if options.jobs > 1 and not options.minutes:
        passed, failed, skipped = in_turns([name for name, _ in chosen], options, binary)
        print(f'{passed} passed, {failed} failed, {skipped} skipped')
        return 1 if failed or not passed else 0
    runner = Runner(binary, folder)
    end = time.monotonic() + 60 * options.minutes
    for name, function in chosen if not options.minutes else ():
        runner.play(name, function, options.seed, options.scale)
    while options.minutes and time.monotonic() < end:
        name, function = random.choice(chosen)
        if name in runner.skipped:
            continue
        if not runner.play(name, function, random.randrange(1 << 31), options.scale):
            break
    print(f'{runner.passed} passed, {runner.failed} failed, {len(runner.skipped)} skipped')
    return 1 if runner.failed or not (runner.passed or runner.skipped) else 0


if __name__ == '__main__':
    sys.exit(main())
