/* SPDX-License-Identifier: Apache-2.0 */
/* Members on one loop that talk over loopback sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>
#include "common/base/rng.h"
#include "common/daemon/metrics.h"
#include "common/net/test_pki.h"
#include "raftstore/peer/peers.h"

enum {
	MEMBERS = 3,
	STREAMS = 4,
	WATCHDOG_MS = 60000,
	CLUSTER = 0xc1,
	ASK_ECHO = 1,
	ASK_SILENT,
	ASK_KEEP
};

struct member {
	struct world *world;
	struct peers *peers;
	struct metrics *metrics;
	char url[64];
	unsigned heartbeats, appends, entries, unreachable, reachable, stopped;
	uint64_t last_index, bytes, asked_from;
	bool removed;
	struct peers_answer *kept;
};

struct world {
	struct loop loop;
	struct rpc_core *core;
	struct loop_timer watchdog;
	struct member members[MEMBERS + 1]; /* by id */
	struct test_ca ca, foreign_ca;
	struct test_leaf leaf, foreign_leaf;
	bool tls;
	/* what questions have come to */
	unsigned answers;
	int result;
	struct buf answer;
};

/* --- the handler --- */

static void on_message(void *arg, const struct raft_message *m)
{
	struct member *at = arg;
	if (m->type == RAFT_MSG_HEARTBEAT)
		at->heartbeats++;
	if (m->type != RAFT_MSG_APPEND)
		return;
	at->appends++;
	for (size_t i = 0; i < m->append.entries.n; i++) {
		const struct raft_entry *e = &m->append.entries.at[i];
		assert_true(e->index > at->last_index);
		at->last_index = e->index;
		at->bytes += blob_view(e->data).len;
		at->entries++;
	}
}

static void on_unreachable(void *arg, uint64_t id)
{
	((struct member *)arg)->unreachable++;
}

static void on_reachable(void *arg, uint64_t id)
{
	((struct member *)arg)->reachable++;
}

static void on_removed(void *arg)
{
	((struct member *)arg)->removed = true;
}

static void on_ask(void *arg, uint64_t from, uint32_t kind, struct slice body,
                   struct peers_answer *a)
{
	struct member *at = arg;
	at->asked_from = from;
	if (kind == ASK_ECHO)
		peers_answer(a, 7, body);
	else
		at->kept = a;
}

static void on_answer(void *arg, int result, struct slice answer)
{
	struct world *w = arg;
	w->answers++;
	w->result = result;
	buf_clear(&w->answer);
	buf_slice(&w->answer, answer);
}

/* --- the world --- */

static void expired(void *arg)
{
	fprintf(stderr, "the test waited too long\n");
	abort();
}

#define WAIT_FOR(w, condition) \
	while (!(condition))   \
	loop_run_once(&(w)->loop, true)

