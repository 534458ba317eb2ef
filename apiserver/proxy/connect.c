/* SPDX-License-Identifier: Apache-2.0 */
/* pods/exec, pods/attach, pods/portforward: checks the request, finds the kubelet, and chooses how
 * the connection goes on. */
#include "apiserver/proxy/proxy_impl.h"
#include "apiserver/proxy/target.h"
#include "apiserver/request/request_info.h"
#include "common/net/websocket.h"
#include "proto/pb_decode.h"
#include "proto/resource_table.h"
#include "proto/schema_messages.h"

enum connect_kind { CONNECT_EXEC, CONNECT_ATTACH, CONNECT_PORT_FORWARD };

/* Lives in its request's arena. */
struct connect_call {
	struct proxy_call c;
	enum connect_kind kind;
	struct object options; /* what admission sees */
	struct admission_attrs admission;
	struct strategy_warnings warnings;
	struct translate_streams streams;
	const char *container;
	char **command;
	size_t n_command;
	const char *ports; /* "&port=80&port=81" */
};

/* --- options --------------------------------------------------------------------------------- */

static void read_streams(struct connect_call *k)
{
	const struct request *req = k->c.req;
	const char *container = request_query(req, "container");

	k->container = container ? container : "";
	k->streams = (struct translate_streams){
	    .stdin = request_query_bool(req, "stdin"),
	    .stdout = request_query_bool(req, "stdout"),
	    .stderr = request_query_bool(req, "stderr"),
	    .tty = request_query_bool(req, "tty"),
	};
}

static void read_exec(struct connect_call *k)
{
	const struct request *req = k->c.req;
	CoreV1__PodExecOptions *o = (void *)pb_new(&core_v1__pod_exec_options_schema, k->c.a);

	read_streams(k);
	k->command = arena_array(k->c.a, char *, req->n_query + 1);
	for (size_t i = 0; i < req->n_query; i++)
		if (!strcmp(req->query[i].name, "command"))
			k->command[k->n_command++] = (char *)(uintptr_t)req->query[i].value;
	o->stdin = k->streams.stdin;
	o->stdout = k->streams.stdout;
	o->stderr = k->streams.stderr;
	o->tty = k->streams.tty;
	o->container = (char *)(uintptr_t)k->container;
	o->command = k->command;
	o->n_command = k->n_command;
	k->options = (struct object){.schema = &core_v1__pod_exec_options_schema, .msg = &o->base};
}

static void read_attach(struct connect_call *k)
{
	CoreV1__PodAttachOptions *o = (void *)pb_new(&core_v1__pod_attach_options_schema, k->c.a);

	read_streams(k);
	o->stdin = k->streams.stdin;
	o->stdout = k->streams.stdout;
	o->stderr = k->streams.stderr;
	o->tty = k->streams.tty;
	o->container = (char *)(uintptr_t)k->container;
	k->options =
	    (struct object){.schema = &core_v1__pod_attach_options_schema, .msg = &o->base};
}

/* NULL, or the refusal of a port that is none. */
static const struct status *read_ports(struct connect_call *k)
{
	const struct request *req = k->c.req;
	CoreV1__PodPortForwardOptions *o =
	    (void *)pb_new(&core_v1__pod_port_forward_options_schema, k->c.a);

	o->ports = arena_array(k->c.a, int32_t, req->n_query + 1);
	k->ports = "";
	for (size_t i = 0; i < req->n_query; i++) {
		const char *text = req->query[i].value;
		char *rest;
		if (strcmp(req->query[i].name, "ports"))
			continue;
		long port = strtol(text, &rest, 10);
		if (!*text || *rest || port < INT32_MIN || port > INT32_MAX)
			return status_bad_request(
			    k->c.a, "strconv.ParseInt: parsing \"%s\": invalid syntax", text);
		o->ports[o->n_ports++] = (int32_t)port;
		k->ports =
		    arena_printf(k->c.a, "%s%sport=%ld", k->ports, *k->ports ? "&" : "", port);
	}
	k->options =
	    (struct object){.schema = &core_v1__pod_port_forward_options_schema, .msg = &o->base};
	return NULL;
}

/* --- the kubelet ----------------------------------------------------------------------------- */

/* As the kubelet takes it: '&' and '=' of a value are encoded, too. */
static const char *encode(const char *value, struct arena *a)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, 3 * strlen(value) + 1);
	size_t n = 0;

	for (; *value; value++) {
		uint8_t c = (uint8_t)*value;
		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    c == '-' || c == '_' || c == '.' || c == '~') {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = digits[c >> 4];
		out[n++] = digits[c & 15];
	}
	out[n] = 0;
	return out;
}

static const char *kubelet_query(const struct connect_call *k)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct translate_streams *s = &k->streams;

	for (size_t i = 0; i < k->n_command; i++)
		buf_printf(&b, "&command=%s", encode(k->command[i], k->c.a));
	buf_printf(&b, "%s%s%s%s", s->stderr ? "&error=1" : "", s->stdin ? "&input=1" : "",
	           s->stdout ? "&output=1" : "", s->tty ? "&tty=1" : "");
	return b.len ? arena_strndup(k->c.a, b.data + 1, b.len - 1) : "";
}

