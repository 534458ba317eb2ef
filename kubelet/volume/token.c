/* SPDX-License-Identifier: Apache-2.0 */
/* Service account tokens bound to a pod (TokenRequest). A token is renewed when four fifths of its
 * life have passed, or a day (token/token_manager.go). */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/volume/payload.h"
#include "proto/authentication_v1.pb-c.h"
#include "proto/schema_messages.h"

enum { DEFAULT_LIFE_S = 3600, RETRY_MS = 2000, RENEW_MAX_S = 86400 };

struct token {
	struct list link;
	struct tokens *owner;
	char *audience, *text, *error;
	int64_t life_s;
	uint64_t renew_ms; /* when to ask again; real clock */
	struct client_call *call;
};

struct tokens {
	struct pod *pod;
	loop_fn wake;
	void *arg;
	struct list all;
};

struct tokens *tokens_new(struct pod *p, loop_fn wake, void *arg)
{
	struct tokens *t = calloc(1, sizeof(*t));
	if (!t)
		abort();
	*t = (struct tokens){.pod = p, .wake = wake, .arg = arg};
	list_init(&t->all);
	return t;
}

void tokens_free(struct tokens *t)
{
	if (!t)
		return;
	LIST_FOREACH (&t->all, k, struct token, link) {
		if (k->call)
			client_call_drop(k->call);
		free(k->audience);
		free(k->text);
		free(k->error);
		free(k);
	}
	free(t);
}

static void on_token(const struct client_result *r, void *arg)
{
	struct token *k = arg;
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	ProtobufCMessage *msg = NULL;
	uint64_t now = now_real_ms();
	k->call = NULL;
	int code = client_result_err(r, &err);
	if (!code)
		code =
		    pb_decode(&authentication_v1__token_request_schema, r->object, &a, &msg, &err);
	free(k->error);
	k->error = NULL;
	if (code) {
		k->error = strdup(err.text);
		k->renew_ms = now + RETRY_MS;
	} else {
		const AuthenticationV1__TokenRequest *q = (const void *)msg;
		free(k->text);
		k->text = strdup(q->status->token);
		int64_t life = k->life_s;
		if (q->status->expiration_timestamp && q->status->expiration_timestamp->seconds)
			life = q->status->expiration_timestamp->seconds - (int64_t)(now / 1000);
		life = life > 0 ? life * 4 / 5 : 1;
		k->renew_ms = now + (uint64_t)MIN(life, RENEW_MAX_S) * 1000;
	}
	k->owner->wake(k->owner->arg);
}

static void ask(struct token *k)
{
	_cleanup_arena_ struct arena a = {0};
	struct pod *p = k->owner->pod;
	AuthenticationV1__TokenRequest *q =
	    (void *)pb_new(&authentication_v1__token_request_schema, &a);
	if (*k->audience) {
		q->spec->audiences = arena_array(&a, char *, 1);
		q->spec->audiences[q->spec->n_audiences++] = k->audience;
	}
	q->spec->has_expiration_seconds = 1;
	q->spec->expiration_seconds = k->life_s;
	q->spec->bound_object_ref =
	    (void *)pb_new(&authentication_v1__bound_object_reference_schema, &a);
	q->spec->bound_object_ref->kind = (char *)"Pod";
	q->spec->bound_object_ref->api_version = (char *)"v1";
	q->spec->bound_object_ref->name = p->name;
	q->spec->bound_object_ref->uid = p->uid;
	const char *account = p->spec->spec->service_account_name;
	struct client_target t = {{"", "v1", "serviceaccounts"},
	                          p->ns,
	                          account && *account ? account : "default",
	                          "token"};
	k->call = client_write_msg(p->k->client, true, &t, &authentication_v1__token_request_schema,
	                           &q->base, on_token, k);
}

uint64_t tokens_renewal_ms(const struct tokens *t)
{
	uint64_t at = UINT64_MAX;
	LIST_FOREACH (&t->all, k, struct token, link)
		if (!k->call && k->renew_ms < at)
			at = k->renew_ms;
	return at;
}

enum object_state token_get(struct tokens *t, const CoreV1__ServiceAccountTokenProjection *s,
                            const char **ret, const char **ret_error)
{
	const char *audience = s->audience ? s->audience : "";
	int64_t life = s->has_expiration_seconds ? s->expiration_seconds : DEFAULT_LIFE_S;
	struct token *k = NULL;
	LIST_FOREACH (&t->all, it, struct token, link)
		if (!strcmp(it->audience, audience) && it->life_s == life)
			k = it;
	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k)
			abort();
		k->owner = t;
		k->audience = strdup(audience);
		k->life_s = life;
		list_add_tail(&t->all, &k->link);
	}
	if (!k->call && k->renew_ms <= now_real_ms())
		ask(k);
	if (k->text) {
		*ret = k->text; /* the old one is good until the new one has come */
		return OBJECT_READY;
	}
	if (k->error && !k->call) {
		*ret_error = k->error;
		return OBJECT_FAILED;
	}
	return OBJECT_WAIT;
}
