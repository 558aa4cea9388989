"""Debian's etcdctl against Debian's etcd and against Quorate: one member and three, TLS on and off,
auth on and off.

Both clusters are made alike, get the same commands, and have to say the same. `compat` and `auth`
have the long lists in plain text; here every command of etcdctl is run at least once, also those
that wait (`watch`, `lock`, `elect`, `make-mirror`). Left out: `check`, whose output is a measurement
(tests/e2e/control.py runs it), and `migrate`, which reads the files of an etcd 2.
"""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import time

from auth import ENABLED, SETUP
from cluster import Cluster, Skip, clean_environment, expect
from compat import MATRIX, errors_only, normal
from tls import SecureCluster

ROOT = ['--user', 'root:rp']
LINES_SECONDS_MAX = 40

# {lease}: the id that was granted last; {file}: a file of the side; {leader}, {follower}: members.
# A number in front: the command waits, and is ended when it has said so many lines; 0: it ends by
# itself; MIRRORED: when its keys are there.
MIRRORED = -1
WHOLE = [
    ['version'],
    ['endpoint', 'hashkv'],
    ['endpoint', 'hashkv', '--cluster', '-w', 'json'],
    ['endpoint', 'health'],
    ['endpoint', 'health', '--cluster', '-w', 'json'],
    ['endpoint', 'status'],
    ['endpoint', 'status', '--cluster', '-w', 'json'],
    ['endpoint', 'status', '-w', 'table'],
    ['member', 'list'],
    ['member', 'list', '-w', 'json'],
    ['member', 'list', '-w', 'table'],
    ['alarm', 'list'],
    ['alarm', 'disarm'],
    ['put', 'w/1', 'one'],
    ['put', 'w/2', 'two'],
    (['txn'], '\nput w/1 both\nput w/3 both\n\n\n'),
    ['del', 'w/2'],
    (6, ['watch', 'a', '--rev=13']),
    (15, ['watch', 'w/', '--prefix', '--rev=13']),
    (18, ['watch', 'w/', '--prefix', '--rev=13', '--prev-kv']),
    (1, ['watch', 'w/1', '--rev=13', '-w', 'json']),
    (4, ['watch', 'w/1', '--rev=13', '--', 'sh', '-c', 'echo $ETCD_WATCH_KEY']),
    ((3, ['watch', '-i']), 'watch w/2 --rev=13\n'),
    (0, ['watch', 'a', '--rev=3']),  # compacted
    ['lease', 'grant', '600'],
    ['put', 'leased', 'v', '--lease={lease}'],
    ['lease', 'timetolive', '{lease}'],
    ['lease', 'timetolive', '{lease}', '--keys'],
    ['lease', 'list'],
    ['lease', 'keep-alive', '--once', '{lease}'],
    (1, ['lease', 'keep-alive', '{lease}']),
    ['get', 'leased', '-w', 'fields'],
    ['lease', 'revoke', '{lease}'],
    ['lease', 'revoke', '{lease}'],
    ['get', 'leased'],
    ['lock', 'mutex', 'echo', 'locked'],
    ['lock', 'mutex', '--ttl=20', 'sh', '-c', 'exit 3'],
    (1, ['lock', 'mutex']),
    (2, ['elect', 'office', 'me']),
    ['get', 'mutex', '--prefix', '--keys-only'],
    ['defrag'],
    ['defrag', '--cluster'],
    ['snapshot', 'save', '{file}'],
    ['snapshot', 'status', '{file}'],
    ['snapshot', 'status', '{file}-not-there'],
    ['compaction', '15'],
    ['get', 'w/1', '--rev=14'],
    ['move-leader', '{leader}'],
    ['move-leader', '{follower}'],
    ['put'],
    ['get'],
    ['del'],
    ['nonsense'],
    ['get', 'a', '--nonsense'],
    ['get', 'a', '-w', 'nonsense'],
]
# Debian's etcdctl has no flag for the user at the other end.
MIRROR = [
    (MIRRORED, ['make-mirror', '--prefix', 'w/', '--dest-prefix', 'mirror/', '{tls}', '{endpoint}']),
    ['get', 'mirror/', '--prefix'],
]
# With auth on, also these: of somebody unknown, and of nobody (whom a certificate may name).
STRANGERS = [
    ['get', 'a'],
    ['put', 'a', 'b'],
    ['--user', 'root:wrong', 'get', 'a'],
    ['--user', 'alice:x', 'get', 'a'],
    ['--user', 'alice', '--password', 'x', 'get', 'a'],
    ['--user', 'root', '--password', 'rp', 'get', 'a'],
    ['member', 'remove', '1'],
    ['auth', 'disable'],
    (0, ['watch', 'a']),
]


