"""Plain HTTP on the client port: the probes of kubelets, and JSON in front of the gRPC methods."""
import base64
import http.client
import json
import shutil
import time

from cluster import Cluster, Skip, expect

PATIENCE_SECONDS = 40


def ask(node, path, method='GET', body=None):
    """(status, text) of one request over HTTP/1.1."""
    connection = http.client.HTTPConnection(node.endpoint.removeprefix('http://'), timeout=40)
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


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def post(node, path, body):
    status, text = ask(node, path, 'POST', body if isinstance(body, str) else json.dumps(body))
    return status, json.loads(text)


def comparable(answer):
    """An answer without what is a cluster's own, and without the words that are a server's own."""
    header = answer.get('header', {})
    for name in ('cluster_id', 'member_id', 'raft_term'):
        if header.pop(name, '0') == '0':
            header[f'no {name}'] = True
    return answer


def test_json_like_etcd(binary):
    """The same calls to etcd 3.4 and to Quorate have the same answers, down to the errors."""
    if not shutil.which('etcd'):
        raise Skip('etcd is not installed (Debian: etcd-server)')
    a, b, c = encoded('a'), encoded('b'), encoded('c')
    calls = [
        ('put', {'key': a, 'value': encoded('1')}),
        ('put', {'key': a, 'value': encoded('2'), 'prev_kv': True}),
        ('put', {'key': b, 'value': encoded('\u00e9'), 'lease': 0}),
        ('put', {}),
        ('put', {'key': c, 'lease': '77'}),
        ('put', {'key': c, 'ignore_value': True}),
        ('range', {'key': a}),
        ('range', {'key': encoded('nothing')}),
        ('range', {'key': a, 'range_end': encoded('z'), 'limit': '1'}),
        ('range', {'key': a, 'rangeEnd': encoded('z'), 'sortOrder': 'DESCEND', 'sort_target': 3}),
        ('range', {'key': a, 'range_end': encoded('z'), 'count_only': True}),
        ('range', {'key': a, 'revision': '2', 'serializable': True}),
        ('range', {'key': a, 'revision': 99}),
        ('txn', {'compare': [{'key': a, 'target': 'MOD', 'result': 'EQUAL', 'mod_revision': '3'}],
                 'success': [{'request_put': {'key': c, 'value': c}},
                             {'request_range': {'key': c}}],
                 'failure': [{'request_delete_range': {'key': a}}]}),
        ('txn', {'compare': [{'key': a, 'target': 'VERSION', 'result': 'GREATER', 'version': 9}],
                 'success': [], 'failure': [{'requestDeleteRange': {'key': a, 'prev_kv': True}}]}),
        ('txn', {'success': [{'request_put': {'key': a}}, {'request_put': {'key': a}}]}),
        ('deleterange', {'key': b, 'prev_kv': True}),
        ('deleterange', {'key': b}),
        ('compaction', {'revision': '3'}),
        ('compaction', {'revision': '3'}),
        ('range', {'key': a, 'revision': '2'}),
    ]
    with Cluster(['etcd'], size=1) as reference, Cluster([binary, 'serve'], size=1) as ours:
        theirs, mine = reference.leader(), ours.leader()
        for number, (name, body) in enumerate(calls):
            path = f'/v3/kv/{name}'
            wanted, got = post(theirs, path, body), post(mine, path, body)
            expect(wanted[0] == got[0] and comparable(wanted[1]) == comparable(got[1]),
                   f'call {number}, {name} {body}: etcd says {wanted}, we say {got}')
        for body in ('{"key":', '[]', '{"key":5}', '{"key":"%"}', '{"limit":"x"}'):
            wanted, got = post(theirs, '/v3/kv/range', body), post(mine, '/v3/kv/range', body)
            expect(wanted[0] == got[0] == 400 and wanted[1]['code'] == got[1]['code'],
                   f'{body}: etcd says {wanted}, we say {got}')
        for path in ('/v3/maintenance/status', '/v3/cluster/member/list'):
            wanted, got = post(theirs, path, '{}'), post(mine, path, '{}')
            missing = set(wanted[1]) - set(got[1])
            expect(wanted[0] == got[0] == 200 and not missing, f'{path}: we lack {missing}')


def test_json_members_and_leases(binary):
    with Cluster([binary, 'serve']) as cluster:
        leader = cluster.leader()
        status, members = post(leader, '/v3/cluster/member/list', {'linearizable': True})
        expect(status == 200 and sorted(each['name'] for each in members['members'])
               == ['n1', 'n2', 'n3'], str(members))
        mine = post(leader, '/v3/maintenance/status', '')[1]
        expect(mine['leader'] == mine['header']['member_id'], str(mine))
        follower = next(node for node in cluster.nodes if node is not leader)
        theirs = post(follower, '/v3/maintenance/status', '')[1]
        status, answer = post(follower, '/v3/maintenance/transfer-leadership',
                              {'targetID': mine['leader']})
        expect(status == 400 and answer['message'] == 'etcdserver: not leader', str(answer))
        target = theirs['header']['member_id']
        status, answer = post(leader, '/v3/maintenance/transfer-leadership', {'targetID': target})
        expect(status == 200 and answer == {}, f'{status} {answer}')
        expect(post(leader, '/v3/maintenance/status', '')[1]['leader'] == target, 'a new leader')
        status, grant = post(leader, '/v3/lease/grant', {'TTL': '60'})
        expect(status == 200 and int(grant['TTL']) == 60 and int(grant['ID']) > 0, str(grant))
        key = encoded('of a lease')
        expect(post(leader, '/v3/kv/put', {'key': key, 'lease': grant['ID']})[0] == 200, 'put')
        kept = post(leader, '/v3/lease/timetolive', {'ID': grant['ID'], 'keys': True})[1]
        expect(kept['keys'] == [key] and kept['grantedTTL'] == '60', str(kept))
        expect(post(leader, '/v3/kv/lease/leases', '')[1]['leases'] == [{'ID': grant['ID']}], 'list')
        expect(post(leader, '/v3/lease/revoke', {'ID': grant['ID']})[0] == 200, 'revoke')
        expect('kvs' not in post(leader, '/v3/kv/range', {'key': key})[1], 'gone with its lease')
        status, answer = post(leader, '/v3/lease/revoke', {'ID': grant['ID']})
        expect(status == 404 and answer['code'] == 5, f'{status} {answer}')
