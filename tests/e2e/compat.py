"""Debian's etcdctl against Quorate and against Debian's etcd: same input, same output."""
import re
import shutil
import time

from cluster import Cluster, Skip, etcdctl, expect

# Each is a list of arguments, or (arguments, stdin). Run in order against both.
MATRIX = [
    ['get', 'nothing'],
    ['lease', 'list'],
    ['lease', 'revoke', '1234'],
    ['lease', 'timetolive', '1234'],
    ['lease', 'timetolive', '1234', '--keys', '-w', 'json'],
    ['lease', 'keep-alive', '--once', '1234'],
    ['lease', 'grant', '9000000001'],
    ['put', 'a', '0', '--lease=1234'],
    ['put', 'a', '1'],
    ['put', 'a', '2'],
    ['put', 'a', '3', '--prev-kv'],
    ['put', 'b', 'two words'],
    ['put', 'dir/1', 'x'],
    ['put', 'dir/2', 'w'],
    ['put', 'dir/3', 'y'],
    ['put', 'dir/2', 'z'],
    ['put', 'empty', ''],
    ['put', 'absent', '--ignore-value'],
    ['put', 'b', '--ignore-value'],
    (['put', 'stdin'], 'read from\nstdin'),
    ['get', 'a'],
    ['get', 'a', '-w', 'json'],
    ['get', 'a', '-w', 'fields'],
    ['get', 'a', '--print-value-only'],
    ['get', 'a', '--hex'],
    ['get', 'dir/', '--prefix'],
    ['get', 'dir/', '--prefix', '--keys-only'],
    ['get', 'dir/', '--prefix', '--limit=2'],
    ['get', 'dir/', '--prefix', '--limit=2', '-w', 'json'],
    ['get', 'dir/', '--prefix', '--order=DESCEND'],
    ['get', 'dir/', '--prefix', '--order=ASCEND', '--sort-by=VALUE'],
    ['get', 'dir/', '--prefix', '--order=DESCEND', '--sort-by=MODIFY'],
    ['get', 'dir/', '--prefix', '--order=DESCEND', '--sort-by=CREATE', '--limit=1'],
    ['get', 'dir/', '--prefix', '--sort-by=VERSION'],
    ['get', 'dir/', '--prefix', '--sort-by=KEY', '--order=DESCEND'],
    ['get', 'a', 'dir/2'],
    ['get', 'dir/2', '--from-key'],
    ['get', '', '--prefix', '-w', 'json'],
    ['get', '', '--from-key', '--keys-only'],
    ['get', 'a', '--rev=2'],
    ['get', 'a', '--rev=3', '-w', 'json'],
    ['get', 'a', '--rev=1'],
    ['get', 'a', '--rev=1000'],
    ['get', 'a', '--consistency=s'],
    ['get', 'a', '--consistency=l'],
    ['get', 'z', 'a'],
    ['del', 'nothing'],
    ['del', 'empty'],
    ['del', 'dir/1', '--prev-kv'],
    ['del', 'dir/', '--prefix', '--prev-kv'],
    ['get', 'dir/', '--prefix'],
    ['get', 'dir/', '--prefix', '--rev=8'],
    ['put', 'dir/1', 'again'],
    ['get', 'dir/1', '-w', 'json'],
    (['txn'], 'mod("a") > "0"\n\nput a "in txn"\nget a\nput c new\n\nput d other\n\n'),
    (['txn'], 'value("a") = "wrong"\n\nput a no\n\nget a\ndel c\nget c\n\n'),
    (['txn', '-w', 'json'], 'version("b") > "0"\ncreate("b") > "1"\n\nget a\nget b\n\n\n'),
    (['txn'], '\n\nput twice 1\nput twice 2\n\n\n'),
    (['txn'], '\nput e 1\ndel e\n\n\n'),
    (['txn'], '\nget a --prefix --limit=1\ndel b --prev-kv\n\n\n'),
    ['compaction', '5'],
    ['compaction', '5'],
    ['compaction', '1000'],
    ['get', 'a', '--rev=4'],
    ['get', 'a', '--rev=5'],
    ['compaction', '12', '--physical'],
    ['get', 'a', '--rev=12'],
    ['get', 'a', '-w', 'json'],
    ['del', '', '--prefix'],
    ['get', '', '--prefix', '-w', 'json'],
    ['put', 'a', 'reborn'],
    ['get', 'a', '-w', 'json'],
]


def normal(text):
    """Without what must differ between two clusters: ids, terms, log positions, times."""
    text = re.sub(r'"(cluster_id|member_id|raft_term|raftTerm|raftIndex)":\d+', r'"\1":0', text)
    text = re.sub(r'"(ClusterID|MemberID|RaftTerm)" : \d+', r'"\1" : 0', text)
    return text


