/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/log.h"
#include "raftstore/log/log.h"
#include "raftstore/mvcc/mvcc.h"
#include "raftstore/server/etcd_import.h"
#include "raftstore/server/folder.h"
#include "raftstore/server/members.h"
#include "raftstore/tool/snapshot_file.h"
#include "raftstore/tool/tool.h"

/* The new cluster begins behind this entry, which is in no log: whoever joins later has to take a
 * snapshot, since the entries alone do not make these tables. */
static const struct raft_mark restored_mark = {.index = 1, .term = 1};

struct restore {
	const char *data_dir, *name, *initial_cluster, *token;
	flag_list peer_urls;
	bool skip_hash_check, mark_compacted;
	int64_t bump_revision;
	/* Derived. */
	struct arena arena;
	struct members members;
	uint64_t cluster_id, member_id;
	struct snapshot_file file;
	struct buf work; /* where it is made before it gets its name */
};

/* --- who belongs to the new cluster --- */

static member *member_named(struct restore *rs, const char *name)
{
	VEC_FOREACH (&rs->members.list, m) {
		if (!strcmp((*m)->name, name))
			return *m;
	}
	return NULL;
}

/* Members of one name are one, with several URLs. */
static int add_url(struct restore *rs, char *name, char *url, member **list, size_t *n,
                   struct err *err)
{
	if (!peer_url_valid(url))
		return err_set(err, ERR_INVALID, "invalid peer URL \"%s\"", url);
	for (size_t i = 0; i < *n; i++) {
		if (!strcmp(list[i]->name, name)) {
			list[i]->peerurls[list[i]->n_peerurls++] = url;
			return 0;
		}
	}
	member *m = arena_alloc(&rs->arena, sizeof(*m));
	etcdserverpb__member__init(m);
	m->name = name;
	m->peerurls = arena_alloc(&rs->arena, RAFT_MEMBERS_MAX * sizeof(char *));
	m->peerurls[m->n_peerurls++] = url;
	list[(*n)++] = m;
	return 0;
}

static int parse_cluster(struct restore *rs, struct err *err)
{
	member *list[RAFT_MEMBERS_MAX];
	size_t n = 0, urls = 0;
	char *text = arena_printf(&rs->arena, "%s", rs->initial_cluster), *rest = text;
	for (char *one; (one = strsep(&rest, ","));) {
		char *url = strchr(one, '=');
		if (!url || url == one)
			return err_set(err, ERR_INVALID, "invalid --initial-cluster: \"%s\"", one);
		if (++urls > RAFT_MEMBERS_MAX)
			return err_set(err, ERR_LIMIT, "--initial-cluster has too many members");
		*url++ = '\0';
		int r = add_url(rs, one, url, list, &n, err);
		if (r)
			return r;
	}
	for (size_t i = 0; i < n; i++) {
		list[i]->id = member_id_of(list[i]->peerurls, list[i]->n_peerurls, rs->token, 0);
		if (members_find(&rs->members, list[i]->id))
			return err_set(err, ERR_INVALID, "member ID %" PRIx64 " is there twice",
			               list[i]->id);
		members_put(&rs->members, list[i]);
	}
	rs->cluster_id = cluster_id_of(&rs->members);
	return 0;
}

static int check_self(struct restore *rs, struct err *err)
{
	const member *self = member_named(rs, rs->name);
	if (!self)
		return err_set(err, ERR_INVALID,
		               "couldn't find local name \"%s\" in the initial cluster "
		               "configuration",
		               rs->name);
	rs->member_id = self->id;
	VEC_FOREACH (&rs->peer_urls, url) {
		bool found = false;
		for (size_t i = 0; i < self->n_peerurls; i++)
			found |= !strcmp(self->peerurls[i], *url);
		if (!found || rs->peer_urls.n != self->n_peerurls)
			return err_set(err, ERR_INVALID,
			               "--initial-cluster has other URLs for %s than "
			               "--initial-advertise-peer-urls",
			               rs->name);
	}
	return 0;
}

