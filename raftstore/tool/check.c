/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "raftstore/log/log.h"
#include "raftstore/mvcc/verify.h"
#include "raftstore/server/storage.h"
#include "raftstore/store/store.h"
#include "raftstore/tool/tool.h"

enum { PROBLEMS_SHOWN = 50 };

struct check {
	const char *data_dir;
	uint64_t problems;
	uint64_t cluster_id, member_id;
	struct store_mark applied;   /* as the tables have it */
	struct store_mark installed; /* the snapshot of another member that they were last */
	bool has_applied, store_sound;
	struct store_check store;
	struct mvcc_verify mvcc;
};

static void on_problem(void *arg, const char *text)
{
	struct check *c = arg;
	if (c->problems++ < PROBLEMS_SHOWN)
		printf("problem: %s\n", text);
	else if (c->problems == PROBLEMS_SHOWN + 1)
		printf("problem: there are more\n");
}

static _printf_(2, 3) void problem(struct check *c, const char *fmt, ...)
{
	struct err err;
	va_list ap;
	va_start(ap, fmt);
	err_setv(&err, ERR_CORRUPT, fmt, ap);
	va_end(ap);
	on_problem(c, err.text);
}

/* --- the store --- */

static int look_at_tables(void *arg, struct kv_txn *kv)
{
	struct check *c = arg;
	struct slice v;
	int r = meta_get(kv, "cluster id", &c->cluster_id);
	if (!r)
		r = meta_get(kv, "member id", &c->member_id);
	if (r == -ERR_NOT_FOUND) {
		problem(c, "the store does not say whose it is");
		r = 0;
	}
	if (r)
		return r;
	r = kv_get(kv, KV_META, SLICE_LIT("applied"), &v);
	if (!r && v.len == 16) {
		c->has_applied = true;
		c->applied = (struct store_mark){get_be64(v.data), get_be64(v.data + 8)};
	}
	if (r && r != -ERR_NOT_FOUND)
		return r;
	r = kv_get(kv, KV_META, STORAGE_INSTALLED, &v);
	if (!r && v.len == 16)
		c->installed = (struct store_mark){get_be64(v.data), get_be64(v.data + 8)};
	return r && r != -ERR_NOT_FOUND ? r : mvcc_verify(kv, &c->mvcc);
}

static void check_store(struct check *c)
{
	_cleanup_buf_ struct buf dir = BUF_INIT;
	struct err err = ERR_INIT;
	buf_printf(&dir, "%s/member/db", c->data_dir);
	c->store.problem = c->mvcc.problem = on_problem;
	c->store.arg = c->mvcc.arg = c;
	uint64_t before = c->problems;
	int r = store_check((char *)dir.data, &c->store, look_at_tables, &err);
	if (r)
		problem(c, "%s", err.text);
	c->store_sound = c->problems == before;
	const struct mvcc_verify *m = &c->mvcc;
	printf("store: checkpoint of entry %" PRIu64 " in term %" PRIu64 ", %" PRIu64
	       " pages in use, %" PRIu64 " free\n",
	       c->store.mark.index, c->store.mark.term, c->store.used_pages, c->store.free_pages);
	printf("keys: %" PRIu64 ", %" PRIu64 " changes, revision %" PRId64 ", compacted %" PRId64
	       "; leases: %" PRIu64 " with %" PRIu64 " keys\n",
	       m->live_keys, m->changes, m->revision, m->compacted, m->leases, m->lease_keys);
	if (m->orphans)
		printf("note: %" PRIu64 " keys name a lease that is not there\n", m->orphans);
}

/* --- the log --- */

static void on_report(void *arg, const struct raftlog_report *report)
{
}

