/* SPDX-License-Identifier: Apache-2.0 */
/* raftstore [--verbose] [--keep-going] [--traces] [--members N] --seed N | --seeds A-B: runs
 * worlds, and says what became of them. Exit status: 0 all is well, 10 something happened that must
 * never happen, 11 a healed world makes no progress, 12 a process crashed; each with the seed,
 * which brings it about again. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/cleanup.h"
#include "tests/sim/heap.h"
#include "tests/sim/world.h"

void __real__exit(int status);

static uint64_t running;

/* An assertion of production code, or worse. */
static void on_crash(int signo)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "seed %" PRIu64 ": CRASH: signal %d at %.6f s\n",
	                 running, signo, (double)sim.now_us / 1e6);
	if (write(2, text, (size_t)n) < 0 || n < 0)
		__real__exit(SIM_CRASH);
	__real__exit(SIM_CRASH);
}

static void tell_stats(void)
{
	const struct sim_stats *s = &sim.stats;
	printf("  %.1f s of %u members: %" PRIu64 " jobs, %" PRIu64 " messages, %" PRIu64
	       " elections, %" PRIu64 " crashes, %" PRIu64 " stops, %" PRIu64 " snapshots\n",
	       (double)sim.now_us / 1e6, sim.n, s->jobs, s->messages, s->elections, s->crashes,
	       s->stops, s->snapshots);
	printf("  %" PRIu64 " calls, %" PRIu64 " failed; %" PRIu64 " writes, %" PRIu64
	       " reads, %" PRIu64 " revisions, %" PRIu64 " compactions, %" PRIu64 " watch events\n",
	       s->calls, s->failed_calls, s->writes, s->reads, s->revisions, s->compactions,
	       s->watch_events);
	printf("  %" PRIu64 " leases, %" PRIu64 " renewals, %" PRIu64 " ended; %" PRIu64
	       " changes of members, %" PRIu64 " transfers; %zu bytes\n",
	       s->leases, s->renewals, s->expired, s->members_changed, s->transfers,
	       sim_heap_used());
}

static int run_one(uint64_t seed, bool verbose, bool stats)
{
	running = seed;
	world_run(seed, verbose);
	static const char *const names[] = {
	    [SIM_SAFETY] = "SAFETY", [SIM_LIVENESS] = "LIVENESS", [SIM_CRASH] = "CRASH"};
	if (sim.result)
		printf("seed %" PRIu64 ": %s: %s (at %.6f s)\n", seed, names[sim.result],
		       sim.failure, (double)sim.now_us / 1e6);
	if (stats)
		tell_stats();
	fflush(stdout);
	return sim.result;
}

int main(int argc, char **argv)
{
	uint64_t from = 0, to = 0;
	bool verbose = false, stats = false, traces = false, go_on = false, given = false;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--verbose")) {
			verbose = true;
		} else if (!strcmp(argv[i], "--traces")) {
			traces = true;
		} else if (!strcmp(argv[i], "--keep-going")) {
			go_on = true;
		} else if (!strcmp(argv[i], "--members") && i + 1 < argc) {
			world_members = (unsigned)strtoul(argv[++i], NULL, 10);
		} else if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
			from = to = strtoull(argv[++i], NULL, 10);
			given = stats = true;
		} else if (!strcmp(argv[i], "--seeds") && i + 1 < argc &&
		           sscanf(argv[i + 1], "%" SCNu64 "-%" SCNu64, &from, &to) == 2) {
			i++;
			given = true;
		} else {
			given = false;
			break;
		}
	}
	if (!given || to < from) {
		fprintf(
		    stderr,
		    "usage: raftstore [--verbose] [--keep-going] [--traces] [--members N] --seed "
		    "N | --seeds A-B\n");
		return SIM_USAGE;
	}
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
	signal(SIGBUS, on_crash);
	int result = 0;
	uint64_t failed = 0;
	printf("seed%s %" PRIu64 "-%" PRIu64 "\n", from == to ? "" : "s", from, to);
	fflush(stdout);
	for (uint64_t seed = from; seed <= to && (go_on || !result); seed++) {
		int r = run_one(seed, verbose, stats);
		if (traces || stats)
			printf("trace %016" PRIx64 "\n", sim.trace);
		failed += r != 0;
		result = result ? result : r;
	}
	if (from != to)
		printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", to - from + 1, failed);
	return result;
}
