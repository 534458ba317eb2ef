/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/auth/auth_impl.h"
#include "common/base/log.h"

enum { RELOAD_MS = 20000 };

static int add_mode(struct auth *a, const char *name, struct err *err)
{
	static const char *const NAMES[MODE_COUNT] = {
	    [MODE_ALWAYS_ALLOW] = "AlwaysAllow",
	    [MODE_ALWAYS_DENY] = "AlwaysDeny",
	    [MODE_RBAC] = "RBAC",
	    [MODE_NODE] = "Node",
	};

	for (int i = 0; i < MODE_COUNT; i++) {
		if (strcmp(NAMES[i], name) != 0)
			continue;
		if (a->n_modes == MODE_COUNT)
			return err_set(err, ERR_INVALID,
			               "authorization-mode \"%s\" has mode "
			               "specified more than once",
			               name);
		a->modes[a->n_modes++] = (enum auth_mode)i;
		return 0;
	}
	return err_set(err, ERR_INVALID, "authorization-mode \"%s\" is not a valid mode", name);
}

static bool has_mode(const struct auth *a, enum auth_mode mode)
{
	for (size_t i = 0; i < a->n_modes; i++)
		if (a->modes[i] == mode)
			return true;
	return false;
}

static void reload_one(struct x509_verifier *v)
{
	struct err err = ERR_INIT;

	if (v && x509_verifier_reload(v, &err) < 0)
		log_error(&err, "The CA bundle could not be read again");
}

static void reload(void *arg)
{
	struct auth *a = arg;

	reload_one(a->clients);
	reload_one(a->proxies);
	loop_timer_start(&a->reload, RELOAD_MS);
}

static void start_reload(void *arg)
{
	struct auth *a = arg;

	loop_timer_start(&a->reload, RELOAD_MS);
}

static int load(struct auth *a, const struct auth_options *o, struct err *err)
{
	const struct tokens_options t = {
	    .key_files = o->sa_key_files,
	    .n_key_files = o->n_sa_key_files,
	    .signing_key_file = o->sa_signing_key_file,
	    .issuers = o->sa_issuers,
	    .n_issuers = o->n_sa_issuers,
	    .api_audiences = o->api_audiences,
	    .n_api_audiences = o->n_api_audiences,
	    .max_expiration_s = o->sa_max_expiration_s,
	    .no_extended_expiration = o->sa_no_extended_expiration,
	};
	int r = 0;

	for (size_t i = 0; i < o->n_modes && r == 0; i++)
		r = add_mode(a, o->modes[i], err);
	if (r == 0 && !o->n_modes)
		r = add_mode(a, "AlwaysAllow", err);
	if (r == 0 && o->client_ca_file && *o->client_ca_file)
		r = x509_verifier_new(o->client_ca_file, &a->clients, err);
	if (r == 0 && o->proxy_ca_file && *o->proxy_ca_file)
		r = x509_verifier_new(o->proxy_ca_file, &a->proxies, err);
	if (r == 0 && (o->n_sa_key_files || o->sa_signing_key_file))
		r = tokens_new(&t, a->p, &a->tokens, err);
	return r;
}

static void plug(struct auth *a)
{
	struct pipeline_hooks *h = pipeline_hooks(a->p);

	h->authenticate = auth_authenticate_hook;
	h->authenticate_arg = a;
	h->authorize = auth_authorize_hook;
	h->authorize_arg = a;
	auth_reviews_register(a);
	if (a->tokens)
		pipeline_handle(a->p, "", "serviceaccounts", "token", token_request, a->tokens);
}

int auth_new(const struct auth_options *o, struct pipeline *p, struct loop *state_loop,
             struct auth **ret, struct err *err)
{
	struct auth *a = calloc(1, sizeof(*a));

	if (!a)
		abort();
	arena_init(&a->arena);
	a->p = p;
	a->state_loop = state_loop;
	a->anonymous = o->anonymous;
	a->proxy_names = o->proxy_allowed_names;
	a->n_proxy_names = o->n_proxy_allowed_names;
	a->rbac = rbac_new();
	a->graph = auth_node_graph(a);
	pthread_rwlock_init(&a->rbac_lock, NULL);
	pthread_rwlock_init(&a->node_lock, NULL);
	loop_timer_init(&a->reload, state_loop, reload, a);
	a->jwks_uri = o->sa_jwks_uri && *o->sa_jwks_uri
	                  ? arena_strdup(&a->arena, o->sa_jwks_uri)
	                  : arena_printf(&a->arena, "https://%s/openid/v1/jwks",
	                                 o->external_address ? o->external_address : "localhost");
	int r = load(a, o, err);
	if (r < 0) {
		auth_free(a);
		return r;
	}
	/* Node permission and rules of roles are also asked for by reviews, whatever the modes. */
	auth_rbac_start(a);
	if (has_mode(a, MODE_NODE))
		auth_node_start(a);
	loop_post(state_loop, start_reload, a);
	plug(a);
	*ret = a;
	return 0;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < FOLLOW_RBAC_COUNT; i++)
		follow_stop(&a->rbac_follow[i].f);
	for (size_t i = 0; i < FOLLOW_NODE_COUNT; i++)
		follow_stop(&a->node_follow[i].f);
	loop_timer_stop(&a->reload);
	tokens_free(a->tokens);
	x509_verifier_free(a->clients);
	x509_verifier_free(a->proxies);
	rbac_free(a->rbac);
	node_graph_free(a->graph);
	pthread_rwlock_destroy(&a->rbac_lock);
	pthread_rwlock_destroy(&a->node_lock);
	arena_deinit(&a->arena);
	free(a);
}
