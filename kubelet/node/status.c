/* SPDX-License-Identifier: Apache-2.0 */
/* The status of the Node object. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "kubelet/eviction/eviction.h"
#include "kubelet/node/internal.h"
#include "kubelet/pod/pod.h"
#include "proto/schema_messages.h"

enum { NAMES_MAX = 5 };

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

static bool is_huge(const char *resource)
{
	return !strncmp(resource, "hugepages-", 10);
}

static int64_t pods_capacity(const struct node *n)
{
	const struct kubelet_config *c = n->k->config;
	int64_t by_core = c->pods_per_core * n->machine.cpus;
	return by_core > 0 ? MIN(by_core, c->max_pods) : c->max_pods;
}

static struct quantity capacity(const struct node *n, const char *resource)
{
	const struct machine *m = &n->machine;
	if (!strcmp(resource, "cpu"))
		return quantity_from_int(m->cpus, QUANTITY_DECIMAL_SI);
	if (!strcmp(resource, "pods"))
		return quantity_from_int(pods_capacity(n), QUANTITY_DECIMAL_SI);
	if (!strcmp(resource, "memory"))
		return quantity_from_int(m->memory_bytes / 1024 * 1024, QUANTITY_BINARY_SI);
	if (!strcmp(resource, "ephemeral-storage"))
		return quantity_from_int(m->disk_bytes / 1024 * 1024, QUANTITY_BINARY_SI);
	for (size_t i = 0; i < m->n_huge; i++)
		if (!strcmp(resource, m->huge[i].resource))
			return quantity_from_int(m->huge[i].bytes, QUANTITY_BINARY_SI);
	return (struct quantity){0};
}

/* What is set apart for the system, the kubelet itself, and by the thresholds of eviction. */
static void reserve(const struct node *n, const char *resource, struct quantity *q)
{
	const flag_map *lists[] = {&n->k->config->system_reserved, &n->k->config->kube_reserved};
	int64_t all = quantity_value(q);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const char *text = flag_map_get(lists[i], resource);
		if (text) {
			struct quantity r = quantity_of(text);
			quantity_sub(q, &r);
		}
	}
	int64_t kept = eviction_reserved(eviction_thresholds(n->k->eviction), resource, all);
	for (size_t i = 0; !strcmp(resource, "memory") && i < n->machine.n_huge; i++)
		kept += n->machine.huge[i].bytes;
	struct quantity r = quantity_from_int(kept, q->format);
	quantity_sub(q, &r);
}

void node_allocatable(const struct node *n, const char *resource, char out[QUANTITY_BYTES])
{
	struct quantity q = capacity(n, resource);
	if (!strcmp(resource, "ephemeral-storage"))
		q.format = QUANTITY_DECIMAL_SI;
	if (strcmp(resource, "pods") && !is_huge(resource))
		reserve(n, resource, &q);
	if (quantity_sign(&q) < 0)
		q = (struct quantity){0};
	quantity_format_text(&q, out);
}

static Quantity__Quantity *quantity_msg(struct arena *a, const char *text)
{
	Quantity__Quantity *q = arena_new(a, Quantity__Quantity);
	*q = (Quantity__Quantity)QUANTITY__QUANTITY__INIT;
	q->string = arena_strdup(a, text);
	return q;
}

static void add_resource(CoreV1__NodeStatus *s, struct arena *a, const char *name,
                         Quantity__Quantity *capacity, Quantity__Quantity *allocatable)
{
	CoreV1__NodeStatus__CapacityEntry *c = arena_new(a, CoreV1__NodeStatus__CapacityEntry);
	*c = (CoreV1__NodeStatus__CapacityEntry)CORE_V1__NODE_STATUS__CAPACITY_ENTRY__INIT;
	c->key = TEXT(name);
	c->value = capacity;
	s->capacity[s->n_capacity++] = c;
	CoreV1__NodeStatus__AllocatableEntry *l =
	    arena_new(a, CoreV1__NodeStatus__AllocatableEntry);
	*l = (CoreV1__NodeStatus__AllocatableEntry)CORE_V1__NODE_STATUS__ALLOCATABLE_ENTRY__INIT;
	l->key = TEXT(name);
	l->value = allocatable;
	s->allocatable[s->n_allocatable++] = l;
}

static void set_resource(const struct node *n, CoreV1__NodeStatus *s, struct arena *a,
                         const char *name)
{
	char text[QUANTITY_BYTES];
	struct quantity q = capacity(n, name);
	quantity_format_text(&q, text);
	Quantity__Quantity *all = quantity_msg(a, text);
	node_allocatable(n, name, text);
	add_resource(s, a, name, all, quantity_msg(a, text));
}

