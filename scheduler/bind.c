/* SPDX-License-Identifier: Apache-2.0 */
/* The binding cycle: assume, reserve, permit, pre-bind, bind. The call to the apiserver is on its
 * way while the next pods are scheduled; what fails takes everything back. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "scheduler/scheduler_internal.h"

/* A bound pod whose event does not come in this time stops to count. */
enum { CONFIRM_MS = 15 * 60 * 1000 };

struct binding {
	struct scheduler *s;
	const struct framework *framework;
	struct pod_info *pod;
	char *node;
	unsigned attempts;
	uint64_t initial_ms, began_ns, sent_ns;
	struct cycle *cycle; /* kept when plugins need it after the cycle; else NULL */
	/* while a Permit plugin holds it */
	struct list waiting;
	uint64_t timeout_ms;
	const struct plugin_use *held_by;
};

static void binding_free(struct binding *b)
{
	list_del(&b->waiting);
	if (b->cycle)
		cycle_deinit(b->cycle);
	free(b->cycle);
	pod_info_unref(b->pod);
	free(b->node);
	free(b);
}

void bind_deinit(struct scheduler *s)
{
	LIST_FOREACH (&s->waiting, b, struct binding, waiting)
		binding_free(b);
}

static uint64_t bit(const struct plugin_use *by)
{
	return by ? UINT64_C(1) << by->number : 0;
}

/* Takes everything back; the pod waits again. */
static void fail(struct binding *b, const char *message, const struct plugin_use *by, bool error)
{
	struct scheduler *s = b->s;
	struct node_info *n = cluster_find(s->cluster, b->node);
	if (b->cycle && n)
		cycle_unreserve(b->cycle, n);
	bool forgotten = cluster_forget(s->cluster, b->pod->key);
	observe_attempt(s, b->framework, error ? ATTEMPT_ERROR : ATTEMPT_UNSCHEDULABLE,
	                b->began_ns);
	const struct informer_object *o = informer_get_key(s->pods, b->pod->key);
	if (!o || o->deleting || strcmp(o->uid, b->pod->uid) != 0) {
		if (!o || strcmp(o->uid, b->pod->uid) == 0)
			queue_done(s->queue, b->pod->key);
	} else {
		report_failure(s, b->framework, b->pod, error, message, NULL);
		queue_failed(s->queue, b->pod->key, bit(by), 0, error, scheduler_now_ms(s));
	}
	if (forgotten)
		queue_event(s->queue, &(struct event){.kinds = EVENT_POD_DELETE, .old_pod = b->pod},
		            scheduler_now_ms(s));
	binding_free(b);
	scheduler_wake(s);
}

static void on_bound(const struct client_result *r, void *arg)
{
	struct binding *b = arg;
	struct scheduler *s = b->s;
	s->n_binding--;
	observe_bind(s, b->framework, b->sent_ns);
	if (r->code != ERR_OK) {
		_cleanup_arena_ struct arena a = {0};
		struct err err = ERR_INIT;
		ERR_IGNORE(client_result_err(r, &err)); /* its text is for the log */
		log_error(&err, "Could not bind", LOG_STR("pod", b->pod->key),
		          LOG_STR("node", b->node));
		fail(b, arena_printf(&a, "binding rejected: %s", err.text), NULL, true);
		return;
	}
	struct node_info *n = cluster_find(s->cluster, b->node);
	if (b->cycle && n)
		cycle_post_bind(b->cycle, n);
	cluster_bound(s->cluster, b->pod->key, scheduler_now_ms(s) + CONFIRM_MS);
	const struct queue_item *it = queue_find(s->queue, b->pod->key);
	if (it && !strcmp(it->pod->uid, b->pod->uid))
		queue_done(s->queue, b->pod->key);
	observe_attempt(s, b->framework, ATTEMPT_SCHEDULED, b->began_ns);
	observe_scheduled(s, b->attempts, b->initial_ms);
	log_v(2, "Successfully bound pod to node", LOG_STR("pod", b->pod->key),
	      LOG_STR("node", b->node));
	struct recorder_ref ref = scheduler_pod_ref(b->pod);
	recorder_event(scheduler_recorder(s, b->framework), &ref, false, "Scheduled", "Binding",
	               "Successfully assigned %s/%s to %s", b->pod->ns_text, b->pod->name, b->node);
	binding_free(b);
	scheduler_wake(s);
}

static const char *refusal(struct arena *a, const char *point, const struct plugin_use *by)
{
	return arena_printf(a, "rejected by plugin \"%s\" at %s", by ? by->plugin->name : "",
	                    point);
}

