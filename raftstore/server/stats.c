/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/stats.h"
#include <stdio.h>
#include "raftstore/server/auth.h"
#include "raftstore/server/node.h"
#include "raftstore/server/storage.h"
#include "raftstore/server/watch_hub.h"

struct stats {
	struct server *server;
	struct metric *wal, *commit, *leader_changes, *puts, *ranges;
	struct metric *has_leader, *is_leader, *is_learner, *pending, *failed, *late_reads, *total,
	    *in_use, *quota, *committed, *applied;
	struct metric *watchers, *slow_watchers, *revision, *auth_revision, *events;
	struct metric_family *id;
	uint64_t told_events;
};

static const double bounds[] = {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064,
                                0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192};

static void on_write(void *arg)
{
	struct stats *st = arg;
	struct server *s = st->server;
	metric_set(st->has_leader, s->leader != 0);
	metric_set(st->is_leader, s->leader == s->member_id);
	metric_set(st->is_learner, s->learner);
	char id[17];
	snprintf(id, sizeof(id), "%llx", (unsigned long long)s->member_id);
	metric_set(metric_labels(st->id, id), 1);
	if (s->node)
		metric_set(st->pending, (double)node_pending(s->node));
	struct store_sizes sizes;
	store_sizes(s->store, &sizes);
	metric_set(st->total, (double)sizes.file_bytes);
	metric_set(st->in_use, (double)sizes.used_bytes);
	metric_set(st->quota, (double)s->options->quota);
	metric_set(st->committed, (double)s->commit);
	metric_set(st->applied, (double)s->applied);
	metric_set(st->revision, (double)s->revision);
	struct auth_view *auth = auth_now(s);
	metric_set(st->auth_revision, (double)auth_revision(auth));
	auth_view_unref(auth);
	size_t watchers, slow;
	watch_hub_counts(s->hub, &watchers, &slow);
	metric_set(st->watchers, (double)watchers);
	metric_set(st->slow_watchers, (double)slow);
	struct storage_facts facts;
	storage_facts(s->storage, &facts);
	metric_add(st->events, (double)(facts.events - st->told_events));
	st->told_events = facts.events;
}

static struct metric *histogram(struct metrics *m, const char *name, const char *help)
{
	return metric_of(metrics_histogram(m, name, help, NULL, bounds, ARRAY_LEN(bounds)));
}

static struct metric *gauge(struct metrics *m, const char *name, const char *help)
{
	return metric_of(metrics_gauge(m, name, help, NULL));
}

static struct metric *counter(struct metrics *m, const char *name, const char *help)
{
	return metric_of(metrics_counter(m, name, help, NULL));
}

void stats_start(struct server *s)
{
	struct stats *st = calloc(1, sizeof(*st));
	if (!st)
		abort();
	s->stats = st;
	st->server = s;
	struct metrics *m = s->daemon->metrics;
	st->wal =
	    histogram(m, "etcd_disk_wal_fsync_duration_seconds", "How long syncs of the log take.");
	st->commit = histogram(m, "etcd_disk_backend_commit_duration_seconds",
	                       "How long checkpoints of the store take.");
	st->leader_changes = counter(m, "etcd_server_leader_changes_seen_total",
	                             "Leader changes that this member has seen.");
	st->puts = counter(m, "etcd_mvcc_put_total", "Puts that this member was asked for.");
	st->ranges = counter(m, "etcd_mvcc_range_total", "Ranges that this member has read.");
	st->events = counter(m, "etcd_debugging_mvcc_events_total", "Events for watchers.");
	st->has_leader = gauge(m, "etcd_server_has_leader", "1: a leader is known.");
	st->is_leader = gauge(m, "etcd_server_is_leader", "1: this member leads.");
	st->id = metrics_gauge(m, "etcd_server_id", "This member.", "server_id");
	metric_set(metric_labels(metrics_gauge(m, "etcd_server_version",
	                                       "Which etcd it stands for.", "server_version"),
	                         RAFTSTORE_ETCD_VERSION),
	           1);
	st->is_learner = gauge(m, "etcd_server_is_learner", "1: this member is a learner.");
	st->pending =
	    gauge(m, "etcd_server_proposals_pending", "Requests on their way into the log.");
	st->failed = counter(m, "etcd_server_proposals_failed_total",
	                     "Requests that did not get into the log in time.");
	st->late_reads = counter(m, "etcd_server_read_indexes_failed_total",
	                         "Reads whose index no leader has told in time.");
	st->total = gauge(m, "etcd_mvcc_db_total_size_in_bytes", "Size of the store.");
	st->in_use = gauge(m, "etcd_mvcc_db_total_size_in_use_in_bytes",
	                   "Size of the store without free pages.");
	st->quota = gauge(m, "etcd_server_quota_backend_bytes", "Quota of the store.");
	st->committed =
	    gauge(m, "etcd_server_proposals_committed_total", "Index of the last committed entry.");
	st->applied =
	    gauge(m, "etcd_server_proposals_applied_total", "Index of the last applied entry.");
	st->revision = gauge(m, "etcd_debugging_mvcc_current_revision", "Current revision.");
	st->auth_revision =
	    gauge(m, "etcd_debugging_auth_revision", "Current revision of users and roles.");
	st->watchers = gauge(m, "etcd_debugging_mvcc_watcher_total", "Watchers.");
	st->slow_watchers =
	    gauge(m, "etcd_debugging_mvcc_slow_watcher_total", "Watchers that are not up to date.");
	metrics_on_write(m, on_write, st);
}

void stats_stop(struct server *s)
{
	free(TAKE(s->stats));
}

void stats_sync(struct stats *st, uint64_t ns)
{
	metric_observe(st->wal, (double)ns / 1e9);
}

void stats_commit(struct stats *st, uint64_t ns)
{
	metric_observe(st->commit, (double)ns / 1e9);
}

void stats_leader_change(struct stats *st)
{
	metric_inc(st->leader_changes);
}

void stats_proposal_failed(struct stats *st)
{
	metric_inc(st->failed);
}

void stats_read_failed(struct stats *st)
{
	metric_inc(st->late_reads);
}

void stats_put(struct stats *st)
{
	metric_inc(st->puts);
}

void stats_range(struct stats *st)
{
	metric_inc(st->ranges);
}
