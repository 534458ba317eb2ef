/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/bootstrap/bootstrap_impl.h"
#include "apiserver/bootstrap/objects.h"
#include "common/base/log.h"

enum { FRESH_TIMEOUT_MS = 10000, RETRY_MS = 100, STOP_MS = 2000 };

static void round_start(void *arg);

static void retry(struct bootstrap *b, uint32_t ms)
{
	if (!b->stopping)
		loop_timer_start(&b->retry, ms);
}

static void round_end(struct bootstrap *b)
{
	if (b->again) {
		retry(b, RETRY_MS);
		return;
	}
	log_v(2, "All bootstrap objects are there", LOG_INT("objects", b->wanted.n));
	atomic_store(&b->ready, true);
	bootstrap_endpoints_start(b);
	bootstrap_identity_start(b);
}

static void on_written(void *arg, bool ok)
{
	struct bootstrap *b = arg;

	b->again |= !ok;
	if (--b->pending == 0 && !b->stopping)
		round_end(b);
}

/* All writes are in flight at once: none depends on another. */
static void on_fresh(void *arg, int code, const struct err *err, int64_t revision)
{
	struct bootstrap *b = arg;

	if (b->stopping)
		return;
	if (code < 0) {
		retry(b, RETRY_MS);
		return;
	}
	b->again = false;
	b->pending = b->wanted.n + 1;
	for (size_t i = 0; i < b->wanted.n; i++)
		bootstrap_write(b, &b->wanted.at[i], on_written, b);
	on_written(b, true);
}

static void round_start(void *arg)
{
	struct bootstrap *b = arg;

	cacher_fresh(pipeline_cacher(b->p), b->loop, 0, FRESH_TIMEOUT_MS, on_fresh, b);
}

struct bootstrap *bootstrap_new(const struct bootstrap_options *o, struct pipeline *p,
                                struct loop *state_loop)
{
	struct bootstrap *b = calloc(1, sizeof(*b));

	if (!b)
		abort();
	b->o = *o;
	b->p = p;
	b->loop = state_loop;
	arena_init(&b->arena);
	b->wanted.arena = &b->arena;
	loop_timer_init(&b->retry, state_loop, round_start, b);
	bootstrap_cluster_objects(b, &b->wanted);
	for (size_t i = 0; i < bootstrap_n_objects; i++) {
		const struct bootstrap_object *e = &bootstrap_objects[i];

		if (o->rbac || strcmp(e->group, "rbac.authorization.k8s.io") != 0)
			wanted_add(&b->wanted, e->group, e->resource, e->ns, e->name, e->json);
	}
	loop_post(state_loop, round_start, b);
	return b;
}

/* --- leaving ------------------------------------------------------------------------------------
 */

static void stopped(struct bootstrap *b)
{
	void (*done)(void *) = b->stopped;

	loop_timer_stop(&b->retry);
	b->stopped = NULL;
	if (done)
		done(b->stopped_arg);
}

static void stop_timeout(void *arg)
{
	stopped(arg);
}

void bootstrap_stop(struct bootstrap *b, void (*done)(void *arg), void *arg)
{
	b->stopping = true;
	b->stopped = done;
	b->stopped_arg = arg;
	loop_timer_stop(&b->retry);
	loop_timer_stop(&b->identity_renew);
	loop_timer_init(&b->retry, b->loop, stop_timeout, b);
	loop_timer_start(&b->retry, STOP_MS);
	bootstrap_endpoints_stop(b, stopped);
}

void bootstrap_free(struct bootstrap *b)
{
	if (!b)
		return;
	loop_timer_stop(&b->retry);
	loop_timer_stop(&b->renew);
	loop_timer_stop(&b->identity_renew);
	arena_deinit(&b->arena);
	free(b);
}

/* --- health -------------------------------------------------------------------------------------
 */

bool bootstrap_ready(const struct bootstrap *b)
{
	return atomic_load(&b->ready);
}

const char *const *bootstrap_check_names(void)
{
	static const char *const NAMES[] = {
	    "poststarthook/start-system-namespaces-controller",
	    "poststarthook/bootstrap-controller",
	    "poststarthook/rbac/bootstrap-roles",
	    "poststarthook/scheduling/bootstrap-system-priority-classes",
	    "poststarthook/priority-and-fairness-config-producer",
	    "poststarthook/start-kubernetes-service-cidr-controller",
	    "poststarthook/start-cluster-authentication-info-controller",
	    "poststarthook/start-kube-apiserver-identity-lease-controller",
	    "poststarthook/start-legacy-token-tracking-controller",
	    NULL,
	};

	return NAMES;
}

int bootstrap_check(void *arg, struct err *err)
{
	const struct bootstrap *b = arg;

	return bootstrap_ready(b) ? 0 : err_set(err, ERR_UNAVAILABLE, "not finished");
}
