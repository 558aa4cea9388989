"""The binary's own command line, and a member's life from start to SIGTERM."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from cluster import Cluster, Failure, Skip, clean_environment, etcdctl, expect, expect_in, run


def quorate(binary, cluster, *arguments, **more):
    return run([binary, '--endpoints', cluster.endpoints, *arguments], **more)


def test_client_commands(binary):
    with Cluster([binary, 'serve']) as cluster:
        done = quorate(binary, cluster, 'put', 'a', '1')
        expect(done.returncode == 0 and done.stdout == 'OK, revision 2\n', done.stdout + done.stderr)
        done = quorate(binary, cluster, '--json', 'put', 'a', '2', '--prev-kv')
        expect(json.loads(done.stdout)['prev_kv']['value'] == '1', done.stdout)
        quorate(binary, cluster, 'put', 'b', '-', input='from stdin')
        rows = json.loads(quorate(binary, cluster, '--json', 'get', '', '--prefix').stdout)
        expect([pair['value'] for pair in rows['kvs']] == ['2', 'from stdin'], str(rows))
        done = quorate(binary, cluster, 'txn', input='mod("a") > "0"\n\nput c 3\nget a\n\ndel a\n')
        expect(done.stdout.startswith('SUCCESS, revision 5\nOK\na  2\n'), done.stdout + done.stderr)
        expect(quorate(binary, cluster, 'get', '', '--prefix', '--count-only').stdout == '3\n',
               'three keys')
        expect(quorate(binary, cluster, 'del', 'a').stdout == '1 deleted, revision 6\n', 'delete')
        expect(quorate(binary, cluster, 'compact', '4').returncode == 0, 'compact')
        done = quorate(binary, cluster, 'get', 'b', '--rev', '3')
        expect(done.returncode == 1, f'exit code {done.returncode}')
        expect_in('required revision has been compacted', done.stderr, 'reading a compacted revision')
        status = json.loads(quorate(binary, cluster, '--json', 'status').stdout)
        expect(sum(each['is_leader'] for each in status) == 1, str(status))
        expect(len({each['leader'] for each in status}) == 1, str(status))
        members = json.loads(quorate(binary, cluster, '--json', 'member', 'list').stdout)
        expect(sorted(each['name'] for each in members) == ['n1', 'n2', 'n3'], str(members))


def test_terminate_hands_over(binary):
    # Nobody waits for an election timeout, which is long here to tell it from a slow machine.
    patient = ['--election-timeout', '4000']
    with Cluster([binary, 'serve'], extra_flags=patient) as cluster:
        leader = cluster.leader()
        expect_in('ready to serve client requests', leader.log(), 'log of the leader')
        expect(quorate(binary, cluster, 'put', 'k', 'v').returncode == 0, 'put before')
        code, seconds = leader.terminate()
        expect(code == 0, f'exit code {code} after SIGTERM')
        expect(seconds < 3.5, f'{seconds:.2f} s from SIGTERM to exit')
        started = time.monotonic()
        done = quorate(binary, cluster, 'put', 'k', 'w')
        outage = time.monotonic() - started
        expect(done.returncode == 0, done.stderr)
        expect(outage < 3.5, f'the next put took {outage:.2f} s')
        leader.start()
        cluster.wait_ready()
        for node in cluster.nodes:
            code, seconds = node.terminate()
            expect(code == 0 and seconds < 10, f'{node.name}: code {code} after {seconds:.2f} s')


def test_called_etcd(binary):
    folder = tempfile.mkdtemp(prefix='quorate-e2e-')
    try:
        link = os.path.join(folder, 'etcd')
        os.symlink(binary, link)
        done = run([link, '--version'])
        expect(re.match(r'etcd Version: \d+\.\d+\.\d+\n', done.stdout), done.stdout + done.stderr)
        done = run([binary, '--version'])
        expect(re.match(r'quorate \d+\.\d+\.\d+\n', done.stdout), done.stdout + done.stderr)
        cluster = Cluster([link], size=1)
        cluster.client = binary
        with cluster:
            done = etcdctl(cluster.endpoints, 'put', 'k', 'v')
            expect(done.stdout == 'OK\n', done.stdout + done.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_no_flags_single_node(binary):
    """In a network of its own, since the default ports may be taken here."""
    if os.geteuid() != 0 or run(['unshare', '-n', 'true']).returncode != 0:
        raise Skip('needs root and network namespaces')
    folder = tempfile.mkdtemp(prefix='quorate-e2e-')
    script = f'''
      ip link set lo up 2>/dev/null || ifconfig lo up
      cd {folder}
      {binary} serve 2>log & first=$!
      for i in $(seq 100); do {binary} --timeout 1 put k v >/dev/null 2>&1 && break; sleep 0.1; done
      kill -9 $first; wait $first 2>/dev/null
      {binary} serve 2>log2 & second=$!
      {binary} --timeout 10 get k --value-only
      ls -d default.quorate
      kill $second; wait $second'''
    try:
        try:
            done = run(['unshare', '-n', 'bash', '-c', script], timeout=60)
        except subprocess.TimeoutExpired:
            raise Failure('a single node without flags did not serve')
        if 'not found' in done.stderr and 'ip' in done.stderr:
            raise Skip('no tool to bring the loopback up')
        expect(done.stdout == 'v\ndefault.quorate\n', done.stdout + done.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_environment_and_file(binary):
    folder = tempfile.mkdtemp(prefix='quorate-e2e-')
    try:
        done = subprocess.run([binary, 'serve'], capture_output=True, text=True, timeout=20,
                              env=clean_environment(ETCD_ELECTION_TIMEOUT='100'))
        expect(done.returncode == 1, f'exit code {done.returncode}')
        expect_in('--election-timeout (100 ms) must be at least 5 times', done.stderr, 'variable')
        path = os.path.join(folder, 'conf.yml')
        with open(path, 'w') as file:
            file.write('nome: n1\n')
        done = run([binary, 'serve', '--config-file', path])
        expect(done.returncode != 0, 'an unknown key was accepted')
        expect_in('"nome"', done.stderr, 'unknown key')
        with open(path, 'w') as file:
            file.write('name: n1\ninitial-cluster-state: broken\n')
        done = run([binary, 'serve', '--config-file', path])
        expect_in('neither new nor existing', done.stderr, 'value in the file')
    finally:
        shutil.rmtree(folder, ignore_errors=True)
