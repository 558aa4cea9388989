"""The Election service: the same calls to etcd and to Quorate, campaigns over a killed leader, and
campaigns whose client goes away."""
import os
import shutil
import struct
import time

from cluster import Cluster, Skip, expect
from lease import grant, in_keys, keys
from lock import Call, fields, need_curl, revision, text, varint

SERVICE = '/v3electionpb.Election/'


def number(field, value):
    return varint(field << 3) + varint(value)


def campaign(name, lease, value):
    return text(1, name) + number(2, lease) + text(3, value)


def office(key, created, lease):
    """A LeaderKey as field 1 of a request."""
    return text(1, text(1, b'office') + text(2, key) + number(3, created) + number(4, lease))


def outcome(node, method, message):
    """(status, message, what is the same on every cluster of the answer)."""
    call = Call(node, SERVICE + method, message)
    call.process.wait(30)
    with open(call.heads, encoding='utf-8') as file:
        heads = dict(line.strip().partition(': ')[::2] for line in file if ': ' in line)
    with open(call.body, 'rb') as file:
        answer = fields(file.read()[5:])
    at = fields(answer[1]).get(3) if 1 in answer else None
    return heads.get('grpc-status'), heads.get('grpc-message', ''), at, answer.get(2)


def test_election_like_etcd(binary):
    need_curl()
    if not shutil.which('etcd'):
        raise Skip('etcd is not installed (Debian: etcd-server)')
    calls = [
        ('Leader', text(1, b'office')),
        ('Leader', b''),
        ('Campaign', campaign(b'office', 0xabc, b'ann')),
        ('Leader', text(1, b'office')),
        ('Proclaim', office(b'office/abc', 2, 0xabc) + text(2, b'new')),
        ('Leader', text(1, b'office')),
        ('Proclaim', office(b'office/abc', 3, 0xabc) + text(2, b'wrong')),
        ('Proclaim', text(2, b'nobody')),
        ('Resign', b''),
        ('Resign', office(b'office/abc', 9, 0xabc)),
        ('Campaign', campaign(b'office', 0xabc, b'new')),
        ('Campaign', campaign(b'office/of', 0xabc, b'')),
        ('Resign', office(b'office/abc', 2, 0xabc)),
        ('Leader', text(1, b'office')),
        ('Leader', text(1, b'office/of')),
    ]
    with Cluster(['etcd'], size=1) as reference, Cluster([binary, 'serve'], size=1) as ours:
        theirs, mine = reference.leader(), ours.leader()
        for node in (theirs, mine):
            Call(node, '/etcdserverpb.Lease/LeaseGrant', number(1, 60) + number(2, 0xabc)).answer()
        for place, (method, message) in enumerate(calls):
            wanted, got = outcome(theirs, method, message), outcome(mine, method, message)
            expect(wanted == got, f'call {place}, {method}: etcd says {wanted}, we say {got}')


class Observing(Call):
    """The stream of an election's leaders."""

    def __init__(self, node, name):
        super().__init__(node, SERVICE + 'Observe', text(1, name))

    def told(self):
        """The values told so far."""
        if not os.path.exists(self.body):
            return []
        with open(self.body, 'rb') as file:
            body = file.read()
        values = []
        while len(body) >= 5:
            size = struct.unpack('>I', body[1:5])[0]
            if len(body) < 5 + size:
                break
            values.append(fields(fields(body[5:5 + size])[2]).get(5, b'').decode())
            body = body[5 + size:]
        return values

    def hears(self, value, patience=30):
        ends = time.monotonic() + patience
        while time.monotonic() < ends:
            if value in self.told():
                return True
            time.sleep(0.1)
        return False


def test_a_campaign_waits_over_a_killed_leader(binary):
    need_curl()
    with Cluster([binary, 'serve']) as cluster:
        leader = cluster.leader()
        one, two = [node for node in cluster.nodes if node is not leader]
        leases = [in_keys(grant(cluster, 120)[0]) for _ in range(3)]
        observing = Observing(two, b'office')
        first = Call(one, SERVICE + 'Campaign', campaign(b'office', int(leases[0], 16), b'ann'))
        won = first.answer()
        second = Call(two, SERVICE + 'Campaign', campaign(b'office', int(leases[1], 16), b'bob'))
        third = Call(one, SERVICE + 'Campaign', campaign(b'office', int(leases[2], 16), b'cid'))
        expect(second.waits() and third.waits(), 'two lead')
        third.leave()  # as curl does when it is killed
        until = time.monotonic() + 30
        while f'office/{leases[2]}' in keys(cluster, node=one):
            expect(time.monotonic() < until, 'the key of a client that went away is still there')
            time.sleep(0.1)
        leader.kill()
        expect(second.waits(3), 'the office went to another with the leader')
        Call(two, SERVICE + 'Resign', text(1, won[2])).answer()
        answer = second.answer()
        expect(fields(answer[2])[2] == f'office/{leases[1]}'.encode(), str(answer))
        expect(fields(answer[2])[3] > fields(won[2])[3], 'no number to fence with')
        expect(revision(answer) > revision(won), 'the answer is from before the resignation')
        expect(observing.hears('bob'), f'the observer heard {observing.told()}')
        expect(observing.told() == ['ann', 'bob'], f'the observer heard {observing.told()}')
        observing.leave()
