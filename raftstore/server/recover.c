/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/recover.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "raftstore/mvcc/outcome.h"
#include "raftstore/peer/peers.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/bootstrap.h"
#include "raftstore/server/folder.h"
#include "raftstore/server/members.h"

enum {
	ASK_MS = 15000,
	AGAIN_MS = 1000,
	ROUNDS_MAX = 30,
};
#define ASIDE "member.damaged-"

struct recovery {
	struct server *server;
	struct members members; /* as the flags say */
	struct peers *peers;    /* to ask with, without an identity */
	struct loop_timer timer;
	struct buf body;
	size_t asked; /* next of members.list */
	unsigned rounds;
	bool ended, taken_in, was_voter;
	int outcome; /* the last one; 0: nobody answered */
};

bool recover_possible(const struct server_options *o)
{
	return o->recover_damaged && !o->force_new_cluster && strchr(o->initial_cluster, ',');
}

/* --- asking --- */

static void on_peers_stopped(void *arg)
{
	struct recovery *r = arg;
	peers_free(r->peers);
	daemon_quit(r->server->daemon);
}

static void finish(struct recovery *r)
{
	if (r->ended)
		return;
	r->ended = true;
	loop_timer_stop(&r->timer);
	peers_stop(r->peers, on_peers_stopped, r);
}

static void on_answer(void *arg, int result, struct slice answer)
{
	struct recovery *r = arg;
	if (r->ended)
		return;
	if (result > 0)
		r->outcome = result;
	if (result || answer.len != 9) {
		loop_timer_start(&r->timer, 0);
		return;
	}
	char id[17];
	snprintf(id, sizeof(id), "%" PRIx64, get_be64(answer.data));
	log_info("The others take this member in anew", LOG_STR("local-member-id", id),
	         LOG_BOOL("voter", answer.data[8]));
	r->taken_in = true;
	r->was_voter = answer.data[8];
	finish(r);
}

static void ask_next(void *arg)
{
	struct recovery *r = arg;
	if (r->asked == r->members.list.n) {
		r->asked = 0;
		if (++r->rounds < ROUNDS_MAX)
			loop_timer_start(&r->timer, AGAIN_MS);
		else
			finish(r);
		return;
	}
	const Etcdserverpb__Member *m = r->members.list.at[r->asked++];
	if (!strcmp(m->name, r->server->options->name)) {
		ask_next(r);
		return;
	}
	_cleanup_buf_ struct buf urls = BUF_INIT;
	for (size_t i = 0; i < m->n_peerurls; i++)
		buf_printf(&urls, "%s%s", i ? "," : "", m->peerurls[i]);
	peers_ask_url(r->peers, (char *)urls.data, ASK_REPLACE, buf_view(&r->body), ASK_MS,
	              on_answer, r);
}

static int prepare(struct recovery *r, struct err *err)
{
	struct server *s = r->server;
	struct peers_options o = {.core = s->daemon->rpc, .loop = s->loop};
	int e = bootstrap_parse_cluster(s, &r->members, err);
	if (e)
		return e;
	VEC_FOREACH (&r->members.list, it) {
		Etcdserverpb__Member *m = *it;
		if (strcmp(m->name, s->options->name))
			continue;
		/* Any id: it is the URLs that it is found by. */
		m->id =
		    member_id_of(m->peerurls, m->n_peerurls, s->options->initial_cluster_token, 0);
		member_change_encode(&r->body, &(struct member_change){MEMBER_ADD, m});
	}
	if (!r->body.len)
		return err_set(err, ERR_INVALID, "--initial-cluster does not name this member");
	server_peer_options(s, false, &o);
	return peers_new(&o, &r->peers, err);
}

/* --- the folder --- */

static int failed(struct err *err, const char *path)
{
	return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
}

/* What was put aside before: a disk that damages again and again is not to be filled with it. */
static void forget_aside(const struct server_options *o)
{
	DIR *d = opendir(o->data_dir);
	for (const struct dirent *e; d && (e = readdir(d));) {
		_cleanup_buf_ struct buf path = BUF_INIT;
		buf_printf(&path, "%s/%s", o->data_dir, e->d_name);
		if (!strncmp(e->d_name, ASIDE, sizeof(ASIDE) - 1))
			folder_remove((char *)path.data);
	}
	if (d)
		closedir(d);
}

static int put_aside(const struct server_options *o, bool was_voter, struct err *err)
{
	_cleanup_buf_ struct buf from = BUF_INIT, to = BUF_INIT, flag = BUF_INIT;
	char stamp[32];
	time_t now = (time_t)(clock_real_ns() / 1000000000);
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	buf_printf(&from, "%s/member", o->data_dir);
	buf_printf(&to, "%s/" ASIDE "%s", o->data_dir, stamp);
	buf_printf(&flag, "%s/member/promote", o->data_dir);
	forget_aside(o);
	if (rename((char *)from.data, (char *)to.data))
		return failed(err, (char *)to.data);
	int r = folder_make((char *)from.data, err);
	if (r)
		return r;
	if (was_voter) {
		int fd = open((char *)flag.data, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			return failed(err, (char *)flag.data);
		close(fd);
	}
	r = folder_sync((char *)from.data, err);
	if (!r)
		r = folder_sync(o->data_dir, err);
	if (r)
		return r;
	log_info("The damaged data were put aside", LOG_STR("path", (char *)to.data));
	return 0;
}

/* --- life --- */

int recover_run(struct server *s, struct daemon *d, const struct server_options *o, struct err *err)
{
	struct recovery r = {.server = s};
	int e = server_claim(s, d, o, err);
	if (e)
		return e;
	members_init(&r.members);
	loop_timer_init(&r.timer, s->loop, ask_next, &r);
	s->recovery = &r;
	e = prepare(&r, err);
	if (!e) {
		log_warning("The data directory is damaged: asking the other members to take this "
		            "one in anew");
		loop_timer_start(&r.timer, 0);
		daemon_run(d);
		if (r.taken_in)
			e = put_aside(o, r.was_voter, err);
		else
			e = err_set(err, ERR_UNAVAILABLE, "no other member took this one in: %s",
			            r.outcome ? outcome_text(r.outcome) : "none could be asked");
	}
	s->recovery = NULL;
	members_deinit(&r.members);
	buf_deinit(&r.body);
	return e;
}

void recover_stop(struct server *s)
{
	finish(s->recovery);
}

/* --- processes --- */

static char command[] = "recover";

bool recover_wanted(int *argc, char **argv)
{
	if (*argc < 2 || strcmp(argv[1], command))
		return false;
	for (int i = 1; i < *argc; i++)
		argv[i] = argv[i + 1];
	--*argc;
	return true;
}

int recover_exec(int argc, char **argv, bool recover)
{
	static char existing[] = "--initial-cluster-state=existing";
	char **next = calloc((size_t)argc + 2, sizeof(*next));
	if (!next)
		abort();
	next[0] = argv[0];
	if (recover)
		next[1] = command;
	memcpy(next + 1 + recover, argv + 1, (size_t)(argc - 1) * sizeof(*argv));
	if (!recover)
		next[argc] = existing;
	execv("/proc/self/exe", next);
	log_error(NULL, "Could not begin again; \"raftstore recover\" with the same flags has the "
	                "others take a damaged member in, which then joins with "
	                "--initial-cluster-state=existing");
	free(next);
	return 1;
}
