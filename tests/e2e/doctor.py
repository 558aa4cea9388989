"""quorate doctor and quorate top against clusters in good and in bad health."""
import json
import os
import subprocess

from cluster import Cluster, clean_environment, etcdctl, expect, expect_in, run


def doctor(binary, endpoints, *arguments):
    done = run([binary, '--endpoints', endpoints, '--json', '--timeout', '2', 'doctor', *arguments])
    try:
        return done.returncode, json.loads(done.stdout)
    except json.JSONDecodeError:
        expect(False, f'no JSON: {done}')


def problems(report):
    return {(each['about'], each['what']) for each in report['findings']
            if each['level'] == 'problem'}


def expect_problem(report, about, part):
    found = problems(report)
    expect(any(kind == about and part in what for kind, what in found), f'{about} {part}: {found}')
    for each in report['findings']:
        expect((each['level'] == 'well') == (each['advice'] == ''), f'advice: {each}')


def test_health_and_lost_members(binary):
    with Cluster([binary, 'serve']) as cluster:
        # One endpoint suffices: it knows the others. Disks and hashes only when asked for.
        code, report = doctor(binary, cluster.nodes[0].endpoint, '--hashes')
        expect(code == 0 and report['healthy'] and not problems(report), f'{report}')
        expect(len(report['members']) == 3, f'{report["members"]}')
        expect(sum(member['leader'] for member in report['members']) == 1, 'one leader')
        kinds = {each['about'] for each in report['findings']}
        expect({'members', 'quorum', 'leader', 'clocks', 'hashes'} <= kinds, f'{kinds}')
        text = run([binary, '--endpoints', cluster.endpoints, 'doctor'])
        expect(text.returncode == 0 and text.stdout.endswith('Nothing is wrong.\n'), f'{text}')

        lost = cluster.leader()
        lost.kill()
        left = [node for node in cluster.nodes if node is not lost]
        cluster_left = ','.join(node.endpoint for node in left)
        etcdctl(cluster_left, 'put', 'a', 'b', '--command-timeout=20s')  # there is a leader again
        code, report = doctor(binary, left[0].endpoint)
        expect(code == 1 and not report['healthy'], f'{report}')
        expect_problem(report, 'members', f'{lost.name} ')
        expect_problem(report, 'quorum', 'stops if one more')

        left[0].kill()
        code, report = doctor(binary, cluster.endpoints)
        expect(code == 1, f'{report}')
        expect_problem(report, 'quorum', '1 of 3 voters answer')
        left[1].kill()
        code, report = doctor(binary, cluster.endpoints)
        expect(code == 1, f'{report}')
        expect_problem(report, 'members', 'nobody answers')


def test_full_store(binary):
    with Cluster([binary, 'serve'], size=1, extra_flags=['--quota-backend-bytes=4000000']) as cluster:
        for number in range(40):
            done = etcdctl(cluster.endpoints, 'put', f'k{number}', 'v' * 120000)
            if done.returncode != 0:
                break
        expect('space exceeded' in done.stderr, f'never full: {done}')
        code, report = doctor(binary, cluster.endpoints)
        expect(code == 1, f'{report}')
        expect_problem(report, 'alarms', 'NOSPACE')
        text = run([binary, '--endpoints', cluster.endpoints, 'doctor']).stdout
        expect_in('quorate alarm disarm', text, 'what to do')


def test_added_member_never_started(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        done = run([binary, '--endpoints', cluster.endpoints, 'member', 'add', 'n2',
                    'http://127.0.0.1:1', '--learner'])
        expect(done.returncode == 0, done.stderr)
        code, report = doctor(binary, cluster.endpoints)
        expect(code == 1, f'{report}')
        expect_problem(report, 'members', 'never been started')


def test_disk_and_certificates(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        pem = os.path.join(cluster.directory, 'one.pem')
        key = os.path.join(cluster.directory, 'one.key')
        made = subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                               'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=probe',
                               '-days', '400', '-keyout', key, '-out', pem], capture_output=True)
        expect(made.returncode == 0, made.stderr.decode())
        code, report = doctor(binary, cluster.endpoints, '--data-dir', cluster.nodes[0].directory,
                              '--certificate', pem)
        what = ' '.join(each['what'] for each in report['findings'])
        expect_in('a small synced write takes', what, 'disk')
        expect_in('/CN=probe', what, 'certificate')
        code, report = doctor(binary, cluster.endpoints, '--certificate', key)
        expect(code == 1, f'{report}')
        expect_problem(report, 'certificates', 'no certificate')
