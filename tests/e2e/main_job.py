"""The main job: the package list of this machine, loaded while nodes die, restart and lose disks."""
import hashlib
import subprocess
import tempfile
import threading
import time

from cluster import Cluster, Failure, Skip, clean_environment, expect, run

LOAD_SECONDS = 30  # the load is paced so that it lasts through every disturbance
LOAD_SECONDS_MAX = 180


def packages():
    try:
        listed = run(['dpkg-query', '-W']).stdout
    except FileNotFoundError:
        raise Skip('no dpkg-query on this machine')
    lines = [line for line in listed.splitlines() if '\t' in line]
    expect(len(lines) > 100, f'only {len(lines)} packages')
    return lines


def row_hash(rows):
    digest = hashlib.sha256()
    for pair in rows['kvs']:
        digest.update(repr(sorted(pair.items())).encode())
    return digest.hexdigest()


def disturb(cluster, log):
    """Three times: the leader dies by kill -9, a member restarts, another starts with nothing."""
    for number in range(3):
        leader = cluster.leader()
        leader.kill()
        log(f'killed leader {leader.name}')
        cluster.leader()  # the other two elect
        leader.start()
        cluster.wait_ready(60)
        member = cluster.nodes[number]
        member.terminate()
        member.start()
        log(f'restarted {member.name}')
        cluster.wait_ready(60)
        member.kill()
        member.wipe()
        member.start()
        log(f'wiped {member.name}')
        cluster.wait_ready(60)


def verify(cluster, lines):
    wanted = dict(line.split('\t', 1) for line in lines)
    hashes = {}
    end = time.monotonic() + 60
    while True:
        all_rows = {node.name: cluster.rows(node) for node in cluster.nodes}
        hashes = {name: row_hash(rows) for name, rows in all_rows.items()}
        if len(set(hashes.values())) == 1 or time.monotonic() > end:
            break
        time.sleep(0.3)
    for name, rows in all_rows.items():
        found = {pair['key']: pair['value'] for pair in rows['kvs']}
        lost = [key for key in wanted if found.get(key) != wanted[key]]
        expect(not lost, f'{name} lost {len(lost)} acknowledged keys, such as {lost[:3]}')
        expect(len(found) == len(wanted), f'{name} has {len(found)} keys, not {len(wanted)}')
    expect(len(set(hashes.values())) == 1, f'members differ: {hashes}')


def test_package_list_through_disasters(binary):
    lines = packages()
    with Cluster([binary, 'serve']) as cluster, tempfile.NamedTemporaryFile('w') as source:
        source.write('\n'.join(lines) + '\n')
        source.flush()
        rate = max(1, len(lines) // LOAD_SECONDS)
        loader = subprocess.Popen(
            [binary, '--endpoints', cluster.endpoints, '--timeout', '30', 'put', '--from-file',
             source.name, '--retry-unknown', '--rate', str(rate)], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env=clean_environment())
        output = []
        reader = threading.Thread(target=lambda: output.extend(loader.stdout), daemon=True)
        reader.start()
        story = []
        started = time.monotonic()
        try:
            disturb(cluster, lambda text: story.append(f'{time.monotonic() - started:.1f} s {text}'))
            early = loader.poll()
            try:
                code = loader.wait(timeout=LOAD_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                raise Failure('the load did not end')
            expect(code == 0, f'load ended with {code}: {"".join(output[-3:])}')
            cluster.wait_ready()
            verify(cluster, lines)
        except Failure as why:
            raise Failure(f'{why}\n  after: {"; ".join(story)}\n  loader: {"".join(output[-3:])}')
        finally:
            loader.kill()
            loader.wait()
        print(f'        {len(lines)} keys, load {"outlasted" if early is None else "ended before"} '
              f'the disturbances ({story[-1]}); {output[-1].strip()}')


def test_disturbed_without_pacing(binary):
    """The same list many times over at full speed, under one kill of the leader."""
    lines = [f'{copy:02}/{line}' for copy in range(20) for line in packages()]
    with Cluster([binary, 'serve']) as cluster, tempfile.NamedTemporaryFile('w') as source:
        source.write('\n'.join(lines) + '\n')
        source.flush()
        loader = subprocess.Popen(
            [binary, '--endpoints', cluster.endpoints, '--timeout', '30', 'put', '--from-file',
             source.name, '--retry-unknown', '--window', '64'], stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env=clean_environment())
        time.sleep(0.3)
        leader = cluster.leader()
        leader.kill()
        try:
            _, output = loader.communicate(timeout=LOAD_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            loader.kill()
            raise Failure('the load did not end')
        expect(loader.returncode == 0, f'load ended with {loader.returncode}: {output[-400:]}')
        leader.start()
        cluster.wait_ready(60)
        verify(cluster, lines)


def test_all_killed_at_once(binary):
    """What was acknowledged is durable on a majority even when nobody survives."""
    lines = [f'{copy:02}/{line}' for copy in range(5) for line in packages()]
    with Cluster([binary, 'serve']) as cluster, tempfile.NamedTemporaryFile('w') as source:
        for part in range(3):
            share = lines[part::3]
            source.seek(0)
            source.truncate()
            source.write('\n'.join(share) + '\n')
            source.flush()
            done = run([binary, '--endpoints', cluster.endpoints, 'put', '--from-file',
                        source.name], timeout=60)
            expect(done.returncode == 0, f'load: {done.stderr[-300:]}')
            for node in cluster.nodes:
                node.kill()
            for node in cluster.nodes:
                node.start()
            cluster.wait_ready(60)
        verify(cluster, lines)
