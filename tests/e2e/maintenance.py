"""The Maintenance service through etcdctl, and against Debian's etcd where it is installed."""
import json
import re
import shutil
import time
import urllib.request

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


def agreed(cluster, *arguments, patience=40):
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
PUTS_MAX = 40  # of 50,000 bytes: twice the quota


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
    for number in range(PUTS_MAX):
        done = etcdctl(cluster.nodes[0].endpoint, 'put', f'full/{number}', 'v' * 50_000)
        if done.returncode != 0:
            expect('etcdserver: mvcc: database space exceeded' in done.stderr, done.stderr)
            return number
    expect(False, 'two million bytes fit into a quota of one')


def out_of_space(cluster, most):
    """What a client sees before, during and after; the same from either server. `most`: so many
    puts fit at most."""
    one = cluster.nodes[0].endpoint
    seen = [('list', plain(one, 'alarm', 'list')), ('disarm', plain(one, 'alarm', 'disarm'))]
    filled = fill(cluster)
    expect(5 <= filled <= most, f'the quota is reckoned in bytes: {filled} puts fitted')
    ends = time.monotonic() + 40
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
        got = out_of_space(ours, 20)
    expect(got[-1][1][0] == 0, f'there is room again: {got[-1]}')
    if not shutil.which('etcd'):
        raise Skip('etcd-server is not installed')
    with Cluster(['etcd'], size=1, extra_flags=flags) as reference:
        # It counts pages when it commits them, and puts go on while the disk takes its time.
        wanted = out_of_space(reference, PUTS_MAX)
    differences = [f'etcd:    {a}\n  quorate: {b}' for a, b in zip(wanted, got) if a != b]
    expect(len(wanted) == len(got) and not differences, '\n  '.join(differences))


