"""Registers, which need no leader; and seeds that are started at once and form one cluster.

Run by itself, `register.py --binary B --rounds N` starts N clusters, in all orders and with kills.
"""
import concurrent.futures
import itertools
import json
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import Cluster, Failure, Node, expect, expect_in, run  # noqa: E402


class Seed(Node):
    def flags(self):
        flags = super().flags()
        flags[flags.index('--initial-cluster')] = '--bootstrap-seeds'
        return flags


class Seeds(Cluster):
    def make_node(self, number):
        return Seed(self, number)

    def ids(self):
        """All cluster ids that any life of any member took itself to belong to."""
        return {found for node in self.nodes if os.path.exists(node.log_path)
                for found in re.findall(r'this is member \w+ of cluster (\w+)', node.log())}


def client(binary, endpoint, *words, timeout=5):
    return run([binary, '--endpoints', endpoint, '--timeout', str(timeout), *words], timeout=30)


def said(done, code, text, what):
    expect(done.returncode == code, f'{what}: exit code {done.returncode}, expected {code}: '
           f'{done.stdout}{done.stderr}')
    expect_in(text, done.stdout + done.stderr, what)


def test_any_member_reads_and_changes(binary):
    with Cluster([binary, 'serve']) as cluster:
        one, two, three = (node.endpoint for node in cluster.nodes)
        said(client(binary, one, 'register', 'get', 'x'), 0, 'nobody has written', 'get')
        said(client(binary, one, 'register', 'set', 'x', 'a'), 0, 'OK, version 1', 'set')
        said(client(binary, two, 'register', 'get', 'x'), 0, 'a', 'get elsewhere')
        said(client(binary, three, 'register', 'cas', 'x', 'a', 'b'), 0, 'OK, version 2', 'cas')
        said(client(binary, one, 'register', 'cas', 'x', 'a', 'c'), 1, 'version 2 holds "b"', 'cas')
        said(client(binary, one, 'register', 'cas', 'x', 'c', '--unwritten'), 1, 'holds "b"', 'cas')
        said(client(binary, two, 'register', 'cas', 'y', 'c', '--unwritten'), 0, 'version 1', 'cas')
        said(client(binary, two, 'register', 'cas', 'y', 'c'), 2, 'cas needs', 'cas')
        said(client(binary, two, 'register', 'set', 'x', 'v' * 5000), 3, 'too large', 'large')
        told = json.loads(client(binary, three, '--json', 'register', 'get', 'x').stdout)
        expect(told == {'verdict': 'applied', 'version': 2, 'value': 'b'}, f'json: {told}')


def test_survives_restarts_and_needs_a_majority(binary):
    with Cluster([binary, 'serve']) as cluster:
        for number in range(10):
            said(client(binary, cluster.endpoints, 'register', 'set', f'r{number}', f'v{number}'),
                 0, 'OK', 'set')
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start()
        cluster.wait_ready()
        for number in range(10):
            said(client(binary, cluster.nodes[number % 3].endpoint, 'register', 'get',
                        f'r{number}'), 0, f'v{number}', 'after restart')
        cluster.nodes[0].kill()
        said(client(binary, cluster.nodes[1].endpoint, 'register', 'set', 'r0', 'w'), 0, 'OK',
             'two of three')
        cluster.nodes[1].kill()
        done = client(binary, cluster.nodes[2].endpoint, 'register', 'set', 'r0', 'z', timeout=2)
        said(done, 3, 'surely not applied', 'one of three')
        # A member without its data answers clients and keeps out as an acceptor.
        cluster.nodes[0].wipe()
        cluster.nodes[0].start()
        cluster.nodes[1].start()
        cluster.wait_ready()
        said(client(binary, cluster.nodes[0].endpoint, 'register', 'get', 'r0'), 0, 'w', 'wiped')
        said(client(binary, cluster.nodes[0].endpoint, 'register', 'set', 'r0', 'u'), 0, 'OK',
             'wiped')
        cluster.nodes[2].kill()
        done = client(binary, cluster.nodes[1].endpoint, 'register', 'get', 'r0', timeout=2)
        said(done, 3, 'no majority', 'with the wiped one alone')


