"""docs/benchmarks.md from what was measured."""
import os
import platform
import re
import statistics

from reasons import reason

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FAILOVER = '## When the leader goes\n'  # the section that bench/failover.py writes
PLOT = 'throughput-latency.svg'


class Goal:
    """`ours` of Quorate beside `theirs`; better is 'higher' or 'lower'; without `theirs` the goal
    is a figure of its own."""

    def __init__(self, text, ours, theirs, better, goal, unit, scale=1):
        self.text = text
        self.ours = ours  # (row, metric)
        self.theirs = theirs  # (system, row, metric)
        self.better = better
        self.goal = goal
        self.unit = unit
        self.scale = scale


def beside_etcd(text, row, metric, better, goal, unit, scale=1):
    return Goal(text, (row, metric), ('etcd', row, metric), better, goal, unit, scale)


MILLI = 1e-3
GOALS = [
    beside_etcd('put, 1,000 outstanding', 'put', 'per_second', 'higher', 6, '/s'),
    beside_etcd('put, one client, mean', 'put-alone', 'mean_us', 'lower', 0.4, ' ms', MILLI),
    beside_etcd('put, open loop at half of etcd\'s maximum, p99', 'put-open', 'p99_us', 'lower',
                0.25, ' ms', MILLI),
    beside_etcd('the same, p99.9', 'put-open', 'p99_9_us', 'lower', 0.2, ' ms', MILLI),
    beside_etcd('linearizable get, 1,000 outstanding', 'get', 'per_second', 'higher', 12, '/s'),
    beside_etcd('serializable get, 1,000 outstanding', 'get-serializable', 'per_second', 'higher',
                15, '/s'),
    beside_etcd('range of 100 keys', 'range-100', 'per_second', 'higher', 8, '/s'),
    beside_etcd('range of 1,000 keys', 'range-1000', 'per_second', 'higher', 5, '/s'),
    beside_etcd('compare-and-swap transaction', 'swap', 'per_second', 'higher', 8, '/s'),
    beside_etcd('transaction with one put', 'txn-put', 'per_second', 'higher', 8, '/s'),
    beside_etcd('put by TLS, 1,000 outstanding', 'put-secured', 'per_second', 'higher', None, '/s'),
    beside_etcd('linearizable get by TLS, 1,000 outstanding', 'get-secured', 'per_second', 'higher',
                None, '/s'),
    beside_etcd('restart of a member to its first answer, 1M keys', 'restart', 'seconds', 'lower',
                0.25, ' s'),
    beside_etcd('restart of all members to the first linearizable answer, 1M keys', 'restart-all',
                'seconds', 'lower', None, ' s'),
    beside_etcd('resident memory of a member, 1M keys of 256 B', 'memory', 'mebibytes', 'lower',
                0.8, ' MiB'),
    beside_etcd('events/s delivered, 10,000 watchers, 1,000 puts/s', 'watch', 'per_second',
                'higher', 5, '/s'),
    beside_etcd('the same, 4,000 puts/s', 'watch-most', 'per_second', 'higher', 5, '/s'),
    beside_etcd('put to event, 10,000 watchers, 1,000 puts/s, p99', 'watch', 'p99_us', 'lower',
                0.3, ' ms', MILLI),
    beside_etcd('put to event, 10,000 watchers, 10 puts/s, p99', 'watch-quiet', 'p99_us', 'lower',
                0.3, ' ms', MILLI),
    beside_etcd('lease keep-alives, 100k leases', 'leases', 'per_second', 'higher', 5, '/s'),
    Goal('set against ZooKeeper, 1,000 outstanding', ('put', 'per_second'),
         ('zookeeper', 'zookeeper-set', 'per_second'), 'higher', 8, '/s'),
    Goal('serializable get against ZooKeeper\'s get, 1,000 outstanding',
         ('get-serializable', 'per_second'), ('zookeeper', 'zookeeper-get', 'per_second'),
         'higher', 8, '/s'),
    Goal('memory of an idle watcher on top of its stream', ('watch-memory', 'bytes'),
         ('etcd', 'watch-memory', 'bytes'), 'lower', ('absolute', 200), ' B'),
    Goal('put throughput kept from 10k to 5M keys', ('growth', 'put_kept'), None, 'higher',
         ('absolute', 0.8), ''),
    Goal('get throughput kept from 10k to 5M keys', ('growth', 'get_kept'), None, 'higher',
         ('absolute', 0.8), ''),
    Goal('raw core, memory log, 256 outstanding, CPU per entry over three replicas',
         ('raw-memory', 'cpu_us'), None, 'lower', ('absolute', 4), ' us'),
    Goal('raw core, durable log, the same', ('raw-durable', 'cpu_us'), None, 'lower', None, ' us'),
    Goal('put of Multi-Paxos against Raft, 1,000 outstanding', ('put-multipaxos', 'per_second'),
         ('quorate', 'put', 'per_second'), 'higher', 0.9, '/s'),
    Goal('linearizable get of Multi-Paxos against Raft', ('get-multipaxos', 'per_second'),
         ('quorate', 'get', 'per_second'), 'higher', 0.9, '/s'),
    Goal('raw core, Multi-Paxos against Raft, memory log', ('raw-memory-multipaxos', 'cpu_us'),
         ('quorate', 'raw-memory', 'cpu_us'), 'lower', 1.1, ' us'),
    Goal('raw core, Multi-Paxos against Raft, durable log', ('raw-durable-multipaxos', 'cpu_us'),
         ('quorate', 'raw-durable', 'cpu_us'), 'lower', 1.1, ' us'),
]


