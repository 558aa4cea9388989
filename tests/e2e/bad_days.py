"""Bad input and bad days: a clear error each time, nothing lost, nobody crashes."""
import os
import shutil
import socket
import subprocess
import tempfile
import time

from cluster import Cluster, Skip, etcdctl, expect, expect_in, free_port, run

REQUEST_BYTES_MAX = 1572864


def test_wrong_flags(binary):
    mistakes = [
        (['--nmae', 'x'], 'unknown setting --nmae'),
        (['--name'], '--name needs a value'),
        (['--listen-client-urls', 'http://127.0.0.1:1'], '--advertise-client-urls is required'),
        (['--listen-peer-urls', '127.0.0.1:2380'], 'has no scheme'),
        (['--listen-peer-urls', 'https://127.0.0.1:2380'], 'peer-cert-file'),
        (['--election-timeout', '200'], 'at least 5 times'),
        (['--initial-cluster', 'other=http://localhost:2380'], 'does not contain this member'),
        (['--initial-cluster-state', 'maybe'], 'neither new nor existing'),
        (['--config-file', '/nonexistent.yml'], 'cannot read'),
        (['--cert-file', 'x'], 'go together'),
        (['--auth-token', 'x'], 'is neither simple nor jwt'),
        (['--snapshot-count', '-3'], 'not a whole number'),
    ]
    for flags, sentence in mistakes:
        done = run([binary, 'serve'] + flags, timeout=10)
        expect(done.returncode in (1, 2), f'{flags}: exit code {done.returncode}')
        expect_in(sentence, done.stderr, ' '.join(flags))


def one_member(binary, **flags):
    """Runs a member that is expected to refuse to start."""
    client, peer = free_port(), free_port()
    settings = {'name': 'n1', 'listen-client-urls': f'http://127.0.0.1:{client}',
                'advertise-client-urls': f'http://127.0.0.1:{client}',
                'listen-peer-urls': f'http://127.0.0.1:{peer}',
                'initial-advertise-peer-urls': f'http://127.0.0.1:{peer}'}
    settings.update({name.replace('_', '-'): value for name, value in flags.items()})
    command = [binary, 'serve'] + [f'--{name}={value}' for name, value in settings.items()]
    try:
        return run(command, timeout=15)
    except subprocess.TimeoutExpired as expired:
        raise AssertionError(f'it started: {expired.stderr}')


