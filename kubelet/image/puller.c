/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/image/puller.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "proto/pb_decode.h"

struct pull {
	struct list link;
	struct puller *owner;
	struct arena arena;
	const char *image, *error;
	struct registry_auth *auths;
	size_t n_auths, next_auth, n_errors;
	CriV1__PodSandboxConfig *sandbox;
	bool runs; /* counts among those at once */
	struct cri_call *call;
	struct loop_timer refused;
	uint64_t began_ms;
	pull_done_fn done;
	void *arg;
};

struct puller {
	struct kubelet *k;
	struct list waiting, running;
	size_t n_running;
	/* A bucket of tokens: one a pull. */
	double tokens;
	uint64_t filled_ms;
};

struct puller *puller_new(struct kubelet *k)
{
	struct puller *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->k = k;
	p->tokens = (double)k->config->registry_burst;
	p->filled_ms = clock_mono_ms();
	list_init(&p->waiting);
	list_init(&p->running);
	return p;
}

static void pull_free(struct pull *u)
{
	list_del(&u->link);
	loop_timer_stop(&u->refused);
	cri_call_drop(u->call);
	arena_deinit(&u->arena);
	free(u);
}

void puller_free(struct puller *p)
{
	if (!p)
		return;
	LIST_FOREACH (&p->waiting, u, struct pull, link)
		pull_free(u);
	LIST_FOREACH (&p->running, u, struct pull, link)
		pull_free(u);
	free(p);
}

static void advance(struct puller *p);

static void leave(struct pull *u)
{
	struct puller *p = u->owner;
	p->n_running -= u->runs;
	pull_free(u);
	advance(p);
}

static void finish(struct pull *u, const char *error)
{
	struct puller *p = u->owner;
	u->done(error, clock_mono_ms() - u->began_ms, u->arg);
	p->n_running--;
	pull_free(u);
	advance(p);
}

static void try_next(struct pull *u);

static void on_pulled(const struct cri_result *r, void *arg)
{
	struct pull *u = arg;
	u->call = NULL;
	if (r->code == RPC_OK) {
		finish(u, NULL);
		return;
	}
	const char *text = cri_error_text(r, &u->arena);
	u->error = u->error ? arena_printf(&u->arena, "%s, %s", u->error, text) : text;
	u->n_errors++;
	if (u->next_auth < u->n_auths)
		try_next(u);
	else
		finish(u, u->n_errors > 1 ? arena_printf(&u->arena, "[%s]", u->error) : u->error);
}

static void try_next(struct pull *u)
{
	CriV1__PullImageRequest q = CRI_V1__PULL_IMAGE_REQUEST__INIT;
	CriV1__ImageSpec image = CRI_V1__IMAGE_SPEC__INIT;
	CriV1__AuthConfig auth = CRI_V1__AUTH_CONFIG__INIT;
	image.image = (char *)(uintptr_t)u->image;
	q.image = &image;
	q.sandbox_config = u->sandbox;
	if (u->next_auth < u->n_auths) {
		const struct registry_auth *x = &u->auths[u->next_auth++];
		auth.username = (char *)(uintptr_t)x->username;
		auth.password = (char *)(uintptr_t)x->password;
		auth.identity_token = (char *)(uintptr_t)x->identity_token;
		q.auth = &auth;
	}
	u->call = cri_call(u->owner->k->cri, CRI_PULL_IMAGE, &q, 0, on_pulled, u);
}

static bool take_token(struct puller *p)
{
	const struct kubelet_config *c = p->k->config;
	uint64_t now = clock_mono_ms();
	if (c->registry_qps <= 0)
		return true;
	p->tokens += (double)(now - p->filled_ms) / 1000 * (double)c->registry_qps;
	p->tokens = p->tokens < (double)c->registry_burst ? p->tokens : (double)c->registry_burst;
	p->filled_ms = now;
	if (p->tokens < 1)
		return false;
	p->tokens--;
	return true;
}

static void on_refused(void *arg)
{
	finish(arg, "pull QPS exceeded");
}

static void begin(struct pull *u)
{
	struct puller *p = u->owner;
	list_del(&u->link);
	list_add_tail(&p->running, &u->link);
	p->n_running++;
	u->runs = true;
	u->began_ms = clock_mono_ms();
	if (take_token(p))
		try_next(u);
	else
		loop_timer_start(&u->refused, 0);
}

static void advance(struct puller *p)
{
	const struct kubelet_config *c = p->k->config;
	size_t max = c->serialize_image_pulls          ? 1
	             : c->max_parallel_image_pulls > 0 ? (size_t)c->max_parallel_image_pulls
	                                               : SIZE_MAX;
	while (p->n_running < max && !list_empty(&p->waiting))
		begin(list_first(&p->waiting, struct pull, link));
}

struct pull *pull_start(struct puller *p, const struct pull_request *r, pull_done_fn done,
                        void *arg)
{
	struct pull *u = calloc(1, sizeof(*u));
	if (!u)
		abort();
	struct arena *a = &u->arena;
	u->owner = p;
	u->done = done;
	u->arg = arg;
	u->image = arena_strdup(a, r->image);
	u->auths = arena_array(a, struct registry_auth, r->n_auths + 1);
	for (; u->n_auths < r->n_auths; u->n_auths++) {
		const struct registry_auth *x = r->auths[u->n_auths];
		u->auths[u->n_auths].username = arena_strdup(a, x->username);
		u->auths[u->n_auths].password = arena_strdup(a, x->password);
		u->auths[u->n_auths].identity_token = arena_strdup(a, x->identity_token);
	}
	size_t n = protobuf_c_message_get_packed_size(&r->sandbox->base);
	uint8_t *packed = arena_alloc(a, n + 1);
	protobuf_c_message_pack(&r->sandbox->base, packed);
	ProtobufCAllocator allocator = pb_arena_allocator(a);
	u->sandbox = cri_v1__pod_sandbox_config__unpack(&allocator, n, packed);
	loop_timer_init(&u->refused, p->k->loop, on_refused, u);
	list_add_tail(&p->waiting, &u->link);
	advance(p);
	return u;
}

void pull_drop(struct pull *u)
{
	if (u)
		leave(u);
}
