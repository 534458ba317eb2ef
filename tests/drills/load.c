/* SPDX-License-Identifier: Apache-2.0 */
/* drill_load [FLAGS] FOLDER ENDPOINT...
 *
 * Clients and watchers spread over the members of a store, until the standard input ends. Then it
 * writes the key "end", waits until every watcher has seen that, and exits with 0; with 3 when that
 * takes too long. FOLDER gets `history` (client.h) and `watch-W-M` for each watcher W on
 * member M (watcher.h). The standard output has a line each time that writes were acknowledged,
 * "acked N...": how many on each member since the start, and "end REVISION" before it exits.
 *
 * With --until REVISION there are no clients: watchers from the revision --from on, to that one. */
#include "common/daemon/flags.h"
#include "tests/drills/client.h"
#include "tests/drills/watcher.h"

enum {
	TELL_MS = 10,
	END_RETRY_MS = 100,
	MEMBERS_MAX = 9,
	CLIENTS_MAX = 512,
	WATCHERS_MAX = 64,
	LATE = 3,
};

static struct load {
	struct drill drill;
	struct drill_member members[MEMBERS_MAX];
	struct drill_client clients[CLIENTS_MAX + 1]; /* the last writes the end */
	struct drill_watcher watchers[WATCHERS_MAX];
	unsigned n_members, n_clients, n_watchers;
	int64_t end;         /* revision */
	unsigned end_member; /* which is asked next to write the end */
	uint64_t told;       /* acknowledged writes */
	int status;
	uv_pipe_t input;
	struct loop_timer tell, end_retry, deadline;
} load;

static struct options {
	int64_t clients, probes, probe_ms, watchers, keys, timeout_ms, pause_ms, deadline_ms;
	int64_t from, until;
	const char *ca, *cert, *key;
} options = {
    .clients = 4,
    .probe_ms = 20,
    .watchers = 1,
    .keys = 16,
    .timeout_ms = 2000,
    .pause_ms = 5,
    .deadline_ms = 30000,
    .from = 1,
};

static struct flag flags[] = {
    FLAG_INT("clients", &options.clients, "Workers on each member."),
    FLAG_INT("probes", &options.probes, "Probers on each member."),
    FLAG_INT("probe-ms", &options.probe_ms, "Time from one put of a prober to the next."),
    FLAG_INT("watchers", &options.watchers, "Watchers on each member."),
    FLAG_INT("keys", &options.keys, "Keys that all workers share."),
    FLAG_INT("timeout-ms", &options.timeout_ms, "Deadline of an operation."),
    FLAG_INT("pause-ms", &options.pause_ms, "Rest of a worker between two operations."),
    FLAG_INT("deadline-ms", &options.deadline_ms, "Time for the end to reach every watcher."),
    FLAG_INT("from", &options.from, "Revision that watchers start from."),
    FLAG_INT("until", &options.until, "Only watch, to this revision."),
    FLAG_STR("cacert", &options.ca, "CA of the members."),
    FLAG_STR("cert", &options.cert, "Certificate of the clients."),
    FLAG_STR("key", &options.key, "Its key."),
};

static void tell(void *arg)
{
	uint64_t acked = 0;
	(void)arg;
	for (unsigned i = 0; i < load.n_members; i++)
		acked += load.members[i].acked;
	if (acked != load.told) {
		printf("acked");
		for (unsigned i = 0; i < load.n_members; i++)
			printf(" %llu", (unsigned long long)load.members[i].acked);
		printf("\n");
		fflush(stdout);
		load.told = acked;
	}
	loop_timer_start(&load.tell, TELL_MS);
}

static void end_if_seen(struct drill *d)
{
	if (!load.end)
		return;
	for (unsigned i = 0; i < load.n_watchers; i++)
		if (load.watchers[i].next <= load.end)
			return;
	loop_stop(&d->loop);
}

static void too_late(void *arg)
{
	(void)arg;
	load.status = LATE;
	for (unsigned i = 0; i < load.n_watchers; i++)
		fprintf(stderr, "member %u: the watcher has revision %lld of %lld\n",
		        load.watchers[i].member->number, (long long)load.watchers[i].next - 1,
		        (long long)load.end);
	loop_stop(&load.drill.loop);
}

static void on_end(struct drill *d, int64_t revision)
{
	load.end = revision;
	if (revision)
		end_if_seen(d);
	else
		loop_timer_start(&load.end_retry, END_RETRY_MS);
}

static void write_end(void *arg)
{
	struct drill_client *last = &load.clients[load.n_clients];
	(void)arg;
	last->member = &load.members[load.end_member++ % load.n_members];
	drill_client_put(last, "end", on_end);
}