/* Below those that the kernel gives to who connects: nobody takes it while its member is away. */
static int free_port(void)
{
	for (;;) {
		uint16_t number;
		rng_system(&number, sizeof(number));
		int port = 10000 + number % 20000, fd = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in a = {.sin_family = AF_INET,
		                        .sin_port = htons((uint16_t)port),
		                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
		int r = bind(fd, (struct sockaddr *)&a, sizeof(a));
		close(fd);
		if (!r)
			return port;
	}
}

static void world_start(struct world *w, bool tls)
{
	*w = (struct world){.tls = tls};
	assert_int_equal(loop_init(&w->loop), 0);
	w->core = rpc_core_new(1);
	loop_timer_init(&w->watchdog, &w->loop, expired, w);
	loop_timer_start(&w->watchdog, WATCHDOG_MS);
	test_ca_init(&w->ca, "peers");
	test_ca_init(&w->foreign_ca, "others");
	test_leaf_init(&w->leaf, &w->ca, "member", NULL, "IP:127.0.0.1");
	test_leaf_init(&w->foreign_leaf, &w->foreign_ca, "member", NULL, "IP:127.0.0.1");
	for (unsigned i = 1; i <= MEMBERS; i++) {
		w->members[i].world = w;
		snprintf(w->members[i].url, sizeof(w->members[i].url), "http%s://127.0.0.1:%d",
		         tls ? "s" : "", free_port());
	}
}

/* What differs from the usual member. */
struct twist {
	uint64_t cluster_id;
	const char *allowed_cn;
	const struct test_leaf *leaf;
	const char *dir; /* certificates come from its files */
	uint32_t queue_limit_bytes;
};

static void member_start(struct world *w, unsigned id, const struct twist *twist)
{
	static const struct twist none;
	const struct twist *t = twist ? twist : &none;
	struct member *m = &w->members[id];
	const struct test_leaf *leaf = t->leaf ? t->leaf : &w->leaf;
	const char *listen[] = {m->url};
	m->metrics = metrics_new(false);
	struct peers_options o = {
	    .core = w->core,
	    .loop = &w->loop,
	    .metrics = m->metrics,
	    .cluster_id = t->cluster_id ? t->cluster_id : CLUSTER,
	    .member_id = id,
	    .listen_urls = listen,
	    .n_listen_urls = 1,
	    .advertise_urls = m->url,
	    .allowed_cn = t->allowed_cn,
	    .queue_limit_bytes = t->queue_limit_bytes,
	    .handler = {m, on_message, on_unreachable, on_reachable, on_ask, on_removed},
	};
	if (w->tls)
		o.tls = (struct tls_creds_options){.ca_pem = w->ca.pem,
		                                   .cert_pem = leaf->cert_pem,
		                                   .key_pem = leaf->key_pem,
		                                   .client_auth = TLS_CLIENT_REQUIRED};
	char ca[100], cert[100], key[100];
	if (t->dir) {
		snprintf(ca, sizeof(ca), "%s/ca", t->dir);
		snprintf(cert, sizeof(cert), "%s/cert", t->dir);
		snprintf(key, sizeof(key), "%s/key", t->dir);
		o.tls = (struct tls_creds_options){.ca_file = ca,
		                                   .cert_file = cert,
		                                   .key_file = key,
		                                   .client_auth = TLS_CLIENT_REQUIRED};
	}
	struct err err = ERR_INIT;
	if (peers_new(&o, &m->peers, &err))
		fail_msg("%s", err.text);
	peers_start(m->peers);
}

static void connect_to(struct world *w, unsigned id, unsigned from, unsigned to)
{
	struct peer_address at[MEMBERS];
	size_t n = 0;
	for (unsigned i = from; i <= to; i++)
		at[n++] = (struct peer_address){i, w->members[i].url};
	peers_set(w->members[id].peers, at, n);
}

static void on_stopped(void *arg)
{
	((struct member *)arg)->stopped++;
}

static void member_stop(struct world *w, unsigned id)
{
	struct member *m = &w->members[id];
	unsigned before = m->stopped;
	peers_stop(m->peers, on_stopped, m);
	if (m->kept)
		peers_answer(TAKE(m->kept), 0, SLICE_EMPTY);
	WAIT_FOR(w, m->stopped > before);
	peers_free(TAKE(m->peers));
	metrics_free(TAKE(m->metrics));
}

static void world_end(struct world *w)
{
	for (unsigned i = 1; i <= MEMBERS; i++) {
		if (w->members[i].peers)
			member_stop(w, i);
	}
	loop_timer_stop(&w->watchdog);
	rpc_core_free(w->core);
	loop_deinit(&w->loop);
	test_leaf_deinit(&w->leaf);
	test_leaf_deinit(&w->foreign_leaf);
	test_ca_deinit(&w->ca);
	test_ca_deinit(&w->foreign_ca);
	buf_deinit(&w->answer);
}

static void send_heartbeat(struct world *w, unsigned from, unsigned to)
{
	peers_send(
	    w->members[from].peers,
	    &(struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = from, .to = to, .term = 1});
}

static void send_entry(struct world *w, unsigned from, unsigned to, uint64_t index, size_t bytes)
{
	struct raft_message m = {.type = RAFT_MSG_APPEND, .from = from, .to = to, .term = 1};
	m.append.prev = (struct raft_mark){index - 1, 1};
	struct raft_entry *e = vec_push(&m.append.entries);
	*e = (struct raft_entry){.index = index, .term = 1, .type = RAFT_ENTRY_COMMAND};
	e->data = blob_new(bytes);
	memset(e->data->data, (int)index, bytes);
	peers_send(w->members[from].peers, &m);
	raft_entries_deinit(&m.append.entries);
}

static bool all_connected(struct world *w, unsigned last)
{
	bool all = true;
	for (unsigned i = 1; i <= last; i++) {
		for (unsigned j = 1; j <= last; j++)
			all &= i == j || peers_connected(w->members[i].peers, j);
	}
	return all;
}

static void start_two(struct world *w, bool tls)
{
	world_start(w, tls);
	for (unsigned i = 1; i <= 2; i++) {
		member_start(w, i, NULL);
		connect_to(w, i, 1, 2);
	}
	WAIT_FOR(w, all_connected(w, 2));
}

static double metric_at(struct world *w, unsigned id, const char *line)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	metrics_write(w->members[id].metrics, &text);
	const char *at = strstr((char *)text.data, line);
	return at ? strtod(at + strlen(line), NULL) : -1;
}

