"""What a Kubernetes API server does to its store, in JSON: lists in pages at one revision, watches
from there with previous values and progress, optimistic transactions, and compactions that several
servers agree on by the key compact_rev_key."""
import base64
import http.client
import json
import random
import shutil
import socket
import threading
import time

from cluster import Cluster, Skip, expect
from gateway import comparable, encoded, post
from streams import Stream

PREFIX = '/registry/pods/'
END = '/registry/pods0'
MARK = 'compact_rev_key'
STORM_SECONDS = 9
PAGE = 7


def decoded(text):
    return base64.b64decode(text).decode()


def at(answer):
    return int(answer['header']['revision'])


def get_of(key):
    return {'request_range': {'key': encoded(key)}}


def put_of(key, value, lease=0):
    return {'request_put': {'key': encoded(key), 'value': encoded(value), 'lease': str(lease)}}


def unless_changed(node, key, revision, then):
    """Does `then` if the key is as it was at that revision (0: not there); else reads it."""
    return post(node, '/v3/kv/txn', {
        'compare': [{'key': encoded(key), 'target': 'MOD', 'result': 'EQUAL',
                     'mod_revision': str(revision)}],
        'success': [then], 'failure': [get_of(key)]})


def page(node, first, limit, revision=0):
    return post(node, '/v3/kv/range', {'key': encoded(first), 'range_end': encoded(END),
                                       'limit': str(limit), 'revision': str(revision)})


def listed(node, limit=PAGE, revision=0):
    """(revision, {key: pair}) in pages that all are of the first one's revision."""
    found, first = {}, PREFIX
    while True:
        status, answer = page(node, first, limit, revision)
        expect(status == 200, f'{status} {answer}')
        revision = revision or at(answer)
        for pair in answer.get('kvs', []):
            found[decoded(pair['key'])] = pair
        if not answer.get('more'):
            return revision, found
        left = int(answer['count']) - len(answer['kvs'])
        expect(left > 0 and len(answer['kvs']) == limit, f'more, and yet {left} left')
        first = decoded(answer['kvs'][-1]['key']) + '\0'


def compact(node, version, revision):
    """One server's turn: (the mark's version, the store's revision, whether this one compacted)."""
    status, answer = post(node, '/v3/kv/txn', {
        'compare': [{'key': encoded(MARK), 'target': 'VERSION', 'result': 'EQUAL',
                     'version': str(version)}],
        'success': [put_of(MARK, str(revision))], 'failure': [get_of(MARK)]})
    expect(status == 200, f'{status} {answer}')
    if not answer.get('succeeded'):
        pair = answer['responses'][0]['response_range']['kvs'][0]
        return int(pair['version']), at(answer), False
    if revision > 0:
        status, done = post(node, '/v3/kv/compaction', {'revision': str(revision)})
        expect(status == 200, f'{status} {done}')
    return version + 1, at(answer), revision > 0


class Conversation:
    """A watch that speaks and listens at once, over one HTTP/1.1 connection."""

    def __init__(self, node, *messages):
        host, _, port = node.endpoint.partition(':')
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.file = self.socket.makefile('rb')
        self.rest = b''
        self.began = False
        head = (f'POST /v3/watch HTTP/1.1\r\nHost: {node.endpoint}\r\n'
                'Transfer-Encoding: chunked\r\n\r\n')
        self.socket.sendall(head.encode())
        for message in messages:
            self.say(message)

    def say(self, message):
        text = json.dumps(message).encode()
        self.socket.sendall(f'{len(text):x}\r\n'.encode() + text + b'\r\n')

    def line(self):
        """The next response; None: the stream is over or its member is gone."""
        try:
            while b'\n' not in self.rest:
                more = self.chunk()
                if not more:
                    return None
                self.rest += more
        except OSError:
            return None
        text, _, self.rest = self.rest.partition(b'\n')
        return json.loads(text).get('result')

    def chunk(self):
        while not self.began:
            line = self.file.readline()
            if not line:
                return b''
            self.began = line == b'\r\n'
        size = int(self.file.readline() or b'0', 16)
        content = self.file.read(size)
        self.file.readline()
        return content if len(content) == size else b''

    def leave(self):
        self.file.close()
        self.socket.close()


