"""Users, roles and tokens: Debian's etcdctl against Debian's etcd and against Quorate."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from cluster import Cluster, Skip, etcdctl, expect, expect_in
from compat import errors_only, normal
from snapshot import restored
from watch import Watch

ROOT = ['--user', 'root:rp']
BOB = ['--user', 'bob:bp']

# Run in order against both; (arguments, stdin) where something is read.
SETUP = [
    ['auth', 'disable'],
    ['user', 'add', 'root:rp'],
    ['user', 'add', 'root:again'],
    ['user', 'add', 'bob:bp'],
    ['user', 'add', 'eve:ep'],
    ['user', 'add', 'cert', '--no-password'],
    (['user', 'add', 'typed', '--interactive=false'], 'typed password\n'),
    ['user', 'get', 'root'],
    ['user', 'get', 'nobody'],
    ['user', 'delete', 'nobody'],
    ['user', 'list'],
    ['role', 'list'],
    ['role', 'get', 'root'],
    ['user', 'grant-role', 'bob', 'r1'],
    ['role', 'add', 'r1'],
    ['role', 'add', 'r1'],
    ['role', 'add', ''],
    ['user', 'grant-role', 'nobody', 'r1'],
    ['role', 'grant-permission', 'nothing', 'read', 'x'],
    ['role', 'grant-permission', 'r1', 'read', 'a'],
    ['role', 'grant-permission', 'r1', 'readwrite', 'b', 'e'],
    ['role', 'grant-permission', 'r1', 'readwrite', 'e', 'ee'],
    ['role', 'grant-permission', 'r1', 'write', 'f', '--prefix'],
    ['role', 'grant-permission', 'r1', 'read', 'z', '--from-key'],
    ['role', 'grant-permission', 'r1', 'write', 'a'],
    ['role', 'grant-permission', 'r1', 'read', 'a'],
    ['role', 'revoke-permission', 'r1', 'nokey'],
    ['role', 'revoke-permission', 'nothing', 'a'],
    ['role', 'get', 'r1'],
    ['role', 'get', 'r1', '-w', 'json'],
    ['role', 'get', 'nothing'],
    ['role', 'delete', 'nothing'],
    ['user', 'grant-role', 'bob', 'r1'],
    ['user', 'grant-role', 'bob', 'r1'],
    ['user', 'revoke-role', 'bob', 'nothing'],
    ['user', 'revoke-role', 'nobody', 'r1'],
    ['user', 'get', 'bob'],
    ['user', 'get', 'bob', '--detail'],
    ['user', 'get', 'bob', '-w', 'json'],
    ['put', 'a', '0'],
    ['put', 'x', '0'],
    ['--user', 'bob:bp', 'get', 'a'],  # while auth is off nobody is asked
    ['auth', 'enable'],
]
ENABLED = [
    ['auth', 'enable'],
    [*ROOT, 'auth', 'enable'],
    ['get', 'a'],
    ['put', 'a', '1'],
    ['del', 'a'],
    (['txn'], '\n\nget a\n\n\n'),
    ['user', 'list'],
    ['user', 'add', 'new:np'],
    ['--user', 'bob:wrong', 'get', 'a'],
    ['--user', 'nobody:x', 'get', 'a'],
    ['--user', 'cert:x', 'get', 'a'],
    ['--user', 'typed:typed password', 'get', 'a'],
    [*ROOT, 'get', 'a'],
    [*ROOT, 'user', 'get', 'root'],
    [*ROOT, 'role', 'list'],
    [*BOB, 'get', 'a'],
    [*BOB, 'get', 'a', '--consistency=s'],
    [*BOB, 'get', 'x'],
    [*BOB, 'get', 'x', '--consistency=s'],
    [*BOB, 'get', 'a', 'e'],
    [*BOB, 'get', 'b', 'e'],
    [*BOB, 'get', 'b', 'ee'],
    [*BOB, 'get', 'b', 'ef'],
    [*BOB, 'get', 'z', '--from-key'],
    [*BOB, 'get', 'y', '--from-key'],
    [*BOB, 'get', '', '--prefix'],
    [*BOB, 'put', 'a', '1'],
    [*BOB, 'put', 'b', '1'],
    [*BOB, 'put', 'b', '2', '--prev-kv'],
    [*BOB, 'put', 'f1', '1'],
    [*BOB, 'put', 'f1', '1', '--prev-kv'],
    [*BOB, 'del', 'f1', '--prev-kv'],
    [*BOB, 'del', 'f', '--prefix'],
    [*BOB, 'del', 'b', 'g'],
    [*BOB, 'del', 'a'],
    (([*BOB, 'txn']), '\n\nput b 5\nget a\n\n\n'),
    (([*BOB, 'txn']), '\n\nput b 5\nput x 1\n\n\n'),
    (([*BOB, 'txn']), '\n\nput b 5\n\nput x 1\n\n'),
    (([*BOB, 'txn']), 'value("x") = "0"\n\nput b 6\n\n\n'),
    (([*BOB, 'txn']), '\n\nget a\nget b\n\n\n'),
    (([*BOB, 'txn']), '\n\nget a\nget x\n\n\n'),
    (([*BOB, 'txn']), '\n\ndel f9 --prev-kv\n\n\n'),
    [*BOB, 'user', 'get', 'bob'],
    [*BOB, 'user', 'get', 'root'],
    [*BOB, 'user', 'list'],
    [*BOB, 'user', 'add', 'new:np'],
    [*BOB, 'user', 'delete', 'eve'],
    [*BOB, 'user', 'grant-role', 'bob', 'root'],
    (([*BOB, 'user', 'passwd', 'bob', '--interactive=false']), 'other\n'),
    [*BOB, 'role', 'get', 'r1'],
    [*BOB, 'role', 'get', 'root'],
    [*BOB, 'role', 'list'],
    [*BOB, 'role', 'add', 'r2'],
    [*BOB, 'role', 'delete', 'r1'],
    [*BOB, 'role', 'grant-permission', 'r1', 'read', 'x'],
    [*BOB, 'auth', 'disable'],
    ['auth', 'disable'],
    [*BOB, 'lease', 'revoke', '1234'],
    ['member', 'remove', '1'],
    [*BOB, 'member', 'remove', '1'],
    [*BOB, 'member', 'add', 'n9', '--peer-urls=http://127.0.0.1:1'],
    ['watch', 'a'],
    [*BOB, 'watch', 'x'],
    [*BOB, 'watch', 'b', 'z'],
    [*BOB, 'watch', '', '--prefix'],
    [*BOB, 'watch', 'y', '--from-key'],
    [*ROOT, 'user', 'delete', 'root'],
    [*ROOT, 'user', 'revoke-role', 'root', 'root'],
    [*ROOT, 'role', 'delete', 'root'],
    [*ROOT, 'role', 'revoke-permission', 'r1', 'b', 'e'],
    [*BOB, 'get', 'b'],
    [*ROOT, 'user', 'revoke-role', 'bob', 'r1'],
    [*BOB, 'get', 'a'],
    [*ROOT, 'user', 'grant-role', 'bob', 'root'],
    [*BOB, 'user', 'list'],
    [*ROOT, 'user', 'revoke-role', 'bob', 'root'],
    [*ROOT, 'user', 'grant-role', 'bob', 'r1'],
    (([*ROOT, 'user', 'passwd', 'bob', '--interactive=false']), 'other\n'),
    [*BOB, 'get', 'a'],
    ['--user', 'bob:other', 'get', 'a'],
    [*ROOT, 'user', 'delete', 'eve'],
    ['--user', 'eve:ep', 'get', 'a'],
    [*ROOT, 'role', 'delete', 'r1'],
    ['--user', 'bob:other', 'get', 'a'],
    [*ROOT, 'auth', 'disable'],
    [*BOB, 'get', 'x'],
    ['get', 'x'],
    ['user', 'delete', 'bob'],
    ['user', 'list'],
]


def outcome(endpoint, step):
    arguments, given = step if isinstance(step, tuple) else (step, None)
    done = etcdctl(endpoint, *arguments, input=given or '')
    errors = errors_only(done.stderr)
    if 'watch' in arguments:
        errors += done.stdout + ''.join(re.findall(r'watch was canceled.*', done.stderr))
    return done.returncode, normal(done.stdout), errors


def compare(binary, size):
    if not shutil.which('etcd') or not shutil.which('etcdctl'):
        raise Skip('etcd-server and etcd-client are not installed')
    with Cluster(['etcd'], size=1) as reference, Cluster([binary, 'serve'], size=size) as ours:
        differences = []
        for number, step in enumerate(SETUP + ENABLED):
            wanted = outcome(reference.endpoints, step)
            # Each step at another member: what was said at one holds at all.
            got = outcome(ours.nodes[number % size].endpoint, step)
            if got != wanted:
                differences.append(f'{step}\n    etcd:    {wanted}\n    quorate: {got}')
        expect(not differences, f'{len(differences)} of {len(SETUP + ENABLED)} differ:\n  ' +
               '\n  '.join(differences))


def test_one_member_like_etcd(binary):
    compare(binary, 1)


def test_three_members_like_etcd(binary):
    compare(binary, 3)


def done(cluster, *arguments, node=0, **more):
    return etcdctl(cluster.nodes[node].endpoint, *arguments, **more)


def fine(cluster, *arguments, node=0, **more):
    result = done(cluster, *arguments, node=node, **more)
    expect(result.returncode == 0, f'{arguments}: {result.stdout}{result.stderr}')
    return result.stdout


def refused(cluster, reason, *arguments, node=0):
    result = done(cluster, *arguments, node=node)
    expect(result.returncode != 0, f'{arguments} was let through: {result.stdout}')
    expect_in(reason, result.stdout + result.stderr, str(arguments))


def found_users(cluster):
    """root, and bob who may read and write [b, e)."""
    for user in ('root:rp', 'bob:bp'):
        fine(cluster, 'user', 'add', user)
    fine(cluster, 'role', 'add', 'r1')
    fine(cluster, 'role', 'grant-permission', 'r1', 'readwrite', 'b', 'e')
    fine(cluster, 'user', 'grant-role', 'bob', 'r1')


def test_leases_and_what_etcd_34_lets_through(binary):
    """Some of this Debian's etcd permits: later versions closed these holes."""
    with Cluster([binary, 'serve'], size=1) as cluster:
        found_users(cluster)
        grant = fine(cluster, 'lease', 'grant', '600')
        foreign = re.match(r'lease (\w+) granted', grant).group(1)
        fine(cluster, 'put', 'x', 'v', f'--lease={foreign}')
        fine(cluster, 'auth', 'enable')
        denied, nobody = 'permission denied', 'user name is empty'
        own = re.match(r'lease (\w+) granted', fine(cluster, *BOB, 'lease', 'grant', '600')).group(1)
        fine(cluster, *BOB, 'put', 'b', 'v', f'--lease={own}')
        for words in (['lease', 'grant', '60'], ['lease', 'list'], ['lease', 'revoke', foreign],
                      ['lease', 'timetolive', own], ['lease', 'keep-alive', '--once', own],
                      ['member', 'list'], ['endpoint', 'status'], ['endpoint', 'hashkv'],
                      ['alarm', 'list'], ['defrag'], ['compaction', '1'], ['move-leader', '1']):
            refused(cluster, nobody, *words)
        for words in (['lease', 'revoke', foreign], ['lease', 'timetolive', foreign, '--keys'],
                      ['lease', 'keep-alive', '--once', foreign],
                      ['put', 'b', 'v', f'--lease={foreign}'], ['endpoint', 'hashkv'],
                      ['defrag'], ['compaction', '1'], ['move-leader', '1']):
            refused(cluster, denied, *BOB, *words)
        for words in (['lease', 'list'], ['lease', 'timetolive', own, '--keys'],
                      ['lease', 'timetolive', foreign], ['lease', 'keep-alive', '--once', own],
                      ['member', 'list'], ['endpoint', 'status'], ['alarm', 'list'],
                      ['endpoint', 'health'], ['lease', 'revoke', own]):
            fine(cluster, *BOB, *words)
        for words in (['endpoint', 'hashkv'], ['alarm', 'disarm'], ['defrag'], ['compaction', '1'],
                      ['lease', 'revoke', foreign]):
            fine(cluster, *ROOT, *words)
        refused(cluster, 'invalid auth management', *ROOT, 'role', 'grant-permission', 'r1', 'read',
                'z', 'a')
        expect_in('[, <open ended>', fine(cluster, *ROOT, 'role', 'get', 'root'), 'the role of root')