/* Nothing holds it any more: writes the binding. */
static void finish(struct binding *b, struct cycle *c, const struct node_info *n)
{
	_cleanup_arena_ struct arena a = {0};
	const struct plugin_use *by = NULL;
	enum bind_action action = BIND_NONE;
	enum status_code code = cycle_pre_bind(c, n, &by);
	if (code != STATUS_SUCCESS) {
		fail(b, refusal(&a, "preBind", by), by, code == STATUS_ERROR);
		return;
	}
	if (cycle_bind(c, n, &action) != STATUS_SUCCESS || action != BIND_BINDING) {
		fail(b, "no plugin binds the pod", NULL, true);
		return;
	}
	b->s->n_binding++;
	b->sent_ns = clock_mono_ns();
	client_bind(b->s->o.client, b->pod->ns_text, b->pod->name, b->pod->uid, b->node, on_bound,
	            b);
}

/* Plugins that act after the cycle need its state until then. */
static void keep_cycle(struct scheduler *s, struct binding *b)
{
	b->cycle = s->cycle;
	s->cycle = calloc(1, sizeof(*s->cycle));
	if (!s->cycle)
		abort();
}

/* The place that was kept for the pod on another node is free. */
static void leave_nomination(struct scheduler *s, const struct pod_info *p, const char *node)
{
	const char *nominated = cluster_nomination(s->cluster, p->key);
	bool elsewhere = nominated && strcmp(nominated, node) != 0;
	cluster_unnominate(s->cluster, p->key);
	if (elsewhere)
		queue_event(s->queue, &(struct event){.kinds = EVENT_POD_DELETE, .old_pod = p},
		            scheduler_now_ms(s));
}

void bind_begin(struct scheduler *s, const struct queue_item *it, struct node_info *n,
                uint64_t began_ns)
{
	const struct framework *f = it->framework;
	const struct plugin_use *by = NULL;
	_cleanup_arena_ struct arena a = {0};
	struct binding *b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	*b = (struct binding){
	    .s = s,
	    .framework = f,
	    .pod = pod_info_ref(s->cycle->pod),
	    .node = scheduler_strdup(n->name),
	    .attempts = it->attempts,
	    .initial_ms = it->initial_ms,
	    .began_ns = began_ns,
	};
	list_init(&b->waiting);
	leave_nomination(s, b->pod, b->node);
	cluster_assume(s->cluster, b->pod, b->node);
	enum status_code code = cycle_reserve(s->cycle, n, &by);
	if (code != STATUS_SUCCESS) {
		fail(b, refusal(&a, "reserve", by), by, code == STATUS_ERROR);
		return;
	}
	uint32_t timeout_ms;
	code = cycle_permit(s->cycle, n, &timeout_ms, &by);
	bool keep =
	    code == STATUS_WAIT || f->points[POINT_RESERVE].n || f->points[POINT_POST_BIND].n;
	if (keep)
		keep_cycle(s, b);
	struct cycle *c = keep ? b->cycle : s->cycle;
	if (code == STATUS_WAIT) {
		b->timeout_ms = scheduler_now_ms(s) + timeout_ms;
		b->held_by = by;
		list_add_tail(&s->waiting, &b->waiting);
	} else if (code != STATUS_SUCCESS) {
		fail(b, refusal(&a, "permit", by), by, code == STATUS_ERROR);
	} else {
		finish(b, c, n);
	}
}

static void check_one(struct scheduler *s, struct binding *b)
{
	_cleanup_arena_ struct arena a = {0};
	const struct plugin_use *by = b->held_by;
	struct node_info *n = cluster_find(s->cluster, b->node);
	uint32_t timeout_ms;
	enum status_code code =
	    n ? cycle_permit(b->cycle, n, &timeout_ms, &by) : STATUS_UNSCHEDULABLE;
	if (code == STATUS_WAIT && scheduler_now_ms(s) < b->timeout_ms)
		return;
	list_del(&b->waiting);
	if (code == STATUS_SUCCESS)
		finish(b, b->cycle, n);
	else if (code == STATUS_WAIT)
		fail(b,
		     arena_printf(&a, "rejected due to timeout after waiting at plugin %s",
		                  by->plugin->name),
		     by, false);
	else
		fail(b, refusal(&a, "permit", by), by, code == STATUS_ERROR);
}

void bind_check_waiting(struct scheduler *s)
{
	LIST_FOREACH (&s->waiting, b, struct binding, waiting)
		check_one(s, b);
}

uint64_t bind_deadline(const struct scheduler *s)
{
	uint64_t at = UINT64_MAX;
	LIST_FOREACH (&s->waiting, b, struct binding, waiting)
		at = MIN(at, b->timeout_ms);
	return at;
}

bool bind_reject(struct scheduler *s, const char *key, const char *why)
{
	LIST_FOREACH (&s->waiting, b, struct binding, waiting)
		if (!strcmp(b->pod->key, key)) {
			list_del(&b->waiting);
			fail(b, why, b->held_by, false);
			return true;
		}
	return false;
}
