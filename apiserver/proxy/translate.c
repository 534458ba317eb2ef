/* SPDX-License-Identifier: Apache-2.0 */
/* exec and attach between two dialects of one thing (remotecommand):
 *
 *     client  WebSocket, v5.channel.k8s.io: the first byte of a message is its channel (0 stdin,
 *             1 stdout, 2 stderr, 3 error, 4 resize); [255, n] closes the channel n
 *     kubelet SPDY/3.1, v4.channel.k8s.io: one stream a channel, told by its header "streamtype",
 *             closed by FIN
 *
 * Bytes go through as they come, one buffer each way. The client is read once the kubelet has
 * answered all streams: what came earlier would be lost there. In the end the error channel carries
 * a metav1.Status, the kubelet's own or ours, and the WebSocket closes. */
#include "apiserver/http/front.h"
#include "apiserver/proxy/proxy_impl.h"
#include "apiserver/proxy/ws_server.h"
#include "common/base/heap.h"
#include "common/net/loop.h"
#include "common/net/spdy.h"

enum channel { STDIN, STDOUT, STDERR, ERROR, RESIZE, CHANNELS, CLOSE = 255 };
enum { STATUS_BYTES_MAX = 64 << 10, REFUSAL_BYTES_MAX = 4 << 10 };
enum { NEAR_IS_FULL = 1, FAR_IS_FULL = 2 };
enum { IDLE_MS = 4 * 3600 * 1000, ANSWER_MS = 30000 };

static const char *const stream_types[CHANNELS] = {"stdin", "stdout", "stderr", "error", "resize"};
static const char near_protocol[] = "v5.channel.k8s.io", far_protocol[] = "v4.channel.k8s.io";
static const char success[] = "{\"metadata\":{},\"status\":\"Success\"}";

struct translator {
	struct loop *loop;
	struct http_client *client;
	struct http_request *up;
	struct ws_server near;
	struct http_tunnel far;
	struct spdy_reader reader;
	struct spdy_writer writer;
	struct buf out, status;
	struct metric_family *counted;
	struct loop_timer timer; /* until the streams are answered, then since the last byte */

	struct {
		uint32_t id; /* 0: there is none */
		bool replied, done;
	} streams[CHANNELS];
	int channel; /* of the message that is being read; -1: not known yet */
	unsigned far_paused;
	bool ready, over;
};

/* --- the end --------------------------------------------------------------------------------- */

static void translator_free(void *arg)
{
	struct translator *t = arg;

	ws_server_deinit(&t->near);
	http_client_free(t->client);
	spdy_reader_deinit(&t->reader);
	spdy_writer_deinit(&t->writer);
	buf_deinit(&t->out);
	buf_deinit(&t->status);
	free(t);
}

/* The rest happens once the callback that we may be in has returned. */
static void end(struct translator *t)
{
	if (t->over)
		return;
	t->over = true;
	loop_timer_stop(&t->timer);
	if (t->up)
		http_request_cancel(TAKE(t->up));
	http_tunnel_close(&t->far);
	loop_post(t->loop, translator_free, t);
}

static void say(struct translator *t, struct slice status, const char *code)
{
	static const uint8_t prefix[] = {ERROR};

	metric_inc(metric_labels(t->counted, code));
	ERR_IGNORE(ws_server_send(&t->near, slice_of(prefix, 1), status)); /* the last message */
	ws_server_close(&t->near, WS_CLOSE_NORMAL, "");
	end(t);
}

static void fail(struct translator *t, const char *why)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf text = BUF_INIT;

	status_encode(status_internal(&a, why), MEDIA_JSON, false, &text);
	say(t, buf_view(&text), "500");
}

static bool contains(struct slice s, const char *part)
{
	return s.len && memmem(s.data, s.len, part, strlen(part));
}

/* The kubelet has said all that it had to. */
static void finish(struct translator *t)
{
	struct slice status = buf_view(&t->status);
	bool good = !status.len || contains(status, "\"status\":\"Success\"") ||
	            contains(status, "\"NonZeroExitCode\"");

	say(t, status.len ? status : slice_str(success), good ? "200" : "500");
}

static void on_timer(void *arg)
{
	struct translator *t = arg;

	fail(t, t->ready ? "the stream was idle for too long"
	                 : "timed out waiting for the streams to be answered");
}

static void touch(struct translator *t)
{
	if (t->ready)
		loop_timer_start(&t->timer, IDLE_MS);
}

/* --- the client's messages ------------------------------------------------------------------- */

static void to_far(struct translator *t)
{
	if (http_tunnel_write(&t->far, buf_view(&t->out)))
		ws_server_pause(&t->near, true);
	buf_clear(&t->out);
}