def number(value):
    if abs(value) >= 100:
        return f'{value:,.0f}'
    return f'{value:.2f}' if abs(value) >= 0.1 else f'{value:.3f}'


class Values:
    """All repeats of one figure."""

    def __init__(self, state, system, row, metric, scale=1):
        self.all = [cell['values'][metric] * scale for cell in state.cells(row, system)
                    if cell['values'].get(metric) is not None]
        self.limited = any(cell['values'].get('tool_was_limit') for cell in state.cells(row, system))

    def __bool__(self):
        return bool(self.all)

    @property
    def median(self):
        return statistics.median(self.all)

    def text(self, unit):
        mark = ' †' if self.limited else ''
        if len(self.all) == 1:
            return number(self.median) + unit + mark
        return (f'{number(self.median)}{unit} ({number(min(self.all))} to '
                f'{number(max(self.all))}){mark}')


def judge(goal, ours, theirs):
    """(ratio, goal's text, missed, worse)"""
    absolute = isinstance(goal.goal, tuple)
    ratio = ours.median / theirs.median if theirs and theirs.median else None
    target = goal.goal[1] if absolute else goal.goal
    higher = goal.better == 'higher'
    value = ours.median if absolute else ratio
    missed = target is not None and value is not None and \
        (value < target if higher else value > target)
    worse = ratio is not None and (ratio < 1 if higher else ratio > 1)
    text = ''
    if target is not None:
        text = ('≥ ' if higher else '≤ ') + (f'{target:g}{goal.unit}' if absolute
                                             else f'{target:g} ×')
    return ratio, text, missed, worse


def named(system):
    return 'Raft' if system == 'quorate' else system  # beside itself: the protocols


def goals_table(state):
    lines = ['| work | the other | quorate | ratio | goal |', '|---|---|---|---|---|']
    bad, absent = [], []
    for goal in GOALS:
        ours = Values(state, 'quorate', *goal.ours, goal.scale)
        theirs = Values(state, *goal.theirs, goal.scale) if goal.theirs else None
        if not ours or (goal.theirs and not theirs):
            absent.append(goal.text)
            continue
        ratio, text, missed, worse = judge(goal, ours, theirs)
        shown = f'{named(goal.theirs[0])} {theirs.text(goal.unit)}' if theirs else ''
        digits = 2 if ratio is None or ratio >= 0.01 else 4
        times = f'{ratio:.{digits}f} ×' if ratio is not None else ''
        lines.append(f'| {goal.text} | {shown} | {ours.text(goal.unit)} | {times} | {text}'
                     f'{", **missed**" if missed else ""} |')
        if missed or worse:
            why = reason(state, goal)
            bad.append(f'- {goal.text}: {times or ours.text(goal.unit)}, goal {text or "none"}'
                       f'{", worse than " + named(goal.theirs[0]) if worse else ""}'
                       f'{". " + why if why else ""}')
    return '\n'.join(lines), bad, absent


COST_ROWS = [('put', 'put'), ('put-alone', 'put, one client'), ('put-open', 'put, open loop'),
             ('get', 'linearizable get'), ('get-serializable', 'serializable get'),
             ('range-100', 'range of 100'), ('range-1000', 'range of 1,000'),
             ('put-secured', 'put by TLS'), ('get-secured', 'linearizable get by TLS'),
             ('swap', 'compare-and-swap'), ('txn-put', 'transaction with one put'),
             ('leases', 'keep-alive'), ('zookeeper-set', 'set'), ('zookeeper-get', 'get')]
COSTS = [('cpu_us', 'CPU us'), ('switches', 'context switches'), ('flushes', 'flushes'),
         ('written_bytes', 'bytes written'), ('resident_mebibytes', 'largest member, MiB'),
         ('p50_us', 'p50, us'), ('p99_us', 'p99, us'), ('tool_cpu_us', 'the tool\'s CPU us')]


