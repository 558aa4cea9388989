"""Leases through the whole way: etcdctl, followers, failover, restarts."""
import re
import subprocess
import time

from cluster import Cluster, clean_environment, etcdctl, expect, expect_in


def lease(cluster, *arguments, node=None, timeout=30):
    endpoints = cluster.endpoints if node is None else node.endpoint
    return etcdctl(endpoints, 'lease', *arguments, timeout=timeout)


def grant(cluster, seconds, node=None):
    done = lease(cluster, 'grant', str(seconds), node=node)
    found = re.match(r'lease ([0-9a-f]+) granted with TTL\((\d+)s\)\n', done.stdout)
    expect(found, done.stdout + done.stderr)
    return found.group(1), int(found.group(2))


def in_keys(identity):
    """A lease's id as keys of locks and elections carry it: etcdctl pads it with zeros, they do not."""
    return f'{int(identity, 16):x}'


def keys(cluster, node=None):
    endpoints = cluster.endpoints if node is None else node.endpoint
    done = etcdctl(endpoints, 'get', '', '--prefix', '--keys-only', '--command-timeout=25s')
    expect(done.returncode == 0, done.stderr)
    return [line for line in done.stdout.split('\n') if line]


def put(cluster, key, held=None):
    more = [f'--lease={held}'] if held else []
    done = etcdctl(cluster.endpoints, 'put', key, 'v', *more)
    expect(done.stdout == 'OK\n', done.stdout + done.stderr)


def remaining(cluster, held, node=None):
    done = lease(cluster, 'timetolive', held, node=node)
    found = re.search(r'granted with TTL\((\d+)s\), remaining\((-?\d+)s\)', done.stdout)
    return int(found.group(2)) if found else None


def followers(cluster):
    leader = cluster.leader()
    return [node for node in cluster.nodes if node is not leader]


def test_grant_use_revoke(binary):
    with Cluster([binary, 'serve']) as cluster:
        other = followers(cluster)[0]
        held, seconds = grant(cluster, 60, node=other)
        expect(seconds == 60, str(seconds))
        expect(grant(cluster, 1)[1] == 2, 'the least TTL is 1.5 election timeouts, rounded up')
        put(cluster, 'b', held)
        put(cluster, 'a', held)
        put(cluster, 'plain')
        for node in cluster.nodes:  # wherever it is asked
            done = lease(cluster, 'timetolive', held, '--keys', node=node)
            expect_in('attached keys([a b])', done.stdout, node.name + done.stderr)
            left = remaining(cluster, held, node=node)
            expect(50 <= left <= 60, f'{left} s left')
            keys(cluster, node=node)  # a list is of what this member has applied
            expect_in(held, lease(cluster, 'list', node=node).stdout, 'list')
        done = lease(cluster, 'revoke', held, node=other)
        expect(done.stdout == f'lease {held} revoked\n', done.stdout + done.stderr)
        expect(keys(cluster) == ['plain'], str(keys(cluster)))
        expect_in('already expired', lease(cluster, 'timetolive', held).stdout, 'after the revoke')
        done = lease(cluster, 'revoke', held)
        expect_in('requested lease not found', done.stderr, 'revoked twice')
        done = etcdctl(cluster.endpoints, 'put', 'x', 'v', f'--lease={held}')
        expect_in('requested lease not found', done.stderr, 'put on a lease that is gone')


def test_expires_not_early(binary):
    with Cluster([binary, 'serve']) as cluster:
        asked = time.monotonic()
        held, seconds = grant(cluster, 4)
        put(cluster, 'k', held)
        while keys(cluster):
            passed = time.monotonic() - asked
            expect(passed < 30, 'the lease is still there after 30 s')
            time.sleep(0.1)
        passed = time.monotonic() - asked
        expect(passed >= seconds, f'gone after {passed:.2f} s, granted for {seconds} s')
        for node in cluster.nodes:
            keys(cluster, node=node)  # a list is of what this member has applied
            expect(lease(cluster, 'list', node=node).stdout.startswith('found 0 leases'), 'list')


def test_keep_alive_over_failover(binary):
    with Cluster([binary, 'serve']) as cluster:
        held, _ = grant(cluster, 6)
        put(cluster, 'kept', held)
        lone, _ = grant(cluster, 6)
        put(cluster, 'lone', lone)
        leader = cluster.leader()
        others = followers(cluster)
        renewing = subprocess.Popen(
            ['etcdctl', '--endpoints', ','.join(each.endpoint for each in others), 'lease',
             'keep-alive', held], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=clean_environment(ETCDCTL_API='3'))
        try:
            time.sleep(2.5)  # renewed through a follower
            leader.kill()
            until = time.monotonic() + 60
            while 'lone' in (found := keys(cluster, node=others[0])):  # until it has run out
                expect('kept' in found, 'renewed, and yet gone')
                expect(time.monotonic() < until, 'nobody renewed the other one')
                time.sleep(0.3)
            expect(found == ['kept'], f'renewed, and yet gone: {found}')
            expect(renewing.poll() is None, 'keep-alive ended')
        finally:
            renewing.kill()
        output = renewing.communicate()[0]
        expect(output.count(f'lease {held} keepalived with TTL(6)') >= 3, output)
        done = lease(cluster, 'keep-alive', '--once', lone, node=others[1])
        expect_in('requested lease not found', done.stdout + done.stderr, 'keep-alive of one that is gone')


def test_survive_restart_and_snapshot(binary):
    with Cluster([binary, 'serve', '--snapshot-count', '50',
                  '--snapshot-catchup-entries', '10']) as cluster:
        held, _ = grant(cluster, 600)
        put(cluster, 'k', held)
        away = followers(cluster)[0]
        away.kill()
        short, _ = grant(cluster, 600)
        put(cluster, 'later', short)
        for number in range(120):  # more than the log keeps: it gets a snapshot
            put(cluster, f'fill{number % 10}')
        away.start()
        cluster.wait_ready()
        for node in cluster.nodes:
            node.terminate()
        for node in cluster.nodes:
            node.start()
        cluster.wait_ready()
        for node in cluster.nodes:
            keys(cluster, node=node)  # a list is of what this member has applied
            listed = lease(cluster, 'list', node=node).stdout
            expect(held in listed and short in listed, f'{node.name}: {listed}')
            done = lease(cluster, 'timetolive', short, '--keys', node=node)
            expect_in('attached keys([later])', done.stdout, node.name + done.stderr)
        left = remaining(cluster, held)
        expect(590 <= left <= 602, f'{left} s left: a new leader gives the full time again')
        expect(lease(cluster, 'revoke', short).returncode == 0, 'revoke')
        for node in cluster.nodes:
            found = keys(cluster, node=node)
            expect('k' in found and 'later' not in found, f'{node.name}: {found}')
