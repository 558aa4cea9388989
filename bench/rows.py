"""What is measured: groups of rows, each group on a fresh cluster of three members.

A group's function is a generator: it yields (row, values) as soon as a row is measured, so that
what is done is kept. `wanted` says which rows are still missing, and each function asks for
nothing else, so that a row that failed can be left out of the next attempt.
"""
import base64
import json
import os
import re
import shutil
import signal
import statistics
import time

from systems import (Invalid, Trouble, ask, figures, first_answer, kill, metrics, resident_mebibytes,
                     revision)

VALUE_BYTES = 256
LOAD = ['--connections', 50, '--outstanding', 1000]
IDLE_SECONDS_MAX = 40  # for watchers to be created


class Sizes:
    def __init__(self, quick):
        self.duration = '1s' if quick else '6s'
        self.warm_up = '0.5s' if quick else '1.5s'
        self.first_warm_up = '1s' if quick else '5s'
        self.alone = '1s' if quick else '5s'
        self.zookeeper_warm_up = '2s' if quick else '15s'
        self.keys = 1_000 if quick else 10_000
        self.million = 20_000 if quick else 1_000_000
        self.five_million = 50_000 if quick else 5_000_000
        self.restarts = 1 if quick else 3
        self.watchers = 1_000 if quick else 10_000
        self.settle_seconds = 3 if quick else 16
        self.idle_watchers = 5_000 if quick else 50_000
        self.leases = 5_000 if quick else 100_000
        self.raw_seconds = 1 if quick else 4


class Run:
    """One group on one system: what its rows need."""

    def __init__(self, tool, system, sizes, state, wanted):
        self.tool = tool
        self.system = system
        self.sizes = sizes
        self.state = state
        self.wanted = wanted

    def point(self, row, cluster, arguments, duration=None, warm_up=None, saturates=False):
        plan = ['--duration', duration or self.sizes.duration, '--warm-up',
                warm_up or self.sizes.warm_up, '--keys', self.sizes.keys]
        before = Trouble(cluster)
        found = self.tool.bench(row, self.system.name, [*arguments, *plan], cluster,
                                saturates=saturates)
        point = found['points'][0]
        point['trouble'] = Trouble(cluster).since(before)
        return point

    def median(self, row, system, metric):
        values = [cell['values'][metric] for cell in self.state.cells(row, system)]
        if not values:
            raise Invalid(f'{row} of {system} must be measured first')
        return statistics.median(values)


def speed_rows(run):
    """row: (arguments, duration)"""
    alone = ['--connections', 1, '--outstanding', 1]
    return {
        'put': (['put', *LOAD], None),
        'put-alone': (['put', *alone], run.sizes.alone),
        'get': (['get', *LOAD], None),
        'get-serializable': (['get', '--serializable', *LOAD], None),
        'range-100': (['range', '--keys-each', 100, '--connections', 10, '--outstanding', 64], None),
        'range-1000': (['range', '--keys-each', 1000, '--connections', 10, '--outstanding', 64],
                       None),
        'swap': (['swap', *LOAD], None),
        'txn-put': (['txn-put', *LOAD], None),
    }


def speed(run):
    with run.system.start() as cluster:
        for row, (arguments, duration) in speed_rows(run).items():
            if row not in run.wanted:
                continue
            before = revision(cluster) if row == 'put' else 0
            # The first row of a fresh cluster also makes its files and fills its caches.
            point = run.point(row, cluster, arguments, duration,
                              run.sizes.first_warm_up if row == 'put' else None)
            if row == 'put' and revision(cluster) - before != point['all']['ok']:
                raise Invalid(f'{point["all"]["ok"]} puts acknowledged, the revision rose by '
                              f'{revision(cluster) - before}')
            yield row, figures(point)


def puts_and_gets(run, cluster, variant):
    """The first rows of `speed` on a cluster that differs in one thing."""
    for operation in ('put', 'get'):
        row = f'{operation}-{variant}'
        if row in run.wanted:
            yield row, figures(run.point(row, cluster, [operation, *LOAD],
                                         warm_up=run.sizes.first_warm_up))


def secured(run):
    """The same by TLS, between members as well."""
    if not run.wanted:
        return
    with run.system.start(secured=True) as cluster:
        yield from puts_and_gets(run, cluster, 'secured')


def open_loop(run):
    """At half of what etcd can do at most: the same rate for everybody."""
    if 'put-open' not in run.wanted:
        return
    rate = round(run.median('put', 'etcd', 'per_second') / 2)
    with run.system.start() as cluster:
        values = figures(run.point('put-open', cluster, ['put', '--rate', rate, '--poisson', *LOAD],
                                   warm_up='3s'))
        values['rate'] = rate
        yield 'put-open', values


