/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the Node object: registers it, writes its status when it changes. */
#include "kubelet/node/node.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/node/internal.h"
#include "kubelet/pod/pod.h"
#include "kubelet/static/statics.h"
#include "proto/msg.h"
#include "proto/schema_messages.h"

enum {
	RETRY_MS = 1000,
	STATUS_TIMEOUT_MS = 10000,
	IMAGES_MS = 60000,
	FIRST_WAIT_MS = 20,
	FIRST_WAITS_MAX = 100
};

static struct client_target target(const struct node *n, const char *sub)
{
	return (struct client_target){{"", "v1", "nodes"}, "", n->k->config->node_name, sub};
}

/* Events */

void node_event(struct node *n, bool warning, const char *reason, const char *fmt, ...)
{
	_cleanup_arena_ struct arena a = {0};
	va_list ap;
	va_start(ap, fmt);
	const char *text = arena_vprintf(&a, fmt, ap);
	va_end(ap);
	/* Events of nodes carry the name as the uid. */
	struct recorder_ref ref = {
	    .kind = "Node",
	    .name = n->k->config->node_name,
	    .uid = n->k->config->node_name,
	};
	recorder_event(n->k->recorder, &ref, warning, reason, NULL, "%s", text);
}

static const struct {
	const char *type, *on_false, *on_true;
} condition_events[] = {
    {"MemoryPressure", "NodeHasSufficientMemory", "NodeHasInsufficientMemory"},
    {"DiskPressure", "NodeHasNoDiskPressure", "NodeHasDiskPressure"},
    {"PIDPressure", "NodeHasSufficientPID", "NodeHasInsufficientPID"},
    {"Ready", "NodeNotReady", "NodeReady"},
};

static const CoreV1__NodeCondition *condition_of(const CoreV1__NodeStatus *s, const char *type)
{
	for (size_t i = 0; s && i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, type))
			return s->conditions[i];
	return NULL;
}

/* Pressures are told when the kubelet starts and when they change; readiness only when it comes or
 * goes, as seen from the status that was there before. */
static void tell_conditions(struct node *n, const CoreV1__NodeStatus *old,
                            const CoreV1__NodeStatus *s)
{
	const size_t ready = ARRAY_LEN(condition_events) - 1;
	const CoreV1__NodeCondition *was = condition_of(old, condition_events[ready].type);
	if (!n->told[ready] && was)
		n->told[ready] = *was->status;
	for (size_t i = 0; i < ARRAY_LEN(condition_events); i++) {
		const CoreV1__NodeCondition *y = condition_of(s, condition_events[i].type);
		if (!y || n->told[i] == *y->status)
			continue;
		n->told[i] = *y->status;
		const char *reason = !strcmp(y->status, "True") ? condition_events[i].on_true
		                                                : condition_events[i].on_false;
		node_event(n, false, reason, "Node %s status is now: %s", n->k->config->node_name,
		           reason);
	}
}

/* Writing */

static void again(struct node *n, uint64_t delay_ms)
{
	loop_timer_start(&n->timer, delay_ms);
}

static void failed(struct node *n, const struct client_result *r, const char *what)
{
	struct err err = ERR_INIT;
	ERR_IGNORE(client_result_err(r, &err)); /* for the log */
	if (r->code != ERR_CONFLICT)
		log_error(&err, "Could not keep the node up to date", LOG_STR("step", what));
	again(n, RETRY_MS);
}

static void ask_node(struct node *n);

static void keep_lease(struct node *n, const CoreV1__Node *node)
{
	if (n->lease_started)
		return;
	n->lease_started = true;
	snprintf(n->uid, sizeof(n->uid), "%s", node->metadata->uid);
	statics_wake(n->k->statics);
	lease_start(n->lease, node->metadata->uid);
}

