"""Builds and runs the program in go/ against three members, and kills them as it asks."""
import os
import re
import shutil
import socketserver
import subprocess
import tempfile
import threading

from cluster import Cluster, Failure, Skip, run as run_command

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS_MAX = 1500  # about 200 s
BUILD_SECONDS_MAX = 900  # with nothing in Go's cache, all of the client's modules
GO_VERSION_MIN = (1, 26)  # what etcd's client needs

# What may be missing in the server under test: if it is, the checks of it are skipped and say so.
NOT_YET = []
SUMMARY = r'(\d+) passed, (\d+) failed, (\d+) skipped$'
REFERENCE_VERSION = '3.4'  # Debian's etcd


def find_go():
    found = shutil.which('go') or shutil.which('/usr/local/go/bin/go')
    if not found:
        raise Skip('no Go: install Go 1.26 or later (Debian 12 has an older one) and call it `go`')
    version = re.search(r'go(\d+)\.(\d+)', run_command([found, 'version']).stdout)
    if not version or tuple(map(int, version.groups())) < GO_VERSION_MIN:
        raise Skip(f'{found} is older than Go 1.26, which the client of etcd needs')
    return found


def build(directory):
    program = os.path.join(directory, 'conformance')
    done = subprocess.run([find_go(), 'build', '-o', program, '.'], cwd=os.path.join(HERE, 'go'),
                          capture_output=True, text=True, timeout=BUILD_SECONDS_MAX)
    if done.returncode != 0:
        offline = re.search(r'dial tcp|no such host|i/o timeout|connection refused', done.stderr)
        if offline:
            raise Skip('the modules of the Go client cannot be had: ' + offline.string[-300:])
        raise Failure('the Go program does not build:\n' + done.stderr[-3000:])
    return program


def obey(cluster, words):
    """One line of the control channel (go/control.go): what to answer."""
    if words[0] == 'leader':
        node = cluster.leader()
        return f'{node.name} {node.endpoint}'
    if words[0] == 'kill':
        cluster.node(words[1]).kill()
        return ''
    if words[0] == 'start':
        cluster.node(words[1]).start()
        return ''
    if words[0] == 'restore':
        for node in cluster.nodes:
            if not node.alive():
                node.start()
        cluster.wait_ready()
        return ''
    if words[0] == 'name':
        return next(node.name for node in cluster.nodes if node.endpoint == words[1])
    raise Failure(f'unknown command {words}')


def serve_control(cluster):
    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                try:
                    answer = 'ok ' + obey(cluster, line.decode().split())
                except Exception as why:  # told to the program, whose check then fails
                    answer = 'error ' + ' '.join(str(why).split())
                self.wfile.write((answer + '\n').encode())
    server = socketserver.ThreadingTCPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def run(command, reference, names):
    """(passed, failed, skipped)"""
    with tempfile.TemporaryDirectory(prefix='quorate-go-') as directory:
        program = build(directory)
        with Cluster(command) as cluster:
            server = serve_control(cluster)
            flags = ['--endpoints', cluster.endpoints, '--control', '%s:%d' % server.server_address]
            flags += ['--etcd', REFERENCE_VERSION] if reference else ['--without', ','.join(NOT_YET)]
            process = subprocess.Popen([program, *flags, *names], stdout=subprocess.PIPE, text=True,
                                       stderr=subprocess.STDOUT)
            timer = threading.Timer(SECONDS_MAX, process.kill)
            timer.start()
            last = ''
            for line in process.stdout:
                last = line
                if not re.match(SUMMARY, line):
                    print(line, end='', flush=True)
            process.wait()
            timer.cancel()
            server.shutdown()
        counts = re.match(SUMMARY, last)
        if not counts:
            print('FAILED go: ended without a summary')
            return 0, 1, 0
        return tuple(map(int, counts.groups()))
