"""Crowds: ten thousand connections that do nothing, a hundred thousand leases that end at once; what
others notice of it (`make compat`). Bounds are generous: they tell a stall from a slow machine."""
import http.client
import json
import re
import socket
import subprocess
import time

from cluster import Cluster, Skip, expect

IDLE = 10_000
LEASES = 100_000
LEASE_SECONDS = 20
PUTS = 300
# A put of somebody else meanwhile; without a crowd it takes a millisecond or two.
MEDIAN_SECONDS_MAX = 0.25
SLOWEST_SECONDS_MAX = 5
# What an idle connection may cost: far above the bytes it needs, far below a thread or a buffer.
IDLE_BYTES_MAX = 32 << 10


class Client:
    """Somebody else: puts over one connection of their own, and how long each takes."""

    def __init__(self, node):
        host, port = node.endpoint.split('//')[-1].split(':')
        self.connection = http.client.HTTPConnection(host, int(port), timeout=20)

    def call(self, path, body):
        self.connection.request('POST', path, json.dumps(body))
        answer = self.connection.getresponse()
        text = answer.read()
        expect(answer.status == 200, f'{path}: {answer.status} {text[:200]}')
        return json.loads(text)

    def metric(self, name):
        self.connection.request('GET', '/metrics')
        page = self.connection.getresponse().read().decode()
        return float(re.search(rf'^{name} (\S+)$', page, re.MULTILINE)[1])

    def puts(self, count=PUTS):
        took = []
        for number in range(count):
            begun = time.monotonic()
            self.call('/v3/kv/put', {'key': 'Yw==', 'value': 'dg=='})
            took.append(time.monotonic() - begun)
        return sorted(took)


def judge(took, when):
    median, slowest = took[len(took) // 2], took[-1]
    print(f'        {when}: {len(took)} puts of another client, half of them within '
          f'{1000 * median:.1f} ms, the slowest {1000 * slowest:.1f} ms')
    expect(median < MEDIAN_SECONDS_MAX, f'{when}: half of the puts take {median} s')
    expect(slowest < SLOWEST_SECONDS_MAX, f'{when}: a put takes {slowest} s')


def test_ten_thousand_idle_connections(binary):
    import resource
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < IDLE + 1000:
        raise Skip('fewer than eleven thousand files may be open')
    with Cluster([binary, 'serve'], size=1) as cluster:
        client = Client(cluster.nodes[0])
        client.puts(20)
        before = client.metric('process_resident_memory_bytes')
        address = (client.connection.host, client.connection.port)
        crowd = []
        try:
            for number in range(IDLE):
                crowd.append(socket.create_connection(address, timeout=20))
                # Half of them have said what they speak, and then nothing more.
                if number % 2:
                    crowd[-1].sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0\4\0\0\0\0\0')
            judge(client.puts(), f'{IDLE} idle connections')
            grown = client.metric('process_resident_memory_bytes') - before
            print(f'        {grown / IDLE:.0f} bytes of memory for each')
            expect(grown < IDLE * IDLE_BYTES_MAX, f'{grown} bytes more')
        finally:
            for each in crowd:
                each.close()
        judge(client.puts(), 'all of them closed at once')


def test_a_hundred_thousand_leases_end_at_once(binary):
    """Their keeper is killed; the members revoke them at the pace that the leader allows itself."""
    with Cluster([binary, 'serve']) as cluster:
        client = Client(cluster.nodes[0])
        keeper = subprocess.Popen(
            [binary, 'bench', 'keep-alive', '--endpoints', cluster.endpoints, '--leases', str(LEASES),
             '--lease-seconds', str(LEASE_SECONDS), '--duration', '600s', '--streams', '4'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 120
            name = 'etcd_debugging_lease_granted_total'
            while client.metric(name) < LEASES and time.monotonic() < end:
                time.sleep(0.5)
            granted = client.metric(name)
            expect(granted >= LEASES, f'{granted} leases were granted in two minutes')
        finally:
            keeper.kill()
            keeper.wait()
        begun = time.monotonic()
        most, took, left = 0, [], LEASES
        # At a thousand a second, and the last ones a whole time after the kill.
        end = begun + LEASES / 1000 * 3 + LEASE_SECONDS + 60
        while left and time.monotonic() < end:
            took += client.puts(20)
            left = client.metric('quorate_leases')
            most = max(most, left)
            time.sleep(0.5)
        expect(most > LEASES / 2, f'only {most} leases were alive behind the kill')
        expect(left == 0, f'{left} leases are still there')
        print(f'        all gone {time.monotonic() - begun:.0f} s after their keeper')
        judge(sorted(took), f'{LEASES} leases end')