def found_once(binary, size, order, kills, chance):
    """Starts seeds in this order, kills some on the way, starts them again: one cluster."""
    cluster = Seeds([binary, 'serve'], size=size)
    failure = None
    try:
        for number in order:
            cluster.nodes[number].start()
            time.sleep(chance.choice([0, 0, 0.01, 0.05, 0.2]))
        for _ in range(kills):
            time.sleep(chance.random() * 0.25)
            node = chance.choice(cluster.nodes)
            node.kill()
            time.sleep(chance.choice([0, 0.1, 0.5]))
            node.start()
        cluster.wait_ready(40)
        said(client(binary, cluster.endpoints, 'put', 'k', 'v'), 0, 'OK', 'put')
        for node in cluster.nodes:
            said(client(binary, node.endpoint, 'register', 'set', 'who', node.name), 0, 'OK',
                 f'a register through {node.name}')
        ids = cluster.ids()
        expect(len(ids) == 1, f'{size} seeds, order {order}, {kills} kills: clusters {ids}')
        members = json.loads(client(binary, cluster.nodes[0].endpoint, '--json', 'member',
                                    'list').stdout)
        expect(len(members) == size, f'members: {members}')
        return ids.pop()
    except Exception as why:
        failure = why
        raise
    finally:
        cluster.__exit__(type(failure) if failure else None, failure, None)


def found_all(binary, plans):
    """Several clusters at a time: they mostly wait."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(found_once, binary, *plan, random.Random(seed))
                for seed, plan in enumerate(plans)]
        ids = [job.result() for job in jobs]
    expect(len(set(ids)) == len(ids), f'a cluster id came twice: {ids}')


def test_seeds_form_one_cluster_in_every_order(binary):
    plans = [(3, order, 0) for order in itertools.permutations(range(3))]
    plans += [(size, range(size), 0) for size in (1, 2, 5)]
    found_all(binary, plans)


def test_seeds_killed_on_the_way_form_one_cluster(binary):
    chance = random.Random(2)
    plans = [(size, chance.sample(range(size), size), kills)
             for size, kills in ((2, 2), (3, 1), (3, 2), (3, 4), (4, 3), (5, 4))]
    found_all(binary, plans)


def test_seeds_start_again_as_what_they_are(binary):
    with Seeds([binary, 'serve']) as cluster:
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start()
        cluster.wait_ready()
        cluster.nodes[1].kill()
        cluster.nodes[1].wipe()
        cluster.nodes[1].start()
        cluster.wait_ready()
        expect(len(cluster.ids()) == 1, f'clusters {cluster.ids()}')


def test_one_seed_alone_founds_nothing(binary):
    cluster = Seeds([binary, 'serve'])
    try:
        cluster.nodes[0].start()
        time.sleep(6)
        expect(not cluster.ids(), f'one of three has founded: {cluster.ids()}')
        expect_in('no cluster yet', cluster.nodes[0].log(), 'what it says')
        cluster.nodes[1].start()
        until = time.monotonic() + 60
        while not cluster.ids():
            expect(time.monotonic() < until, 'two of three found')
            time.sleep(0.1)
        cluster.nodes[2].start()
        cluster.wait_ready()
        expect(len(cluster.ids()) == 1, f'clusters {cluster.ids()}')
    finally:
        cluster.__exit__(None, None, None)


def main():
    binary, rounds = os.path.abspath(sys.argv[2]), int(sys.argv[4])
    chance = random.Random(time.time_ns())
    for number in range(rounds):
        size = chance.choice([2, 3, 3, 3, 4, 5])
        order = list(range(size))
        chance.shuffle(order)
        try:
            found_once(binary, size, order, chance.randrange(6), chance)
        except Failure as why:
            print(f'round {number} FAILED: {why}')
            return 1
    print(f'{rounds} clusters founded, each once')
    return 0


if __name__ == '__main__':
    sys.exit(main())
