"""Locks and elections: those of the server, spoken to with curl, and those of etcdctl, which makes
the same keys by itself; over three nodes of which the leader is killed."""
import os
import signal
import struct
import subprocess
import tempfile
import time

from cluster import Cluster, Skip, clean_environment, etcdctl, expect, expect_in
from lease import grant, in_keys, keys


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def text(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def fields(message):
    """Number -> the last value, for varints and bytes."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(message):
        tag = number()
        value = number()
        if tag & 7 == 2:
            found[tag >> 3] = message[at:at + value]
            at += value
        else:
            found[tag >> 3] = value
    return found


class Call:
    """A gRPC call by curl. It may last; its client may go away."""

    def __init__(self, node, path, message):
        self.directory = tempfile.TemporaryDirectory()
        request = os.path.join(self.directory.name, 'request')
        self.body = os.path.join(self.directory.name, 'body')
        self.heads = os.path.join(self.directory.name, 'heads')
        with open(request, 'wb') as file:
            file.write(b'\0' + struct.pack('>I', len(message)) + message)
        self.process = subprocess.Popen(
            ['curl', '-s', '-N', '--noproxy', '*', '--http2-prior-knowledge', '-H', 'te: trailers',
             '-H', 'content-type: application/grpc', '--data-binary', f'@{request}',
             '-o', self.body, '-D', self.heads, node.endpoint + path], env=clean_environment())

    def waits(self, seconds=0.7):
        time.sleep(seconds)
        return self.process.poll() is None

    def leave(self):
        self.process.kill()
        self.process.wait()

    def answer(self, patience=40):
        """Fields of the response; the status must be OK."""
        self.process.wait(patience)
        with open(self.heads, encoding='utf-8') as file:
            heads = file.read()
        expect_in('grpc-status: 0', heads, 'the call')
        with open(self.body, 'rb') as file:
            return fields(file.read()[5:])


def need_curl():
    done = subprocess.run(['curl', '-V'], capture_output=True, text=True, check=False)
    if 'HTTP2' not in done.stdout:
        raise Skip('curl does not speak HTTP/2 here')


def lock(node, name, held='0'):
    message = text(1, name.encode()) + b'\x10' + varint(int(held, 16))
    return Call(node, '/v3lockpb.Lock/Lock', message)


def revision(answer):
    return fields(answer[1])[3]


def test_server_lock_over_a_killed_leader(binary):
    need_curl()
    with Cluster([binary, 'serve']) as cluster:
        leader = cluster.leader()
        one, two = [node for node in cluster.nodes if node is not leader]
        leases = [in_keys(grant(cluster, 600)[0]) for _ in range(3)]
        first = lock(one, 'job', leases[0]).answer()
        expect(first[2] == f'job/{leases[0]}'.encode(), str(first))
        leaver = lock(two, 'job', leases[1])
        expect(leaver.waits(), 'two have the lock')
        second = lock(one, 'job', leases[2])
        expect(second.waits(), 'two have the lock')
        leaver.leave()
        until = time.monotonic() + 20
        while f'job/{leases[1]}' in keys(cluster, node=one):
            expect(time.monotonic() < until, 'the key of a client that went away is still there')
            time.sleep(0.1)
        leader.kill()
        expect(second.waits(3), 'the lock went to another with the leader')
        done = Call(two, '/v3lockpb.Lock/Unlock', text(1, first[2]))
        done.answer()
        answer = second.answer()
        expect(answer[2] == f'job/{leases[2]}'.encode(), str(answer))
        expect(revision(answer) > revision(first), 'no number to fence with')


class Etcdctl:
    """One that stays until it is interrupted; its output goes to a file."""

    def __init__(self, endpoints, *arguments):
        self.output = tempfile.NamedTemporaryFile('w+')
        self.process = subprocess.Popen(['etcdctl', '--endpoints', endpoints, *arguments],
                                        stdout=self.output, stderr=subprocess.STDOUT,
                                        env=clean_environment(ETCDCTL_API='3'))

    def says(self, part, patience=40):
        until = time.monotonic() + patience
        while time.monotonic() < until:
            with open(self.output.name, encoding='utf-8') as file:
                if part in file.read():
                    return True
            time.sleep(0.1)
        return False

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        self.process.kill()
        self.process.wait()


def test_etcdctl_lock_over_a_killed_leader(binary):
    with Cluster([binary, 'serve']) as cluster:
        with Etcdctl(cluster.endpoints, 'lock', 'job') as first:
            expect(first.says('job/'), 'the lock is free, and not had')
            with Etcdctl(cluster.endpoints, 'lock', 'job') as second:
                expect(not second.says('job/', 2), 'two have the lock')
                cluster.leader().kill()
                cluster.leader()
                expect(not second.says('job/', 3), 'the lock went to another with the leader')
                first.interrupt()
                expect(second.says('job/'), 'the lock was let go, and the next has it not')


def test_etcdctl_elect_over_a_killed_leader(binary):
    with Cluster([binary, 'serve']) as cluster:
        with Etcdctl(cluster.endpoints, 'elect', 'office', 'ann') as ann:
            expect(ann.says('ann'), 'nobody stands against her')
            with Etcdctl(cluster.endpoints, 'elect', 'office', 'bob') as bob, \
                    Etcdctl(cluster.endpoints, 'elect', '-l', 'office') as listener:
                expect(listener.says('ann'), 'the listener is not told')
                cluster.leader().kill()
                cluster.leader()
                expect(not bob.says('bob', 3), 'two hold the office')
                ann.interrupt()
                expect(bob.says('bob'), 'the office is free, and bob has it not')
                expect(listener.says('bob'), 'the listener is not told of the next')
                done = etcdctl(cluster.endpoints, 'get', 'office/', '--prefix', '--print-value-only')
                expect(done.stdout == 'bob\n', done.stdout + done.stderr)
