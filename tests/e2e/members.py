"""Changes of membership on live clusters of real processes, with Debian's etcdctl and ours."""
import json
import re
import subprocess
import tempfile
import threading
import time

from cluster import Cluster, Failure, Node, clean_environment, etcdctl, expect, expect_in, run
from main_job import row_hash

RELAXED = ['--strict-reconfig-check=false']


class LateNode(Node):
    """One that was added to a running cluster."""
    initial = None

    def flags(self):
        flags = super().flags()
        if self.initial:
            flags[flags.index('--initial-cluster') + 1] = self.initial
        return flags + ['--initial-cluster-state', 'existing']


def eventually(condition, what, patience=60):
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise Failure(f'{what}: not after {patience} s')
        time.sleep(0.05)


def members(cluster):
    """{name or peer port: (id, is learner)} as a member lists them; learners do not."""
    for node in cluster.nodes:
        done = etcdctl(node.endpoint, 'member', 'list')
        if done.returncode == 0:
            break
    expect(done.returncode == 0, f'member list: {done.stderr[-500:]}')
    found = {}
    for line in done.stdout.splitlines():
        identity, _, name, peers, _, learner = line.split(', ')
        found[name or peers.rsplit(':', 1)[1]] = (identity, learner == 'true')
    return found


def add(cluster, node, *more):
    """etcdctl's member add: what it prints is all that the new member needs."""
    done = etcdctl(cluster.endpoints, 'member', 'add', node.name, '--peer-urls=' + node.peer_url,
                   *more)
    expect(done.returncode == 0, f'member add: {done.stderr[-500:]}')
    expect_in('ETCD_INITIAL_CLUSTER_STATE="existing"', done.stdout, 'member add')
    node.initial = re.search(r'ETCD_INITIAL_CLUSTER="(.*)"', done.stdout).group(1)


def late(cluster, number):
    """A node that is not started yet; its ports and name are known."""
    return LateNode(cluster, number)


def start(cluster, node):
    node.start()
    cluster.nodes.append(node)
    cluster.wait_ready(30)


def gone(cluster, node):
    """It ends by itself, as etcd does, and leaves the list of those that run."""
    try:
        code = node.process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        raise Failure(f'{node.name} was removed and still runs: {node.log()[-800:]}')
    expect(code == 0, f'{node.name} ended with {code}')
    expect_in('the member has been permanently removed from the cluster',
              '\n'.join(node.log().splitlines()[-40:]), node.name)
    cluster.nodes.remove(node)


def remove(cluster, node, via=None):
    identity = members(cluster)[node.name][0]
    done = etcdctl((via or node).endpoint, 'member', 'remove', identity)
    expect(done.returncode == 0 and 'removed from cluster' in done.stdout,
           f'removing {node.name}: {done.stdout}{done.stderr[-500:]}')
    gone(cluster, node)


