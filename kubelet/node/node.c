/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/node/node.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/node/machine.h"
#include "kubelet/pod/pod.h"
#include "kubelet/static/statics.h"
#include "proto/msg.h"
#include "proto/schema_messages.h"

enum {
	RETRY_MS = 1000,
	IMAGES_MAX = 50,
	MEMORY_PRESSURE_BYTES = 100 << 20, /* eviction's memory.available */
};
static const double disk_pressure_fraction = 0.10; /* eviction's nodefs.available */

struct node {
	struct kubelet *k;
	struct arena arena; /* of the machine's facts */
	struct machine machine;
	struct lease *lease;
	struct loop_timer timer;
	struct client_call *call;
	bool registered, lease_started;
	char uid[64];
	/* What was written last, without the heartbeats, and when. */
	struct arena sent_arena;
	CoreV1__NodeStatus *sent;
	uint64_t sent_ms;
	/* The newest answers of the runtime. */
	struct arena images_arena;
	const CriV1__ListImagesResponse *images;
	bool runtime_ready, network_ready;
	char runtime_text[256];
	unsigned pending;
};

#define TEXT(s) ((char *)(uintptr_t)(s))

static struct client_target target(const struct node *n, const char *sub)
{
	return (struct client_target){{"", "v1", "nodes"}, "", n->k->config->node_name, sub};
}

/* Resources */

int64_t node_memory_bytes(const struct node *n)
{
	return n->machine.memory_bytes;
}

const char *node_uid_of(const struct node *n)
{
	return n->uid;
}

int64_t node_cpus(const struct node *n)
{
	return n->machine.cpus;
}

int64_t node_pids_max(void)
{
	return machine_pids_max();
}

/* What is set apart for the system and the kubelet itself. */
static void reserve(const struct node *n, const char *resource, struct quantity *q)
{
	const flag_map *lists[] = {&n->k->config->system_reserved, &n->k->config->kube_reserved};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const char *text = flag_map_get(lists[i], resource);
		if (text) {
			struct quantity r = quantity_of(text);
			quantity_sub(q, &r);
		}
	}
	/* The eviction threshold keeps this much memory free. */
	if (!strcmp(resource, "memory")) {
		struct quantity r = quantity_from_int(MEMORY_PRESSURE_BYTES, QUANTITY_BINARY_SI);
		quantity_sub(q, &r);
	}
}

static struct quantity capacity(const struct node *n, const char *resource)
{
	const struct machine *m = &n->machine;
	if (!strcmp(resource, "cpu"))
		return quantity_from_int(m->cpus, QUANTITY_DECIMAL_SI);
	if (!strcmp(resource, "pods"))
		return quantity_from_int(n->k->config->max_pods, QUANTITY_DECIMAL_SI);
	if (!strcmp(resource, "memory"))
		return quantity_from_int(m->memory_bytes / 1024 * 1024, QUANTITY_BINARY_SI);
	if (!strcmp(resource, "ephemeral-storage"))
		return quantity_from_int(m->disk_bytes / 1024 * 1024, QUANTITY_BINARY_SI);
	return (struct quantity){0};
}

void node_allocatable(const struct node *n, const char *resource, char out[QUANTITY_BYTES])
{
	struct quantity q = capacity(n, resource);
	reserve(n, resource, &q);
	/* Of the disk nine tenths: the rest is the threshold of eviction. */
	if (!strcmp(resource, "ephemeral-storage"))
		q = quantity_from_int(quantity_value(&q) / 10 * 9, QUANTITY_DECIMAL_SI);
	if (quantity_sign(&q) < 0)
		q = (struct quantity){0};
	quantity_format_text(&q, out);
}

static const char *const resource_names[] = {"cpu", "ephemeral-storage", "memory", "pods"};

static Quantity__Quantity *quantity_msg(struct arena *a, const char *text)
{
	Quantity__Quantity *q = arena_new(a, Quantity__Quantity);
	*q = (Quantity__Quantity)QUANTITY__QUANTITY__INIT;
	q->string = arena_strdup(a, text);
	return q;
}

