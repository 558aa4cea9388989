"""Tens of thousands of random operations to Quorate and to Debian's etcd (`make compat`)."""
from differential import agree


def test_many_seeds_like_etcd(binary):
    agree(binary, '--seed', '100', '--seeds', '8', '--operations', '6000', '--expire',
          least=[('accepted', 30000), ('watchers', 500), ('events', 10000), ('expiries', 16)],
          seconds=1800)


def test_many_lost_leaders_like_etcd(binary):
    agree(binary, '--seed', '200', '--seeds', '4', '--operations', '5000', '--members', '3',
          least=[('accepted', 12000), ('leaders lost', 20)], seconds=1800)


def test_followers_answer_like_etcd(binary):
    agree(binary, '--seed', '300', '--seeds', '2', '--operations', '4000', '--members', '3',
          '--follower', least=[('accepted', 5000), ('leaders lost', 8)], seconds=1200)
