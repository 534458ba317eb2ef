/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/grpc/grpc_front.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include "apiserver/grpc/exchange.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/rng.h"

enum { IDLE_PEERS_MAX = 1024 };

/* A loop and the connections whose requests run there. */
struct front_loop {
	struct loop *loop;
	struct map peers; /* remote address -> struct grpc_peer; the loop's */
};

struct grpc_front {
	struct rpc_server *server;
	struct grpc_front_options options;
	struct front_loop *loops;
};

/* --- peers --- */

static void peer_free(struct grpc_peer *p)
{
	if (p->pub.auth && p->pub.auth_free)
		p->pub.auth_free(p->pub.auth);
	arena_deinit(&p->arena);
	free(p);
}

static struct slice der_of(struct arena *a, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	unsigned char *der = NULL;
	int n = cert ? i2d_X509(cert, &der) : 0;
	struct slice out = SLICE_EMPTY;
	if (n > 0)
		out = slice_of(arena_memdup(a, der, (size_t)n), (size_t)n);
	OPENSSL_free(der);
	X509_free(cert);
	BIO_free(bio);
	return out;
}

static struct grpc_peer *peer_new(const char *address, const char *pem)
{
	struct grpc_peer *p = calloc(1, sizeof *p);
	if (!p)
		abort();
	arena_init(&p->arena);
	/* "ipv4:10.0.0.1:4711", "ipv6:%5B::1%5D:4711" */
	const char *colon = !strncmp(address, "ipv", 3) ? strchr(address, ':') : NULL;
	p->pub.address = arena_strdup(&p->arena, colon ? colon + 1 : address);
	p->pem = arena_strdup(&p->arena, pem);
	if (pem) {
		p->der = der_of(&p->arena, pem);
		p->pub.certs = &p->der;
		p->pub.n_certs = p->der.len != 0;
	}
	return p;
}

/* Forgets connections that have no open request. */
static void drop_idle(struct front_loop *fl)
{
	MAP_FOREACH (&fl->peers, slot) {
		struct grpc_peer *p = slot->value;
		if (p->requests)
			continue;
		map_del(&fl->peers, slice_of(slot->key, slot->key_len));
		peer_free(p);
	}
}

static struct grpc_peer *peer_of(struct front_loop *fl, struct rpc_call *call)
{
	const char *address = rpc_call_peer_address(call), *pem = rpc_call_peer(call)->pem;
	struct grpc_peer *p = map_get_str(&fl->peers, address);
	bool same = p && (p->pem && pem ? !strcmp(p->pem, pem) : p->pem == pem);
	if (p && !same) {
		/* The port was used again by another client. */
		map_del_str(&fl->peers, address);
		if (!p->requests)
			peer_free(p);
		else
			p->orphan = true;
		p = NULL;
	}
	if (!p) {
		if (fl->peers.n >= IDLE_PEERS_MAX)
			drop_idle(fl);
		p = peer_new(address, pem);
		map_put_str(&fl->peers, address, p);
	}
	p->requests++;
	return p;
}

static void peer_release(struct grpc_peer *p)
{
	if (--p->requests == 0 && p->orphan)
		peer_free(p);
}

/* --- exchanges --- */

void exchange_free(struct exchange *x)
{
	peer_release(x->peer);
	rpc_call_unref(x->call);
	buf_deinit(&x->in);
	buf_deinit(&x->out);
	vec_deinit(&x->warnings);
	arena_deinit(&x->arena);
	free(x);
}

static void on_writable(struct rpc_call *call, void *data)
{
	struct exchange *x = data;
	if (!x->ended && x->sink.on_writable)
		x->sink.on_writable(x->sink.arg);
}

static void on_closed(struct rpc_call *call, bool cancelled, void *data)
{
	struct exchange *x = data;
	x->closed = true;
	if (x->ended) {
		exchange_free(x);
		return;
	}
	x->sink.closed = true;
	/* The pipeline's answer to this may end and free the exchange. */
	if (x->sink.on_closed)
		x->sink.on_closed(x->sink.arg);
}

static void fill_constants(struct exchange *x, struct loop *loop)
{
	char uuid[37];
	rng_uuid(uuid);
	x->req = (struct request){.arena = &x->arena,
	                          .loop = loop,
	                          .peer = &x->peer->pub,
	                          .user = {.name = "", .uid = ""},
	                          .impersonator = {.name = "", .uid = ""},
	                          .method = "",
	                          .path = "",
	                          .uri = "",
	                          .verb_name = "",
	                          .prefix = "",
	                          .group = "",
	                          .version = "",
	                          .ns = "",
	                          .resource = "",
	                          .subresource = "",
	                          .name = "",
	                          .user_agent = "",
	                          .audit_id = arena_strdup(&x->arena, uuid),
	                          .received_mono_ns = clock_mono_ns(),
	                          .received_real_ns = clock_real_ns()};
}

