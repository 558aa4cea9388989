"""Snapshots: Quorate's become an etcd, and an etcd's become a Quorate."""
import json
import os
import re
import shutil
import threading
import time

import cluster as rig
from cluster import Cluster, Skip, etcdctl, expect, expect_in, run
from compat import errors_only
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
        ends = time.monotonic() + 40
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
                    cluster.token, '--initial-advertise-peer-urls', node.peer_url,
                    *(['--consensus', rig.CONSENSUS] if rig.CONSENSUS else []), *more])
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


def exported(binary, node, file, *more):
    """What `quorate export` prints; nothing but the file may be left."""
    done = run([binary, 'export', node.directory, file, *more])
    expect(done.returncode == 0, f'export: {done.stderr}')
    left = [name for name in os.listdir(os.path.dirname(file)) if '.part' in name]
    expect(not left, f'{left} were left behind')
    return done


def refused_export(binary, directory, file, why):
    done = run([binary, 'export', directory, file])
    expect(done.returncode == 1, f'{why}: exported all the same: {done.stdout}')
    expect_in(why, done.stderr, 'why')
    left = [name for name in os.listdir(os.path.dirname(file))
            if name.startswith(os.path.basename(file))]
    expect(not left, f'{left} were left behind')


def test_a_stopped_member_becomes_an_etcd(binary):
    need_etcd()
    with Cluster([binary, 'serve'], size=1) as ours:
        node = ours.nodes[0]
        leases = fill(ours.endpoints)
        file = os.path.join(ours.directory, 'exported.db')
        refused_export(binary, node.directory, file, 'is in use by another process')
        code, _ = node.terminate()
        expect(code == 0, f'it stopped with {code}')
        done = exported(binary, node, file)
        expect(done.stderr == '', f'of a sole member all is decided: {done.stderr}')
        check_status(binary, file)
        node.start()  # the directory is as good as before
        ours.wait_ready()
        with restored(Cluster(['etcd'], size=1), file) as etcd:
            revision = rows(ours.endpoints)[0]
            expect(rows(etcd.endpoints)[0] == revision, 'another revision')
            compare(ours.endpoints, etcd.endpoints, leases, revision)
            expect(agreed(etcd, '--rev', str(revision)) == agreed(ours, '--rev', str(revision)),
                   'the hashes differ')
            must(etcd.endpoints, 'put', 'after', '1')
        # After a crash the log has what the store has not.
        must(ours.endpoints, 'put', 'last', 'words')
        wanted = rows(ours.endpoints)
        node.kill()
        exported(binary, node, file)
        with begin(binary, Cluster([binary, 'serve'], size=1), file) as again:
            expect(rows(again.endpoints) == wanted, 'the crash took something away')


def test_an_export_says_what_its_directory_cannot_know(binary):
    need_etcd()
    with Cluster([binary, 'serve']) as ours:
        for number in range(30):
            must(ours.endpoints, 'put', f'k{number}', str(number))
        wanted = rows(ours.endpoints)[0]
        for node in ours.nodes:
            node.kill()
        file = os.path.join(ours.directory, 'exported.db')
        with_all = []
        for node in ours.nodes:
            done = exported(binary, node, file)
            expect_in('other members may have come further', done.stdout, 'a member of three')
            revision = json.loads(run(['etcdctl', 'snapshot', 'status', file, '-w', 'json'])
                                  .stdout)['revision']
            expect(f'revision {revision} ' in done.stdout, f'{revision} is not in {done.stdout}')
            found = re.search(r'the log holds (\d+) entr', done.stderr)
            left_out = int(found[1]) if found else 0
            if left_out:
                expect_in('a snapshot of the leader is newer', done.stderr, 'what to do')
            done = exported(binary, node, file, '--with-undecided')
            more = int(re.search(r'revision (\d+) ', done.stdout)[1])
            expect(revision <= more <= revision + left_out,
                   f'{revision} and {left_out} entries are not {more}')
            expect(bool(left_out) == ('cannot tell' in done.stderr), f'{done.stderr}')
            with_all.append(more)
        # What was acknowledged is in the logs of a majority.
        expect(with_all.count(wanted) >= 2, f'{with_all} are not {wanted}')