static int finish_flags(struct restore *rs, struct err *err)
{
	if (!rs->peer_urls.n)
		*vec_push(&rs->peer_urls) = "http://localhost:2380";
	if (!rs->initial_cluster)
		rs->initial_cluster =
		    arena_printf(&rs->arena, "%s=http://localhost:2380", rs->name);
	if (!rs->data_dir)
		rs->data_dir = arena_printf(&rs->arena, "%s.etcd", rs->name);
	if (rs->bump_revision < 0)
		return err_set(err, ERR_INVALID, "--bump-revision must not be negative");
	int r = parse_cluster(rs, err);
	return r ? r : check_self(rs, err);
}

/* --- files --- */

static int make_dirs(struct restore *rs, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct stat st;
	buf_printf(&b, "%s/member", rs->data_dir);
	if (!stat((char *)b.data, &st))
		return err_set(err, ERR_ALREADY_EXISTS,
		               "data-dir \"%s\" not empty or could not be read", rs->data_dir);
	int r = folder_make(rs->data_dir, err);
	buf_printf(&rs->work, "%s/restoring", rs->data_dir);
	/* What an earlier attempt has left. */
	folder_remove((char *)rs->work.data);
	if (!r)
		r = folder_make((char *)rs->work.data, err);
	buf_clear(&b);
	buf_printf(&b, "%s/db", rs->work.data);
	return r ? r : folder_make((char *)b.data, err);
}

static int give_name(struct restore *rs, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_printf(&b, "%s/member", rs->data_dir);
	int r = folder_sync((char *)rs->work.data, err);
	if (!r && rename((char *)rs->work.data, (char *)b.data))
		r = err_set(err, ERR_IO, "%s: %s", b.data, strerror(errno));
	return r ? r : folder_sync(rs->data_dir, err);
}

/* --- the store --- */

static int write_conf(const struct restore *rs, struct kv_txn *kv)
{
	struct raft_conf conf = {.auto_leave = false};
	VEC_FOREACH (&rs->members.list, m)
		raft_ids_add(&conf.voters, (*m)->id);
	struct blob *bytes = raft_conf_encode(&conf);
	int r = kv_put(kv, KV_META, SLICE_LIT("conf"), blob_view(bytes));
	blob_unref(bytes);
	return r;
}

static int write_identity(const struct restore *rs, struct kv_txn *kv)
{
	uint8_t applied[16];
	put_be64(applied, restored_mark.index);
	put_be64(applied + 8, restored_mark.term);
	int r = kv_put(kv, KV_META, SLICE_LIT("applied"), slice_of(applied, sizeof(applied)));
	VEC_FOREACH (&rs->members.list, m) {
		if (!r)
			r = member_write(kv, *m);
	}
	if (!r)
		r = write_conf(rs, kv);
	if (!r)
		r = meta_put(kv, "cluster id", rs->cluster_id);
	return r ? r : meta_put(kv, "member id", rs->member_id);
}

static int finish_store(const struct restore *rs, struct store *s, struct err *err)
{
	struct kv_txn *kv;
	int r = store_begin(s, true, &kv);
	if (!r) {
		r = write_identity(rs, kv);
		if (r)
			store_end(kv);
		else
			r = store_commit(kv, err);
	}
	struct store_mark mark = {restored_mark.index, restored_mark.term};
	if (!r)
		r = store_checkpoint_begin(s, mark);
	if (!r)
		r = store_checkpoint_finish(s, err);
	if (r && !err->code)
		err_set(err, (enum err_code) - r, "cannot write the store");
	return r;
}

static int fill_store(const struct restore *rs, struct etcd_import *x, struct err *err)
{
	_cleanup_buf_ struct buf dir = BUF_INIT;
	buf_printf(&dir, "%s/db", rs->work.data);
	struct store *s = NULL;
	struct store_options o = {.dir = (char *)dir.data};
	int r = store_open(&o, &s, err);
	if (!r)
		r = etcd_import(x, s, err);
	if (!r)
		r = finish_store(rs, s, err);
	store_close(s);
	return r;
}

struct reset {
	int result;
	struct err *err;
};

static void on_reset(void *arg, int result, const struct err *err)
{
	struct reset *reset = arg;
	reset->result = result;
	if (result && err)
		*reset->err = *err;
}