static void on_idle(struct drill *d)
{
	(void)d;
	loop_timer_start(&load.deadline, (uint64_t)options.deadline_ms);
	write_end(NULL);
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *ret)
{
	static char bytes[64];
	(void)h, (void)n;
	*ret = uv_buf_init(bytes, sizeof(bytes));
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	(void)b;
	if (n >= 0)
		return;
	uv_read_stop(s);
	load.drill.stop = true;
	if (!load.drill.running)
		on_idle(&load.drill);
}

static int open_members(const char **endpoints, unsigned n, struct err *err)
{
	struct tls_creds_options tls = {
	    .ca_file = options.ca, .cert_file = options.cert, .key_file = options.key};
	for (unsigned i = 0; i < n; i++) {
		struct rpc_channel_options o = {.tls = options.ca ? &tls : NULL};
		load.members[i].number = i + 1;
		int r = rpc_channel_new(load.drill.core, endpoints[i], &o, &load.members[i].channel,
		                        err);
		if (r < 0)
			return r;
		load.n_members++;
	}
	return 0;
}

static FILE *open_file(const char *folder, const char *name)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	if (!f) {
		perror(path);
		exit(2);
	}
	return f;
}

static void start_clients(void)
{
	unsigned a_member = (unsigned)(options.clients + options.probes);
	for (unsigned i = 0; i < a_member * load.n_members; i++) {
		bool probe = i / load.n_members >= options.clients;
		struct drill_client *c = &load.clients[load.n_clients++];
		drill_client_init(c, &load.drill, &load.members[i % load.n_members], i,
		                  probe ? (unsigned)options.probe_ms : 0);
		drill_client_start(c);
	}
	drill_client_init(&load.clients[load.n_clients], &load.drill, &load.members[0],
	                  load.n_clients, 0);
}

static void start_watchers(const char *folder)
{
	for (unsigned i = 0; i < (unsigned)options.watchers * load.n_members; i++) {
		struct drill_member *m = &load.members[i % load.n_members];
		char name[64];
		snprintf(name, sizeof(name), "watch-%u-%u", i / load.n_members + 1, m->number);
		drill_watcher_start(&load.watchers[load.n_watchers++], &load.drill, m,
		                    open_file(folder, name), options.from, end_if_seen);
	}
}

static bool options_fit(int n_members)
{
	return n_members >= 1 && n_members <= MEMBERS_MAX && options.clients >= 0 &&
	       options.probes >= 0 && options.watchers >= 0 && options.timeout_ms > 0 &&
	       options.probe_ms > 0 && options.pause_ms >= 0 && options.deadline_ms > 0 &&
	       options.keys > 0 && options.keys <= DRILL_KEYS_MAX &&
	       (options.clients + options.probes) * n_members <= CLIENTS_MAX &&
	       options.watchers * n_members <= WATCHERS_MAX;
}

static void start(const char *folder)
{
	struct drill *d = &load.drill;
	d->keys = (unsigned)options.keys;
	d->timeout_ms = (unsigned)options.timeout_ms;
	d->pause_ms = (unsigned)options.pause_ms;
	d->idle = on_idle;
	loop_timer_init(&load.tell, &d->loop, tell, NULL);
	loop_timer_init(&load.end_retry, &d->loop, write_end, NULL);
	loop_timer_init(&load.deadline, &d->loop, too_late, NULL);
	start_watchers(folder);
	if (options.until) {
		load.end = options.until;
		loop_timer_start(&load.deadline, (uint64_t)options.deadline_ms);
		return;
	}
	d->history = open_file(folder, "history");
	start_clients();
	uv_pipe_init(&d->loop.uv, &load.input, 0);
	uv_pipe_open(&load.input, 0);
	uv_read_start((uv_stream_t *)&load.input, on_alloc, on_input);
	tell(NULL);
}

static void stop(void)
{
	for (unsigned i = 0; i < load.n_watchers; i++) {
		drill_watcher_stop(&load.watchers[i]);
		fclose(load.watchers[i].file);
	}
	if (load.drill.history)
		fclose(load.drill.history);
	for (unsigned i = 0; i < load.n_members; i++)
		rpc_channel_unref(load.members[i].channel);
	rpc_core_free(load.drill.core);
	loop_deinit(&load.drill.loop);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	_cleanup_arena_ struct arena arena = {0};
	struct flag_group group = FLAG_GROUP("Load", flags);
	flag_list args = {0};
	if (flags_parse(&group, 1, argc, argv, NULL, &arena, &args, &err) ||
	    !options_fit((int)args.n - 1)) {
		fprintf(stderr, "usage: drill_load [FLAGS] FOLDER ENDPOINT...\n%s\n", err.text);
		return 2;
	}
	loop_init(&load.drill.loop);
	load.drill.core = rpc_core_new(1);
	if (open_members(args.at + 1, (unsigned)args.n - 1, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	start(args.at[0]);
	loop_run(&load.drill.loop);
	stop();
	vec_deinit(&args);
	printf("end %lld\n", (long long)load.end);
	return load.status;
}