def narrow(line):
    """A line of a table, whose columns are as wide as what is in them."""
    if line.startswith('+-'):
        return re.sub('-+', '-', line)
    return re.sub(r' *\| *', ' | ', line) if line.startswith('|') else line


class PlainSide:
    cluster_type = Cluster

    def __init__(self, command, size, auth):
        self.cluster = self.cluster_type(command, size=size)
        self.auth = auth
        self.lease = '0'
        self.names = {}

    def environment(self):
        return {}

    def mirror_flags(self):
        return []

    def words(self, step, number):
        """The words of a command at one of the members, in turn."""
        size = len(self.cluster.nodes)
        node = self.cluster.nodes[number % size]
        if '{leader}' in step or '{follower}' in step:
            self.learn_members()
            node = self.cluster.node(self.leader_name)
        file = os.path.join(self.cluster.directory, 'snapshot.db')
        filled = [word.replace('{lease}', self.lease).replace('{file}', file)
                  .replace('{leader}', self.names.get('leader', '1'))
                  .replace('{follower}', self.names.get('follower', '2'))
                  .replace('{endpoint}', node.endpoint) for word in step]
        if '{tls}' in filled:
            at = filled.index('{tls}')
            filled[at:at + 1] = self.mirror_flags()
        return ['etcdctl', '--endpoints', node.endpoint, *filled]

    def run(self, words, given=''):
        return subprocess.run(words, capture_output=True, text=True, timeout=60, input=given,
                              errors='replace',
                              env=clean_environment(ETCDCTL_API='3', **self.environment()))

    def learn_members(self):
        own = ROOT if self.auth else []
        self.names = {'follower': '2'}
        for node in self.cluster.nodes:
            done = self.run(['etcdctl', '--endpoints', node.endpoint, *own, 'endpoint', 'status'])
            _, identity, _, _, leads, *_ = done.stdout.split(', ')
            self.names['leader' if leads == 'true' else 'follower'] = identity
            if leads == 'true':
                self.leader_name = node.name

    def mirrored(self, words):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=clean_environment(ETCDCTL_API='3', **self.environment()))
        try:
            end = time.monotonic() + LINES_SECONDS_MAX
            while time.monotonic() < end and process.poll() is None:
                found = self.run(['etcdctl', '--endpoints', self.cluster.endpoints, 'get',
                                  'mirror/w/3'])
                if found.stdout:
                    return None, '', ''
            process.kill()
            return None, 'not mirrored', process.communicate()[1]
        finally:
            process.kill()
            process.communicate()

    def lines(self, words, count, given):
        """What a command that waits has said when it has said so many lines; 0: until it ends."""
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   stdin=subprocess.PIPE, text=True, errors='replace',
                                   env=clean_environment(ETCDCTL_API='3', **self.environment()))
        timer = concurrent.futures.ThreadPoolExecutor(1)
        try:
            process.stdin.write(given)
            process.stdin.flush()
            if count == 0:
                said, errors = process.communicate(timeout=LINES_SECONDS_MAX)
                return process.returncode, said, errors_only(errors)
            reading = timer.submit(lambda: [process.stdout.readline() for _ in range(count)])
            said = reading.result(timeout=LINES_SECONDS_MAX)
            return None, ''.join(said), ''
        except (subprocess.TimeoutExpired, concurrent.futures.TimeoutError):
            return None, f'not {count} lines in {LINES_SECONDS_MAX} s', ''
        finally:
            process.kill()
            process.communicate()
            timer.shutdown()

    def same(self, text):
        """Without what must differ: ids, times, sizes, addresses."""
        for node in self.cluster.nodes:
            text = text.replace(node.peer_url, f'<peer {node.name}>')
            text = text.replace(f'http://{node.endpoint}', f'<client {node.name}>')
            text = text.replace(node.endpoint, f'<client {node.name}>')
        text = normal(text.replace(self.cluster.directory, '<directory>'))
        text = re.sub(r'"(ID|cluster_id|member_id|raft_term|leader|raftIndex|raftAppliedIndex|raftTerm'
                      r'|dbSize|dbSizeInUse)":\d+', r'"\1":0', text)
        text = re.sub(r'"Lease" : \d{4,}', '"Lease" : <id>', text)
        text = re.sub(r'"version":"[\d.]+"', '"version":"any"', text)
        text = re.sub(r'(took = |"took":")[\d.]+\w+', r'\1<time>', text)
        text = re.sub(r'remaining\(\d+s\)', 'remaining(<time>)', text)
        text = re.sub(r'\b[0-9a-f]{12,16}\b', '<id>', text)  # without its leading zeros
        return '\n'.join(narrow(line) for line in text.split('\n'))

    def status(self, text):
        """Endpoint status: the places of what must differ, whatever the form."""
        text = re.sub(r'(<id>|\|), [\d.]+, [\d.]+ \w?B', r'\1, <version>, <size>', text)
        text = re.sub(r', (true|false), false, \d+, \d+, \d+, ', r', <leads>, false, <log>, ', text)
        if text.startswith('+'):
            rows = [[cell.strip() for cell in line.split('|')] for line in text.splitlines()
                    if line.startswith('|')]
            return str([row[:2] + row[6:7] + row[-2:] for row in rows])
        return text

    def outcome(self, step, number):
        given = ''
        if isinstance(step, tuple) and isinstance(step[1], str):
            step, given = step
        count = None
        if isinstance(step, tuple):
            count, step = step
        if 'hashkv' in step:  # of what each member has applied, which shall be everything
            for node in self.cluster.nodes:
                self.run(['etcdctl', '--endpoints', node.endpoint, *(ROOT if self.auth else []), 'get',
                          'a'])
        words = self.words(step, number)
        if count == MIRRORED:
            code, said, errors = self.mirrored(words)
        elif count is not None:
            code, said, errors = self.lines(words, count, given)
        else:
            done = self.run(words, given)
            code, said, errors = done.returncode, done.stdout, errors_only(done.stderr)
            if 'endpoint' in step or 'defrag' in step:  # these log what they found
                said += '\n'.join(line for line in done.stderr.splitlines() if line[:1] != '{')
        granted = re.match(r'lease (\w+) granted', said)
        if granted:
            self.lease = granted[1]
        said, errors = self.same(said), self.same(errors)
        if 'status' in step and 'endpoint' in step:
            said = self.status(said)
        if 'snapshot' in step and 'status' in step:
            said = re.sub(r'^\w+, (\d+), \d+, .*', r'<hash>, \1, <keys>, <size>', said)
        if '--cluster' in step or step[-2:] == ['member', 'list'] or 'list' in step:
            said = order(said)
        return code, said, errors


