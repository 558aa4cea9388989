"""The rest of tests/e2e/matrix.py (`make compat`): the whole product of one and three members, TLS
on and off, auth on and off; users and roles by TLS; members that come and go by TLS."""
import shutil
import time

from cluster import Skip, expect
from compat import MEMBERS_MATRIX, Members
from matrix import SecureSide, compare, compare_users, steps_of


def test_one_plain(binary):
    compare(binary, steps_of(False, False), 1, tls=False, auth=False)


def test_three_plain(binary):
    compare(binary, steps_of(False, False), 3, tls=False, auth=False)


def test_one_with_auth(binary):
    compare(binary, steps_of(False, True), 1, tls=False, auth=True)


def test_three_with_auth(binary):
    compare(binary, steps_of(False, True), 3, tls=False, auth=True)


def test_one_by_tls(binary):
    compare(binary, steps_of(True, False), 1, tls=True, auth=False)


def test_three_by_tls(binary):
    compare(binary, steps_of(True, False), 3, tls=True, auth=False)


def test_users_of_one_by_tls(binary):
    compare_users(binary, 1)


def test_users_of_three_by_tls(binary):
    compare_users(binary, 3)


class SecureMembers(Members):
    """Members that come and go, asked by TLS."""

    def __init__(self, side):
        self.side = side
        super().__init__(side.cluster)

    def ctl(self, *arguments):
        return self.side.run(['etcdctl', '--endpoints', self.cluster.endpoints, *arguments])


def test_changes_by_tls(binary):
    if not shutil.which('etcd') or not shutil.which('etcdctl'):
        raise Skip('etcd-server and etcd-client are not installed')
    sides = [SecureSide(command, 3, False) for command in (['etcd'], [binary, 'serve'])]
    with sides[0].cluster, sides[1].cluster:
        time.sleep(5.2)  # both change no members before their connections have lasted so long
        wanted_side, our_side = SecureMembers(sides[0]), SecureMembers(sides[1])
        differences = []
        for step in MEMBERS_MATRIX:
            if step == ['sleep']:
                time.sleep(1.1)
                continue
            wanted, got = wanted_side.outcome(step), our_side.outcome(step)
            if got != wanted:
                differences.append(f'{step}\n    etcd:    {wanted}\n    quorate: {got}')
        expect(not differences, f'{len(differences)} of {len(MEMBERS_MATRIX)} differ:\n  ' +
               '\n  '.join(differences))
