/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/pleg/exits.h"
#include "kubelet/pod/pod.h"
#include "kubelet/static/statics.h"
#include "kubelet/volume/volume.h"
#include "proto/schema_messages.h"

static char *dup_str(const char *s)
{
	char *r = strdup(s);
	if (!r)
		abort();
	return r;
}

uint64_t now_real_ms(void)
{
	return (uint64_t)(clock_real_ns() / 1000000);
}

static void on_timer(void *arg)
{
	pod_sync(arg);
}

struct pod *pod_new(struct pods *pods, const char *uid, const char *ns, const char *name)
{
	struct pod *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->k = pods->k;
	p->uid = dup_str(uid);
	p->ns = dup_str(ns);
	p->name = dup_str(name);
	if (asprintf(&p->key, "%s/%s", ns, name) < 0)
		abort();
	p->killed_grace = p->failed_grace = -1;
	p->born_ms = now_real_ms();
	p->seen_seconds = clock_real_ns() / 1000000000;
	p->rt.runtime_name = p->k->runtime_name;
	list_init(&p->backoffs);
	list_init(&p->kills);
	list_init(&p->probers);
	loop_timer_init(&p->timer, p->k->loop, on_timer, p);
	loop_timer_init(&p->status_timer, p->k->loop, (loop_fn)pod_status_sync, p);
	map_put_str(&pods->by_uid, uid, p);
	return p;
}

/* The i-th container: init containers, regular ones, ephemeral ones. */
static const CoreV1__Container *container_at(const struct pod *p, size_t i)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	if (i < s->n_init_containers)
		return s->init_containers[i];
	i -= s->n_init_containers;
	return i < s->n_containers ? s->containers[i] : p->ephemeral[i - s->n_containers];
}

/* The memory of containers that the spec names: the old one goes on for names that stay. */
static void memory_adopt(struct pod *p)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	size_t n = s->n_init_containers + s->n_containers + s->n_ephemeral_containers;
	struct container_memory *at = calloc(n ? n : 1, sizeof(*at));
	if (!at)
		abort();
	p->ephemeral =
	    arena_array(&p->spec_arena, CoreV1__Container *, s->n_ephemeral_containers + 1);
	for (size_t i = 0; i < s->n_ephemeral_containers; i++)
		p->ephemeral[i] = container_of_ephemeral(
		    s->ephemeral_containers[i]->ephemeral_container_common, &p->spec_arena);
	for (size_t i = 0; i < n; i++) {
		const CoreV1__Container *c = container_at(p, i);
		const char *name = c->name;
		struct container_memory *old = memory_find(&p->memory, name);
		if (old) {
			at[i] = *old;
			*old = (struct container_memory){.name = ""};
		}
		at[i].name = name;
		uint32_t hash = container_hash(c->name, c->image);
		if (at[i].hash && at[i].hash != hash) {
			/* What failed was another container. */
			at[i].crash = (struct backoff){0};
			at[i].hold_until_ms = 0;
		}
		at[i].hash = hash;
	}
	for (size_t i = 0; i < p->memory.n; i++)
		free((char *)(uintptr_t)p->memory.at[i].wait_message);
	free(p->memory.at);
	p->memory = (struct pod_memory){at, n, p->memory.resize_accepted};
}

void pod_offer(struct pod *p, CoreV1__Pod *object, int64_t revision, struct arena *a)
{
	int64_t known = p->next ? p->next_revision : p->spec ? p->revision : -1;
	if (revision < known)
		return;
	if (p->spec)
		resize_note(p, object);
	arena_deinit(&p->next_arena);
	p->next_arena = *a;
	*a = (struct arena){0};
	p->next = object;
	p->next_revision = revision;
	p->deleting = object->metadata->deletion_timestamp != NULL;
}

static uint64_t sum_of_pairs(void *entries, size_t n)
{
	struct cri_pair *const *list = entries;
	uint64_t sum = n;
	for (size_t i = 0; i < n; i++)
		sum += hash_bytes(list[i]->value, strlen(list[i]->value),
		                  hash_bytes(list[i]->key, strlen(list[i]->key), 1));
	return sum;
}

/* What users wish has changed: what failed is tried again at once. */
static void notice_wish(struct pod *p)
{
	const MetaV1__ObjectMeta *m = p->spec->metadata;
	uint64_t wish = (uint64_t)m->generation + 3 * sum_of_pairs(m->labels, m->n_labels) +
	                5 * sum_of_pairs(m->annotations, m->n_annotations);
	for (size_t i = 0; p->wish && p->wish != wish && i < p->memory.n; i++)
		p->memory.at[i].hold_until_ms = 0;
	p->wish = wish;
}

