"""Members that are killed, frozen, restarted, or started twice."""
import os
import signal
import time

from rig import Failure, Load, Probe, expect, run, until

ELECTION_SECONDS = 1.0  # the default election timeout


def test_kills_and_freezes(rig):
    """P03, P08: kill -9, SIGSTOP and SIGCONT of random members, under load, again and again."""
    with rig.cluster() as cluster:
        with Load(cluster) as load:
            end = time.monotonic() + rig.seconds(8)
            while time.monotonic() < end:
                victims = rig.random.sample(cluster.nodes, rig.random.choice([1, 1, 1, 2, 3]))
                frozen = rig.random.random() < 0.4
                for victim in victims:
                    victim.freeze() if frozen else victim.kill()
                rig.sleep(0.05, 1.5)
                for victim in victims:
                    victim.thaw() if frozen else victim.start()
                rig.sleep(0.1, 1.2)
        cluster.revive()
        load.judge()


def test_the_leader_again_and_again(rig):
    """The worst member to lose, each time as soon as it leads: kills and freezes in turn."""
    with rig.cluster() as cluster:
        with Load(cluster) as load:
            end = time.monotonic() + rig.seconds(7)
            while time.monotonic() < end:
                leader = cluster.leader()
                if rig.random.random() < 0.5:
                    leader.kill()
                    cluster.leader()
                    leader.start()
                else:
                    leader.freeze()
                    rig.sleep(0.3, 2.0)
                    leader.thaw()
                rig.sleep(0.0, 0.5)
        cluster.revive()
        load.judge()


def test_all_at_once(rig):
    """P09 without a power cut: every process dies at the same instant, several times."""
    with rig.cluster() as cluster:
        with Load(cluster) as load:
            for _ in range(max(2, round(3 * rig.scale))):
                rig.sleep(0.3, 1.0)
                cluster.kill_all()
                for node in cluster.nodes:
                    node.start()
                cluster.wait_ready()
        cluster.revive()
        load.judge()


def test_crash_loop(rig):
    """P08: a member that restarts faster than an election keeps nobody from leading."""
    with rig.cluster() as cluster:
        leader = cluster.leader()
        looper = rig.random.choice(cluster.others(leader))
        terms = cluster.terms()
        with Load(cluster) as load, Probe(cluster) as probe:
            start = time.monotonic()
            end = start + rig.seconds(4)
            while time.monotonic() < end:
                looper.kill()
                looper.start()
                rig.sleep(0.02, 0.4)
            done = time.monotonic()
        gap = probe.longest_gap(start + 0.2, done)
        rig.say(f'longest gap {gap * 1000:.0f} ms')
        expect(gap < ELECTION_SECONDS, f'{gap:.2f} s without a write')
        cluster.revive()
        expect(cluster.terms() == terms, f'terms went from {terms} to {cluster.terms()}')
        expect(cluster.leader() is leader, 'another member leads')
        load.judge()


def long_stop(rig, seconds):
    with rig.cluster() as cluster:
        leader = cluster.leader()
        sleeper = rig.random.choice(cluster.others(leader))
        terms = cluster.terms()
        with Load(cluster, clients=6) as load:
            sleeper.freeze()
            time.sleep(seconds)
            before = leader.metrics()
            sleeper.thaw()
            with Probe(cluster) as probe:
                start = time.monotonic()
                until(lambda: len(cluster.statuses()) == 3, 40, 'the sleeper answers')
                time.sleep(2)
                done = time.monotonic()
            after = leader.metrics()
        cluster.revive()
        expect(cluster.leader() is leader, 'another member leads')
        expect(cluster.terms() == terms, f'terms went from {terms} to {cluster.terms()}')
        gap = probe.longest_gap(start + 0.1, done)
        figure = 'etcd_network_peer_sent_bytes_total'
        sent = after[figure] - before[figure]
        wrote = after['etcd_disk_wal_write_bytes_total']
        rig.say(f'longest gap {gap * 1000:.0f} ms, the leader sent {sent / 1e6:.1f} MB '
                f'of a log of {wrote / 1e6:.1f} MB')
        expect(gap < 0.5 * ELECTION_SECONDS, f'{gap:.2f} s without a write after its return')
        # What it missed, what both members get while it catches up, and half as much again.
        expect(sent < 3 * wrote + 2e6, f'{sent:.0f} bytes for a log of {wrote:.0f}')
        load.judge()


def test_back_after_a_long_stop(rig):
    """A member that returns neither disturbs nor floods: same term, same leader, little traffic."""
    long_stop(rig, 5 if rig.scale <= 1 else 60)