def sorted_lists(value):
    if isinstance(value, dict):
        return {name: sorted_lists(each) for name, each in value.items()}
    if isinstance(value, list):
        return sorted((sorted_lists(each) for each in value), key=str)
    return value


def order(text):
    """Members come by their ids, which are random."""
    if text.startswith(('{', '[')):
        return json.dumps(sorted_lists(json.loads(text)))
    return '\n'.join(sorted(text.splitlines()))


class SecureSide(PlainSide):
    cluster_type = SecureCluster

    def environment(self):
        certificate, key = self.cluster.alice
        return {'ETCDCTL_CACERT': self.cluster.authority.certificate, 'ETCDCTL_CERT': certificate,
                'ETCDCTL_KEY': key}

    def mirror_flags(self):
        certificate, key = self.cluster.alice
        return ['--dest-cacert', self.cluster.authority.certificate, '--dest-cert', certificate,
                '--dest-key', key, '--dest-insecure-transport=false']


def with_user(step, user):
    """The same step in the name of somebody."""
    if isinstance(step, list):
        return [*user, *step]
    return tuple(with_user(part, user) if isinstance(part, (list, tuple)) else part
                 for part in step)


def steps_of(tls, auth):
    steps = MATRIX + WHOLE
    if not auth:
        return steps + MIRROR
    if not tls:
        # For these Debian's etcdctl asks for the members as nobody, to whom Quorate says nothing
        # (docs/etcd-differences.md); by TLS its certificate names somebody.
        steps = [step for step in steps if '--cluster' not in step]
    alice = [['--user', 'root:rp', 'user', 'add', 'alice', '--no-password']]
    return ([['user', 'add', 'root:rp'], ['auth', 'enable']] + STRANGERS + (alice if tls else []) +
            [with_user(step, ROOT) for step in steps] + STRANGERS)


def all_of(side, steps):
    with side.cluster:
        return [side.outcome(step, number) for number, step in enumerate(steps)]


def compare(binary, steps, size, tls, auth):
    if not shutil.which('etcd') or not shutil.which('etcdctl'):
        raise Skip('etcd-server and etcd-client are not installed')
    make = SecureSide if tls else PlainSide
    sides = [make(command, size, auth) for command in (['etcd'], [binary, 'serve'])]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wanted, got = pool.map(lambda side: all_of(side, steps), sides)
    differences = [f'{step}\n    etcd:    {one}\n    quorate: {other}'
                   for step, one, other in zip(steps, wanted, got) if one != other]
    expect(not differences, f'{len(differences)} of {len(steps)} differ:\n  ' +
           '\n  '.join(differences))


def compare_users(binary, size):
    """The long list about users and roles (auth.py), by TLS."""
    compare(binary, SETUP + ENABLED, size, tls=True, auth=False)


def test_one_member_tls_and_auth(binary):
    compare(binary, steps_of(True, True), 1, tls=True, auth=True)


def test_three_members_tls_and_auth(binary):
    compare(binary, steps_of(True, True), 3, tls=True, auth=True)
