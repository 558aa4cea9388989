"""`quorate bench`: every workload for a moment against one Quorate and one etcd, and what it says
it did compared with what the store says."""
import json
import shutil
import signal
import subprocess
import tempfile
import time

from cluster import (Cluster, Skip, clean_environment, etcdctl, expect, expect_in,
                     free_port, run)
from tls import Authority, SecureCluster

KEYS = 500


def both(binary):
    """One member of each system that this machine has."""
    yield 'quorate', [binary, 'serve']
    if shutil.which('etcd'):
        yield 'etcd', ['etcd']


def revision(cluster):
    until = time.monotonic() + 30
    while cluster.nodes[0].endpoint not in (found := cluster.statuses()):
        expect(time.monotonic() < until, 'a member without a status')
    return found[cluster.nodes[0].endpoint]['header']['revision']


def bench(binary, endpoint, *arguments, code=0):
    done = run([binary, '--endpoints', endpoint, '--json', 'bench', *arguments], timeout=60)
    expect(done.returncode == code, f'bench {arguments}: exit {done.returncode}: '
           f'{done.stderr[-600:]}{done.stdout[-600:]}')
    return json.loads(done.stdout)


def check_accounts(report):
    for point in report['points']:
        accounts = point['all']
        expect(accounts['failed'] == 0 and accounts['unfinished'] == 0, str(accounts))
        expect(accounts['issued'] == accounts['ok'] > 0, str(accounts))
        expect(point['errors'] == {} and point['problems'] == [], str(point))
        total = point['total']
        expect(0 < total['p50_us'] <= total['p99_us'] <= total['max_us'], str(total))
    return report['points'][0]


SHORT = ('--duration', '400ms', '--warm-up', '100ms', '--keys', str(KEYS), '--outstanding', '50')


def writes_of(name, point):
    """Changes of the store that a run must have made, warm-up included; None: it cannot tell."""
    everything = point['all']['ok']
    if name in ('put', 'txn-put', 'watch'):
        return everything
    return {'get': KEYS, 'range': KEYS, 'keep-alive': 0}.get(name)


def test_every_workload_did_what_it_says(binary):
    for system, command in both(binary):
        with Cluster(command, size=1) as cluster:
            cluster.client = binary
            endpoint = cluster.nodes[0].endpoint
            pid = str(cluster.nodes[0].process.pid)
            for name, *more in (['put'], ['get'], ['get', '--serializable'],
                                ['range', '--keys-each', '100'], ['mixed', '--reads', '80'],
                                ['swap'], ['swap', '--hot', '50'],
                                ['txn-put', '--writes-each', '3'], ['txn-mixed'],
                                ['watch', '--watchers', '20', '--streams', '4'],
                                ['keep-alive', '--leases', '100', '--streams', '5']):
                before = revision(cluster)
                report = bench(binary, endpoint, name, *SHORT, *more, '--server-pid', pid)
                point = check_accounts(report)
                expected = writes_of(name, point)
                changed = revision(cluster) - before
                expect(expected in (None, changed),
                       f'{system} {name}: the tool counted {expected}, the store {changed}')
                expect(point['outside']['cpu_us_per_operation'] > 0, str(point['outside']))
                if name in ('get', 'range'):  # of one key, and of many
                    expect(list(point['kinds']) == [name], str(point['kinds']))
                if name == 'watch':
                    events = point['side']['event']
                    puts = point['kinds']['put']['timed']
                    expect(events['timed'] == 20 * puts, f'{system}: {puts} puts, {events}')
                if name == 'swap' and not more:
                    swapped = point['kinds']['swapped']['timed']
                    lost = point['kinds']['lost the race']['timed']
                    expect(swapped > lost, f'{swapped} swapped, {lost} lost')


def test_exactly_so_many_operations(binary):
    with Cluster([binary, 'serve'], size=3) as cluster:
        before = revision(cluster)
        report = bench(binary, cluster.endpoints, 'put', '--operations', '3000', '--keys', '10')
        point = check_accounts(report)
        expect(point['total']['operations'] == 3000, str(point['total']))
        done = etcdctl(cluster.nodes[0].endpoint, 'get', 'x')  # it has applied everything then
        expect(done.returncode == 0, done.stderr)
        changes = revision(cluster) - before
        expect(changes == 3000, f'{changes} changes')


def test_open_loop_keeps_its_rate_and_draws_it(binary):
    with Cluster([binary, 'serve'], size=1) as cluster, tempfile.TemporaryDirectory() as folder:
        picture = f'{folder}/sweep.svg'
        report = bench(binary, cluster.nodes[0].endpoint, 'put', '--sweep', '200,400', '--poisson',
                       '--duration', '1s', '--warm-up', '100ms', '--plot', picture)
        for point in report['points']:
            check_accounts({'points': [point]})
        rates = [point['total']['timed'] / point['window_seconds'] for point in report['points']]
        expect(len(rates) == 2, str(rates))
        # Random arrivals: within five deviations of the rate.
        expect(130 < rates[0] < 275 and 300 < rates[1] < 510, str(rates))
        with open(picture) as file:
            expect_in('polyline', file.read(), 'the plot')
        for number in range(2):
            with open(f'{folder}/{number}.json', 'w') as file:
                json.dump(dict(report, name=f'system {number}'), file)
        done = run([binary, 'bench', 'plot', '--out', picture, f'{folder}/0.json',
                    f'{folder}/1.json'])
        expect(done.returncode == 0, done.stderr)
        with open(picture) as file:
            text = file.read()
        expect('system 0' in text and 'system 1' in text and text.count('<polyline') == 6, text)


