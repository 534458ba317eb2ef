/* SPDX-License-Identifier: Apache-2.0 */
/* May they: SubjectAccessReview on nodes/<subresource> of this node, one after the other until one
 * is allowed. */
#include <string.h>

#include "common/base/log.h"
#include "kubelet/server/auth_impl.h"
#include "proto/authorization_v1.pb-c.h"
#include "proto/schema_messages.h"

static void ask(struct auth_call *c);

static const char *subresource_list(const struct auth_call *c)
{
	const char *text = "";
	for (size_t i = 0; i < c->q.n; i++)
		text =
		    arena_printf(c->x->arena, "%s%s%s", text, i ? " " : "", c->q.subresources[i]);
	return text;
}

static void use_answer(struct auth_call *c, bool allowed)
{
	if (allowed) {
		auth_allow(c);
		return;
	}
	if (++c->at < c->q.n) {
		ask(c);
		return;
	}
	auth_refuse(c, 403,
	            arena_printf(c->x->arena,
	                         "Forbidden (user=%s, verb=%s, resource=nodes, "
	                         "subresource(s)=[%s])\n",
	                         c->caller.name, c->q.verb, subresource_list(c)));
}

static void on_review(const struct client_result *r, void *arg)
{
	struct auth_call *c = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct kubelet_config *o = c->auth->k->config;
	struct err err = ERR_INIT;
	ProtobufCMessage *msg = NULL;
	c->review = NULL;
	int code = client_result_err(r, &err);
	if (!code)
		code = pb_decode(&authorization_v1__subject_access_review_schema, r->object, &a,
		                 &msg, &err);
	if (code) {
		log_error(&err, "Authorization error", LOG_STR("user", c->caller.name),
		          LOG_STR("verb", c->q.verb),
		          LOG_STR("subresource", c->q.subresources[c->at]));
		auth_refuse(c, 500,
		            arena_printf(c->x->arena,
		                         "Authorization error (user=%s, verb=%s, resource=nodes, "
		                         "subresource=%s)",
		                         c->caller.name, c->q.verb, c->q.subresources[c->at]));
		return;
	}
	const AuthorizationV1__SubjectAccessReviewStatus *s =
	    ((const AuthorizationV1__SubjectAccessReview *)(const void *)msg)->status;
	bool allowed = s && s->allowed && !s->denied;
	int64_t life = allowed ? o->authorized_ttl_ms : o->unauthorized_ttl_ms;
	auth_cache_put(&c->auth->access, c->key, allowed, loop_now_ms(c->x->loop) + (uint64_t)life);
	use_answer(c, allowed);
}

static void add_key(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s) + 1);
}

/* All that the answer depends on. */
static struct slice question_key(const struct auth_call *c)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	add_key(&b, c->caller.name);
	add_key(&b, c->caller.uid);
	add_key(&b, c->q.verb);
	add_key(&b, c->q.subresources[c->at]);
	for (size_t i = 0; i < c->caller.n_groups; i++)
		add_key(&b, c->caller.groups[i]);
	for (size_t i = 0; i < c->caller.n_extra; i++) {
		buf_byte(&b, 1);
		add_key(&b, c->caller.extra[i].key);
		for (size_t k = 0; k < c->caller.extra[i].n_values; k++)
			add_key(&b, c->caller.extra[i].values[k]);
	}
	return slice_of(arena_memdup(c->x->arena, b.data, b.len), b.len);
}

static void fill_extra(const struct auth_call *c, AuthorizationV1__SubjectAccessReviewSpec *s,
                       struct arena *a)
{
	s->n_extra = c->caller.n_extra;
	s->extra =
	    arena_array(a, AuthorizationV1__SubjectAccessReviewSpec__ExtraEntry *, s->n_extra + 1);
	for (size_t i = 0; i < s->n_extra; i++) {
		s->extra[i] = arena_new(a, AuthorizationV1__SubjectAccessReviewSpec__ExtraEntry);
		authorization_v1__subject_access_review_spec__extra_entry__init(s->extra[i]);
		s->extra[i]->key = (char *)(uintptr_t)c->caller.extra[i].key;
		s->extra[i]->value = arena_new(a, AuthorizationV1__ExtraValue);
		authorization_v1__extra_value__init(s->extra[i]->value);
		s->extra[i]->value->items = c->caller.extra[i].values;
		s->extra[i]->value->n_items = c->caller.extra[i].n_values;
	}
}

static void ask(struct auth_call *c)
{
	_cleanup_arena_ struct arena a = {0};
	c->key = question_key(c);
	const struct auth_answer *e =
	    auth_cache_find(&c->auth->access, c->key, loop_now_ms(c->x->loop));
	if (e) {
		use_answer(c, e->good);
		return;
	}
	AuthorizationV1__SubjectAccessReview *q =
	    (void *)pb_new(&authorization_v1__subject_access_review_schema, &a);
	AuthorizationV1__ResourceAttributes *at =
	    (void *)pb_new(&authorization_v1__resource_attributes_schema, &a);
	q->spec->user = (char *)(uintptr_t)c->caller.name;
	q->spec->uid = (char *)(uintptr_t)c->caller.uid;
	q->spec->groups = (char **)(uintptr_t)c->caller.groups;
	q->spec->n_groups = c->caller.n_groups;
	fill_extra(c, q->spec, &a);
	q->spec->resource_attributes = at;
	at->verb = (char *)(uintptr_t)c->q.verb;
	at->version = (char *)"v1";
	at->resource = (char *)"nodes";
	at->subresource = (char *)(uintptr_t)c->q.subresources[c->at];
	at->name = (char *)(uintptr_t)c->auth->k->config->node_name;
	const struct client_target t = {
	    {"authorization.k8s.io", "v1", "subjectaccessreviews"}, NULL, NULL, NULL};
	c->review = client_write_msg(c->auth->k->client, true, &t,
	                             &authorization_v1__subject_access_review_schema, &q->base,
	                             on_review, c);
}

void authz_start(struct auth_call *c)
{
	if (c->auth->webhook)
		ask(c);
	else
		auth_allow(c);
}
