"""Random operations to Quorate and to Debian's etcd, the answers compared (tests/differential).

The short runs are for every day, the ones named `many` for `make compat`.
"""
import os
import re
import shutil
import subprocess

from cluster import Skip, clean_environment, expect

PLANTS = ['other-value', 'no-previous', 'larger-limit', 'error-text', 'watch-event',
          'late-revision']


def differential(binary, *words, seconds=300):
    tool = os.path.join(os.path.dirname(binary), 'differential')
    if not os.access(tool, os.X_OK):
        raise Skip(f'{tool} was not built; libprotobuf-dev is needed')
    if not shutil.which('etcd'):
        raise Skip('etcd-server is not installed')
    return subprocess.run([tool, '--binary', binary, *words], capture_output=True, text=True,
                          timeout=seconds, env=clean_environment(), errors='replace')


def agree(binary, *words, least=(), seconds=300):
    """Both answered alike, and the runs were about something: `least` of what they count."""
    done = differential(binary, *words, seconds=seconds)
    expect(done.returncode == 0, done.stdout[-6000:] + done.stderr[-500:])
    for what, number in least:
        total = sum(int(found) for found in re.findall(rf'(\d+) {what}', done.stdout))
        expect(total >= number, f'only {total} {what}:\n{done.stdout}')


def test_same_answers(binary):
    agree(binary, '--seed', '1', '--operations', '4000',
          least=[('accepted', 2000), ('refused', 300), ('revisions', 800), ('watchers', 50),
                 ('events', 1000), ('fragments', 1), ('compactions', 10), ('alarms', 20)])


def test_same_state_when_leases_end(binary):
    agree(binary, '--seed', '2', '--operations', '2000', '--expire', least=[('expiries', 1)])


def test_same_answers_over_a_lost_leader(binary):
    agree(binary, '--seed', '3', '--operations', '1500', '--members', '3',
          least=[('leaders lost', 2)])


def test_finds_what_is_planted(binary):
    for plant in PLANTS:
        done = differential(binary, '--seed', '1', '--operations', '1500', '--plant', plant,
                            '--shrink-seconds', '0', '--patience', '3')
        expect(done.returncode == 1 and 'DIFFERENT' in done.stdout,
               f'{plant} was not found: {done.returncode}\n{done.stdout[-800:]}')
