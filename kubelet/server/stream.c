/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/server/stream.h"

#include <string.h>
#include <strings.h>

#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/net/http_client.h"
#include "common/net/http_splice.h"
#include "common/net/websocket.h"
#include "kubelet/pod/pod.h"

enum { PORTS_MAX = 256, HEADERS_MAX = 100 };

struct streams {
	struct kubelet *k;
	struct http_client *client;
	struct list all; /* session.link */
};

/* From the request to the end of its pipe. */
struct session {
	struct list link;
	struct streams *owner;
	struct http_exchange *x;   /* NULL once it is a pipe, or over */
	struct cri_call *call;     /* asking the runtime for the URL */
	struct http_request *dial; /* asking the URL for the upgrade */
	struct http_splice splice;
};

struct streams *streams_new(struct kubelet *k)
{
	struct streams *s = heap_new(struct streams);
	s->k = k;
	list_init(&s->all);
	http_client_new(&(struct http_client_options){.loop = k->loop}, &s->client);
	return s;
}

static void session_free(struct session *s)
{
	list_del(&s->link);
	if (s->call)
		cri_call_drop(s->call);
	if (s->dial)
		http_request_cancel(s->dial);
	http_splice_close(&s->splice);
	free(s);
}

void streams_free(struct streams *s)
{
	if (!s)
		return;
	while (!list_empty(&s->all)) {
		struct session *each = list_first(&s->all, struct session, link);
		if (each->x)
			http_abort(each->x);
		session_free(each);
	}
	http_client_free(s->client);
	free(s);
}

static void reply(struct http_exchange *x, int status, const char *text)
{
	http_reply(x, status, "text/plain; charset=utf-8", slice_str(text));
}

static void fail(struct session *s, int status, const char *text)
{
	struct http_exchange *x = TAKE(s->x);
	const char *copy = arena_strdup(x->arena, text);
	session_free(s);
	reply(x, status, copy);
}

/* The client has gone before it became a pipe. */
static void on_closed(struct http_exchange *x)
{
	struct session *s = x->data;
	s->x = NULL;
	session_free(s);
	http_abort(x);
}

static void on_pipe_end(void *arg)
{
	session_free(arg);
}

/* --- the runtime's server -------------------------------------------------------------------- */

/* Headers that belong to one connection, or that the other one makes by itself. */
static bool is_hop(struct slice name)
{
	static const char *const names[] = {"connection",     "upgrade",           "host",
	                                    "content-length", "transfer-encoding", "authorization",
	                                    "keep-alive"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_str(name, names[i]))
			return true;
	return false;
}

static void on_upgraded(struct http_request *r, void *arg)
{
	struct session *s = arg;
	struct http_exchange *x = TAKE(s->x);
	struct http_header h;
	struct slice protocol = http_request_header(r, "upgrade");
	s->dial = NULL;
	for (size_t i = 0; http_request_field(r, i, &h); i++)
		if (!is_hop(h.name) && !slice_eq_str(h.name, "date"))
			http_set_header(x, arena_strndup(x->arena, h.name.data, h.name.len),
			                arena_strndup(x->arena, h.value.data, h.value.len));
	if (http_upgrade(x, arena_strndup(x->arena, protocol.data, protocol.len), &s->splice.near))
		return;
	session_free(s);
	reply(x, 400, "Upgrade request required");
}

/* It did not upgrade: its refusal goes on to the client. */
static void on_refused(struct http_request *r, int code, const struct err *err, void *arg)
{
	struct session *s = arg;
	s->dial = NULL;
	if (code) {
		fail(s, 500, err->text);
		return;
	}
	struct http_exchange *x = TAKE(s->x);
	struct slice type = http_request_header(r, "content-type");
	int status = http_request_status(r);
	session_free(s);
	http_reply(x, status < 400 ? 502 : status,
	           type.len ? arena_strndup(x->arena, type.data, type.len)
	                    : "text/plain; charset=utf-8",
	           http_request_body(r));
}

static void dial(struct session *s, const char *url)
{
	struct http_exchange *x = s->x;
	struct http_header headers[HEADERS_MAX];
	struct slice protocol = http_header_get(x, "upgrade");
	size_t n = 0;
	for (size_t i = 0; i < x->n_headers && n < HEADERS_MAX; i++)
		if (!is_hop(x->headers[i].name))
			headers[n++] = x->headers[i];
	s->dial = http_client_start(
	    s->owner->client, &(struct http_client_call){
	                          .method = x->method,
	                          .url = url,
	                          .headers = headers,
	                          .n_headers = n,
	                          .upgrade = arena_strndup(x->arena, protocol.data, protocol.len),
	                          .on_done = on_refused,
	                          .on_upgraded = on_upgraded,
	                          .tunnel = &s->splice.far,
	                          .arg = s,
	                      });
}