def test_port_in_use(binary):
    folder = tempfile.mkdtemp(prefix='quorate-e2e-')
    try:
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            url = f'http://127.0.0.1:{taken.getsockname()[1]}'
            for flags in ({'listen_client_urls': url, 'advertise_client_urls': url},
                          {'listen_peer_urls': url, 'initial_advertise_peer_urls': url}):
                done = one_member(binary, data_dir=folder + '/d', **flags)
                expect(done.returncode == 1, f'exit code {done.returncode}: {done.stderr}')
                expect_in('cannot listen on', done.stderr, 'port in use')
                expect_in(url.split(':')[-1], done.stderr, 'the port is named')
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_directory_belongs_to_another(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        node = cluster.nodes[0]
        expect(etcdctl(cluster.endpoints, 'put', 'k', 'v').returncode == 0, 'put')
        done = one_member(binary, data_dir=node.directory)
        expect(done.returncode == 1, f'second process on one directory: {done.returncode}')
        expect_in(node.directory, done.stderr, 'second process on one directory')
        node.terminate()
        done = one_member(binary, data_dir=node.directory, initial_cluster_token='another')
        expect(done.returncode == 1, f'directory of another cluster: {done.returncode}')
        expect_in('cluster', done.stderr, 'directory of another cluster')
        node.start()
        cluster.wait_ready()
        expect(etcdctl(cluster.endpoints, 'get', 'k').stdout == 'k\nv\n', 'the data is untouched')


def test_directory_of_etcd_itself(binary):
    folder = tempfile.mkdtemp(prefix='quorate-e2e-')
    try:
        os.makedirs(folder + '/member/wal')
        done = one_member(binary, data_dir=folder)
        expect(done.returncode == 1, f'exit code {done.returncode}')
        expect_in('belongs to etcd itself', done.stderr, 'etcd data directory')
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def grpc_call(node, path, body):
    """One raw call through nghttp: whatever bytes, as one gRPC message. Returns its output."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        return run(['nghttp', '-v', '--no-dep', '-d', file.name, '-H', 'content-type: application/grpc',
                    '-H', 'te: trailers', f'http://{node.endpoint}{path}'], timeout=30).stdout


def test_hostile_bytes(binary):
    if not shutil.which('nghttp'):
        raise Skip('nghttp2-client is not installed')
    with Cluster([binary, 'serve']) as cluster:
        node = cluster.nodes[0]
        put = '/etcdserverpb.KV/Put'
        truncated = b'\0\0\0\0\x08\x0a\xff\xff\xff\xff\xff\xff\x0f'
        answer = grpc_call(node, put, truncated)
        expect_in('grpc-status: ', answer, 'malformed protobuf')
        expect('grpc-status: 0' not in answer, 'malformed protobuf was accepted')
        answer = grpc_call(node, put, b'\0\0\0\0\0')
        expect_in('etcdserver: key is not provided', answer.replace('%20', ' '), 'empty key')
        answer = grpc_call(node, '/etcdserverpb.KV/Nothing', b'\0\0\0\0\0')
        expect_in('grpc-status: 12', answer, 'unknown method')
        answer = grpc_call(node, put, b'\1\0\0\0\1x')
        expect_in('grpc-status: ', answer, 'compressed message')
        answer = grpc_call(node, put, b'\0\xff\xff\xff\xff' + b'x' * 100)
        expect('grpc-status: 0' not in answer, 'a huge length was accepted')
        noise = [b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + os.urandom(500), os.urandom(4096),
                 b'GET / HTTP/1.1\r\n' + b'a: b\r\n' * 20000, b'\0' * 1000, b'PRI * HT',
                 b'POST /health HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n']
        for port in (node.client_port, node.peer_port):
            for bytes_sent in noise:
                with socket.create_connection(('127.0.0.1', port), timeout=5) as connection:
                    try:
                        connection.sendall(bytes_sent)
                        connection.shutdown(socket.SHUT_WR)
                        connection.settimeout(1)
                        connection.recv(1000)
                    except OSError:
                        pass  # being cut off is the right answer
        expect(node.alive(), f'{node.name} died: {node.log()[-800:]}')
        expect(etcdctl(node.endpoint, 'put', 'still', 'here').returncode == 0, 'a put afterwards')


def test_sizes_and_binary(binary):
    with Cluster([binary, 'serve']) as cluster:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'value')
            fits = 'v' * (REQUEST_BYTES_MAX - 2000)
            for value, fine in ((fits, True), ('v' * (REQUEST_BYTES_MAX + 10), False)):
                with open(path, 'w') as file:
                    file.write(value)
                with open(path) as file:
                    done = run([binary, '--endpoints', cluster.endpoints, 'put', 'big', '-'],
                               stdin=file)
                expect((done.returncode == 0) == fine, f'{len(value)} bytes: {done.stderr[-300:]}')
            expect_in('etcdserver: request is too large', done.stderr, 'oversize put')
            expect(done.returncode == 1, f'oversize put: exit code {done.returncode}')
        got = run([binary, '--endpoints', cluster.endpoints, 'get', 'big', '--value-only'])
        expect(got.stdout == fits + '\n', f'big value came back as {len(got.stdout)} bytes')
        raw = bytes(range(1, 256))
        subprocess.run([binary, '--endpoints', cluster.endpoints, 'put', b'k' + raw, '-'],
                       input=bytes(range(256)), check=True, timeout=20, stdout=subprocess.DEVNULL)
        got = subprocess.run([binary, '--endpoints', cluster.endpoints, 'get', b'k' + raw,
                              '--value-only'], capture_output=True, timeout=20)
        expect(got.stdout == bytes(range(256)) + b'\n', 'binary key and value come back unchanged')
        done = run([binary, '--endpoints', cluster.endpoints, 'put', '', 'v'])
        expect(done.returncode == 1, f'empty key: exit code {done.returncode}')
        expect_in('etcdserver: key is not provided', done.stderr, 'empty key')


def test_minority_answers_with_errors(binary):
    with Cluster([binary, 'serve']) as cluster:
        expect(etcdctl(cluster.endpoints, 'put', 'k', 'old').returncode == 0, 'put')
        leader = cluster.leader()
        survivor = next(node for node in cluster.nodes if node is not leader)
        expect(etcdctl(survivor.endpoint, 'get', 'k').stdout == 'k\nold\n', 'the survivor has it')
        for node in cluster.nodes:
            if node is not survivor:
                node.kill()
        for arguments, limit in ((['put', 'k', 'new'], 20), (['get', 'k'], 20)):
            started = time.monotonic()
            done = run([binary, '--endpoints', survivor.endpoint, '--timeout', '4'] + arguments)
            seconds = time.monotonic() - started
            expect(done.returncode in (3, 4), f'{arguments}: exit {done.returncode} {done.stdout}')
            expect(seconds < limit, f'{arguments} took {seconds:.1f} s')
        done = run([binary, '--endpoints', survivor.endpoint, 'get', 'k', '--consistency', 's',
                    '--value-only'])
        expect(done.stdout == 'old\n', f'serializable read: {done.stdout}{done.stderr}')
        # A raw call without a deadline of its own must end by the server's.
        if shutil.which('nghttp'):
            started = time.monotonic()
            answer = grpc_call(survivor, '/etcdserverpb.KV/Range', b'\0\0\0\0\3\x0a\x01k')
            expect('grpc-status: 14' in answer, f'a minority answered a read: {answer[-600:]}')
            expect(time.monotonic() - started < 20, 'no bound on the read')
        for node in cluster.nodes:
            if node is not survivor:
                node.start()
        cluster.wait_ready()
        done = etcdctl(cluster.endpoints, 'get', 'k', '--print-value-only')
        expect(done.stdout in ('old\n', 'new\n'), f'after healing: {done.stdout}{done.stderr}')


def test_paused_leader_serves_nothing_stale(binary):
    """SIGSTOP is the partition one can make without privileges."""
    with Cluster([binary, 'serve']) as cluster:
        expect(etcdctl(cluster.endpoints, 'put', 'k', 'old').returncode == 0, 'put')
        leader = cluster.leader()
        others = ','.join(node.endpoint for node in cluster.nodes if node is not leader)
        os.kill(leader.process.pid, 19)
        try:
            done = run([binary, '--endpoints', others, '--timeout', '20', 'put', 'k', 'new'])
            # Unknown is honest when the put was on its way to the paused leader.
            expect(done.returncode in (0, 4), f'put: {done.returncode} {done.stderr}')
            if done.returncode == 4:
                done = run([binary, '--endpoints', others, '--timeout', '20', 'put', 'k', 'new'])
                expect(done.returncode == 0, f'put again: {done.stderr}')
        finally:
            os.kill(leader.process.pid, 18)
        done = run([binary, '--endpoints', leader.endpoint, '--timeout', '20', 'get', 'k',
                    '--value-only'])
        expect(done.stdout == 'new\n', f'the former leader answered {done.stdout}{done.stderr}')


def test_full_disk(binary):
    if os.geteuid() != 0:
        raise Skip('needs root to mount a small tmpfs')
    folder = tempfile.mkdtemp(prefix='quorate-e2e-')
    if run(['mount', '-t', 'tmpfs', '-o', 'size=200m', 'tmpfs', folder]).returncode != 0:
        os.rmdir(folder)
        raise Skip('mounting is not allowed here')
    try:
        cluster = Cluster([binary, 'serve'], size=1)
        node = cluster.nodes[0]
        node.directory = os.path.join(folder, 'data')
        with cluster:
            acknowledged = 0
            value = 'x' * 1000000
            for number in range(400):
                done = run([binary, '--endpoints', cluster.endpoints, '--timeout', '8', 'put',
                            f'k{number:04}', '-'], input=value)
                if done.returncode != 0:
                    break
                acknowledged += 1
            else:
                expect(False, 'the disk never filled')
            expect(acknowledged > 10, f'only {acknowledged} puts fitted')
            expect(done.stderr.strip() != '', 'a full disk gave no sentence')
            node.await_log('o space', 'the log names the full disk')
            node.kill()
            expect(run(['mount', '-o', 'remount,size=800m', folder]).returncode == 0, 'remount')
            node.start()
            cluster.wait_ready()
            done = run([binary, '--endpoints', cluster.endpoints, 'get', 'k', '--prefix',
                        '--count-only'])
            expect(int(done.stdout) >= acknowledged,
                   f'{acknowledged} acknowledged, {done.stdout.strip()} there')
    finally:
        run(['umount', '-l', folder])
        os.rmdir(folder)
