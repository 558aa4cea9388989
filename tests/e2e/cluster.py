"""A cluster of real processes on free ports of this machine, for the end-to-end tests."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

LEADER_SECONDS_MAX = 60  # about 1 s, unless the machine is busy with something else


class Failure(Exception):
    """A test's expectation did not hold; the text says which."""


class Skip(Exception):
    """This machine cannot run the test; the text says why."""


def expect(condition, text):
    if not condition:
        raise Failure(text)


def expect_in(part, whole, what):
    if part not in whole:
        raise Failure(f'{what}: expected "{part}" in:\n{whole[-1500:]}')


# Ports for tests: below those that the kernel gives to outgoing connections, so that none of these
# takes one between now and the node's start, or while it is down.
PORTS_FIRST, PORT_BLOCKS, PORTS_EACH = 11000, 200, 100
_blocks = []  # those of this process; tests run beside each other in several
_ports = iter(())


def ports_of_a_block():
    """Those of a block that no other process has: a name that only one can have, until it ends."""
    first = int.from_bytes(os.urandom(2), 'big')
    for number in range(PORT_BLOCKS):
        block = (first + number) % PORT_BLOCKS
        owner = socket.socket(socket.AF_UNIX)
        try:
            owner.bind(f'\0quorate-test-ports-{block}')
        except OSError:
            owner.close()
            continue
        _blocks.append(owner)
        return iter(range(PORTS_FIRST + block * PORTS_EACH, PORTS_FIRST + (block + 1) * PORTS_EACH))
    raise Failure('all ports for tests are taken')


def free_port():
    """A port nobody listens on, and nobody else is given."""
    global _ports
    while True:
        port = next(_ports, None)
        if port is None:
            _ports = ports_of_a_block()
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
        return port


# The protocol of every cluster of this run (tests/e2e/run.py --consensus); empty: the default.
CONSENSUS = os.environ.get('CONSENSUS', '')
# Every member of this run serves its clients on that many threads of their own.
CLIENT_THREADS = os.environ.get('CLIENT_THREADS', '')


def clean_environment(**more):
    kept = {k: v for k, v in os.environ.items()
            if not k.startswith(('ETCD_', 'ETCDCTL_', 'QUORATE_'))}
    if CONSENSUS:
        kept['ETCD_CONSENSUS'] = CONSENSUS
    if CLIENT_THREADS:
        kept['ETCD_CLIENT_THREADS'] = CLIENT_THREADS
    kept.update(more)
    return kept


def run(command, timeout=30, **more):
    return subprocess.run(command, capture_output=True, timeout=timeout, errors='replace',
                          env=clean_environment(ETCDCTL_API='3'), **more)


