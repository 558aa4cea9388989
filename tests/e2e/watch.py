"""The Watch service with Debian's etcdctl: history, live events, compaction, lost members."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from cluster import Cluster, Skip, clean_environment, etcdctl, expect

PATIENCE = 60


class Watch:
    """An `etcdctl watch` under way; what it prints goes to a file."""

    def __init__(self, endpoints, *arguments, speaks=False):
        self.output = tempfile.NamedTemporaryFile(prefix='quorate-watch-', delete=False)
        self.start(endpoints, *arguments, speaks=speaks)

    def start(self, endpoints, *arguments, speaks=False):
        """Once more, if the one before has ended."""
        self.process = subprocess.Popen(
            ['etcdctl', '--endpoints', endpoints, 'watch', *arguments], stdout=self.output,
            stderr=subprocess.STDOUT, stdin=subprocess.PIPE if speaks else subprocess.DEVNULL,
            env=clean_environment(ETCDCTL_API='3'))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.output.close()
        os.unlink(self.output.name)

    def say(self, line):
        self.process.stdin.write(line.encode() + b'\n')
        self.process.stdin.flush()

    def text(self):
        with open(self.output.name, errors='replace') as file:
            return file.read()

    def wait(self, reached, what, patience=PATIENCE):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if reached(self.text()):
                return self.text()
            time.sleep(0.05)
        expect(False, f'{what} did not come within {patience} s:\n{self.text()[-1500:]}')


def need_tools(*names):
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        raise Skip(f'{", ".join(missing)} not installed')


def put(endpoints, key, value):
    done = etcdctl(endpoints, 'put', key, value)
    expect(done.returncode == 0, f'put {key}: {done.stderr}')


def fill(endpoints):
    """A history of revisions 2 to 9."""
    for step in (['put', 'a', '1'], ['put', 'a', '2'], ['put', 'dir/1', 'x'], ['put', 'dir/2', 'y'],
                 ['del', 'a'], ['put', 'dir/1', 'z'], ['del', 'dir/', '--prefix'],
                 ['put', 'a', 'back']):
        done = etcdctl(endpoints, *step)
        expect(done.returncode == 0, f'{step}: {done.stderr}')
    done = etcdctl(endpoints, 'txn', input='\nput dir/1 t\nput a t\nput z t\n\n\n')
    expect(done.returncode == 0, done.stderr)


# Each is watched on a filled store until it has printed so many events.
WATCHES = [
    (['a', '--rev=2'], 5),
    (['a', '--rev=3', '--prev-kv'], 4),
    (['dir/', '--prefix', '--rev=1'], 6),
    (['dir/', '--prefix', '--rev=7', '--prev-kv'], 4),
    (['a', 'dir/2', '--rev=4'], 6),
    (['a', 'zz', '--rev=8'], 6),
    (['', '--prefix', '--rev=9', '--prev-kv'], 4),
    (['dir/1', '--rev=4'], 4),
]


def test_histories_like_etcd(binary):
    need_tools('etcd', 'etcdctl')
    with Cluster(['etcd'], size=1) as reference, Cluster([binary, 'serve']) as ours:
        fill(reference.endpoints)
        fill(ours.endpoints)
        differences = []
        for number, (arguments, events) in enumerate(WATCHES):
            seen = []
            for endpoint in (reference.endpoints, ours.nodes[number % 3].endpoint):
                with Watch(endpoint, *arguments) as watch:
                    text = watch.wait(lambda text, wanted=events: len(re.findall(
                        r'^(?:PUT|DELETE)$', text, re.MULTILINE)) >= wanted,
                        f'{events} events of {arguments}')
                    time.sleep(0.2)  # one too many would come right behind
                    seen.append(watch.text())
            if seen[0] != seen[1]:
                differences.append(f'{arguments}\n  etcd:\n{seen[0]}\n  quorate:\n{seen[1]}')
        expect(not differences, '\n'.join(differences))


def test_live_json_like_etcd(binary):
    need_tools('etcd', 'etcdctl')
    seen = []
    for command, size in ((['etcd'], 1), ([binary, 'serve'], 3)):
        with Cluster(command, size=size) as cluster:
            # From the first revision on: nothing says when the watch is there. A key outside its
            # range does not disturb.
            with Watch(cluster.nodes[-1].endpoint, 'k', '--prefix', '--prev-kv', '--rev=2', '-w',
                       'json') as watch:
                time.sleep(0.5)
                put(cluster.endpoints, 'other', '0')
                for key, value in (('k1', 'a'), ('k2', 'b'), ('k1', 'c')):
                    put(cluster.endpoints, key, value)
                etcdctl(cluster.endpoints, 'del', 'k', '--prefix')
                text = watch.wait(lambda text: text.count('"kv"') == 5, 'five events')
                events = []
                for line in text.splitlines():
                    response = json.loads(line)
                    events += response.get('Events') or []
                seen.append(events)
    expect(seen[0] == seen[1], f'etcd:    {seen[0]}\nquorate: {seen[1]}')


def test_compacted_like_etcd(binary):
    need_tools('etcd', 'etcdctl')
    seen = []
    for command in (['etcd'], [binary, 'serve']):
        with Cluster(command, size=1) as cluster:
            fill(cluster.endpoints)
            expect(etcdctl(cluster.endpoints, 'compaction', '7').returncode == 0, 'compaction')
            with Watch(cluster.endpoints, 'a', '--rev=3') as watch:
                code = watch.process.wait(timeout=PATIENCE)
                seen.append((code, watch.text()))
            with Watch(cluster.endpoints, 'a', '--rev=7') as watch:
                watch.wait(lambda text: text.count('PUT') == 2, 'what is not compacted')
                seen[-1] += (watch.text(),)
    expect(seen[0] == seen[1], f'etcd:    {seen[0]}\nquorate: {seen[1]}')


def numbers(text):
    return [int(number) for number in re.findall(r'^v(\d+)$', text, re.MULTILINE)]


def go_on(watch, endpoints):
    """etcdctl ends a watch for good when it turns to a member that knows no leader just then, as it
    may while one stops. Whoever watches begins behind what it has; each revision is one of `k`."""
    if watch.process.poll() is not None and 'etcdserver: no leader' in watch.text():
        watch.start(endpoints, 'k', f'--rev={2 + len(numbers(watch.text()))}')


def test_resume_across_a_killed_leader_and_restarts(binary):
    need_tools('etcdctl')
    with Cluster([binary, 'serve'], extra_flags=['--snapshot-count', '50',
                                                 '--snapshot-catchup-entries', '10']) as cluster:
        count = 0

        def put_some(amount):
            nonlocal count
            for _ in range(amount):
                end = time.monotonic() + PATIENCE
                # A write whose outcome is unknown may come twice: the key's value tells.
                while etcdctl(cluster.endpoints, 'put', 'k', f'v{count}').returncode != 0:
                    expect(time.monotonic() < end, f'no write succeeds for {PATIENCE} s')
                count += 1

        put_some(10)
        with Watch(cluster.endpoints, 'k', '--rev=2') as all_time, \
                Watch(cluster.nodes[0].endpoint, 'k', '--rev=2') as of_first:
            put_some(10)
            leader = cluster.leader()
            leader.kill()
            put_some(20)
            leader.start()
            cluster.wait_ready()
            for node in cluster.nodes:  # the watch has to move each time
                node.terminate()
                put_some(5)
                node.start()
                cluster.wait_ready()
                go_on(all_time, cluster.endpoints)
                go_on(of_first, cluster.nodes[0].endpoint)
            # Gone so long that it comes back with a snapshot of its peer.
            cluster.nodes[0].kill()
            put_some(80)
            cluster.nodes[0].start()
            cluster.wait_ready()
            put_some(5)
            for what, watch, endpoints in (
                    ('the cluster', all_time, cluster.endpoints),
                    ('the first member', of_first, cluster.nodes[0].endpoint)):
                def complete(text, watch=watch, endpoints=endpoints):
                    go_on(watch, endpoints)
                    return numbers(text)[-1:] == [count - 1]
                text = watch.wait(complete, f'the last write, on the watch of {what}')
                got = numbers(text)
                expect(set(got) == set(range(count)) and got == sorted(got),
                       f'{what}: values out of order or missing: {got}')
        values = numbers('\n'.join(all_versions(cluster)))
        expect(values == got, f'the watch saw {got}, the store holds {values}')


def all_versions(cluster):
    """The value of `k` at each of its revisions, read one by one."""
    done = json.loads(etcdctl(cluster.endpoints, 'get', 'k', '-w', 'json').stdout)
    first, last = (done['kvs'][0][name] for name in ('create_revision', 'mod_revision'))
    for revision in range(first, last + 1):
        done = etcdctl(cluster.endpoints, 'get', 'k', f'--rev={revision}', '--print-value-only')
        yield done.stdout.strip()


def test_deletion_at_the_border_of_a_compaction(binary):
    """etcd 3.4 loses it; later versions keep it, and so do we."""
    need_tools('etcdctl')
    with Cluster([binary, 'serve'], size=1) as cluster:
        fill(cluster.endpoints)
        expect(etcdctl(cluster.endpoints, 'compaction', '6').returncode == 0, 'compaction')
        with Watch(cluster.endpoints, 'a', '--rev=6') as watch:
            text = watch.wait(lambda text: text.count('PUT') == 2, 'what is not compacted')
            expect(text.startswith('DELETE\na\n'), text)


def test_progress_on_request(binary):
    need_tools('etcd', 'etcdctl')
    for command in (['etcd'], [binary, 'serve']):
        with Cluster(command, size=1) as cluster:
            with Watch(cluster.endpoints, '-i', speaks=True) as watch:
                watch.say('watch k --rev=2')
                for key in ('k', 'other', 'k', 'other'):
                    put(cluster.endpoints, key, 'v')
                watch.wait(lambda text: text.count('PUT') == 2, 'two events')
                watch.say('progress')
                text = watch.wait(lambda text: 'progress notify:' in text, 'progress')
                expect(text.endswith('progress notify: 5\n'), f'{command}: {text}')


def test_many_watchers(binary):
    """One stream with several ranges, and many streams, all with the same events."""
    need_tools('etcdctl')
    with Cluster([binary, 'serve'], size=1) as cluster:
        put(cluster.endpoints, 'k0', 'v0')
        watches = [Watch(cluster.endpoints, 'k', '--prefix', '--rev=2') for _ in range(12)]
        try:
            for number in range(1, 40):
                put(cluster.endpoints, f'k{number % 5}', f'v{number}')
            for watch in watches:
                text = watch.wait(lambda text: len(numbers(text)) >= 40, 'all events')
                expect(numbers(text) == list(range(40)), f'out of order: {numbers(text)}')
        finally:
            for watch in watches:
                watch.__exit__()