/* Does the log hold what the store has applied, and what comes behind it? */
static void check_range(struct check *c, const struct raftlog_boot *b)
{
	uint64_t last = b->mark.index + b->entries.n;
	uint64_t last_term = b->entries.n ? vec_last(&b->entries)->term : b->mark.term;
	struct store_mark at = c->store.mark;
	if (b->hard_state.term < last_term)
		problem(c, "the log's last entry is of term %" PRIu64 ", its state of %" PRIu64,
		        last_term, b->hard_state.term);
	if (!c->store_sound)
		return;
	if (c->has_applied && (c->applied.index != at.index || c->applied.term != at.term) &&
	    at.index)
		problem(c,
		        "the tables hold entry %" PRIu64 " of term %" PRIu64
		        ", their checkpoint says %" PRIu64 " of %" PRIu64,
		        c->applied.index, c->applied.term, at.index, at.term);
	if (at.index > last && at.index == c->installed.index && at.term == c->installed.term) {
		printf("note: the next start will begin the log behind the snapshot of another "
		       "member, entry %" PRIu64 "\n",
		       at.index);
		return;
	}
	if (at.index < b->mark.index || at.index > last) {
		problem(c,
		        "the store has applied entry %" PRIu64 ", the log has %" PRIu64
		        " to %" PRIu64,
		        at.index, b->mark.index + 1, last);
		return;
	}
	uint64_t term = at.index == b->mark.index
	                    ? b->mark.term
	                    : b->entries.at[at.index - b->mark.index - 1].term;
	if (at.index && term != at.term)
		problem(c,
		        "entry %" PRIu64 " is of term %" PRIu64 " in the log, of term %" PRIu64
		        " in the store",
		        at.index, term, at.term);
}

static void check_log(struct check *c)
{
	_cleanup_buf_ struct buf dir = BUF_INIT;
	struct err err = ERR_INIT;
	buf_printf(&dir, "%s/member/log", c->data_dir);
	struct raftlog_options o = {
	    .dir = (char *)dir.data,
	    .identity = {c->cluster_id, c->member_id},
	    .io = &log_io_read_only,
	    .report = on_report,
	};
	struct raftlog *log;
	struct raftlog_boot boot = {0};
	if (raftlog_open(&o, &log, &boot, &err)) {
		problem(c, "%s", err.text);
		return;
	}
	struct raftlog_stats st;
	raftlog_stats(log, &st);
	raftlog_close(log);
	printf("log: %" PRIu64 " segments, entries %" PRIu64 " to %" PRIu64 ", term %" PRIu64 "\n",
	       st.segments, boot.mark.index + 1, boot.mark.index + boot.entries.n,
	       boot.hard_state.term);
	if (boot.torn_bytes)
		printf("note: the next start will cut a torn tail of %" PRIu64
		       " bytes, which was never acknowledged\n",
		       boot.torn_bytes);
	check_range(c, &boot);
	raft_entries_deinit(&boot.entries);
}

/* --- the command --- */

/* A server that runs would change things meanwhile. */
static int lock(const struct check *c, int *ret_fd, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	buf_printf(&path, "%s/member/lock", c->data_dir);
	*ret_fd = open((char *)path.data, O_RDWR | O_CLOEXEC);
	/* A restored directory has not been used yet. */
	if (*ret_fd < 0 && errno == ENOENT) {
		struct stat st;
		buf_clear(&path);
		buf_printf(&path, "%s/member/db", c->data_dir);
		if (!stat((char *)path.data, &st))
			return 0;
	}
	if (*ret_fd < 0)
		return err_set(err, ERR_NOT_FOUND, "%s is no data directory: %s", c->data_dir,
		               strerror(errno));
	if (!flock(*ret_fd, LOCK_EX | LOCK_NB))
		return 0;
	close(*ret_fd);
	return err_set(err, ERR_CONFLICT, "%s is in use by a running raftstore", c->data_dir);
}

static int run(struct check *c)
{
	struct err err = ERR_INIT;
	int fd;
	if (lock(c, &fd, &err))
		return tool_fail(&err);
	check_store(c);
	check_log(c);
	if (fd >= 0)
		close(fd);
	if (c->problems)
		printf("%" PRIu64 " problems. This member must not start on these files: replace "
		       "it, or restore a snapshot.\n",
		       c->problems);
	else
		printf("sound\n");
	return c->problems > 0;
}

int check_data_dir(int argc, char **argv)
{
	struct check c = {.data_dir = NULL};
	struct flag flags[] = {
	    FLAG_STR("data-dir", &c.data_dir, "The directory to look at; nobody may use it."),
	};
	struct flag_group group = FLAG_GROUP("Check", flags);
	struct arena a;
	flag_list args = {0};
	arena_init(&a);
	int r = tool_flags(&group, "check --data-dir DIR", argc, argv, &a, 0, &args);
	if (!r && !c.data_dir) {
		fprintf(stderr, "Error: --data-dir is required\n");
		r = 3;
	}
	r = r ? r - 1 : run(&c);
	vec_deinit(&args);
	arena_deinit(&a);
	return r;
}