void pod_adopt(struct pod *p)
{
	if (!p->next)
		return;
	struct arena old = p->spec_arena;
	p->spec_arena = p->next_arena;
	p->next_arena = (struct arena){0};
	bool first = !p->spec;
	p->spec = TAKE(p->next);
	p->revision = p->next_revision;
	memory_adopt(p);
	if (first)
		resize_note(p, p->spec);
	notice_wish(p);
	volumes_stale(p);
	arena_deinit(&old);
	const MetaV1__Time *start = p->spec->status->start_time;
	if (start && start->has_seconds && start->seconds)
		p->seen_seconds = start->seconds;
}

void pod_forget(struct pod *p)
{
	if (p->is_static)
		statics_wake(p->k->statics);
	map_del_str(&p->k->pods->by_uid, p->uid);
	exits_forget(p->k->pods->exits, p);
	probes_stop(p);
	volumes_free(p->volumes);
	loop_timer_stop(&p->timer);
	loop_timer_stop(&p->status_timer);
	LIST_FOREACH (&p->backoffs, b, struct image_backoff, link) {
		list_del(&b->link);
		free(b->error);
		free(b);
	}
	for (size_t i = 0; i < p->memory.n; i++)
		free((char *)(uintptr_t)p->memory.at[i].wait_message);
	free(p->memory.at);
	arena_deinit(&p->spec_arena);
	arena_deinit(&p->next_arena);
	arena_deinit(&p->rt_arena);
	arena_deinit(&p->resize_arena);
	free(p->failed_reason);
	free(p->failed_message);
	free(p->disruption_reason);
	free(p->key);
	free(p->uid);
	free(p->ns);
	free(p->name);
	free(p);
}

const CoreV1__Container *pod_container_spec(const struct pod *p, const char *name)
{
	for (size_t i = 0; i < p->memory.n; i++)
		if (!strcmp(p->memory.at[i].name, name))
			return container_at(p, i);
	return NULL;
}

enum container_kind pod_container_kind(const struct pod *p, const char *name)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	for (size_t i = 0; i < p->memory.n; i++)
		if (!strcmp(p->memory.at[i].name, name))
			return i < s->n_init_containers                     ? KIND_INIT
			       : i < s->n_init_containers + s->n_containers ? KIND_REGULAR
			                                                    : KIND_EPHEMERAL;
	return KIND_REGULAR;
}

void pod_fail(struct pod *p, const char *reason, const char *message, int64_t grace_seconds,
              const char *disruption_reason)
{
	if (p->failed_reason)
		return;
	p->failed_reason = dup_str(reason);
	p->failed_message = dup_str(message);
	p->failed_grace = grace_seconds;
	p->disruption_reason = disruption_reason ? dup_str(disruption_reason) : NULL;
	pod_sync_after(p, 0);
}

struct container_memory *pod_memory_of(struct pod *p, const char *container)
{
	return memory_find(&p->memory, container);
}

const char *pod_dir(const struct pod *p, struct arena *a, const char *rest)
{
	return arena_printf(a, "%s/pods/%s%s%s", p->k->config->root_dir, p->uid, *rest ? "/" : "",
	                    rest);
}

const char *pod_log_dir(const struct pod *p, struct arena *a)
{
	return arena_printf(a, "%s/%s_%s_%s", p->k->config->logs_dir, p->ns, p->name, p->uid);
}

void pod_event(struct pod *p, const char *container, bool warning, const char *reason,
               const char *fmt, ...)
{
	_cleanup_arena_ struct arena a = {0};
	va_list ap;
	va_start(ap, fmt);
	const char *text = arena_vprintf(&a, fmt, ap);
	va_end(ap);
	const char *path = "";
	if (container) {
		static const char *const lists[] = {
		    [KIND_INIT] = "initContainers",
		    [KIND_REGULAR] = "containers",
		    [KIND_EPHEMERAL] = "ephemeralContainers",
		};
		path = arena_printf(
		    &a, "spec.%s{%s}",
		    lists[p->spec ? pod_container_kind(p, container) : KIND_REGULAR], container);
	}
	struct recorder_ref ref = {
	    .api_version = "v1",
	    .kind = "Pod",
	    .ns = p->ns,
	    .name = p->name,
	    .uid = p->uid,
	    .resource_version = arena_printf(&a, "%lld", (long long)p->revision),
	    .field_path = path,
	};
	if (p->k->recorder && !p->gone)
		recorder_event(p->k->recorder, &ref, warning, reason, NULL, "%s", text);
	log_v(2, "Event", LOG_STR("pod", p->key), LOG_STR("reason", reason),
	      LOG_STR("message", text));
}

const char *pod_address(const struct pod *p)
{
	if (p->spec->spec->host_network)
		return p->k->config->node_ip;
	return p->rt.n_sandboxes && p->rt.sandboxes[0].n_ips ? p->rt.sandboxes[0].ips[0] : NULL;
}

static bool has_ended(const CoreV1__Pod *pod)
{
	const char *phase = pod && pod->status->phase ? pod->status->phase : "";
	return !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed");
}

bool pod_is_terminal(const struct pod *p)
{
	return has_ended(p->spec);
}

bool pod_is_known_terminal(const struct pod *p)
{
	return has_ended(p->spec) || has_ended(p->next);
}
