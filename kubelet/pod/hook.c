/* SPDX-License-Identifier: Apache-2.0 */
/* Lifecycle hooks: a command in the container, an HTTP request to it, or a pause. */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "kubelet/pod/http_get.h"
#include "kubelet/pod/pod.h"

struct hook {
	struct pod *pod;
	struct cri_call *exec;
	struct http_get *http;
	struct loop_timer timer;
	hook_done_fn done;
	void *arg;
};

static void finish(struct hook *h, const char *text)
{
	loop_timer_stop(&h->timer);
	h->done(text, h->arg);
	free(h);
}

static void on_exec(const struct cri_result *r, void *arg)
{
	struct hook *h = arg;
	const CriV1__ExecSyncResponse *m = (const void *)r->body;
	_cleanup_arena_ struct arena a = {0};
	h->exec = NULL;
	if (!m)
		finish(h, cri_error_text(r, &a));
	else if (m->exit_code)
		finish(h, arena_printf(&a, "command exited with %d: %.*s", m->exit_code,
		                       (int)MIN(m->stderr.len, 1024), (char *)m->stderr.data));
	else
		finish(h, NULL);
}

static void on_http(int status, const char *error, struct slice body, void *arg)
{
	(void)body;
	struct hook *h = arg;
	h->http = NULL;
	finish(h, status ? NULL : error);
}

static void on_timer(void *arg)
{
	finish(arg, NULL);
}

static void on_nothing(void *arg)
{
	finish(arg, "invalid handler: cannot run a hook that names no action");
}

struct hook *hook_run(struct pod *p, const CoreV1__LifecycleHandler *handler,
                      const CoreV1__Container *c, const char *container_id, uint32_t timeout_ms,
                      hook_done_fn done, void *arg)
{
	struct hook *h = calloc(1, sizeof(*h));
	if (!h)
		abort();
	*h = (struct hook){.pod = p, .done = done, .arg = arg};
	loop_timer_init(&h->timer, p->k->loop, on_timer, h);
	if (handler->exec) {
		CriV1__ExecSyncRequest q = CRI_V1__EXEC_SYNC_REQUEST__INIT;
		q.container_id = (char *)(uintptr_t)container_id;
		q.cmd = handler->exec->command;
		q.n_cmd = handler->exec->n_command;
		q.timeout = timeout_ms / 1000;
		h->exec = cri_call(p->k->cri, CRI_EXEC_SYNC, &q,
		                   timeout_ms ? timeout_ms + CRI_TIMEOUT_MS : 0, on_exec, h);
	} else if (handler->http_get) {
		h->http = http_get_start(p, c, handler->http_get, timeout_ms, on_http, h);
	} else if (handler->sleep) {
		loop_timer_start(&h->timer, (uint64_t)handler->sleep->seconds * 1000);
	} else {
		h->timer.fn = on_nothing;
		loop_timer_start(&h->timer, 0);
	}
	return h;
}

void hook_drop(struct hook *h)
{
	if (!h)
		return;
	cri_call_drop(h->exec);
	http_get_drop(h->http);
	loop_timer_stop(&h->timer);
	free(h);
}