def test_a_damaged_directory_is_not_exported(binary):
    need_etcd()
    flags = ['--snapshot-count', '50', '--snapshot-catchup-entries', '10']
    with Cluster([binary, 'serve', *flags], size=1) as ours:
        node = ours.nodes[0]
        for start in range(0, 300, 2):
            puts = ''.join(f'put row{number} {"v" * 3000}\n' for number in (start, start + 1))
            must(ours.endpoints, 'txn', input='\n' + puts + '\n\n', text=True)
        stores = os.path.join(node.directory, 'quorate', 'store')
        ends = time.monotonic() + 60
        while not tables(stores):
            expect(time.monotonic() < ends, 'the store was never flushed')
            time.sleep(0.2)
        node.terminate()
        file = os.path.join(ours.directory, 'exported.db')
        exported(binary, node, file)
        os.remove(file)
        largest = max(tables(stores), key=os.path.getsize)
        with open(largest, 'r+b') as table:
            table.seek(os.path.getsize(largest) // 2)
            byte = table.read(1)
            table.seek(-1, os.SEEK_CUR)
            table.write(bytes([byte[0] ^ 1]))
        refused_export(binary, node.directory, file, 'Corruption')
        shutil.rmtree(stores)
        refused_export(binary, node.directory, file, 'part of the store was removed')
        shutil.rmtree(os.path.join(node.directory, 'quorate', 'wal'))
        refused_export(binary, node.directory, file, 'has no log')
        refused_export(binary, os.path.join(ours.directory, 'nothing'), file, 'no identity')
        expect(not os.path.exists(os.path.join(ours.directory, 'nothing')), 'it was made')


def tables(stores):
    return [os.path.join(place, name) for place, _, names in os.walk(stores) for name in names
            if name.endswith('.sst')]


class Guarded(Cluster):
    """One whose authentication is on from the start: only somebody it knows hears when it is
    ready."""

    def wait_ready(self, patience=60):
        ends = time.monotonic() + patience
        for node in self.nodes:
            while etcdctl(node.endpoint, '--user', 'root:rp', 'get', 'x').returncode != 0:
                expect(time.monotonic() < ends and node.alive(), f'not ready: {node.log()[-600:]}')
                time.sleep(0.1)


AUTH_SETUP = [
    ['user', 'add', 'root:rp'],
    ['user', 'add', 'bob:bp'],
    ['user', 'add', 'eve:ep'],
    ['user', 'add', 'cert', '--no-password'],
    ['role', 'add', 'root'],
    ['role', 'add', 'r1'],
    ['role', 'add', 'empty'],
    ['role', 'grant-permission', 'r1', 'read', 'a'],
    ['role', 'grant-permission', 'r1', 'readwrite', 'b', 'e'],
    ['role', 'grant-permission', 'r1', 'write', 'f', '--prefix'],
    ['role', 'grant-permission', 'r1', 'read', 'z', '--from-key'],
    ['user', 'grant-role', 'root', 'root'],
    ['user', 'grant-role', 'bob', 'r1'],
    ['user', 'grant-role', 'eve', 'empty'],
    ['put', 'a', '0'],
    ['put', 'zz', '0'],
    ['auth', 'enable'],
]
ROOT, BOB, EVE = (['--user', name] for name in ('root:rp', 'bob:bp', 'eve:ep'))
AUTH_CHECKS = [
    ['get', 'a'],
    ['put', 'a', '1'],
    ['--user', 'bob:wrong', 'get', 'a'],
    ['--user', 'cert:x', 'get', 'a'],
    ['--user', 'nobody:x', 'get', 'a'],
    [*BOB, 'get', 'a'],
    [*BOB, 'put', 'a', '1'],
    [*BOB, 'put', 'b', '1'],
    [*BOB, 'get', 'b', 'e'],
    [*BOB, 'get', 'b', 'f'],
    [*BOB, 'put', 'f1', '1'],
    [*BOB, 'get', 'f1'],
    [*BOB, 'get', 'zz'],
    [*BOB, 'get', 'y', '--from-key'],
    [*BOB, 'del', 'zz'],
    [*BOB, 'user', 'list'],
    [*EVE, 'get', 'a'],
    [*EVE, 'put', 'b', '1'],
    [*ROOT, 'get', '', '--prefix'],
    [*ROOT, 'user', 'list'],
    [*ROOT, 'role', 'list'],
    [*ROOT, 'role', 'get', 'r1'],
    [*ROOT, 'role', 'get', 'empty'],
    [*ROOT, 'user', 'get', 'bob'],
    [*ROOT, 'user', 'get', 'cert'],
    [*ROOT, 'role', 'revoke-permission', 'r1', 'a'],
    [*BOB, 'get', 'a'],
    [*ROOT, 'user', 'passwd', 'eve', '--interactive=false'],
    [*EVE, 'get', 'a'],
    [*ROOT, 'auth', 'disable'],
    ['put', 'a', '2'],
]


def test_users_and_roles_of_an_etcd_come_over(binary):
    need_etcd()
    with Cluster(['etcd'], size=1) as etcd:
        for step in AUTH_SETUP:
            must(etcd.endpoints, *step)
        file = os.path.join(etcd.directory, 'snapshot.db')
        must(etcd.endpoints, *ROOT, 'snapshot', 'save', file)
        ours = Guarded([binary, 'serve'])
        for node in ours.nodes:
            done = run([binary, 'snapshot', 'restore', file, '--data-dir', node.directory,
                        '--name', node.name, '--initial-cluster', ours.initial_cluster(),
                        '--initial-cluster-token', ours.token,
                        '--initial-advertise-peer-urls', node.peer_url,
                        *(['--consensus', rig.CONSENSUS] if rig.CONSENSUS else [])])
            expect(done.returncode == 0, f'restore: {done.stderr}')
            expect_in('4 users, 3 roles, authentication on', done.stdout, 'what it says')
        with ours:
            for step in AUTH_CHECKS:
                left, right = (
                    (done.returncode, done.stdout, errors_only(done.stderr)) for done in
                    (etcdctl(each.endpoints, *step, input='changed\n')
                     for each in (etcd, ours)))
                expect(left == right, f'{step}: etcd {left}, ours {right}')
