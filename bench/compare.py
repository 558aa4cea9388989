#!/usr/bin/env python3
"""Quorate beside Debian's etcd: three members each, in turn, on this machine, with the same load.

  bench/compare.py --binary build/release/bin/quorate [--repeats N] [--quick] [--no-write]

For every repeat and system a fresh cluster is started. 100,000 puts of 256 bytes on distinct keys
come first (resident memory is read after them), then h2load with one gRPC body sends puts and
linearizable ranges of one key over 50 connections with 20 streams each to the leader, then one
client puts alone. A result counts only if it happened: a sample call must end with grpc-status
0, puts are checked against the store's revision, ranges against the bytes that came back.
Medians and ratios go to docs/benchmarks.md.
"""
import argparse
import datetime
import os
import platform
import re
import statistics
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
from cluster import Cluster, run  # noqa: E402

VALUE_BYTES = 256
LOADED_KEYS = 100_000
REQUESTS = 100_000
ALONE_REQUESTS = 3_000
CONNECTIONS = 50
STREAMS = 20

METRICS = [  # name, unit, better when, target of the ratio quorate / etcd
    ('put', 'put/s, 50 x 20', 'higher', 4.0),
    ('range', 'linearizable range/s, 50 x 20', 'higher', 8.0),
    ('alone', 'mean of a single client\'s put, ms', 'lower', 0.5),
    ('memory', 'largest RSS of a member after 100k puts, MiB', 'lower', 1.0),
    ('load', 'distinct keys loaded per second, pipelined', 'higher', None),
]


FAILOVER = '## When the leader goes\n'  # the section that bench/failover.py writes


class Invalid(Exception):
    """A measurement that must not be reported."""


def message(body):
    return b'\0' + len(body).to_bytes(4, 'big') + body


def put_body():
    value = b'v' * VALUE_BYTES
    return message(b'\x0a\x05bench\x12' + bytes([0x80, 0x02]) + value)


def range_body():
    return message(b'\x0a\x05bench')


def sample(endpoint, path, body_file):
    answer = run(['nghttp', '-v', '-d', body_file, '-H', 'content-type: application/grpc', '-H',
                  'te: trailers', f'http://{endpoint}{path}']).stdout
    if 'grpc-status: 0' not in answer:
        raise Invalid(f'{path} at {endpoint} does not answer with grpc-status 0:\n{answer[-800:]}')


def h2load(endpoint, path, body_file, total, connections, streams):
    command = ['h2load', '-n', str(total), '-c', str(connections), '-m', str(streams), '-t', '1',
               '-d', body_file, '-H', 'content-type: application/grpc', '-H', 'te: trailers',
               f'http://{endpoint}{path}']
    output = run(command, timeout=180).stdout
    rate = re.search(r'finished in [\d.]+\w+, ([\d.]+) req/s', output)
    succeeded = re.search(r'(\d+) succeeded', output)
    data = re.search(r'\((\d+)\) data', output)
    mean = re.search(r'time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)\b', output)
    if not (rate and succeeded and data and mean) or int(succeeded.group(1)) != total:
        raise Invalid(f'h2load did not complete {total} requests:\n{output[-1500:]}')
    scale = {'us': 1e-3, 'ms': 1.0, 's': 1e3}[mean.group(2)]
    return float(rate.group(1)), float(mean.group(1)) * scale, int(data.group(1)) / total


def revision(cluster, leader):
    return cluster.statuses()[leader.endpoint]['header']['revision']


def resident_mebibytes(process):
    with open(f'/proc/{process.pid}/status') as status:
        return int(re.search(r'VmRSS:\s+(\d+)', status.read()).group(1)) / 1024


def load_keys(client, cluster, total):
    """The bulk loader against either system; returns keys per second."""
    with tempfile.NamedTemporaryFile('w') as source:
        for number in range(total):
            source.write(f'key/{number:08}\t{"v" * VALUE_BYTES}\n')
        source.flush()
        done = run([client, '--endpoints', cluster.endpoints, 'put', '--from-file', source.name],
                   timeout=180)
    last = re.search(r'(\d+) acknowledged, 0 sent again, 0 unknown, ([\d.]+) s\s*$', done.stderr)
    if done.returncode != 0 or not last or int(last.group(1)) != total:
        raise Invalid(f'load: {done.stderr[-500:]}')
    return total / float(last.group(2))