class Node:
    host = '127.0.0.1'
    prefix = ()  # words before the command, for a member that lives elsewhere

    def __init__(self, cluster, number):
        self.cluster = cluster
        self.name = f'n{number + 1}'
        self.client_port = free_port()
        self.peer_port = free_port()
        self.directory = os.path.join(cluster.directory, self.name)
        self.log_path = os.path.join(cluster.directory, self.name + '.log')
        self.process = None

    @property
    def endpoint(self):
        return f'{self.host}:{self.client_port}'

    @property
    def peer_url(self):
        return f'http://{self.host}:{self.peer_port}'

    @property
    def advertised_peer_url(self):
        return self.peer_url

    def environment(self):
        return clean_environment()

    def flags(self):
        client = f'http://{self.endpoint}'
        return ['--name', self.name, '--data-dir', self.directory,
                '--listen-client-urls', client, '--advertise-client-urls', client,
                '--listen-peer-urls', self.peer_url,
                '--initial-advertise-peer-urls', self.advertised_peer_url,
                '--initial-cluster', self.cluster.initial_cluster(),
                '--initial-cluster-token', self.cluster.token] + self.cluster.extra_flags

    def start(self):
        expect(self.process is None or self.process.poll() is not None, 'node runs already')
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen([*self.prefix, *self.cluster.command, *self.flags()],
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=self.environment(), start_new_session=True)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def terminate(self, patience=30):
        """SIGTERM; returns (exit code, seconds)."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f'{self.name} still ran {patience} s after SIGTERM')
        return code, time.monotonic() - started

    def wipe(self):
        shutil.rmtree(self.directory)

    def log(self):
        with open(self.log_path, errors='replace') as log:
            return log.read()

    def await_log(self, part, what, patience=LEADER_SECONDS_MAX):
        """A client may hear of something before the member has written it down."""
        end = time.monotonic() + patience
        while part not in self.log():
            expect(time.monotonic() < end, f'{what}: expected "{part}" in:\n{self.log()[-1500:]}')
            time.sleep(0.05)

    def alive(self):
        return self.process is not None and self.process.poll() is None


def takes_part(node):
    """A member that lost its data serves before the others have re-admitted it; until then it is
    one of those that a cluster may lose, and killing another one is one too many."""
    life = node.log().rpartition(' starts member ')[2]
    return 'takes part again once' not in life or 'admitted: this member takes part' in life


class Cluster:
    """Use as a context manager. `command` starts one member; the flags are etcd's."""

    observer = ()  # words before the commands that look at members from outside

    def __init__(self, command, size=3, extra_flags=(), keep_directory=None):
        self.command = list(command)
        self.extra_flags = list(extra_flags)
        self.directory = keep_directory or tempfile.mkdtemp(prefix='quorate-e2e-')
        self.token = 'e2e-' + os.path.basename(self.directory)
        self.nodes = [self.make_node(number) for number in range(size)]
        self.founders = list(self.nodes)  # flags stay what they were, whoever comes and goes
        self.client = self.command[0]

    def make_node(self, number):
        return Node(self, number)

    def initial_cluster(self):
        return ','.join(f'{node.name}={node.advertised_peer_url}' for node in self.founders)

    def __enter__(self):
        for node in self.nodes:
            node.start()
        try:
            self.wait_ready()
        except BaseException:
            self.__exit__(Failure, None, None)
            raise
        return self

    def __exit__(self, kind, _value, _trace):
        for node in self.nodes:
            node.kill()
        if kind is not None and kind is not Skip:
            for node in self.nodes:
                print(f'--- log of {node.name}, last lines')
                print('\n'.join(node.log().splitlines()[-12:]))
        shutil.rmtree(self.directory, ignore_errors=True)
        return False

    @property
    def endpoints(self):
        return ','.join(node.endpoint for node in self.nodes)

    def statuses(self):
        """What `endpoint status` says of each node that answers: {endpoint: status}."""
        found = {}
        for node in self.nodes:
            if not node.alive():
                continue
            done = run([*self.observer, 'etcdctl', '--endpoints', node.endpoint,
                        '--command-timeout=2s', '--dial-timeout=2s', 'endpoint', 'status', '-w',
                        'json'])
            if done.returncode == 0 and done.stdout.strip():
                found[node.endpoint] = json.loads(done.stdout)[0]['Status']
        return found

    def leader(self, patience=LEADER_SECONDS_MAX):
        """The node that leads, once it and a majority agree on it."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            statuses = self.statuses()
            votes = [status.get('leader', 0) for status in statuses.values()]
            for node in self.nodes:
                status = statuses.get(node.endpoint)
                own = status and status['header']['member_id']
                if own and votes.count(own) > len(self.nodes) // 2 and status['leader'] == own:
                    return node
            time.sleep(0.1)
        raise Failure(f'no leader after {patience} s')

    def wait_ready(self, patience=LEADER_SECONDS_MAX):
        """Every member runs, has its vote, knows the leader and has caught up with it."""
        end = time.monotonic() + patience
        reason = 'nothing tried'
        while time.monotonic() < end:
            dead = [node.name for node in self.nodes if not node.alive()]
            if dead:
                node = self.node(dead[0])
                raise Failure(f'{node.name} ended ({node.process.returncode}): {node.log()[-800:]}')
            statuses = self.statuses()
            leaders = {status.get('leader', 0) for status in statuses.values()}
            applied = [status.get('raftAppliedIndex', status.get('raftIndex', 0))
                       for status in statuses.values()]
            reason = f'statuses {statuses}'
            if len(statuses) == len(self.nodes) and len(leaders) == 1 and 0 not in leaders:
                if max(applied) - min(applied) < 200 and all(map(takes_part, self.nodes)):
                    return
            time.sleep(0.1)
        raise Failure(f'cluster not ready after {patience} s: {reason[-900:]}')

    def node(self, name):
        return next(node for node in self.nodes if node.name == name)

    def rows(self, node):
        """Every row of one member, from its own state."""
        done = run([*self.observer, self.client, '--endpoints', node.endpoint, '--json', 'get', '',
                    '--prefix', '--consistency', 's'], timeout=60)
        expect(done.returncode == 0, f'reading {node.name}: {done.stderr}')
        return json.loads(done.stdout)


def etcdctl(endpoints, *arguments, timeout=30, **more):
    return run(['etcdctl', '--endpoints', endpoints, *arguments], timeout=timeout, **more)