/* --- tests --- */

static void messages_and_questions(bool tls)
{
	struct world w;
	start_two(&w, tls);
	struct member *b = &w.members[2];
	assert_int_equal(b->reachable, 1);
	for (uint64_t i = 1; i <= 1000; i++)
		send_entry(&w, 1, 2, i, 2000);
	send_entry(&w, 1, 2, 1001, 5 << 20);
	send_entry(&w, 1, 2, 1002, 0);
	send_heartbeat(&w, 1, 2);
	WAIT_FOR(&w, b->entries == 1002 && b->heartbeats == 1);
	assert_int_equal(b->bytes, 1000 * 2000 + (5 << 20));
	assert_true(metric_at(&w, 2, "etcd_network_peer_received_bytes_total{From=\"1\"} ") > 7e6);
	assert_true(metric_at(&w, 1, "etcd_network_peer_sent_bytes_total{To=\"2\"} ") > 7e6);
	assert_true(metric_at(&w, 1, "etcd_network_active_peers{Local=\"1\",Remote=\"2\"} ") == 1);

	peers_ask(w.members[1].peers, 2, ASK_ECHO, SLICE_LIT("small"), 10000, on_answer, &w);
	assert_int_equal(w.answers, 0);
	WAIT_FOR(&w, w.answers == 1);
	assert_int_equal(w.result, 7);
	assert_true(slice_eq_str(buf_view(&w.answer), "small"));
	assert_int_equal(b->asked_from, 1);
	_cleanup_buf_ struct buf large = BUF_INIT;
	for (int i = 0; i < 1 << 20; i++)
		buf_byte(&large, (uint8_t)(i * 7));
	peers_ask(w.members[2].peers, 1, ASK_ECHO, buf_view(&large), 10000, on_answer, &w);
	WAIT_FOR(&w, w.answers == 2);
	assert_true(slice_eq(buf_view(&w.answer), buf_view(&large)));
	peers_ask_url(w.members[1].peers, b->url, ASK_ECHO, SLICE_LIT("who"), 10000, on_answer, &w);
	WAIT_FOR(&w, w.answers == 3);
	assert_true(slice_eq_str(buf_view(&w.answer), "who"));
	assert_int_equal(b->asked_from, 0);
	world_end(&w);
}

static void test_plain(void **state)
{
	messages_and_questions(false);
}

static void test_tls(void **state)
{
	messages_and_questions(true);
}

static void test_questions_that_fail(void **state)
{
	struct world w;
	start_two(&w, false);
	struct peers *a = w.members[1].peers;
	peers_ask(a, 2, ASK_SILENT, SLICE_EMPTY, 50, on_answer, &w);
	WAIT_FOR(&w, w.answers == 1);
	assert_int_equal(w.result, -ERR_TIMEOUT);
	/* The answer comes too late and is dropped. */
	peers_answer(TAKE(w.members[2].kept), 0, SLICE_LIT("late"));
	peers_ask(a, 3, ASK_ECHO, SLICE_EMPTY, 10000, on_answer, &w);
	assert_int_equal(w.answers, 1);
	WAIT_FOR(&w, w.answers == 2);
	assert_int_equal(w.result, -ERR_UNAVAILABLE);
	peers_ask(a, 2, ASK_KEEP, SLICE_EMPTY, 30000, on_answer, &w);
	WAIT_FOR(&w, w.members[2].kept);
	member_stop(&w, 2);
	WAIT_FOR(&w, w.answers == 3);
	assert_int_equal(w.result, -ERR_IO);
	/* Nobody listens at the first URL any more, and nobody ever at the second. */
	_cleanup_buf_ struct buf urls = BUF_INIT;
	buf_printf(&urls, "%s,%s", w.members[2].url, w.members[3].url);
	peers_ask_url(a, (char *)urls.data, ASK_ECHO, SLICE_EMPTY, 10000, on_answer, &w);
	WAIT_FOR(&w, w.answers == 4);
	assert_int_equal(w.result, -ERR_UNAVAILABLE);
	buf_printf(&urls, ",%s", w.members[1].url);
	peers_ask_url(a, (char *)urls.data, ASK_ECHO, SLICE_LIT("third"), 10000, on_answer, &w);
	WAIT_FOR(&w, w.answers == 5);
	assert_true(slice_eq_str(buf_view(&w.answer), "third"));
	peers_ask(a, 1, ASK_ECHO, SLICE_EMPTY, 10000, on_answer, &w);
	peers_stop(a, on_stopped, &w.members[1]);
	assert_int_equal(w.answers, 6);
	assert_int_equal(w.result, -ERR_CANCELLED);
	WAIT_FOR(&w, w.members[1].stopped);
	peers_free(TAKE(w.members[1].peers));
	metrics_free(w.members[1].metrics);
	world_end(&w);
}