def measure(command, client, folder, sizes):
    keys, requests, alone = sizes
    results = {}
    paths = {}
    for name, body in (('put', put_body()), ('range', range_body())):
        paths[name] = os.path.join(folder, name + '.bin')
        with open(paths[name], 'wb') as file:
            file.write(body)
    directory = tempfile.mkdtemp(prefix='cluster-', dir=folder)
    with Cluster(command, extra_flags=['--log-level', 'error'], keep_directory=directory) as cluster:
        cluster.client = client
        results['load'] = load_keys(client, cluster, keys)
        results['memory'] = max(resident_mebibytes(node.process) for node in cluster.nodes)
        leader = cluster.leader()
        put, get = '/etcdserverpb.KV/Put', '/etcdserverpb.KV/Range'
        sample(leader.endpoint, put, paths['put'])
        sample(leader.endpoint, get, paths['range'])
        before = revision(cluster, leader)
        results['put'], _, _ = h2load(leader.endpoint, put, paths['put'], requests, CONNECTIONS,
                                      STREAMS)
        if revision(cluster, leader) - before != requests:
            raise Invalid(f'{requests} puts answered, {revision(cluster, leader) - before} applied')
        results['range'], _, bytes_each = h2load(leader.endpoint, get, paths['range'], requests,
                                                 CONNECTIONS, STREAMS)
        if bytes_each < VALUE_BYTES:
            raise Invalid(f'ranges brought {bytes_each:.0f} bytes each')
        before = revision(cluster, leader)
        _, results['alone'], _ = h2load(leader.endpoint, put, paths['put'], alone, 1, 1)
        if revision(cluster, leader) - before != alone:
            raise Invalid('puts of the single client are missing')
    return results


def table(runs):
    lines = ['| what | etcd | quorate | ratio | target |', '|---|---|---|---|---|']
    worse = []
    for name, unit, better, target in METRICS:
        middle = {system: statistics.median(each[name] for each in runs[system]) for system in runs}
        shown = {}
        for system in runs:
            values = [each[name] for each in runs[system]]
            digits = 2 if middle[system] < 100 else 0
            shown[system] = (f'{middle[system]:,.{digits}f} ({min(values):,.{digits}f} to '
                             f'{max(values):,.{digits}f})')
        ratio = middle['quorate'] / middle['etcd']
        sign = 'at least' if better == 'higher' else 'at most'
        goal = f'{sign} {target:g}' if target else ''
        met = target is None or (ratio >= target if better == 'higher' else ratio <= target)
        lines.append(f'| {unit} | {shown["etcd"]} | {shown["quorate"]} | {ratio:.2f} | '
                     f'{goal}{"" if met else ", **missed**"} |')
        if not met or (ratio < 1 if better == 'higher' else ratio > 1):
            worse.append(f'- {unit}: ratio {ratio:.2f}' + (f', target {goal}' if goal else ''))
    return '\n'.join(lines), worse


def first_line(command):
    return run(command).stdout.splitlines()[0]


def page(text, worse, repeats, binary):
    with open('/proc/cpuinfo') as file:
        model = re.search(r'model name\s*:\s*(.+)', file.read())
    versions = [first_line(['etcd', '--version']), first_line([binary, '--version']),
                first_line(['h2load', '--version']), f'Linux {platform.release()}',
                f'{os.cpu_count()} CPUs ({model.group(1) if model else "unknown"})']
    return f"""# Benchmarks

Written by `make bench` ({datetime.date.today()}). Medians of {repeats} repeats with the range in
brackets; the systems take turns, each repeat on a fresh cluster of three members.

{text}

## What is worse, or short of its target
{chr(10).join(worse) if worse else 'Nothing in this table.'}

## How
- {'; '.join(versions)}.
- Values of {VALUE_BYTES} bytes. h2load sends one gRPC body over {CONNECTIONS} connections with
  {STREAMS} streams each to the leader, {REQUESTS:,} requests; the single client sends
  {ALONE_REQUESTS:,}, one at a time. The load is `quorate put --from-file` for both systems.
- A sample call must end with grpc-status 0; every put is found again in the store's revision;
  ranges must bring the value's bytes back.
- Default settings on both sides but for the log level (error). TLS off, authentication off.

Read with care: three "machines" share these CPUs and one disk, quorum writes share flushes, there
is no network in between, and the client takes its share of the same CPUs.
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--binary', required=True)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--quick', action='store_true', help='small numbers, nothing written')
    parser.add_argument('--no-write', action='store_true')
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    sizes = (5000, 5000, 200) if options.quick else (LOADED_KEYS, REQUESTS, ALONE_REQUESTS)
    folder = os.path.join(ROOT, 'build', 'bench')  # on the disk, not on a tmpfs
    os.makedirs(folder, exist_ok=True)
    systems = [('etcd', ['etcd']), ('quorate', [binary, 'serve'])]
    runs = {name: [] for name, _ in systems}
    for repeat in range(options.repeats):
        for name, command in systems if repeat % 2 == 0 else reversed(systems):
            try:
                result = measure(command, binary, folder, sizes)
            except Invalid as why:
                print(f'{name}: {why}', file=sys.stderr)
                return 1
            runs[name].append(result)
            print(f'repeat {repeat + 1} {name}: ' +
                  ', '.join(f'{key} {value:,.2f}' for key, value in result.items()), flush=True)
    text, worse = table(runs)
    print('\n' + text)
    if not options.quick and not options.no_write:
        path = os.path.join(ROOT, 'docs', 'benchmarks.md')
        with open(path) as file:
            _, found, failover = file.read().partition(FAILOVER)
        with open(path, 'w') as file:
            file.write(page(text, worse, options.repeats, binary))
            if found:  # written by bench/failover.py
                file.write('\n' + FAILOVER + failover)
        print('\nWritten to docs/benchmarks.md')
    return 0


if __name__ == '__main__':
    sys.exit(main())
