/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the service-account token controller: Secrets and accounts in; Secrets filled, and
 * deleted when their account is gone. Without a key to sign with it does not run. */
#include <stdio.h>
#include "common/base/heap.h"
#include "common/base/log.h"
#include "common/codec/base64.h"
#include "common/codec/json_writer.h"
#include "common/net/keys.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "controller-manager/serviceaccount-token/plan/plan.h"
#include "proto/schema_messages.h"

enum { WORKERS = 5, CA_LIMIT_BYTES = 512 << 10 };

struct token_secrets {
	struct client *client;
	struct informer *secrets, *accounts;
	unsigned secrets_by_ns;
	struct workqueue *queue;
	struct keys keys;
	struct buf ca;
};

static const struct client_resource secrets_resource = {"", "v1", "secrets"};

/* --- tokens --- */

static int sign(const struct token_secrets *s, const char *claims, struct buf *out, struct err *err)
{
	const struct key *key = &s->keys.at.at[s->keys.signer];
	_cleanup_buf_ struct buf header = BUF_INIT, signature = BUF_INIT;
	buf_str(&header, "{\"alg\":");
	json_write_cstr(&header, key->alg);
	buf_str(&header, ",\"kid\":");
	json_write_cstr(&header, key->id);
	buf_str(&header, "}");
	base64url_encode(buf_view(&header), out);
	buf_str(out, ".");
	base64url_encode(slice_str(claims), out);
	int r = key_sign(key, buf_view(out), &signature, err);
	if (r)
		return r;
	buf_str(out, ".");
	base64url_encode(buf_view(&signature), out);
	return 0;
}

/* --- one Secret --- */

static void fill(struct token_secrets *s, struct work *w, const CoreV1__Secret *secret,
                 const CoreV1__ServiceAccount *account, struct arena *a)
{
	_cleanup_buf_ struct buf token = BUF_INIT;
	struct err err = ERR_INIT;
	if (token_secret_lacks_token(secret) &&
	    sign(s, token_secret_claims(secret, account, a), &token, &err)) {
		log_error(&err, "A token could not be signed",
		          LOG_STR("secret", secret->metadata->name));
		w->failed = true;
		return;
	}
	CoreV1__Secret *filled =
	    token_secret_fill(secret, account, buf_view(&s->ca), buf_view(&token), a);
	if (!filled)
		return;
	struct client_target t = {.resource = secrets_resource,
	                          .ns = filled->metadata->namespace_,
	                          .name = filled->metadata->name};
	work_hold(w);
	client_write_msg(s->client, false, &t, &core_v1__secret_schema, &filled->base, work_done,
	                 w);
}

struct removal {
	struct token_secrets *s;
	struct work *work;
	char *ns, *name, *uid, *version, *account;
};

/* The account may be newer than the informer's copy: only one that the apiserver does not have, or
 * has as another one, takes its Secret along. */
static void on_account_read(const struct client_result *r, void *arg)
{
	struct removal *x = arg;
	struct client_target t = {.resource = secrets_resource, .ns = x->ns, .name = x->name};
	struct client_delete_options o = {
	    .grace_period_seconds = -1, .uid = x->uid, .resource_version = x->version};
	struct meta_peek m = {0};
	bool gone = r->code == ERR_NOT_FOUND;
	bool other = r->code == ERR_OK && x->account && meta_peek(r->object, &m) &&
	             !slice_eq_str(m.uid, x->account);
	if (gone || other) {
		work_hold(x->work);
		client_delete(x->s->client, &t, &o, work_done, x->work);
	} else if (r->code != ERR_OK) {
		work_answer(x->work, r);
	}
	work_end(x->work);
	free(x->ns);
	free(x->name);
	free(x->uid);
	free(x->version);
	free(x->account);
	free(x);
}

