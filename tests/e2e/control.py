"""The commands that are etcdctl's: their output beside that of Debian's etcdctl, against the same
cluster; and what they do when members come and go."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from cluster import Cluster, Skip, clean_environment, etcdctl, expect, expect_in, run


def ours(binary, endpoints, *arguments, **more):
    return run([binary, '--endpoints', endpoints, *arguments], **more)


def normal(text):
    """Without what differs between two runs of the same command: times, positions, new ids, and
    fields of answers that etcdctl 3.4 did not know yet."""
    text = re.sub(r',"(storageVersion|hash_revision|dbSizeQuota)":("[^"]*"|\d+)', '', text)
    text = re.sub(r',"downgradeInfo":\{[^}]*\}', '', text)
    text = re.sub(r'"(revision|raftIndex|raftAppliedIndex|raft_term|raftTerm|dbSizeInUse)":\d+',
                  r'"\1":0', text)
    text = re.sub(r'"(Revision|RaftIndex|RaftAppliedIndex|RaftTerm)" : \d+', r'"\1" : 0', text)
    text = re.sub(r'"(mod_revision|create_revision|version)":\d+', r'"\1":0', text)
    text = re.sub(r'"((?:Prev)?(?:Mod|Create)Revision|(?:Prev)?Version)" : \d+', r'"\1" : 0', text)
    text = re.sub(r'"(ID|id|TTL|ttl|hash|lease)":\d+', r'"\1":0', text)
    text = re.sub(r'"(ID|TTL|Hash|Lease)" : \d+', r'"\1" : 0', text)
    text = re.sub(r'[\d.]+(ms|µs)', 'T', text)
    text = re.sub(r'lease [0-9a-f]{16}', 'lease X', text)
    text = re.sub(r'remaining\(\d+s\)', 'remaining', text)
    text = re.sub(r'[ -]*(T|\d+)[ -]*\|', '|', re.sub(r'-{2,}\+', '+', text))
    return re.sub(r' *\| *', '|', text)  # columns are as wide as the times in them


# Arguments, and perhaps stdin. Both programs run each of them against the same cluster, one after
# the other, so each must leave things as it found them, or not mind.
MATRIX = [
    ['put', 'a', '1'],
    ['put', 'a', '1', '--prev-kv'],
    ['put', 'odd', 'line\nbreak "quoted" \t<&> \u00e4\u20ac'],
    (['put', 'from-stdin'], 'read'),
    ['put', 'a', '--ignore-value'],
    ['get', 'a'],
    ['get', 'a', '--hex'],
    ['get', 'nothing'],
    ['get', '', '--prefix'],
    ['get', '', '--prefix', '--keys-only'],
    ['get', '', '--prefix', '--limit=1'],
    ['get', 'b', '--from-key', '--order=DESCEND'],
    ['get', 'a', '--consistency=s'],
    ['del', 'nothing', '--prev-kv'],
    (['txn'], 'mod("a") > "0"\n\nput a "in"\nget a\ndel c --prev-kv\nget zz\n\nput d other\n\n'),
    (['txn'], 'mod("a") < "0"\n\nput a "in"\n\nput d other\n\n'),
    (['txn', '-i'], 'mod("a") > "0"\n\nput a "in"\n\nput d other\n\n'),
    ['lease', 'timetolive', '7b'],
    ['lease', 'timetolive', '7b', '--keys'],
    ['lease', 'grant', '1000'],
    ['lease', 'list'],
    ['lease', 'timetolive', 'LEASE'],
    ['lease', 'timetolive', 'LEASE', '--keys'],
    ['lease', 'keep-alive', '--once', 'LEASE'],
    ['lease', 'keep-alive', '--once', '7b'],
    ['lease', 'revoke', '7b'],
    ['member', 'list'],
    ['endpoint', 'health'],
    ['endpoint', 'health', '--cluster'],
    ['endpoint', 'status'],
    ['endpoint', 'hashkv'],
    ['alarm', 'list'],
    ['alarm', 'disarm'],
    ['defrag'],
    ['compaction', '100000'],
    ['move-leader', '1'],
]
TABLES = [['member', 'list'], ['endpoint', 'health'], ['endpoint', 'status'],
          ['endpoint', 'hashkv']]
# etcdctl 3.4 panics: the server's answer to a list of alarms has no header.
PANICS = [('alarm', 'fields')]


def outcome(done):
    return done.returncode == 0, normal(done.stdout)


def differences(binary, endpoints, steps, lease):
    found = []
    for step, form in steps:
        arguments, given = step if isinstance(step, tuple) else (step, '')
        arguments = [lease if word == 'LEASE' else word for word in arguments]
        if (arguments[0], form) in PANICS:
            continue
        arguments = [*arguments, '-w', form]
        wanted = etcdctl(endpoints, *arguments, input=given)
        got = ours(binary, endpoints, *arguments, input=given)
        if 'unknown service' in wanted.stderr or 'Unimplemented' in wanted.stderr:
            expect(got.returncode != 0, f'{arguments}: the server lacks it')
            continue
        if outcome(got) != outcome(wanted):
            found.append(f'{arguments}\n    etcdctl: {outcome(wanted)} {wanted.stderr[-300:]}\n'
                         f'    quorate: {outcome(got)} {got.stderr[-300:]}')
    return found


def granted(endpoints, seconds='1000'):
    return etcdctl(endpoints, 'lease', 'grant', seconds).stdout.split()[1]


def test_same_output_as_etcdctl(binary):
    if not shutil.which('etcdctl'):
        raise Skip('etcdctl (etcd-client) is not installed')
    with Cluster([binary, 'serve'], size=1) as cluster:
        lease = granted(cluster.endpoints)
        etcdctl(cluster.endpoints, 'put', 'held', 'v', f'--lease={lease}')
        steps = [(step, form) for form in ('simple', 'json', 'fields') for step in MATRIX]
        steps += [(step, 'table') for step in TABLES]
        found = differences(binary, cluster.endpoints, steps, lease)
        expect(not found, f'{len(found)} of {len(steps)} differ:\n  ' + '\n  '.join(found))


def test_protobuf_output(binary):
    """Byte for byte: what changes nothing is answered alike."""
    if not shutil.which('etcdctl'):
        raise Skip('etcd-client is not installed')
    with Cluster([binary, 'serve'], size=1) as cluster:
        for words in (['put', 'a', 'b'], ['role', 'add', 'r']):
            expect(etcdctl(cluster.endpoints, *words).returncode == 0, str(words))
        for step in (['get', 'a'], ['get', '', '--prefix', '--keys-only'], ['del', 'nothing'],
                     ['member', 'list'], ['role', 'revoke-permission', 'r', 'nothing'],
                     (['txn'], '\nget a\n\n\n')):
            words, given = step if isinstance(step, tuple) else (step, '')
            both = [subprocess.run([*program, '--endpoints', cluster.endpoints, *words, '-w',
                                    'protobuf'], input=given.encode(), capture_output=True,
                                   timeout=20, env=clean_environment(ETCDCTL_API='3'))
                    for program in (['etcdctl'], [binary])]
            wanted, got = ((done.returncode, done.stdout) for done in both)
            expect(wanted == got, f'{words}: {wanted} and {got}')
            expect(wanted[1] or words[0] == 'role', f'{words}: nothing')


def test_endpoints_of_the_cluster(binary):
    with Cluster([binary, 'serve']) as cluster:
        one = cluster.nodes[1].endpoint
        for command in ('status', 'hashkv'):
            done = ours(binary, one, 'endpoint', command, '--cluster')
            expect(done.returncode == 0, done.stderr)
            named = sorted(line.split(',')[0] for line in done.stdout.splitlines())
            expect(named == sorted(f'http://{node.endpoint}' for node in cluster.nodes), f'{named}')
            # Their :authority is then the whole URL of the member list.
            done = etcdctl(one, 'endpoint', command, '--cluster')
            expect(done.returncode == 0 and len(done.stdout.splitlines()) == 3, f'{done}')
        cluster.nodes[0].kill()
        done = etcdctl(one, 'put', 'a', 'b', '--command-timeout=20s')  # somebody leads again
        expect(done.returncode == 0, done.stderr)
        done = ours(binary, one, 'endpoint', 'health', '--cluster', '--command-timeout=3s')
        expect(done.returncode == 3 and done.stderr.count(' is healthy:') == 2, f'{done}')
        expect_in(f'http://{cluster.nodes[0].endpoint} is unhealthy', done.stderr, 'the dead one')
        done = ours(binary, cluster.endpoints, 'endpoint', 'status', '-w', 'json',
                    '--command-timeout=3s')
        expect(done.returncode == 3 and len(json.loads(done.stdout)) == 2, f'{done}')


class Running:
    """A command that goes on until it is told to stop; what it printed meanwhile."""

    def __init__(self, command, stdin=subprocess.DEVNULL, **environment):
        self.output = tempfile.TemporaryFile()
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=self.output, stderr=self.errors,
                                        stdin=stdin, env=clean_environment(ETCDCTL_API='3',
                                                                           **environment))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def text(self):
        self.output.seek(0)
        return self.output.read().decode(errors='replace')

    def problems(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors='replace')

    def await_text(self, part, patience=40, times=1):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if self.text().count(part) >= times:
                return
            time.sleep(0.05)
        expect(False, f'waited for "{part}":\n{self.text()}\n{self.problems()}')

    def stop(self, patience=30):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=patience)


def watched(programs, endpoints, arguments):
    """What watches of several programs print of the same changes. They begin at a revision, so
    that nothing depends on when they are ready; and get one change after the other, for of what
    comes at once some forms of output tell the header only once."""
    done = json.loads(etcdctl(endpoints, 'get', 'w', '-w', 'json').stdout)
    first = f"--rev={done['header']['revision'] + 1}"
    watches = [Running([program, '--endpoints', endpoints, 'watch', arguments[0], first,
                        *arguments[1:]]) for program in programs]
    try:
        for change in (['put', 'w', '1'], ['put', 'w', 'two\nlines'], ['del', 'w']):
            before = [watch.text() for watch in watches]
            etcdctl(endpoints, *change)
            end = time.monotonic() + 30
            while any(watch.text() == text for watch, text in zip(watches, before)):
                expect(time.monotonic() < end, f'nobody hears of {change}: {before}')
                time.sleep(0.02)
        end = time.monotonic() + 30
        last = []
        while time.monotonic() < end:  # until the deletion is there, and nothing comes any more
            time.sleep(0.4)
            now = [watch.text() for watch in watches]
            if now == last and all(re.search('DELETE|"type":1', text) for text in now):
                break
            last = now
        return [re.sub(r'ETCD_WATCH_REVISION=\d+', 'ETCD_WATCH_REVISION=N', normal(text))
                for text in last]
    finally:
        for watch in watches:
            watch.__exit__()


def test_watch_like_etcdctl(binary):
    cases = [['w'], ['w', '--prev-kv'], ['w', '--prefix'], ['w', '-w', 'json', '--prev-kv'],
             ['w', '-w', 'fields', '--prev-kv'], ['w', '--hex'],
             ['w', '--', 'sh', '-c', 'env | grep ETCD_WATCH | sort']]
    with Cluster([binary, 'serve'], size=1) as cluster:
        for case in cases:
            wanted, got = watched(['etcdctl', binary], cluster.endpoints, case)
            expect(wanted and got == wanted, f'{case}:\netcdctl:\n{wanted}\nquorate:\n{got}')


def test_watch_interactive(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        with Running([binary, '--endpoints', cluster.endpoints, 'watch', '-i'],
                     stdin=subprocess.PIPE) as watch:
            watch.process.stdin.write(b'watch a\nnonsense\nwatch b --prefix -- echo hey\n')
            watch.process.stdin.flush()
            for key, value, seen in (('a', '1', 'PUT\na\n1\n'), ('bcd', '2', 'PUT\nbcd\n2\nhey\n')):
                end = time.monotonic() + 30
                while seen not in watch.text():  # nothing says when a watch has begun
                    expect(time.monotonic() < end, f'{seen} in {watch.text()}')
                    etcdctl(cluster.endpoints, 'put', key, value)
                    time.sleep(0.1)
            watch.process.stdin.write(b'progress\n')
            watch.process.stdin.flush()
            watch.await_text('progress notify: ', times=2)
            expect_in('invalid command "nonsense"', watch.problems(), 'what it does not know')
            watch.process.stdin.close()
            expect(watch.process.wait(timeout=10) == 2, 'the input ended')
        # A compacted revision ends a watch, and says from where on one may begin.
        etcdctl(cluster.endpoints, 'compaction', '3')
        done = ours(binary, cluster.endpoints, 'watch', 'a', '--rev', '1')
        expect(done.returncode == 1, f'compacted: {done}')
        expect_in('revisions from 3 on', done.stderr, 'compacted')


def test_watch_goes_on_when_members_die(binary):
    with Cluster([binary, 'serve']) as cluster:
        with Running([binary, '--endpoints', cluster.endpoints, 'watch', 'k']) as watch:
            end = time.monotonic() + 30
            while 'k\n0\n' not in watch.text() and time.monotonic() < end:
                etcdctl(cluster.endpoints, 'put', 'k', '0')
                time.sleep(0.2)
            etcdctl(cluster.endpoints, 'put', 'k', '9')  # the last of those
            watch.await_text('k\n9\n')
            first = watch.text().count('PUT')
            cluster.nodes[0].kill()  # the endpoint a client tries first
            cluster_endpoints = ','.join(node.endpoint for node in cluster.nodes[1:])
            for number in range(1, 6):
                done = etcdctl(cluster_endpoints, 'put', 'k', str(number), '--command-timeout=20s')
                expect(done.returncode == 0, done.stderr)
            watch.await_text('k\n5\n')
            values = re.findall(r'k\n(\d)\n', watch.text())[first:]
            expect(values == list('12345'), f'each once, in order: {values}')


def test_lock_waits_in_one_line_with_etcdctl(binary):
    def await_line(length):
        end = time.monotonic() + 30
        while etcdctl(cluster.endpoints, 'get', 'door/', '--prefix',
                      '--keys-only').stdout.count('door/') < length:
            expect(time.monotonic() < end, f'{length} in the line')
            time.sleep(0.05)

    with Cluster([binary, 'serve'], size=1) as cluster:
        held = [binary, '--endpoints', cluster.endpoints, 'lock', 'door']
        with Running(held) as first:
            first.await_text('door/')
            with Running(['etcdctl', '--endpoints', cluster.endpoints, 'lock', 'door']) as second:
                await_line(2)
                with Running([*held, '--', 'sh', '-c',
                              'echo $ETCD_LOCK_KEY rev $ETCD_LOCK_REV; exit 7']) as third:
                    await_line(3)
                    time.sleep(0.3)
                    expect(second.text() == '' and third.text() == '', 'both wait')
                    expect(first.stop() == 0, first.problems())
                    second.await_text('door/')
                    expect(third.text() == '', 'still waits')
                    second.process.send_signal(signal.SIGINT)
                    third.await_text(' rev ')
                    expect(re.match(r'door/[0-9a-f]+ rev \d+\n$', third.text()), third.text())
                    expect(third.process.wait(timeout=10) == 7, 'the exit code of the command')
        left = etcdctl(cluster.endpoints, 'get', 'door/', '--prefix', '--keys-only').stdout
        expect(left == '', f'released: {left}')


def test_lock_is_kept_longer_than_its_lease(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        enough = os.path.join(cluster.directory, 'enough')
        with Running([binary, '--endpoints', cluster.endpoints, 'lock', 'l', '--ttl', '4', '--', 'sh',
                      '-c', f'echo mine; until [ -e {enough} ]; do sleep 0.1; done']) as holder:
            holder.await_text('mine')
            time.sleep(6)
            left = etcdctl(cluster.endpoints, 'get', 'l/', '--prefix', '--keys-only').stdout
            expect(left.startswith('l/'), 'renewed')
            with open(enough, 'w'):
                pass
            expect(holder.process.wait(timeout=30) == 0, holder.problems())


def test_elections(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        elect = [binary, '--endpoints', cluster.endpoints, 'elect', 'chair']
        with Running([*elect, '--listen']) as looker, Running([*elect, 'one']) as one:
            one.await_text('\none\n')
            with Running([*elect, 'two']) as two:
                looker.await_text('\none\n')
                time.sleep(0.3)
                expect(two.text() == '', 'waits')
                one.stop()
                two.await_text('\ntwo\n')
                looker.await_text('\ntwo\n')
                shown = ours(binary, cluster.endpoints, 'get', 'chair/', '--prefix', '-w', 'simple')
                expect(two.text() == shown.stdout, f'{two.text()} {shown.stdout}')
                two.stop()
        done = ours(binary, cluster.endpoints, 'elect', 'chair')
        expect(done.returncode == 2 and 'proposal' in done.stderr, done.stderr)


def test_lease_kept_alive(binary):
    with Cluster([binary, 'serve']) as cluster:
        lease = granted(cluster.endpoints, '6')
        with Running([binary, '--endpoints', cluster.endpoints, 'lease', 'keep-alive',
                      lease]) as keeper:
            keeper.await_text('keepalived with TTL(6)')
            cluster.nodes[0].kill()
            before = keeper.text().count('keepalived')
            keeper.await_text('keepalived', times=before + 3)
            done = etcdctl(cluster.endpoints, 'lease', 'revoke', lease, '--command-timeout=20s')
            expect(done.returncode == 0, done.stderr)
            keeper.await_text(f'lease {lease} expired or revoked.\n')
            expect(keeper.process.wait(timeout=10) == 0, keeper.problems())


def test_mirror(binary):
    with Cluster([binary, 'serve'], size=1) as source, Cluster([binary, 'serve'], size=1) as copy:
        for number in range(30):
            etcdctl(source.endpoints, 'put', f'in/{number:02}', str(number))
        etcdctl(source.endpoints, 'put', 'out', 'side')
        with Running([binary, '--endpoints', source.endpoints, 'make-mirror', copy.endpoints,
                      '--prefix', 'in/', '--dest-prefix', 'copied/', '--max-txn-ops', '8']) as mirror:
            def rows():
                done = etcdctl(copy.endpoints, 'get', '', '--prefix')
                return done.stdout.split('\n')[:-1]
            end = time.monotonic() + 60
            while time.monotonic() < end and len(rows()) < 60:
                time.sleep(0.1)
            expect(len(rows()) == 60 and rows()[:2] == ['copied/00', '0'], f'{rows()}')
            etcdctl(source.endpoints, 'del', 'in/', '--prefix')
            etcdctl(source.endpoints, 'put', 'in/new', 'x')
            while time.monotonic() < end and rows() != ['copied/new', 'x']:
                time.sleep(0.1)
            expect(rows() == ['copied/new', 'x'], f'{rows()}')
            expect(mirror.stop() == 0, mirror.problems())


def test_check_perf(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        done = ours(binary, cluster.endpoints, 'check', 'perf', '--seconds', '2', '--auto-compact')
        lines = done.stdout.split('\n')
        expect(re.match(r'(PASS: Throughput is|FAIL: Throughput too low:) \d+ writes/s$', lines[0]),
               f'{done.stdout} {done.stderr}')
        expect(lines[-2] in ('PASS', 'FAIL') and (done.returncode == 0) == (lines[-2] == 'PASS'),
               f'{done}')
        left = etcdctl(cluster.endpoints, 'get', '/etcdctl-check-perf/', '--prefix', '--count-only',
                       '--keys-only')
        expect('check-perf' not in left.stdout, left.stdout[:200])


def test_check_datascale(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        prefix = '/etcdctl-check-datascale/'
        etcdctl(cluster.endpoints, 'put', prefix + 'mine', 'v')
        done = ours(binary, cluster.endpoints, 'check', 'datascale')
        expect(done.returncode != 0 and f'prefix "{prefix}" has keys' in done.stderr, f'{done}')
        etcdctl(cluster.endpoints, 'del', prefix + 'mine')
        done = ours(binary, cluster.endpoints, 'check', 'datascale', '--auto-compact')
        expect(re.fullmatch(r'Start data scale check for work load \[10000 key-value pairs, 1024 bytes '
                            r'per key-value, 50 concurrent clients\]\.\n'
                            r'PASS: Approximate system memory used : \d+\.\d\d MB\.\n',
                            done.stdout), f'{done}')
        left = etcdctl(cluster.endpoints, 'get', prefix, '--prefix', '--keys-only')
        expect(left.stdout == '', left.stdout[:200])
        done = ours(binary, cluster.endpoints, 'check', 'datascale', '--load', 'z')
        expect(done.returncode != 0 and 's, m, l or xl' in done.stderr, f'{done}')


def test_changes_of_members_like_etcdctl(binary):
    """Each side adds a learner of its own, changes it and removes it; ids and URLs are taken out."""
    if not shutil.which('etcdctl'):
        raise Skip('etcdctl (etcd-client) is not installed')
    with Cluster([binary, 'serve'], size=1) as cluster:
        programs = [lambda *words: etcdctl(cluster.endpoints, *words),
                    lambda *words: ours(binary, cluster.endpoints, *words)]

        def shown(done):
            text = re.sub(r'"(ID|member_id|cluster_id|raft_term)":\d+', r'"\1":0', done.stdout)
            text = re.sub(r' +[0-9a-f]{10,16}\b', ' <id>', re.sub(r'127\.0\.0\.1:\d+', '<at>', text))
            # In the order of ids, which are random.
            text = re.sub(r'CLUSTER="(.*)"', lambda found: str(sorted(found[1].split(','))), text)
            members = re.search(r'"members":\[(.*)\]', text)
            return done.returncode == 0, text.replace(members[0], str(sorted(
                re.findall(r'\{.*?\}', members[1])))) if members else ''.join(
                    sorted(text.replace(',', '\n').splitlines(True)))

        port = 1
        for form in ('simple', 'json', 'table', 'fields'):
            answers = []
            for call in programs:
                port += 2
                url = f'http://127.0.0.1:{port}'
                said = [shown(call('member', 'add', 'new', '--learner', f'--peer-urls={url}', '-w', form))]
                if not said[0][0]:  # no such form: add it anyhow
                    etcdctl(cluster.endpoints, 'member', 'add', 'new', '--learner', f'--peer-urls={url}')
                lines = etcdctl(cluster.endpoints, 'member', 'list').stdout.splitlines()
                member = next(line.split(',')[0] for line in lines if f'{url},' in line)
                leader = next(line.split(',')[0] for line in lines if f'{url},' not in line)
                for words in (['update', member, f'--peer-urls=http://127.0.0.1:{port + 1}'],
                              ['promote', member], ['remove', member]):
                    said.append(shown(call('member', *words, '-w', form)))
                said.append(shown(call('move-leader', leader, '-w', form)))
                answers.append(said)
                etcdctl(cluster.endpoints, 'member', 'remove', member)
            expect(answers[0] == answers[1], f'{form}:\n  {answers[0]}\n  {answers[1]}')


def test_environment_and_usage(binary):
    with Cluster([binary, 'serve'], size=1) as cluster:
        more = clean_environment(ETCDCTL_ENDPOINTS=cluster.endpoints, ETCDCTL_WRITE_OUT='json',
                                 ETCDCTL_COMMAND_TIMEOUT='7s')
        done = subprocess.run([binary, 'get', 'a'], capture_output=True, text=True, env=more,
                              timeout=20)
        expect('"header"' in done.stdout, f'{done}')
    cases = [(['lease', 'grant', 'x'], 2, 'whole seconds'),
             (['lease', 'revoke', 'zz'], 2, 'hexadecimal'),
             (['--command-timeout', 'soon', 'get', 'a'], 2, 'no duration'),
             (['get', 'a', '-w', 'table'], 2, 'not supported'),
             (['elect'], 2, 'name'),
             (['role', 'grant-permission', 'r', 'bad', 'k'], 2, 'read, write or readwrite')]
    for arguments, code, part in cases:
        done = run([binary, *arguments])
        expect(done.returncode == code, f'{arguments}: {done}')
        expect_in(part, done.stderr, str(arguments))
    done = run([binary, 'version'])
    expect(re.fullmatch(r'quorate version: [\d.]+\nAPI version: 3\.\d+\n', done.stdout), done.stdout)


def test_completion_scripts(binary):
    script = run([binary, 'completion', 'bash']).stdout
    probe = script + ('\nCOMP_WORDS=(quorate --endpoints x lease "t"); COMP_CWORD=4; _quorate; '
                      'echo "${COMPREPLY[@]}"\n')
    done = subprocess.run(['bash', '-c', probe], capture_output=True, text=True, timeout=20)
    expect(done.stdout == 'timetolive\n', f'{done}')
    zsh = run([binary, 'completion', 'zsh']).stdout
    expect(zsh.startswith('#compdef quorate\n') and '"lease grant"' in zsh, zsh[:200])
    if shutil.which('zsh'):
        done = subprocess.run(['zsh', '-n', '/dev/stdin'], input=zsh, text=True,
                              capture_output=True, timeout=20)
        expect(done.returncode == 0, done.stderr)
    fish = run([binary, 'completion', 'fish']).stdout
    expect_in("-a keep-alive -d", fish, 'fish')
    done = run([binary, 'completion', 'tcsh'])
    expect(done.returncode == 2, 'a shell it does not know')