static void send_data(struct translator *t, unsigned channel, struct slice data, bool fin)
{
	if (channel >= CHANNELS || !t->streams[channel].id || t->streams[channel].done ||
	    (channel != STDIN && channel != RESIZE))
		return; /* a channel that was not asked for, or is closed */
	t->streams[channel].done = fin;
	spdy_write_data(&t->out, t->streams[channel].id, data, fin);
	to_far(t);
}

static void on_piece(struct ws_server *w, const struct ws_piece *piece)
{
	struct translator *t = CONTAINER_OF(w, struct translator, near);
	struct slice data = piece->data;

	touch(t);
	if (piece->first)
		t->channel = -1;
	if (t->channel < 0 && data.len) {
		t->channel = data.data[0];
		data = slice_skip(data, 1);
	}
	if (!data.len)
		return;
	if (t->channel == CLOSE)
		send_data(t, data.data[0], SLICE_EMPTY, true);
	else
		send_data(t, (unsigned)t->channel, data, false);
}

static void pause_far(struct translator *t, unsigned why, bool on)
{
	t->far_paused = on ? t->far_paused | why : t->far_paused & ~why;
	http_tunnel_pause(&t->far, t->far_paused);
}

static void near_writable(struct ws_server *w)
{
	pause_far(CONTAINER_OF(w, struct translator, near), NEAR_IS_FULL, false);
}

static void near_end(struct ws_server *w)
{
	end(CONTAINER_OF(w, struct translator, near));
}

/* --- the kubelet's frames -------------------------------------------------------------------- */

static void to_near(struct translator *t, unsigned channel, struct slice data)
{
	uint8_t prefix = (uint8_t)channel;

	if (ws_server_send(&t->near, slice_of(&prefix, 1), data))
		pause_far(t, NEAR_IS_FULL, true);
}

static unsigned channel_of(const struct translator *t, uint32_t id)
{
	unsigned i = 0;

	while (i < CHANNELS && (!t->streams[i].id || t->streams[i].id != id))
		i++;
	return i;
}

static void on_reply(struct translator *t, unsigned channel)
{
	t->streams[channel].replied = true;
	for (unsigned i = 0; i < CHANNELS; i++)
		if (t->streams[i].id && !t->streams[i].replied)
			return;
	if (t->ready)
		return;
	t->ready = true;
	touch(t);
	/* An empty message tells the client that it is connected. */
	to_near(t,
	        t->streams[STDOUT].id   ? STDOUT
	        : t->streams[STDERR].id ? STDERR
	                                : ERROR,
	        SLICE_EMPTY);
	ws_server_pause(&t->near, false);
}

static void on_data(struct translator *t, unsigned channel, struct slice data)
{
	if (channel == STDOUT || channel == STDERR) {
		if (data.len)
			to_near(t, channel, data);
	} else if (channel == ERROR) {
		if (t->status.len + data.len <= STATUS_BYTES_MAX)
			buf_slice(&t->status, data);
	}
}

static bool is_complete(const struct translator *t)
{
	for (unsigned i = STDOUT; i <= ERROR; i++)
		if (t->streams[i].id && !t->streams[i].done)
			return false;
	return true;
}

static void on_frame(struct translator *t, const struct spdy_frame *f)
{
	unsigned channel = channel_of(t, f->stream_id);
	bool ours = channel < CHANNELS;

	switch (f->type) {
	case SPDY_SYN_REPLY:
		if (ours)
			on_reply(t, channel);
		break;
	case SPDY_DATA:
		if (ours)
			on_data(t, channel, f->data);
		break;
	case SPDY_RST_STREAM:
		if (ours)
			t->streams[channel].done = true;
		if (ours && !t->ready) {
			fail(t, "the kubelet refused a stream");
			return;
		}
		break;
	case SPDY_SYN_STREAM:
		spdy_write_number(&t->out, SPDY_RST_STREAM, f->stream_id, SPDY_RST_REFUSED_STREAM);
		break;
	case SPDY_PING:
		spdy_write_number(&t->out, SPDY_PING, 0, f->number);
		break;
	case SPDY_GOAWAY:
		if (t->status.len) {
			finish(t);
			return;
		}
		break;
	default:
		break;
	}
	/* Who makes us answer and does not read is not read either. */
	if (t->out.len && http_tunnel_write(&t->far, buf_view(&t->out)))
		pause_far(t, FAR_IS_FULL, true);
	buf_clear(&t->out);
	if (f->fin && ours && channel != STDIN && channel != RESIZE)
		t->streams[channel].done = true;
	if (t->ready && is_complete(t))
		finish(t);
}

static void far_data(struct http_tunnel *tunnel, struct slice data)
{
	struct translator *t = CONTAINER_OF(tunnel, struct translator, far);
	struct err err = ERR_INIT;
	struct spdy_frame f;
	int r = 1;

	touch(t);
	while (!t->over && (r = spdy_next(&t->reader, &data, &f, &err)) > 0)
		on_frame(t, &f);
	if (!t->over && r < 0)
		fail(t, err.text);
}

