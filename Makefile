# Two commands matter: `make run` (a three-node cluster on this machine) and `make test`.
# Both start from a clean clone: they install the Debian packages that are missing and build.
.PHONY: help run test bench failover fuzz soak compat lint tsan format packages release dev package clean

help:
	@echo "make run      build, start three nodes on 127.0.0.1:2379, :22379, :32379; CONSENSUS=multipaxos"
	@echo "make test     build and run every fast test (also what .ci/run does)"
	@echo "make bench    beside Debian's etcd and ZooKeeper; writes docs/benchmarks.md (about 40 min);"
	@echo "              ROWS=put,get for a part of it, QUICK=1 to see that it works"
	@echo "make failover the part of it that kills, freezes and stops leaders (about 12 min)"
	@echo "make soak     random seeds, faults and bytes until stopped, or MINUTES=n"
	@echo "make fuzz     libFuzzer on every decoder until stopped, or MINUTES=n in all"
	@echo "make compat   etcdctl against quorate and etcd, random operations, etcd's Go client, Patroni (30 min)"
	@echo "make package a Debian package in build/release, with unit, man page and completion"
	@echo "make lint     clang-tidy over all sources (about 10 min); make test takes a quarter each day"
	@echo "make tsan     ThreadSanitizer over the tests that have threads (about 15 min)"
	@echo "make format   clang-format over src/"

packages:
	@tools/install_packages

run: packages
	@tools/run_cluster $(if $(CONSENSUS),--consensus $(CONSENSUS))

test:
	@tools/test_all

release: packages
	@cmake --preset release >/dev/null && cmake --build --preset release --target quorate crash_load

dev: packages
	@cmake --preset dev >/dev/null && cmake --build --preset dev

# ROWS=put,get SYSTEMS=etcd,quorate REPEATS=3 BUDGET=1500 (seconds, of the table) TRIALS=20 (of each
# blow to the leader; 0: none) QUICK=1 FRESH=1, each if wanted. What failed is named, the rest goes
# on, and the same command again does what is missing.
bench: release
	@tools/install_packages bench/packages.txt || echo "without ZooKeeper, then" >&2
	@python3 bench/compare.py --binary build/release/bin/quorate $(if $(ROWS),--rows $(ROWS)) \
	    $(if $(SYSTEMS),--systems $(SYSTEMS)) $(if $(REPEATS),--repeats $(REPEATS)) \
	    $(if $(BUDGET),--budget $(BUDGET)) $(if $(QUICK),--quick) $(if $(FRESH),--fresh); \
	 table=$$?; \
	 $(if $(ROWS)$(SYSTEMS),true,python3 bench/failover.py --binary build/release/bin/quorate \
	    $(if $(TRIALS),--trials $(TRIALS)) $(if $(QUICK),--quick)) && exit $$table

failover: release
	@python3 bench/failover.py --binary build/release/bin/quorate

fuzz: packages
	@tools/fuzz $(if $(MINUTES),--seconds $$(( $(MINUTES) * 60 / 16 ))) $(TARGETS)

soak: release
	@cmake --build --preset release --target sim_seeds quorate_mutant_hunt >/dev/null
	@tools/soak $(if $(MINUTES),--minutes $(MINUTES)) $(PARTS)

compat: release
	@cmake --build --preset release --target differential >/dev/null
	@python3 tests/e2e/run.py --binary build/release/bin/quorate --repeat 5 compat members
	@python3 tests/e2e/run.py --binary build/release/bin/quorate differential_long matrix_long crowd
	@python3 tests/compat/run.py --binary build/release/bin/quorate

lint: dev
	@python3 tools/lint.py $$(git ls-files 'src/*.cc' | grep -v '_test\.cc$$')

tsan: packages
	@tools/tsan

format:
	@git ls-files 'src/*.h' 'src/*.cc' 'fuzz/*.h' 'fuzz/*.cc' 'tests/*.h' 'tests/*.cc' | xargs -r clang-format-19 -i

package: release
	@cmake --build --preset release --target package_files && cd build/release && cpack -G DEB

clean:
	@rm -rf build
