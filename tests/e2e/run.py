#!/usr/bin/env python3
"""Runs the end-to-end tests against a built binary.

  tests/e2e/run.py --binary build/dev/bin/quorate [NAME...]

With --repeat N all of them run N times in turn, with --jobs N so many at a time: most of them wait
most of the time. A NAME selects tests whose name contains it. The last line is `N passed, N failed,
N skipped`.
"""
import argparse
import concurrent.futures
import contextlib
import io
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import addresses  # noqa: E402
import auth  # noqa: E402
import bad_days  # noqa: E402
import basics  # noqa: E402
import client_threads  # noqa: E402
import compat  # noqa: E402
import control  # noqa: E402
import crowd  # noqa: E402
import doctor  # noqa: E402
import service  # noqa: E402
import differential  # noqa: E402
import differential_long  # noqa: E402
import fencing  # noqa: E402
import forced  # noqa: E402
import gateway  # noqa: E402
import main_job  # noqa: E402
import register  # noqa: E402
import histories  # noqa: E402
import election  # noqa: E402
import kubernetes  # noqa: E402
import lease  # noqa: E402
import load  # noqa: E402
import lock  # noqa: E402
import maintenance  # noqa: E402
import matrix  # noqa: E402
import matrix_long  # noqa: E402
import members  # noqa: E402
import picks  # noqa: E402
import snapshot  # noqa: E402
import streams  # noqa: E402
import tls  # noqa: E402
import watch  # noqa: E402
import cluster  # noqa: E402
from cluster import Failure, Skip  # noqa: E402


LONG = [crowd, differential_long, matrix_long]  # only when named


def tests(names):
    for module in (basics, compat, control, doctor, service, gateway, bad_days, maintenance, members, lease, lock, election, streams, fencing, kubernetes, watch, auth, histories, load, main_job, snapshot, matrix, register, differential, *(LONG if names else []), tls, client_threads, picks, addresses, forced):
        for name, function in vars(module).items():
            if name.startswith('test_') and callable(function):
                yield f'{module.__name__}.{name[5:]}', function


def play(binary, name, function):
    """(what came of it, what there is to say) of one test."""
    started = time.monotonic()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            function(binary)
            came = 'passed'
            print(f'ok      {name} ({time.monotonic() - started:.1f} s)')
        except Skip as why:
            came = 'skipped'
            print(f'SKIPPED {name}: {why}')
        except Failure as why:
            came = 'failed'
            print(f'FAILED {name} ({time.monotonic() - started:.1f} s)\n  {why}')
        except Exception:  # a test that breaks is a test that fails; the rest still run
            came = 'failed'
            print(f'FAILED {name}\n{traceback.format_exc()}')
    return came, said.getvalue()


def play_all(binary, chosen, jobs):
    """What came of each, as it ends; each process has ports and an environment of its own. Who may
    change what the others run, says so by `alone`, and comes first."""
    chosen = sorted(chosen, key=lambda each: not getattr(each[1], 'alone', False))
    while chosen and (jobs == 1 or getattr(chosen[0][1], 'alone', False)):
        yield play(binary, *chosen.pop(0))
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        runs = {pool.submit(play, binary, name, function): name for name, function in chosen}
        for run in concurrent.futures.as_completed(runs):
            broken = run.exception()
            yield ('failed', f'FAILED {runs[run]}\n  {broken!r}\n') if broken else run.result()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--binary', required=True)
    parser.add_argument('--repeat', type=int, default=1, help='how often each test is run')
    parser.add_argument('--jobs', type=int, default=1, help='tests at a time')
    parser.add_argument('--consensus', help='protocol of the clusters; else CONSENSUS or Raft')
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    if options.consensus:
        cluster.CONSENSUS = options.consensus
    binary = os.path.abspath(options.binary)
    if not os.access(binary, os.X_OK):
        print(f'{binary} is not a program; build it first')
        return 2
    chosen = [(name, function) for name, function in tests(options.names)
              if not options.names or any(part in name for part in options.names)]
    counts = {'passed': 0, 'failed': 0, 'skipped': 0}
    for came, said in play_all(binary, chosen * options.repeat, options.jobs):
        counts[came] += 1
        print(said, end='', flush=True)
    print(', '.join(f'{count} {what}' for what, count in counts.items()))
    return 1 if counts['failed'] or not counts['passed'] else 0


if __name__ == '__main__':
    sys.exit(main())
