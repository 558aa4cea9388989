"""TLS between members and with clients: who is served, who is turned away, and new certificates."""
import http.client
import json
import os
import shutil
import ssl
import subprocess
import time

from cluster import Cluster, Node, clean_environment, Skip, expect, expect_in, run

PATIENCE_SECONDS = 60


def openssl(*arguments):
    done = run(['openssl', *arguments])
    expect(done.returncode == 0, f'openssl {arguments[0]}: {done.stderr}')


class Authority:
    def __init__(self, directory, name):
        if not shutil.which('openssl'):
            raise Skip('openssl is not installed')
        self.directory, self.name = directory, name
        self.certificate, self.key = self.path('pem'), self.path('key')
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                '-days', '2', '-subj', f'/CN={name}', '-keyout', self.key, '-out', self.certificate)

    def path(self, suffix, name=None):
        return os.path.join(self.directory, f'{name or self.name}.{suffix}')

    def issue(self, name, common_name=None, days=2):
        """(certificate, key) for this machine; what was there under the name is replaced."""
        certificate, key = self.path('pem', name), self.path('key', name)
        request, extensions = self.path('csr', name), self.path('ext', name)
        with open(extensions, 'w') as file:
            file.write('subjectAltName=IP:127.0.0.1,DNS:localhost\n'
                       'extendedKeyUsage=serverAuth,clientAuth\n')
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                '-subj', f'/CN={common_name or name}', '-keyout', key + '.new', '-out', request)
        openssl('x509', '-req', '-in', request, '-CA', self.certificate, '-CAkey', self.key,
                '-set_serial', str(int.from_bytes(os.urandom(6), 'big')), '-days', str(days),
                '-extfile', extensions, '-out', certificate + '.new')
        os.rename(key + '.new', key)
        os.rename(certificate + '.new', certificate)
        return certificate, key


class SecureNode(Node):
    @property
    def endpoint(self):
        return f'https://{self.host}:{self.client_port}'

    @property
    def peer_url(self):
        return f'https://{self.host}:{self.peer_port}'

    def flags(self):
        return [flag.replace('http://https://', 'https://') for flag in super().flags()] + \
            self.cluster.security(self)


class SecureCluster(Cluster):
    """Everything by TLS: members and clients show certificates of one authority."""

    def __init__(self, command, **more):
        super().__init__(command, **more)
        self.authority = Authority(self.directory, 'ca')
        self.certificates = {node.name: self.authority.issue(node.name) for node in self.nodes}
        self.alice = self.authority.issue('alice')

    def make_node(self, number):
        return SecureNode(self, number)

    def security(self, node):
        certificate, key = self.certificates[node.name]
        return ['--cert-file', certificate, '--key-file', key, '--client-cert-auth',
                '--trusted-ca-file', self.authority.certificate,
                '--peer-cert-file', certificate, '--peer-key-file', key,
                '--peer-client-cert-auth', '--peer-trusted-ca-file', self.authority.certificate]

    @property
    def observer(self):
        certificate, key = self.alice
        return ['env', f'ETCDCTL_CACERT={self.authority.certificate}',
                f'ETCDCTL_CERT={certificate}', f'ETCDCTL_KEY={key}']

    def ctl(self, *arguments, **more):
        return run([*self.observer, 'etcdctl', '--endpoints', self.endpoints, *arguments], **more)

    def shown(self, node):
        """The common name of the certificate that a member shows to clients now."""
        done = run(['openssl', 's_client', '-connect', f'{node.host}:{node.client_port}',
                    '-CAfile', self.authority.certificate, '-cert', self.alice[0], '-key',
                    self.alice[1]], stdin=subprocess.DEVNULL)
        subject = next(line for line in done.stdout.splitlines() if line.startswith('subject='))
        return subject.replace(' ', '').rpartition('CN=')[2]


def health(node, context=None, scheme='https'):
    address = f'{node.host}:{node.client_port}'
    connection = (http.client.HTTPSConnection(address, timeout=10, context=context)
                  if scheme == 'https' else http.client.HTTPConnection(address, timeout=10))
    try:
        connection.request('GET', '/health')
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def expect_fails(done, what):
    expect(done.returncode != 0, f'{what} was served: {done.stdout}')


