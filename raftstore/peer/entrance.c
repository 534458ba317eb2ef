/* SPDX-License-Identifier: Apache-2.0 */
/* Streams from other members: who may enter, what they bring, and the answers that go back. */
#include <stdio.h>
#include "common/base/log.h"
#include "raftstore/peer/internal.h"

enum { MIN_PING_MS = 1000, METADATA_BYTES = 16 << 10 };

struct entrance {
	struct peers *peers;
	struct peer *peer; /* NULL: it is closing */
	enum lane_kind kind;
	struct rpc_call *call; /* NULL: closed */
	bool ended;            /* its status was given */
	bool listed;           /* in peers->answering, which holds a reference */
	struct outbox out;     /* answers */
	unsigned refs;         /* the call, and answers that are owed */
};

struct peers_answer {
	struct peers *peers;
	struct entrance *entrance; /* NULL: a call by itself */
	struct rpc_call *call;
	uint64_t id;
};

static void entrance_unref(struct entrance *in)
{
	if (--in->refs)
		return;
	outbox_deinit(&in->out);
	free(in);
}

void entrance_close(struct entrance *in, int code, const char *text)
{
	struct peer *peer = TAKE(in->peer);
	if (peer && peer->entrances[in->kind] == in)
		peer->entrances[in->kind] = NULL;
	outbox_clear(&in->out);
	if (!in->ended && in->call)
		rpc_call_fail(in->call, code, text, NULL, 0);
	in->ended = true;
}

void entrance_flush(struct entrance *in)
{
	struct blob *b;
	in->listed = false;
	while (in->peer && (b = outbox_take(&in->out))) {
		metric_add(in->peer->traffic.sent, (double)b->len);
		rpc_call_send_blob(in->call, b);
		blob_unref(b);
	}
	/* Who asks and does not read the answers is not served any more. */
	if (in->peer && rpc_call_queued_bytes(in->call) > in->peers->o.queue_limit_bytes) {
		struct peer *peer = in->peer;
		entrance_close(in, RPC_RESOURCE_EXHAUSTED, "answers are not read");
		peer_changed(peer);
	}
	entrance_unref(in);
}

static void flush_later(struct entrance *in)
{
	if (!in->listed) {
		*vec_push(&in->peers->answering) = in;
		in->refs++;
	}
	in->listed = true;
	peers_flush_later(in->peers);
}

/* --- answers --- */

static void answer_call(struct peers_answer *a, int result, struct slice body)
{
	_cleanup_buf_ struct buf frame = BUF_INIT;
	wire_begin(&frame);
	wire_put_answer(&frame, a->id, result, body);
	wire_end(&frame);
	rpc_call_reply(a->call, buf_view(&frame));
}

void peers_answer(struct peers_answer *a, int result, struct slice body)
{
	struct entrance *in = a->entrance;
	if (body.len > a->peers->o.message_limit_bytes) {
		result = -ERR_TOO_LARGE;
		body = SLICE_EMPTY;
	}
	if (!in) {
		answer_call(a, result, body);
	} else {
		if (in->peer) {
			wire_put_answer(outbox_frame(&in->out, body.len), a->id, result, body);
			flush_later(in);
		}
		entrance_unref(in);
	}
	free(a);
}

static struct peers_answer *answer_new(struct peers *p, struct entrance *in, uint64_t id)
{
	struct peers_answer *a = calloc(1, sizeof(*a));
	if (!a)
		abort();
	*a = (struct peers_answer){.peers = p, .entrance = in, .id = id};
	if (in)
		in->refs++;
	return a;
}

/* --- what they bring --- */

static void take_message(struct entrance *in, const struct wire_message *m)
{
	const struct peers_handler *h = &in->peers->o.handler;
	switch (m->kind) {
	case WIRE_ASK:
		h->ask(h->arg, in->peer->id, m->ask.kind, m->ask.body,
		       answer_new(in->peers, in, m->ask.id));
		break;
	case WIRE_PING:
		wire_put_ping(outbox_frame(&in->out, 0), WIRE_PONG, m->ping);
		flush_later(in);
		break;
	case WIRE_ANSWER:
	case WIRE_PONG:
		break; /* answers come the other way */
	default:
		h->message(h->arg, &m->raft);
	}
}

