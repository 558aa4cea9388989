"""Patroni over the members under test: a PostgreSQL primary and a synchronous standby that must
stay, or take over, whatever is killed. Patroni speaks the JSON gateway (its driver `etcd3`)."""
import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from cluster import Cluster, Failure, Skip, clean_environment, expect, free_port

PATRONI = '/usr/bin/patroni'  # Debian's: it has to run with Debian's Python, whatever is in PATH
PATRONICTL = '/usr/bin/patronictl'
PATIENCE_SECONDS = 90  # a failover takes about TTL_SECONDS, a rejoin with rewind about 15 s
TTL_SECONDS = 12
LOOP_SECONDS = 2
RETRY_SECONDS = 5
QUIET_SECONDS = 8


def find_programs():
    homes = sorted(glob.glob('/usr/lib/postgresql/*/bin/postgres'))
    if not os.access(PATRONI, os.X_OK) or not homes:
        raise Skip('Patroni or PostgreSQL is not installed: apt-get install patroni postgresql-15')
    return os.path.dirname(homes[-1])


def unprivileged():
    """Who runs PostgreSQL, which refuses to be root: (uid, gid), or None for ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ('postgres', 'nobody'):
        try:
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
        except KeyError:
            continue
    raise Skip('run as root, and there is no user postgres or nobody to run PostgreSQL as')


class Server:
    """One Patroni and the PostgreSQL it runs."""

    def __init__(self, pair, name):
        self.pair = pair
        self.name = name
        self.rest_port, self.sql_port = free_port(), free_port()
        self.data = os.path.join(pair.directory, name)
        self.log_path = os.path.join(pair.directory, name + '.log')
        self.config_path = os.path.join(pair.directory, name + '.yml')
        self.process = None
        with open(self.config_path, 'w') as file:
            json.dump(self.config(), file, indent=1)  # JSON is YAML
        if pair.user:
            os.chown(self.config_path, *pair.user)

    def config(self):
        rest, sql = f'127.0.0.1:{self.rest_port}', f'127.0.0.1:{self.sql_port}'
        return {
            'scope': 'compat', 'name': self.name,
            'restapi': {'listen': rest, 'connect_address': rest},
            'etcd3': {'hosts': self.pair.members.endpoints.split(','), **self.pair.credentials},
            'bootstrap': {
                'dcs': {'ttl': TTL_SECONDS, 'loop_wait': LOOP_SECONDS, 'retry_timeout': RETRY_SECONDS,
                        'synchronous_mode': True, 'maximum_lag_on_failover': 1048576,
                        'postgresql': {'use_pg_rewind': True, 'use_slots': True, 'parameters': {
                            'shared_buffers': '16MB', 'max_connections': 30}}},
                'initdb': [{'encoding': 'UTF8'}, {'auth': 'trust'}, 'data-checksums']},
            'postgresql': {
                'listen': sql, 'connect_address': sql, 'data_dir': self.data,
                'bin_dir': self.pair.programs,
                'pgpass': os.path.join(self.pair.directory, self.name + '.pgpass'),
                'authentication': {'superuser': {'username': 'postgres'},
                                   'replication': {'username': 'replicator'},
                                   'rewind': {'username': 'postgres'}},
                'parameters': {'unix_socket_directories': self.pair.directory},
                'pg_hba': ['local all all trust', 'host all all 127.0.0.1/32 trust',
                           'host replication all 127.0.0.1/32 trust']}}

    def start(self):
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen([PATRONI, self.config_path], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True,
                                            env=clean_environment(LC_ALL='C'), cwd=self.pair.directory,
                                            **self.pair.as_user())

    def database_processes(self):
        """The postmaster and its children, by what the postmaster wrote down."""
        try:
            with open(os.path.join(self.data, 'postmaster.pid')) as file:
                master = int(file.readline())
        except (OSError, ValueError):
            return []
        if f'-D {self.data} ' not in command_line(master) + ' ':
            return []  # long dead, its number is somebody else's
        return [master] + [int(pid) for pid in os.listdir('/proc')
                           if pid.isdigit() and parent(pid) == master]

    def kill(self):
        """As if its machine lost power: Patroni and all of PostgreSQL, with SIGKILL."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.database_processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def about(self):
        """What Patroni says of itself, or nothing."""
        try:
            with urllib.request.urlopen(f'http://127.0.0.1:{self.rest_port}/patroni',
                                        timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as answer:  # 503 is said of a standby, with the same words
            try:
                return json.load(answer)
            except ValueError:
                return {}
        except (OSError, ValueError):
            return {}

    def leads(self):
        about = self.about()
        return about.get('role') in ('master', 'primary') and about.get('state') == 'running'

    def sql(self, text):
        """Rows of the answer, or nothing if it failed."""
        try:
            done = subprocess.run(
                [os.path.join(self.pair.programs, 'psql'), '-XAtq', '-h', '127.0.0.1', '-p',
                 str(self.sql_port), '-U', 'postgres', '-d', 'postgres', '-c', text],
                capture_output=True, text=True, timeout=20,
                env=clean_environment(PGCONNECT_TIMEOUT='5'))
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.split() if done.returncode == 0 else None

    def log(self):
        with open(self.log_path, errors='replace') as log:
            return log.read()


def command_line(pid):
    try:
        with open(f'/proc/{pid}/cmdline', 'rb') as file:
            return file.read().replace(b'\0', b' ').decode(errors='replace')
    except OSError:
        return ''


def parent(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return int(file.read().rpartition(')')[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


class Pair:
    """Two servers; use as a context manager."""

    def __init__(self, members, programs, credentials=None):
        self.members, self.programs = members, programs
        self.credentials = credentials or {}
        self.user = unprivileged()
        self.directory = tempfile.mkdtemp(prefix='quorate-pg-')
        if self.user:
            os.chown(self.directory, *self.user)
        self.servers = [Server(self, name) for name in ('pg1', 'pg2')]
        self.written = 0

    def as_user(self):
        if not self.user:
            return {}
        return {'user': self.user[0], 'group': self.user[1], 'extra_groups': []}

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        for server in self.servers:
            server.kill()
        if kind is not None:
            for server in self.servers:
                if os.path.exists(server.log_path):
                    print(f'--- log of {server.name}, last lines')
                    print('\n'.join(server.log().splitlines()[-25:]))
        shutil.rmtree(self.directory, ignore_errors=True)
        return False

    def control(self, *arguments):
        done = subprocess.run([PATRONICTL, '-c', self.servers[0].config_path, *arguments],
                              capture_output=True, text=True, timeout=PATIENCE_SECONDS,
                              env=clean_environment(LC_ALL='C.UTF-8', LANG='C.UTF-8', HOME='/'))
        expect(done.returncode == 0,
               f'patronictl {" ".join(arguments)}: {done.stdout[-800:]} {done.stderr[-800:]}')
        return done.stdout

    def wait(self, what, holds):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            found = holds()
            if found:
                return found
            time.sleep(0.5)
        raise Failure(f'{what}: not within {PATIENCE_SECONDS} s; '
                      f'{[(server.name, server.about()) for server in self.servers]}')

    def primary(self):
        return self.wait('a primary', lambda: next(
            (server for server in self.servers if server.leads()), None))

    def other(self, server):
        return next(one for one in self.servers if one is not server)

    def wait_synchronous(self, server):
        """Until the standby is one that an acknowledged write waits for, and the store says so:
        Patroni promotes nobody else."""
        self.wait(f'{server.name} has a synchronous standby', lambda: server.sql(
            "select count(*) from pg_stat_replication where sync_state = 'sync' "
            "and state = 'streaming'") == ['1'] and self.other(server).about().get('sync_standby'))

    def write(self, server):
        number = self.written + 1
        done = server.sql(f'insert into rows values ({number}); select pg_current_wal_lsn()')
        if done is not None:
            self.written = number
        return done is not None

    def expect_rows(self, server):
        got = server.sql('select id from rows order by id')
        wanted = [str(number + 1) for number in range(self.written)]
        missing = [row for row in wanted if row not in (got or [])]
        expect(got is not None and not missing, f'{server.name} lost acknowledged rows: {missing}')

    def wait_rows(self, server):
        self.wait(f'{server.name} has all rows', lambda: server.sql(
            'select count(*) from rows') == [str(self.written)])


def starts(pair):
    pair.servers[0].start()
    primary = pair.primary()
    pair.servers[1].start()
    pair.wait_synchronous(primary)
    expect(primary.sql('create table rows (id integer primary key); select 1') == ['1'], 'no table')
    for _ in range(20):
        expect(pair.write(primary), 'a row was refused')
    pair.wait_rows(pair.other(primary))


def stays_quiet(pair):
    """The stream of changes holds, and nobody asks in vain."""
    before = [len(server.log()) for server in pair.servers]
    time.sleep(QUIET_SECONDS)
    for server, length in zip(pair.servers, before):
        said = server.log()[length:]
        troubles = [line for line in said.splitlines() if ' ERROR: ' in line or 'Traceback' in line]
        expect(not troubles, f'{server.name} complains when nothing happens: {troubles[:5]}')
        expect('no action' in said, f'{server.name} does nothing: {said[-500:]}')


def obeys_patronictl(pair):
    listed = json.loads(pair.control('list', '-f', 'json'))
    expect(sorted(row['Member'] for row in listed) == ['pg1', 'pg2'], f'list: {listed}')
    pair.control('pause', '--wait')
    pair.control('resume', '--wait')
    primary = pair.primary()
    pair.control('switchover', '--force')
    pair.wait('the roles are changed', pair.other(primary).leads)
    heir = pair.other(primary)
    pair.wait_synchronous(heir)
    expect(pair.write(heir), 'the new primary takes no row')
    pair.expect_rows(heir)


def survives_leader_of_members(pair):
    """The primary keeps its office when the store's leader dies: the others elect faster than
    Patroni gives up."""
    primary = pair.primary()
    timeline = primary.about()['timeline']
    pair.members.leader().kill()
    end = time.monotonic() + 2 * TTL_SECONDS
    while time.monotonic() < end:
        expect(pair.write(primary), 'the primary took no row after the store lost its leader')
        time.sleep(0.5)
    about = primary.about()
    expect(primary.leads() and about['timeline'] == timeline, f'the primary was changed: {about}')
    restore(pair.members)
    pair.wait_synchronous(primary)


def restore(members):
    for node in members.nodes:
        if not node.alive():
            node.start()
    members.wait_ready()


def fails_over(pair):
    primary = pair.primary()
    heir = pair.other(primary)
    pair.wait_synchronous(primary)
    for _ in range(10):
        expect(pair.write(primary), 'a row was refused')
    primary.kill()
    pair.wait('the standby takes over', heir.leads)
    pair.expect_rows(heir)
    expect(pair.write(heir), 'the new primary takes no row')


def comes_back(pair):
    """The dead one returns as a standby of the new one, and has its rows."""
    dead = next(server for server in pair.servers if server.process.poll() is not None)
    dead.start()
    heir = pair.other(dead)
    pair.wait_synchronous(heir)
    expect(pair.write(heir), 'the primary takes no row')
    pair.wait_rows(dead)


def fails_over_without_leader(pair):
    """Both at once: the store has to elect before Patroni can."""
    pair.wait_synchronous(pair.primary())
    pair.members.leader().kill()
    fails_over(pair)
    restore(pair.members)


STEPS = [starts, stays_quiet, obeys_patronictl, survives_leader_of_members, fails_over, comes_back,
         fails_over_without_leader, comes_back]


def run(command, _reference, names):
    """(passed, failed, skipped). The steps build on each other, so a name selects all or none."""
    if names and not any(name in 'patroni.' + step.__name__ for name in names for step in STEPS):
        return 0, 0, 0
    programs = find_programs()
    passed = 0
    try:
        with Cluster(command) as members, Pair(members, programs) as pair:
            for step in STEPS:
                started = time.monotonic()
                step(pair)
                passed += 1
                print(f'ok      patroni.{step.__name__} ({time.monotonic() - started:.1f} s)',
                      flush=True)
    except Failure as why:
        print(f'FAILED patroni.{STEPS[passed].__name__}\n  {why}', flush=True)
        left = len(STEPS) - passed - 1
        if left:
            print(f'  {left} later steps were not run')
        return passed, 1, left
    return passed, 0, 0
