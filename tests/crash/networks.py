"""Networks that fail: cuts of every shape, loss, delay, slow links, and hostile middlemen."""
import contextlib
import time

from cluster import free_port
from proxy import Proxy
from rig import Load, Probe, expect, until

ELECTION_SECONDS = 1.0
MEMBERS = range(3)
OUTSIDE = 3  # where the clients are


@contextlib.contextmanager
def own_network(rig, size=3, **settings):
    with rig.hub(size + 1) as hub, rig.cluster(size=size, hub=hub, **settings) as cluster:
        yield hub, cluster


def place_of(cluster, node):
    return cluster.nodes.index(node)


def quiet_return(cluster, hub, terms, leader):
    """After a minority was away: nobody else leads and no term was raised."""
    hub.heal()
    until(lambda: len(cluster.statuses()) == len(cluster.nodes), 40, 'all members answer')
    time.sleep(1.5)
    expect(cluster.terms() == terms, f'terms went from {terms} to {cluster.terms()}')
    expect(cluster.leader() is leader, 'another member leads')


def test_random_cuts(rig):
    """N01 to N03, N14, N15: links are cut one way or both ways at random, then healed."""
    with own_network(rig) as (hub, cluster):
        with Load(cluster) as load:
            end = time.monotonic() + rig.seconds(8)
            while time.monotonic() < end:
                kind = rig.random.choice(['isolate', 'one way', 'link', 'several'])
                one, other = rig.random.sample(MEMBERS, 2)
                if kind == 'isolate':
                    hub.isolate(one, MEMBERS)
                elif kind == 'one way':
                    hub.cut(one, other)
                elif kind == 'link':
                    hub.cut_both(one, other)
                else:
                    for _ in range(3):
                        hub.cut(*rig.random.sample(range(4), 2))
                rig.sleep(0.1, 1.8)
                if rig.random.random() < 0.8:
                    hub.heal()
                    rig.sleep(0.0, 0.5)
            hub.heal()
        cluster.revive()
        load.judge()


def test_leader_in_the_minority(rig):
    """N01: writes go on within two election timeouts; the old leader returns quietly."""
    with own_network(rig) as (hub, cluster):
        leader = cluster.leader()
        with Load(cluster) as load, Probe(cluster) as probe:
            time.sleep(0.3)
            start = time.monotonic()
            hub.isolate(place_of(cluster, leader), MEMBERS)
            time.sleep(2.5)
            done = time.monotonic()
            new = cluster.leader()
            quiet_return(cluster, hub, {max(cluster.terms())}, new)
        gap = probe.longest_gap(start, done)
        rig.say(f'longest gap {gap * 1000:.0f} ms')
        expect(gap < 2 * ELECTION_SECONDS, f'{gap:.2f} s without a write')
        cluster.revive()
        load.judge()


def test_deaf_leader(rig):
    """N02: a leader that hears nobody gives up and falls silent; the others elect."""
    with own_network(rig) as (hub, cluster):
        leader = cluster.leader()
        with Load(cluster) as load, Probe(cluster) as probe:
            start = time.monotonic()
            for other in MEMBERS:
                if other != place_of(cluster, leader):
                    hub.cut(other, place_of(cluster, leader))
            time.sleep(4.5)
            done = time.monotonic()
            expect(cluster.leader() is not leader, 'it still leads')
            hub.heal()
        gap = probe.longest_gap(start, done)
        rig.say(f'longest gap {gap * 1000:.0f} ms')
        expect(gap < 4 * ELECTION_SECONDS, f'{gap:.2f} s without a write')
        cluster.revive()
        load.judge()


def test_one_link_dead(rig):
    """N06: two members do not see each other, the third sees both: no tug-of-war over office."""
    with own_network(rig) as (hub, cluster):
        leader = cluster.leader()
        with Load(cluster) as load, Probe(cluster) as probe:
            other = rig.random.choice(cluster.others(leader))
            start = time.monotonic()
            first_term = max(cluster.terms())
            hub.cut_both(place_of(cluster, leader), place_of(cluster, other))
            time.sleep(rig.seconds(4))
            done = time.monotonic()
            raised = max(cluster.terms()) - first_term
            hub.heal()
        gap = probe.longest_gap(start, done)
        rig.say(f'longest gap {gap * 1000:.0f} ms, {raised} terms')
        expect(gap < 2 * ELECTION_SECONDS, f'{gap:.2f} s without a write')
        expect(raised <= 1, f'{raised} new terms')
        cluster.revive()
        load.judge()