static void on_message(struct rpc_call *call, struct slice bytes, void *data)
{
	struct entrance *in = data;
	struct wire_reader reader;
	struct wire_message m;
	struct err err = ERR_INIT;
	if (!in->peer)
		return;
	metric_add(in->peer->traffic.received, (double)bytes.len);
	int r = wire_open(&reader, bytes, in->peer->id, in->peers->o.member_id, &err);
	/* The handler may close the entrance. */
	while (!r && in->peer && (r = wire_next(&reader, &m, &err)) == 1) {
		take_message(in, &m);
		wire_message_clear(&m);
		r = 0;
		if (!reader.rest.len)
			break;
	}
	if (!r || !in->peer)
		return;
	struct peer *peer = in->peer;
	metric_inc(peer->traffic.received_failures);
	if (peers_may_complain(in->peers, peer->id, err.text))
		log_error(&err, "A member has sent what cannot be read",
		          LOG_STR("remote-peer-id", peer->traffic.id));
	entrance_close(in, RPC_INVALID_ARGUMENT, err.text);
	peer_changed(peer);
}

static void on_half_close(struct rpc_call *call, void *data)
{
	struct entrance *in = data;
	struct peer *peer = in->peer;
	entrance_close(in, RPC_CANCELLED, "");
	if (peer)
		peer_changed(peer);
}

static void on_closed(struct rpc_call *call, bool cancelled, void *data)
{
	on_half_close(call, data);
	struct entrance *in = data;
	in->call = NULL;
	entrance_unref(in);
}

/* --- who may enter --- */

struct hello {
	uint64_t from;
	char from_text[24];
	char urls[URLS_BYTES_MAX];
};

static bool text_of(struct rpc_call *call, const char *key, char *out, size_t size)
{
	struct slice s = rpc_call_metadata(call, key);
	*out = 0;
	if (!s.data || s.len >= size)
		return false;
	memcpy(out, s.data, s.len);
	out[s.len] = 0;
	return true;
}

/* Hexadecimal, as etcd writes ids. */
static bool id_of(struct rpc_call *call, const char *key, uint64_t *ret)
{
	char text[24], *end;
	if (!text_of(call, key, text, sizeof(text)) || !*text ||
	    strspn(text, "0123456789abcdef") != strlen(text) || strlen(text) > 16)
		return false;
	*ret = strtoull(text, &end, 16);
	return true;
}

static bool urls_are_good(const char *urls)
{
	for (const char *at = urls;; at++) {
		if (strncmp(at, "http://", 7) && strncmp(at, "https://", 8))
			return false;
		at = strchr(at, ',');
		if (!at)
			return true;
	}
}

/* NULL: welcome; else why not, in etcd's words. */
static const char *check(struct peers *p, struct rpc_call *call, struct hello *h)
{
	uint64_t cluster = 0, to = 0;
	char version[16];
	if (!id_of(call, PEER_FROM, &h->from) || !h->from)
		return "the request does not say which member it comes from";
	if (p->o.allowed_cn && strcmp(rpc_call_peer(call)->common_name, p->o.allowed_cn))
		return "CommonName authentication failed";
	if (!text_of(call, PEER_VERSION, version, sizeof(version)) ||
	    strtol(version, NULL, 10) != WIRE_VERSION)
		return "incompatible version";
	if (!id_of(call, PEER_CLUSTER, &cluster) || cluster != p->o.cluster_id)
		return "cluster ID mismatch";
	if (peers_is_removed(p, h->from))
		return PEER_REMOVED;
	if (!id_of(call, PEER_TO, &to) || to != p->o.member_id || h->from == p->o.member_id)
		return "to field mismatch";
	if (!text_of(call, PEER_URLS, h->urls, sizeof(h->urls)) || !urls_are_good(h->urls))
		*h->urls = 0;
	return NULL;
}

static void refuse(struct peers *p, struct rpc_call *call, const struct hello *h, const char *why)
{
	struct peer *peer = peers_find(p, h->from);
	if (peer)
		metric_inc(peer->traffic.received_failures);
	if (peers_may_complain(p, h->from, why)) {
		struct err err = ERR_INIT;
		err_set(&err, ERR_FORBIDDEN, "%s", why);
		char id[24];
		snprintf(id, sizeof(id), "%llx", (unsigned long long)h->from);
		log_error(&err, "Refused a stream of a member", LOG_STR("remote-peer-id", id),
		          LOG_STR("address", rpc_call_peer_address(call)));
	}
	rpc_call_fail(call, RPC_FAILED_PRECONDITION, why, NULL, 0);
}

static void entrance_open(struct peers *p, struct rpc_call *call, struct peer *peer,
                          enum lane_kind kind)
{
	static const struct rpc_call_ops ops = {
	    .on_message = on_message, .on_half_close = on_half_close, .on_closed = on_closed};
	struct entrance *in = calloc(1, sizeof(*in));
	if (!in)
		abort();
	*in = (struct entrance){.peers = p, .peer = peer, .kind = kind, .call = call, .refs = 1};
	if (peer->entrances[kind])
		entrance_close(peer->entrances[kind], RPC_ABORTED, "replaced by a newer stream");
	peer->entrances[kind] = in;
	rpc_call_set_ops(call, &ops, in);
	/* An empty frame is the welcome. */
	wire_begin(&in->out.frame);
	flush_later(in);
	for (int i = 0; i < LANES; i++)
		lane_hurry(&peer->lanes[i]);
	peer_changed(peer);
}

