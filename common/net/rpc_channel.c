/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/rpc_channel.h"

#include <arpa/inet.h>
#include <grpc/support/time.h>
#include <string.h>

enum { ENDPOINTS_LIMIT = 64 };

enum endpoint_kind { ENDPOINT_NAME, ENDPOINT_IPV4, ENDPOINT_IPV6, ENDPOINT_UNIX };

struct endpoint {
	enum endpoint_kind kind;
	const char *address; /* "host:port", "[v6]:port" or the path */
	const char *host;    /* without brackets */
};

static bool is_address(int family, const char *host)
{
	struct in6_addr ignored;
	return inet_pton(family, host, &ignored) == 1;
}

/* Reads one element of the list; its strings are the arena's. */
static int parse_endpoint(struct arena *a, char *text, struct endpoint *ret, struct err *err)
{
	if (!strncmp(text, "unix:", 5)) {
		const char *path = text + 5;
		path += !strncmp(path, "//", 2) ? 2 : 0;
		*ret = (struct endpoint){ENDPOINT_UNIX, path, "localhost"};
		return 0;
	}
	char *at = strstr(text, "://");
	at = at ? at + 3 : text;
	at[strcspn(at, "/")] = 0;
	char *colon = strrchr(at, ':');
	if (!colon || colon == at || !colon[1] ||
	    strspn(colon + 1, "0123456789") < strlen(colon + 1))
		return err_set(err, ERR_INVALID, "endpoint %s: want host:port", text);
	char *host = arena_strndup(a, at, (size_t)(colon - at));
	size_t n = strlen(host);
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = 0;
		host++;
	}
	*ret = (struct endpoint){ENDPOINT_NAME, at, host};
	if (is_address(AF_INET, host))
		ret->kind = ENDPOINT_IPV4;
	else if (is_address(AF_INET6, host))
		ret->kind = ENDPOINT_IPV6;
	return 0;
}

struct target {
	const char *text, *authority;
	const char *hosts[ENDPOINTS_LIMIT + 1];
	bool is_unix;
};

/* Turns the list of endpoints into gRPC's target. */
static int parse_target(struct arena *a, const char *endpoints, struct target *t, struct err *err)
{
	static const char *const prefix[] = {"dns:///", "ipv4:", "ipv6:", "unix:"};
	char *list = arena_strdup(a, endpoints), *save = NULL;
	enum endpoint_kind kind = ENDPOINT_NAME;
	size_t n = 0;
	for (char *e = strtok_r(list, ", ", &save); e; e = strtok_r(NULL, ", ", &save)) {
		struct endpoint ep = {0};
		int r = parse_endpoint(a, e, &ep, err);
		if (r)
			return r;
		if (n == ENDPOINTS_LIMIT)
			return err_set(err, ERR_INVALID, "more than %d endpoints", ENDPOINTS_LIMIT);
		if (n && (ep.kind != kind || kind == ENDPOINT_NAME || kind == ENDPOINT_UNIX))
			return err_set(
			    err, ERR_INVALID,
			    "endpoints %s: several endpoints must be addresses of one kind",
			    endpoints);
		kind = ep.kind;
		t->authority = n ? t->authority : ep.kind == ENDPOINT_UNIX ? ep.host : ep.address;
		t->text = n ? arena_printf(a, "%s,%s", t->text, ep.address)
		            : arena_printf(a, "%s%s", prefix[kind], ep.address);
		t->hosts[n++] = ep.host;
	}
	t->is_unix = kind == ENDPOINT_UNIX;
	return n ? 0 : err_set(err, ERR_INVALID, "no endpoints given");
}

static grpc_channel *new_grpc_channel(const struct target *t, grpc_channel_credentials *creds,
                                      const struct rpc_channel_options *o)
{
	const char *authority = o->authority ? o->authority : t->authority;
	/* A runtime behind a unix socket answers pings with GOAWAY and cannot vanish silently. */
	uint32_t keepalive = t->is_unix ? UINT32_MAX : o->keepalive_time_ms;
	grpc_arg args[16];
	size_t n = rpc_lean_args(args);
	args[n++] = rpc_int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
	                        o->max_recv_bytes ? o->max_recv_bytes : 64U << 20);
	args[n++] = rpc_int_arg(GRPC_ARG_MAX_METADATA_SIZE,
	                        o->max_metadata_bytes ? o->max_metadata_bytes : 64U << 10);
	args[n++] = rpc_int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive ? keepalive : 10000);
	args[n++] = rpc_int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
	                        o->keepalive_timeout_ms ? o->keepalive_timeout_ms : 5000);
	args[n++] = rpc_int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
	args[n++] = rpc_int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
	args[n++] = rpc_int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
	/* The least time that one attempt may take, handshake included; a loaded machine needs it.
	 */
	args[n++] = rpc_int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
	args[n++] = rpc_int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
	/* gRPC's own retries fail an assertion when a server ends a stream without a status, as
	 * Go's HTTP server does when it closes; callers have to know what may be repeated anyway.
	 */
	args[n++] = rpc_int_arg(GRPC_ARG_ENABLE_RETRIES, 0);
	args[n++] = rpc_int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, o->own_connection);
	args[n++] = (grpc_arg){.type = GRPC_ARG_STRING,
	                       .key = (char *)(uintptr_t)GRPC_ARG_DEFAULT_AUTHORITY,
	                       .value.string = (char *)(uintptr_t)authority};
	return grpc_channel_create(t->text, creds, &(grpc_channel_args){n, args});
}

