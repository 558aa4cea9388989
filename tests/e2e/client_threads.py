"""Connections of clients on threads of their own: calls of every kind, plain and by TLS, clients
that go away in the middle, and an orderly end."""
import json
import os
import shutil
import signal
import subprocess
import time

from cluster import Cluster, Skip, clean_environment, expect, expect_in, run
from gateway import ask, encoded, post
from streams import Stream
from tls import SecureCluster

THREADS = ['--client-threads', '2']
BIG = 'v' * 100_000
LISTS_OF_BIG = 40  # 4 MB: more than a client is sent at once


class SecureOnThreads(SecureCluster):
    def __init__(self, command):
        super().__init__(command, size=1, extra_flags=THREADS)


def ctl(cluster, *arguments, **more):
    command = [*cluster.observer, 'etcdctl', '--endpoints', cluster.endpoints, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=clean_environment(ETCDCTL_API='3'), start_new_session=True, **more)


def must(cluster, *arguments, said=None):
    process = ctl(cluster, *arguments, stdin=subprocess.PIPE if said else subprocess.DEVNULL)
    out, err = process.communicate(said, timeout=30)
    expect(process.returncode == 0, f'etcdctl {" ".join(arguments)[:80]}: {err[-500:]}')
    return out


def end(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def calls_of_every_kind(cluster):
    expect_in('OK', must(cluster, 'put', 'a', '1'), 'put')
    expect(must(cluster, 'get', 'a', '--print-value-only') == '1\n', 'get')
    expect_in('SUCCESS', must(cluster, 'txn', said='value("a") = "1"\n\nput b 2\n\n\n'), 'txn')
    watch = ctl(cluster, 'watch', 'w', stdin=subprocess.DEVNULL)
    lease = must(cluster, 'lease', 'grant', '3').split()[1]
    keeper = ctl(cluster, 'lease', 'keep-alive', lease, stdin=subprocess.DEVNULL)
    must(cluster, 'put', 'held', 'x', '--lease', lease)
    for number in range(LISTS_OF_BIG):
        must(cluster, 'put', f'big/{number:03}', BIG)
    listed = must(cluster, 'get', '--prefix', 'big/', '--print-value-only')
    expect(listed == (BIG + '\n') * LISTS_OF_BIG, f'a long list had {len(listed)} bytes')
    file = os.path.join(cluster.directory, 'copy.db')
    must(cluster, 'snapshot', 'save', file)
    copied = json.loads(must(cluster, 'snapshot', 'status', file, '-w', 'json'))
    expect(copied['totalKey'] >= LISTS_OF_BIG, f'the snapshot: {copied}')
    expect_in('lock', must(cluster, 'lock', 'place', 'echo', 'lock'), 'lock')
    must(cluster, 'put', 'w', 'seen')
    expect([watch.stdout.readline() for _ in range(3)] == ['PUT\n', 'w\n', 'seen\n'], 'watch')
    time.sleep(4)  # longer than the lease without its keeper
    expect(must(cluster, 'get', 'held', '--print-value-only') == 'x\n', 'the lease was not kept')
    end(watch)  # clients that only vanish
    end(keeper)
    return lease


def json_and_pages(node):
    status, text = ask(node, '/health')
    expect(status == 200 and json.loads(text)['health'] == 'true', f'{status} {text}')
    status, answer = post(node, '/v3/kv/range', {'key': encoded('a')})
    expect(status == 200 and answer['kvs'][0]['value'] == encoded('1'), f'{status} {answer}')
    with Stream(node, '/v3/watch', {'create_request': {'key': encoded('j')}}) as stream:
        expect(stream.line()['result']['created'], 'a watch in JSON was not created')
        post(node, '/v3/kv/put', {'key': encoded('j'), 'value': encoded('1')})
        expect(stream.line()['result']['events'], 'a watch in JSON heard nothing')
    text = ask(node, '/metrics')[1]
    figures = dict(line.rsplit(' ', 1) for line in text.splitlines() if line[0] != '#')
    expect(float(figures['quorate_client_connections']) >= 1, 'the page itself has a connection')
    expect(float(figures['etcd_network_client_grpc_received_bytes_total']) > LISTS_OF_BIG * len(BIG),
           'bytes received on the threads are not counted')
    expect(float(figures['etcd_debugging_mvcc_watcher_total']) <= 1, 'watchers of the dead stay')


def lease_ends(cluster, lease):
    until = time.monotonic() + 15
    while must(cluster, 'get', 'held', '--print-value-only') != '':
        expect(time.monotonic() < until, f'lease {lease} outlived its keeper')
        time.sleep(0.2)


def stops(cluster):
    """While streams are open: they are told, and nobody waits for the grace to end."""
    watch = ctl(cluster, 'watch', 'w', stdin=subprocess.DEVNULL)
    must(cluster, 'put', 'last', 'one')
    for node in cluster.nodes:
        code, seconds = node.terminate()
        expect(code == 0, f'{node.name} ended with {code}: {node.log()[-600:]}')
        expect(seconds < 4, f'{node.name} took {seconds:.1f} s to stop')
        expect_in('stopped', node.log()[-200:], 'the log')
    end(watch)


def test_calls_of_every_kind(binary):
    if not shutil.which('etcdctl'):
        raise Skip('etcdctl is not installed')
    with Cluster([binary, 'serve'], size=1, extra_flags=THREADS) as cluster:
        lease = calls_of_every_kind(cluster)
        json_and_pages(cluster.nodes[0])
        lease_ends(cluster, lease)
        stops(cluster)


def test_by_tls(binary):
    if not shutil.which('etcdctl'):
        raise Skip('etcdctl is not installed')
    with SecureOnThreads([binary, 'serve']) as cluster:
        lease = calls_of_every_kind(cluster)
        lease_ends(cluster, lease)
        stops(cluster)


def load(cluster, kind, operations, *more):
    done = run([cluster.client, '--endpoints', cluster.endpoints, 'bench', kind, '--operations',
                str(operations), '--outstanding', '100', '--connections', '6', *more], timeout=120)
    expect(done.returncode == 0, f'bench {kind}: {done.stdout[-300:]} {done.stderr[-300:]}')


def test_three_members_under_load_and_a_kill(binary):
    """tools/tsan runs this on a binary that says of a race in its log, and by its exit code."""
    with Cluster([binary, 'serve'], extra_flags=THREADS) as cluster:
        load(cluster, 'put', 5000)
        load(cluster, 'get', 5000)
        load(cluster, 'watch', 500, '--watchers', '50')
        for victim in (cluster.leader(), cluster.nodes[0]):
            writer = subprocess.Popen([binary, '--endpoints', cluster.endpoints, 'bench', 'put',
                                       '--duration', '3s', '--outstanding', '100'],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      env=clean_environment())
            time.sleep(0.5)
            victim.kill()
            time.sleep(0.5)
            victim.start()
            writer.wait(timeout=60)
            cluster.wait_ready()
        load(cluster, 'put', 2000)
        load(cluster, 'get', 2000)
        for node in cluster.nodes:
            code, _ = node.terminate()
            expect(code == 0, f'{node.name} ended with {code}: {node.log()[-600:]}')
            expect('ThreadSanitizer' not in node.log(), f'{node.name}: {node.log()[-3000:]}')