static void on_stream(struct rpc_call *call, struct slice message, void *arg)
{
	struct listener *at = arg;
	struct peers *p = at->peers;
	struct hello h = {0};
	const char *why = p->stopped ? "the member stops" : check(p, call, &h);
	struct peer *peer = why ? NULL : peers_find(p, h.from);
	if (!why && !peer)
		peer = peers_add_remote(p, h.from, h.urls);
	if (!why && !peer)
		why = "too many members that are not known here";
	if (why)
		refuse(p, call, &h, why);
	else
		entrance_open(p, call, peer, at->kind);
}

static void on_ask(struct rpc_call *call, struct slice message, void *arg)
{
	struct peers *p = arg;
	struct wire_reader reader;
	struct wire_message m;
	const char *cn = p->o.allowed_cn;
	if (p->stopped || (cn && strcmp(rpc_call_peer(call)->common_name, cn))) {
		rpc_call_fail(call, RPC_UNAUTHENTICATED, "CommonName authentication failed", NULL,
		              0);
		return;
	}
	int r = wire_open(&reader, message, 0, p->o.member_id, NULL);
	if (r || wire_next(&reader, &m, NULL) != 1) {
		rpc_call_fail(call, RPC_INVALID_ARGUMENT, "malformed frame", NULL, 0);
		return;
	}
	if (m.kind == WIRE_ASK) {
		struct peers_answer *a = answer_new(p, NULL, m.ask.id);
		a->call = call;
		p->o.handler.ask(p->o.handler.arg, 0, m.ask.kind, m.ask.body, a);
	} else {
		rpc_call_fail(call, RPC_INVALID_ARGUMENT, "not a question", NULL, 0);
	}
	wire_message_clear(&m);
}

/* --- listening --- */

/* "https://host:port/" -> whether it is TLS, and "host:port". */
static int url_address(const char *url, bool *ret_tls, char *out, size_t size, struct err *err)
{
	*ret_tls = !strncmp(url, "https://", 8);
	if (!*ret_tls && strncmp(url, "http://", 7))
		return err_set(err, ERR_INVALID, "URL scheme must be http or https: %s", url);
	const char *at = url + (*ret_tls ? 8 : 7);
	size_t n = strcspn(at, "/"), digits = 0;
	while (digits < n && at[n - digits - 1] >= '0' && at[n - digits - 1] <= '9')
		digits++;
	if (!digits || digits == n || at[n - digits - 1] != ':' || n >= size)
		return err_set(err, ERR_INVALID,
		               "URL address does not have the form \"host:port\": %s", url);
	memcpy(out, at, n);
	out[n] = 0;
	return 0;
}

static int listen_url(struct peers *p, const char *url, struct err *err)
{
	bool tls, has_cert = p->o.tls.cert_file || p->o.tls.cert_pem;
	char address[300];
	int r = url_address(url, &tls, address, sizeof(address), err);
	if (r)
		return r;
	if (tls && !has_cert)
		return err_set(
		    err, ERR_INVALID,
		    "cannot listen on TLS for %s: KeyFile and CertFile are not presented", address);
	if (!tls && has_cert)
		log_warning("The scheme of the peer URL is http: the peers' certificate and key "
		            "are not used for it",
		            LOG_STR("url", url));
	return rpc_server_listen(p->rpc, address, tls ? &p->o.tls : NULL, NULL, err);
}

int entrances_listen(struct peers *p, struct err *err)
{
	const struct rpc_server_options o = {
	    .max_recv_bytes = peers_frame_limit(p),
	    .max_metadata_bytes = METADATA_BYTES,
	    .min_ping_interval_ms = MIN_PING_MS,
	};
	p->rpc = rpc_server_new(p->o.core, &o);
	static const char *const names[] = {PEER_METHOD_URGENT, PEER_METHOD_BULK};
	for (size_t i = 0; i < LANES; i++) {
		p->listeners[i] = (struct listener){p, (enum lane_kind)i};
		rpc_server_method(p->rpc, &(struct rpc_method){names[i], RPC_STREAM, on_stream,
		                                               &p->listeners[i], p->o.loop});
	}
	rpc_server_method(p->rpc,
	                  &(struct rpc_method){PEER_METHOD_ASK, RPC_UNARY, on_ask, p, p->o.loop});
	int r = 0;
	for (size_t i = 0; !r && i < p->o.n_listen_urls; i++)
		r = listen_url(p, p->o.listen_urls[i], err);
	return r;
}