def test_watch_lock_and_elect(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        found_users(cluster)
        fine(cluster, 'auth', 'enable')
        # From the next revision on, so that it may begin when it likes.
        done = json.loads(fine(cluster, *ROOT, 'get', 'x', '-w', 'json'))
        first = done['header']['revision'] + 1
        with Watch(cluster.endpoints, *BOB, 'b', 'e', f'--rev={first}') as watching:
            fine(cluster, *ROOT, 'put', 'x', 'hidden')
            fine(cluster, *BOB, 'put', 'c', 'seen')
            watching.wait(lambda text: 'seen\n' in text, 'the event')
            time.sleep(0.5)  # one too many would come right behind
            expect(watching.text() == 'PUT\nc\nseen\n', watching.text())
        fine(cluster, *BOB, 'lock', 'b', 'true')
        refused(cluster, 'permission denied', *BOB, 'lock', 'x', 'true')
        refused(cluster, 'user name is empty', 'lock', 'b', 'true')


def test_expires_with_auth_on_and_survives_restart_and_snapshot(binary):
    with Cluster([binary, 'serve', '--snapshot-count', '50',
                  '--snapshot-catchup-entries', '10']) as cluster:
        found_users(cluster)
        away = cluster.nodes[2]
        away.kill()
        for number in range(100):  # more than the log keeps: it gets a snapshot
            fine(cluster, 'put', f'k{number % 5}', 'v')
        fine(cluster, 'auth', 'enable')
        lease = re.match(r'lease (\w+) granted', fine(cluster, *BOB, 'lease', 'grant', '3')).group(1)
        fine(cluster, *BOB, 'put', 'b', 'short', f'--lease={lease}')
        away.start()
        for node in range(3):
            end = time.monotonic() + 60
            while 'short' not in done(cluster, *BOB, 'get', 'b', '--consistency=s', node=node).stdout:
                if not done(cluster, *BOB, 'get', 'b', node=0).stdout:
                    break  # it has run out meanwhile
                expect(time.monotonic() < end, f'{cluster.nodes[node].name} does not catch up')
                time.sleep(0.2)
            while done(cluster, *ROOT, 'get', 'k1', node=node).returncode != 0:
                expect(time.monotonic() < end, f'{cluster.nodes[node].name} does not answer')
                time.sleep(0.2)
            refused(cluster, 'permission denied', *BOB, 'get', 'x', node=node)
            refused(cluster, 'user name is empty', 'get', 'b', node=node)
        end = time.monotonic() + 60
        while done(cluster, *ROOT, 'get', 'b').stdout:
            expect(time.monotonic() < end, 'the lease does not end')
            time.sleep(0.2)
        for node in cluster.nodes:
            node.terminate()
        for node in cluster.nodes:
            node.start()
        for node in range(3):
            end = time.monotonic() + 60
            while done(cluster, *ROOT, 'get', 'k1', node=node).returncode != 0:
                expect(time.monotonic() < end, 'no answer after the restart')
                time.sleep(0.2)
        for node in range(3):
            refused(cluster, 'permission denied', *BOB, 'put', 'x', '1', node=node)
            refused(cluster, 'user name is empty', 'put', 'b', '1', node=node)
            fine(cluster, *BOB, 'put', 'b', '1', node=node)
        # A failed client may not stay: the leader goes, its followers know the tokens.
        users = json.loads(fine(cluster, *ROOT, 'user', 'list', '-w', 'json', node=1))
        expect(users['users'] == ['bob', 'root'], str(users))


def test_a_snapshot_takes_users_and_roles_along(binary):
    with Cluster([binary, 'serve'], size=1) as cluster, tempfile.TemporaryDirectory() as place:
        found_users(cluster)
        fine(cluster, 'put', 'b', 'kept')
        fine(cluster, 'auth', 'enable')
        file = os.path.join(place, 'snapshot.db')
        refused(cluster, 'user name is empty', 'snapshot', 'save', file)
        refused(cluster, 'permission denied', *BOB, 'snapshot', 'save', file)
        fine(cluster, *ROOT, 'snapshot', 'save', file)
        etcd = Cluster(['etcd'], size=1)
        restored(etcd, file)
        with etcd:
            expect(fine(etcd, *BOB, 'get', 'b') == 'b\nkept\n', 'the row')
            refused(etcd, 'permission denied', *BOB, 'get', 'x')
            refused(etcd, 'user name is empty', 'get', 'b')
            for words in (['role', 'get', 'r1'], ['user', 'get', 'bob'], ['user', 'list']):
                expect(fine(etcd, *ROOT, *words) == fine(cluster, *ROOT, *words), str(words))


def post(endpoint, path, body, token=None):
    headers = {'Authorization': token} if token else {}
    request = urllib.request.Request(f'http://{endpoint}{path}', json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_gateway_and_tokens_of_other_members(binary):
    with Cluster([binary, 'serve', '--auth-token-ttl', '6']) as cluster:
        found_users(cluster)
        status, answer = post(cluster.nodes[0].endpoint, '/v3/auth/enable', {})
        expect((status, answer.get('code')) == (400, 9), f'{status} {answer}')  # root has no role yet
        fine(cluster, 'auth', 'enable')
        status, answer = post(cluster.nodes[0].endpoint, '/v3/auth/authenticate',
                              {'name': 'bob', 'password': 'no'})
        expect((status, answer['code']) == (400, 3), f'{status} {answer}')
        status, answer = post(cluster.nodes[0].endpoint, '/v3/auth/authenticate',
                              {'name': 'bob', 'password': 'bp'})
        expect(status == 200, f'{status} {answer}')
        token = answer['token']
        expect(re.fullmatch(r'[A-Za-z]{16}\.\d+', token), token)
        key = {'key': 'Yg=='}  # b
        for number, node in enumerate(cluster.nodes):  # at once, wherever it is asked
            spelled = token if number else f'Bearer {token}'
            status, answer = post(node.endpoint, '/v3/kv/put', {**key, 'value': 'MQ=='}, spelled)
            expect(status == 200, f'{node.name}: {status} {answer}')
            status, answer = post(node.endpoint, '/v3/kv/range', key, token)
            expect(status == 200 and answer['kvs'][0]['value'] == 'MQ==', f'{status} {answer}')
            status, answer = post(node.endpoint, '/v3/kv/range', {'key': 'eA=='}, token)
            expect((status, answer['code']) == (403, 7), f'{status} {answer}')
            status, answer = post(node.endpoint, '/v3/kv/range', key)
            expect((status, answer['code']) == (400, 3), f'{status} {answer}')
            status, answer = post(node.endpoint, '/v3/kv/range', key, 'x' * 16 + '.1')
            expect((status, answer['code']) == (401, 16), f'{status} {answer}')
            status, answer = post(node.endpoint, '/v3/kv/range', key, 'x' * 16 + '.99999999')
            expect((status, answer['code']) == (401, 16), f'{status} {answer}')
        status, answer = post(cluster.nodes[1].endpoint, '/v3/auth/status', {})
        expect(status == 200 and answer['enabled'] and int(answer['authRevision']) > 5, str(answer))
        for _ in range(4):  # what is used lives on
            time.sleep(2)
            expect(post(cluster.nodes[1].endpoint, '/v3/kv/range', key, token)[0] == 200, 'used')
        time.sleep(7)
        status, answer = post(cluster.nodes[1].endpoint, '/v3/kv/range', key, token)
        expect((status, answer['code']) == (401, 16), f'unused: {status} {answer}')


def test_signed_tokens(binary):
    if not shutil.which('openssl'):
        raise Skip('openssl is not installed')
    with tempfile.TemporaryDirectory() as place:
        secret, known = os.path.join(place, 'secret.pem'), os.path.join(place, 'known.pem')
        for words in (['genrsa', '-out', secret, '2048'],
                      ['rsa', '-in', secret, '-pubout', '-out', known]):
            made = subprocess.run(['openssl', *words], capture_output=True, text=True)
            expect(made.returncode == 0, made.stderr)
        keys = f'jwt,pub-key={known},priv-key={secret},sign-method=RS256,ttl=10m'
        with Cluster([binary, 'serve', '--auth-token', keys]) as cluster:
            found_users(cluster)
            fine(cluster, 'auth', 'enable')
            for node in range(3):
                fine(cluster, *BOB, 'put', 'b', '1', node=node)
                refused(cluster, 'permission denied', *BOB, 'get', 'x', node=node)
            login = {'name': 'bob', 'password': 'bp'}
            status, answer = post(cluster.nodes[0].endpoint, '/v3/auth/authenticate', login)
            expect(status == 200 and answer['token'].count('.') == 2, str(answer))
            token, key = answer['token'], {'key': 'Yg=='}
            for node in cluster.nodes:
                expect(post(node.endpoint, '/v3/kv/range', key, token)[0] == 200, node.name)
            status, answer = post(cluster.nodes[1].endpoint, '/v3/kv/range', key, token[:-4] + 'AAAA')
            expect((status, answer['code']) == (401, 16), f'{status} {answer}')
            fine(cluster, *ROOT, 'role', 'add', 'r2')
            status, answer = post(cluster.nodes[0].endpoint, '/v3/kv/range', key, token)
            expect(answer.get('error') == 'etcdserver: revision of auth store is old', str(answer))


def test_wrong_passwords_stall_nobody(binary):
    with Cluster([binary, 'serve', '--bcrypt-cost', '12'], size=1) as cluster:
        found_users(cluster)
        fine(cluster, 'auth', 'enable')
        guess = {'name': 'root', 'password': 'guess'}
        with concurrent.futures.ThreadPoolExecutor(60) as threads:
            flood = [threads.submit(post, cluster.endpoints, '/v3/auth/authenticate', guess)
                     for _ in range(60)]
            time.sleep(0.3)
            # etcdctl asks for its token within the time that it has to connect.
            fine(cluster, *BOB, 'put', 'b', '1', '--command-timeout=20s', '--dial-timeout=20s')
            before = sum(each.done() for each in flood)
            answers = [each.result()[1] for each in flood]
        # Some are refused at once. Of the others two or three had their turn.
        expect(before < len(flood) - 10, f'another user waited for {before} of {len(flood)}')
        expect(any('too many requests' in each['error'] for each in answers), str(answers[-1]))
        expect(not any('token' in each for each in answers), 'a guess was right')
