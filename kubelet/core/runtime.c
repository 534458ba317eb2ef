/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/core/runtime.h"

#include <string.h>

static bool stale(const struct backoff *b, uint64_t since_ms)
{
	return !b->delay_ms || since_ms > b->last_ms + 2 * (uint64_t)BACKOFF_MAX_MS;
}

bool backoff_active(const struct backoff *b, uint64_t since_ms, uint64_t now_ms)
{
	return !stale(b, since_ms) && now_ms < since_ms + b->delay_ms;
}

void backoff_raise(struct backoff *b, uint64_t since_ms, uint64_t now_ms)
{
	uint64_t next = stale(b, since_ms) ? BACKOFF_INITIAL_MS : b->delay_ms * 2;
	b->delay_ms = next < BACKOFF_MAX_MS ? next : BACKOFF_MAX_MS;
	b->last_ms = now_ms;
}

/* FNV-1a over both texts and their ends. */
uint32_t container_hash(const char *name, const char *image)
{
	const char *const texts[] = {name, image};
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < 2; i++)
		for (const char *c = texts[i];; c++) {
			h = (h ^ (unsigned char)*c) * 16777619u;
			if (!*c)
				break;
		}
	return h ? h : 1;
}

const struct runtime_container *runtime_newest(const struct pod_runtime *rt, const char *name)
{
	const struct runtime_container *best = NULL;
	for (size_t i = 0; i < rt->n_containers; i++) {
		const struct runtime_container *c = &rt->containers[i];
		if (!strcmp(c->name, name) && (!best || c->created_ns > best->created_ns))
			best = c;
	}
	return best;
}

const struct runtime_container *runtime_previous(const struct pod_runtime *rt, const char *name)
{
	const struct runtime_container *newest = runtime_newest(rt, name), *best = NULL;
	for (size_t i = 0; i < rt->n_containers; i++) {
		const struct runtime_container *c = &rt->containers[i];
		if (c != newest && !strcmp(c->name, name) && c->state == CONTAINER_EXITED &&
		    (!best || c->created_ns > best->created_ns))
			best = c;
	}
	return best;
}

struct container_memory *memory_find(const struct pod_memory *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->at[i].name, name))
			return &m->at[i];
	return NULL;
}
