/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "raftstore/server/snapshots_internal.h"

uint64_t snapshots_now_ms(const struct snapshots *all)
{
	return loop_now_ms(all->server->loop);
}

/* --- jobs --- */

static void job_back(void *arg)
{
	struct snapshot_job *j = arg;
	list_del(&j->link);
	j->back(j);
}

static void job_run(void *arg)
{
	struct snapshot_job *j = arg;
	j->run(j);
	loop_post(j->all->server->loop, job_back, j);
}

void snapshot_job_start(struct snapshots *all, struct snapshot_job *j)
{
	j->all = all;
	list_add_tail(&all->jobs, &j->link);
	worker_post(&all->worker, job_run, j);
}

/* --- families --- */

static const double seconds_bounds[] = {0.1, 0.2,  0.4,  0.8,  1.6,   3.2,
                                        6.4, 12.8, 25.6, 51.2, 102.4, 204.8};

static void counts_init(struct snapshots *all)
{
	struct metrics *m = all->server->daemon->metrics;
	all->sent = (struct snapshot_counts){
	    metrics_gauge(m, "etcd_network_snapshot_send_inflights_total",
	                  "Total number of inflight snapshot sends", "To"),
	    metrics_counter(m, "etcd_network_snapshot_send_success",
	                    "Total number of successful snapshot sends", "To"),
	    metrics_counter(m, "etcd_network_snapshot_send_failures",
	                    "Total number of snapshot send failures", "To"),
	    metrics_histogram(m, "etcd_network_snapshot_send_total_duration_seconds",
	                      "Total latency distributions of v3 snapshot sends", "To",
	                      seconds_bounds, ARRAY_LEN(seconds_bounds)),
	};
	all->received = (struct snapshot_counts){
	    metrics_gauge(m, "etcd_network_snapshot_receive_inflights_total",
	                  "Total number of inflight snapshot receives", "From"),
	    metrics_counter(m, "etcd_network_snapshot_receive_success",
	                    "Total number of successful snapshot receives", "From"),
	    metrics_counter(m, "etcd_network_snapshot_receive_failures",
	                    "Total number of snapshot receive failures", "From"),
	    metrics_histogram(m, "etcd_network_snapshot_receive_total_duration_seconds",
	                      "Total latency distributions of v3 snapshot receives", "From",
	                      seconds_bounds, ARRAY_LEN(seconds_bounds)),
	};
}

static struct metric *of_member(struct metric_family *f, uint64_t member)
{
	char id[24];
	snprintf(id, sizeof(id), "%llx", (unsigned long long)member);
	return metric_labels(f, id);
}

void snapshot_count_begin(const struct snapshot_counts *c, uint64_t member)
{
	metric_add(of_member(c->inflights, member), 1);
}

void snapshot_count_end(const struct snapshot_counts *c, struct snapshots *all, uint64_t member,
                        uint64_t began_ms, bool ok)
{
	metric_add(of_member(c->inflights, member), -1);
	metric_inc(of_member(ok ? c->success : c->failures, member));
	if (ok)
		metric_observe(of_member(c->seconds, member),
		               (double)(snapshots_now_ms(all) - began_ms) / 1e3);
}

/* --- life --- */

int snapshots_start(struct server *s, struct err *err)
{
	struct snapshots *all = calloc(1, sizeof(*all));
	if (!all)
		abort();
	s->snapshots = all;
	all->server = s;
	list_init(&all->jobs);
	list_init(&all->sendings);
	counts_init(all);
	if (worker_start(&all->worker, "snapshot"))
		return err_set(err, ERR_INTERNAL, "cannot start the snapshot worker");
	return 0;
}

void snapshots_stop(struct server *s)
{
	struct snapshots *all = s->snapshots;
	all->stopped = true;
	sendings_stop(all);
	worker_stop(&all->worker);
	while (!list_empty(&all->jobs)) {
		struct snapshot_job *j = list_first(&all->jobs, struct snapshot_job, link);
		list_del(&j->link);
		j->drop(j);
	}
	if (all->last_answer)
		peers_answer(TAKE(all->last_answer), -ERR_CANCELLED, SLICE_EMPTY);
}

void snapshots_free(struct server *s)
{
	struct snapshots *all = TAKE(s->snapshots);
	free(all);
}