static void begin(struct connect_call *k, const char *url)
{
	struct proxy_call *c = &k->c;
	struct backend b = {.url = url, .tls = c->proxy->kubelet};
	struct slice protocols = proxy_header(c->req, "sec-websocket-protocol");
	bool websocket = proxy_is_websocket(c->req);
	bool port_forward = k->kind == CONNECT_PORT_FORWARD;

	if (!proxy_wants_upgrade(c->req)) {
		proxy_refuse(c, status_bad_request(c->a, "Upgrade request required"));
		return;
	}
	if (websocket && port_forward && ws_has_token(protocols, "SPDY/3.1+portforward.k8s.io")) {
		untunnel_start(c, &b);
		return;
	}
	if (websocket && !port_forward && ws_has_token(protocols, "v5.channel.k8s.io")) {
		translate_start(c, &b, &k->streams);
		return;
	}
	b.headers = proxy_headers(c, 0, &b.n_headers);
	relay_start(c, &b);
}

static void locate(void *arg)
{
	static const char *const paths[] = {"exec", "attach", "portForward"};
	struct connect_call *k = arg;
	struct proxy_call *c = &k->c;
	const struct request *req = c->req;
	const CoreV1__Pod *pod = (void *)proxy_find(c, "pods", req->ns, req->name);
	const struct status *refusal = NULL;
	const char *container = "", *base = NULL;

	if (!pod)
		refusal = status_not_found(c->a, "", "pods", req->name);
	else if (k->kind != CONNECT_PORT_FORWARD)
		container = proxy_container(pod, k->container, c->a, &refusal);
	if (!refusal && !*pod->spec->node_name)
		refusal =
		    status_bad_request(c->a, "pod %s does not have a host assigned", req->name);
	if (!refusal)
		base = proxy_kubelet(c, pod->spec->node_name, &refusal);
	if (refusal) {
		proxy_refuse(c, refusal);
		return;
	}
	const char *query = k->kind == CONNECT_PORT_FORWARD ? k->ports : kubelet_query(k);
	begin(k, arena_printf(c->a, "%s/%s/%s/%s%s%s%s%s", base, paths[k->kind], req->ns, req->name,
	                      *container ? "/" : "", container, *query ? "?" : "", query));
}

/* --- may it? --------------------------------------------------------------------------------- */

static void on_validated(void *arg, const struct status *refusal)
{
	struct connect_call *k = arg;

	if (proxy_is_gone(&k->c))
		return;
	if (refusal)
		proxy_refuse(&k->c, refusal);
	else
		proxy_fresh(&k->c, locate, k);
}

static void on_mutated(void *arg, const struct status *refusal)
{
	struct connect_call *k = arg;
	struct pipeline_hooks *h = pipeline_hooks(k->c.pipeline);

	if (!refusal && h->admit_validate)
		h->admit_validate(h->admit_arg, &k->admission, on_validated, k);
	else
		on_validated(k, refusal);
}

static void admit(struct connect_call *k)
{
	struct pipeline_hooks *h = pipeline_hooks(k->c.pipeline);
	struct request *req = k->c.req;

	k->warnings.arena = k->c.a;
	k->options.res = req->info->parent;
	k->admission = (struct admission_attrs){
	    .pipeline = k->c.pipeline,
	    .req = req,
	    .op = ADMIT_CONNECT,
	    .res = req->info->parent,
	    .subresource = req->subresource,
	    .ns = req->ns,
	    .name = req->name,
	    .obj = &k->options,
	    .arena = k->c.a,
	    .warnings = &k->warnings,
	    .loop = req->loop,
	};
	if (h->admit_mutate)
		h->admit_mutate(h->admit_arg, &k->admission, on_mutated, k);
	else
		on_mutated(k, NULL);
}

static void on_authorized(void *arg, const struct status *refusal)
{
	struct connect_call *k = arg;

	if (proxy_is_gone(&k->c))
		return;
	if (refusal)
		proxy_refuse(&k->c, refusal);
	else
		admit(k);
}

/* A WebSocket begins with GET: who may only read must not get a shell by it. The question is asked
 * again as for POST, by the user that the request was found to have: impersonation is over. */
static void authorize_create(struct connect_call *k)
{
	struct pipeline_hooks *h = pipeline_hooks(k->c.pipeline);
	const struct request *req = k->c.req;
	struct request *q = arena_memdup(k->c.a, req, sizeof(*req));
	struct request_pair *headers = arena_array(k->c.a, struct request_pair, req->n_headers + 1);

	q->n_headers = 0;
	for (size_t i = 0; i < req->n_headers; i++)
		if (strncmp(req->headers[i].name, "impersonate-", 12))
			headers[q->n_headers++] = req->headers[i];
	q->headers = headers;
	q->verb = VERB_CREATE;
	q->verb_name = "create";
	h->authorize(h->authorize_arg, q, on_authorized, k);
}

void proxy_connect(void *arg, struct pipeline *p, struct request *req, struct response_sink *sink)
{
	struct connect_call *k = arena_new(req->arena, struct connect_call);
	const struct status *refusal = NULL;

	*k = (struct connect_call){.c = {arg, p, req, sink, req->arena}};
	if (!strcmp(req->subresource, "exec")) {
		k->kind = CONNECT_EXEC;
		read_exec(k);
	} else if (!strcmp(req->subresource, "attach")) {
		k->kind = CONNECT_ATTACH;
		read_attach(k);
	} else {
		k->kind = CONNECT_PORT_FORWARD;
		refusal = read_ports(k);
	}
	if (refusal)
		proxy_refuse(&k->c, refusal);
	else if (proxy_is_websocket(req) && req->verb != VERB_CREATE &&
	         pipeline_hooks(p)->authorize)
		authorize_create(k);
	else
		admit(k);
}