def test_bridge(rig):
    """N04: five members, two halves that only meet in the leader's old follower."""
    with own_network(rig, size=5) as (hub, cluster):
        leader = cluster.leader()
        bridge, *rest = rig.random.sample(cluster.others(leader), 4)
        left = [leader, rest[0]]
        right = rest[1:]
        with Load(cluster) as load, Probe(cluster) as probe:
            start = time.monotonic()
            for one in left:
                for other in right:
                    hub.cut_both(place_of(cluster, one), place_of(cluster, other))
            time.sleep(rig.seconds(3.5))
            done = time.monotonic()
            hub.heal()
        gap = probe.longest_gap(start, done)
        rig.say(f'longest gap {gap * 1000:.0f} ms, bridge {bridge.name}')
        expect(gap < 4 * ELECTION_SECONDS, f'{gap:.2f} s without a write')
        cluster.revive()
        load.judge()


def test_minority_returns(rig):
    """A member back from a long partition disturbs nobody and floods nothing."""
    with own_network(rig) as (hub, cluster):
        leader = cluster.leader()
        away = rig.random.choice(cluster.others(leader))
        terms = cluster.terms()
        with Load(cluster) as load:
            hub.isolate(place_of(cluster, away), MEMBERS)
            time.sleep(5 if rig.scale <= 1 else 60)
            sent = hub.carried(place_of(cluster, leader), place_of(cluster, away))
            with Probe(cluster) as probe:
                start = time.monotonic()
                quiet_return(cluster, hub, terms, leader)
                done = time.monotonic()
            sent = hub.carried(place_of(cluster, leader), place_of(cluster, away)) - sent
        gap = probe.longest_gap(start, done)
        rig.say(f'longest gap {gap * 1000:.0f} ms, {sent / 1e6:.1f} MB sent to it')
        expect(gap < 0.5 * ELECTION_SECONDS, f'{gap:.2f} s without a write after its return')
        cluster.revive()
        load.judge()


def test_clients_cut_off_from_the_leader(rig):
    """N20: clients reach every member but the leader: the others serve them."""
    with own_network(rig) as (hub, cluster):
        leader = cluster.leader()
        with Load(cluster, roam=True) as load, Probe(cluster) as probe:
            time.sleep(0.3)
            start = time.monotonic()
            hub.cut_both(OUTSIDE, place_of(cluster, leader))
            time.sleep(2)
            done = time.monotonic()
            hub.heal()
        gap = probe.longest_gap(start, done)
        rig.say(f'longest gap {gap * 1000:.0f} ms')
        expect(gap < 0.5, f'{gap:.2f} s without a write')
        cluster.revive()
        load.judge()


def test_members_cut_off_from_each_other(rig):
    """N20: clients reach everybody, but no two members meet: nothing may be acknowledged."""
    with own_network(rig) as (hub, cluster):
        with Load(cluster) as load, Probe(cluster) as probe:
            time.sleep(0.5)
            for place in MEMBERS:
                hub.isolate(place, MEMBERS)
            time.sleep(0.3)  # what was on its way
            start = time.monotonic()
            time.sleep(2)
            done = time.monotonic()
            hub.heal()
            time.sleep(2)
        expect(not [t for t in probe.times if start < t < done], 'a write was acknowledged')
        cluster.revive()
        load.judge()


def test_bad_lines(rig):
    """Delay, jitter and loss on every link: slower, but one leader and no lost write."""
    with own_network(rig) as (hub, cluster):
        leader = cluster.leader()
        terms = cluster.terms()
        hub.every_link(delay_ms=20, jitter_ms=10, loss=10)
        with Load(cluster, clients=12) as load:
            time.sleep(rig.seconds(4))
            expect(cluster.terms() == terms, f'terms went from {terms} to {cluster.terms()}')
            expect(cluster.leader() is leader, 'the leader changed')
            hub.every_link(delay_ms=rig.random.choice([100, 300]), jitter_ms=200, loss=100)
            time.sleep(rig.seconds(2))
            hub.every_link()
        cluster.revive()
        load.judge()


