"""A member as a service: its log in etcd's form, word to systemd, and the Debian package."""
import json
import os
import shutil
import socket
import subprocess
import tempfile

from cluster import Cluster, Skip, expect, expect_in, run


def test_json_log_in_files(binary):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'member.log')
        flags = ['--logger=zap', '--log-format=json', f'--log-outputs=stderr,{path}',
                 '--enable-pprof', '--experimental-memory-mlock']
        with Cluster([binary, 'serve'], size=1, extra_flags=flags) as cluster:
            node = cluster.nodes[0]
            code, _ = node.terminate()
            expect(code == 0, f'{code}')
            with open(path) as log:
                lines = [json.loads(line) for line in log]
            expect(all(line['ts'].endswith('Z') and line['msg'] for line in lines), f'{lines}')
            expect({line['level'] for line in lines} >= {'info', 'warn'}, f'{lines}')
            warned = [line['msg'] for line in lines if line['level'] == 'warn']
            expect(sum('no effect here: ' in text for text in warned) == 2, f'{warned}')
            expect(node.log().count('{"level"') == len(lines), 'both outputs have each line')
        done = run([binary, 'serve', f'--log-outputs={path}/below-a-file'], cwd=directory)
        expect(done.returncode == 1, f'{done}')
        expect_in('--log-outputs: cannot write', done.stderr, 'a file that cannot be')


def test_tells_systemd(binary):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'notify')
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(60)
            os.environ['NOTIFY_SOCKET'] = path
            try:
                with Cluster([binary, 'serve'], size=1) as cluster:
                    heard = manager.recv(4096).decode()
                    expect(heard.startswith('READY=1\n'), heard)
                    cluster.nodes[0].terminate()
                    expect(manager.recv(4096) == b'STOPPING=1', 'stopping')
            finally:
                del os.environ['NOTIFY_SOCKET']


PACKAGED = ['./usr/bin/quorate', './usr/lib/systemd/system/quorate.service',
            './etc/default/quorate', './usr/share/man/man1/quorate.1.gz',
            './usr/share/bash-completion/completions/quorate',
            './usr/share/zsh/vendor-completions/_quorate', './usr/share/doc/quorate/LICENSE']


def test_debian_package(binary):
    if not shutil.which('cpack') or not shutil.which('dpkg-deb'):
        raise Skip('cpack or dpkg-deb is not installed')
    build = os.path.dirname(os.path.dirname(binary))
    made = run(['cmake', '--build', build, '--target', 'package_files'], timeout=600)
    expect(made.returncode == 0, made.stdout[-800:])
    with tempfile.TemporaryDirectory() as directory:
        packed = run(['cpack', '-G', 'DEB', '-B', directory, '--config',
                      os.path.join(build, 'CPackConfig.cmake')], timeout=300)
        found = [name for name in os.listdir(directory) if name.endswith('.deb')]
        expect(packed.returncode == 0 and len(found) == 1, packed.stdout[-800:] + packed.stderr[-800:])
        package = os.path.join(directory, found[0])
        content = run(['dpkg-deb', '--contents', package]).stdout
        for path in PACKAGED:
            expect(f' {path}\n' in content, f'{path} is missing:\n{content}')
        expect(' ./work' not in content and ' ./home' not in content, content)
        fields = run(['dpkg-deb', '--field', package]).stdout
        for part in ('Package: quorate\n', 'librocksdb', 'libnghttp2', 'passwd'):
            expect_in(part, fields, 'fields')
        control = os.path.join(directory, 'control')
        run(['dpkg-deb', '--control', package, control])
        expect(os.access(os.path.join(control, 'postinst'), os.X_OK), 'postinst')
        expect(subprocess.run(['sh', '-n', os.path.join(control, 'postinst')]).returncode == 0, 'sh')
        tree = os.path.join(directory, 'tree')
        run(['dpkg-deb', '--extract', package, tree])
        done = run([os.path.join(tree, 'usr/bin/quorate'), 'version'])
        expect(done.stdout.startswith('quorate version: '), f'{done}')
        unit = open(os.path.join(tree, 'usr/lib/systemd/system/quorate.service')).read()
        expect_in('Type=notify', unit, 'unit')


test_debian_package.alone = True  # it builds, and so may write the program anew
