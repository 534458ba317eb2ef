/* SPDX-License-Identifier: Apache-2.0 */
/* Removes what nobody needs any more: of each container the newest and one that has ended stay, of
 * the sandboxes the newest and those that still hold a container. */
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "kubelet/logs/links.h"
#include "kubelet/logs/rotation.h"
#include "kubelet/pod/pod.h"

static void on_removed(const struct cri_result *r, void *arg)
{
	struct pod *p = arg;
	if (r->code != RPC_OK && r->code != RPC_NOT_FOUND) {
		_cleanup_arena_ struct arena a = {0};
		struct err err;
		err_set(&err, ERR_UNAVAILABLE, "%s", cri_error_text(r, &a));
		log_error(&err, "Could not remove what was left", LOG_STR("pod", p->key));
		pod_hold(p, 1000);
	}
	pod_step_done(p);
}

static void remove_container(struct pod *p, const struct runtime_container *c)
{
	CriV1__RemoveContainerRequest q = CRI_V1__REMOVE_CONTAINER_REQUEST__INIT;
	q.container_id = (char *)(uintptr_t)c->id;
	_cleanup_arena_ struct arena a = {0};
	const char *log = arena_printf(&a, "%s/%s/%u.log", pod_log_dir(p, &a), c->name, c->attempt);
	log_files_remove(log);
	log_link_remove(p, c);
	pod_step(p);
	cri_call(p->k->cri, CRI_REMOVE_CONTAINER, &q, CRI_TIMEOUT_MS, on_removed, p);
}

static void remove_sandbox(struct pod *p, const struct runtime_sandbox *s)
{
	CriV1__RemovePodSandboxRequest q = CRI_V1__REMOVE_POD_SANDBOX_REQUEST__INIT;
	q.pod_sandbox_id = (char *)(uintptr_t)s->id;
	pod_step(p);
	cri_call(p->k->cri, CRI_REMOVE_POD_SANDBOX, &q, CRI_TIMEOUT_MS, on_removed, p);
}

bool pod_collect(struct pod *p)
{
	const struct pod_runtime *rt = &p->rt;
	for (size_t i = 0; i < rt->n_containers; i++) {
		const struct runtime_container *c = &rt->containers[i];
		bool over = c->state == CONTAINER_EXITED || c->state == CONTAINER_CREATED;
		if (over && c != runtime_newest(rt, c->name) && c != runtime_previous(rt, c->name))
			remove_container(p, c);
	}
	for (size_t i = 1; !p->busy && i < rt->n_sandboxes; i++) {
		bool holds = rt->sandboxes[i].ready;
		for (size_t k = 0; k < rt->n_containers; k++)
			holds |= !strcmp(rt->containers[k].sandbox_id, rt->sandboxes[i].id);
		if (!holds)
			remove_sandbox(p, &rt->sandboxes[i]);
	}
	return p->busy > 0;
}

bool pod_remove_all(struct pod *p)
{
	uint64_t now = now_real_ms();
	if ((p->rt.n_containers || p->rt.n_sandboxes) && p->retry_at_ms > now) {
		pod_sync_after(p, p->retry_at_ms - now);
		return true;
	}
	for (size_t i = 0; i < p->rt.n_containers; i++)
		remove_container(p, &p->rt.containers[i]);
	for (size_t i = 0; !p->busy && i < p->rt.n_sandboxes; i++)
		remove_sandbox(p, &p->rt.sandboxes[i]);
	return p->busy > 0;
}