def test_an_error_is_not_a_result(binary):
    port = free_port()
    server = subprocess.Popen([binary, 'bench', 'null-server', '--port', str(port), '--status',
                               '14', '--one-in', '4', '--text', 'etcdserver: no leader'],
                              stdout=subprocess.PIPE, text=True, env=clean_environment())
    try:
        expect_in(str(port), server.stdout.readline(), 'the null server')
        report = bench(binary, f'127.0.0.1:{port}', 'put', '--operations', '2000', code=1)
        point = report['points'][0]
        expect(point['total']['operations'] == 1500, str(point['total']))
        expect(point['errors'] == {'Unavailable': 500}, str(point['errors']))
        expect(point['first_error'] == 'Unavailable: etcdserver: no leader', str(point))
        # Answers smaller than the value that was asked for.
        report = bench(binary, f'127.0.0.1:{port}', 'get', '--no-load', '--operations', '40',
                       '--value-bytes', '1000', code=1)
        errors = report['points'][0]['errors']
        expect(errors == {'Unavailable': 10, 'wrong answer': 30}, str(errors))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=10)


def test_interrupted_it_reports_what_it_has(binary):
    if not shutil.which('etcdctl'):
        raise Skip('no etcdctl')
    with Cluster([binary, 'serve'], size=1) as cluster:
        before = revision(cluster)
        process = subprocess.Popen([binary, '--endpoints', cluster.nodes[0].endpoint, '--json',
                                    'bench', 'put', '--duration', '60s', '--warm-up', '0s'],
                                   stdout=subprocess.PIPE, text=True, env=clean_environment())
        until = time.monotonic() + 30
        while revision(cluster) < before + 100:
            expect(time.monotonic() < until, 'nothing is written')
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=40)
        expect(process.returncode == 0, f'exit {process.returncode}: {output}')
        point = check_accounts(json.loads(output))
        expect(point['stopped'] and point['window_seconds'] < 30, str(point))
        expect(revision(cluster) - before == point['all']['ok'], str(point['all']))


def test_nobody_there_and_nonsense_are_said(binary):
    done = run([binary, '--endpoints', f'127.0.0.1:{free_port()}', '--dial-timeout', '300ms',
                'bench', 'put'])
    expect(done.returncode == 3, str(done.returncode))
    expect_in('Connection refused', done.stderr, 'nobody there')
    done = run([binary, 'bench', 'put', '--duration', 'soon'])
    expect(done.returncode == 2, str(done.returncode))
    expect_in('is no duration', done.stderr, 'a duration')
    done = run([binary, '--insecure-skip-tls-verify', '--endpoints', 'https://127.0.0.1:1', 'bench',
                'zookeeper-get'])
    expect(done.returncode == 2, str(done.returncode))
    expect_in('leave out https://', done.stderr, 'TLS to a ZooKeeper')


def secured_bench(cluster, binary, *arguments, user='root:rp', code=0):
    done = run([*cluster.observer, binary, '--endpoints', cluster.endpoints, '--user', user,
                '--json', 'bench', *arguments], timeout=60)
    expect(done.returncode == code, f'bench {arguments}: exit {done.returncode}: '
           f'{done.stderr[-600:]}{done.stdout[-600:]}')
    return done


def test_by_tls_and_with_a_password(binary):
    for system, command in both(binary):
        with SecureCluster(command, size=1) as cluster:
            ctl = [*cluster.observer, 'etcdctl', '--endpoints', cluster.endpoints]
            for words in (['user', 'add', 'root:rp'], ['user', 'grant-role', 'root', 'root'],
                          ['auth', 'enable']):
                done = run([*ctl, *words])
                expect(done.returncode == 0, f'{system} {words}: {done.stderr}')
            for name, *more in (['put'], ['get'],
                                ['range', '--keys-each', '400', '--value-bytes', '4096'],
                                ['watch', '--watchers', '20', '--streams', '4'],
                                ['keep-alive', '--leases', '100', '--streams', '5']):
                done = run([*ctl, '--user', 'root:rp', 'endpoint', 'status', '-w', 'json'])
                before = json.loads(done.stdout)[0]['Status']['header']['revision']
                point = check_accounts(json.loads(
                    secured_bench(cluster, binary, name, *SHORT, *more).stdout))
                done = run([*ctl, '--user', 'root:rp', 'endpoint', 'status', '-w', 'json'])
                changed = json.loads(done.stdout)[0]['Status']['header']['revision'] - before
                expect(changed == writes_of(name, point),
                       f'{system} {name}: the tool counted {writes_of(name, point)}, the store '
                       f'{changed}')
            done = secured_bench(cluster, binary, 'put', user='root:wrong', code=3)
            expect_in('authentication failed', done.stderr, system)
            foreign = Authority(cluster.directory, 'foreign')
            done = run([*cluster.observer, binary, '--endpoints', cluster.endpoints, '--cacert',
                        foreign.certificate, 'bench', 'put'], timeout=60)
            expect(done.returncode == 3, str(done.returncode))
            expect_in('no authority that is trusted here', done.stderr, system)
