"""Disks that fail: at a named step, for a while, for ever, or by losing what was not synced."""
import errno
import os
import shutil
import subprocess
import tempfile
import time

from power_cut import power_cut
from rig import Failure, Load, Probe, Skip, expect, run, until

# Where in the life of a member a disk step happens: a step and a part of the path.
NAMED_STEPS = [
    ('write the log', 'write', '/wal/'), ('sync the log', 'sync', '/wal/'),
    ('create a log segment', 'create', '/wal/'), ('write the identity', 'write', '/identity'),
    ('rename the identity', 'rename', '/identity'), ('sync a directory', 'directory_sync', ''),
    ('write the store', 'write', '/store'), ('sync the store', 'sync', '/store'),
    ('create in the store', 'create', '/store'), ('rename in the store', 'rename', '/store'),
    ('remove from the store', 'remove', '/store'),
]
FAILED = 5  # the exit code of a member that stopped because its world failed
# Many flushes and truncations in a short run.
BUSY_STORE = ('--snapshot-count', '200')


def die_at(rig, node, name, step, area):
    """Kills a member at one such step of its own; starts it anew if it has none to make."""
    how = rig.random.choice(['kill_before', 'kill_torn', 'kill_after'])
    node.shim.arm(how, [step], skip=rig.random.choice([0, 0, 1, 2, 5]), area=area)
    end = time.monotonic() + 1.0
    while node.alive() and time.monotonic() < end:
        time.sleep(0.01)
    if node.alive():  # most named steps belong to starting and stopping
        node.process.terminate()
        try:
            node.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            raise Failure(f'{node.name} does not stop')
        if not node.shim.struck:
            node.start()
            end = time.monotonic() + 1.5
            while node.alive() and time.monotonic() < end:
                time.sleep(0.01)
    struck = node.shim.struck
    node.shim.disarm()
    node.kill()
    return bool(struck)


def named_steps(rig, journal):
    with rig.cluster(shims=True, journal=journal, extra_flags=BUSY_STORE) as cluster:
        reached = []
        with Load(cluster, value_bytes=200) as load:
            time.sleep(0.3)
            steps = NAMED_STEPS * max(1, round(rig.scale))
            rig.random.shuffle(steps)
            for name, step, area in steps:
                node = rig.random.choice(cluster.nodes)
                if die_at(rig, node, name, step, area):
                    reached.append(name)
                if journal:
                    power_cut(node.directory, node.journal_path, rig.random)
                node.start()
                cluster.wait_ready()
        rig.say(f'died in {len(reached)} of {len(steps)} steps')
        expect(len(set(reached)) >= 5, f'only reached: {sorted(set(reached))}')
        cluster.revive()
        load.judge()


def test_death_at_named_steps(rig):
    """P01: a member dies before, in or after a disk step of each kind, and comes back."""
    named_steps(rig, journal=False)


def test_power_cut_at_named_steps(rig):
    """P01, D01, D05, D20: the same, and what was not synced is lost or torn."""
    named_steps(rig, journal=True)


def test_power_cut_of_all(rig):
    """P09, P16: all members lose power at the same instant; nothing acknowledged is missing."""
    with rig.cluster(journal=True, extra_flags=BUSY_STORE) as cluster:
        with Load(cluster, value_bytes=200, clients=9) as load:
            undone = []
            for _ in range(max(3, round(4 * rig.scale))):
                rig.sleep(0.2, 0.9)
                cluster.kill_all()
                undone.append(sum(power_cut(node.directory, node.journal_path, rig.random, keep)
                                  for node, keep in zip(cluster.nodes, (0, 0.5, 1))))
                for node in cluster.nodes:
                    node.start()
                cluster.wait_ready()
        rig.say(f'undone {undone}')
        expect(sum(undone) > 0, 'no power cut ever undid anything')
        cluster.revive()
        load.judge()