def watch_of(revision):
    return {'create_request': {'key': encoded(PREFIX), 'range_end': encoded(END),
                               'start_revision': str(revision), 'prev_kv': True,
                               'progress_notify': True}}


# ---- The same life to etcd and to Quorate.

def life(node):
    """Everything that is answered in a short life of a few objects."""
    said = []

    def note(answer):
        said.append((answer[0], comparable(dict(answer[1]))))
        return answer[1]
    pod = PREFIX + 'default/one'
    created = note(unless_changed(node, pod, 0, put_of(pod, 'v1')))
    note(unless_changed(node, pod, 0, put_of(pod, 'again')))
    updated = note(unless_changed(node, pod, at(created), put_of(pod, 'v2')))
    note(unless_changed(node, pod, at(created), put_of(pod, 'too late')))
    note(unless_changed(node, pod, at(created), {'request_delete_range': {'key': encoded(pod)}}))
    for number in range(9):
        key = f'{PREFIX}kube-system/p{number}'
        note(unless_changed(node, key, 0, put_of(key, str(number))))
    first = note(page(node, PREFIX, 4))
    note(unless_changed(node, pod, at(updated), {'request_delete_range': {'key': encoded(pod)}}))
    last = decoded(first['kvs'][-1]['key']) + '\0'
    note(page(node, last, 4, at(first)))  # as it was
    note(page(node, PREFIX, 1))           # as it is
    note(post(node, '/v3/kv/range', {'key': encoded(PREFIX), 'range_end': encoded(END),
                                     'count_only': True}))
    servers = [(0, 0), (0, 0)]
    for turn in range(5):
        number = turn % 2
        version, revision, won = compact(node, *servers[number])
        servers[number] = (version, revision)
        said.append((version, revision, won))
        key = f'{PREFIX}kube-system/q{turn}'
        note(unless_changed(node, key, 0, put_of(key, 'x')))
    status, answer = page(node, last, 4, at(first))  # a list that took too long
    said.append((status, answer.get('code'), answer.get('error')))
    with Stream(node, '/v3/watch', watch_of(at(first))) as watch:
        said += watch.lines(2)  # made, and cancelled: compacted
    return said


def test_a_life_like_etcd(binary):
    if not shutil.which('etcd'):
        raise Skip('etcd is not installed (Debian: etcd-server)')
    with Cluster(['etcd'], size=1) as reference, Cluster([binary, 'serve'], size=1) as ours:
        wanted, got = life(reference.leader()), life(ours.leader())
        expect(len(wanted) == len(got), f'{len(wanted)} and {len(got)} answers')
        for number, (want, have) in enumerate(zip(wanted, got)):
            expect(want == have, f'answer {number}: etcd says {want}, we say {have}')


# ---- A storm: writers and compactors on all members, one that watches, a leader that is killed.

class Storm:
    def __init__(self, cluster):
        self.cluster = cluster
        self.ended = threading.Event()
        self.compacted = 0  # at most so much
        self.won = self.written = 0
        self.faults = []

    def alive(self, rng):
        return rng.choice([node for node in self.cluster.nodes if node.alive()])

    def each(self, work, seed):
        rng = random.Random(seed)
        while not self.ended.is_set():
            try:
                work(rng)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.1)  # its member is gone
            except Exception as why:  # found by the thread that waits for all
                self.faults.append(repr(why))
                return

    def write(self, rng):
        node = self.alive(rng)
        key = f'{PREFIX}p{rng.randrange(40):02}'
        status, answer = post(node, '/v3/kv/range', {'key': encoded(key)})
        if status != 200:
            return
        pairs = answer.get('kvs', [])
        revision = int(pairs[0]['mod_revision']) if pairs else 0
        then = put_of(key, f'{rng.random()}')
        if pairs and rng.random() < 0.3:
            then = {'request_delete_range': {'key': encoded(key)}}
        status, answer = unless_changed(node, key, revision, then)
        self.written += 1 if status == 200 and answer.get('succeeded') else 0

    def compactor(self):
        state = [0, 0]

        def turn(rng):
            time.sleep(0.7)
            # It may be done before, or without, its answer.
            self.compacted = max(self.compacted, state[1])
            try:
                version, revision, won = compact(self.alive(rng), *state)
            except Exception:  # no leader just now, or somebody compacted this already
                return
            if won:
                self.won += 1
            state[:] = [version, revision]
        return turn


