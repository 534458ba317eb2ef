/* SPDX-License-Identifier: Apache-2.0 */
/* A stream to another member. It is made anew whenever it breaks, over a channel of its own, which
 * reads the certificates again and takes the next URL. */
#include <stdio.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "raftstore/peer/internal.h"

enum {
	CONNECT_MS = 3000, /* then the next URL is tried */
	PAUSE_FIRST_MS = 20,
	PAUSE_MAX_MS = 500,
	HURRY_AFTER_MS = 20, /* an attempt that is younger is let go on */
	STABLE_MS = 1000,    /* a connection that held as long is replaced at once */
	PING_MS = 1000,
	SILENT_PINGS = 4, /* as many without an answer: the connection is lost */
};

static void lane_connect(struct lane *l);

static uint64_t now_ms(const struct lane *l)
{
	return loop_now_ms(l->peer->peers->o.loop);
}

/* The lane has no stream: what waits is lost. */
static void lane_reset(struct lane *l)
{
	if (l->stream)
		rpc_stream_drop(TAKE(l->stream));
	rpc_channel_unref(TAKE(l->channel));
	outbox_clear(&l->out);
	l->blocked = l->connected = false;
	asks_fail(l, -ERR_IO);
}

static uint32_t next_pause(struct lane *l)
{
	bool was_stable = l->connected_ms && now_ms(l) - l->connected_ms >= STABLE_MS;
	l->connected_ms = 0;
	if (was_stable) {
		l->pause_ms = 0;
		return 0;
	}
	l->pause_ms = l->pause_ms ? MIN(2 * l->pause_ms, (uint32_t)PAUSE_MAX_MS) : PAUSE_FIRST_MS;
	return l->pause_ms;
}

/* Connects again after a pause. May call the handler. */
static void lane_break(struct lane *l)
{
	uint32_t pause = next_pause(l);
	if (!l->connected)
		metric_inc(l->peer->traffic.sent_failures);
	lane_reset(l);
	l->turn++;
	loop_timer_start(&l->timer, pause);
	peer_changed(l->peer);
}

static void complain(struct lane *l, const char *text)
{
	if (peers_may_complain(l->peer->peers, l->peer->id, text))
		log_warning("Could not connect to a member",
		            LOG_STR("remote-peer-id", l->peer->traffic.id), LOG_STR("cause", text));
}

/* --- the stream --- */

static void on_welcome(struct lane *l)
{
	l->connected = true;
	l->connected_ms = now_ms(l);
	loop_timer_start(&l->timer, PING_MS);
	peer_changed(l->peer);
}

static void take_message(struct lane *l, const struct wire_message *m)
{
	if (m->kind == WIRE_ANSWER) {
		asks_answer(l, m->answer.id, m->answer.result, m->answer.body);
	} else if (m->kind == WIRE_PONG) {
		uint64_t ns = clock_mono_ns();
		if (ns >= m->ping)
			metric_observe(l->peer->traffic.round_trip, (double)(ns - m->ping) / 1e9);
	}
}

static void on_message(struct rpc_stream *st, struct slice bytes, void *arg)
{
	struct lane *l = arg;
	struct wire_reader reader;
	struct wire_message m;
	struct err err = ERR_INIT;
	metric_add(l->peer->traffic.received, (double)bytes.len);
	int r = wire_open(&reader, bytes, l->peer->id, l->peer->peers->o.member_id, &err);
	l->unanswered = 0;
	if (!r && !l->connected)
		on_welcome(l);
	while (!r && l->stream == st && (r = wire_next(&reader, &m, &err)) == 1) {
		take_message(l, &m);
		wire_message_clear(&m);
		r = 0;
		if (!reader.rest.len)
			break;
	}
	if (l->stream != st)
		return;
	if (r) {
		metric_inc(l->peer->traffic.received_failures);
		complain(l, err.text);
		lane_break(l);
		return;
	}
	rpc_stream_next(st);
}

static void on_writable(struct rpc_stream *st, void *arg)
{
	struct lane *l = arg;
	l->blocked = false;
	lane_flush(l);
}

static void on_finish(struct rpc_stream *st, const struct rpc_result *r, void *arg)
{
	struct lane *l = arg;
	struct peers *p = l->peer->peers;
	bool removed = r->code != RPC_OK && !strcmp(r->text, PEER_REMOVED);
	if (r->code != RPC_OK)
		complain(l, r->text);
	l->stream = NULL;
	lane_break(l);
	if (removed && p->o.handler.removed)
		p->o.handler.removed(p->o.handler.arg);
}

/* --- connecting --- */

