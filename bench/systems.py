"""The systems that are compared: three durable members each, on free ports of this machine."""
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
from cluster import Cluster, Node, clean_environment, free_port, run  # noqa: E402

ZOOKEEPER_JAR = '/usr/share/java/zookeeper.jar'
ZOOKEEPER_SECONDS_MAX = 40
MEMBER_FLAGS = ['--log-level', 'error', '--quota-backend-bytes', str(8 << 30)]


class Invalid(Exception):
    """A measurement that must not be reported."""


class ZookeeperNode:
    def __init__(self, cluster, number):
        self.number = number
        self.directory = os.path.join(cluster.directory, f'z{number}')
        self.client_port, self.peer_port, self.election_port = (free_port() for _ in range(3))
        self.process = None

    @property
    def endpoint(self):
        return f'127.0.0.1:{self.client_port}'

    def start(self, servers):
        os.makedirs(self.directory)
        with open(os.path.join(self.directory, 'myid'), 'w') as file:
            file.write(str(self.number))
        settings = os.path.join(self.directory, 'zoo.cfg')
        with open(settings, 'w') as file:
            file.write(f'tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={self.directory}\n'
                       f'clientPort={self.client_port}\nclientPortAddress=127.0.0.1\n'
                       'admin.enableServer=false\nforceSync=yes\nmaxClientCnxns=0\n'
                       f'4lw.commands.whitelist=srvr\n{servers}\n')
        with open(os.path.join(self.directory, 'log'), 'ab') as log:
            self.process = subprocess.Popen(
                ['java', '-Xms512m', '-Xmx2g', '-cp', ZOOKEEPER_JAR,
                 'org.apache.zookeeper.server.quorum.QuorumPeerMain', settings],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def says(self):
        """The answer to `srvr`; empty if there is none."""
        try:
            with socket.create_connection(('127.0.0.1', self.client_port), timeout=1) as link:
                link.settimeout(2)
                link.sendall(b'srvr')
                answer = b''
                while piece := link.recv(65536):
                    answer += piece
                return answer.decode()
        except OSError:
            return ''


class ZookeeperCluster:
    """Debian's ZooKeeper, each write synced before it is acknowledged (forceSync=yes)."""

    def __init__(self, directory):
        self.directory = directory
        self.nodes = [ZookeeperNode(self, number) for number in (1, 2, 3)]

    def __enter__(self):
        servers = '\n'.join(f'server.{node.number}=127.0.0.1:{node.peer_port}:{node.election_port}'
                            for node in self.nodes)
        for node in self.nodes:
            node.start(servers)
        end = time.monotonic() + ZOOKEEPER_SECONDS_MAX
        while time.monotonic() < end:
            modes = [node.says() for node in self.nodes]
            if sum('Mode: leader' in mode for mode in modes) == 1 and \
                    sum('Mode: follower' in mode for mode in modes) == 2:
                return self
            time.sleep(0.3)
        self.__exit__(None, None, None)
        raise Invalid(f'ZooKeeper elected no leader within {ZOOKEEPER_SECONDS_MAX} s')

    def __exit__(self, _kind, _value, _trace):
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        run(['rm', '-rf', self.directory])
        return False

    def leader(self):
        return next(node for node in self.nodes if 'Mode: leader' in node.says())


class SecuredNode(Node):
    """Listens for clients twice: in plain text for whoever looks at it, and by TLS, with a
    certificate that it makes for itself, for the load. Members talk by TLS as well."""

    def __init__(self, cluster, number):
        super().__init__(cluster, number)
        self.secured_port = free_port()

    @property
    def peer_url(self):
        return f'https://{self.host}:{self.peer_port}'

    @property
    def load_endpoint(self):
        return f'https://{self.host}:{self.secured_port}'

    def flags(self):
        flags = super().flags()
        flags[flags.index('--listen-client-urls') + 1] += f',{self.load_endpoint}'
        return [*flags, '--auto-tls', '--peer-auto-tls']


class SecuredCluster(Cluster):
    def make_node(self, number):
        return SecuredNode(self, number)


class System:
    def __init__(self, name, binary, folder):
        self.name = name
        self.binary = binary
        self.folder = folder

    def start(self, flags=(), secured=False):
        directory = tempfile.mkdtemp(prefix=self.name + '-', dir=self.folder)
        if self.name == 'zookeeper':
            return ZookeeperCluster(directory)
        command = ['etcd'] if self.name == 'etcd' else [self.binary, 'serve']
        kind = SecuredCluster if secured else Cluster
        cluster = kind(command, extra_flags=[*MEMBER_FLAGS, *flags], keep_directory=directory)
        cluster.client = self.binary
        return cluster


def endpoint_flags(node):
    if isinstance(node, SecuredNode):
        return ['--insecure-skip-tls-verify', '--endpoints', node.load_endpoint]
    return ['--endpoints', node.endpoint]


class Tool:
    """`quorate bench`, and every command that was run, for the page."""

    def __init__(self, binary):
        self.binary = binary
        self.commands = {}
        self.row = None  # the one that was measured last, or failed

    def command(self, row, system, arguments, cluster):
        self.row = row
        command = [self.binary, '--json']
        if cluster:
            command += endpoint_flags(cluster.leader())
        command += ['bench', *map(str, arguments)]
        if cluster:
            command += ['--name', system, '--server-pid',
                        ','.join(str(node.process.pid) for node in cluster.nodes)]
        # Several systems and repeats run the same: the page shows it once.
        flags = command[2:command.index('--endpoints')] if cluster else []
        self.commands[row] = ' '.join(['quorate', *flags, 'bench', *map(str, arguments)])
        return command

    @contextlib.contextmanager
    def beside(self, row, system, arguments, cluster):
        """It runs while something else is looked at, and is ended then."""
        process = subprocess.Popen(self.command(row, system, arguments, cluster),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=clean_environment())
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def bench(self, row, system, arguments, cluster=None, seconds=150, saturates=False):
        """The parsed JSON. An operation that failed makes the measurement invalid, and so does one
        that had no answer 10 s after the end, unless the row `saturates`: then being so late is
        what was found out, and it counts with the time that it was waited for."""
        done = run(self.command(row, system, arguments, cluster), timeout=seconds)
        try:
            found = json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            raise Invalid(f'{row} of {system}: exit code {done.returncode}: '
                          f'{(done.stdout + done.stderr)[-1500:]}') from None
        problems = [point for point in found.get('points', [])
                    if point['all']['failed'] or point['problems'] or
                    (point['all']['unfinished'] and not saturates)]
        late = saturates and any(point['all']['unfinished'] for point in found['points'])
        if problems or (done.returncode != 0 and not late):
            raise Invalid(f'{row} of {system}: {json.dumps(problems)[-1500:]} {done.stderr[-500:]}')
        return found


def metrics(node):
    """{name with labels: value}; empty if there is no answer."""
    try:
        with urllib.request.urlopen(f'http://{node.endpoint}/metrics', timeout=5) as answer:
            text = answer.read().decode(errors='replace')
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    found = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(' ')
        if name and not line.startswith('#'):
            found[name] = float(value)
    return found


class Trouble:
    """What the members of a cluster with etcd's API say about slow disks and changes of leader,
    so that a slow operation can be traced to its cause. Counters since their start."""
    SLOW_SECONDS = '0.128'  # a bucket that all of them have
    HISTOGRAMS = {'slow_syncs': 'etcd_disk_wal_fsync_duration_seconds',
                  'slow_store_writes': 'etcd_disk_backend_commit_duration_seconds'}
    CHANGES = 'etcd_server_leader_changes_seen_total'

    def __init__(self, cluster):
        self.counts = {}
        for node in cluster.nodes if isinstance(cluster, Cluster) else []:
            self.read(node)

    def read(self, node):
        found = metrics(node)
        for name, histogram in self.HISTOGRAMS.items():
            within = found.get(f'{histogram}_bucket{{le="{self.SLOW_SECONDS}"}}')
            if within is not None:
                slow = found[histogram + '_count'] - within
                self.counts[name] = self.counts.get(name, 0) + slow
        if self.CHANGES in found:
            self.counts['leader_changes'] = \
                self.counts.get('leader_changes', 0) + found[self.CHANGES]

    def since(self, before):
        return {name: count - before.counts.get(name, 0) for name, count in self.counts.items()}


def figures(point):
    """What the page needs of one point."""
    total = point['total']
    kept = {name: total[name] for name in ('per_second', 'mean_us', 'p50_us', 'p99_us',
                                           'p99_9_us', 'max_us')}
    kept['max_at_seconds'] = total.get('max_at_seconds')
    kept.update(point.get('trouble', {}))
    kept['tool_cpu_us'] = point['tool']['cpu_us_per_operation']
    kept['tool_was_limit'] = point['tool']['was_limit']
    outside = point.get('outside', {})
    kept['cpu_us'] = outside.get('cpu_us_per_operation')
    kept['switches'] = outside.get('context_switches_per_operation')
    kept['flushes'] = outside.get('flushes_per_operation')
    kept['written_bytes'] = outside.get('written_bytes_per_operation')
    kept['resident_mebibytes'] = outside.get('largest_resident_bytes', 0) / (1 << 20)
    return kept


def revision(cluster):
    """Of the leader's store; only for systems with etcd's API."""
    return cluster.statuses()[cluster.leader().endpoint]['header']['revision']


def ask(endpoint, body, path='/v3/kv/range', patience=5):
    """A call through the JSON gateway, or None."""
    request = urllib.request.Request(f'http://{endpoint}{path}', data=json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=patience) as answer:
            return json.load(answer)
    except (OSError, http.client.HTTPException, ValueError):
        return None


def first_answer(endpoint, body, since, patience=120):
    """Seconds from `since` until the call is answered with a value."""
    while time.monotonic() - since < patience:
        answer = ask(endpoint, body, patience=2)
        if answer and answer.get('kvs'):
            return time.monotonic() - since
        time.sleep(0.002)
    raise Invalid(f'{endpoint} gave no answer within {patience} s of its start')


def resident_mebibytes(process):
    with open(f'/proc/{process.pid}/status') as status:
        line = next(line for line in status if line.startswith('VmRSS:'))
    return int(line.split()[1]) / 1024


def kill(node):
    node.process.send_signal(signal.SIGKILL)
    node.process.wait()


def versions(binary):
    """One line for each thing that was measured, or measured with."""
    def first_line(command):
        done = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
        lines = (done.stdout + done.stderr).splitlines()
        return lines[0] if lines else 'unknown'
    found = [first_line(['etcd', '--version']), first_line([binary, '--version'])]
    package = run(['dpkg-query', '-W', '-f', '${Version}', 'libzookeeper-java'])
    if package.returncode == 0:
        found.append(f'ZooKeeper {package.stdout} on {first_line(["java", "-version"])}')
    return found