/* The heartbeats do not count as a change. */
static bool same_status(const CoreV1__NodeStatus *x, const CoreV1__NodeStatus *y, struct arena *a)
{
	CoreV1__NodeStatus *copy =
	    (CoreV1__NodeStatus *)msg_copy(&core_v1__node_status_schema, &x->base, a);
	for (size_t i = 0; i < copy->n_conditions; i++)
		for (size_t k = 0; k < y->n_conditions; k++)
			if (!strcmp(copy->conditions[i]->type, y->conditions[k]->type))
				copy->conditions[i]->last_heartbeat_time =
				    y->conditions[k]->last_heartbeat_time;
	return msg_equal(&core_v1__node_status_schema, &copy->base, &y->base);
}

static void on_status(const struct client_result *r, void *arg)
{
	struct node *n = arg;
	n->call = NULL;
	if (r->code != ERR_OK) {
		failed(n, r, "status");
		return;
	}
	struct err err;
	ProtobufCMessage *msg = NULL;
	arena_deinit(&n->sent_arena);
	n->sent = NULL;
	if (!pb_decode(&core_v1__node_schema, r->object, &n->sent_arena, &msg, &err))
		n->sent = ((CoreV1__Node *)msg)->status;
	n->sent_ms = clock_mono_ms();
	again(n, (uint64_t)n->k->config->status_ms);
}

static void on_meta(const struct client_result *r, void *arg)
{
	struct node *n = arg;
	n->call = NULL;
	if (r->code != ERR_OK)
		failed(n, r, "labels");
	else
		ask_node(n);
}

static void on_node(const struct client_result *r, void *arg)
{
	struct node *n = arg;
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	ProtobufCMessage *msg = NULL;
	n->call = NULL;
	if (r->code == ERR_NOT_FOUND) {
		n->registered = false;
		again(n, 0);
		return;
	}
	if (r->code != ERR_OK || pb_decode(&core_v1__node_schema, r->object, &a, &msg, &err)) {
		failed(n, r, "read");
		return;
	}
	CoreV1__Node *node = (CoreV1__Node *)msg;
	keep_lease(n, node);
	if (node_set_labels(n, node->metadata, &a)) {
		struct client_target t = target(n, "");
		n->call = client_write_msg(n->k->client, false, &t, &core_v1__node_schema,
		                           &node->base, on_meta, n);
		return;
	}
	CoreV1__NodeStatus *old =
	    (CoreV1__NodeStatus *)msg_copy(&core_v1__node_status_schema, &node->status->base, &a);
	node_fill_status(n, node->status, &a);
	const char *boot = old->node_info->boot_id;
	if (*boot && strcmp(boot, n->machine.boot_id))
		node_event(n, true, "Rebooted", "Node %s has been rebooted, boot id: %s",
		           n->k->config->node_name, n->machine.boot_id);
	tell_conditions(n, old, node->status);
	struct client_target t = target(n, "status");
	n->call = client_write_msg(n->k->client, false, &t, &core_v1__node_schema, &node->base,
	                           on_status, n);
}

static void ask_node(struct node *n)
{
	struct client_target t = target(n, "");
	n->call = client_get(n->k->client, &t, on_node, n);
}

static void on_created(const struct client_result *r, void *arg)
{
	struct node *n = arg;
	n->call = NULL;
	if (r->code != ERR_OK && r->code != ERR_ALREADY_EXISTS) {
		failed(n, r, "register");
		return;
	}
	if (r->code == ERR_OK)
		log_info("Registered the node", LOG_STR("node", n->k->config->node_name));
	n->registered = true;
	ask_node(n);
}

static void create(struct node *n)
{
	_cleanup_arena_ struct arena a = {0};
	const struct kubelet_config *c = n->k->config;
	CoreV1__Node *node = (CoreV1__Node *)pb_new(&core_v1__node_schema, &a);
	node->metadata->name = TEXT(c->node_name);
	node_set_labels(n, node->metadata, &a);
	for (size_t i = 0; i < c->taints.n; i++)
		node_add_taint(node->spec, &a, c->taints.at[i]);
	node->spec->provider_id = TEXT(c->provider_id);
	node_fill_status(n, node->status, &a);
	tell_conditions(n, NULL, node->status);
	struct client_target t = target(n, "");
	t.name = "";
	n->call = client_write_msg(n->k->client, true, &t, &core_v1__node_schema, &node->base,
	                           on_created, n);
}

