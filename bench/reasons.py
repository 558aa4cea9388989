"""Why a goal is missed: what this run itself says about it, and where the profiles are.

The numbers are those of the run that is written up; what they are read against (the profiles in
docs/performance.md, decisions) changes with the code and is named, not repeated.
"""
import os
import statistics

PROFILE = '[performance.md](performance.md)'
WRITES = '[decision 0029](decisions/0029-the-way-of-a-write.md)'
MEMORY = '[decision 0030](decisions/0030-memory-per-key.md)'
KEYS = '[decision 0035](decisions/0035-keys-looked-up-ahead.md)'


def median(state, system, row, metric):
    values = [cell['values'][metric] for cell in state.cells(row, system)
              if cell['values'].get(metric) is not None]
    return statistics.median(values) if values else None


def budget(state, row, rate):
    """CPU that an operation takes beside the CPU that it may take at the goal's rate."""
    members = median(state, 'quorate', row, 'cpu_us')
    tool = median(state, 'quorate', row, 'tool_cpu_us')
    if not members or not tool or not rate:
        return ''
    processors = os.cpu_count()
    return (f'It takes {members:.1f} us CPU of the three members and {tool:.1f} us of the load tool: '
            f'{processors} processors allow {processors * 1e6 / (members + tool):,.0f}/s at most. '
            f'The goal is {rate:,.0f}/s, {processors * 1e6 / rate:.1f} us for all of them. ')


def rate_goal(times, row, system, other):
    def find(state):
        theirs = median(state, system, other, 'per_second')
        return budget(state, row, times * theirs if theirs else None)
    return find


def longest(row):
    """How the mean comes about, and what the members say about the longest."""
    def find(state):
        texts = []
        for system in ('quorate', 'etcd'):
            cells = state.cells(row, system)
            if not cells:
                return ''
            worst = max(cells, key=lambda cell: cell['values']['max_us'])['values']
            text = (f'{system}: median {median(state, system, row, "p50_us") / 1e3:.2f} ms, longest '
                    f'{worst["max_us"] / 1e3:.0f} ms')
            if worst['max_us'] > 128_000:
                text += (f' (in that repeat syncs of the log over 128 ms: '
                         f'{worst.get("slow_syncs", 0):.0f}, writes of the store: '
                         f'{worst.get("slow_store_writes", 0):.0f}, changes of leader: '
                         f'{worst.get("leader_changes", 0):.0f})')
            texts.append(text)
        return '. '.join(texts) + '. '
    return find


def saturation(row):
    """What both did of the puts that were asked for."""
    def find(state):
        texts = []
        for system in ('quorate', 'etcd'):
            puts = median(state, system, row, 'puts_per_second')
            late = median(state, system, row, 'undelivered')
            busy = any(cell['values'].get('tool_was_limit') for cell in state.cells(row, system))
            if puts is None or late is None:
                return ''
            texts.append(f'{system}: {puts:,.0f} puts/s were done, {late:,.0f} events were still on '
                         f'their way 30 s after the end' +
                         (', the load tool, which reads each event, was busy' if busy else ''))
        return '. '.join(texts) + '. '
    return find


def grown(operation):
    def find(state):
        few = median(state, 'quorate', 'growth', f'{operation}_few')
        many = median(state, 'quorate', 'growth', f'{operation}_many')
        return f'{few:,.0f}/s with 10,000 keys, {many:,.0f}/s with five million. ' if few else ''
    return find


def nothing(_state):
    return ''


# (row, metric, the other system or None): (what the run says, what the profiles say)
REASONS = {
    ('put', 'per_second', 'etcd'): (
        rate_goal(6, 'put', 'etcd', 'put'),
        f'{PROFILE}, "put", has them by room: the largest are the three stores, then HTTP/2 and '
        f'sockets. What was tried, and what is left: {WRITES}.'),
    ('put-alone', 'mean_us', 'etcd'): (
        longest('put-alone'),
        f'{PROFILE}, "One client alone", follows one put: half is the disk (two copies flushed, one '
        f'behind the other), half are six wake-ups. What was tried: {WRITES}.'),
    ('put', 'per_second', 'zookeeper'): (
        rate_goal(8, 'put', 'zookeeper', 'zookeeper-set'),
        f'{PROFILE}, "Why sets of ZooKeeper are not beaten eightfold".'),
    ('get-serializable', 'per_second', 'zookeeper'): (
        rate_goal(8, 'get-serializable', 'zookeeper', 'zookeeper-get'),
        f'{PROFILE}, "A get": more than half is HTTP/2 and the kernel\'s sending and receiving, which '
        f'ZooKeeper\'s own protocol has less of.'),
    ('restart', 'seconds', 'etcd'): (
        nothing,
        f'{PROFILE}, "A range", has the profile of a start: RocksDB\'s iterator over all rows and the '
        f'index that is built from them. What was tried: {MEMORY}.'),
    ('watch', 'per_second', 'etcd'): (
        saturation('watch'),
        f'1,000 puts/s are ten million events/s at most. {PROFILE}, "A watcher\'s event", has where the '
        f'nanoseconds of an event go, the floor (the kernel\'s loopback alone fills two processors at '
        f'16.5 million events/s, and one sender at 11.8 million) and what was tried.'),
    ('watch-most', 'per_second', 'etcd'): (
        saturation('watch-most'),
        f'Asked for are forty million events/s. {PROFILE}, "A watcher\'s event": five times what etcd '
        f'tells would leave nothing beside the kernel\'s copying into and out of loopback sockets.'),
    ('watch', 'p99_us', 'etcd'): (
        saturation('watch'),
        f'At saturation this is how long the queue is of what was asked for and could not be done '
        f'({PROFILE}, "A watcher\'s event"); beside it 10 puts/s show how fast one is.'),
    ('growth', 'put_kept', None): (
        grown('put'),
        f'{PROFILE}, "Five million keys", compares both by room: what is left are waits for memory '
        f'in the index of each member, and the first touch of pages that tables are written '
        f'through, which the host of a virtual machine makes dear. What was done: {KEYS}.'),
    ('growth', 'get_kept', None): (
        grown('get'),
        f'{PROFILE}, "Five million keys", compares both by room: the index waits for memory that no '
        f'cache can hold, though it is asked for before a get\'s turn. What was done: {KEYS}.'),
    ('memory', 'mebibytes', 'etcd'): (nothing, f'{MEMORY} has what a key takes.'),
}


def reason(state, goal):
    """Sentences, or nothing where the table says it all."""
    key = (*goal.ours, goal.theirs[0] if goal.theirs else None)
    found = REASONS.get(key)
    return found[0](state) + found[1] if found else ''