def sweep(run):
    """Throughput against latency, for the picture."""
    if 'sweep' not in run.wanted:
        return
    row = 'zookeeper-set' if run.system.name == 'zookeeper' else 'put'
    most = run.median(row, run.system.name, 'per_second')
    rates = ','.join(str(round(most * share)) for share in (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95))
    with run.system.start() as cluster:
        found = run.tool.bench('sweep', run.system.name,
                               [row, *LOAD, '--sweep', rates, '--duration', '3s', '--warm-up',
                                '1s', '--keys', run.sizes.keys], cluster)
        path = os.path.join(run.system.folder, f'sweep-{run.system.name}.json')
        with open(path, 'w') as file:
            json.dump(found, file)
        yield 'sweep', {'points': len(found['points'])}


def zookeeper(run):
    """Sets and gets as ZooKeeper has them; its first seconds belong to the compiler in it."""
    with run.system.start() as cluster:
        for row in ('zookeeper-set', 'zookeeper-get'):
            if row in run.wanted:
                yield row, figures(run.point(row, cluster, [row, *LOAD],
                                             warm_up=run.sizes.zookeeper_warm_up))


def idle_memory(run, cluster, watchers):
    """Bytes of the leader while so many watch and nothing happens: the first put would come much
    later, since an event for all of them takes more memory than they do."""
    plan = ['watch', '--watchers', watchers, '--streams', 100, '--rate', 0.01, '--warm-up', '60s']
    leader = cluster.leader()
    with run.tool.beside('watch-memory', run.system.name, plan, cluster) as process:
        end = time.monotonic() + IDLE_SECONDS_MAX
        while metrics(leader).get('etcd_debugging_mvcc_watcher_total', 0) < watchers:
            if process.poll() is not None or time.monotonic() > end:
                raise Invalid(f'watch-memory of {run.system.name}: {watchers} watchers were not '
                              f'there after {IDLE_SECONDS_MAX} s')
            time.sleep(0.2)
        # Creating them took memory that is free again, and goes back to the kernel after some
        # seconds in which a little is done.
        end = time.monotonic() + run.sizes.settle_seconds
        while time.monotonic() < end:
            metrics(leader)
            ask(leader.endpoint, {'key': 'AA=='})
            time.sleep(0.02)
        return resident_mebibytes(leader.process) * (1 << 20)


def watch(run):
    with run.system.start() as cluster:
        if 'watch-memory' in run.wanted:  # first: later the memory has been used for other things
            few, many = 100, run.sizes.idle_watchers
            before = idle_memory(run, cluster, few)
            after = idle_memory(run, cluster, many)
            yield 'watch-memory', {'bytes': (after - before) / (many - few)}
        watchers = ['--watchers', run.sizes.watchers, '--streams', 100]
        for row, rate in (('watch-quiet', 10), ('watch', 1000), ('watch-most', 4000)):
            if row not in run.wanted:
                continue
            point = run.point(row, cluster, ['watch', *watchers, '--rate', rate],
                              saturates=row != 'watch-quiet')
            side = next(iter(point['side'].values()))
            yield row, {'per_second': side['per_second'], 'p50_us': side['p50_us'],
                        'p99_us': side['p99_us'], 'undelivered': side['undelivered'],
                        'puts_per_second': point['total']['per_second'],
                        'puts_unanswered': point['all']['unfinished'] + point['all']['unsent'],
                        'tool_was_limit': point['tool']['was_limit'],
                        'cpu_us': point['outside']['cpu_us_per_operation']}


def leases(run):
    if 'leases' not in run.wanted:
        return
    with run.system.start() as cluster:
        yield 'leases', figures(run.point('leases', cluster,
                                          ['keep-alive', '--leases', run.sizes.leases, *LOAD]))


def key_of(number):
    return base64.b64encode(f'bench/{number:08}'.encode()).decode()


