/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/serviceaccount-token/plan/plan.h"

#include <string.h>

#include "common/codec/json_writer.h"
#include "controller-manager/base/plan/meta.h"
#include "proto/meta_labels.h"

#define ACCOUNT_NAME "kubernetes.io/service-account.name"
#define ACCOUNT_UID "kubernetes.io/service-account.uid"
#define CLAIM "kubernetes.io/serviceaccount/"

const char *token_secret_account(const CoreV1__Secret *secret)
{
	const char *name = meta_annotation(secret->metadata, ACCOUNT_NAME);
	return name && *name && !strcmp(secret->type, TOKEN_SECRET_TYPE) ? name : NULL;
}

const char *token_secret_account_uid(const CoreV1__Secret *secret)
{
	const char *uid = meta_annotation(secret->metadata, ACCOUNT_UID);
	return uid && *uid ? uid : NULL;
}

bool token_secret_is_of(const CoreV1__Secret *secret, const CoreV1__ServiceAccount *account)
{
	const char *name = token_secret_account(secret);
	const char *uid = token_secret_account_uid(secret);
	return name && !strcmp(name, account->metadata->name) &&
	       (!uid || !strcmp(uid, account->metadata->uid));
}

static struct slice value_of(const CoreV1__Secret *secret, const char *key)
{
	for (size_t i = 0; i < secret->n_data; i++)
		if (!strcmp(secret->data[i]->key, key))
			return slice_of(secret->data[i]->value.data, secret->data[i]->value.len);
	return SLICE_EMPTY;
}

bool token_secret_lacks_token(const CoreV1__Secret *secret)
{
	return !value_of(secret, "token").len;
}

static void put(CoreV1__Secret *secret, const char *key, struct slice value, struct arena *a)
{
	CoreV1__Secret__DataEntry **list =
	    arena_array(a, CoreV1__Secret__DataEntry *, secret->n_data + 1);
	CoreV1__Secret__DataEntry *e = arena_new(a, CoreV1__Secret__DataEntry);
	size_t at = 0;
	*e = (CoreV1__Secret__DataEntry)CORE_V1__SECRET__DATA_ENTRY__INIT;
	e->key = arena_strdup(a, key);
	e->has_value = 1;
	e->value.data = arena_memdup(a, value.data, value.len);
	e->value.len = value.len;
	for (size_t i = 0; i < secret->n_data; i++)
		list[i] = secret->data[i];
	while (at < secret->n_data && strcmp(list[at]->key, key))
		at++;
	list[at] = e;
	secret->n_data = MAX(secret->n_data, at + 1);
	secret->data = list;
}

CoreV1__Secret *token_secret_fill(const CoreV1__Secret *secret,
                                  const CoreV1__ServiceAccount *account, struct slice ca,
                                  struct slice token, struct arena *a)
{
	const MetaV1__ObjectMeta *m = secret->metadata;
	const char *uid = meta_annotation(m, ACCOUNT_UID);
	bool lacks_ca = ca.len && !slice_eq(ca, value_of(secret, "ca.crt"));
	bool lacks_ns = !value_of(secret, "namespace").len;
	bool lacks_uid = !uid || strcmp(uid, account->metadata->uid);
	if (!lacks_ca && !lacks_ns && !lacks_uid && !token_secret_lacks_token(secret))
		return NULL;
	CoreV1__Secret *copy = arena_memdup(a, secret, sizeof(*copy));
	copy->metadata = arena_memdup(a, m, sizeof(*m));
	meta_set_annotation(copy->metadata, a, ACCOUNT_NAME, account->metadata->name);
	meta_set_annotation(copy->metadata, a, ACCOUNT_UID, account->metadata->uid);
	if (lacks_ca)
		put(copy, "ca.crt", ca, a);
	if (lacks_ns)
		put(copy, "namespace", slice_str(m->namespace_), a);
	if (token_secret_lacks_token(secret))
		put(copy, "token", token, a);
	return copy;
}

static void claim(struct buf *b, const char *key, const char *value)
{
	buf_str(b, b->len ? "," : "{");
	json_write_cstr(b, key);
	buf_str(b, ":");
	json_write_cstr(b, value);
}

const char *token_secret_claims(const CoreV1__Secret *secret, const CoreV1__ServiceAccount *account,
                                struct arena *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *ns = secret->metadata->namespace_, *name = account->metadata->name;
	claim(&b, "iss", "kubernetes/serviceaccount");
	claim(&b, CLAIM "namespace", ns);
	claim(&b, CLAIM "secret.name", secret->metadata->name);
	claim(&b, CLAIM "service-account.name", name);
	claim(&b, CLAIM "service-account.uid", account->metadata->uid);
	claim(&b, "sub", arena_printf(a, "system:serviceaccount:%s:%s", ns, name));
	buf_str(&b, "}");
	return arena_strndup(a, (const char *)b.data, b.len);
}