static void remove_if_gone(struct token_secrets *s, struct work *w, const CoreV1__Secret *secret,
                           const char *account)
{
	const MetaV1__ObjectMeta *meta = secret->metadata;
	struct client_target t = {
	    .resource = {"", "v1", "serviceaccounts"}, .ns = meta->namespace_, .name = account};
	struct removal *x = heap_new(struct removal);
	*x = (struct removal){.s = s,
	                      .work = w,
	                      .ns = heap_strdup(meta->namespace_),
	                      .name = heap_strdup(meta->name),
	                      .uid = heap_strdup(meta->uid),
	                      .version = heap_strdup(meta->resource_version),
	                      .account = heap_strdup(token_secret_account_uid(secret))};
	work_hold(w);
	client_get(s->client, &t, on_account_read, x);
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct token_secrets *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->secrets, key);
	const CoreV1__Secret *secret =
	    o ? (CoreV1__Secret *)informer_object_decode(o, &core_v1__secret_schema, &a) : NULL;
	const char *name = secret ? token_secret_account(secret) : NULL;
	if (!name || secret->metadata->deletion_timestamp) {
		workqueue_done(q, key);
		return;
	}
	struct work *w = work_begin(q, key);
	const struct informer_object *there = informer_get(s->accounts, o->ns, name);
	const CoreV1__ServiceAccount *account =
	    there ? (CoreV1__ServiceAccount *)informer_object_decode(
	                there, &core_v1__service_account_schema, &a)
	          : NULL;
	if (account && token_secret_is_of(secret, account))
		fill(s, w, secret, account, &a);
	else
		remove_if_gone(s, w, secret, name);
	work_end(w);
}

/* --- events --- */

static void on_secret(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct token_secrets *)arg)->queue, o->key);
}

static void on_secret_update(const struct informer_object *old, const struct informer_object *o,
                             void *arg)
{
	on_secret(o, arg);
}

static void on_account(const struct informer_object *o, void *arg)
{
	struct token_secrets *s = arg;
	size_t n;
	const struct informer_object *const *secrets =
	    informer_lookup(s->secrets, s->secrets_by_ns, o->ns, &n);
	for (size_t i = 0; i < n; i++)
		workqueue_add(s->queue, secrets[i]->key);
}

static int read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "re");
	buf_reserve(out, CA_LIMIT_BYTES);
	out->len = f ? fread(out->data, 1, CA_LIMIT_BYTES, f) : 0;
	if (f)
		fclose(f);
	return out->len ? 0 : -ERR_NOT_FOUND;
}

static void *make(struct manager *m)
{
	struct err err = ERR_INIT;
	if (!*m->o.account_key_file)
		return NULL;
	struct token_secrets *s = heap_new(struct token_secrets);
	s->keys.signer = -1;
	if (keys_set_signer(&s->keys, m->o.account_key_file, &err)) {
		log_error(&err, "The key for service-account tokens could not be read; Secrets are "
		                "not filled");
		keys_deinit(&s->keys);
		free(s);
		return NULL;
	}
	if (*m->o.root_ca_file && read_file(m->o.root_ca_file, &s->ca))
		log_error(NULL, "The root CA could not be read; tokens come without it",
		          LOG_STR("file", m->o.root_ca_file));
	s->client = m->client;
	s->queue = manager_queue(m, "serviceaccount_tokens_secret", WORKERS, process, s);
	s->secrets =
	    informers_get(m->informers, &secrets_resource, NULL, NULL, "type=" TOKEN_SECRET_TYPE);
	s->accounts = informers_get(
	    m->informers, &(struct client_resource){"", "v1", "serviceaccounts"}, NULL, NULL, NULL);
	s->secrets_by_ns = informer_add_index(s->secrets, "ns", informer_index_ns);
	informer_add_handler(s->secrets,
	                     &(struct informer_handler){on_secret, on_secret_update, NULL, s});
	informer_add_handler(s->accounts,
	                     &(struct informer_handler){on_account, NULL, on_account, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct token_secrets *)self)->queue);
}

static void free_self(void *self)
{
	struct token_secrets *s = self;
	keys_deinit(&s->keys);
	buf_deinit(&s->ca);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_serviceaccount_token = {
    .name = "serviceaccount-token-controller", .make = make, .run = run, .free = free_self};