static void test_restart_is_told_and_mended(void **state)
{
	struct world w;
	start_two(&w, false);
	struct member *a = &w.members[1];
	for (unsigned round = 1; round <= 3; round++) {
		unsigned told = a->unreachable;
		member_stop(&w, 2);
		WAIT_FOR(&w, a->unreachable == told + STREAMS);
		send_heartbeat(&w, 1, 2); /* is lost */
		member_start(&w, 2, NULL);
		connect_to(&w, 2, 1, 2);
		WAIT_FOR(&w, all_connected(&w, 2));
		unsigned before = w.members[2].heartbeats;
		send_heartbeat(&w, 1, 2);
		WAIT_FOR(&w, w.members[2].heartbeats == before + 1);
	}
	assert_true(metric_at(&w, 1,
	                      "etcd_network_disconnected_peers_total{Local=\"1\",Remote="
	                      "\"2\"} ") == 3);
	world_end(&w);
}

/* The third member does not get in, nor the first one to it. */
static void refused(bool tls, const struct twist *first, const struct twist *third)
{
	struct world w;
	world_start(&w, tls);
	struct twist t = *third;
	if (t.leaf)
		t.leaf = &w.foreign_leaf;
	member_start(&w, 1, first);
	member_start(&w, 3, &t);
	connect_to(&w, 1, 1, 3);
	connect_to(&w, 3, 1, 3);
	WAIT_FOR(&w, metric_at(&w, 3, "etcd_network_peer_sent_failures_total{To=\"1\"} ") >= 1);
	if (!first)
		WAIT_FOR(&w,
		         metric_at(&w, 1, "etcd_network_peer_sent_failures_total{To=\"3\"} ") >= 1);
	send_heartbeat(&w, 3, 1);
	peers_ask(w.members[3].peers, 1, ASK_ECHO, SLICE_EMPTY, 10000, on_answer, &w);
	WAIT_FOR(&w, w.answers == 1);
	assert_int_equal(w.result, -ERR_UNAVAILABLE);
	assert_int_equal(w.members[1].heartbeats, 0);
	assert_false(peers_connected(w.members[1].peers, 3));
	assert_false(peers_connected(w.members[3].peers, 1));
	world_end(&w);
}

static void test_other_cluster(void **state)
{
	refused(false, NULL, &(struct twist){.cluster_id = CLUSTER + 1});
	refused(true, NULL, &(struct twist){.cluster_id = CLUSTER + 1});
}

static void test_foreign_certificate(void **state)
{
	static const struct test_leaf any; /* stands for the foreign one, once that is made */
	refused(true, NULL, &(struct twist){.leaf = &any});
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[100], next[110];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(next, sizeof(next), "%s.next", path);
	FILE *f = fopen(next, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(next, path), 0);
}

static void write_certificates(const char *dir, const struct test_ca *ca,
                               const struct test_leaf *leaf)
{
	write_file(dir, "ca", ca->pem);
	write_file(dir, "cert", leaf->cert_pem);
	write_file(dir, "key", leaf->key_pem);
}

/* The first member's files come to hold the certificates of another authority; it runs on, and
 * meets the second one, which starts anew with them. */