class Reflector:
    """A list, kept up to date by a watch that goes on elsewhere from where it was."""

    def __init__(self, storm):
        self.storm = storm
        self.rng = random.Random(7)
        self.revision = 0
        self.pairs = {}
        self.events = self.progress = self.lists = 0
        self.conversation = None

    def start(self):
        if self.conversation is not None:
            self.conversation.leave()
        self.conversation = None
        try:
            node = self.storm.alive(self.rng)
            if self.revision == 0:
                self.revision, self.pairs = listed(node)
                self.lists += 1
            self.conversation = Conversation(node, watch_of(self.revision + 1))
        except Exception:  # its member is gone, or has no leader: another one, soon
            time.sleep(0.1)

    def take(self, event):
        pair = event['kv']
        key, revision = decoded(pair['key']), int(pair['mod_revision'])
        expect(revision > self.revision, f'{key} at {revision}, behind {self.revision}')
        known, before = self.pairs.get(key), event.get('prev_kv')
        if before is None and known is not None:
            expect(revision <= self.storm.compacted + 1, f'{key} at {revision}: nothing before')
        else:
            expect(before == known, f'{key} at {revision} follows {before}, known was {known}')
        if event.get('type') == 'DELETE':
            self.pairs.pop(key, None)
        else:
            self.pairs[key] = pair
        self.events += 1

    def step(self):
        """One response, or a new beginning."""
        if self.conversation is None:
            return self.start()
        response = self.conversation.line()
        if response is None or response.get('canceled'):
            if response is not None:  # compacted: what happened meanwhile cannot be told any more
                self.revision = 0
            return self.start()
        if response.get('created'):
            try:
                return self.conversation.say({'progress_request': {}})
            except OSError:  # its member is gone
                return self.start()
        for event in response.get('events', []):
            self.take(event)
        if 'events' not in response:
            self.progress += 1
        last = max([at(response)] if 'events' not in response else
                   [int(event['kv']['mod_revision']) for event in response['events']])
        expect(last >= self.revision, f'the watch is at {last}, and was at {self.revision}')
        self.revision = last
        return None

    def catch_up(self, revision, patience=90):
        ends = time.monotonic() + patience
        while self.revision < revision:
            expect(time.monotonic() < ends, f'still at {self.revision}, not {revision}')
            try:
                if self.conversation is not None:
                    self.conversation.say({'progress_request': {}})
            except OSError:
                self.conversation = None
            self.step()


def test_a_storm_over_a_killed_leader(binary):
    flags = ['--watch-progress-notify-interval', '300ms']
    with Cluster([binary, 'serve'], extra_flags=flags) as cluster:
        storm = Storm(cluster)
        work = [storm.write] * 3 + [storm.compactor(), storm.compactor()]
        threads = [threading.Thread(target=storm.each, args=(each, seed), daemon=True)
                   for seed, each in enumerate(work)]
        for thread in threads:
            thread.start()
        reflector = Reflector(storm)
        began = moved = time.monotonic()
        killed = None
        try:
            while time.monotonic() < began + STORM_SECONDS:
                now = time.monotonic()
                if killed is None and now > began + STORM_SECONDS / 3:
                    killed = cluster.leader()
                    killed.kill()
                if killed is not None and not killed.alive() and now > began + STORM_SECONDS * 0.6:
                    killed.start()
                if now > moved + 1:  # to whichever member, ahead or behind
                    moved = now
                    reflector.start()
                reflector.step()
        finally:
            storm.ended.set()
            for thread in threads:
                thread.join(60)
        expect(not storm.faults, str(storm.faults))
        cluster.wait_ready()
        revision, pairs = listed(cluster.leader(), limit=0)
        reflector.catch_up(revision)
        expect(reflector.pairs == pairs and pairs, 'what the watch told is not what is there')
        expect(listed(cluster.nodes[0], PAGE, revision)[1] == pairs, 'pages are not the whole')
        expect(reflector.events > 50 and reflector.progress > 0 and storm.won > 0,
               f'{reflector.events} events, {reflector.progress} times progress, '
               f'{storm.won} compactions: nothing was tried')
        print(f'        {storm.written} writes, {reflector.events} events, {reflector.progress} '
              f'times progress, {storm.won} compactions, {reflector.lists} lists')
