"""What the crash tests stand on: a cluster of real members that can be hurt, and its judges."""
import json
import mmap
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))

import cluster as e2e  # noqa: E402
from cluster import Failure, Skip, clean_environment, expect, run  # noqa: E402,F401

OPERATIONS_MIN = 50  # a history of fewer answered calls has proved nothing
CHECK_CANNOT_TELL = 3  # exit code of quorate check


class Shim:
    """The driver's side of shim_control.h: one control page for one member."""

    VERSION = 3
    STEPS = ['create', 'write', 'sync', 'rename', 'remove', 'truncate', 'directory_sync', 'read']
    ACTIONS = ['nothing', 'kill_before', 'kill_torn', 'kill_after', 'fail', 'short_write', 'delay',
               'drop']
    LAYOUT = struct.Struct('=QIIqqIIQ8Q64s')

    def __init__(self, path):
        self.path = path
        with open(path, 'wb') as file:
            file.write(self.LAYOUT.pack(self.VERSION, 0, 0, 0, 0, 0, 0, 0, *[0] * 8, b''))
        with open(path, 'r+b') as file:
            self.page = mmap.mmap(file.fileno(), self.LAYOUT.size)

    def arm(self, action, steps, skip=0, times=-1, error=0, delay_ms=0, area=''):
        """The next calls of kind `steps` whose path contains `area`, after `skip` of them."""
        self.disarm()
        bits = sum(1 << self.STEPS.index(step) for step in steps)
        self.page[112:176] = area.encode().ljust(64, b'\0')
        self.page[32:40] = struct.pack('=II', error, delay_ms)
        self.page[16:32] = struct.pack('=qq', skip, times)
        self.page[40:48] = struct.pack('=Q', 0)
        self.page[12:16] = struct.pack('=I', bits)
        self.page[8:12] = struct.pack('=I', self.ACTIONS.index(action))

    def disarm(self):
        self.page[8:12] = struct.pack('=I', 0)

    @property
    def struck(self):
        return struct.unpack('=Q', self.page[40:48])[0]

    def counted(self, step):
        at = 48 + 8 * self.STEPS.index(step)
        return struct.unpack('=Q', self.page[at:at + 8])[0]


class Member(e2e.Node):
    """A member with a shim under it, or in a namespace, or both."""

    def __init__(self, cluster, number):
        self.number = number
        super().__init__(cluster, number)
        self.shim = None
        self.more_environment = {}
        self.peer_detour = None  # the port of a proxy that peers are told instead of ours
        if cluster.shims:
            self.shim = Shim(os.path.join(cluster.directory, self.name + '.control'))
            os.makedirs(self.directory, exist_ok=True)

    @property
    def journal_path(self):
        return os.path.join(self.cluster.directory, self.name + '.journal')

    @property
    def advertised_peer_url(self):
        return f'http://{self.host}:{self.peer_detour}' if self.peer_detour else self.peer_url

    def environment(self):
        more = dict(self.more_environment)
        if self.shim:
            more.update(LD_PRELOAD=self.cluster.rig.program('crash_shim.so'),
                        QUORATE_SHIM_CONTROL=self.shim.path,
                        QUORATE_SHIM_DIRECTORY=self.directory)
            if self.cluster.journal:
                more['QUORATE_SHIM_JOURNAL'] = self.journal_path
        return clean_environment(**more)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)  # works on a stopped process, too
            self.process.wait()

    def wait_end(self, patience):
        try:
            return self.process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            raise Failure(f'{self.name} still runs after {patience} s')

    def metrics(self):
        with urllib.request.urlopen(f'http://{self.endpoint}/metrics', timeout=5) as answer:
            text = answer.read().decode()
        found = {}  # what has labels is summed up
        for name, value in re.findall(r'^(\w+)(?:\{[^}]*\})? ([\d.e+-]+)$', text, re.M):
            found[name] = found.get(name, 0.0) + float(value)
        return found