static void set_resources(const struct node *n, CoreV1__NodeStatus *s, struct arena *a)
{
	size_t count = ARRAY_LEN(resource_names);
	s->capacity = arena_array(a, CoreV1__NodeStatus__CapacityEntry *, count);
	s->allocatable = arena_array(a, CoreV1__NodeStatus__AllocatableEntry *, count);
	s->n_capacity = s->n_allocatable = count;
	for (size_t i = 0; i < count; i++) {
		char text[QUANTITY_BYTES];
		struct quantity q = capacity(n, resource_names[i]);
		quantity_format_text(&q, text);
		CoreV1__NodeStatus__CapacityEntry *c =
		    arena_new(a, CoreV1__NodeStatus__CapacityEntry);
		*c = (CoreV1__NodeStatus__CapacityEntry)CORE_V1__NODE_STATUS__CAPACITY_ENTRY__INIT;
		c->key = TEXT(resource_names[i]);
		c->value = quantity_msg(a, text);
		s->capacity[i] = c;
		node_allocatable(n, resource_names[i], text);
		CoreV1__NodeStatus__AllocatableEntry *l =
		    arena_new(a, CoreV1__NodeStatus__AllocatableEntry);
		*l = (CoreV1__NodeStatus__AllocatableEntry)
		    CORE_V1__NODE_STATUS__ALLOCATABLE_ENTRY__INIT;
		l->key = TEXT(resource_names[i]);
		l->value = quantity_msg(a, text);
		s->allocatable[i] = l;
	}
}

/* Conditions */

static MetaV1__Time *time_at(struct arena *a, int64_t seconds)
{
	MetaV1__Time *t = arena_new(a, MetaV1__Time);
	*t = (MetaV1__Time)META_V1__TIME__INIT;
	t->has_seconds = 1;
	t->seconds = seconds;
	return t;
}

static void set_condition(CoreV1__NodeStatus *s, struct arena *a, const char *type, bool value,
                          const char *reason, const char *message)
{
	int64_t now = clock_real_ns() / 1000000000;
	CoreV1__NodeCondition *c = NULL;
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, type))
			c = s->conditions[i];
	if (!c) {
		c = (CoreV1__NodeCondition *)pb_new(&core_v1__node_condition_schema, a);
		c->type = TEXT(type);
		s->conditions = arena_grow(a, s->conditions, s->n_conditions * sizeof(c),
		                           (s->n_conditions + 1) * sizeof(c));
		s->conditions[s->n_conditions++] = c;
	}
	const char *status = value ? "True" : "False";
	if (strcmp(c->status, status))
		c->last_transition_time = time_at(a, now);
	c->last_heartbeat_time = time_at(a, now);
	c->status = TEXT(status);
	c->reason = TEXT(reason);
	c->message = arena_strdup(a, message);
}

static void set_conditions(const struct node *n, CoreV1__NodeStatus *s, struct arena *a)
{
	double disk;
	machine_disk_available(n->k->config->root_dir, &disk);
	bool memory_low = machine_memory_available() < MEMORY_PRESSURE_BYTES;
	bool disk_low = disk < disk_pressure_fraction;
	set_condition(s, a, "MemoryPressure", memory_low,
	              memory_low ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
	              memory_low ? "kubelet has insufficient memory available"
	                         : "kubelet has sufficient memory available");
	set_condition(s, a, "DiskPressure", disk_low,
	              disk_low ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
	              disk_low ? "kubelet has disk pressure" : "kubelet has no disk pressure");
	set_condition(s, a, "PIDPressure", false, "KubeletHasSufficientPID",
	              "kubelet has sufficient PID available");
	struct err err = ERR_INIT;
	const char *bad = NULL;
	if (pods_check(n->k->pods, &err))
		bad = err.text;
	else if (!n->runtime_ready || !n->network_ready)
		bad = n->runtime_text;
	set_condition(s, a, "Ready", !bad, bad ? "KubeletNotReady" : "KubeletReady",
	              bad ? bad : "kubelet is posting ready status");
}

