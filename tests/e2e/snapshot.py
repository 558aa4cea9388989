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


def begin(binary, cluster, source, *more, nodes=None):
    """Members of a cluster that begins as an etcd was."""
    for node in nodes or cluster.nodes:
        done = run([binary, 'import', source, '--data-dir', node.directory, '--name', node.name,
                    '--initial-cluster', cluster.initial_cluster(), '--initial-cluster-token',
                    cluster.token, '--initial-advertise-peer-urls', node.peer_url, *more])
        expect(done.returncode == 0, f'import: {done.stderr}')
        expect_in('compacted at 13', done.stdout, 'what import says')
    return cluster


def check_status(binary, file):
    for form in ('simple', 'json', 'table', 'fields'):
        theirs = run(['etcdctl', 'snapshot', 'status', file, '-w', form])
        ours = run([binary, 'snapshot', 'status', file, '-w', form])
        expect(ours.stdout == theirs.stdout, f'{ours.stdout} is not {theirs.stdout}')


def test_an_etcd_becomes_ours(binary):
    need_etcd()
    with Cluster(['etcd'], size=1) as etcd:
        leases = fill(etcd.endpoints)
        file = os.path.join(etcd.directory, 'snapshot.db')
        must(etcd.endpoints, 'snapshot', 'save', file)
        check_status(binary, file)
        revision = rows(etcd.endpoints)[0]
        hash_of_etcd = agreed(etcd, '--rev', str(revision))
        with begin(binary, Cluster([binary, 'serve']), file) as ours:
            compare(etcd.endpoints, ours.endpoints, leases, revision)
            expect(agreed(ours, '--rev', str(revision)) == hash_of_etcd, 'the hashes differ')
            must(ours.endpoints, 'put', 'after', '1')
            expect(rows(ours.endpoints)[0] == revision + 1, 'the next revision is the next one')
            must(ours.endpoints, 'lease', 'revoke', leases[1])
            # And on to an etcd again, after a restart that has to come back from the disks.
            for node in ours.nodes:
                node.kill()
            for node in ours.nodes:
                node.start()
            ours.wait_ready()
            wanted = rows(ours.endpoints)
            again = os.path.join(ours.directory, 'again.db')
            done = run([binary, '--endpoints', ours.nodes[0].endpoint, 'snapshot', 'save', again])
            expect(done.stdout == f'Snapshot saved at {again}\n', f'{done}')
            check_status(binary, again)
            with restored(Cluster(['etcd'], size=1), again) as last:
                expect(rows(last.endpoints) == wanted, 'what went around came back different')



def test_who_was_not_brought_in_gets_it_from_the_others(binary):
    need_etcd()
    with Cluster(['etcd'], size=1) as etcd:
        fill(etcd.endpoints)
        file = os.path.join(etcd.directory, 'snapshot.db')
        must(etcd.endpoints, 'snapshot', 'save', file)
        ours = Cluster([binary, 'serve'])
        with begin(binary, ours, file, nodes=ours.nodes[:2]):
            late = rows(ours.nodes[2].endpoint)
            expect(late == rows(etcd.endpoints), 'the third member has other rows')
            expect(len(agreed(ours)) == 2, 'the members agree')


def test_the_directory_of_an_etcd_becomes_ours(binary):
    need_etcd()
    with Cluster(['etcd'], size=1) as etcd:
        leases = fill(etcd.endpoints)
        node = etcd.nodes[0]
        wanted = rows(etcd.endpoints)
        terms = [granted(etcd.endpoints, lease) for lease in leases]
        target = os.path.join(etcd.directory, 'target')
        refused = run([binary, 'import', node.directory, '--data-dir', target])
        expect(refused.returncode == 1, 'an etcd that runs was imported')
        expect_in('is in use: stop its etcd first', refused.stderr, 'why')
        # Started and stopped once more: its log ends with what members say to each other.
        node.terminate()
        node.start()
        etcd.wait_ready()
        node.terminate()
        with begin(binary, Cluster([binary, 'serve'], size=1), node.directory) as ours:
            expect(rows(ours.endpoints) == wanted, 'other rows')
            expect([granted(ours.endpoints, lease) for lease in leases] == terms, 'other leases')


def test_writes_that_only_the_log_of_an_etcd_has_are_not_lost(binary):
    need_etcd()
    # Its database follows once a minute here, so the crash leaves it behind for certain.
    with Cluster(['etcd'], size=1, extra_flags=['--backend-batch-interval', '60s']) as etcd:
        must(etcd.endpoints, 'put', 'only', 'in the log')
        node = etcd.nodes[0]
        node.kill()
        target = os.path.join(etcd.directory, 'target')
        refused = run([binary, 'import', node.directory, '--data-dir', target])
        expect(refused.returncode == 1, f'imported without them: {refused.stdout}')
        expect_in('writes that are not in its database yet (1)', refused.stderr, 'why')
        expect(not os.path.exists(target), 'something was left behind')


def test_a_damaged_snapshot_is_refused(binary):
    need_etcd()
    with Cluster([binary, 'serve'], size=1) as ours:
        fill(ours.endpoints)
        file = os.path.join(ours.directory, 'snapshot.db')
        must(ours.endpoints, 'snapshot', 'save', file)
        with open(file, 'rb') as whole:
            content = whole.read()
        changed = bytearray(content)
        changed[len(content) // 2] ^= 1
        target = os.path.join(ours.directory, 'target')
        for name, damaged, why in (
                ('changed', bytes(changed), 'its SHA-256 is not the one that was stored'),
                ('short', content[:len(content) // 2 // 512 * 512], 'no hash behind it'),
                ('text', b'no database at all', 'no hash behind it')):
            path = os.path.join(ours.directory, name)
            with open(path, 'wb') as broken:
                broken.write(damaged)
            for command in (['import'], ['snapshot', 'restore']):
                done = run([binary, *command, path, '--data-dir', target])
                expect(done.returncode == 1, f'{name} was taken: {done.stdout}')
                expect_in(why, done.stderr, name)
            expect(not os.path.exists(target), f'{name} left something behind')
        done = run([binary, 'import', os.path.join(ours.directory, 'short'), '--data-dir', target,
                    '--skip-hash-check'])
        expect(done.returncode == 1, 'a file that is cut short was taken')
        expect_in('is cut short', done.stderr, 'why')
        bare = os.path.join(ours.directory, 'bare')
        with open(bare, 'wb') as without:
            without.write(content[:-32])
        done = run([binary, 'snapshot', 'restore', '--skip-hash-check', bare, '--data-dir', target])
        expect(done.returncode == 0, f'a copy without a hash: {done.stderr}')
        done = run([binary, 'snapshot', 'restore', file, '--data-dir', target])
        expect(done.returncode == 1, 'a directory in use was written over')
        expect_in('holds data already', done.stderr, 'why')
