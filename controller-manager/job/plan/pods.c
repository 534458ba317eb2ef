/* SPDX-License-Identifier: Apache-2.0 */
/* What a Job asks of its pods, and what it gives them. */
#include <stdlib.h>
#include <string.h>
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/job/plan/internal.h"
#include "proto/meta_labels.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

enum { GENERATE_NAME_MAX = 58 };

bool job_pod_has_finalizer(const CoreV1__Pod *pod)
{
	for (size_t i = 0; i < pod->metadata->n_finalizers; i++)
		if (!strcmp(pod->metadata->finalizers[i], JOB_FINALIZER))
			return true;
	return false;
}

bool job_pod_tracked(const struct job_state *s, const CoreV1__Pod *pod)
{
	return job_pod_has_finalizer(pod) &&
	       !(s->in->released && map_get_str(s->in->released, pod->metadata->uid));
}

int32_t job_index_of(const struct job_state *s, const CoreV1__Pod *pod)
{
	const char *text = meta_annotation(pod->metadata, INDEX_ANNOTATION);
	char *end;
	long long index = text ? strtoll(text, &end, 10) : -1;
	if (!text || end == text || *end || index < 0 || index >= s->job->spec->completions)
		return -1;
	return (int32_t)index;
}

int32_t job_annotation(const CoreV1__Pod *pod, const char *key)
{
	const char *text = meta_annotation(pod->metadata, key);
	long long n = text ? strtoll(text, NULL, 10) : 0;
	return n < 0 || n > INT32_MAX ? 0 : (int32_t)n;
}

bool job_pod_failed(const struct job_state *s, const CoreV1__Pod *pod)
{
	if (!strcmp(pod->status->phase, "Failed"))
		return true;
	/* A pod that is being deleted may never get to the phase Failed. */
	return !s->only_failed && pod->metadata->deletion_timestamp &&
	       strcmp(pod->status->phase, "Succeeded");
}

bool job_uid_in(char *const *uids, size_t n, const char *uid)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(uids[i], uid))
			return true;
	return false;
}

/* When the last container ended; 0: not all have. */
static int64_t containers_end_s(const CoreV1__Pod *pod)
{
	int64_t last = 0;
	for (size_t i = 0; i < pod->status->n_container_statuses; i++) {
		const CoreV1__ContainerState *st = pod->status->container_statuses[i]->state;
		if (!st || !st->terminated || !st->terminated->finished_at ||
		    !st->terminated->finished_at->seconds)
			return 0;
		last = MAX(last, st->terminated->finished_at->seconds);
	}
	return last;
}

int64_t job_pod_end_s(const CoreV1__Pod *pod, int64_t now_s)
{
	const CoreV1__PodCondition *ready = pod_condition(pod, "Ready");
	const MetaV1__ObjectMeta *meta = pod->metadata;
	int64_t end = containers_end_s(pod);
	if (!end && ready && !strcmp(ready->status, "False") && ready->last_transition_time)
		end = ready->last_transition_time->seconds;
	if (!end && meta->deletion_timestamp)
		end = meta->deletion_timestamp->seconds - meta->deletion_grace_period_seconds;
	if (!end && meta->creation_timestamp)
		end = meta->creation_timestamp->seconds;
	return end ? end : now_s;
}

/* --- what a new pod gets --- */

static CoreV1__EnvVar *index_variable(struct arena *a)
{
	CoreV1__EnvVar *e = (CoreV1__EnvVar *)pb_new(&core_v1__env_var_schema, a);
	e->name = TEXT("JOB_COMPLETION_INDEX");
	e->value_from = (CoreV1__EnvVarSource *)pb_new(&core_v1__env_var_source_schema, a);
	e->value_from->field_ref =
	    (CoreV1__ObjectFieldSelector *)pb_new(&core_v1__object_field_selector_schema, a);
	e->value_from->field_ref->field_path = TEXT("metadata.labels['" INDEX_ANNOTATION "']");
	return e;
}

static CoreV1__Container **with_index(CoreV1__Container *const *list, size_t n, struct arena *a)
{
	CoreV1__Container **copies = arena_array(a, CoreV1__Container *, n);
	for (size_t i = 0; i < n; i++) {
		CoreV1__Container *c = copies[i] = arena_memdup(a, list[i], sizeof(**list));
		bool there = false;
		for (size_t k = 0; k < c->n_env; k++)
			there |= !strcmp(c->env[k]->name, "JOB_COMPLETION_INDEX");
		if (there)
			continue;
		CoreV1__EnvVar **env = arena_array(a, CoreV1__EnvVar *, c->n_env + 1);
		for (size_t k = 0; k < c->n_env; k++)
			env[k] = c->env[k];
		env[c->n_env++] = index_variable(a);
		c->env = env;
	}
	return copies;
}

static void shape_indexed(const BatchV1__Job *job, const struct job_pod *p, CoreV1__Pod *pod,
                          struct arena *a)
{
	MetaV1__ObjectMeta *meta = pod->metadata;
	CoreV1__PodSpec *spec = pod->spec = arena_memdup(a, pod->spec, sizeof(*spec));
	const char *index = arena_printf(a, "%d", p->index);
	const char *name = job->metadata->name, *suffix = arena_printf(a, "-%d-", p->index);
	size_t room = GENERATE_NAME_MAX - strlen(suffix), n = MIN(strlen(name), room);
	meta->generate_name = arena_printf(a, "%.*s%s", (int)n, name, suffix);
	meta_set_annotation(meta, a, INDEX_ANNOTATION, index);
	meta_set_label(meta, a, INDEX_ANNOTATION, index);
	if (p->failures >= 0)
		meta_set_annotation(meta, a, FAILURES_ANNOTATION,
		                    arena_printf(a, "%d", p->failures));
	if (p->ignored_failures > 0)
		meta_set_annotation(meta, a, IGNORED_ANNOTATION,
		                    arena_printf(a, "%d", p->ignored_failures));
	spec->hostname = arena_printf(a, "%s-%s", name, index);
	spec->containers = with_index(spec->containers, spec->n_containers, a);
	spec->init_containers = with_index(spec->init_containers, spec->n_init_containers, a);
}

void job_shape_pod(const BatchV1__Job *job, const struct job_pod *p, CoreV1__Pod *pod,
                   struct arena *a)
{
	MetaV1__ObjectMeta *meta = pod->metadata;
	if (!job_pod_has_finalizer(pod)) {
		char **list = arena_array(a, char *, meta->n_finalizers + 1);
		for (size_t i = 0; i < meta->n_finalizers; i++)
			list[i] = meta->finalizers[i];
		list[meta->n_finalizers++] = TEXT(JOB_FINALIZER);
		meta->finalizers = list;
	}
	if (p->index >= 0)
		shape_indexed(job, p, pod, a);
}
