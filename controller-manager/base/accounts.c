/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/accounts.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/vec.h"
#include "proto/authentication_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "proto/pb_encode.h"
#include "proto/schema_messages.h"

#define NAMESPACE "kube-system"
enum { LIFETIME_S = 3600, RETRY_MS = 500, RENEW_PERCENT = 80 };

struct account {
	struct accounts *all;
	char *name;
	struct kubeconfig kubeconfig; /* the common one without its certificate */
	struct client *client;
	struct loop_timer timer;
	bool ready;
};

struct accounts {
	struct client *owner;
	struct rpc_core *core;
	const struct kubeconfig *kubeconfig;
	VEC(struct account *) at;
	loop_fn done;
	void *arg;
};

struct accounts *accounts_new(struct client *owner, struct rpc_core *core,
                              const struct kubeconfig *kubeconfig)
{
	struct accounts *a = calloc(1, sizeof(*a));
	if (!a)
		abort();
	a->owner = owner;
	a->core = core;
	a->kubeconfig = kubeconfig;
	return a;
}

void accounts_free(struct accounts *a)
{
	if (!a)
		return;
	VEC_FOREACH (&a->at, it) {
		loop_timer_stop(&(*it)->timer);
		client_free((*it)->client);
		free((*it)->name);
		free(*it);
	}
	vec_deinit(&a->at);
	free(a);
}

static void request(void *arg);

struct client *accounts_client(struct accounts *a, const char *name)
{
	VEC_FOREACH (&a->at, it)
		if (!strcmp((*it)->name, name))
			return (*it)->client;
	struct account *x = calloc(1, sizeof(*x));
	struct err err = ERR_INIT;
	if (!x || !(x->name = strdup(name)))
		abort();
	x->all = a;
	x->kubeconfig = *a->kubeconfig;
	x->kubeconfig.tls.cert_file = x->kubeconfig.tls.key_file = NULL;
	x->kubeconfig.tls.cert_pem = x->kubeconfig.tls.key_pem = NULL;
	x->kubeconfig.token = x->kubeconfig.token_file = NULL;
	_cleanup_buf_ struct buf agent = BUF_INIT;
	buf_printf(&agent, "kube-controller-manager/%s", name);
	struct client_options o = {.core = a->core,
	                           .loop = client_loop(a->owner),
	                           .kubeconfig = &x->kubeconfig,
	                           .user_agent = (const char *)agent.data};
	/* The same endpoints and CA as the owner's, which was made already. */
	if (client_new(&o, &x->client, &err)) {
		log_error(&err, "Could not make a client", LOG_STR("account", name));
		abort();
	}
	loop_timer_init(&x->timer, client_loop(a->owner), request, x);
	*vec_push(&a->at) = x;
	return x->client;
}

static void tell_ready(struct accounts *a)
{
	VEC_FOREACH (&a->at, it)
		if (!(*it)->ready)
			return;
	loop_fn done = TAKE(a->done);
	if (done)
		done(a->arg);
}

static bool take_token(struct account *x, struct slice object)
{
	_cleanup_arena_ struct arena arena = {0};
	ProtobufCMessage *msg;
	if (pb_decode(&authentication_v1__token_request_schema, object, &arena, &msg, NULL))
		return false;
	const AuthenticationV1__TokenRequestStatus *s =
	    ((AuthenticationV1__TokenRequest *)msg)->status;
	if (!s || !*s->token)
		return false;
	int64_t left = LIFETIME_S;
	if (s->expiration_timestamp)
		left = s->expiration_timestamp->seconds - clock_real_ns() / 1000000000;
	client_set_token(x->client, s->token);
	loop_timer_start(&x->timer, (uint64_t)MAX(left, 10) * 10 * RENEW_PERCENT);
	return true;
}

static void on_account(const struct client_result *r, void *arg)
{
	struct account *x = arg;
	if (r->code == ERR_OK || r->code == ERR_ALREADY_EXISTS)
		request(x);
	else
		loop_timer_start(&x->timer, RETRY_MS);
}

static void make_account(struct account *x)
{
	_cleanup_arena_ struct arena arena = {0};
	struct client_target t = {.resource = {"", "v1", "serviceaccounts"}, .ns = NAMESPACE};
	CoreV1__ServiceAccount *sa =
	    (CoreV1__ServiceAccount *)pb_new(&core_v1__service_account_schema, &arena);
	sa->metadata->name = x->name;
	sa->metadata->namespace_ = arena_strdup(&arena, NAMESPACE);
	client_write_msg(x->all->owner, true, &t, &core_v1__service_account_schema, &sa->base,
	                 on_account, x);
}

static void on_token(const struct client_result *r, void *arg)
{
	struct account *x = arg;
	struct err err = ERR_INIT;
	if (r->code == ERR_NOT_FOUND) {
		make_account(x);
		return;
	}
	if (r->code == ERR_OK && take_token(x, r->object)) {
		x->ready = true;
		tell_ready(x->all);
		return;
	}
	ERR_IGNORE(client_result_err(r, &err)); /* its text is for the log */
	log_error(&err, "Could not get a token; trying again", LOG_STR("account", x->name));
	loop_timer_start(&x->timer, RETRY_MS);
}

static void request(void *arg)
{
	struct account *x = arg;
	_cleanup_arena_ struct arena arena = {0};
	struct client_target t = {.resource = {"", "v1", "serviceaccounts"},
	                          .ns = NAMESPACE,
	                          .name = x->name,
	                          .subresource = "token"};
	AuthenticationV1__TokenRequest *req = (AuthenticationV1__TokenRequest *)pb_new(
	    &authentication_v1__token_request_schema, &arena);
	req->spec->has_expiration_seconds = 1;
	req->spec->expiration_seconds = LIFETIME_S;
	client_write_msg(x->all->owner, true, &t, &authentication_v1__token_request_schema,
	                 &req->base, on_token, x);
}

void accounts_login(struct accounts *a, loop_fn done, void *arg)
{
	a->done = done;
	a->arg = arg;
	VEC_FOREACH (&a->at, it)
		request(*it);
	if (!a->at.n)
		tell_ready(a);
}
