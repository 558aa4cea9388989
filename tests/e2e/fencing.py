"""The example of docs/locks-and-fencing.md does what the page says."""
import os
import re
import subprocess
import sys
import tempfile

from cluster import Cluster, clean_environment, expect

PAGE = os.path.join(os.path.dirname(__file__), '..', '..', 'docs', 'locks-and-fencing.md')


def test_the_example_prints_what_the_page_says(binary):
    with open(PAGE, encoding='utf-8') as file:
        page = file.read()
    example = re.search(r'```python\n(.*?)```', page, re.DOTALL).group(1)
    promised = re.search(r'It prints\n\n```\n(.*?)```', page, re.DOTALL).group(1)
    with Cluster([binary, 'serve']) as cluster, \
            tempfile.NamedTemporaryFile('w', suffix='.py') as script:
        script.write(example)
        script.flush()
        leader = cluster.leader()
        for node in (leader, next(each for each in cluster.nodes if each is not leader)):
            done = subprocess.run([sys.executable, script.name, node.endpoint], timeout=60,
                                  capture_output=True, text=True, env=clean_environment(),
                                  check=False)
            expect(done.returncode == 0 and done.stdout == promised, done.stdout + done.stderr)