static void far_writable(struct http_tunnel *tunnel)
{
	struct translator *t = CONTAINER_OF(tunnel, struct translator, far);

	pause_far(t, FAR_IS_FULL, false);
	if (t->ready)
		ws_server_pause(&t->near, false);
}

static void far_closed(struct http_tunnel *tunnel)
{
	struct translator *t = CONTAINER_OF(tunnel, struct translator, far);

	if (t->over)
		return;
	if (t->status.len || t->streams[ERROR].done)
		finish(t);
	else
		fail(t, "error reading from error stream: the connection was closed");
}

/* --- the beginning --------------------------------------------------------------------------- */

static void open_stream(struct translator *t, enum channel channel, uint32_t *next_id)
{
	const struct spdy_header type[] = {
	    {SLICE_LIT("streamtype"), slice_str(stream_types[channel])}};

	if (!t->streams[channel].id)
		return;
	t->streams[channel].id = *next_id;
	*next_id += 2;
	spdy_write_headers(&t->writer, &t->out, SPDY_SYN_STREAM, t->streams[channel].id, false,
	                   type, 1);
}

static void on_upgraded(struct http_request *up, void *arg)
{
	static const enum channel order[] = {ERROR, STDIN, STDOUT, STDERR, RESIZE};
	struct translator *t = arg;
	uint32_t id = 1;

	t->up = NULL;
	if (!slice_eq_str(http_request_header(up, "x-stream-protocol-version"), far_protocol)) {
		fail(t, "the kubelet does not speak v4.channel.k8s.io");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		open_stream(t, order[i], &id);
	spdy_writer_deinit(&t->writer);                            /* no other stream follows */
	ERR_IGNORE(http_tunnel_write(&t->far, buf_view(&t->out))); /* the first bytes */
	buf_clear(&t->out);
}

static void on_refused(struct http_request *up, int code, const struct err *err, void *arg)
{
	struct translator *t = arg;
	struct slice body = http_request_body(up);
	_cleanup_arena_ struct arena a = {0};

	t->up = NULL;
	body.len = MIN(body.len, (size_t)REFUSAL_BYTES_MAX);
	if (code)
		fail(t, arena_printf(&a, "error dialing backend: %s", err->text));
	else
		fail(t, arena_printf(&a, "unable to upgrade connection: %.*s", SLICE_FMT(body)));
}

static void dial(struct translator *t, const struct backend *b, uint32_t timeout_ms)
{
	static const struct http_header headers[] = {
	    {SLICE_LIT("X-Stream-Protocol-Version"), SLICE_LIT("v4.channel.k8s.io")}};

	http_client_new(&(struct http_client_options){.loop = t->loop,
	                                              .tls = b->tls,
	                                              .connect_timeout_ms = timeout_ms},
	                &t->client);
	t->up = http_client_start(t->client, &(struct http_client_call){
	                                         .method = "POST",
	                                         .url = b->url,
	                                         .headers = headers,
	                                         .n_headers = ARRAY_LEN(headers),
	                                         .upgrade = "SPDY/3.1",
	                                         .on_done = on_refused,
	                                         .on_upgraded = on_upgraded,
	                                         .tunnel = &t->far,
	                                         .arg = t,
	                                     });
}

void translate_start(const struct proxy_call *c, const struct backend *b,
                     const struct translate_streams *streams)
{
	struct http_exchange *x = http_front_exchange(c->req);
	const char *fault = ws_server_fault(x);
	struct translator *t;

	if (fault) {
		proxy_refuse(c, status_bad_request(c->a, "%s", fault));
		return;
	}
	t = heap_new(struct translator);
	t->loop = c->req->loop;
	t->counted = c->proxy->translated;
	t->near.on_piece = on_piece;
	t->near.on_writable = near_writable;
	t->near.on_end = near_end;
	t->far = (struct http_tunnel){
	    .on_data = far_data, .on_writable = far_writable, .on_closed = far_closed};
	/* Numbered when they are opened. */
	t->streams[ERROR].id = 1;
	t->streams[STDIN].id = streams->stdin;
	t->streams[STDOUT].id = streams->stdout;
	t->streams[STDERR].id = streams->stderr && !streams->tty;
	t->streams[RESIZE].id = streams->tty;
	loop_timer_init(&t->timer, t->loop, on_timer, t);
	loop_timer_start(&t->timer, ANSWER_MS);
	uint32_t timeout_ms = c->proxy->o.timeout_ms;
	dial(t, b, timeout_ms);
	http_front_upgraded(c->req);
	ws_server_accept(&t->near, x, near_protocol);
	ws_server_pause(&t->near, true);
}