def test_the_leader_back_after_a_long_stop(rig):
    """P03: the old leader wakes up deposed; it must say nothing stale and raise no term."""
    with rig.cluster() as cluster:
        leader = cluster.leader()
        with Load(cluster) as load:
            leader.freeze()
            time.sleep(3 if rig.scale <= 1 else 60)
            new = cluster.leader()
            expect(new is not leader, 'nobody else leads')
            terms = cluster.terms()
            leader.thaw()
            until(lambda: len(cluster.statuses()) == 3, 40, 'the old leader answers')
            time.sleep(1.5)
            expect(cluster.terms() == terms, f'terms went from {terms} to {cluster.terms()}')
            expect(cluster.leader() is new, 'the old leader took office back')
        cluster.revive()
        load.judge()


def test_stops_under_load(rig):
    """P15: SIGTERM to each in turn: acknowledged or unknown, never both; it ends in time."""
    with rig.cluster() as cluster:
        with Load(cluster, roam=True) as load, Probe(cluster) as probe:
            gaps = []
            for _ in range(max(1, round(rig.scale))):
                for node in cluster.nodes:
                    start = time.monotonic()
                    code, seconds = node.terminate()
                    expect(code == 0, f'{node.name} ended with code {code}')
                    expect(seconds < 5, f'{node.name} took {seconds:.1f} s to stop')
                    gaps.append((start, time.monotonic()))
                    node.start()
                    cluster.wait_ready()
        worst = max(probe.longest_gap(start, end + 0.3) for start, end in gaps)
        rig.say(f'longest gap {worst * 1000:.0f} ms')
        expect(worst < 0.5, f'{worst:.2f} s without a write')
        load.judge()


def test_two_processes_on_one_directory(rig):
    """P14: the second one refuses, says why, and harms nothing."""
    with rig.cluster() as cluster:
        with Load(cluster) as load:
            node = cluster.nodes[0]
            twin = cluster.make_node(len(cluster.nodes))
            flags = node.flags()
            for flag, value in (('--listen-client-urls', f'http://127.0.0.1:{twin.client_port}'),
                                ('--advertise-client-urls', f'http://127.0.0.1:{twin.client_port}'),
                                ('--listen-peer-urls', twin.peer_url)):
                flags[flags.index(flag) + 1] = value
            done = run([*cluster.command, *flags], timeout=60)
            expect(done.returncode == 1, f'exit code {done.returncode}: {done.stderr}')
            expect(node.directory in done.stderr, f'it does not name the directory: {done.stderr}')
            time.sleep(0.5)
            expect(node.alive(), 'the first process died')
        cluster.revive()
        load.judge()


def limited_descriptors(node, limit):
    """Starts a member with few descriptors to spare."""
    prefix = node.prefix
    node.prefix = ['prlimit', f'--nofile={limit}', *prefix]
    node.start()
    node.prefix = prefix


def test_out_of_descriptors(rig):
    """P12: clients that use up the descriptors of a member do not take its peers from it."""
    import resource
    import socket
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    sockets = []
    with rig.cluster() as cluster:
        leader = cluster.leader()
        leader.kill()
        limited_descriptors(leader, 200)
        cluster.wait_ready()
        with Load(cluster, roam=True) as load:
            try:
                time.sleep(0.3)
                for _ in range(600):
                    half_open = socket.socket()
                    half_open.setblocking(False)
                    half_open.connect_ex(('127.0.0.1', leader.client_port))
                    sockets.append(half_open)
                for _ in range(200):
                    half_open = socket.socket()
                    half_open.setblocking(False)
                    half_open.connect_ex(('127.0.0.1', leader.peer_port))
                    sockets.append(half_open)
                time.sleep(1)
                # Its peers die and come back: it must take them in again.
                for other in cluster.others(leader):
                    other.kill()
                    other.start()
                    rig.sleep(0.5, 0.8)
                expect(leader.alive(), 'it died')
            finally:
                for half_open in sockets:
                    half_open.close()
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        cluster.revive()
        load.judge()


def test_second_signal(rig):
    """An impatient operator: SIGTERM twice ends the process at once, and nothing is lost."""
    with rig.cluster() as cluster:
        with Load(cluster) as load:
            time.sleep(0.4)
            leader = cluster.leader()
            leader.process.send_signal(signal.SIGTERM)
            leader.process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            code = leader.wait_end(20)
            expect(code == 0, f'exit code {code} after {time.monotonic() - started:.1f} s')
            if not os.path.isdir(leader.directory):
                raise Failure('its directory is gone')
            leader.start()
            time.sleep(0.3)
        cluster.revive()
        load.judge()
