"""Addresses that serve a part only: metrics and health, HTTP apart from gRPC."""
import os
import ssl
import urllib.error
import urllib.request

from cluster import Cluster, Node, etcdctl, expect, expect_in, free_port, run
from tls import Authority


class ApartNode(Node):
    def __init__(self, cluster, number):
        super().__init__(cluster, number)
        self.pages = f'{self.host}:{free_port()}'
        self.metrics = f'{self.host}:{free_port()}'
        self.secure_metrics = f'{self.host}:{free_port()}'

    def flags(self):
        return super().flags() + [
            '--listen-client-http-urls', f'http://{self.pages}',
            '--listen-metrics-urls', f'http://{self.metrics},https://{self.secure_metrics}',
            '--cert-file', self.cluster.certificate[0], '--key-file', self.cluster.certificate[1]]


class ApartCluster(Cluster):
    def __init__(self, command):
        super().__init__(command, size=1)
        self.authority = Authority(self.directory, 'ca')
        self.certificate = self.authority.issue('n1')

    def make_node(self, number):
        return ApartNode(self, number)


def ask(url, body=None, context=None):
    """(status, text)"""
    try:
        with urllib.request.urlopen(url, body, timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_each_serves_its_part(binary):
    with ApartCluster([binary, 'serve']) as cluster:
        node = cluster.nodes[0]
        expect_in('OK', etcdctl(node.endpoint, 'put', 'a', 'b').stdout, 'gRPC for clients')
        status, text = ask(f'http://{node.endpoint}/health')
        expect(status == 404 and 'gRPC only' in text, f'a page there: {status} {text}')
        status, text = ask(f'http://{node.endpoint}/v3/kv/range', b'{"key":"YQ=="}')
        expect(status == 404, f'JSON there: {status} {text}')

        status, text = ask(f'http://{node.pages}/v3/kv/range', b'{"key":"YQ=="}')
        expect(status == 200 and '"value":"Yg=="' in text, f'JSON: {status} {text}')
        for path in ('/health', '/version', '/metrics', '/readyz'):
            expect(ask(f'http://{node.pages}{path}')[0] == 200, path)
        refused = run([binary, '--endpoints', node.pages, '--timeout', '2', 'get', 'a'])
        expect(refused.returncode != 0, f'gRPC at the address for HTTP: {refused}')
        expect_in('serves pages over HTTP, not gRPC', refused.stderr, 'it says why')

        context = ssl.create_default_context(cafile=cluster.authority.certificate)
        for base, trust in ((f'http://{node.metrics}', None),
                            (f'https://{node.secure_metrics}', context)):
            status, text = ask(base + '/metrics', context=trust)
            expect(status == 200 and '\netcd_server_has_leader 1\n' in text, f'{status} {text[:300]}')
            for path in ('/health', '/livez', '/readyz'):
                expect(ask(base + path, context=trust)[0] == 200, path)
            expect(ask(base + '/version', context=trust)[0] == 404, 'no other page')
            expect(ask(base + '/v3/kv/range', b'{"key":"YQ=="}', trust)[0] in (404, 405), 'no JSON')
        refused = run([binary, '--endpoints', node.metrics, '--timeout', '2', 'put', 'a', 'c'])
        expect(refused.returncode != 0, f'gRPC at the address for metrics: {refused}')


def test_an_address_for_metrics_needs_its_certificate(binary):
    done = run([binary, 'serve', '--data-dir', os.devnull, '--listen-metrics-urls',
                'https://127.0.0.1:1'])
    expect(done.returncode == 1, f'{done}')
    expect_in('--listen-metrics-urls: "https://127.0.0.1:1" is to be served by TLS', done.stderr,
              'why it does not start')