/* The rest of the status */

static void add_address(CoreV1__NodeStatus *s, struct arena *a, const char *type, const char *value)
{
	CoreV1__NodeAddress *x = (CoreV1__NodeAddress *)pb_new(&core_v1__node_address_schema, a);
	x->type = TEXT(type);
	x->address = TEXT(value);
	s->addresses[s->n_addresses++] = x;
}

static int by_size(const void *a, const void *b)
{
	CoreV1__ContainerImage *const *x = a, *const *y = b;
	return ((*x)->size_bytes < (*y)->size_bytes) - ((*x)->size_bytes > (*y)->size_bytes);
}

static void set_images(const struct node *n, CoreV1__NodeStatus *s, struct arena *a)
{
	size_t count = n->images ? n->images->n_images : 0;
	s->images = arena_array(a, CoreV1__ContainerImage *, count + 1);
	s->n_images = 0;
	for (size_t i = 0; i < count; i++) {
		const CriV1__Image *im = n->images->images[i];
		CoreV1__ContainerImage *x =
		    (CoreV1__ContainerImage *)pb_new(&core_v1__container_image_schema, a);
		size_t names = im->n_repo_digests + im->n_repo_tags;
		x->names = arena_array(a, char *, names + 1);
		for (size_t k = 0; k < im->n_repo_digests; k++)
			x->names[x->n_names++] = im->repo_digests[k];
		for (size_t k = 0; k < im->n_repo_tags; k++)
			x->names[x->n_names++] = im->repo_tags[k];
		x->has_size_bytes = 1;
		x->size_bytes = (int64_t)im->size;
		s->images[s->n_images++] = x;
	}
	qsort(s->images, s->n_images, sizeof(*s->images), by_size);
	s->n_images = MIN(s->n_images, (size_t)IMAGES_MAX);
}

static void fill_status(const struct node *n, CoreV1__NodeStatus *s, struct arena *a)
{
	const struct machine *m = &n->machine;
	const struct kubelet_config *c = n->k->config;
	set_resources(n, s, a);
	set_conditions(n, s, a);
	s->addresses = arena_array(a, CoreV1__NodeAddress *, 2);
	s->n_addresses = 0;
	add_address(s, a, "InternalIP", c->node_ip);
	add_address(s, a, "Hostname", c->node_name);
	s->daemon_endpoints->kubelet_endpoint->has_port = 1;
	s->daemon_endpoints->kubelet_endpoint->port = (int32_t)c->port;
	CoreV1__NodeSystemInfo *i = s->node_info;
	i->machine_id = TEXT(m->machine_id);
	i->system_uuid = TEXT(m->system_uuid);
	i->boot_id = TEXT(m->boot_id);
	i->kernel_version = TEXT(m->kernel_version);
	i->os_image = TEXT(m->os_image);
	i->container_runtime_version =
	    arena_printf(a, "%s://%s", n->k->runtime_name, n->k->runtime_version);
	i->kubelet_version = TEXT(KUBERNETES_VERSION);
	i->kube_proxy_version = (char *)"";
	i->operating_system = (char *)"linux";
	i->architecture = TEXT(m->architecture);
	set_images(n, s, a);
}

/* Labels */

static bool set_label(MetaV1__ObjectMeta *m, struct arena *a, const char *key, const char *value)
{
	for (size_t i = 0; i < m->n_labels; i++)
		if (!strcmp(m->labels[i]->key, key)) {
			bool same = !strcmp(m->labels[i]->value, value);
			m->labels[i]->value = TEXT(value);
			return !same;
		}
	MetaV1__ObjectMeta__LabelsEntry *e = arena_new(a, MetaV1__ObjectMeta__LabelsEntry);
	*e = (MetaV1__ObjectMeta__LabelsEntry)META_V1__OBJECT_META__LABELS_ENTRY__INIT;
	e->key = TEXT(key);
	e->value = TEXT(value);
	m->labels =
	    arena_grow(a, m->labels, m->n_labels * sizeof(e), (m->n_labels + 1) * sizeof(e));
	m->labels[m->n_labels++] = e;
	return true;
}

