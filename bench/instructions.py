#!/usr/bin/env python3
"""How many instructions a put and a get take in the server, and whether that rose.

  bench/instructions.py --binary build/release/bin/quorate [--accept] [--profile FOLDER]

Members run under valgrind's callgrind: one alone, then three. h2load sends puts of 256 bytes and
linearizable gets to the leader, one at a time, then 64 at a time, so everything is in it: bytes
of HTTP/2 in, consensus, log, apply, bytes out; of three members the sum is taken. Instructions,
unlike time, hardly depend on what else the machine does. Each phase runs three times and the
least counts. The baseline is bench/instructions.json; a figure more than 10 % above it fails.

  --accept           the figures of this run become the baseline
  --profile FOLDER   callgrind's files and its tables of functions are kept there
"""
import argparse
import base64
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
from cluster import Cluster, Failure, Node, expect, run  # noqa: E402

BASELINE = os.path.join(ROOT, 'bench', 'instructions.json')
RISE_MAX = 0.10
REPEATS = 3
VALUE_BYTES = 256
KEY = b'bench'
WARM_UP = 200
# name, path, requests, outstanding
PHASES = [('put, one at a time', 'Put', 400, 1), ('get, one at a time', 'Range', 400, 1),
          ('put, 64 at a time', 'Put', 1920, 64), ('get, 64 at a time', 'Range', 1920, 64)]
# Under valgrind everything is slow: nobody shall believe that the leader is gone.
FLAGS = ['--log-level', 'error', '--heartbeat-interval', '300', '--election-timeout', '3000']


class CountedNode(Node):
    @property
    def prefix(self):
        return ('valgrind', '--tool=callgrind', '--instr-atstart=no',
                f'--callgrind-out-file={self.directory}.counts')


class CountedCluster(Cluster):
    def make_node(self, number):
        return CountedNode(self, number)


def control(node, *words):
    done = run(['callgrind_control', *words, str(node.process.pid)], timeout=60)
    expect(done.returncode == 0 and 'Error' not in done.stdout + done.stderr,
           f'callgrind_control {words}: {done.stdout}{done.stderr}')


def take_counts(node, label):
    """Instructions since the last call, and the file that says where they went."""
    control(node, f'--dump={label}')
    newest = max(glob.glob(node.directory + '.counts.*'), key=lambda path: int(path.split('.')[-1]))
    with open(newest) as file:
        text = file.read()
    expect(f'Trigger: dump {label}' in text, f'{newest} is not the dump {label}')
    return int(re.search(r'^(?:summary|totals): (\d+)', text, re.MULTILINE).group(1)), newest


def stored(node):
    """(revision, value) as the gateway says."""
    body = json.dumps({'key': base64.b64encode(KEY).decode()}).encode()
    request = urllib.request.Request(f'http://{node.endpoint}/v3/kv/range', data=body)
    with urllib.request.urlopen(request, timeout=20) as answer:
        found = json.load(answer)
    value = base64.b64decode(found['kvs'][0]['value']) if found.get('kvs') else b''
    return int(found['header']['revision']), value


def request_files(folder):
    value = b'\x12' + bytes([0x80, 0x02]) + b'v' * VALUE_BYTES
    bodies = {'Put': b'\x0a' + bytes([len(KEY)]) + KEY + value,
              'Range': b'\x0a' + bytes([len(KEY)]) + KEY}
    paths = {}
    for name, body in bodies.items():
        paths[name] = os.path.join(folder, name)
        with open(paths[name], 'wb') as file:
            file.write(b'\0' + len(body).to_bytes(4, 'big') + body)
    return paths


def send(node, paths, method, requests, outstanding):
    before, _ = stored(node)
    done = run(['h2load', '-n', str(requests), '-c', '1', '-m', str(outstanding), '-t', '1', '-d',
                paths[method], '-H', 'content-type: application/grpc', '-H', 'te: trailers',
                f'http://{node.endpoint}/etcdserverpb.KV/{method}'], timeout=120)
    counted = re.search(r'(\d+) succeeded', done.stdout)
    data = re.search(r'\((\d+)\) data', done.stdout)
    expect(counted and data and int(counted.group(1)) == requests, f'h2load: {done.stdout}')
    after, value = stored(node)
    expect(value == b'v' * VALUE_BYTES, 'the value put is not the value found')
    expect(after - before == (requests if method == 'Put' else 0),
           f'{requests} x {method}: the revision went from {before} to {after}')
    if method == 'Range':
        expect(int(data.group(1)) >= requests * VALUE_BYTES, f'gets brought {data.group(1)} bytes')


