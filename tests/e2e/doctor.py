"""quorate doctor and quorate top against clusters in good and in bad health."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

from cluster import Cluster, clean_environment, etcdctl, expect, expect_in, run


def doctor(binary, endpoints, *arguments):
    done = run([binary, '--endpoints', endpoints, '--json', '--timeout', '8', 'doctor', *arguments])
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


def top_once(binary, endpoints, *flags):
    """One view as JSON, after one interval."""
    done = run([binary, '--endpoints', endpoints, '--json', 'top', '--once', '--interval', '1s',
                *flags])
    expect(done.stdout.count('\n') == 1, f'one line: {done}')
    return done.returncode, json.loads(done.stdout)


def test_top_sees_a_lost_member(binary):
    with Cluster([binary, 'serve']) as cluster:
        # One endpoint suffices here too. Somebody writes all the while.
        lines = ''.join(f'key{number}\tvalue\n' for number in range(100000))
        with subprocess.Popen([binary, '--endpoints', cluster.endpoints, 'put', '--from-file', '-',
                               '--rate', '200'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, env=clean_environment()) as writer:
            feeder = threading.Thread(target=feed, args=(writer.stdin, lines.encode()))
            feeder.start()
            try:
                end = time.monotonic() + 30
                while 'key1\n' not in etcdctl(cluster.endpoints, 'get', 'key1').stdout:
                    expect(time.monotonic() < end, 'nobody writes')
                code, view = top_once(binary, cluster.nodes[0].endpoint)
            finally:
                writer.kill()
                feeder.join()
        expect(code == 0 and view['answering'] == 3 and not view['problems'], f'{view}')
        roles = sorted(member['role'] for member in view['members'])
        expect(roles == ['follower', 'follower', 'leader'], f'{view}')
        expect(view['changes_per_second'] > 0 and view['puts_per_second'] > 0, f'{view}')
        expect(all(member['requests_per_second'] is not None for member in view['members']),
               f'{view}')

        lost = cluster.leader()
        lost.kill()
        left = [node for node in cluster.nodes if node is not lost]
        etcdctl(left[0].endpoint, 'put', 'a', 'b', '--command-timeout=20s')  # somebody leads again
        # One is gone, and another one only stopped: it takes connections and says nothing.
        left[1].process.send_signal(signal.SIGSTOP)
        code, view = top_once(binary, cluster.endpoints)
        left[1].process.send_signal(signal.SIGCONT)
        answers = {member['name']: member['answers'] for member in view['members']}
        expect(code == 0 and answers == {lost.name: False, left[0].name: True,
                                         left[1].name: False}, f'{view}')
        text = run([binary, '--endpoints', cluster.endpoints, 'top', '--once', '--interval', '1s'])
        expect(text.returncode == 0 and '\x1b' not in text.stdout, f'{text}')
        expect_in('3 members, 2 answer', text.stdout, 'text')
        expect_in('NO ANSWER', text.stdout, 'text')
        expect_in(f'{lost.name}: cannot connect', text.stdout, 'why')
        for node in left:
            node.kill()
        code, view = top_once(binary, cluster.endpoints)
        expect(code == 3 and view['answering'] == 0, f'{view}')


def feed(pipe, data):
    try:
        pipe.write(data)
        pipe.close()
    except OSError:  # whoever read it has been ended
        pass


def test_top_gives_the_terminal_back(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        for key in (b'q', b'\x03'):
            ours, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 6, 40, 0, 0))
            before = termios.tcgetattr(theirs)
            process = subprocess.Popen([binary, '--endpoints', cluster.endpoints, 'top',
                                        '--interval', '200ms'], stdin=theirs, stdout=theirs,
                                       env=clean_environment())
            seen = read_until(ours, b'n1 leads', 20)
            expect(termios.tcgetattr(theirs)[3] & termios.ECHO == 0, 'keys are not echoed')
            os.write(ours, key)
            code = process.wait(timeout=20)
            seen += read_until(ours, b'\x1b[?1049l', 20)
            expect(code == 0, f'ended with {code}')
            expect(seen.startswith(b'\x1b[?1049h'), f'{seen[:80]}')
            shown = re.sub(rb'\x1b\[[?0-9]*[A-Za-z]', b'\r\n', seen).split(b'\r\n')
            expect(b'every 0.2' in seen and max(map(len, shown)) == 40, f'40 columns: {seen}')
            expect(termios.tcgetattr(theirs) == before, 'the terminal is as it was')
            os.close(ours)
            os.close(theirs)
        done = run([binary, '--endpoints', cluster.endpoints, 'top', '--interval', 'often'])
        expect(done.returncode == 2 and 'write it like 2s' in done.stderr, f'{done}')


def read_until(descriptor, part, patience):
    seen = b''
    end = time.monotonic() + patience
    while part not in seen:
        ready, _, _ = select.select([descriptor], [], [], max(0, end - time.monotonic()))
        expect(ready, f'{part} never came: {seen}')
        seen += os.read(descriptor, 4096)
    return seen