static bool set_labels(const struct node *n, MetaV1__ObjectMeta *m, struct arena *a)
{
	const struct kubelet_config *c = n->k->config;
	bool changed = set_label(m, a, "kubernetes.io/hostname", c->node_name);
	changed |= set_label(m, a, "kubernetes.io/os", "linux");
	changed |= set_label(m, a, "kubernetes.io/arch", n->machine.architecture);
	changed |= set_label(m, a, "beta.kubernetes.io/os", "linux");
	changed |= set_label(m, a, "beta.kubernetes.io/arch", n->machine.architecture);
	for (size_t i = 0; i < c->node_labels.n; i++)
		changed |= set_label(m, a, c->node_labels.at[i].key, c->node_labels.at[i].value);
	return changed;
}

/* key=value:effect */
static void add_taint(CoreV1__NodeSpec *s, struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text), *colon = strrchr(copy, ':');
	if (!colon)
		return;
	*colon = 0;
	char *eq = strchr(copy, '=');
	CoreV1__Taint *t = (CoreV1__Taint *)pb_new(&core_v1__taint_schema, a);
	if (eq) {
		*eq = 0;
		t->value = eq + 1;
	}
	t->key = copy;
	t->effect = colon + 1;
	s->taints =
	    arena_grow(a, s->taints, s->n_taints * sizeof(t), (s->n_taints + 1) * sizeof(t));
	s->taints[s->n_taints++] = t;
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
	if (set_labels(n, node->metadata, &a)) {
		struct client_target t = target(n, "");
		n->call = client_write_msg(n->k->client, false, &t, &core_v1__node_schema,
		                           &node->base, on_meta, n);
		return;
	}
	fill_status(n, node->status, &a);
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
	set_labels(n, node->metadata, &a);
	for (size_t i = 0; i < c->taints.n; i++)
		add_taint(node->spec, &a, c->taints.at[i]);
	fill_status(n, node->status, &a);
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
		fill_status(n, s, &a);
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
	}
	if (--n->pending == 0)
		write_round(n);
}

static void on_runtime(const struct cri_result *r, void *arg)
{
	struct node *n = arg;
	const CriV1__StatusResponse *m = (const void *)r->body;
	n->runtime_ready = n->network_ready = false;
	snprintf(n->runtime_text, sizeof(n->runtime_text), "container runtime is down: %s",
	         r->body ? "no status" : r->text);
	for (size_t i = 0; m && m->status && i < m->status->n_conditions; i++) {
		const CriV1__RuntimeCondition *c = m->status->conditions[i];
		bool network = !strcmp(c->type, "NetworkReady");
		if (network)
			n->network_ready = c->status;
		else if (!strcmp(c->type, "RuntimeReady"))
			n->runtime_ready = c->status;
		if (!c->status)
			snprintf(n->runtime_text, sizeof(n->runtime_text),
			         "container runtime%s not ready: %s=false reason:%s message:%s",
			         network ? " network" : "", c->type, c->reason, c->message);
	}
	if (--n->pending == 0)
		write_round(n);
}

static void begin_round(void *arg)
{
	struct node *n = arg;
	if (n->pending)
		return;
	n->pending = 2;
	CriV1__StatusRequest s = CRI_V1__STATUS_REQUEST__INIT;
	CriV1__ListImagesRequest i = CRI_V1__LIST_IMAGES_REQUEST__INIT;
	cri_call(n->k->cri, CRI_STATUS, &s, CRI_TIMEOUT_MS, on_runtime, n);
	cri_call(n->k->cri, CRI_LIST_IMAGES, &i, CRI_TIMEOUT_MS, on_images, n);
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
	free(n);
}