/* ExecResponse, AttachResponse and PortForwardResponse are alike. */
static void on_url(const struct cri_result *r, void *arg)
{
	struct session *s = arg;
	s->call = NULL;
	if (r->code == RPC_OK)
		dial(s, ((const CriV1__ExecResponse *)(const void *)r->body)->url);
	else
		fail(s,
		     r->code == RPC_NOT_FOUND            ? 404
		     : r->code == RPC_RESOURCE_EXHAUSTED ? 429
		                                         : 500,
		     cri_error_text(r, s->x->arena));
}

static void on_output(const struct cri_result *r, void *arg)
{
	struct session *s = arg;
	struct arena *a = s->x->arena;
	s->call = NULL;
	if (r->code != RPC_OK) {
		fail(s, 500, cri_error_text(r, a));
		return;
	}
	const CriV1__ExecSyncResponse *m = (const void *)r->body;
	if (m->exit_code) {
		fail(s, 500, arena_printf(a, "command terminated with exit code %d", m->exit_code));
		return;
	}
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct http_exchange *x = TAKE(s->x);
	buf_add(&out, m->stdout.data, m->stdout.len);
	buf_add(&out, m->stderr.data, m->stderr.len);
	session_free(s);
	http_reply(x, 200, "text/plain; charset=utf-8", buf_view(&out));
}

/* --- requests -------------------------------------------------------------------------------- */

struct ask {
	struct session *s;
	struct http_exchange *x;
	struct pod *pod;
	const struct stream_target *t;
	const struct query *q;
	const struct runtime_container *container;
};

static const struct runtime_container *running(const struct pod *p, const char *name)
{
	for (size_t i = 0; i < p->rt.n_containers; i++)
		if (!strcmp(p->rt.containers[i].name, name) &&
		    p->rt.containers[i].state == CONTAINER_RUNNING)
			return &p->rt.containers[i];
	return NULL;
}

static struct session *begin(struct streams *owner, struct http_exchange *x)
{
	struct session *s = heap_new(struct session);
	s->owner = owner;
	s->x = x;
	list_add_tail(&owner->all, &s->link);
	http_splice_init(&s->splice, on_pipe_end, s);
	x->data = s;
	x->on_closed = on_closed;
	return s;
}

static void ask_exec(struct streams *owner, const struct ask *a)
{
	CriV1__ExecRequest q = CRI_V1__EXEC_REQUEST__INIT;
	q.container_id = (char *)(uintptr_t)a->container->id;
	q.n_cmd = query_all(a->q, "command", a->x->arena, &q.cmd);
	q.tty = query_is_on(a->q, "tty");
	q.stdin = query_is_on(a->q, "input");
	q.stdout = query_is_on(a->q, "output");
	q.stderr = query_is_on(a->q, "error") && !q.tty; /* a terminal has one output */
	struct session *s = begin(owner, a->x);
	s->call = cri_call(owner->k->cri, CRI_EXEC, &q, CRI_TIMEOUT_MS, on_url, s);
}

/* Whether a container of the pod has a terminal: its spec says, not the client. */
static bool has_tty(const struct pod *p, const char *name)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	const CoreV1__Container *c = pod_container_spec(p, name);
	for (size_t i = 0; !c && i < s->n_ephemeral_containers; i++) {
		const CoreV1__EphemeralContainerCommon *e =
		    s->ephemeral_containers[i]->ephemeral_container_common;
		if (!strcmp(e->name, name))
			return e->tty;
	}
	return c && c->tty;
}

static void ask_attach(struct streams *owner, const struct ask *a)
{
	CriV1__AttachRequest q = CRI_V1__ATTACH_REQUEST__INIT;
	q.container_id = (char *)(uintptr_t)a->container->id;
	q.tty = has_tty(a->pod, a->t->container);
	q.stdin = query_is_on(a->q, "input");
	q.stdout = query_is_on(a->q, "output");
	q.stderr = query_is_on(a->q, "error") && !q.tty;
	struct session *s = begin(owner, a->x);
	s->call = cri_call(owner->k->cri, CRI_ATTACH, &q, CRI_TIMEOUT_MS, on_url, s);
}

