/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what the runtime has of one pod: its sandboxes, then its containers, each with its status.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "kubelet/pod/pod.h"

/* A container's last words, at most. */
enum { MESSAGE_BYTES_MAX = 4096, MESSAGE_LINES_MAX = 80, MESSAGE_LOG_BYTES_MAX = 2048 };

struct observation {
	struct pod *pod;
	struct arena arena;
	struct pod_runtime rt;
	size_t cap_sandboxes, cap_containers;
	unsigned pending;
	uint64_t mark;
	bool failed;
};

struct status_call {
	struct observation *o;
	size_t i;
};

uint64_t observe_mark(const char *id, int state)
{
	return hash_bytes(id, strlen(id), 0x9e3779b97f4a7c15u * (uint64_t)(state + 1));
}

static int newest_sandbox_first(const void *a, const void *b)
{
	const struct runtime_sandbox *x = a, *y = b;
	return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

static int newest_container_first(const void *a, const void *b)
{
	const struct runtime_container *x = a, *y = b;
	return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

static void finish(struct observation *o)
{
	struct pod *p = o->pod;
	if (o->failed) {
		arena_deinit(&o->arena);
		free(o);
		p->busy--;
		pod_sync_after(p, 1000);
		return;
	}
	qsort(o->rt.sandboxes, o->rt.n_sandboxes, sizeof(*o->rt.sandboxes), newest_sandbox_first);
	qsort(o->rt.containers, o->rt.n_containers, sizeof(*o->rt.containers),
	      newest_container_first);
	arena_deinit(&p->rt_arena);
	p->rt_arena = o->arena;
	p->rt = o->rt;
	p->rt.runtime_name = p->k->runtime_name;
	p->rt_mark = o->mark;
	p->rt_fresh = p->rt_seen = true;
	pods_observed(p->k->pods, p);
	free(o);
	p->busy--;
	pod_sync(p);
}

static void answered(struct observation *o)
{
	if (--o->pending == 0)
		finish(o);
}

/* The end of a file, at most max bytes. */
static const char *tail_of(const char *path, size_t max, struct arena *a)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return NULL;
	if (!fseek(f, 0, SEEK_END)) {
		long size = ftell(f);
		if (fseek(f, size > (long)max ? size - (long)max : 0, SEEK_SET))
			rewind(f);
	}
	char *text = arena_alloc(a, max + 1);
	size_t n = fread(text, 1, max, f);
	fclose(f);
	text[n] = 0;
	return text;
}

/* What an ended container left in its message file or, when asked for, at the end of its log. */
static const char *last_words(const CriV1__ContainerStatus *s, struct arena *a)
{
	const char *inside =
	    cri_pair_get(s->annotations, s->n_annotations, ANNOTATION_MESSAGE_PATH);
	const char *policy =
	    cri_pair_get(s->annotations, s->n_annotations, ANNOTATION_MESSAGE_POLICY);
	for (size_t i = 0; *inside && i < s->n_mounts; i++) {
		if (strcmp(s->mounts[i]->container_path, inside))
			continue;
		const char *text = tail_of(s->mounts[i]->host_path, MESSAGE_BYTES_MAX, a);
		if (text && *text)
			return text;
	}
	if (strcmp(policy, "FallbackToLogsOnError") || !s->exit_code || !*s->log_path)
		return s->message;
	/* Lines of "time stream P|F text": only the text counts. */
	const char *log = tail_of(s->log_path, 16384, a);
	_cleanup_buf_ struct buf out = BUF_INIT;
	for (const char *p = log; p && *p;) {
		const char *end = strchr(p, '\n');
		const char *at = p;
		for (int field = 0; field < 3 && at; field++) {
			at = strchr(at, ' ');
			at = at && (!end || at < end) ? at + 1 : NULL;
		}
		if (at && end)
			buf_add(&out, at, (size_t)(end - at) + 1);
		p = end ? end + 1 : NULL;
	}
	if (!out.len)
		return s->message;
	size_t skip = out.len > MESSAGE_LOG_BYTES_MAX ? out.len - MESSAGE_LOG_BYTES_MAX : 0;
	return arena_strndup(a, out.data + skip, out.len - skip);
}

static void take_user(struct observation *o, struct runtime_container *c,
                      const CriV1__LinuxContainerUser *u)
{
	c->has_user = true;
	c->uid = u->uid;
	c->gid = u->gid;
	c->n_groups = u->n_supplemental_groups;
	c->groups =
	    arena_memdup(&o->arena, u->supplemental_groups, c->n_groups * sizeof(*c->groups));
}

static void on_container_status(const struct cri_result *r, void *arg)
{
	struct status_call *call = arg;
	struct observation *o = call->o;
	struct runtime_container *c = &o->rt.containers[call->i];
	const CriV1__ContainerStatusResponse *m = (const void *)r->body;
	if (m && m->status) {
		const CriV1__ContainerStatus *s = m->status;
		c->state = (enum container_state)s->state;
		c->created_ns = s->created_at;
		c->started_ns = s->started_at;
		c->finished_ns = s->finished_at;
		c->exit_code = s->exit_code;
		c->reason = arena_strdup(&o->arena, s->reason);
		c->message = s->state == CRI_V1__CONTAINER_STATE__CONTAINER_EXITED
		                 ? arena_strdup(&o->arena, last_words(s, r->arena))
		                 : "";
		if (s->image && *s->image->image)
			c->image = arena_strdup(&o->arena, s->image->image);
		c->image_id = arena_strdup(&o->arena, s->image_ref);
		if (s->user && s->user->linux_)
			take_user(o, c, s->user->linux_);
	} else if (r->code == RPC_NOT_FOUND) {
		c->state = CONTAINER_UNKNOWN; /* removed meanwhile: the next relist tells */
	} else {
		o->failed = true;
	}
	answered(o);
}

static void on_sandbox_status(const struct cri_result *r, void *arg)
{
	struct status_call *call = arg;
	struct observation *o = call->o;
	struct runtime_sandbox *s = &o->rt.sandboxes[call->i];
	const CriV1__PodSandboxStatusResponse *m = (const void *)r->body;
	if (m && m->status) {
		const CriV1__PodSandboxStatus *st = m->status;
		s->ready = st->state == CRI_V1__POD_SANDBOX_STATE__SANDBOX_READY;
		s->host_network =
		    st->linux_ && st->linux_->namespaces && st->linux_->namespaces->options &&
		    st->linux_->namespaces->options->network == CRI_V1__NAMESPACE_MODE__NODE;
		if (st->network && *st->network->ip) {
			size_t n = 1 + st->network->n_additional_ips;
			const char **ips = arena_array(&o->arena, const char *, n);
			ips[0] = arena_strdup(&o->arena, st->network->ip);
			for (size_t i = 1; i < n; i++)
				ips[i] =
				    arena_strdup(&o->arena, st->network->additional_ips[i - 1]->ip);
			s->ips = ips;
			s->n_ips = n;
		}
	} else if (r->code != RPC_NOT_FOUND) {
		o->failed = true;
	}
	answered(o);
}

static struct status_call *status_call(struct observation *o, size_t i)
{
	struct status_call *c = arena_new(&o->arena, struct status_call);
	*c = (struct status_call){o, i};
	o->pending++;
	return c;
}

static void ask_statuses(struct observation *o)
{
	_cleanup_arena_ struct arena a = {0};
	o->pending++;
	for (size_t i = 0; i < o->rt.n_sandboxes; i++) {
		CriV1__PodSandboxStatusRequest *q = CRI_NEW(
		    &a, CriV1__PodSandboxStatusRequest, CRI_V1__POD_SANDBOX_STATUS_REQUEST__INIT);
		q->pod_sandbox_id = (char *)(uintptr_t)o->rt.sandboxes[i].id;
		cri_call(o->pod->k->cri, CRI_POD_SANDBOX_STATUS, q, CRI_TIMEOUT_MS,
		         on_sandbox_status, status_call(o, i));
	}
	for (size_t i = 0; i < o->rt.n_containers; i++) {
		CriV1__ContainerStatusRequest *q = CRI_NEW(&a, CriV1__ContainerStatusRequest,
		                                           CRI_V1__CONTAINER_STATUS_REQUEST__INIT);
		q->container_id = (char *)(uintptr_t)o->rt.containers[i].id;
		cri_call(o->pod->k->cri, CRI_CONTAINER_STATUS, q, CRI_TIMEOUT_MS,
		         on_container_status, status_call(o, i));
	}
	answered(o);
}

static void on_containers(const struct cri_result *r, void *arg)
{
	struct observation *o = arg;
	const CriV1__ListContainersResponse *m = (const void *)r->body;
	if (!m) {
		o->failed = true;
		finish(o);
		return;
	}
	struct arena *a = &o->arena;
	o->rt.containers = arena_array(a, struct runtime_container, m->n_containers + 1);
	for (size_t i = 0; i < m->n_containers; i++) {
		const CriV1__Container *c = m->containers[i];
		struct runtime_container *x = &o->rt.containers[o->rt.n_containers++];
		*x = (struct runtime_container){
		    .id = arena_strdup(a, c->id),
		    .name = arena_strdup(a, c->metadata ? c->metadata->name : ""),
		    .sandbox_id = arena_strdup(a, c->pod_sandbox_id),
		    .attempt = c->metadata ? c->metadata->attempt : 0,
		    .state = (enum container_state)c->state,
		    .created_ns = c->created_at,
		    .reason = "",
		    .message = "",
		    .image = arena_strdup(a, c->image ? c->image->image : ""),
		    .image_id = arena_strdup(a, c->image_ref),
		    .hash = (uint32_t)strtoul(
		        cri_pair_get(c->annotations, c->n_annotations, ANNOTATION_HASH), NULL, 16),
		};
		o->mark ^= observe_mark(c->id, (int)c->state);
	}
	ask_statuses(o);
}

static void on_sandboxes(const struct cri_result *r, void *arg)
{
	struct observation *o = arg;
	const CriV1__ListPodSandboxResponse *m = (const void *)r->body;
	if (!m) {
		_cleanup_arena_ struct arena a = {0};
		struct err err;
		err_set(&err, ERR_UNAVAILABLE, "%s", cri_error_text(r, &a));
		log_error(&err, "Could not list sandboxes", LOG_STR("pod", o->pod->key));
		o->failed = true;
		finish(o);
		return;
	}
	struct arena *a = &o->arena;
	o->rt.sandboxes = arena_array(a, struct runtime_sandbox, m->n_items + 1);
	for (size_t i = 0; i < m->n_items; i++) {
		const CriV1__PodSandbox *s = m->items[i];
		o->rt.sandboxes[o->rt.n_sandboxes++] = (struct runtime_sandbox){
		    .id = arena_strdup(a, s->id),
		    .attempt = s->metadata ? s->metadata->attempt : 0,
		    .ready = s->state == CRI_V1__POD_SANDBOX_STATE__SANDBOX_READY,
		    .created_ns = s->created_at,
		};
		o->mark ^= observe_mark(s->id, 16 + (int)s->state);
	}
	_cleanup_arena_ struct arena tmp = {0};
	CriV1__ListContainersRequest *q =
	    CRI_NEW(&tmp, CriV1__ListContainersRequest, CRI_V1__LIST_CONTAINERS_REQUEST__INIT);
	q->filter = CRI_NEW(&tmp, CriV1__ContainerFilter, CRI_V1__CONTAINER_FILTER__INIT);
	cri_pair_add(&tmp, &cri_v1__container_filter__label_selector_entry__descriptor,
	             &q->filter->label_selector, &q->filter->n_label_selector, LABEL_POD_UID,
	             o->pod->uid);
	cri_call(o->pod->k->cri, CRI_LIST_CONTAINERS, q, CRI_TIMEOUT_MS, on_containers, o);
}

void pod_observe(struct pod *p)
{
	struct observation *o = calloc(1, sizeof(*o));
	if (!o)
		abort();
	o->pod = p;
	p->busy++;
	_cleanup_arena_ struct arena a = {0};
	CriV1__ListPodSandboxRequest *q =
	    CRI_NEW(&a, CriV1__ListPodSandboxRequest, CRI_V1__LIST_POD_SANDBOX_REQUEST__INIT);
	q->filter = CRI_NEW(&a, CriV1__PodSandboxFilter, CRI_V1__POD_SANDBOX_FILTER__INIT);
	cri_pair_add(&a, &cri_v1__pod_sandbox_filter__label_selector_entry__descriptor,
	             &q->filter->label_selector, &q->filter->n_label_selector, LABEL_POD_UID,
	             p->uid);
	cri_call(p->k->cri, CRI_LIST_POD_SANDBOX, q, CRI_TIMEOUT_MS, on_sandboxes, o);
}
