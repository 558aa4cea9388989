"""Streams of the JSON gateway, locks and elections in JSON, and what browsers are told: the same
requests to etcd 3.4 and to Quorate."""
import base64
import hashlib
import http.client
import json
import shutil
import socket
import tempfile
import time

from cluster import Cluster, Skip, expect, run
from gateway import comparable, encoded, post

OFFICE = encoded('office')


class Stream:
    """A POST whose answer comes line by line."""

    def __init__(self, node, path, *messages):
        self.connection = http.client.HTTPConnection(node.endpoint, timeout=40)
        body = '\n'.join(each if isinstance(each, str) else json.dumps(each) for each in messages)
        self.connection.request('POST', path, body)
        self.answer = None

    def line(self):
        """The next answer, without what is a cluster's own; None: the stream is over."""
        if self.answer is None:
            self.answer = self.connection.getresponse()
        text = self.answer.readline()
        if not text.strip():
            return None
        message = json.loads(text)
        comparable(message.get('result', {}))
        return message

    def lines(self, count):
        return [self.line() for _ in range(count)]

    def leave(self):
        if self.connection.sock is not None:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()


def put(node, key, value):
    status, answer = post(node, '/v3/kv/put', {'key': encoded(key), 'value': encoded(value)})
    expect(status == 200, str(answer))
    return int(answer['header']['revision'])


def answered(node, path, body):
    status, answer = post(node, path, body)
    return status, comparable(answer)


def watches(node):
    """All that a watch says, over both prefixes."""
    said = []
    create = {'create_request': {'key': encoded('w')}}
    with Stream(node, '/v3/watch', create) as live:
        said += live.lines(1)
        put(node, 'w', '1')
        said += live.lines(1)  # each by itself: events that wait may come together
        put(node, 'other', '1')
        put(node, 'w', '2')
        said += live.lines(1)
        post(node, '/v3/kv/deleterange', {'key': encoded('w')})
        said += live.lines(1)
    since = {'key': encoded('w'), 'start_revision': '2', 'prev_kv': True}
    with Stream(node, '/v3beta/watch', {'create_request': since},
                {'create_request': {**since, 'watch_id': '7', 'filters': ['NODELETE'],
                                    'key': encoded('o'), 'range_end': encoded('p')}}) as past:
        # Both are told at once; in which order is not said.
        lines = past.lines(4)
        made = [line for line in lines if line['result'].get('created')]
        said += made + sorted((line for line in lines if line not in made), key=json.dumps)
    with Stream(node, '/v3/watch', {'create_request': {'key': encoded('b'),
                                                       'range_end': encoded('a')}},
                {'create_request': {'key': encoded('w'), 'watch_id': '9'}},
                {'cancel_request': {'watch_id': '9'}}) as canceled:
        said += canceled.lines(3)
    return said


def renewals(node):
    post(node, '/v3/lease/grant', {'ID': '77', 'TTL': '100'})
    said = []
    with Stream(node, '/v3/lease/keepalive', {'ID': '77'}, {'ID': '78'}) as stream:
        said += stream.lines(3)  # the last one: it is over
    with Stream(node, '/v3/lease/keepalive', '') as stream:
        said += stream.lines(1)
    return said


def locks(node):
    said = [answered(node, '/v3/lock/lock', {'name': encoded('l'), 'lease': '77'})]
    post(node, '/v3/lease/grant', {'ID': '79', 'TTL': '100'})
    waiting = Stream(node, '/v3/lock/lock', {'name': encoded('l'), 'lease': '79'})
    key = {'key': encoded('l/4f')}

    def waits():
        return 'kvs' in post(node, '/v3/kv/range', key)[1]
    ends = time.monotonic() + 40
    while not waits() and time.monotonic() < ends:
        time.sleep(0.05)
    expect(waits(), 'the second has no place in the line')
    waiting.leave()
    while waits() and time.monotonic() < ends:
        time.sleep(0.05)
    expect(not waits(), 'the key of a client that went away is still there')
    said.append(answered(node, '/v3/lock/unlock', {'key': encoded('l/4d')}))
    said.append(answered(node, '/v3/lock/lock', {'name': encoded('l'), 'lease': '79'}))
    said.append(answered(node, '/v3beta/lock/unlock', key))
    return said