def test_power_cut_in_the_first_second(rig):
    """Founding: identity, first segment and store are made while the power fails."""
    for _ in range(max(2, round(3 * rig.scale))):
        cluster = rig.cluster(journal=True)
        try:
            for _ in range(4):
                for node in cluster.nodes:
                    node.start()
                rig.sleep(0.01, 0.35)
                cluster.kill_all()
                for node in cluster.nodes:
                    power_cut(node.directory, node.journal_path, rig.random)
            for node in cluster.nodes:
                node.start()
            cluster.wait_ready()
            done = run([rig.binary, '--endpoints', cluster.endpoints, 'put', 'k', 'v'])
            expect(done.returncode == 0, f'a put afterwards: {done.stderr}')
        except BaseException as why:
            cluster.__exit__(type(why), why, None)
            raise
        cluster.__exit__(None, None, None)


def test_the_power_cut_has_teeth(rig):
    """With disks that only say they synced, acknowledged writes must turn out to be missing."""
    with rig.cluster(journal=True) as cluster:
        for node in cluster.nodes:
            node.shim.arm('drop', ['sync', 'directory_sync'])
        with Load(cluster, value_bytes=200) as load:
            time.sleep(0.8)
        cluster.kill_all()
        for node in cluster.nodes:
            node.shim.disarm()
            power_cut(node.directory, node.journal_path, rig.random, 0)
            node.start()
        try:
            cluster.wait_ready(20)
            load.judge()
        except Failure as why:
            return rig.say(f'noticed: {str(why).splitlines()[0][:100]}')
    raise Failure('three lying disks lost power, and nothing was found missing')


def test_failed_syncs(rig):
    """D08: one EIO from a sync of the log ends the member; it is never asked again."""
    with rig.cluster(journal=True) as cluster:
        with Load(cluster) as load:
            for times in [1, -1] * max(1, round(rig.scale)):
                time.sleep(0.3)
                node = cluster.leader()
                node.shim.arm('fail', ['sync'], error=errno.EIO, times=times, area='/wal/',
                              skip=rig.random.randrange(20))
                until(lambda: node.shim.struck, 30, 'a sync fails')
                code = node.wait_end(30)
                expect(code == FAILED, f'exit code {code}')
                expect('Input/output error' in node.log(), 'the log does not say why it ended')
                expect(node.shim.struck == 1, f'{node.shim.struck} failed syncs: it tried again')
                # The kernel may have dropped the pages: what was not synced before is gone.
                node.shim.disarm()
                power_cut(node.directory, node.journal_path, rig.random, 0)
                node.start()
                cluster.wait_ready()
        cluster.revive()
        load.judge()


def test_failed_calls(rig):
    """D08, D11, D21: a write, a sync or a new file fails: the member ends and says why."""
    faults = [('write', errno.EIO, '/wal/', 'Input/output error'),
              ('write', errno.ENOSPC, '/wal/', 'No space left'),
              ('write', errno.EDQUOT, '/wal/', 'quota'),
              ('write', errno.EROFS, '', 'Read-only file system'),
              ('create', errno.EACCES, '/wal/', 'Permission denied'),
              ('sync', errno.EIO, '/store', 'error'),
              ('write', errno.ENOSPC, '/store', 'No space left')]
    with rig.cluster(shims=True, extra_flags=BUSY_STORE) as cluster:
        with Load(cluster, value_bytes=2000, clients=9) as load:
            ended = 0
            for step, error, area, sentence in faults:
                node = rig.random.choice(cluster.nodes)
                before = len(node.log())
                node.shim.arm('fail', [step], error=error, area=area)
                # The log is written all the time, the rest only now and then.
                end = time.monotonic() + (20 if step == 'write' and area != '/store' else 2)
                while node.alive() and time.monotonic() < end:
                    time.sleep(0.02)
                if node.alive():
                    node.process.terminate()
                    node.wait_end(30)
                elif node.shim.struck:
                    ended += 1
                    code = node.process.wait()
                    expect(code == FAILED, f'{step} {os.strerror(error)}: exit code {code}')
                    said = node.log()[before:]
                    expect(sentence.lower() in said.lower(),
                           f'{step} {os.strerror(error)} in {area}: it says only {said[-600:]}')
                node.shim.disarm()
                node.start()
                cluster.wait_ready()
        rig.say(f'{ended} of {len(faults)} faults ended a member')
        expect(ended >= 4, 'too few faults were met')
        cluster.revive()
        load.judge()