static void on_report(void *arg, const struct raftlog_report *report)
{
}

static int make_log(const struct restore *rs, struct err *err)
{
	_cleanup_buf_ struct buf dir = BUF_INIT;
	buf_printf(&dir, "%s/log", rs->work.data);
	struct raftlog_options o = {
	    .dir = (char *)dir.data,
	    .identity = {rs->cluster_id, rs->member_id},
	    .report = on_report,
	};
	struct raftlog *log;
	struct raftlog_boot boot = {0};
	int r = raftlog_open(&o, &log, &boot, err);
	raft_entries_deinit(&boot.entries);
	if (r)
		return r;
	struct reset reset = {-ERR_IO, err};
	struct raftlog_batch first = {
	    .seq = 1,
	    .has_hard_state = true,
	    .hard_state = {.term = restored_mark.term},
	};
	r = raftlog_append(log, &first);
	if (!r)
		raftlog_reset(log, restored_mark, on_reset, &reset);
	raftlog_close(log);
	if (reset.result && !err->code)
		err_set(err, ERR_IO, "%s: cannot be written", dir.data);
	return reset.result;
}

static int restore(struct restore *rs, const char *path, struct etcd_import *x, struct err *err)
{
	int r = finish_flags(rs, err);
	if (!r)
		r = snapshot_file_open(&rs->file, path, err);
	if (!r && !rs->skip_hash_check)
		r = snapshot_file_check_hash(&rs->file, err);
	if (!r)
		r = make_dirs(rs, err);
	if (!r)
		r = fill_store(rs, x, err);
	if (!r)
		r = make_log(rs, err);
	if (!r)
		r = give_name(rs, err);
	if (r && rs->work.len)
		folder_remove((char *)rs->work.data);
	return r;
}

static int run(struct restore *rs, const char *path)
{
	struct err err = ERR_INIT;
	struct etcd_import x = {
	    .from = &rs->file.db,
	    .bump_revision = rs->bump_revision,
	    .mark_compacted = rs->mark_compacted,
	};
	members_init(&rs->members);
	int r = restore(rs, path, &x, &err);
	snapshot_file_close(&rs->file);
	members_deinit(&rs->members);
	buf_deinit(&rs->work);
	if (r)
		return tool_fail(&err);
	printf("Restored %" PRIu64 " changes and %" PRIu64 " leases into %s: revision %" PRId64
	       ", compacted %" PRId64 ", member %" PRIx64 " of cluster %" PRIx64 "\n",
	       x.changes, x.leases, rs->data_dir, x.revision, x.compacted, rs->member_id,
	       rs->cluster_id);
	return 0;
}

int snapshot_restore(int argc, char **argv)
{
	struct restore rs = {.name = "default", .token = "etcd-cluster"};
	struct flag flags[] = {
	    FLAG_STR("data-dir", &rs.data_dir, "Path of the new data directory."),
	    FLAG_STR("name", &rs.name, "Name of this member."),
	    FLAG_STR("initial-cluster", &rs.initial_cluster,
	             "Members of the new cluster: name=peer URL, comma-separated."),
	    FLAG_STR("initial-cluster-token", &rs.token, "Token that tells clusters apart."),
	    FLAG_LIST("initial-advertise-peer-urls", &rs.peer_urls, "This member's peer URLs."),
	    FLAG_BOOL("skip-hash-check", &rs.skip_hash_check,
	              "Take a snapshot without its hash (a copy of a data directory's file)."),
	    FLAG_INT("bump-revision", &rs.bump_revision,
	             "How much to add to the revision, so that clients never see one again."),
	    FLAG_BOOL("mark-compacted", &rs.mark_compacted,
	              "Mark the new revision as compacted: all watches have to begin again."),
	};
	struct flag_group group = FLAG_GROUP("Snapshot", flags);
	flag_list args = {0};
	arena_init(&rs.arena);
	int r =
	    tool_flags(&group, "snapshot restore FILE [flags]", argc, argv, &rs.arena, 1, &args);
	r = r ? r - 1 : run(&rs, args.at[0]);
	vec_deinit(&args);
	flags_deinit(&group, 1);
	arena_deinit(&rs.arena);
	return r;
}