int rpc_channel_new(struct rpc_core *core, const char *endpoints,
                    const struct rpc_channel_options *o, struct rpc_channel **ret, struct err *err)
{
	static const struct rpc_channel_options defaults;
	_cleanup_arena_ struct arena arena;
	arena_init(&arena);
	struct target target = {0};
	o = o ? o : &defaults;
	int r = parse_target(&arena, endpoints, &target, err);
	if (r)
		return r;
	grpc_channel_credentials *creds;
	if (o->tls)
		r = tls_channel_creds_new(o->tls, target.hosts, &creds, err);
	else
		creds = grpc_insecure_credentials_create();
	if (r)
		return r;
	struct rpc_channel *ch = calloc(1, sizeof *ch);
	if (!ch)
		abort();
	atomic_init(&ch->refs, 1);
	ch->core = core;
	ch->channel = new_grpc_channel(&target, creds, o);
	grpc_channel_credentials_release(creds);
	rpc_core_hold(core);
	*ret = ch;
	return 0;
}

struct rpc_channel *rpc_channel_ref(struct rpc_channel *ch)
{
	atomic_fetch_add_explicit(&ch->refs, 1, memory_order_relaxed);
	return ch;
}

void rpc_channel_unref(struct rpc_channel *ch)
{
	if (!ch || atomic_fetch_sub_explicit(&ch->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct rpc_core *core = ch->core;
	grpc_channel_destroy(ch->channel);
	free(ch);
	rpc_core_release(core);
}

grpc_call *rpc_channel_call(struct rpc_channel *ch, const char *method, uint32_t timeout_ms)
{
	gpr_timespec deadline = timeout_ms
	                            ? gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
	                                           gpr_time_from_millis(timeout_ms, GPR_TIMESPAN))
	                            : gpr_inf_future(GPR_CLOCK_MONOTONIC);
	grpc_slice name = grpc_slice_from_copied_string(method);
	grpc_call *call =
	    grpc_channel_create_call(ch->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
	                             rpc_core_next_queue(ch->core), name, NULL, deadline, NULL);
	grpc_slice_unref(name);
	return call;
}

/* --- outcomes --- */

void rpc_outcome_init(struct rpc_outcome *o)
{
	*o = (struct rpc_outcome){.text = grpc_empty_slice()};
	grpc_metadata_array_init(&o->metadata);
	arena_init(&o->arena);
}

grpc_op rpc_outcome_op(struct rpc_outcome *o)
{
	grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
	op.data.recv_status_on_client.trailing_metadata = &o->metadata;
	op.data.recv_status_on_client.status = &o->code;
	op.data.recv_status_on_client.status_details = &o->text;
	return op;
}

void rpc_outcome_keep(struct rpc_outcome *o)
{
	struct rpc_meta *trailers = arena_array(&o->arena, struct rpc_meta, o->metadata.count);
	for (size_t i = 0; i < o->metadata.count; i++) {
		grpc_slice key = o->metadata.metadata[i].key, value = o->metadata.metadata[i].value;
		size_t n = GRPC_SLICE_LENGTH(value);
		trailers[i].key =
		    arena_strndup(&o->arena, GRPC_SLICE_START_PTR(key), GRPC_SLICE_LENGTH(key));
		trailers[i].value =
		    slice_of(arena_memdup(&o->arena, GRPC_SLICE_START_PTR(value), n), n);
	}
	o->result.trailers = trailers;
	o->result.n_trailers = o->metadata.count;
	o->result.code = (int)o->code;
	o->result.text =
	    arena_strndup(&o->arena, GRPC_SLICE_START_PTR(o->text), GRPC_SLICE_LENGTH(o->text));
	grpc_metadata_array_destroy(&o->metadata);
	grpc_metadata_array_init(&o->metadata);
	grpc_slice_unref(o->text);
	o->text = grpc_empty_slice();
}

void rpc_outcome_deinit(struct rpc_outcome *o)
{
	grpc_metadata_array_destroy(&o->metadata);
	grpc_slice_unref(o->text);
	arena_deinit(&o->arena);
}

struct slice rpc_result_trailer(const struct rpc_result *r, const char *key)
{
	for (size_t i = 0; i < r->n_trailers; i++)
		if (!strcmp(r->trailers[i].key, key))
			return r->trailers[i].value;
	return SLICE_EMPTY;
}

int rpc_result_err(const struct rpc_result *r, struct err *err)
{
	if (r->code == RPC_OK)
		return 0;
	return err_set(err, rpc_code_to_err(r->code), "rpc error: code = %s desc = %s",
	               rpc_code_name(r->code), r->text);
}