def test_short_and_interrupted_calls(rig):
    """D10: every write takes one byte less, or is interrupted: no harm at all."""
    with rig.cluster(shims=True, extra_flags=BUSY_STORE) as cluster:
        cluster.nodes[0].shim.arm('short_write', ['write'])
        with Load(cluster, value_bytes=500) as load:
            end = time.monotonic() + rig.seconds(2)
            while time.monotonic() < end:
                cluster.nodes[1].shim.arm('fail', ['write', 'sync', 'read', 'truncate'], times=1,
                                          error=errno.EINTR, area='/wal/',
                                          skip=rig.random.randrange(5))
                time.sleep(0.02)
            for node in cluster.nodes:
                expect(node.alive(), f'{node.name} died: {node.log()[-600:]}')
        struck = cluster.nodes[0].shim.struck
        rig.say(f'{struck} short writes')
        expect(struck > 100, f'only {struck} short writes')
        cluster.revive()
        load.judge()


def test_slow_follower(rig):
    """D12: a follower whose syncs take half a second costs the others nothing."""
    with rig.cluster(shims=True) as cluster:
        leader = cluster.leader()
        slow, fast = rig.random.sample(cluster.others(leader), 2)
        endpoints = f'{leader.endpoint},{fast.endpoint}'
        with Load(cluster) as load:
            slow.shim.arm('delay', ['sync'], delay_ms=500, area='/wal/')
            with Probe(cluster, endpoints=endpoints) as after:
                time.sleep(rig.seconds(1.5))
            slow.shim.disarm()
        expect(cluster.leader() is leader, 'the leader changed')
        # No write may wait for that disk. How fast the others are is for the benchmarks: here a
        # busy machine must not look like a slow member, so what counts is the delay itself.
        expect(after.waits, 'no write was acknowledged')
        median = sorted(after.waits)[len(after.waits) // 2]
        waited = sum(wait > 0.4 for wait in after.waits)
        rig.say(f'median {median * 1000:.1f} ms, {waited} of {len(after.waits)} waited over 400 ms')
        expect(median < 0.25, f'the median write took {median * 1000:.0f} ms')
        expect(waited <= 1 + len(after.waits) // 20, f'{waited} of {len(after.waits)} writes waited')
        cluster.revive()
        load.judge()


def test_hanging_disk_of_the_leader(rig):
    """D12, D13, P05: a leader whose syncs hang gives up office; writes go on elsewhere."""
    with rig.cluster(shims=True) as cluster:
        leader = cluster.leader()
        with Load(cluster) as load, Probe(cluster) as probe:
            time.sleep(0.3)
            leader.shim.arm('delay', ['sync'], delay_ms=8000 if rig.scale <= 1 else 60000,
                            area='/wal/')
            start = time.monotonic()
            time.sleep(4)
            new = cluster.leader()
            done = time.monotonic()
            expect(new is not leader, 'it still leads')
            leader.shim.disarm()
        gap = probe.longest_gap(start, done)
        rig.say(f'longest gap {gap * 1000:.0f} ms')
        expect(gap < 3.0, f'{gap:.1f} s without a write')
        leader.kill()
        cluster.revive()
        load.judge()


class Mount:
    """A small file system of our own, for one member."""

    def __init__(self, rig, kind, mebibytes):
        self.path = tempfile.mkdtemp(prefix='mount-', dir=rig.folder)
        self.image = None
        if kind == 'tmpfs':
            words = ['mount', '-t', 'tmpfs', '-o', f'size={mebibytes}m', 'crash', self.path]
        else:
            self.image = self.path + '.image'
            with open(self.image, 'wb') as file:
                file.truncate(mebibytes << 20)
            if subprocess.run(['mkfs.ext4', '-q', self.image], capture_output=True).returncode:
                raise Skip('no mkfs.ext4')
            words = ['mount', '-o', 'loop,errors=remount-ro', self.image, self.path]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            self.remove()
            raise Skip(f'this machine mounts nothing: {done.stderr.strip()}')

    def device(self):
        with open('/proc/mounts') as file:
            return next(line.split()[0] for line in file if line.split()[1] == self.path)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
        if self.image:
            os.unlink(self.image)

    def __enter__(self):
        return self

    def __exit__(self, _kind, _value, _trace):
        subprocess.run(['umount', '-l', self.path], capture_output=True)
        self.remove()
        return False


def test_full_device(rig):
    """D11: a device fills up: the member stops with the reason; a start needs no free byte."""
    with rig.cluster() as cluster, Mount(rig, 'tmpfs', 96) as mount:
        node = rig.random.choice(cluster.nodes)
        node.kill()
        shutil.move(node.directory, mount.path + '/data')
        node.directory = mount.path + '/data'
        node.start()
        cluster.wait_ready()
        with open(mount.path + '/filler', 'wb'):
            pass  # a name costs space too
        with Load(cluster, value_bytes=400_000, clients=6, pause_microseconds=500) as load:
            code = node.wait_end(60)
            expect(code == FAILED, f'exit code {code}')
            expect('no space left' in node.log().lower(), f'it says {node.log()[-400:]}')
            filler = os.path.join(mount.path, 'filler')
            with open(filler, 'wb', buffering=0) as file:
                try:
                    while True:
                        file.write(b'x' * 4096)
                except OSError:
                    pass
            expect(os.statvfs(mount.path).f_bavail == 0, 'the device is not full')
            node.start()
            time.sleep(1.5)  # it may stop again as soon as it must write, but with a sentence
            if not node.alive():
                expect('no space left' in node.log().lower(), f'it says {node.log()[-400:]}')
        node.kill()
        os.unlink(filler)
        shutil.move(node.directory, os.path.join(cluster.directory, 'moved'))
        node.directory = os.path.join(cluster.directory, 'moved')
        cluster.revive()
        load.judge()


def test_device_that_turns_read_only(rig):
    """D21: the kernel remounts a damaged file system read-only under a member."""
    with rig.cluster() as cluster, Mount(rig, 'ext4', 256) as mount:
        trigger = f'/sys/fs/ext4/{os.path.basename(mount.device())}/trigger_fs_error'
        if not os.access(trigger, os.W_OK):
            raise Skip(f'{trigger} is not there')
        node = cluster.leader()
        node.kill()
        moved = mount.path + '/data'
        shutil.copytree(node.directory, moved)
        node.directory = moved
        node.start()
        cluster.wait_ready()
        with Load(cluster) as load:
            time.sleep(0.5)
            with open(trigger, 'w') as file:
                file.write('crash test')
            code = node.wait_end(20)
            expect(code == FAILED, f'exit code {code}')
            expect('read-only' in node.log().lower() or 'input/output' in node.log().lower(),
                   f'it says {node.log()[-400:]}')
            subprocess.run(['umount', mount.path], capture_output=True)
            done = subprocess.run(['fsck.ext4', '-fy', mount.image], capture_output=True, text=True)
            expect(done.returncode in (0, 1), f'fsck: {done.stdout[-300:]}')
            subprocess.run(['mount', '-o', 'loop', mount.image, mount.path], check=True)
            node.start()
            time.sleep(0.5)
        cluster.revive()
        load.judge()
