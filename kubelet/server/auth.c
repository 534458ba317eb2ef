/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/server/auth_impl.h"

#include <string.h>

#include "common/base/heap.h"

/* --- what is remembered ---------------------------------------------------------------------- */

static void answer_free(struct auth_answer *e)
{
	if (!e)
		return;
	arena_deinit(&e->arena);
	free(e);
}

const struct auth_answer *auth_cache_find(struct auth_cache *c, struct slice key, uint64_t now_ms)
{
	const struct auth_answer *e = map_get(&c->by_key, key);
	return e && e->until_ms > now_ms ? e : NULL;
}

void auth_cache_deinit(struct auth_cache *c)
{
	MAP_FOREACH (&c->by_key, it)
		answer_free(it->value);
	map_deinit(&c->by_key);
}

struct auth_answer *auth_cache_put(struct auth_cache *c, struct slice key, bool good,
                                   uint64_t until_ms)
{
	/* Whoever asks this much is asked for again, which is all that being forgotten costs. */
	if (c->by_key.n >= AUTH_CACHE_MAX) {
		auth_cache_deinit(c);
		map_init(&c->by_key, 0);
	}
	struct auth_answer *e = heap_new(struct auth_answer);
	e->good = good;
	e->until_ms = until_ms;
	answer_free(map_put(&c->by_key, key, e));
	return e;
}

/* --- one request ----------------------------------------------------------------------------- */

void auth_refuse(struct auth_call *c, int status, const char *text)
{
	list_del(&c->link);
	http_reply(c->x, status, "text/plain; charset=utf-8", slice_str(text));
}

void auth_allow(struct auth_call *c)
{
	list_del(&c->link);
	c->allowed(c->x, c->arg);
}

void server_auth_check(struct server_auth *a, struct http_exchange *x,
                       const struct auth_question *q, server_allowed_fn allowed, void *arg)
{
	struct auth_call *c = arena_new(x->arena, struct auth_call);
	*c = (struct auth_call){.auth = a, .x = x, .q = *q, .allowed = allowed, .arg = arg};
	list_add_tail(&a->waiting, &c->link);
	authn_start(c);
}

int server_auth_new(struct kubelet *k, struct server_auth **ret, struct err *err)
{
	const struct kubelet_config *c = k->config;
	struct server_auth *a = heap_new(struct server_auth);
	a->k = k;
	a->webhook = !strcmp(c->authorization_mode, "Webhook");
	map_init(&a->tokens.by_key, 0);
	map_init(&a->access.by_key, 0);
	list_init(&a->waiting);
	*ret = a;
	if (!a->webhook && strcmp(c->authorization_mode, "AlwaysAllow") != 0)
		return err_set(err, ERR_INVALID, "unknown authorization mode %s",
		               c->authorization_mode);
	return *c->client_ca_file ? authn_load_ca(c->client_ca_file, &a->store, err) : 0;
}

void server_auth_free(struct server_auth *a)
{
	if (!a)
		return;
	while (!list_empty(&a->waiting)) {
		struct auth_call *c = list_first(&a->waiting, struct auth_call, link);
		list_del(&c->link);
		if (c->review)
			client_call_drop(c->review);
		http_abort(c->x);
	}
	auth_cache_deinit(&a->tokens);
	auth_cache_deinit(&a->access);
	authn_free_ca(a->store);
	free(a);
}