def errors_only(text):
    """etcdctl logs retries with time and address; its verdict is in the Error line."""
    return '\n'.join(line for line in text.splitlines() if line.startswith('Error'))


def outcome(endpoints, step):
    arguments, given = step if isinstance(step, tuple) else (step, None)
    done = etcdctl(endpoints, *arguments, input=given or '')
    return done.returncode, normal(done.stdout), errors_only(done.stderr)


def test_etcdctl_matrix_like_etcd(binary):
    if not shutil.which('etcd') or not shutil.which('etcdctl'):
        raise Skip('etcd-server and etcd-client are not installed')
    with Cluster(['etcd'], size=1) as reference, Cluster([binary, 'serve']) as ours:
        differences = []
        for number, step in enumerate(MATRIX):
            wanted = outcome(reference.endpoints, step)
            # Each step at another member: followers must answer like the leader.
            got = outcome(ours.nodes[number % 3].endpoint, step)
            if got != wanted:
                differences.append(f'{step}\n    etcd:    {wanted}\n    quorate: {got}')
        expect(not differences, f'{len(differences)} of {len(MATRIX)} differ:\n  ' +
               '\n  '.join(differences))


def test_endpoints_and_members(binary):
    with Cluster([binary, 'serve']) as cluster:
        etcdctl(cluster.endpoints, 'put', 'k', 'v')
        done = etcdctl(cluster.endpoints, 'endpoint', 'health')
        lines = (done.stdout + done.stderr).splitlines()
        healthy = [line for line in lines if re.match(
            r'127\.0\.0\.1:\d+ is healthy: successfully committed proposal: took = [\d.]+.?s$', line)]
        expect(done.returncode == 0 and len(healthy) == 3, f'health: {lines}')
        done = etcdctl(cluster.endpoints, 'endpoint', 'status')
        for line in done.stdout.splitlines():
            expect(re.match(r'127\.0\.0\.1:\d+, [0-9a-f]{8,16}, \d+\.\d+\.\d+, [\d.]+ \w?B, '
                            r'(true|false), false, \d+, \d+, \d+, $', line), f'status: {line}')
        expect(done.stdout.count(' true, false, ') == 1, f'one leader: {done.stdout}')
        done = etcdctl(cluster.endpoints, 'member', 'list')
        for node in cluster.nodes:
            pattern = (rf'^[0-9a-f]+, started, {node.name}, {node.peer_url}, '
                       rf'http://{node.endpoint}, false$')
            expect(re.search(pattern, done.stdout, re.MULTILINE), f'members: {done.stdout}')
        table = etcdctl(cluster.endpoints, 'endpoint', 'status', '-w', 'table').stdout
        expect(table.count('\n') == 7 and table.startswith('+--'), table)


def test_http_paths(binary):
    import urllib.error
    import urllib.request
    with Cluster([binary, 'serve'], size=1) as cluster:
        base = f'http://{cluster.endpoints}'
        health = urllib.request.urlopen(base + '/health', timeout=5).read().decode()
        expect('"health":"true"' in health, health)
        version = urllib.request.urlopen(base + '/version', timeout=5).read().decode()
        expect(re.search(r'"etcdserver":"\d+\.\d+\.\d+"', version), version)
        metrics = urllib.request.urlopen(base + '/metrics', timeout=5).read().decode()
        expect(re.search(r'^etcd_server_has_leader 1$', metrics, re.MULTILINE), metrics[:800])
        try:
            urllib.request.urlopen(base + '/nothing-here', timeout=5)
            expect(False, 'an unknown path was served')
        except urllib.error.HTTPError as error:
            expect(error.code == 404, f'unknown path gave {error.code}')