class Cluster(e2e.Cluster):
    def __init__(self, rig, size=3, shims=False, journal=False, extra_flags=(), hub=None):
        self.rig = rig
        self.shims = shims or journal
        self.journal = journal
        self.hub = hub
        self.probes = []  # histories that belong to that of the load
        if self.shims and not os.path.exists(rig.program('crash_shim.so')):
            raise Skip('crash_shim.so was not built (a sanitizer build has none)')
        if hub:
            self.observer = hub.inside(size)
        super().__init__([rig.binary, 'serve'], size, extra_flags,
                         tempfile.mkdtemp(prefix='quorate-crash-', dir=rig.folder))

    def make_node(self, number):
        member = Member(self, number)
        if self.hub:
            member.host = self.hub.address(number)
            member.prefix = self.hub.inside(number)
        return member

    def __exit__(self, kind, value, trace):
        if kind is not None and issubclass(kind, Exception) and not issubclass(kind, Skip):
            kept = os.path.join(self.rig.folder, f'failed-{self.rig.name}-{self.rig.seed}')
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(self.directory, kept, symlinks=True)
            print(f'--- everything is kept in {kept}')
        return super().__exit__(kind, value, trace)

    def statuses(self):
        """What each member that runs says of itself; one call for all."""
        endpoints = [node.endpoint for node in self.nodes if node.alive()]
        if not endpoints:
            return {}
        done = run([*self.observer, self.client, '--endpoints', ','.join(endpoints), '--json',
                    '--timeout', '2', 'status'])
        found = {}
        for status in json.loads(done.stdout or '[]'):
            if 'error' in status:
                continue
            found[status['endpoint']] = {
                'leader': int(status['leader'], 16), 'raftAppliedIndex': status['applied'],
                'raftIndex': status['index'], 'raftTerm': status['term'],
                'header': {'member_id': int(status['id'], 16), 'revision': status['revision']}}
        return found

    def terms(self):
        return {status['raftTerm'] for status in
                until(self.statuses, 20, 'a member says its term').values()}

    def others(self, *members):
        return [node for node in self.nodes if node not in members]

    def kill_all(self):
        for node in self.nodes:
            if node.alive():
                node.process.send_signal(signal.SIGKILL)
        for node in self.nodes:
            if node.process:
                node.process.wait()

    def revive(self):
        """Every member runs, undisturbed, and has caught up."""
        for node in self.nodes:
            if node.shim:
                node.shim.disarm()
            if node.alive():
                node.thaw()
            else:
                node.start()
        self.wait_ready(60)


