"""quorate check: verdicts, exit codes, and what it prints for people, programs and browsers."""
import glob
import json
import os
import subprocess
import tempfile

from cluster import Skip, expect

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OWN = os.path.join(ROOT, 'tests', 'histories')
GIVEN = os.path.join(ROOT, '..', 'shared', 'histories')  # not part of the repository
EXIT = {'linearizable': 0, 'violation': 1}


def check(binary, *words, stdin=None):
    return subprocess.run([binary, 'check', *words], input=stdin, capture_output=True, text=True,
                          timeout=60)


def verdicts(path):
    with open(path) as file:
        for line in file:
            yield line.rstrip('\n').split('\t')


def test_own_verdicts(binary):
    for name, verdict, rule in verdicts(os.path.join(OWN, 'verdicts.tsv')):
        path = os.path.join(OWN, name)
        done = check(binary, path)
        expect(done.returncode == EXIT[verdict], f'{name}: {done.returncode} {done.stdout}')
        said = json.loads(check(binary, path, '--json').stdout)
        expect(said['verdict'] == verdict, f'{name}: {said}')
        rules = [each['rule'] for each in said['findings']] or ['-']
        expect(rules[0] == rule and (rule == '-' or rule in done.stdout), f'{name}: {rules}')


def test_given_verdicts(binary):
    if not os.path.isdir(GIVEN):
        raise Skip(f'no folder {GIVEN}')
    wanted = {os.path.join(GIVEN, 'register', name): verdict
              for name, verdict in verdicts(os.path.join(GIVEN, 'register', 'verdicts.tsv'))}
    for path in glob.glob(os.path.join(GIVEN, 'kv', '*.txt')):
        wanted[path] = 'violation' if path.endswith('-bad.txt') else 'linearizable'
    expect(set(wanted.values()) == set(EXIT), 'both verdicts must occur')
    for path, verdict in wanted.items():
        done = check(binary, path)
        expect(done.returncode == EXIT[verdict], f'{path}: {done.returncode} {done.stdout}')


def test_picture(binary):
    with tempfile.TemporaryDirectory() as folder:
        page = os.path.join(folder, 'page.html')
        done = check(binary, os.path.join(OWN, 'register-stale.txt'), '--html', page)
        expect(done.returncode == 1, done.stderr)
        with open(page) as file:
            text = file.read()
        expect('<svg' in text and 'stale read' in text and 'src=' not in text, text[:300])
        done = check(binary, os.path.join(OWN, 'log-ok.txt'), '--html', f'{folder}/none/page.html')
        expect(done.returncode == 2 and 'picture' in done.stderr, done.stderr)


def test_unreadable(binary):
    with open(os.path.join(OWN, 'log-ok.txt')) as file:
        expect(check(binary, '-', stdin=file.read()).returncode == 0, 'from stdin')
    for words, stdin in ((['/no/such/file'], None), ([OWN], None), (['-'], 'hello\n'),
                         (['-', '--model', 'lock'], '')):
        done = check(binary, *words, stdin=stdin)
        expect(done.returncode == 2 and done.stderr, f'{words}: {done.returncode} {done.stdout}')


def test_a_search_that_meets_its_bound(binary):
    """Forty writes that overlap, then a read that none of them explains."""
    lines = ['quorate-history 1']
    lines += [f'1 call {n} process={n} append key="r" value="{n:02}"' for n in range(40)]
    lines += [f'2 ok {n}' for n in range(40)]
    lines += ['3 call 40 process=40 get key="r"', '4 ok 40 answer count=1 [value="nobody"]']
    done = check(binary, '-', '--memory', '1', stdin='\n'.join(lines) + '\n')
    expect(done.returncode == 3 and 'cannot tell' in done.stdout, f'{done.returncode} {done.stdout}')