/* The URL whose turn it is. */
static void pick_url(const struct lane *l, char out[URLS_BYTES_MAX])
{
	const char *at = l->peer->urls;
	unsigned n = 1;
	for (const char *c = at; *c; c++)
		n += *c == ',';
	for (unsigned skip = l->turn % n; skip; skip--)
		at = strchr(at, ',') + 1;
	snprintf(out, URLS_BYTES_MAX, "%.*s", (int)strcspn(at, ","), at);
}

static void start_stream(struct lane *l)
{
	struct peers *p = l->peer->peers;
	char version[16];
	snprintf(version, sizeof(version), "%d", WIRE_VERSION);
	char cluster[24];
	snprintf(cluster, sizeof(cluster), "%llx", (unsigned long long)p->o.cluster_id);
	const struct rpc_meta metadata[] = {
	    {PEER_CLUSTER, slice_str(cluster)},          {PEER_FROM, slice_str(p->traffic.local)},
	    {PEER_TO, slice_str(l->peer->traffic.id)},   {PEER_VERSION, slice_str(version)},
	    {PEER_URLS, slice_str(p->o.advertise_urls)},
	};
	const struct rpc_stream_args a = {
	    .method = l->kind == LANE_URGENT ? PEER_METHOD_URGENT : PEER_METHOD_BULK,
	    .wait_for_ready = true,
	    .metadata = metadata,
	    .n_metadata = ARRAY_LEN(metadata) - !p->o.advertise_urls,
	    .loop = p->o.loop,
	    .on_message = on_message,
	    .on_writable = on_writable,
	    .on_finish = on_finish,
	    .arg = l,
	};
	l->stream = rpc_stream_start(l->channel, &a);
	rpc_stream_next(l->stream);
}

static void lane_connect(struct lane *l)
{
	char url[URLS_BYTES_MAX];
	struct err err = ERR_INIT;
	pick_url(l, url);
	if (peers_channel(l->peer->peers, url, &l->channel, &err)) {
		complain(l, err.text);
		l->turn++;
		loop_timer_start(&l->timer, next_pause(l));
		return;
	}
	start_stream(l);
	l->began_ms = now_ms(l);
	loop_timer_start(&l->timer, CONNECT_MS);
}

/* The urgent lane tells for both: the other one may have much to carry. */
static void ping(struct lane *l)
{
	if (l->kind != LANE_URGENT)
		return;
	if (l->unanswered++ >= SILENT_PINGS) {
		complain(l, "the member does not answer");
		for (struct lane *each = l->peer->lanes; each < l->peer->lanes + LANES; each++) {
			if (each->connected)
				lane_break(each);
		}
		return;
	}
	wire_put_ping(outbox_frame(&l->out, 0), WIRE_PING, clock_mono_ns());
	lane_flush(l);
	loop_timer_start(&l->timer, PING_MS);
}

static void lane_give_up(struct lane *l)
{
	complain(l, "no connection in time");
	lane_break(l);
}

static void on_timer(void *arg)
{
	struct lane *l = arg;
	if (!l->stream)
		lane_connect(l);
	else if (l->connected)
		ping(l);
	else
		lane_give_up(l);
}

/* --- for the others --- */

void lane_init(struct lane *l, struct peer *peer, enum lane_kind kind)
{
	*l = (struct lane){.peer = peer, .kind = kind};
	list_init(&l->asks);
	loop_timer_init(&l->timer, peer->peers->o.loop, on_timer, l);
}

void lane_start(struct lane *l)
{
	loop_timer_start(&l->timer, 0);
}

void lane_close(struct lane *l)
{
	loop_timer_stop(&l->timer);
	lane_reset(l);
}

void lane_hurry(struct lane *l)
{
	bool nowhere = !*l->peer->urls;
	if (nowhere || l->connected || (l->stream && now_ms(l) - l->began_ms < HURRY_AFTER_MS))
		return;
	lane_reset(l);
	l->pause_ms = 0;
	loop_timer_start(&l->timer, 0);
}

bool lane_has_room(const struct lane *l, size_t bytes)
{
	size_t waiting = outbox_bytes(&l->out);
	/* A message that is greater than the limit goes alone. */
	return !waiting || waiting + bytes <= l->peer->peers->o.queue_limit_bytes;
}

void lane_flush(struct lane *l)
{
	struct blob *b;
	while (l->connected && !l->blocked && (b = outbox_take(&l->out))) {
		metric_add(l->peer->traffic.sent, (double)b->len);
		l->blocked = rpc_stream_send_blob(l->stream, b);
		blob_unref(b);
	}
}