def alarms_of_members(cluster):
    """How many alarms there are as one member after the other finds no room for itself.

    A member judges by its own files, and etcd's differ: how many pages they have depends on when
    each wrote them, and once there is an alarm they grow no more, so one may stay a page below the
    quota for good. What is put here takes more than half of the quota, so there is no room for it
    in any of them. A member may still be behind, so each is asked until it has seen for itself.
    """
    fill(cluster)
    seen = []
    for number, node in enumerate(cluster.nodes):
        until = time.monotonic() + 40
        while True:
            etcdctl(node.endpoint, 'put', 'more', input='v' * (QUOTA * 6 // 10))
            count = etcdctl(node.endpoint, 'alarm', 'list').stdout.count('alarm:NOSPACE')
            if count > number or time.monotonic() > until:
                break
        seen.append(count)
    return seen


def test_each_full_member_raises_its_own_alarm_like_etcd(binary):
    flags = [f'--quota-backend-bytes={QUOTA}']
    with Cluster([binary, 'serve'], extra_flags=flags) as ours:
        got = alarms_of_members(ours)
    expect(got == [1, 2, 3], f'one more with each member that was asked: {got}')
    if shutil.which('etcd'):
        with Cluster(['etcd'], extra_flags=flags) as reference:
            wanted = alarms_of_members(reference)
        # On the way there may be more of etcd's: it raises them while it applies, too.
        expect(wanted[-1] == got[-1], f'etcd: {wanted}')


def sizes(node):
    status = json.loads(etcdctl(node.endpoint, 'endpoint', 'status', '-w', 'json').stdout)
    return status[0]['Status']['dbSize'], status[0]['Status']['dbSizeInUse']


def expect_soon(judge, what, patience=40):
    ends = time.monotonic() + patience
    while not judge():
        expect(time.monotonic() < ends, what)
        time.sleep(0.1)


def sizes_over_time(cluster):
    """Grows with what is written; a compaction takes from what is in use, the rest needs more."""
    node = cluster.nodes[0]
    for number in range(20):
        etcdctl(node.endpoint, 'put', f'big/{number}', 'v' * 50_000)
    expect_soon(lambda: sizes(node)[1] > 1_000_000, f'in use after a million bytes: {sizes(node)}')
    full, in_use = sizes(node)
    expect(in_use <= full < 3_000_000, f'{in_use} of {full}')
    etcdctl(node.endpoint, 'del', 'big/', '--prefix')
    revision = json.loads(etcdctl(node.endpoint, 'get', 'x', '-w', 'json').stdout)
    etcdctl(node.endpoint, 'compaction', str(revision['header']['revision']), '--physical')

    def mostly_free():
        etcdctl(node.endpoint, 'put', 'small', 'v')  # etcd frees pages when it writes again
        return sizes(node)[1] < 200_000
    expect_soon(mostly_free, f'in use after a compaction: {sizes(node)}')
    expect(sizes(node)[0] >= full, f'only a defragmentation makes it smaller: {sizes(node)}')
    done = etcdctl(node.endpoint, 'defrag')
    expect(done.returncode == 0, done.stderr)
    expect_soon(lambda: sizes(node)[0] < 100_000, f'after the defragmentation: {sizes(node)}')


def test_sizes_like_etcd(binary):
    with Cluster([binary, 'serve'], size=1) as ours:
        sizes_over_time(ours)
        figures = metrics(ours.nodes[0])
        expect(figures['quorate_store_file_bytes'] < 500_000, 'the files became smaller, too')
        expect(figures['etcd_disk_backend_defrag_duration_seconds_count'] == 1, 'and it is counted')
    if shutil.which('etcd'):
        with Cluster(['etcd'], size=1) as reference:
            sizes_over_time(reference)


def test_auto_compaction(binary):
    """Only the leader compacts, whichever member that is, and what is young stays."""
    with Cluster([binary, 'serve'], extra_flags=['--auto-compaction-retention=5s']) as cluster:
        one = cluster.nodes[0].endpoint
        etcdctl(one, 'put', 'a', 'first')
        etcdctl(one, 'put', 'a', 'second')
        early = etcdctl(one, 'get', 'a', '--rev=2', '--print-value-only')
        expect(early.stdout == 'first\n', f'it is there at first: {early.stdout} {early.stderr}')

        def gone(node):
            done = etcdctl(node.endpoint, 'get', 'a', '--rev=2')
            return 'required revision has been compacted' in done.stderr
        # The next write sees the rows go on an idle cluster, too.
        for node in cluster.nodes:
            expect_soon(lambda node=node: gone(node), 'what is old is compacted', patience=60)
            expect_soon(lambda node=node: metrics(node)[
                'etcd_debugging_mvcc_db_compaction_keys_total'] == 1, 'and its row removed')
        late = etcdctl(one, 'get', 'a', '--rev=3', '--print-value-only')
        expect(late.stdout == 'second\n', f'the newest stays: {late.stdout} {late.stderr}')


def metrics(node):
    """Samples by their name and labels; each family is declared once, before its samples."""
    text = urllib.request.urlopen(f'http://{node.endpoint}/metrics', timeout=30).read().decode()
    found, families = {}, set()
    for line in text.splitlines():
        if line.startswith('# TYPE '):
            expect(line.split()[2] not in families, f'twice: {line}')
            families.add(line.split()[2])
        elif not line.startswith('#'):
            name, value = line.rsplit(' ', 1)
            family = re.sub(r'_(bucket|sum|count)$', '', name.split('{')[0])
            expect(family in families or name.split('{')[0] in families, f'no family: {line}')
            expect(name not in found, f'twice: {line}')
            found[name] = float(value)
    return found


# What dashboards and alerts of etcd ask for; see also README.
DASHBOARD = """
etcd_server_has_leader etcd_server_leader_changes_seen_total etcd_server_proposals_failed_total
etcd_server_proposals_pending etcd_server_proposals_committed_total etcd_server_slow_apply_total
etcd_server_proposals_applied_total etcd_server_quota_backend_bytes etcd_server_is_leader
etcd_server_slow_read_indexes_total etcd_server_read_indexes_failed_total etcd_server_is_learner
etcd_server_health_success etcd_server_health_failures etcd_mvcc_db_total_size_in_bytes
etcd_mvcc_db_total_size_in_use_in_bytes etcd_debugging_mvcc_db_total_size_in_bytes
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} etcd_disk_wal_write_bytes_total
etcd_disk_backend_commit_duration_seconds_bucket{le="8.192"} etcd_disk_defrag_inflight
etcd_disk_backend_defrag_duration_seconds_bucket{le="0.1"} etcd_mvcc_put_total
etcd_mvcc_delete_total etcd_mvcc_txn_total etcd_mvcc_range_total etcd_debugging_mvcc_keys_total
etcd_debugging_mvcc_watcher_total etcd_debugging_mvcc_watch_stream_total
etcd_debugging_mvcc_slow_watcher_total etcd_debugging_mvcc_events_total
etcd_debugging_mvcc_current_revision etcd_debugging_mvcc_compact_revision
etcd_debugging_mvcc_total_put_size_in_bytes etcd_debugging_mvcc_db_compaction_keys_total
etcd_debugging_lease_granted_total etcd_debugging_lease_revoked_total
etcd_debugging_lease_renewed_total etcd_debugging_server_lease_expired_total
etcd_network_client_grpc_received_bytes_total etcd_network_client_grpc_sent_bytes_total
process_resident_memory_bytes process_virtual_memory_bytes process_cpu_seconds_total
process_open_fds process_max_fds process_start_time_seconds os_fd_used os_fd_limit
""".split()


def test_metrics_of_dashboards(binary):
    with Cluster([binary, 'serve']) as cluster:
        for number in range(5):
            etcdctl(cluster.nodes[number % 3].endpoint, 'put', f'k{number}', 'v')
        etcdctl(cluster.nodes[0].endpoint, 'lease', 'grant', '60')
        for node in cluster.nodes:
            figures = metrics(node)
            missing = [name for name in DASHBOARD if name not in figures]
            expect(not missing, f'missing: {missing}')
            expect(figures['etcd_server_has_leader'] == 1, 'there is a leader')
            expect_soon(lambda node=node: metrics(node)['etcd_mvcc_put_total'] == 5,
                        'what is applied is counted on every member')
            for name in ('etcd_disk_wal_fsync_duration_seconds',
                         'etcd_disk_backend_commit_duration_seconds'):
                counts = [value for key, value in figures.items()
                          if key.startswith(name + '_bucket')]
                expect(len(counts) == 15 and counts == sorted(counts), f'{name}: {counts}')
                expect(counts[-1] == figures[name + '_count'] > 0, f'{name}: {counts}')
                expect(figures[name + '_sum'] > 0, name)
            for name in ('etcd_network_active_peers', 'etcd_network_known_peers'):
                expect(sum(key.startswith(name + '{') for key in figures) == 2, name)
            for name in ('etcd_network_peer_sent_bytes_total{To="',
                         'etcd_network_peer_received_bytes_total{From="'):
                counts = [value for key, value in figures.items() if key.startswith(name)]
                expect(len(counts) == 2 and min(counts) > 0, f'{name}: {counts}')
        puts = [value for node in cluster.nodes for key, value in metrics(node).items()
                if key.startswith('grpc_server_handled_total{grpc_code="OK",grpc_method="Put"')]
        expect(sum(puts) == 5 and len(puts) == 3, f'each was handled by one member: {puts}')