def annotate(source, folder, label):
    shutil.copy(source, os.path.join(folder, label + '.callgrind'))
    done = run(['callgrind_annotate', '--inclusive=yes', '--threshold=95', source], timeout=120)
    with open(os.path.join(folder, label + '.inclusive.txt'), 'w') as file:
        file.write(done.stdout)
    done = run(['callgrind_annotate', '--threshold=90', source], timeout=120)
    with open(os.path.join(folder, label + '.txt'), 'w') as file:
        file.write(done.stdout)


def measure(binary, size, profile):
    """{phase: instructions for each request, over all members}"""
    found = {}
    folder = os.path.join(ROOT, 'build', 'instructions')
    os.makedirs(folder, exist_ok=True)
    directory = tempfile.mkdtemp(prefix='cluster-', dir=folder)
    with CountedCluster([binary, 'serve'], size=size, extra_flags=FLAGS,
                        keep_directory=directory) as cluster:
        paths = request_files(directory)
        leader = cluster.leader()
        send(leader, paths, 'Put', WARM_UP, 1)
        for node in cluster.nodes:
            control(node, '-i', 'on')
        for repeat in range(REPEATS):
            for name, method, requests, outstanding in PHASES:
                for node in cluster.nodes:
                    control(node, '--zero')
                send(leader, paths, method, requests, outstanding)
                label = re.sub(r'\W+', '-', f'{size} {name}')
                counts = []
                for node in cluster.nodes:
                    count, path = take_counts(node, f'{label}-{repeat}')
                    counts.append(count)
                    if profile and repeat == REPEATS - 1:
                        role = 'leader' if node is leader else node.name
                        annotate(path, profile, f'{label}-{role}')
                each = round(sum(counts) / requests)
                full = f'{size} member{"s" if size > 1 else ""}: {name}'
                found[full] = min(found.get(full, each), each)
        expect(cluster.leader() is leader, 'the leader changed under the measurement')
    return found


def compiler():
    return subprocess.run(['g++-12', '-dumpfullversion'], capture_output=True,
                          text=True).stdout.strip()


def judge(found, baseline):
    """Lines for people, and the names of what rose too far."""
    lines, risen = [], []
    for name, value in found.items():
        before = baseline.get(name)
        if before is None:
            lines.append(f'{name:35} {value:9,}  no baseline')
            risen.append(name)
            continue
        change = value / before - 1
        verdict = ''
        if change > RISE_MAX:
            verdict = f'  MORE THAN {RISE_MAX:.0%} ABOVE THE BASELINE'
            risen.append(name)
        elif change < -RISE_MAX:
            verdict = '  fell: --accept makes it the baseline'
        lines.append(f'{name:35} {value:9,}  baseline {before:9,}  {change:+7.1%}{verdict}')
    risen += [name for name in baseline if name not in found]
    return lines, risen


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--binary', required=True)
    parser.add_argument('--accept', action='store_true')
    parser.add_argument('--profile')
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    if options.profile:
        os.makedirs(options.profile, exist_ok=True)
    found = {}
    try:
        for size in (1, 3):
            found.update(measure(binary, size, options.profile))
    except Failure as why:
        print(f'instructions: {why}')
        return 1
    if options.accept:
        with open(BASELINE, 'w') as file:
            json.dump({'compiler': compiler(), 'instructions per request': found}, file, indent=1)
            file.write('\n')
    with open(BASELINE) as file:
        baseline = json.load(file)
    lines, risen = judge(found, baseline['instructions per request'])
    print('\n'.join(lines))
    if baseline['compiler'] != compiler():
        print(f'the baseline is of g++ {baseline["compiler"]}, this is {compiler()}')
    if risen:
        print('Look where they went: bench/instructions.py --profile FOLDER. If the rise is meant, '
              '--accept it and say why in the commit.')
    return 1 if risen else 0


if __name__ == '__main__':
    sys.exit(main())