def cost_table(state):
    lines = ['| work | system | ' + ' | '.join(text for _, text in COSTS) + ' |',
             '|---|---|' + '---|' * len(COSTS)]
    for row, text in COST_ROWS:
        for system in ('etcd', 'zookeeper', 'quorate'):
            if not state.cells(row, system):
                continue
            shown = []
            for metric, _ in COSTS:
                values = Values(state, system, row, metric)
                shown.append(number(values.median) if values else '')
            lines.append(f'| {text} | {system} | ' + ' | '.join(shown) + ' |')
    return '\n'.join(lines)


def raw_lines(state):
    lines = []
    for row, text in (('raw-memory', 'Raft, memory'),
                      ('raw-durable', 'Raft, production log, three disk threads on one disk'),
                      ('raw-memory-multipaxos', 'Multi-Paxos, memory'),
                      ('raw-durable-multipaxos', 'Multi-Paxos, production log')):
        rate = Values(state, 'quorate', row, 'per_second')
        if rate:
            lines.append(f'- {text}: {rate.text(" entries/s")}, '
                         f'{Values(state, "quorate", row, "cpu_us").text(" us")} CPU each over all '
                         f'three replicas.')
    return '\n'.join(lines)


def machine():
    with open('/proc/cpuinfo') as file:
        model = re.search(r'model name\s*:\s*(.+)', file.read())
    with open('/proc/meminfo') as file:
        memory = int(re.search(r'MemTotal:\s+(\d+)', file.read()).group(1)) >> 20
    return (f'{os.cpu_count()} CPUs ({model.group(1) if model else "unknown"}), {memory} GiB, '
            f'Linux {platform.release()}')


def commands_text(state):
    shown = sorted(set(state.commands().values()))
    return '\n'.join(shown)


def repeats_text(repeats):
    if repeats == 1:
        return 'Each figure was measured once, so differences below a tenth mean nothing.'
    return (f'Medians of up to {repeats} repeats with the range in brackets; what has none was '
            f'measured once.')


def page(state, versions, plotted):
    table, bad, absent = goals_table(state)
    first, last = state.span()
    repeats = max([len(state.cells(row, 'quorate')) for row in ('put', 'get', 'raw-memory')] + [1])
    failed = ''.join(f'- not measured, it failed twice: {text}\n' for text in state.failed())
    picture = f'![put: throughput against latency]({PLOT})\n\nThroughput of puts against their ' \
              'latency in open loops, each system up to 95 % of its own maximum (median, p99, ' \
              'p99.9; latency counts from the moment a put ought to have begun).\n' \
        if plotted else ''
    missing = ('\n\nNot measured in this run: ' + '; '.join(absent) + '.') if absent else ''
    return f"""# Benchmarks

Written by `make bench`, measured from {first} to {last}. {repeats_text(repeats)} The systems take
turns, each repeat of a group of rows on a fresh cluster of three durable members.

{table}

† the load tool was busy for more than 70 % of its time, so the figure is at least this.{missing}

## What is worse, or misses its goal
{failed}{chr(10).join(bad) if bad else 'Nothing in this table.'}

{picture}
## What an operation costs, from outside
CPU and context switches of all three members together for each operation, flushes and bytes of
the disk, the memory of the largest member at the end.

{cost_table(state)}

## Consensus by itself
Three replicas in one process, 256 proposals of 256 bytes outstanding, no sockets and no store; what
the client costs is counted in.

{raw_lines(state)}

## How
- {'; '.join(versions)}.
- {machine()}.
- Values of 256 bytes, keys at random out of 10,000, everything goes to the leader. Default
  settings but for the log level (error) and the quota of the store (8 GiB). ZooKeeper: Debian's
  package, `forceSync=yes`, heap 2 GiB, 15 s of warm-up for its compiler; its get answers what the
  server at hand has, so it stands beside the serializable one.
- Only answers with grpc-status 0 (ZooKeeper: error 0) and of the right size count; a run with one
  failed operation is void. The puts acknowledged are found again in the store's revision.
- TLS only in the rows that say so: version 1.3 with AES-GCM, between members as well, all
  handshakes before the measurement. Authentication off.

```
{commands_text(state)}
```

Read with care: three "machines" share these CPUs and one disk, quorum writes share flushes, there
is no network in between, and the load tool takes its share of the same CPUs.
"""


def write(state, versions, path, plotted):
    failover = ''
    if os.path.exists(path):
        with open(path) as file:
            _, found, rest = file.read().partition(FAILOVER)
        failover = '\n' + FAILOVER + rest if found else ''
    with open(path, 'w') as file:
        file.write(page(state, versions, plotted) + failover)