def test_slow_link_to_a_follower(rig):
    """N13: ten kilobytes a second to one member and megabytes to tell: heartbeats get through."""
    with own_network(rig) as (hub, cluster):
        leader = cluster.leader()
        slow = rig.random.choice(cluster.others(leader))
        terms = cluster.terms()
        hub.link(place_of(cluster, leader), place_of(cluster, slow), kilobits=80)
        with Load(cluster, value_bytes=20_000, clients=6) as load:
            time.sleep(rig.seconds(4))
        expect(cluster.terms() == terms, f'terms went from {terms} to {cluster.terms()}')
        expect(cluster.leader() is leader, 'the leader changed')
        hub.link(place_of(cluster, leader), place_of(cluster, slow))
        cluster.revive()
        load.judge()


class Proxies:
    """A proxy in front of each member's peer port; peers know no other address."""

    def __init__(self, rig, cluster):
        self.list = []
        for node in cluster.nodes:
            node.peer_detour = free_port()
            self.list.append(Proxy(node.peer_detour, node.peer_port, rig.random))

    def __enter__(self):
        return self.list

    def __exit__(self, _kind, _value, _trace):
        for proxy in self.list:
            proxy.close()
        return False


@contextlib.contextmanager
def behind_proxies(rig, **settings):
    cluster = rig.cluster(**settings)
    with Proxies(rig, cluster) as proxies, cluster:
        yield proxies, cluster


def test_resets_in_the_middle_of_a_frame(rig):
    """N17: RST at random places: reconnect, no half frame is believed, no storm of elections."""
    with behind_proxies(rig) as (proxies, cluster):
        with Load(cluster) as load:
            end = time.monotonic() + rig.seconds(3)
            # A strike at a connection that is idle, or on its way back, hits nothing.
            latest = end + 15
            while time.monotonic() < end or (time.monotonic() < latest and
                                             sum(proxy.struck for proxy in proxies) <= 5):
                rig.random.choice(proxies).strike('reset')
                rig.sleep(0.05, 0.3)
        struck = sum(proxy.struck for proxy in proxies)
        rig.say(f'{struck} resets')
        expect(struck > 5, f'only {struck} connections were reset')
        cluster.revive()
        load.judge()


def test_flipped_bits(rig):
    """N19: bits flip where TCP does not see it: the frame is refused and the connection dropped."""
    with behind_proxies(rig) as (proxies, cluster):
        with Load(cluster) as load:
            end = time.monotonic() + rig.seconds(3)
            while time.monotonic() < end:
                rig.random.choice(proxies).strike('flip')
                rig.sleep(0.05, 0.3)
        struck = sum(proxy.struck for proxy in proxies)
        damaged = sum(node.log().count('checksum') for node in cluster.nodes)
        rig.say(f'{struck} flips, {damaged} lines about damage')
        expect(struck > 5, f'only {struck} flips')
        expect(damaged > 0, 'nobody noticed')
        cluster.revive()
        load.judge()


def test_half_open_connections(rig):
    """N17: a middlebox swallows everything and closes nothing: that is a silent leader."""
    with behind_proxies(rig) as (proxies, cluster):
        with Load(cluster) as load, Probe(cluster) as probe:
            time.sleep(0.3)
            start = time.monotonic()
            for proxy in proxies[:2]:  # all connections of at least one pair
                proxy.silent = True
            time.sleep(3)
            for proxy in proxies:
                proxy.silent = False
            time.sleep(1)
            done = time.monotonic()
        gap = probe.longest_gap(start, done)
        rig.say(f'longest gap {gap * 1000:.0f} ms')
        # All three pairs may have gone through the two silent ones.
        expect(gap < 3 + 1.5 * ELECTION_SECONDS, f'{gap:.2f} s without a write')
        cluster.revive()
        load.judge()


def test_wrong_member_at_an_address(rig):
    """N18: an address leads to another member, then to another cluster: refused, with a reason."""
    with behind_proxies(rig) as (proxies, cluster), rig.cluster(size=1) as foreign:
        with Load(cluster) as load:
            time.sleep(0.3)
            for wrong in (cluster.nodes[2].peer_port, foreign.nodes[0].peer_port):
                for proxy, own in ((proxies[0], 0), (proxies[1], 1)):
                    proxy.target = wrong
                    for pair in list(proxy.pairs):
                        pair.close()
                    rig.sleep(0.5, 1.0)
                    proxy.target = cluster.nodes[own].peer_port
                    for pair in list(proxy.pairs):
                        pair.close()
                    rig.sleep(0.3, 0.5)
        said = ''.join(node.log() for node in cluster.nodes)
        expect('refused' in said or 'refuses' in said, f'nobody refused anything:\n{said[-1500:]}')
        cluster.revive()
        load.judge()