def million(run):
    """Memory with a million keys, and how long a member takes to answer again after kill -9."""
    total = run.sizes.million
    with run.system.start() as cluster:
        run.tool.bench('million', run.system.name,
                       ['put', *LOAD, '--sequential', '--keys', total, '--operations', total],
                       cluster, seconds=400)
        time.sleep(5)  # buffers that empty by themselves do so
        found = ask(cluster.leader().endpoint,
                    {'key': 'AA==', 'range_end': 'AA==', 'count_only': True}, patience=60)
        if not found or int(found['count']) != total:
            raise Invalid(f'{total} keys were put, {found} are there')
        if 'memory' in run.wanted:
            each = [resident_mebibytes(node.process) for node in cluster.nodes]
            yield 'memory', {'mebibytes': max(each), 'mean_mebibytes': statistics.mean(each)}
        body = {'key': key_of(total // 2), 'serializable': True}
        if 'restart' in run.wanted:
            took = []
            for _ in range(run.sizes.restarts):
                leader = cluster.leader()
                node = next(node for node in cluster.nodes if node is not leader)
                kill(node)
                began = time.monotonic()
                node.start()
                took.append(first_answer(node.endpoint, body, began))
                cluster.wait_ready()
            yield 'restart', {'seconds': statistics.median(took)}
        if 'restart-all' in run.wanted:
            for node in cluster.nodes:
                node.process.send_signal(signal.SIGKILL)
            for node in cluster.nodes:
                node.process.wait()
            began = time.monotonic()
            for node in cluster.nodes:
                node.start()
            body['serializable'] = False
            yield 'restart-all', {'seconds': first_answer(cluster.nodes[0].endpoint, body, began)}


def growth(run):
    """The same load over ten thousand keys and over five million."""
    if 'growth' not in run.wanted:
        return
    total = run.sizes.five_million
    with run.system.start() as cluster:
        values = {}
        for name, keys in (('few', run.sizes.keys), ('many', total)):
            if name == 'many':
                run.tool.bench('growth-load', run.system.name,
                               ['put', *LOAD, '--sequential', '--keys', total, '--operations',
                                total], cluster, seconds=600)
            for operation in (['put'], ['get', '--no-load'] if name == 'many' else ['get']):
                point = run.tool.bench('growth', run.system.name,
                                       [*operation, *LOAD, '--keys', keys, '--duration',
                                        run.sizes.duration, '--warm-up', run.sizes.warm_up],
                                       cluster)['points'][0]
                values[f'{operation[0]}_{name}'] = point['total']['per_second']
        values['put_kept'] = values['put_many'] / values['put_few']
        values['get_kept'] = values['get_many'] / values['get_few']
        values['mebibytes'] = max(resident_mebibytes(node.process) for node in cluster.nodes)
        yield 'growth', values


def raw_log(run):
    return ['--log', 'durable', '--directory',
            os.path.join(run.system.folder, f'raw-{time.time_ns()}')]


def raw_point(run, row, more):
    found = run.tool.bench(row, run.system.name,
                           ['raw', '--outstanding', 256, '--seconds', run.sizes.raw_seconds, *more])
    if '--directory' in more:
        shutil.rmtree(more[-1])
    run.tool.commands[row] = re.sub(r'--directory \S+', '--directory D', run.tool.commands[row])
    return {'cpu_us': found['cpu_us_per_entry'], 'per_second': found['entries_per_second'],
            'p50_us': found['latency_us']['p50'], 'p99_us': found['latency_us']['p99']}


def raw(run):
    for row, more in (('raw-memory', []), ('raw-durable', raw_log(run))):
        if row in run.wanted:
            yield row, raw_point(run, row, more)


def protocols(run):
    """The other protocol behind the same door, beside the rows of the first."""
    for row, more in (('raw-memory-multipaxos', []), ('raw-durable-multipaxos', raw_log(run))):
        if row in run.wanted:
            yield row, raw_point(run, row, ['--consensus', 'multipaxos', *more])
    if not run.wanted & {'put-multipaxos', 'get-multipaxos'}:
        return
    with run.system.start(['--consensus', 'multipaxos']) as cluster:
        yield from puts_and_gets(run, cluster, 'multipaxos')


ETCD, QUORATE, ZOOKEEPER = 'etcd', 'quorate', 'zookeeper'


class Group:
    """Rows that share a cluster. `seconds`: how long it takes at full size, for the plan of a run
    with a budget; what a run measured itself counts instead as soon as it is known."""

    def __init__(self, function, rows, seconds, repeats_max=9):
        self.function = function
        self.rows = rows
        self.seconds = seconds  # by system, in the order in which they take turns
        self.repeats_max = repeats_max


# In the order of a run: who needs another's figure comes behind it.
GROUPS = {
    'speed': Group(speed, ['put', 'put-alone', 'get', 'get-serializable', 'range-100',
                           'range-1000', 'swap', 'txn-put'], {ETCD: 74, QUORATE: 70}),
    'secured': Group(secured, ['put-secured', 'get-secured'], {ETCD: 30, QUORATE: 27},
                     repeats_max=2),
    'open': Group(open_loop, ['put-open'], {ETCD: 14, QUORATE: 14}),
    'zookeeper': Group(zookeeper, ['zookeeper-set', 'zookeeper-get'], {ZOOKEEPER: 55}),
    'raw': Group(raw, ['raw-memory', 'raw-durable'], {QUORATE: 10}),
    'protocols': Group(protocols, ['raw-memory-multipaxos', 'raw-durable-multipaxos',
                                   'put-multipaxos', 'get-multipaxos'], {QUORATE: 40}),
    'watch': Group(watch, ['watch-memory', 'watch-quiet', 'watch', 'watch-most'],
                   {ETCD: 150, QUORATE: 135}, repeats_max=1),
    'leases': Group(leases, ['leases'], {ETCD: 40, QUORATE: 18}, repeats_max=2),
    'million': Group(million, ['memory', 'restart', 'restart-all'], {ETCD: 115, QUORATE: 40},
                     repeats_max=1),
    # One run's ratio is a coin's throw here: 0.69, 0.88 and 1.00 were seen of the same code.
    'growth': Group(growth, ['growth'], {QUORATE: 110}, repeats_max=3),
    'sweep': Group(sweep, ['sweep'], {ETCD: 33, QUORATE: 33, ZOOKEEPER: 37}, repeats_max=1),
}
