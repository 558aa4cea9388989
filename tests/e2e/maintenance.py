"""The Maintenance service through etcdctl, and against Debian's etcd where it is installed."""
import json
import re
import shutil
import time

from compat import errors_only, normal
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


QUOTA = 1_000_000


def plain(endpoints, *arguments, given=''):
    done = etcdctl(endpoints, *arguments, input=given)
    text = re.sub(r'memberID:\d+', 'memberID:N', normal(done.stdout))
    # Members of a cluster are all full at about the same time, and each says so.
    text = re.sub(r'(memberID:N alarm:NOSPACE \n)+', r'\1', text)
    return done.returncode, text, errors_only(done.stderr)


def status_errors(endpoints):
    found = json.loads(etcdctl(endpoints, 'endpoint', 'status', '-w', 'json').stdout)
    return [re.sub(r'memberID:\d+', 'memberID:N', error) for each in found
            for error in each['Status'].get('errors', [])]


def fill(cluster):
    """Writes to one member until it says that there is no room; how much went in."""
    for number in range(40):
        done = etcdctl(cluster.nodes[0].endpoint, 'put', f'full/{number}', 'v' * 50_000)
        if done.returncode != 0:
            expect('etcdserver: mvcc: database space exceeded' in done.stderr, done.stderr)
            return number
    expect(False, 'two million bytes fit into a quota of one')


def out_of_space(cluster):
    """What a client sees before, during and after; the same from either server."""
    one = cluster.nodes[0].endpoint
    seen = [('list', plain(one, 'alarm', 'list')), ('disarm', plain(one, 'alarm', 'disarm'))]
    expect(5 <= fill(cluster) <= 20, 'the quota is reckoned in bytes')
    ends = time.monotonic() + 10
    while len(status_errors(cluster.endpoints)) < len(cluster.nodes):
        expect(time.monotonic() < ends, 'every member knows of the alarm')
        time.sleep(0.1)
    # At another member than the one that found it out.
    other = cluster.nodes[-1].endpoint
    for step in (['put', 'b', '1'], ['lease', 'grant', '60'], ['alarm', 'list'],
                 ['get', 'full/1', '--keys-only'], ['del', 'nothing']):
        seen.append((step, plain(other, *step)))
    seen.append(('txn', plain(other, 'txn', given='\nput b 1\n\n\n')))
    seen.append(('errors', sorted(set(status_errors(cluster.endpoints)))))
    seen.append(('del', plain(one, 'del', 'full/', '--prefix')[0]))
    revision = json.loads(etcdctl(one, 'get', 'x', '-w', 'json').stdout)['header']['revision']
    seen.append(('compact', plain(one, 'compaction', str(revision), '--physical')[0]))
    for node in cluster.nodes:
        seen.append(('defrag', plain(node.endpoint, 'defrag')[0]))
    seen.append(('disarm', plain(one, 'alarm', 'disarm')))
    seen.append(('list', plain(one, 'alarm', 'list')))
    seen.append(('put', plain(one, 'put', 'b', 'v' * 50_000)))
    return [each for number, each in enumerate(seen) if each not in seen[:number]]


def test_out_of_space_like_etcd(binary):
    flags = [f'--quota-backend-bytes={QUOTA}']
    with Cluster([binary, 'serve'], extra_flags=flags) as ours:
        got = out_of_space(ours)
    expect(got[-1][1][0] == 0, f'there is room again: {got[-1]}')
    if not shutil.which('etcd'):
        raise Skip('etcd-server is not installed')
    with Cluster(['etcd'], size=1, extra_flags=flags) as reference:
        wanted = out_of_space(reference)
    differences = [f'etcd:    {a}\n  quorate: {b}' for a, b in zip(wanted, got) if a != b]
    expect(len(wanted) == len(got) and not differences, '\n  '.join(differences))
