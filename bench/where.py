#!/usr/bin/env python3
"""Where the microseconds of an operation go: samples of all members under load, by room.

  bench/where.py --binary build/release/bin/quorate [--seconds N] [--write] [WORKLOAD...]

Three durable members under `quorate bench`; `perf record` samples them and every sample is given
to the room of the innermost frame that is ours, or to the system call it was in. A share of the
samples times the CPU that an operation costs (counted by /proc, not by samples) is its
microseconds. Workloads: put put-alone get get-serializable range-100 swap, and watch, whose
operation is an event and whose table has the load tool beside the members. Prints Markdown;
--write puts it into docs/performance.md, between its marks.
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rows import LOAD  # noqa: E402
from systems import ROOT, Invalid, System, Tool, clean_environment, versions  # noqa: E402

BEGIN = '<!-- bench/where.py writes from here -->\n'
END = '<!-- to here -->\n'
FREQUENCY = 1499  # no multiple of any timer
WORKLOADS = {
    'put': ['put', *LOAD],
    'put-alone': ['put', '--connections', 1, '--outstanding', 1],
    'get': ['get', *LOAD],
    'get-serializable': ['get', '--serializable', *LOAD],
    'range-100': ['range', '--keys-each', 100, '--connections', 10, '--outstanding', 64],
    'swap': ['swap', *LOAD],
}
EVENTS = {  # not among those that are measured unasked
    'watch': ['watch', '--watchers', 10_000, '--streams', 100, '--rate', 1000, '--keys', 10_000],
    'watch-most': ['watch', '--watchers', 10_000, '--streams', 100, '--rate', 4000, '--keys', 10_000],
}
ROOMS = [  # what a symbol begins with, in this order
    (r'quorate::front::grpc', 'front/grpc: HTTP/2 sessions, calls'),
    (r'quorate::front::etcd', 'front/etcd: requests, replies, watches'),
    (r'quorate::node', 'node: turns, proposals, applying, peers'),
    (r'quorate::consensus', 'consensus: the protocol'),
    (r'quorate::machine', 'machine/etcd: commands'),
    (r'quorate::storage::mvcc', 'storage/mvcc: index and rows'),
    (r'quorate::protobuf', 'storage/mvcc: index and rows'),
    (r'quorate::storage::wal', 'storage/wal: the log'),
    (r'quorate::storage', 'storage: log and store'),
    (r'quorate::world', 'world: loop, sockets, files'),
    (r'quorate::load', 'load: the tool'),
    (r'quorate::', 'base: bytes, checksums'),
]
CALLS = [  # frames of the kernel, in this order
    (r'generic_perform_write', 'kernel: file and disk'),  # also by write(), which sockets have too
    (r'sys_(send|write(?!v?at)|writev|sendmsg)', 'kernel: sending'),
    (r'sys_(recv|read(?!at))', 'kernel: receiving'),
    (r'sys_(pwrite|fdatasync|fsync|pread)', 'kernel: file and disk'),
    (r'sys_epoll', 'kernel: epoll'),
    (r'sys_futex', 'kernel: futex'),
    (r'page_fault|exc_page', 'kernel: page faults'),
    (r'softirq|irq', 'kernel: interrupts'),
    (r'schedule|idle', 'kernel: switching'),
]


def frames_of(sample):
    """[(symbol, object)], innermost first."""
    found = []
    for line in sample.splitlines()[1:]:
        match = re.match(r'\s*[0-9a-f]+ (.*) \(([^)]*)\)$', line)
        if match:
            found.append((match.group(1), match.group(2)))
    return found


def room_of(frames):
    in_kernel = frames and ('kernel' in frames[0][1] or frames[0][1].startswith('['))
    if in_kernel:
        names = ' '.join(symbol for symbol, _ in frames)
        for pattern, name in CALLS:
            if re.search(pattern, names):
                return name
        return 'kernel: other'
    for symbol, place in frames:
        if 'nghttp2' in place:
            return 'nghttp2'
        if 'rocksdb' in place:
            return 'RocksDB'
        for pattern, name in ROOMS:
            # Templates of the standard library carry our types in their arguments only.
            if re.match(pattern, symbol) or re.match(r'(?:\w[\w:<>, *&]* )?' + pattern, symbol):
                return name
    place = os.path.basename(frames[0][1]) if frames else 'unknown'
    if 'jemalloc' in place:
        return 'allocator, caller unknown'
    return 'library, caller unknown' if place.startswith(('libc', 'libstdc', 'ld-')) else 'other'


def sampled(processes, seconds, folder):
    """Starts perf for all members; the result is read by shares()."""
    path = os.path.join(folder, 'perf.data')
    recorder = subprocess.Popen(
        ['perf', 'record', '-q', '-F', str(FREQUENCY), '-g', '-o', path, '-p',
         ','.join(str(process.pid) for process in processes), '--', 'sleep', str(seconds)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return recorder, path


def shares(path):
    """{process id: Counter of rooms}"""
    done = subprocess.run(['perf', 'script', '-i', path, '-F', 'pid,ip,sym,dso'],
                          capture_output=True, text=True, errors='replace')
    found = collections.defaultdict(collections.Counter)
    for sample in done.stdout.split('\n\n'):
        head = re.match(r'\s*(\d+)', sample)
        if head:
            found[int(head.group(1))][room_of(frames_of(sample))] += 1
    return found


def cpu_seconds(process):
    with open(f'/proc/{process.pid}/stat') as file:
        fields = file.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure(tool, system, name, seconds):
    with system.start() as cluster:
        leader = cluster.leader()
        command = [tool.binary, '--json', '--endpoints', leader.endpoint, 'bench',
                   *map(str, (WORKLOADS | EVENTS)[name]), '--warm-up', '2s', '--duration', f'{seconds + 3}s',
                   '--server-pid', ','.join(str(node.process.pid) for node in cluster.nodes)]
        load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True, env=clean_environment())
        time.sleep(4)  # loading of keys, warm-up
        processes = [node.process for node in cluster.nodes] + [load] * (name in EVENTS)
        before = {process.pid: cpu_seconds(process) for process in processes}
        recorder, path = sampled(processes, seconds, cluster.directory)
        _, problem = recorder.communicate()
        after = {process.pid: cpu_seconds(process) for process in processes}
        output, _ = load.communicate()
        # More events are asked for than can be told: puts without an answer are what is expected.
        if recorder.returncode not in (0, -2) or (load.returncode != 0 and name not in EVENTS):
            raise Invalid(f'{name}: {problem[-500:]} {output[-500:]}')
        point = json.loads(output.strip().splitlines()[-1])['points'][0]
        if point['all']['failed'] or point['problems']:
            raise Invalid(f'{name}: {output[-500:]}')
        counted = shares(path)
    used = {process: after[process] - before[process] for process in before}
    if name in EVENTS:
        return point, counted, used, leader.process.pid, load.pid, seconds
    return point, counted, used, leader.process.pid


def event_table(name, point, counted, used, leader, tool, seconds):
    """As table(), for one event that came to one watcher."""
    side = next(iter(point['side'].values()))
    rate = side['per_second']
    lines = [f'### {name}', '',
             f'{rate:,.0f} events/s of {point["total"]["per_second"]:,.0f} puts/s, from put to event '
             f'{side["p50_us"] / 1e6:.2f} s at the median and {side["p99_us"] / 1e6:.2f} s at p99. CPU '
             f'of an event: {sum(used.values()) / seconds / rate * 1e9:.0f} ns, of which the leader '
             f'{used[leader] / seconds / rate * 1e9:.0f} and the load tool '
             f'{used[tool] / seconds / rate * 1e9:.0f}.', '',
             '| where | leader, ns | both followers, ns | load tool, ns |', '|---|---|---|---|']
    rooms = collections.defaultdict(lambda: [0.0, 0.0, 0.0])
    for process, counter in counted.items():
        column = 0 if process == leader else 2 if process == tool else 1
        for room, samples in counter.items():
            share = samples / counter.total()
            rooms[room][column] += used[process] / seconds / rate * 1e9 * share
    for room, columns in sorted(rooms.items(), key=lambda row: -sum(row[1])):
        if sum(columns) >= 0.5:
            lines.append(f'| {room} | ' + ' | '.join(f'{column:.0f}' for column in columns) + ' |')
    return '\n'.join(lines) + '\n'


def table(name, point, counted, used, leader):
    each = point['outside']['cpu_us_per_operation']
    total = sum(used.values())
    lines = [f'### {name}', '',
             f'{point["total"]["per_second"]:,.0f}/s, {each:.2f} us CPU of three members for each '
             f'operation, of which the leader {each * used[leader] / total:.2f} us.', '',
             '| where | leader, us | both followers, us |', '|---|---|---|']
    rooms = collections.defaultdict(lambda: [0.0, 0.0])
    for process, counter in counted.items():
        for room, samples in counter.items():
            microseconds = each * used[process] / total * samples / counter.total()
            rooms[room][0 if process == leader else 1] += microseconds
    for room, (lead, follow) in sorted(rooms.items(), key=lambda row: -sum(row[1])):
        if lead + follow >= each * 0.005:
            lines.append(f'| {room} | {lead:.2f} | {follow:.2f} |')
    return '\n'.join(lines) + '\n'


def write(text, binary):
    path = os.path.join(ROOT, 'docs', 'performance.md')
    with open(path) as file:
        before, _, rest = file.read().partition(BEGIN)
    _, _, behind = rest.partition(END)
    stamp = f'Measured on {time.strftime("%Y-%m-%d %H:%M")}, {versions(binary)[1]}.\n\n'
    with open(path, 'w') as file:
        file.write(before + BEGIN + stamp + text + END + behind)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--binary', required=True)
    parser.add_argument('--tool', help='another build for the load')
    parser.add_argument('--seconds', type=int, default=5)
    parser.add_argument('--write', action='store_true')
    parser.add_argument('workloads', nargs='*')
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    folder = os.path.join(ROOT, 'build', 'where')
    os.makedirs(folder, exist_ok=True)
    tables = []
    with tempfile.TemporaryDirectory(dir=folder) as directory:
        for name in options.workloads or WORKLOADS:
            try:
                found = measure(Tool(options.tool or binary), System('quorate', binary, directory),
                                name, options.seconds)
            except Invalid as why:
                print(f'VOID {why}')
                return 1
            tables.append((event_table if name in EVENTS else table)(name, *found))
            print(tables[-1], flush=True)
    if options.write:
        write('\n'.join(tables), binary)
    return 0


if __name__ == '__main__':
    sys.exit(main())