# {n1} is the id of a member; {:1} that of the member with this peer port, or its last one.
MEMBERS_MATRIX = [
    ['member', 'list'],
    ['member', 'list', '-w', 'json'],
    ['member', 'add', 'n5', '--learner', '--peer-urls=http://127.0.0.1:1'],
    ['member', 'add', 'n6', '--learner', '--peer-urls=http://127.0.0.1:2'],
    ['sleep'],  # an id is made of the URLs and the second
    ['member', 'add', 'n6', '--learner', '--peer-urls=http://127.0.0.1:1'],
    ['member', 'add', 'n6', '--peer-urls=http://127.0.0.1:3,http://127.0.0.1:1'],
    ['member', 'add', 'n6', '--peer-urls=nonsense'],
    ['member', 'add', 'n6', '--peer-urls=http://127.0.0.1:3/path'],
    ['member', 'add', 'n6'],
    ['member', 'add'],
    ['member', 'list'],
    ['member', 'list', '-w', 'table'],
    ['member', 'promote', '{n1}'],
    ['member', 'promote', '{:1}'],
    ['member', 'promote', '1234'],
    ['member', 'promote', 'xyz'],
    ['member', 'promote'],
    ['member', 'list', '-w', 'fields'],
    ['move-leader', '{:1}'],
    ['member', 'update', '{:1}', '--peer-urls={url of n1}'],
    # etcd 3.4 makes a learner a voter here, which later versions call a fault and mended.
    ['member', 'update', '{:1}', '--peer-urls=http://127.0.0.1:7'],
    ['member', 'update', '{:7}', '--peer-urls=http://127.0.0.1:7'],
    ['member', 'update', '1234', '--peer-urls=http://127.0.0.1:8'],
    ['member', 'update', '{:7}'],
    ['move-leader', '1234'],
    ['move-leader'],
    ['member', 'remove', '1234'],
    ['member', 'remove', 'xyz'],
    ['member', 'remove', '{:7}', '-w', 'json'],
    ['member', 'remove', '{:7}'],
    ['member', 'add', 'n4', '--peer-urls=http://127.0.0.1:1,http://127.0.0.1:9', '-w', 'json'],
    ['member', 'list'],
    ['member', 'promote', '{:9}'],
    ['member', 'remove', '{:9}'],
    ['member', 'list'],
    ['move-leader', '{n1}'],
    ['move-leader', '{n1}'],
    ['move-leader', '{n2}'],
    ['endpoint', 'status', '-w', 'fields'],
]


class Members:
    """One side of the comparison: fills in ids, and takes out what must differ."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.ids = {}

    def ctl(self, *arguments):
        return etcdctl(self.cluster.endpoints, *arguments)

    def learn(self):
        for line in self.ctl('member', 'list').stdout.splitlines():
            identity, _, name, peers, *_ = line.split(', ')
            self.ids[name or ':' + peers.rsplit(':', 1)[1]] = identity

    def fill(self, text):
        text = re.sub(r'\{url of (n\d)\}', lambda found: self.cluster.node(found[1]).peer_url, text)
        return re.sub(r'\{(n\d|:\d)\}', lambda found: self.ids[found[1]], text)

    def normal(self, text):
        for node in self.cluster.nodes:
            text = text.replace(node.peer_url, f'<peer {node.name}>')
            text = text.replace(node.endpoint, f'<client {node.name}>')
        text = re.sub(r'"(ID|cluster_id|member_id|raft_term)":\d+', r'"\1":0', text)
        text = re.sub(r'"(ID|ClusterID|MemberID|RaftTerm|\w*Leader\w*|\w*Raft\w*|Revision|'
                      r'DBSize\w*|Version)" : \S+', r'"\1" : 0', text)
        text = re.sub(r'\b[0-9a-f]{13,16}\b', '<id>', text)
        text = re.sub(r'(?<=\w) +<id>', ' <id>', text)  # padded: an id may have fewer digits
        text = re.sub(r'\|\s+<id> ', '| <id> ', text)
        text = re.sub(r' +\||-{3,}', lambda found: ' |' if '|' in found[0] else '---', text)
        # The order is that of ids, which are random.
        text = re.sub(r'"members":\[(.*)\]', lambda found: '"members":' +
                      str(sorted(re.findall(r'\{.*?\}', found[1]))), text)
        text = re.sub(r'CLUSTER="(.*)"', lambda found: str(sorted(found[1].split(','))), text)
        return '\n'.join(sorted(text.splitlines()))

    def outcome(self, step):
        if any('{' in argument for argument in step):
            self.learn()
        done = self.ctl(*(self.fill(argument) for argument in step))
        return done.returncode, self.normal(done.stdout), errors_only(done.stderr)


def test_etcdctl_members_like_etcd(binary):
    if not shutil.which('etcd') or not shutil.which('etcdctl'):
        raise Skip('etcd-server and etcd-client are not installed')
    with Cluster(['etcd']) as reference, Cluster([binary, 'serve']) as ours:
        time.sleep(6)  # both change no members before their connections have lasted 5 s
        wanted_side, our_side = Members(reference), Members(ours)
        differences = []
        for step in MEMBERS_MATRIX:
            if step == ['sleep']:
                time.sleep(1.1)
                continue
            wanted = wanted_side.outcome(step)
            got = our_side.outcome(step)
            if got != wanted:
                differences.append(f'{step}\n    etcd:    {wanted}\n    quorate: {got}')
        expect(not differences, f'{len(differences)} of {len(MEMBERS_MATRIX)} differ:\n  ' +
               '\n  '.join(differences))