def elections(node):
    leader = {'name': OFFICE, 'key': encoded('office/4d'), 'lease': '77'}
    said = [answered(node, '/v3/election/leader', {'name': OFFICE}),
            answered(node, '/v3/election/proclaim', {'value': encoded('x')}),
            answered(node, '/v3/election/resign', {})]
    with Stream(node, '/v3/election/observe', {'name': OFFICE}) as observing:
        won = answered(node, '/v3/election/campaign',
                       {'name': OFFICE, 'lease': '77', 'value': encoded('ann')})
        said.append(won)
        said += observing.lines(1)
        leader['rev'] = won[1]['leader']['rev']
        rival = Stream(node, '/v3/election/campaign',
                       {'name': OFFICE, 'lease': '79', 'value': encoded('bob')})
        ends = time.monotonic() + 40
        while 'kvs' not in post(node, '/v3/kv/range', {'key': encoded('office/4f')})[1]:
            expect(time.monotonic() < ends, 'bob has no place in the line')
            time.sleep(0.05)
        for value in ('2', '3'):
            said.append(answered(node, '/v3/election/proclaim',
                                 {'leader': leader, 'value': encoded(value)}))
            said += observing.lines(1)
        said.append(answered(node, '/v3/election/leader', {'name': OFFICE}))
        said.append(answered(node, '/v3/election/resign', {'leader': leader}))
        # Since when bob leads etcd says by the campaign's beginning, we by its end.
        wins = rival.line()
        said.append(wins['leader'])
        told = observing.line()
        said.append(told['result']['kv'])
        said.append(answered(node, '/v3/election/proclaim',
                             {'leader': leader, 'value': encoded('late')}))
        rival.leave()
    return said


def test_streams_like_etcd(binary):
    if not shutil.which('etcd'):
        raise Skip('etcd is not installed (Debian: etcd-server)')
    with Cluster(['etcd'], size=1) as reference, Cluster([binary, 'serve'], size=1) as ours:
        theirs, mine = reference.leader(), ours.leader()
        for part in (watches, renewals, locks, elections):
            wanted, got = part(theirs), part(mine)
            expect(len(wanted) == len(got), f'{part.__name__}: {wanted} and {got}')
            for number, (want, have) in enumerate(zip(wanted, got)):
                expect(want == have, f'{part.__name__}, {number}: etcd says {want}, we say {have}')


def test_a_snapshot_in_json(binary):
    with Cluster([binary, 'serve'], size=1) as cluster, tempfile.NamedTemporaryFile() as file:
        node = cluster.leader()
        for number in range(50):
            put(node, f'k{number}', 'v' * 3000)
        blobs, left = [], []
        with Stream(node, '/v3/maintenance/snapshot', {}) as stream:
            while (line := stream.line()) is not None:
                expect('result' in line, str(line))
                blobs.append(base64.b64decode(line['result']['blob']))
                left.append(int(line['result'].get('remaining_bytes', 0)))
        content = b''.join(blobs)
        expect(len(blobs) > 2 and left == sorted(left, reverse=True) and left[-1] == 0, str(left))
        expect(hashlib.sha256(content[:-32]).digest() == content[-32:], 'the digest does not fit')
        file.write(content)
        file.flush()
        if not shutil.which('etcdctl'):
            raise Skip('etcdctl is not installed (Debian: etcd-client)')
        done = run(['etcdctl', 'snapshot', 'status', file.name, '-w', 'json'])
        expect(done.returncode == 0 and json.loads(done.stdout)['revision'] == 51,
               done.stdout + done.stderr)


def head_of(node, method, path, headers):
    """(status, what it says to browsers) of one request."""
    connection = http.client.HTTPConnection(node.endpoint, timeout=15)
    try:
        connection.request(method, path, '{}' if method == 'POST' else None, headers)
        answer = connection.getresponse()
        answer.read()
        access = {name.lower(): value for name, value in answer.getheaders()
                  if name.lower().startswith('access-control')}
        return answer.status, access
    finally:
        connection.close()


def test_browsers_like_etcd(binary):
    if not shutil.which('etcd'):
        raise Skip('etcd is not installed (Debian: etcd-server)')
    requests = [('GET', '/version'), ('OPTIONS', '/version'), ('OPTIONS', '/v3/watch'),
                ('OPTIONS', '/nothing'), ('POST', '/v3/maintenance/status'), ('GET', '/health')]
    origins = [{}, {'Origin': 'http://a.example:80'}, {'Origin': 'http://c.example:80'}]
    names = [{}, {'Host': 'good.example'}, {'Host': 'good.example:99'}, {'Host': 'evil.example'},
             {'Host': '[::1]:5'}, {'Host': 'Good.example'}]
    settings = [
        [],
        ['--cors', 'http://a.example:80,http://b.example:80'],
        ['--host-whitelist', 'good.example,::1'],
    ]
    for flags in settings:
        headers = names if '--host-whitelist' in flags else origins
        with Cluster(['etcd'], size=1, extra_flags=flags) as reference, \
                Cluster([binary, 'serve'], size=1, extra_flags=flags) as ours:
            theirs, mine = reference.leader(), ours.leader()
            for method, path in requests:
                for more in headers:
                    wanted = head_of(theirs, method, path, more)
                    got = head_of(mine, method, path, more)
                    if wanted[0] == 421:  # nobody is told who may read that
                        got = got[0], {}
                    expect(wanted == got,
                           f'{flags} {method} {path} {more}: etcd says {wanted}, we say {got}')


def test_old_prefixes(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        node = cluster.leader()
        for path, wanted in (('/v3/kv/range', 400), ('/v3beta/kv/range', 400),  # no key
                             ('/v3alpha/kv/range', 404), ('/v3/nothing', 404)):
            status, _ = head_of(node, 'POST', path, {})
            expect(status == wanted, f'{path}: {status}, not {wanted}')
