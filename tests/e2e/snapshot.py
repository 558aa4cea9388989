"""Snapshots: Quorate's become an etcd, and an etcd's become a Quorate."""
import json
import os
import shutil
import threading
import time

from cluster import Cluster, Skip, etcdctl, expect, expect_in, run
from maintenance import agreed

# More rows than one page of the file holds, keys that come and go, and rows of every size.
ROWS = 600


def need_etcd():
    if not shutil.which('etcd') or not shutil.which('etcdctl'):
        raise Skip('etcd-server and etcd-client are not installed')


def must(endpoints, *arguments, **more):
    done = etcdctl(endpoints, *arguments, **more)
    expect(done.returncode == 0, f'{arguments}: {done.stderr[-600:]}')
    return done.stdout


def fill(endpoints):
    """A history with every kind of row, compacted in its middle. Returns the leases."""
    for start in range(0, ROWS, 100):
        puts = ''.join(f'put row{number:05} {"v" * (number % 300)}x\n'
                       for number in range(start, start + 100))
        must(endpoints, 'txn', input='\n' + puts + '\n\n', text=True)
    must(endpoints, 'put', 'large', input='L' * 300000, text=True)
    leases = [must(endpoints, 'lease', 'grant', str(ttl)).split()[1] for ttl in (5000, 7000)]
    must(endpoints, 'put', 'leased/a', '1', f'--lease={leases[0]}')
    must(endpoints, 'put', 'leased/b', '2', f'--lease={leases[1]}')
    must(endpoints, 'put', 'leased/a', '3', f'--lease={leases[1]}')
    for number in range(10):
        must(endpoints, 'put', 'often', str(number))
    must(endpoints, 'del', 'row00001', 'row00050')
    must(endpoints, 'compaction', '13', '--physical')
    must(endpoints, 'put', 'row00007', 'again')
    must(endpoints, 'del', 'often')
    return leases


def rows(endpoints, revision=0):
    """(revision, rows) as JSON has them: keys, values, revisions, versions and leases."""
    limits = ['--rev', str(revision)] if revision else []
    answer = json.loads(must(endpoints, 'get', '', '--prefix', '-w', 'json', *limits))
    return answer['header']['revision'], answer.get('kvs', [])


def granted(endpoints, lease):
    """What a lease was granted for and its keys; what is left of it depends on the moment."""
    text = must(endpoints, 'lease', 'timetolive', lease, '--keys')
    keys = text[text.index('attached keys([') + len('attached keys(['):text.index('])')]
    return text[text.index('granted'):text.index(', remaining')], sorted(keys.split())


def compare(left, right, leases, revision):
    """The same history on both, up to a revision that both have."""
    expect(rows(left, revision)[1] == rows(right, revision)[1], f'rows at {revision} differ')
    for old in (13, 15, 20, 24, revision - 1):
        expect(rows(left, old)[1] == rows(right, old)[1], f'rows at {old} differ')
    for endpoints in (left, right):
        done = etcdctl(endpoints, 'get', 'a', '--rev', '12')
        expect_in('required revision has been compacted', done.stderr, 'a read below 13')
    for lease in leases:
        expect(granted(left, lease) == granted(right, lease),
               f'{lease}: {granted(left, lease)} and {granted(right, lease)}')


def restored(cluster, file, *more):
    """The cluster's only member begins as the snapshot."""
    node = cluster.nodes[0]
    done = run(['etcdctl', 'snapshot', 'restore', file, '--data-dir', node.directory, '--name',
                node.name, '--initial-cluster', cluster.initial_cluster(),
                '--initial-cluster-token', cluster.token, '--initial-advertise-peer-urls',
                node.peer_url, *more])
    expect(done.returncode == 0, f'etcdctl restores: {done.stderr}')
    return cluster


class Writer:
    """Puts that go on while something else happens."""

    def __init__(self, endpoints):
        self.endpoints = endpoints
        self.stopped = threading.Event()
        self.count = 0
        self.thread = threading.Thread(target=self.work)

    def work(self):
        while not self.stopped.is_set():
            puts = ''.join(f'put busy{number} {self.count}\n' for number in range(20))
            self.count += etcdctl(self.endpoints, 'txn', input='\n' + puts + '\n\n',
                                  text=True).returncode == 0

    def __enter__(self):
        self.thread.start()
        ends = time.monotonic() + 10
        while self.count < 3:
            expect(time.monotonic() < ends, 'nothing gets written')
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def test_our_snapshot_becomes_an_etcd(binary):
    need_etcd()
    with Cluster([binary, 'serve']) as ours:
        leases = fill(ours.endpoints)
        file = os.path.join(ours.directory, 'snapshot.db')
        member = ours.nodes[1].endpoint
        with Writer(ours.endpoints):
            must(member, 'snapshot', 'save', file)
        status = json.loads(must(member, 'snapshot', 'status', file, '-w', 'json'))
        expect(status['totalSize'] + 32 == os.path.getsize(file), f'{status}')
        with restored(Cluster(['etcd'], size=1), file) as etcd:
            revision = rows(etcd.endpoints)[0]
            expect(revision == status['revision'], f'{revision} is not that of {status}')
            compare(ours.endpoints, etcd.endpoints, leases, revision)
            one_of_ours = agreed(ours, '--rev', str(revision))[0]
            expect(agreed(etcd, '--rev', str(revision))[0] == one_of_ours, 'the hashes differ')
            # It lives: the tree that it was given can be written to, compacted and defragmented.
            for number in range(40):
                must(etcd.endpoints, 'put', 'after', str(number))
            must(etcd.endpoints, 'del', 'row', '--prefix')
            must(etcd.endpoints, 'compaction', str(rows(etcd.endpoints)[0]), '--physical')
            must(etcd.endpoints, 'defrag')
            must(etcd.endpoints, 'lease', 'revoke', leases[1])
            keys = [row['key'] for row in rows(etcd.endpoints)[1]]
            expect(len(keys) == 22, f'{len(keys)} keys are left')  # busy*, large, after
