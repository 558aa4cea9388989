#!/usr/bin/env python3
"""clang-tidy over the given sources, two at a time. A file whose preprocessed text and rules have
not changed since it last passed is skipped: build/lint holds those hashes."""
import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, 'build', 'dev')
MEMORY = os.path.join(ROOT, 'build', 'lint')
# What GCC's standard library announces to clang; see cmake/rooms.cmake.
EXTRA = ['-D__cpp_concepts=202002', '-Wno-builtin-macro-redefined', '-Wno-unknown-warning-option',
         '-Wno-deprecated-declarations']


def plain(command):
    """Without the headers that g++ read before: clang cannot, and each source has to include what
    it uses."""
    words = shlex.split(command)
    words = words[next(n for n, word in enumerate(words) if word.endswith('++')):]  # no ccache
    if '-Winvalid-pch' in words:
        at = words.index('-Winvalid-pch')
        del words[at:at + 3]  # and -include, and its file
    return shlex.join(word for word in words if word != '-fpch-preprocess')


def commands():
    """The command that compiles each source; clang-tidy finds them in build/lint as well."""
    with open(os.path.join(BUILD, 'compile_commands.json')) as file:
        entries = json.load(file)
    for entry in entries:
        entry['command'] = plain(entry['command'])
    with open(os.path.join(MEMORY, 'compile_commands.json'), 'w') as file:
        json.dump(entries, file)
    chosen = {}
    for entry in entries:  # a source compiled twice (with planted bugs): the product's comes first
        name = os.path.relpath(os.path.join(entry['directory'], entry['file']), ROOT)
        if name not in chosen or 'QUORATE_MUTANTS' in chosen[name]['command']:
            chosen[name] = entry
    return chosen


def fingerprint(entry):
    words = shlex.split(entry['command'])
    cut = words[:words.index('-o')] if '-o' in words else words
    done = subprocess.run([w for w in cut if w != '-c'] + ['-E', '-P', entry['file']],
                          cwd=entry['directory'], capture_output=True)
    with open(os.path.join(ROOT, '.clang-tidy'), 'rb') as rules:
        return hashlib.sha256(done.stdout + rules.read()).hexdigest()


def check(name, entry):
    mark = os.path.join(MEMORY, fingerprint(entry))
    if os.path.exists(mark):
        return name, 0, ''
    arguments = ['clang-tidy-19', '--quiet', '-p', MEMORY]
    arguments += [f'--extra-arg={extra}' for extra in EXTRA] + [os.path.join(ROOT, name)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        open(mark, 'w').close()
    return name, done.returncode, done.stdout


def main(names):
    os.makedirs(MEMORY, exist_ok=True)
    known = commands()
    unbuilt = [name for name in names if name not in known]
    for name in unbuilt:
        print(f'{name}: no target builds it; is it dead?')
    failed = len(unbuilt)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(check, name, known[name]) for name in names if name in known]
        for job in concurrent.futures.as_completed(jobs):
            name, code, output = job.result()
            if code != 0:
                failed += 1
                print(output or f'{name}: clang-tidy ended with {code}')
    print(f'lint: {len(names)} files, {failed} with findings')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