def test_members_and_clients(binary):
    with SecureCluster([binary, 'serve']) as cluster:
        expect_in('OK', cluster.ctl('put', 'greeting', 'hello').stdout, 'put')
        for node in cluster.nodes:
            got = run([*cluster.observer, 'etcdctl', '--endpoints', node.endpoint, 'get',
                       'greeting', '--print-value-only'])
            expect(got.stdout == 'hello\n', f'{node.name}: {got}')
        context = ssl.create_default_context(cafile=cluster.authority.certificate)
        context.load_cert_chain(*cluster.alice)
        node = cluster.nodes[0]
        status, text = health(node, context)
        expect(status == 200 and json.loads(text)['health'] == 'true', f'{status} {text}')
        if shutil.which('curl'):
            done = run(['curl', '-sS', '--cacert', cluster.authority.certificate, '--cert',
                        cluster.alice[0], '--key', cluster.alice[1], node.endpoint + '/health'])
            expect_in('"health":"true"', done.stdout, f'curl: {done.stderr}')
        own = run([binary, '--endpoints', cluster.endpoints, '--cacert',
                   cluster.authority.certificate, '--cert', cluster.alice[0], '--key',
                   cluster.alice[1], 'status'])
        expect(own.returncode == 0 and 'leader' in own.stdout, f'quorate status: {own}')
        watcher = subprocess.Popen([binary, '--endpoints', node.endpoint, '--cacert',
                                    cluster.authority.certificate, '--cert', cluster.alice[0],
                                    '--key', cluster.alice[1], 'watch', 'news', '--rev', '1'],
                                   stdout=subprocess.PIPE, text=True, env=clean_environment())
        try:
            expect_in('OK', cluster.ctl('put', 'news', 'x' * 100_000 + 'end').stdout, 'large put')
            lines = (watcher.stdout.readline() for _ in range(10))
            expect(any('xxxend' in line for line in lines), 'a watch hears of a large value')
        finally:
            watcher.kill()
            watcher.wait()
        leader = cluster.leader()
        leader.kill()
        end = time.monotonic() + PATIENCE_SECONDS
        while 'OK' not in cluster.ctl('--command-timeout=2s', 'put', 'after', 'failover').stdout:
            expect(time.monotonic() < end, 'no put after the leader was killed')
        leader.start()
        cluster.wait_ready()


def test_who_shows_nothing_or_the_wrong_thing_is_turned_away(binary):
    with SecureCluster([binary, 'serve'], size=1) as cluster:
        node = cluster.nodes[0]
        trusted = ['--cacert', cluster.authority.certificate]
        quick = ['--timeout', '3']
        status, text = health(node, scheme='http')
        expect(status == 400 and 'https://' in text, f'plain HTTP: {status} {text}')
        plain = run([binary, '--endpoints', f'{node.host}:{node.client_port}', *quick, 'put', 'a',
                     'b'])
        expect(plain.returncode in (3, 4), f'plain gRPC: {plain}')
        nobody = run([binary, '--endpoints', node.endpoint, *trusted, *quick, 'put', 'a', 'b'])
        expect(nobody.returncode == 3, f'no certificate: {nobody}')
        expect_in('demands a certificate', nobody.stderr, 'the client hears why')
        node.await_log('it showed no certificate', 'the member says why')
        expect_fails(run(['etcdctl', '--endpoints', node.endpoint, *trusted,
                          '--command-timeout=2s', 'put', 'a', 'b']), 'etcdctl without certificate')
        unchecked = run([binary, '--endpoints', node.endpoint, *quick, 'get', 'a'])
        expect(unchecked.returncode == 3, f'unknown authority: {unchecked}')
        expect_in('no authority that is trusted here', unchecked.stderr, 'the client says why')
        certificate, key = cluster.authority.issue('old', days=-1)
        expired = run([binary, '--endpoints', node.endpoint, *trusted, '--cert', certificate,
                       '--key', key, *quick, 'put', 'a', 'b'])
        expect(expired.returncode == 3, f'expired: {expired}')
        expect_in('our certificate has expired', expired.stderr, 'the client hears why')
        node.await_log('(common name "old"', 'the member says whose')
        node.await_log('expired on', 'the member says why')
        got = cluster.ctl('get', 'a')
        expect(got.returncode == 0 and got.stdout == '', f'none of these was applied: {got}')


def test_certificates_are_replaced_while_it_runs(binary):
    with SecureCluster([binary, 'serve']) as cluster:
        node = cluster.nodes[0]
        expect(cluster.shown(node) == 'n1', 'the first certificate')
        for each in cluster.nodes:
            cluster.authority.issue(each.name, common_name=each.name + '-new')
        expect(cluster.shown(node) == 'n1-new', 'the second certificate')
        certificate, _ = cluster.certificates[node.name]
        with open(certificate, 'w') as file:
            file.write('no certificate\n')
        expect(cluster.shown(node) == 'n1-new', 'a bad file is not believed')
        node.await_log('are of no use', 'and complained about')
        cluster.authority.issue(node.name, common_name='n1-third')
        expect(cluster.shown(node) == 'n1-third', 'the third certificate')
        other = cluster.nodes[1]
        other.kill()
        other.start()
        cluster.wait_ready()
        expect_in('OK', cluster.ctl('put', 'a', 'b').stdout, 'members meet with new certificates')