/* One round: ask the runtime, then write what changed. */

static void write_round(struct node *n)
{
	if (n->call)
		return;
	if (!n->registered && n->k->config->register_node) {
		create(n);
		return;
	}
	_cleanup_arena_ struct arena a = {0};
	uint64_t now = clock_mono_ms();
	if (n->sent && now < n->sent_ms + (uint64_t)n->k->config->status_report_ms) {
		CoreV1__NodeStatus *s = (CoreV1__NodeStatus *)msg_copy(&core_v1__node_status_schema,
		                                                       &n->sent->base, &a);
		node_fill_status(n, s, &a);
		if (same_status(s, n->sent, &a)) {
			again(n, (uint64_t)n->k->config->status_ms);
			return;
		}
	}
	ask_node(n);
}

static void on_images(const struct cri_result *r, void *arg)
{
	struct node *n = arg;
	if (r->body) {
		arena_deinit(&n->images_arena);
		n->images_arena = *r->arena;
		*r->arena = (struct arena){0};
		n->images = (const void *)r->body;
		n->images_ms = loop_now_ms(n->k->loop);
	}
	if (--n->pending == 0)
		write_round(n);
}

static void on_runtime(const struct cri_result *r, void *arg)
{
	struct node *n = arg;
	arena_deinit(&n->runtime_arena);
	n->runtime = NULL;
	if (r->body) {
		n->runtime_arena = *r->arena;
		*r->arena = (struct arena){0};
		n->runtime = (const void *)r->body;
	}
	if (--n->pending == 0)
		write_round(n);
}

static void begin_round(void *arg)
{
	struct node *n = arg;
	if (n->pending)
		return;
	/* A restart is no reason to call a node unready: the runtime's first answer comes soon. */
	if (!n->k->pods->relisted_ms && n->waits++ < FIRST_WAITS_MAX) {
		again(n, FIRST_WAIT_MS);
		return;
	}
	n->pending = 1;
	CriV1__StatusRequest s = CRI_V1__STATUS_REQUEST__INIT;
	CriV1__ListImagesRequest i = CRI_V1__LIST_IMAGES_REQUEST__INIT;
	cri_call(n->k->cri, CRI_STATUS, &s, STATUS_TIMEOUT_MS, on_runtime, n);
	/* Images change seldom, and listing them costs the runtime. */
	if (n->images && loop_now_ms(n->k->loop) < n->images_ms + IMAGES_MS)
		return;
	n->pending++;
	cri_call(n->k->cri, CRI_LIST_IMAGES, &i, CRI_TIMEOUT_MS, on_images, n);
}

void node_wake(struct node *n)
{
	if (!n->call && !n->pending && loop_timer_active(&n->timer))
		again(n, 0);
}

struct node *node_new(struct kubelet *k)
{
	struct node *n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	n->k = k;
	k->node = n;
	machine_read(&n->machine, k->config->root_dir, &n->arena);
	n->lease = lease_new(k);
	loop_timer_init(&n->timer, k->loop, begin_round, n);
	return n;
}

void node_start(struct node *n)
{
	node_event(n, false, "Starting", "Starting kubelet.");
	again(n, 0);
}

void node_free(struct node *n)
{
	if (!n)
		return;
	loop_timer_stop(&n->timer);
	if (n->call)
		client_call_drop(n->call);
	lease_free(n->lease);
	arena_deinit(&n->arena);
	arena_deinit(&n->sent_arena);
	arena_deinit(&n->images_arena);
	arena_deinit(&n->runtime_arena);
	free(n);
}