class Load:
    """Writes key after key through all endpoints, from the first to the last line of the story;
    what was acknowledged is known exactly, for each key is written once."""

    def __init__(self, binary, endpoints, rate=400, keys=200000):
        self.source = tempfile.NamedTemporaryFile('w')
        self.lines = [f'load/{number:06}\tvalue-{number}' for number in range(keys)]
        self.acknowledged = []
        self.errors = []
        self.longest = 0.0
        self.stopping = False
        self.rate = rate
        self.binary = binary
        self.endpoints = endpoints

    def __enter__(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join(timeout=60)

    def run(self):
        """In batches, so that it can be told to stop between two of them."""
        size = max(1, self.rate // 4)
        for start_at in range(0, len(self.lines), size):
            if self.stopping:
                return
            batch = self.lines[start_at:start_at + size]
            began = time.monotonic()
            done = subprocess.run(
                [self.binary, '--endpoints', self.endpoints, '--timeout', '30', 'put',
                 '--from-file', '-', '--retry-unknown'], input='\n'.join(batch) + '\n',
                capture_output=True, text=True, timeout=120, env=clean_environment())
            if done.returncode != 0:
                self.errors.append(done.stderr[-300:])
                return
            self.acknowledged += batch
            took = time.monotonic() - began
            self.longest = max(self.longest, took)
            if took < 0.25:
                time.sleep(0.25 - took)

    def verify(self, cluster):
        expect(not self.errors, f'the load ended early: {self.errors}')
        expect(len(self.acknowledged) > 200, f'only {len(self.acknowledged)} keys were written')
        wanted = dict(line.split('\t') for line in self.acknowledged)
        end = time.monotonic() + 60
        while True:
            rows = {node.name: cluster.rows(node) for node in cluster.nodes}
            hashes = {row_hash(each) for each in rows.values()}
            if len(hashes) == 1 or time.monotonic() > end:
                break
            time.sleep(0.2)
        for name, each in rows.items():
            found = {pair['key']: pair['value'] for pair in each['kvs']}
            lost = [key for key in wanted if found.get(key) != wanted[key]]
            expect(not lost, f'{name} lost {len(lost)} acknowledged keys, such as {lost[:3]}')
        expect(len(hashes) == 1, 'members differ')


def everywhere(cluster, *more):
    return ','.join(node.endpoint for node in cluster.nodes + list(more))


def replace_with_ours(binary, cluster, leaving, incoming):
    """quorate member replace, which waits for the new member while we start it."""
    client = subprocess.Popen(
        [binary, '--endpoints', cluster.endpoints, 'member', 'replace', leaving.name,
         incoming.name, incoming.peer_url, '--wait', '60'], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=clean_environment())
    try:
        eventually(lambda: str(incoming.peer_port) in members(cluster), 'the learner is added')
        # Who else belongs may be said incompletely: it is enough to ask one of them.
        incoming.initial = (f'{incoming.name}={incoming.peer_url},'
                            f'{cluster.nodes[0].name}={cluster.nodes[0].peer_url}')
        incoming.start()
        output, progress = client.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        client.kill()
        raise Failure('replace did not end')
    finally:
        client.kill()
    expect(client.returncode == 0, f'replace: {progress}')
    expect_in('waiting for', progress, 'progress of replace')
    expect_in('took the place of', output, 'replace')
    cluster.nodes.append(incoming)


def test_every_change_under_load(binary):
    with Cluster([binary, 'serve'], extra_flags=RELAXED) as cluster:
        n4, n5 = late(cluster, 3), late(cluster, 4)
        with Load(binary, everywhere(cluster, n4, n5)) as load:
            # A learner joins, catches up, is promoted.
            add(cluster, n4, '--learner')
            start(cluster, n4)
            identity = members(cluster)['n4'][0]
            expect(members(cluster)['n4'][1], 'it is shown as a learner')
            done = etcdctl(n4.endpoint, 'get', 'load/000000')
            expect_in('rpc not supported for learner', done.stderr, 'reading from a learner')
            eventually(lambda: etcdctl(cluster.nodes[0].endpoint, 'member', 'promote',
                                       identity).returncode == 0, 'promotion')
            expect(not members(cluster)['n4'][1], 'it is shown as a voter')
            done = etcdctl(n4.endpoint, 'get', 'load/000000')
            expect(done.returncode == 0, 'a promoted member serves')
            # The leader moves to the new member, and that one is removed while it leads.
            done = etcdctl(cluster.endpoints, 'move-leader', identity)
            expect(done.returncode == 0 and 'Leadership transferred' in done.stdout,
                   f'move-leader: {done.stderr[-300:]}')
            expect(cluster.leader() is n4, 'n4 leads')
            remove(cluster, n4)
            # A member that cannot be reached costs nothing and is taken back.
            done = etcdctl(cluster.endpoints, 'member', 'add', 'nobody',
                           '--peer-urls=http://127.0.0.1:1')
            expect(done.returncode == 0, f'adding an unreachable member: {done.stderr[-300:]}')
            added = members(cluster)['1']
            expect(not added[1], 'shown as a voter, as it was asked for')
            done = etcdctl(cluster.endpoints, 'member', 'remove', added[0])
            expect(done.returncode == 0, f'removing it again: {done.stderr[-300:]}')
            # One is replaced in one step while another is down.
            n1, n2, n3 = cluster.nodes
            n3.kill()
            cluster.nodes.remove(n3)
            replace_with_ours(binary, cluster, n2, n5)
            gone(cluster, n2)
            n3.start()
            cluster.nodes.append(n3)
            cluster.wait_ready(30)
            # The removed one learns it again when it is started with its old data.
            n2.start()
            cluster.nodes.append(n2)
            gone(cluster, n2)
        expect(sorted(members(cluster)) == ['n1', 'n3', 'n5'], str(members(cluster)))
        load.verify(cluster)
        print(f'        {len(load.acknowledged)} keys written meanwhile; the slowest hundred took '
              f'{load.longest:.2f} s')


def test_grow_to_five_and_shrink_to_one(binary):
    with Cluster([binary, 'serve'], size=1, extra_flags=RELAXED) as cluster:
        nodes = [late(cluster, number) for number in range(1, 5)]
        with Load(binary, everywhere(cluster, *nodes)) as load:
            for node in nodes:
                add(cluster, node)
                start(cluster, node)
                eventually(lambda: 'a new member has caught up' in
                           ''.join(each.log() for each in cluster.nodes), 'its vote')
            expect(len(members(cluster)) == 5, str(members(cluster)))
            statuses = json.loads(run([binary, '--endpoints', cluster.endpoints, '--json',
                                       'status']).stdout)
            expect(len({each['leader'] for each in statuses}) == 1, str(statuses))
            for _ in range(4):
                # The leader every other time, through itself; else one through another.
                leader = cluster.leader()
                others = [node for node in cluster.nodes if node is not leader]
                if len(cluster.nodes) % 2:
                    remove(cluster, leader)
                else:
                    remove(cluster, others[0], via=leader)
                cluster.wait_ready()
        load.verify(cluster)
        expect(len(members(cluster)) == 1, str(members(cluster)))
        print(f'        {len(load.acknowledged)} keys written meanwhile; the slowest hundred took '
              f'{load.longest:.2f} s')


def refuses_to_start(node, sentence):
    node.start()
    try:
        code = node.process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        raise Failure(f'{node.name} started: {node.log()[-500:]}')
    expect(code == 1, f'{node.name} ended with {code}: {node.log()[-500:]}')
    expect_in(sentence, node.log(), node.name)


def test_who_may_join(binary):
    with Cluster([binary, 'serve'], extra_flags=RELAXED) as cluster:
        stranger = late(cluster, 3)
        stranger.initial = f'{stranger.name}={stranger.peer_url},{cluster.initial_cluster()}'
        refuses_to_start(stranger, 'was added to the cluster')
        expect_in('member add', stranger.log(), 'what to do next')
        alone = late(cluster, 4)
        alone.initial = f'{alone.name}={alone.peer_url}'
        refuses_to_start(alone, 'needs the other members')
        # A member that lost its data and does not say so by its flags, or says it.
        victim = cluster.nodes[0]
        victim.kill()
        victim.wipe()
        victim.start()
        cluster.wait_ready(30)
        # Added, started, wiped, started again: the same member as before.
        n4 = late(cluster, 5)
        add(cluster, n4)
        start(cluster, n4)
        before = members(cluster)[n4.name]
        # Serving comes before the vote; killed in between it would only be admitted once.
        eventually(lambda: 'admitted: this member takes part' in n4.log(), 'admission')
        n4.kill()
        n4.wipe()
        n4.start()
        cluster.wait_ready(30)
        expect(members(cluster)[n4.name] == before, 'another member than before')
        eventually(lambda: n4.log().count('admitted: this member takes part') == 2, 're-admission')
        # Removed and added again at the same place, it is somebody else.
        remove(cluster, n4, via=cluster.nodes[0])
        add(cluster, n4)
        n4.start()
        cluster.nodes.append(n4)
        gone(cluster, n4)  # with its old data it is still the one that was removed
        n4.wipe()
        start(cluster, n4)
        expect(members(cluster)[n4.name][0] != before[0], 'the id of a removed member came again')
        # A restart needs no memory of how it joined.
        n4.terminate()
        n4.initial = f'{n4.name}={n4.peer_url}'
        n4.start()
        cluster.wait_ready(30)
        done = etcdctl(n4.endpoint, 'put', 'served', 'by n4')
        expect(done.returncode == 0, done.stderr)
        # Its peer URL moves: told to the others first, then its own flags follow.
        old_port = n4.peer_port
        moved = late(cluster, 6)
        done = run([binary, '--endpoints', cluster.endpoints, 'member', 'update', n4.name,
                    moved.peer_url])
        expect(done.returncode == 0, done.stderr)
        n4.terminate()
        n4.peer_port = moved.peer_port
        n4.initial = f'{n4.name}={n4.peer_url}'
        n4.start()
        cluster.wait_ready(30)
        expect_in(str(n4.peer_port), etcdctl(cluster.endpoints, 'member', 'list').stdout, 'the list')
        expect(n4.peer_port != old_port, 'the port moved')


def test_member_commands_of_ours(binary):
    def ours(*arguments):
        return run([binary, '--endpoints', cluster.endpoints, *arguments])

    with Cluster([binary, 'serve'], extra_flags=RELAXED) as cluster:
        done = ours('member', 'add', 'n9', 'http://127.0.0.1:1')
        expect(done.returncode == 0, done.stderr)
        expect_in('quorate serve --name n9', done.stdout, 'how to start it')
        expect_in('--initial-cluster-state existing', done.stdout, 'how to start it')
        listed = json.loads(ours('--json', 'member', 'list').stdout)
        added = next(each for each in listed if each['peer_urls'] == ['http://127.0.0.1:1'])
        done = ours('member', 'promote', added['id'])
        expect(done.returncode == 1, f'promoting one that never came: {done.returncode}')
        expect_in('in sync with leader', done.stderr, 'promoting one that never came')
        done = ours('member', 'remove', added['id'])
        expect(done.returncode == 0 and 'removed member' in done.stdout, done.stderr)
        for arguments in (['remove', 'nobody'], ['promote', 'abc'], ['update', 'x', 'http://a:1'],
                          ['replace', 'x', 'n9', 'http://a:1']):
            done = ours('member', *arguments)
            expect(done.returncode == 1, f'{arguments}: {done.returncode}')
            expect_in('has no member', done.stderr, str(arguments))
        done = ours('member', 'add', 'n9', '127.0.0.1:1')
        expect(done.returncode == 2, f'a URL without scheme: {done.returncode}')
        done = ours('member', 'add', 'n9', cluster.nodes[0].peer_url)
        expect(done.returncode == 1, f'a taken URL: {done.returncode}')
        expect_in('Peer URLs already exists', done.stderr, 'a taken URL')
        added = json.loads(ours('--json', 'member', 'add', 'n9', 'http://127.0.0.1:1',
                                '--learner').stdout)
        expect(added['member']['learner'], str(added))
        expect_in('n9=http://127.0.0.1:1', added['initial_cluster'], 'initial cluster')
        done = ours('member', 'replace', 'n1', 'n9', 'http://127.0.0.1:1', '--wait', '1')
        expect(done.returncode == 3, f'a replacement that never comes: {done.returncode}')
        expect_in('nothing was replaced', done.stderr, 'a replacement that never comes')
        ours('member', 'remove', added['member']['id'])
        leader = cluster.leader()
        other = next(node for node in cluster.nodes if node is not leader)
        # Through one that does not lead: it finds the leader itself.
        done = run([binary, '--endpoints', other.endpoint, 'move-leader', other.name])
        expect(done.returncode == 0 and 'leadership moved' in done.stdout, done.stderr)
        expect(cluster.leader() is other, 'the leader')


def test_strict_reconfig_check(binary):
    with Cluster([binary, 'serve']) as cluster:
        time.sleep(6)  # etcd's health interval is 5 s
        leader = cluster.leader()
        follower = next(node for node in cluster.nodes if node is not leader)
        follower.kill()
        done = etcdctl(leader.endpoint, 'member', 'add', 'n9', '--peer-urls=http://127.0.0.1:1')
        expect(done.returncode == 1, f'add with one down: {done.returncode}')
        expect_in('etcdserver: unhealthy cluster', done.stderr, 'add with one down')
        identity = members(cluster)
        healthy = next(node for node in cluster.nodes if node.alive() and node is not leader)
        done = etcdctl(leader.endpoint, 'member', 'remove', identity[healthy.name][0])
        expect(done.returncode == 1, f'removing one of two: {done.returncode}')
        expect_in('etcdserver: unhealthy cluster', done.stderr, 'removing one of two')
        done = etcdctl(leader.endpoint, 'member', 'remove', identity[follower.name][0])
        expect(done.returncode == 0, f'removing the one that is down: {done.stderr[-300:]}')