def test_a_member_of_another_authority_stays_outside(binary):
    class Mixed(SecureCluster):
        def __init__(self, *arguments, **more):
            super().__init__(*arguments, **more)
            os.mkdir(os.path.join(self.directory, 'other'))
            self.stranger = Authority(os.path.join(self.directory, 'other'), 'stranger')
            self.own = self.certificates['n3']
            self.certificates['n3'] = self.stranger.issue('n3')

        def wait_ready(self, patience=PATIENCE_SECONDS):
            if self.certificates['n3'] == self.own:
                return super().wait_ready(patience)
            self.leader(patience)  # of the two that trust each other

    with Mixed([binary, 'serve']) as cluster:
        third = cluster.node('n3')
        expect_in('OK', cluster.ctl('put', 'a', 'b').stdout, 'two of three serve')
        end = time.monotonic() + PATIENCE_SECONDS
        logs = ''
        while 'no authority that is trusted here' not in logs:
            expect(time.monotonic() < end, 'nobody says why n3 stays outside')
            logs = ''.join(node.log() for node in cluster.nodes if node is not third)
            time.sleep(0.2)
        expect('ready to serve' not in third.log(), 'n3 takes no part')
        third.kill()
        cluster.certificates['n3'] = cluster.own
        third.start()
        cluster.wait_ready()


def test_a_machine_joins_by_tls(binary):
    with SecureCluster([binary, 'serve'], size=1) as cluster:
        second = cluster.make_node(1)
        cluster.certificates[second.name] = cluster.authority.issue(second.name)
        added = cluster.ctl('member', 'add', second.name, f'--peer-urls={second.peer_url}')
        expect(added.returncode == 0, f'member add: {added}')
        cluster.nodes.append(second)
        flags = second.flags() + ['--initial-cluster-state', 'existing']
        flags[flags.index('--initial-cluster') + 1] += f',{second.name}={second.peer_url}'
        second.flags = lambda: flags
        second.start()
        cluster.wait_ready()
        expect_in('OK', cluster.ctl('put', 'a', 'b').stdout, 'both serve')


def test_automatic_certificates(binary):
    class Automatic(SecureCluster):
        def security(self, node):
            return ['--auto-tls', '--peer-auto-tls']

        observer = ('env', 'ETCDCTL_INSECURE_SKIP_TLS_VERIFY=true',
                    'ETCDCTL_INSECURE_TRANSPORT=false')  # etcdctl 3.4 needs both

    with Automatic([binary, 'serve']) as cluster:
        made = os.path.join(cluster.nodes[0].directory, 'fixtures')
        expect(os.path.exists(os.path.join(made, 'client', 'cert.pem')), 'where etcd has it')
        expect(os.path.exists(os.path.join(made, 'peer', 'cert.pem')), 'where etcd has it')
        done = run([binary, '--endpoints', cluster.endpoints, '--insecure-skip-tls-verify', 'put',
                    'a', 'b'])
        expect(done.returncode == 0, f'put: {done}')
        node = cluster.nodes[0]
        checked = run([binary, '--endpoints', node.endpoint, '--cacert',
                       os.path.join(made, 'client', 'cert.pem'), 'get', 'a', '--value-only'])
        expect(checked.stdout == 'b\n', f'its certificate can be pinned: {checked}')


def test_a_plain_cluster_turns_to_tls_address_by_address(binary):
    """A member may serve both kinds at once: the way from plain to secured without a pause."""
    with SecureCluster([binary, 'serve'], size=1) as cluster:
        node = cluster.nodes[0]
        node.terminate()
        both = f'http://{node.host}:{node.client_port},{node.endpoint}'
        flags = node.flags()
        flags[flags.index('--listen-client-urls') + 1] = both
        node.flags = lambda: flags
        node.start()
        cluster.wait_ready()
        expect(health(node, scheme='http')[0] == 200, 'plain')
        expect_in('OK', cluster.ctl('put', 'a', 'b').stdout, 'secured')
        expect_in('is plain although there is a certificate', node.log(), 'a warning')