static void test_renewed_certificates(void **state)
{
	struct world w;
	char dir[] = "/tmp/peers_test.XXXXXX";
	assert_non_null(mkdtemp(dir));
	world_start(&w, true);
	write_certificates(dir, &w.ca, &w.leaf);
	for (unsigned i = 1; i <= 2; i++) {
		member_start(&w, i, &(struct twist){.dir = dir});
		connect_to(&w, i, 1, 2);
	}
	WAIT_FOR(&w, all_connected(&w, 2));
	member_stop(&w, 2);
	write_certificates(dir, &w.foreign_ca, &w.foreign_leaf);
	member_start(&w, 2, &(struct twist){.dir = dir});
	connect_to(&w, 2, 1, 2);
	WAIT_FOR(&w, all_connected(&w, 2));
	world_end(&w);
	static const char *const names[] = {"ca", "cert", "key"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[100];
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static void test_other_name(void **state)
{
	refused(true, &(struct twist){.allowed_cn = "somebody"}, &(struct twist){0});
}

static void test_removed_member(void **state)
{
	struct world w;
	start_two(&w, false);
	uint64_t two = 2;
	peers_set_removed(w.members[1].peers, &two, 1);
	WAIT_FOR(&w, w.members[2].removed);
	assert_false(peers_connected(w.members[1].peers, 2));
	connect_to(&w, 1, 1, 1);
	w.members[2].removed = false;
	WAIT_FOR(&w, w.members[2].removed); /* it is told each time that it tries */
	world_end(&w);
}

/* A member that is not known here yet, and is answered at the URLs that it tells. */
static void test_unknown_member(void **state)
{
	struct world w;
	world_start(&w, false);
	member_start(&w, 1, NULL);
	member_start(&w, 2, NULL);
	connect_to(&w, 1, 1, 2);
	WAIT_FOR(&w, peers_connected(w.members[2].peers, 1));
	send_heartbeat(&w, 2, 1);
	WAIT_FOR(&w, w.members[1].heartbeats == 1);
	connect_to(&w, 2, 1, 2); /* it stays, as one that is known */
	assert_true(peers_connected(w.members[2].peers, 1));
	connect_to(&w, 1, 1, 1);
	connect_to(&w, 2, 2, 2);
	WAIT_FOR(&w, !peers_connected(w.members[2].peers, 1));
	world_end(&w);
}

static void test_full_queue(void **state)
{
	struct world w;
	world_start(&w, false);
	member_start(&w, 1, &(struct twist){.queue_limit_bytes = 1 << 20});
	member_start(&w, 2, NULL);
	connect_to(&w, 1, 1, 2);
	connect_to(&w, 2, 1, 2);
	WAIT_FOR(&w, all_connected(&w, 2));
	for (uint64_t i = 1; i <= 100; i++)
		send_entry(&w, 1, 2, i, 100000);
	assert_int_equal(w.members[1].unreachable, 0);
	WAIT_FOR(&w, w.members[1].unreachable == 1);
	WAIT_FOR(&w, w.members[2].entries == 10);
	assert_true(metric_at(&w, 1, "etcd_network_peer_sent_failures_total{To=\"2\"} ") >= 90);
	assert_true(peers_connected(w.members[1].peers, 2));
	send_entry(&w, 1, 2, 200, 3 << 20); /* alone it fits */
	WAIT_FOR(&w, w.members[2].last_index == 200);
	world_end(&w);
}

static void test_urls_that_are_none(void **state)
{
	static const struct {
		const char *url, *says;
	} cases[] = {
	    {"ftp://127.0.0.1:1", "URL scheme must be http or https"},
	    {"http://127.0.0.1", "does not have the form \"host:port\""},
	    {"http://:", "does not have the form \"host:port\""},
	    {"http://127.0.0.1:12x", "does not have the form \"host:port\""},
	    {"https://127.0.0.1:1", "KeyFile and CertFile are not presented"},
	};
	struct world w;
	world_start(&w, false);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct peers *p;
		struct peers_options o = {.core = w.core,
		                          .loop = &w.loop,
		                          .listen_urls = &cases[i].url,
		                          .n_listen_urls = 1};
		assert_int_equal(peers_new(&o, &p, &err), -ERR_INVALID);
		if (!strstr(err.text, cases[i].says))
			fail_msg("%s: %s", cases[i].url, err.text);
	}
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_tls),
	    cmocka_unit_test(test_questions_that_fail),
	    cmocka_unit_test(test_restart_is_told_and_mended),
	    cmocka_unit_test(test_other_cluster),
	    cmocka_unit_test(test_foreign_certificate),
	    cmocka_unit_test(test_renewed_certificates),
	    cmocka_unit_test(test_other_name),
	    cmocka_unit_test(test_removed_member),
	    cmocka_unit_test(test_unknown_member),
	    cmocka_unit_test(test_full_queue),
	    cmocka_unit_test(test_urls_that_are_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