/* Extended resources (example.com/thing) that others have written stay, all of them allocatable. */
static void set_resources(const struct node *n, CoreV1__NodeStatus *s, struct arena *a)
{
	static const char *const names[] = {"cpu", "ephemeral-storage", "memory", "pods"};
	CoreV1__NodeStatus__CapacityEntry **old = s->capacity;
	size_t n_old = s->n_capacity, count = ARRAY_LEN(names) + n->machine.n_huge + n_old;
	s->capacity = arena_array(a, CoreV1__NodeStatus__CapacityEntry *, count);
	s->allocatable = arena_array(a, CoreV1__NodeStatus__AllocatableEntry *, count);
	s->n_capacity = s->n_allocatable = 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		set_resource(n, s, a, names[i]);
	for (size_t i = 0; i < n->machine.n_huge; i++)
		set_resource(n, s, a, n->machine.huge[i].resource);
	for (size_t i = 0; i < n_old; i++)
		if (strchr(old[i]->key, '/'))
			add_resource(s, a, old[i]->key, old[i]->value, old[i]->value);
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

/* Each pressure in both states. */
static const struct {
	const char *type, *reason[2], *message[2];
} pressures[PRESSURE_COUNT] = {
    [PRESSURE_MEMORY] = {"MemoryPressure",
                         {"KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"},
                         {"kubelet has sufficient memory available",
                          "kubelet has insufficient memory available"}},
    [PRESSURE_DISK] = {"DiskPressure",
                       {"KubeletHasNoDiskPressure", "KubeletHasDiskPressure"},
                       {"kubelet has no disk pressure", "kubelet has disk pressure"}},
    [PRESSURE_PID] = {"PIDPressure",
                      {"KubeletHasSufficientPID", "KubeletHasInsufficientPID"},
                      {"kubelet has sufficient PID available",
                       "kubelet has insufficient PID available"}},
};

static void add_reason(struct buf *b, const char *text)
{
	buf_printf(b, "%s%s", b->len ? ", " : "", text);
}

/* Why the node is not ready; empty: it is. */
static void find_faults(const struct node *n, struct buf *b)
{
	struct err err = ERR_INIT;
	const CriV1__RuntimeStatus *r = n->runtime ? n->runtime->status : NULL;
	size_t count = 0;
	if (!n->runtime) {
		add_reason(b, "container runtime is down");
		count++;
	}
	for (size_t i = 0; r && i < r->n_conditions; i++) {
		const CriV1__RuntimeCondition *c = r->conditions[i];
		bool network = !strcmp(c->type, "NetworkReady");
		if (c->status || (!network && strcmp(c->type, "RuntimeReady")))
			continue;
		_cleanup_arena_ struct arena a = {0};
		add_reason(b,
		           arena_printf(&a,
		                        "container runtime%s not ready: %s=false reason:%s "
		                        "message:%s",
		                        network ? " network" : "", c->type, c->reason, c->message));
		count++;
	}
	if (pods_check(n->k->pods, &err)) {
		add_reason(b, err.text);
		count++;
	}
	if (count > 1) {
		struct buf all = BUF_INIT;
		buf_printf(&all, "[%.*s]", (int)b->len, (const char *)b->data);
		buf_deinit(b);
		*b = all;
	}
}

static void set_conditions(const struct node *n, CoreV1__NodeStatus *s, struct arena *a)
{
	for (int i = 0; i < PRESSURE_COUNT; i++) {
		bool is = eviction_pressure(n->k->eviction, (enum pressure)i);
		set_condition(s, a, pressures[i].type, is, pressures[i].reason[is],
		              pressures[i].message[is]);
	}
	_cleanup_buf_ struct buf bad = BUF_INIT;
	find_faults(n, &bad);
	set_condition(s, a, "Ready", !bad.len, bad.len ? "KubeletNotReady" : "KubeletReady",
	              bad.len ? (const char *)bad.data : "kubelet is posting ready status");
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
		x->names = arena_array(a, char *, NAMES_MAX);
		for (size_t k = 0; k < im->n_repo_digests && x->n_names < NAMES_MAX; k++)
			x->names[x->n_names++] = im->repo_digests[k];
		for (size_t k = 0; k < im->n_repo_tags && x->n_names < NAMES_MAX; k++)
			x->names[x->n_names++] = im->repo_tags[k];
		x->has_size_bytes = 1;
		x->size_bytes = (int64_t)im->size;
		s->images[s->n_images++] = x;
	}
	qsort(s->images, s->n_images, sizeof(*s->images), by_size);
	if (n->k->config->max_images >= 0)
		s->n_images = MIN(s->n_images, (size_t)n->k->config->max_images);
}

static void set_handlers(const struct node *n, CoreV1__NodeStatus *s, struct arena *a)
{
	const CriV1__StatusResponse *r = n->runtime;
	if (!r)
		return; /* as they were */
	s->runtime_handlers =
	    arena_array(a, CoreV1__NodeRuntimeHandler *, r->n_runtime_handlers + 1);
	s->n_runtime_handlers = 0;
	for (size_t i = 0; i < r->n_runtime_handlers; i++) {
		const CriV1__RuntimeHandlerFeatures *f = r->runtime_handlers[i]->features;
		CoreV1__NodeRuntimeHandler *h =
		    (CoreV1__NodeRuntimeHandler *)pb_new(&core_v1__node_runtime_handler_schema, a);
		h->name = arena_strdup(a, r->runtime_handlers[i]->name);
		if (f) {
			h->features = (CoreV1__NodeRuntimeHandlerFeatures *)pb_new(
			    &core_v1__node_runtime_handler_features_schema, a);
			h->features->has_recursive_read_only_mounts = 1;
			h->features->recursive_read_only_mounts = f->recursive_read_only_mounts;
			h->features->has_user_namespaces = 1;
			h->features->user_namespaces = f->user_namespaces;
		}
		s->runtime_handlers[s->n_runtime_handlers++] = h;
	}
}

void node_fill_status(const struct node *n, CoreV1__NodeStatus *s, struct arena *a)
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
	set_handlers(n, s, a);
}
