"""--force-new-cluster: one of three members goes on alone when the others are gone for ever."""
import re
import shutil
import urllib.request

from cluster import Cluster, etcdctl, expect, expect_in


def fine(node, *words):
    done = etcdctl(node.endpoint, *words)
    expect(done.returncode == 0, f'{words}: {done.stdout}{done.stderr}')
    return done.stdout


def wait_alone(cluster, node):
    cluster.nodes = [node]
    cluster.wait_ready()


def test_one_of_three_goes_on_alone(binary):
    with Cluster([binary, 'serve']) as cluster:
        node = cluster.node('n2')
        for number in range(50):
            fine(node, 'put', f'k{number % 7}', str(number))
        fine(node, 'compaction', '20')
        lease = re.match(r'lease (\w+) granted', fine(node, 'lease', 'grant', '600'))[1]
        fine(node, 'put', 'leased', 'v', f'--lease={lease}')
        fine(node, 'user', 'add', 'root:rp')
        before = fine(node, 'get', '', '--prefix', '-w', 'fields')
        history = fine(node, 'get', 'k1', '--rev=30')
        old_id = re.search(r'"ClusterID" : (\d+)', before)[1]
        for each in cluster.nodes:
            each.kill()
        for name in ('n1', 'n3'):
            shutil.rmtree(cluster.node(name).directory)
        flags = node.flags()
        node.flags = lambda: flags + ['--force-new-cluster']
        node.start()
        others = [each for each in cluster.nodes if each is not node]
        wait_alone(cluster, node)
        expect(fine(node, 'member', 'list').count('\n') == 1, 'it is alone')
        after = fine(node, 'get', '', '--prefix', '-w', 'fields')
        new_id = re.search(r'"ClusterID" : (\d+)', after)[1]
        expect(new_id != old_id, 'the cluster is another one')

        def rows(text):
            return [line for line in text.splitlines()
                    if not line.startswith(('"ClusterID"', '"MemberID"', '"RaftTerm"'))]
        expect(rows(after) == rows(before), f'the same keys and revisions: {after}\n{before}')
        expect(fine(node, 'get', 'k1', '--rev=30') == history, 'the same history')
        expect('compacted' in etcdctl(node.endpoint, 'get', 'k1', '--rev=10').stderr, 'compacted')
        expect_in(lease, fine(node, 'lease', 'list'), 'the lease')
        expect_in('root', fine(node, 'user', 'list'), 'the user')
        expect_in('start none of the old members again', node.log(), 'it says what to do')

        # The flag left in place does nothing twice, and the old flags are no way back.
        fine(node, 'put', 'new', 'life')
        for flag in (['--force-new-cluster'], []):
            node.kill()
            node.flags = lambda more=flag: flags + more
            node.start()
            cluster.wait_ready()
            expect(fine(node, 'get', 'new') == 'new\nlife\n', f'what was written since, {flag}')
            expect(fine(node, 'member', 'list').count('\n') == 1, f'still alone, {flag}')

        # It grows again, by a member on the old one's address.
        other = others[0]
        added = etcdctl(node.endpoint, 'member', 'add', other.name,
                        f'--peer-urls={other.peer_url}')
        expect(added.returncode == 0, f'member add: {added}')
        joining = other.flags() + ['--initial-cluster-state', 'existing']
        joining[joining.index('--initial-cluster') + 1] = ','.join(
            f'{each.name}={each.peer_url}' for each in (node, other))
        other.flags = lambda: joining
        other.start()
        cluster.nodes = [node, other]
        cluster.wait_ready()
        expect(fine(other, 'get', 'k1') == fine(node, 'get', 'k1'), 'the new member has the keys')


def test_the_protocol_stays(binary):
    """--force-new-cluster where nobody repeats --consensus: the log goes on as it was founded."""
    with Cluster([binary, 'serve'], size=1, extra_flags=['--consensus', 'multipaxos']) as cluster:
        node = cluster.nodes[0]
        fine(node, 'put', 'k', 'v')
        node.kill()
        founding = node.flags()
        at = founding.index('--consensus')
        flags = founding[:at] + founding[at + 2:]
        node.flags = lambda: flags + ['--force-new-cluster', '--consensus', 'raft']
        node.start()
        node.process.wait(timeout=30)
        expect_in('founded with the protocol multipaxos', node.log(), 'another one is refused')
        for more in (['--force-new-cluster'], []):
            node.flags = lambda more=more: flags + more
            node.start()
            cluster.wait_ready()
            expect(fine(node, 'get', 'k') == 'k\nv\n', f'what was there, {more}')
            with urllib.request.urlopen(f'http://{node.endpoint}/metrics', timeout=10) as page:
                expect_in('protocol="multipaxos"', page.read().decode(), f'the protocol, {more}')
            node.kill()
