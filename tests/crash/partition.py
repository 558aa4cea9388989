"""The CAP choice made visible: what each API answers on each side of a partition."""
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from cluster import clean_environment
from networks import MEMBERS, own_network, place_of
from rig import ROOT, expect, until

PAGE = os.path.join(ROOT, 'docs', 'protocols', 'side-by-side.md')
HEAD = '| call | without a majority | with one |'
# Seconds for one call; etcdctl's own timeout does not end `lock` and `elect`. A refusal takes all of
# it, an answer of the side with a majority only on a machine that is busy.
PATIENCE = {'few': 5, 'many': 30}
# The calls of the page by name; `{side}` differs, so that what was refused here is not there.
CALLS = {
    'put': ['put', 'key-{side}', 'value'],
    'delete': ['del', 'key-of-nobody-{side}'],
    'transaction': ['txn'],
    'get': ['get', 'key'],
    'get, serializable': ['get', 'key', '--consistency=s'],
    'compaction': ['compaction', '1'],
    'lease grant': ['lease', 'grant', '60'],
    'lease list': ['lease', 'list'],
    'lock': ['lock', 'name-{side}', 'true'],
    'elect': ['elect', 'name-{side}', 'value'],
    'watch, its start': ['watch', 'key', '--rev', '1'],
    'member list': ['member', 'list'],
    'member add': ['member', 'add', 'more', '--peer-urls=http://127.0.0.1:1'],
    'user add': ['user', 'add', 'user-{side}:secret'],
    'user list': ['user', 'list'],
    'alarm list': ['alarm', 'list'],
    'endpoint status': ['endpoint', 'status'],
    'endpoint hashkv': ['endpoint', 'hashkv'],
    'endpoint health': ['endpoint', 'health'],
}
STAYS = ('elect', 'watch, its start')  # answered by what they say, they do not end by themselves
TRANSACTION = b'\nput key-of-a-transaction value\n\n\n'


def promised():
    """The table of the page: name -> (without a majority, with one)."""
    with open(PAGE) as page:
        text = page.read()
    expect(HEAD in text, f'{PAGE} has no table of the calls')
    rows = re.findall(r'^\| `([^`]+)` \| (yes|no)\b[^|]*\| (yes|no)\b', text.split(HEAD)[1], re.M)
    found = {name: (here == 'yes', there == 'yes') for name, here, there in rows}
    expect(found.keys() == CALLS.keys(), f'the page and the test know other calls: '
           f'{sorted(found.keys() ^ CALLS.keys())}')
    return found


def ask(cluster, node, name, side):
    """Whether it was answered, and what was said."""
    words = [word.format(side=side) for word in CALLS[name]]
    asked = subprocess.Popen(
        [*cluster.observer, 'timeout', str(PATIENCE[side]), 'etcdctl', '--endpoints', node.endpoint,
         f'--command-timeout={PATIENCE[side] - 1}s', '--dial-timeout=2s', *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=clean_environment(ETCDCTL_API='3'))
    if name in STAYS:
        asked.stdin.close()
        said = asked.stdout.readline()
        asked.terminate()
        asked.wait()
        return bool(said.strip()), (said + asked.stderr.read()).decode(errors='replace').strip()
    said, complaint = asked.communicate(TRANSACTION)
    return asked.returncode == 0, (said + complaint).decode(errors='replace').strip()


def ask_everything(cluster, node, side, place):
    """Every call at once, for most of those that are refused wait until they are."""
    with ThreadPoolExecutor(len(CALLS)) as pool:
        answers = {name: pool.submit(ask, cluster, node, name, side) for name in CALLS}
    wrong = []
    for name, row in promised().items():
        good, said = answers[name].result()
        if good != row[place]:
            wrong.append(f'{name}: {"answered" if good else "not answered"}: {said[-200:]}')
    expect(not wrong, f'side {side}, otherwise than the page says:\n  ' + '\n  '.join(wrong))
    return sum(row[place] for row in promised().values())


def value(cluster, node, *more):
    done = subprocess.run([*cluster.observer, 'etcdctl', '--endpoints', node.endpoint, 'get', 'key',
                           '--print-value-only', *more], capture_output=True, text=True,
                          timeout=20, env=clean_environment(ETCDCTL_API='3'))
    return done.stdout.strip()


def write(cluster, node, text):
    done = subprocess.run([*cluster.observer, 'etcdctl', '--endpoints', node.endpoint, 'put', 'key',
                           text], capture_output=True, text=True, timeout=20,
                          env=clean_environment(ETCDCTL_API='3'))
    expect(done.returncode == 0, f'put key {text}: {done.stderr}')


def test_what_each_side_answers(rig):
    """N01: the leader alone on one side: it claims nothing and changes nothing; its own state can
    be read by who asks for that. The others go on. Nothing that was refused appears later."""
    with own_network(rig) as (hub, cluster):
        write(cluster, cluster.leader(), 'old')
        alone = cluster.leader()
        for node in cluster.nodes:  # all have it, so a look at its own state must find it
            until(lambda node=node: value(cluster, node, '--consistency=s') == 'old', 40, 'a copy')
        hub.isolate(place_of(cluster, alone), MEMBERS)
        others = cluster.others(alone)
        until(lambda: cluster.leader() in others, 60, 'a leader on the side with a majority')
        time.sleep(1.5)  # the deposed one has noticed by then
        refused = len(CALLS) - ask_everything(cluster, alone, 'few', 0)
        answered = ask_everything(cluster, others[0], 'many', 1)
        write(cluster, others[1], 'newest')
        own = value(cluster, alone, '--consistency=s')
        expect(own == 'old', f'the own state of who was alone: {own}')
        rig.say(f'{len(CALLS)} calls: {refused} refused without a majority, {answered} answered '
                'with one')
        hub.heal()
        cluster.wait_ready(60)
        for node in cluster.nodes:
            until(lambda node=node: value(cluster, node) == 'newest', 40, f'{node.name} knows')
        keys = subprocess.run([*cluster.observer, 'etcdctl', '--endpoints', alone.endpoint, 'get',
                               '', '--prefix', '--keys-only'], capture_output=True, text=True,
                              timeout=20, env=clean_environment(ETCDCTL_API='3')).stdout
        expect('key-many' in keys and '-few' not in keys, f'what was refused is there: {keys}')