/* On the request's loop. */
static void begin(struct grpc_front *f, struct front_loop *fl, struct rpc_call *call,
                  struct slice message)
{
	static const struct rpc_call_ops ops = {.on_writable = on_writable, .on_closed = on_closed};
	struct exchange *x = calloc(1, sizeof *x);
	struct err err = ERR_INIT;
	if (!x)
		abort();
	arena_init(&x->arena);
	x->front = f;
	x->call = rpc_call_ref(call);
	x->peer = peer_of(fl, call);
	x->sink.ops = &exchange_sink_ops;
	fill_constants(x, fl->loop);
	rpc_call_set_ops(call, &ops, x);
	if (exchange_decode(x, strrchr(rpc_call_method(call), '/') + 1, message, &err)) {
		rpc_call_fail(call, err_grpc_status(err.code), err.text, NULL, 0);
		x->ended = true;
		return;
	}
	f->options.serve(f->options.arg, &x->req, &x->sink);
}

/* --- calls --- */

struct arrival {
	struct grpc_front *front;
	struct front_loop *loop;
	struct rpc_call *call;
	struct slice message;
};

static void on_arrival(void *arg)
{
	struct arrival *a = arg;
	begin(a->front, a->loop, a->call, a->message);
	rpc_call_unref(a->call);
	free(a);
}

/* On the queue's thread: picks the connection's loop. */
static void on_call(struct rpc_call *call, struct slice message, void *arg)
{
	struct grpc_front *f = arg;
	struct slice address = slice_str(rpc_call_peer_address(call));
	size_t i = hash_bytes(address.data, address.len, 0) % f->options.n_loops;
	struct arrival *a = malloc(sizeof *a);
	if (!a)
		abort();
	*a = (struct arrival){f, &f->loops[i], rpc_call_ref(call), message};
	rpc_call_set_loop(call, f->loops[i].loop);
	loop_post(f->loops[i].loop, on_arrival, a);
}

int grpc_front_new(const struct grpc_front_options *o, struct grpc_front **ret, int *ret_port,
                   struct err *err)
{
	static const struct {
		const char *name;
		enum rpc_kind kind;
	} methods[] = {
	    {"/kubec.Resources/Get", RPC_UNARY},
	    {"/kubec.Resources/List", RPC_SERVER_STREAM},
	    {"/kubec.Resources/Watch", RPC_SERVER_STREAM},
	    {"/kubec.Resources/Create", RPC_UNARY},
	    {"/kubec.Resources/Update", RPC_UNARY},
	    {"/kubec.Resources/Patch", RPC_UNARY},
	    {"/kubec.Resources/Delete", RPC_UNARY},
	    {"/kubec.Resources/DeleteCollection", RPC_UNARY},
	};
	struct grpc_front *f = calloc(1, sizeof *f);
	if (!f)
		abort();
	f->options = *o;
	f->loops = calloc(o->n_loops, sizeof *f->loops);
	if (!f->loops)
		abort();
	for (size_t i = 0; i < o->n_loops; i++) {
		f->loops[i].loop = o->loops[i];
		map_init(&f->loops[i].peers, 0);
	}
	struct rpc_server_options so = {.max_recv_bytes = o->max_body_bytes,
	                                .send_high_bytes = 256 << 10};
	f->server = rpc_server_new(o->core, &so);
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		rpc_server_method(f->server, &(struct rpc_method){.name = methods[i].name,
		                                                  .kind = methods[i].kind,
		                                                  .on_call = on_call,
		                                                  .arg = f});
	int r = rpc_server_listen(f->server, o->address, o->tls, ret_port, err);
	if (r) {
		grpc_front_free(f);
		return r;
	}
	rpc_server_start(f->server);
	*ret = f;
	return 0;
}

void grpc_front_stop(struct grpc_front *f, uint32_t grace_ms, struct loop *loop, loop_fn done,
                     void *arg)
{
	rpc_server_stop(f->server, grace_ms, loop, done, arg);
}

void grpc_front_free(struct grpc_front *f)
{
	if (!f)
		return;
	rpc_server_free(f->server);
	for (size_t i = 0; i < f->options.n_loops; i++) {
		MAP_FOREACH (&f->loops[i].peers, slot)
			peer_free(slot->value);
		map_deinit(&f->loops[i].peers);
	}
	free(f->loops);
	free(f);
}
