#!/usr/bin/env python3
"""Real clients against a built binary: etcd's own Go client, and Patroni with a real PostgreSQL.

  tests/compat/run.py --binary build/release/bin/quorate [go|patroni] [NAME...]

A NAME selects checks whose name contains it. With --reference the same is run against the etcd of
this machine: it has to pass as well, or the check is wrong. The last line is
`N passed, N failed, N skipped`.
"""
import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'e2e')]

import go_client  # noqa: E402
import patroni_cluster  # noqa: E402
from cluster import Skip  # noqa: E402

PARTS = {'go': go_client.run, 'patroni': patroni_cluster.run}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--binary', required=True)
    parser.add_argument('--reference', action='store_true', help='the etcd of this machine instead')
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    if not options.reference and not os.access(binary, os.X_OK):
        print(f'{binary} is not a program; build it first')
        return 2
    command = ['etcd'] if options.reference else [binary, 'serve']
    parts = [name for name in options.names if name in PARTS] or list(PARTS)
    names = [name for name in options.names if name not in PARTS]
    total = [0, 0, 0]
    for part in parts:
        print(f'== {part}', flush=True)
        try:
            counts = PARTS[part](command, options.reference, names)
        except Skip as why:
            print(f'SKIPPED {part}: {why}', flush=True)
            counts = (0, 0, 1)
        total = [sum(pair) for pair in zip(total, counts)]
    print(f'{total[0]} passed, {total[1]} failed, {total[2]} skipped')
    return 1 if total[1] or not (total[0] or total[2]) else 0


if __name__ == '__main__':
    sys.exit(main())