static void ask_run(struct streams *owner, const struct ask *a)
{
	CriV1__ExecSyncRequest q = CRI_V1__EXEC_SYNC_REQUEST__INIT;
	const char *text = query_get(a->q, "cmd");
	char *rest = arena_strdup(a->x->arena, text ? text : ""), *save = NULL;
	q.cmd = arena_array(a->x->arena, char *, strlen(rest) + 1);
	for (char *w = strtok_r(rest, " ", &save); w; w = strtok_r(NULL, " ", &save))
		q.cmd[q.n_cmd++] = w;
	q.container_id = (char *)(uintptr_t)a->container->id;
	struct session *s = begin(owner, a->x);
	s->call = cri_call(owner->k->cri, CRI_EXEC_SYNC, &q, 0, on_output, s);
}

/* The ports of a WebSocket client, which names them here; a SPDY client names them in its streams.
 * NULL: *ret; else what is wrong. */
static const char *ports_of(const struct ask *a, size_t *ret_n, int32_t **ret)
{
	char **texts;
	size_t n = query_all(a->q, "port", a->x->arena, &texts);
	if (n > PORTS_MAX)
		return "too many ports";
	*ret = arena_array(a->x->arena, int32_t, n + 1);
	*ret_n = n;
	for (size_t i = 0; i < n; i++) {
		char *end;
		long v = strtol(texts[i], &end, 10);
		if (!*texts[i] || *end)
			return arena_printf(a->x->arena,
			                    "unable to parse \"%s\" as a port: not a number",
			                    texts[i]);
		if (v < 1 || v > 65535)
			return arena_printf(a->x->arena, "port \"%s\" must be > 0", texts[i]);
		(*ret)[i] = (int32_t)v;
	}
	if (!n && ws_has_token(http_header_get(a->x, "upgrade"), "websocket"))
		return "query parameter \"port\" is required";
	return NULL;
}

static void ask_port_forward(struct streams *owner, const struct ask *a)
{
	CriV1__PortForwardRequest q = CRI_V1__PORT_FORWARD_REQUEST__INIT;
	const char *wrong = ports_of(a, &q.n_port, &q.port);
	if (wrong) {
		reply(a->x, 400, wrong);
		return;
	}
	for (size_t i = 0; i < a->pod->rt.n_sandboxes && !*q.pod_sandbox_id; i++)
		if (a->pod->rt.sandboxes[i].ready)
			q.pod_sandbox_id = (char *)(uintptr_t)a->pod->rt.sandboxes[i].id;
	if (!*q.pod_sandbox_id) {
		reply(a->x, 500,
		      arena_printf(a->x->arena, "failed to find sandbox for pod \"%s_%s\"",
		                   a->pod->name, a->pod->ns));
		return;
	}
	struct session *s = begin(owner, a->x);
	s->call = cri_call(owner->k->cri, CRI_PORT_FORWARD, &q, CRI_TIMEOUT_MS, on_url, s);
}

/* NULL: it can be asked for. */
static const char *fault_of(struct ask *a, enum stream_kind kind, int *ret_status)
{
	static const char *const directions[] = {"input", "output", "error"};
	bool any = kind == STREAM_PORT_FORWARD || kind == STREAM_RUN;
	for (size_t i = 0; i < ARRAY_LEN(directions); i++)
		any = any || query_is_on(a->q, directions[i]);
	*ret_status = 400;
	if (!any)
		return "you must specify at least 1 of stdin, stdout, stderr";
	*ret_status = 404;
	if (!a->pod || !a->pod->spec || (a->t->uid && strcmp(a->t->uid, a->pod->uid)))
		return "pod does not exist";
	*ret_status = 500;
	if (kind != STREAM_PORT_FORWARD) {
		a->container = running(a->pod, a->t->container);
		if (!a->container)
			return arena_printf(a->x->arena, "container not found (\"%s\")",
			                    a->t->container);
	}
	if (kind != STREAM_RUN && !a->x->upgrade)
		return "Upgrade request required";
	return NULL;
}

void stream_serve(struct streams *owner, struct http_exchange *x, enum stream_kind kind,
                  const struct stream_target *t, const struct query *q)
{
	static void (*const asks[])(struct streams *, const struct ask *) = {
	    [STREAM_EXEC] = ask_exec,
	    [STREAM_ATTACH] = ask_attach,
	    [STREAM_PORT_FORWARD] = ask_port_forward,
	    [STREAM_RUN] = ask_run,
	};
	struct ask a = {.x = x, .pod = pods_find(owner->k->pods, t->ns, t->pod), .t = t, .q = q};
	int status;
	const char *fault = fault_of(&a, kind, &status);
	if (fault)
		reply(x, status, fault);
	else
		asks[kind](owner, &a);
}
