/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/expect.h"

enum { TIMEOUT_MS = 5 * 60 * 1000 };

struct expected {
	size_t creates;
	struct map deletes; /* pod uid -> anything */
	uint64_t since_ms;
};

static void expected_free(struct expected *x)
{
	if (!x)
		return;
	map_deinit(&x->deletes);
	free(x);
}

void expect_deinit(struct expectations *e)
{
	MAP_FOREACH (&e->owners, it)
		expected_free(it->value);
	map_deinit(&e->owners);
}

static struct expected *get(struct expectations *e, const char *owner_uid, uint64_t now_ms)
{
	struct expected *x = map_get_str(&e->owners, owner_uid);
	if (!x) {
		x = calloc(1, sizeof(*x));
		if (!x)
			abort();
		map_put_str(&e->owners, owner_uid, x);
	}
	x->since_ms = now_ms;
	return x;
}

void expect_create(struct expectations *e, const char *owner_uid, size_t n, uint64_t now_ms)
{
	get(e, owner_uid, now_ms)->creates += n;
}

void expect_delete(struct expectations *e, const char *owner_uid, const char *pod_uid,
                   uint64_t now_ms)
{
	struct expected *x = get(e, owner_uid, now_ms);
	map_put_str(&x->deletes, pod_uid, x);
}

void expect_forget(struct expectations *e, const char *owner_uid)
{
	expected_free(map_del_str(&e->owners, owner_uid));
}

static void settle(struct expectations *e, const char *owner_uid, const struct expected *x)
{
	if (!x->creates && !x->deletes.n)
		expect_forget(e, owner_uid);
}

void expect_created(struct expectations *e, const char *owner_uid)
{
	struct expected *x = map_get_str(&e->owners, owner_uid);
	if (!x)
		return;
	if (x->creates)
		x->creates--;
	settle(e, owner_uid, x);
}

void expect_deleted(struct expectations *e, const char *owner_uid, const char *pod_uid)
{
	struct expected *x = map_get_str(&e->owners, owner_uid);
	if (!x)
		return;
	map_del_str(&x->deletes, pod_uid);
	settle(e, owner_uid, x);
}

bool expect_pending(struct expectations *e, const char *owner_uid, uint64_t now_ms)
{
	const struct expected *x = map_get_str(&e->owners, owner_uid);
	if (x && now_ms - x->since_ms > TIMEOUT_MS) {
		expect_forget(e, owner_uid);
		return false;
	}
	return x != NULL;
}
