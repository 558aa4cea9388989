"""Which of an authority's certificates are let in: revoked ones, names that are allowed, and another
certificate for those who dial."""
import os
import time

from cluster import expect, expect_in, run
from tls import PATIENCE_SECONDS, SecureCluster, openssl


def revoke(authority, certificate):
    """A list of revocations with that certificate on it."""
    place = os.path.join(authority.directory, 'revocations')
    os.makedirs(place, exist_ok=True)
    settings, file = os.path.join(place, 'settings'), os.path.join(place, 'list.pem')
    with open(settings, 'w') as out:
        out.write(f'[ca]\ndefault_ca=own\n[own]\ndatabase={place}/index\ncrlnumber={place}/number\n'
                  'default_md=sha256\ndefault_crl_days=2\n')
    for name, text in (('index', ''), ('number', '01\n')):
        with open(os.path.join(place, name), 'w') as out:
            out.write(text)
    own = ['-config', settings, '-cert', authority.certificate, '-keyfile', authority.key]
    openssl('ca', *own, '-revoke', certificate)
    openssl('ca', *own, '-gencrl', '-out', file)
    return file


class Picky(SecureCluster):
    """The third member has what the others do not let in."""

    lists = ()

    def security(self, node):
        return super().security(node) + list(self.more_flags(node))

    def more_flags(self, node):
        return []

    def wait_ready(self, patience=PATIENCE_SECONDS):
        self.leader(patience)  # of the two that let each other in


def expect_outside(cluster, reason):
    """Two serve, and say why the third does not."""
    third = cluster.node('n3')
    put = run([*cluster.observer, 'etcdctl', '--endpoints', cluster.leader().endpoint, 'put', 'a',
               'b'])
    expect_in('OK', put.stdout, f'two of three serve: {put}')
    end = time.monotonic() + PATIENCE_SECONDS
    logs = ''
    while reason not in logs:
        expect(time.monotonic() < end, f'nobody says why n3 stays outside:\n{logs[-1500:]}')
        logs = ''.join(node.log() for node in cluster.nodes if node is not third)
        time.sleep(0.2)
    expect('ready to serve' not in third.log(), 'n3 takes no part')


def test_a_revoked_member_stays_outside(binary):
    class Revoking(Picky):
        def more_flags(self, node):
            if not self.lists:
                self.lists = (revoke(self.authority, self.certificates['n3'][0]),)
            return ['--peer-crl-file', self.lists[0]] if node.name != 'n3' else []

    with Revoking([binary, 'serve']) as cluster:
        expect_outside(cluster, 'was revoked')


def test_a_member_of_another_name_stays_outside(binary):
    class Naming(Picky):
        def more_flags(self, node):
            return ['--peer-cert-allowed-cn', 'n1,n2'] if node.name != 'n3' else []

    with Naming([binary, 'serve']) as cluster:
        expect_outside(cluster, 'is none of those that are allowed here')


def test_a_revoked_client_is_turned_away(binary):
    class Revoking(SecureCluster):
        def security(self, node):
            if not hasattr(self, 'list'):
                self.mallory = self.authority.issue('mallory')
                self.list = revoke(self.authority, self.mallory[0])
            return super().security(node) + ['--client-crl-file', self.list]

    with Revoking([binary, 'serve'], size=1) as cluster:
        expect_in('OK', cluster.ctl('put', 'a', 'b').stdout, 'alice')
        node = cluster.nodes[0]
        done = run([binary, '--endpoints', node.endpoint, '--cacert',
                    cluster.authority.certificate, '--cert', cluster.mallory[0], '--key',
                    cluster.mallory[1], '--timeout', '2', 'put', 'a', 'c'])
        expect(done.returncode == 3, f'mallory: {done}')
        node.await_log('was revoked', 'the member says why')
        expect(cluster.ctl('get', 'a', '--print-value-only').stdout == 'b\n', 'nothing was applied')


def test_members_dial_with_another_certificate(binary):
    """Each lets in only the names that members dial with."""
    class Dialling(SecureCluster):
        def security(self, node):
            certificate, key = self.dialling.setdefault(
                node.name, self.authority.issue(node.name + '-dials'))
            return super().security(node) + ['--peer-client-cert-file', certificate,
                                             '--peer-client-key-file', key,
                                             '--peer-cert-allowed-cn',
                                             ','.join(f'{each.name},{each.name}-dials'
                                                      for each in self.founders)]

        dialling = {}

    with Dialling([binary, 'serve']) as cluster:
        expect_in('OK', cluster.ctl('put', 'a', 'b').stdout, 'all serve')

    class Refusing(Dialling):
        dialling = {}

        def security(self, node):
            flags = super().security(node)
            # Who is dialled shows n1, n2, n3; who dials n1-dials, which nobody expects.
            flags[flags.index('--peer-cert-allowed-cn') + 1] = 'n1,n2,n3'
            return flags

        def wait_ready(self, patience=PATIENCE_SECONDS):
            end = time.monotonic() + patience
            while not all('is none of those that are allowed here' in node.log()
                          for node in self.nodes):
                expect(time.monotonic() < end, 'members let each other in')
                time.sleep(0.2)

    with Refusing([binary, 'serve']) as cluster:
        logs = ''.join(node.log() for node in cluster.nodes)
        expect_in('-dials', logs, 'it is the certificate of those who dial')
        expect('ready to serve' not in logs, 'no majority')
