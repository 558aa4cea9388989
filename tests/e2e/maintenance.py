"""The Maintenance service through etcdctl, and against Debian's etcd where it is installed."""
import json
import shutil
import time

from cluster import Cluster, Skip, etcdctl, expect

# One history, with a hash after each of its steps: lists of arguments, or (arguments, stdin).
HISTORY = [
    ['put', 'a', '1'],
    ['put', 'a', '2'],
    ['put', 'b', 'x' * 3000],
    ['del', 'a'],
    (['txn'], '\nput c 1\nput d 2\ndel b\n\n\n'),
    ['put', 'a', 'again'],
    ['compaction', '3', '--physical'],
    ['put', 'c', '2'],
    ['del', 'd'],
    # A deletion exactly at the compacted revision.
    ['compaction', '9', '--physical'],
    ['put', 'e', ''],
    ['compaction', '10', '--physical'],
    ['put', 'c', '3'],
    # Nothing is live any more, but rows from before the compaction are there.
    ['del', '', '--prefix'],
    ['compaction', '11', '--physical'],
    ['compaction', '12', '--physical'],
    ['put', 'f', '1'],
]


def hashes(endpoints, *arguments):
    """(hash, compacted revision) of each member, or its error."""
    done = etcdctl(endpoints, 'endpoint', 'hashkv', '-w', 'json', *arguments)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if 'desc = ' in line or 'mvcc' in line]
        text = errors[-1] if errors else done.stderr
        return text[text.find('etcdserver:'):].strip().rstrip(')"}').strip()
    return [(each['HashKV'].get('hash', 0), each['HashKV'].get('compact_revision', 0))
            for each in json.loads(done.stdout)]


def agreed(cluster, *arguments, patience=10):
    """Followers apply a little later; a hash is of one revision only when nothing is written."""
    ends = time.monotonic() + patience
    while True:
        found = hashes(cluster.endpoints, *arguments)
        if not isinstance(found, list):
            return found
        if len(set(found)) == 1 and len(found) == len(cluster.nodes):
            return found[0]
        expect(time.monotonic() < ends, f'members do not agree: {found}')
        time.sleep(0.1)


def test_hashkv_like_etcd(binary):
    if not shutil.which('etcd') or not shutil.which('etcdctl'):
        raise Skip('etcd-server and etcd-client are not installed')
    with Cluster(['etcd'], size=1) as reference, Cluster([binary, 'serve']) as ours:
        differences = []

        def compare(step, *arguments):
            wanted = hashes(reference.endpoints, *arguments)
            wanted = wanted[0] if isinstance(wanted, list) else wanted
            got = agreed(ours, *arguments)
            if got != wanted:
                differences.append(f'{step} {arguments}\n    etcd:    {wanted}\n'
                                   f'    quorate: {got}')
        compare('empty')
        for step in HISTORY:
            arguments, given = step if isinstance(step, tuple) else (step, None)
            for cluster in (reference, ours):
                done = etcdctl(cluster.endpoints, *arguments, input=given or '')
                expect(done.returncode == 0, f'{step}: {done.stderr}')
            compare(step)
            # The compacted revision itself is left out: 3.4 refuses it, 3.5 and later hash it.
            compacted = hashes(reference.endpoints)[0][1]
            for revision in range(max(1, compacted - 1), 15):
                if revision != compacted:
                    compare(step, f'--rev={revision}')
        expect(not differences, f'{len(differences)} differ:\n  ' + '\n  '.join(differences))


def test_hash_at_the_compacted_revision(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        for value in '123':
            etcdctl(cluster.endpoints, 'put', 'a', value)
        before = hashes(cluster.endpoints, '--rev=3')[0]
        etcdctl(cluster.endpoints, 'compaction', '3')
        found = hashes(cluster.endpoints, '--rev=3')
        expect(isinstance(found, list), f'the compacted revision can be hashed: {found}')
        expect(found[0][1] == 3 and found[0][0] != before[0], f'{before} {found}')
        expect('has been compacted' in hashes(cluster.endpoints, '--rev=2'), 'below it is refused')
        expect('is a future revision' in hashes(cluster.endpoints, '--rev=9'), 'no such yet')
