"""Plain HTTP on the client port: the probes of kubelets, and JSON in front of the gRPC methods."""
import http.client
import time

from cluster import Cluster, expect

PATIENCE_SECONDS = 20


def ask(node, path, method='GET', body=None):
    """(status, text) of one request over HTTP/1.1."""
    connection = http.client.HTTPConnection(node.endpoint.removeprefix('http://'), timeout=15)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_probes(binary):
    with Cluster([binary, 'serve']) as cluster:
        node = cluster.leader()
        expect(ask(node, '/livez') == (200, 'ok\n'), 'livez of a healthy member')
        expect(ask(node, '/readyz') == (200, 'ok\n'), 'readyz of a healthy member')
        status, text = ask(node, '/readyz?verbose&exclude=non_learner')
        expect(status == 200 and text == '[+]data_corruption ok\n[+]serializable_read ok\n'
               '[+]linearizable_read ok\nok\n', text)
        for other in cluster.nodes:
            if other is not node:
                other.kill()
        expect(ask(node, '/livez') == (200, 'ok\n'), 'a lone member is alive')
        ends = time.monotonic() + PATIENCE_SECONDS
        status = 200
        while status == 200 and time.monotonic() < ends:
            status, text = ask(node, '/readyz')
        expect(status == 503 and '[-]linearizable_read failed: etcdserver: ' in text,
               f'readyz without a majority: {status} {text}')
        expect(ask(node, '/readyz?exclude=linearizable_read') == (200, 'ok\n'), 'excluded')
        expect(ask(node, '/health?serializable=true')[0] == 200, 'serializable health')
        expect(ask(node, '/health')[0] == 503, 'health without a majority')