class Load:
    """crash_load beside a cluster. As a context it ends with its block; then judge() it."""

    def __init__(self, cluster, **settings):
        self.cluster = cluster
        self.path = os.path.join(cluster.directory, f'history-{time.monotonic_ns()}.txt')
        settings.setdefault('seed', cluster.rig.random.randrange(1 << 30))
        settings.setdefault('milliseconds', 600_000)
        words = []
        for name, value in settings.items():
            words.append('--' + name.replace('_', '-'))
            if value is not True:
                words.append(str(value))
        self.process = subprocess.Popen(
            [*cluster.observer, cluster.rig.program('crash_load'), 'history', '--endpoints',
             cluster.endpoints, '--output', self.path, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment())
        self.summary = ''

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        self.stop()
        return False

    def stop(self):
        if self.process.stdin.closed:
            return
        self.process.stdin.close()
        self.summary = self.process.stdout.read().strip()
        self.process.wait(timeout=30)

    def judge(self):
        """Nothing acknowledged is missing, all members are equal, the history is linearizable."""
        self.stop()
        rig = self.cluster.rig
        with open(self.path, 'a') as whole:
            for path in self.cluster.probes:
                with open(path) as part:
                    next(part)  # the name of the format
                    shutil.copyfileobj(part, whole)
        ok = int(re.match(r'(\d+) ok', self.summary).group(1))
        expect(ok >= OPERATIONS_MIN, f'only {self.summary}: the load was no load')
        done = run([*self.cluster.observer, rig.program('crash_load'), 'verify', '--endpoints',
                    self.cluster.endpoints, '--history', self.path], timeout=120)
        expect(done.returncode == 0, f'verify: {done.stdout[-2000:]}{done.stderr[-500:]}')
        rig.say(f'{self.summary}; {done.stdout.strip().splitlines()[-1]}')
        done = run([rig.binary, 'check', self.path], timeout=300)
        if done.returncode == CHECK_CANNOT_TELL:
            # Too many outcomes are unknown to place them by revision; what was read and written
            # still has an order or has none, key by key.
            rig.say('the revisions could not be judged; judged by values')
            done = run([rig.binary, 'check', '--model', 'kv', self.path], timeout=300)
        expect(done.returncode == 0, f'quorate check: {done.stdout[-3000:]}{done.stderr[-500:]}')


def acknowledgements(path):
    """When puts were acknowledged, in order, and how long each took; in seconds."""
    sent = {}
    times = []
    waits = []
    with open(path) as file:
        for line in file:
            time_text, record, *words = line.split(' ', 3)
            if record == 'call':
                sent[words[0]] = int(time_text)
            elif record == 'ok':
                times.append(int(time_text) / 1e9)
                waits.append((int(time_text) - sent[words[0]]) / 1e9)
    return times, waits


class Probe:
    """crash_load probe: when writes were acknowledged. Beside it a thread of ours sleeps and syncs
    to the same disk: how much longer that took is the machine's doing and nobody's gap."""

    LOOK_SECONDS = 0.05

    def __init__(self, cluster, period_us=5000, endpoints=None):
        self.path = os.path.join(cluster.directory, f'probe-{time.monotonic_ns()}.txt')
        self.process = subprocess.Popen(
            [*cluster.observer, cluster.rig.program('crash_load'), 'probe', '--endpoints',
             endpoints or cluster.endpoints, '--output', self.path, '--pause-microseconds',
             str(period_us), '--milliseconds', '600000'],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=clean_environment())
        self.times = []
        self.waits = []
        self.stalls = []  # (when, seconds)
        self.meter = Background(self.measure)
        cluster.probes.append(self.path)

    def measure(self, ended):
        with open(self.path + '.meter', 'wb', buffering=0) as file:
            while not ended.is_set():
                began = time.monotonic()
                ended.wait(self.LOOK_SECONDS)
                file.write(b'x')
                os.fdatasync(file.fileno())
                self.stalls.append((began, time.monotonic() - began - self.LOOK_SECONDS))

    def __enter__(self):
        self.meter.__enter__()
        return self

    def __exit__(self, _kind, _value, _trace):
        self.meter.__exit__(None, None, None)
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.times, self.waits = acknowledgements(self.path)
        return False

    def longest_gap(self, start, end):
        """Seconds without an acknowledged write between two moments; the ends count. Less what the
        machine itself stood still in that time."""
        inside = [start] + [t for t in self.times if start < t < end] + [end]
        stall = max((late for began, late in self.stalls
                     if began < end and began + self.LOOK_SECONDS + late > start), default=0.0)
        gap = max(later - earlier for earlier, later in zip(inside, inside[1:]))
        return max(0.0, gap - max(0.0, stall))


class Hub:
    """crash_hub: namespaces 0..count-1 with a network between them that can be hurt."""

    def __init__(self, rig, count):
        self.process = subprocess.Popen([rig.program('crash_hub'), str(count)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer = self.process.stdout.readline().split()
        if not answer or answer[0] != 'ready':
            raise Skip('no network of our own: ' + ' '.join(answer[1:]))
        if not shutil.which('nsenter'):
            raise Skip('no network of our own: nsenter is not installed')
        self.paths = answer[1:]
        self.count = count

    def __enter__(self):
        return self

    def __exit__(self, _kind, _value, _trace):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        return False

    def address(self, place):
        return f'10.77.0.{place + 1}'

    def inside(self, place):
        return ['nsenter', f'--net={self.paths[place]}', '--']

    def order(self, *words):
        self.process.stdin.write(' '.join(str(word) for word in words) + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        expect(answer.startswith('ok'), f'the hub says "{answer}" to {words}')
        return answer

    def cut(self, source, target):
        self.order('cut', source + 1, target + 1)

    def cut_both(self, one, other):
        self.cut(one, other)
        self.cut(other, one)

    def isolate(self, place, among=None):
        for other in among or range(self.count):
            if other != place:
                self.cut_both(place, other)

    def heal(self):
        for source in range(self.count):
            for target in range(self.count):
                if source != target:
                    self.order('join', source + 1, target + 1)

    def link(self, source, target, delay_ms=0, jitter_ms=0, loss=0, kilobits=0):
        self.order('link', source + 1, target + 1, delay_ms, jitter_ms, loss, kilobits)

    def every_link(self, **quality):
        for source in range(self.count):
            for target in range(self.count):
                if source != target:
                    self.link(source, target, **quality)

    def carried(self, source, target):
        return int(self.order('sent', source + 1, target + 1).split()[1])


class Rig:
    """One run of one test: what it may use, how long it may take, and its random choices."""

    def __init__(self, binary, name, seed, folder, scale=1.0):
        self.binary = binary
        self.name = name
        self.seed = seed
        self.folder = folder
        self.scale = scale
        self.random = random.Random(f'{name} {seed}')
        self.notes = []

    def program(self, name):
        return os.path.join(os.path.dirname(self.binary), name)

    def cluster(self, **settings):
        return Cluster(self, **settings)

    def hub(self, count):
        return Hub(self, count)

    def say(self, text):
        self.notes.append(text)

    def seconds(self, short):
        """How long a random part lasts: `short` in make test, more when there is time."""
        return short * self.scale

    def sleep(self, least, most):
        time.sleep(self.random.uniform(least, most))


def until(condition, patience, what):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    raise Failure(f'after {patience} s still not: {what}')


class Background:
    """Runs a function in a thread until the block ends; its exception is raised there."""

    def __init__(self, function):
        self.ended = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self.work, args=(function,))

    def work(self, function):
        try:
            function(self.ended)
        except Exception as error:  # shown by the thread that waits
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, _kind, _value, _trace):
        self.ended.set()
        self.thread.join()
        if self.error:
            raise self.error
        return False
