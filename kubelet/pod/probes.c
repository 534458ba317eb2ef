/* SPDX-License-Identifier: Apache-2.0 */
/* The probes of a pod's running containers: one prober a probe, which core/probe.h tells when to
 * act and what the results mean. */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "kubelet/pod/http_get.h"
#include "kubelet/pod/pod.h"
#include "kubelet/stats/stats.h"

enum { OUTPUT_BYTES_MAX = 10240 };

struct prober {
	struct list link;
	struct pod *pod;
	char *container, *container_id;
	struct probe probe;
	struct loop_timer timer;
	struct cri_call *exec;
	struct http_get *http;
	struct net_check *net;
	bool wanted;
};

static const char *const kind_names[] = {"Startup", "Liveness", "Readiness"};

static const CoreV1__Probe *probe_spec(const CoreV1__Container *c, enum probe_kind kind)
{
	return kind == PROBE_STARTUP    ? c->startup_probe
	       : kind == PROBE_LIVENESS ? c->liveness_probe
	                                : c->readiness_probe;
}

static struct prober *find(const struct pod *p, const char *container, enum probe_kind kind)
{
	LIST_FOREACH (&p->probers, it, struct prober, link)
		if (it->probe.kind == kind && !strcmp(it->container, container))
			return it;
	return NULL;
}

static void prober_free(struct prober *w)
{
	list_del(&w->link);
	loop_timer_stop(&w->timer);
	cri_call_drop(w->exec);
	http_get_drop(w->http);
	net_check_drop(w->net);
	free(w->container);
	free(w->container_id);
	free(w);
}

/* Verdicts */

static void schedule(struct prober *w)
{
	const struct prober *startup = find(w->pod, w->container, PROBE_STARTUP);
	bool started = !startup || startup->probe.verdict == PROBE_SUCCESS;
	uint64_t due = probe_due(&w->probe, started), now = now_real_ms();
	if (due == UINT64_MAX || w->exec || w->http || w->net)
		loop_timer_stop(&w->timer);
	else
		loop_timer_start(&w->timer, due > now ? due - now : 0);
}

/* What the verdicts say goes into the memory of the container. */
static void remember(struct pod *p, const CoreV1__Container *c, bool running)
{
	struct container_memory *m = pod_memory_of(p, c->name);
	if (!m)
		return;
	const struct prober *startup = find(p, c->name, PROBE_STARTUP);
	const struct prober *ready = find(p, c->name, PROBE_READINESS);
	m->has_started = running && (!startup || startup->probe.verdict == PROBE_SUCCESS);
	m->ready = m->has_started && (!ready || ready->probe.verdict == PROBE_SUCCESS);
}

static void report(struct prober *w, enum probe_result result, const char *text)
{
	struct pod *p = w->pod;
	if (result == PROBE_FAILURE)
		pod_event(p, w->container, true, "Unhealthy", "%s probe failed: %s",
		          kind_names[w->probe.kind], text);
	else if (result == PROBE_UNKNOWN)
		pod_event(p, w->container, true, "Unhealthy",
		          "%s probe errored and resulted in unknown state: %s",
		          kind_names[w->probe.kind], text);
	stats_probe(p->k->stats, p, w->container, w->probe.kind, result);
	bool changed = probe_report(&w->probe, result, now_real_ms());
	schedule(w);
	if (!changed)
		return;
	struct container_memory *m = pod_memory_of(p, w->container);
	if (m && w->probe.verdict == PROBE_FAILURE && w->probe.kind != PROBE_READINESS) {
		m->failed_probe = w->probe.kind;
		m->must_restart = true;
	}
	const CoreV1__Container *c = pod_container_spec(p, w->container);
	if (c)
		remember(p, c, true);
	if (w->probe.kind == PROBE_STARTUP)
		LIST_FOREACH (&p->probers, it, struct prober, link)
			if (it != w && !strcmp(it->container, w->container))
				schedule(it);
	pod_sync(p);
	if (p->busy)
		pod_status_sync(p); /* readiness counts at once */
}

/* Actions */

static void on_exec(const struct cri_result *r, void *arg)
{
	struct prober *w = arg;
	const CriV1__ExecSyncResponse *m = (const void *)r->body;
	_cleanup_arena_ struct arena a = {0};
	w->exec = NULL;
	if (m) {
		const char *text = arena_printf(
		    &a, "%.*s%.*s", (int)MIN(m->stdout.len, OUTPUT_BYTES_MAX),
		    (const char *)m->stdout.data, (int)MIN(m->stderr.len, OUTPUT_BYTES_MAX),
		    (const char *)m->stderr.data);
		report(w, m->exit_code ? PROBE_FAILURE : PROBE_SUCCESS, text);
	} else if (r->code == RPC_DEADLINE_EXCEEDED) {
		const CoreV1__Container *c = pod_container_spec(w->pod, w->container);
		const CoreV1__Probe *s = c ? probe_spec(c, w->probe.kind) : NULL;
		_cleanup_buf_ struct buf b = BUF_INIT;
		for (size_t i = 0; s && s->handler->exec && i < s->handler->exec->n_command; i++)
			buf_printf(&b, "%s%s", i ? " " : "", s->handler->exec->command[i]);
		report(w, PROBE_FAILURE,
		       arena_printf(&a, "command timed out: \"%.*s\" timed out after %ds",
		                    SLICE_FMT(buf_view(&b)), w->probe.timeout_s));
	} else {
		report(w, PROBE_UNKNOWN, cri_error_text(r, &a));
	}
}

static void on_http(int status, const char *error, struct slice body, void *arg)
{
	struct prober *w = arg;
	_cleanup_arena_ struct arena a = {0};
	w->http = NULL;
	bool good = status >= 200 && status < 400;
	if (good && status >= 300)
		pod_event(w->pod, w->container, true, "ProbeWarning",
		          "%s probe warning: Probe terminated redirects, Response body: %.*s",
		          kind_names[w->probe.kind], (int)MIN(body.len, OUTPUT_BYTES_MAX),
		          (const char *)body.data);
	report(w, good ? PROBE_SUCCESS : PROBE_FAILURE,
	       status ? arena_printf(&a, "HTTP probe failed with statuscode: %d", status) : error);
}

static void on_net(const char *error, void *arg)
{
	struct prober *w = arg;
	w->net = NULL;
	report(w, error ? PROBE_FAILURE : PROBE_SUCCESS, error);
}

static void act(void *arg)
{
	struct prober *w = arg;
	struct pod *p = w->pod;
	const CoreV1__Container *c = pod_container_spec(p, w->container);
	const CoreV1__Probe *s = c ? probe_spec(c, w->probe.kind) : NULL;
	if (!s || w->exec || w->http || w->net)
		return;
	uint32_t ms = (uint32_t)w->probe.timeout_s * 1000;
	const CoreV1__ProbeHandler *h = s->handler;
	if (h->exec) {
		CriV1__ExecSyncRequest q = CRI_V1__EXEC_SYNC_REQUEST__INIT;
		q.container_id = w->container_id;
		q.cmd = h->exec->command;
		q.n_cmd = h->exec->n_command;
		q.timeout = w->probe.timeout_s;
		w->exec = cri_call(p->k->cri, CRI_EXEC_SYNC, &q, ms + CRI_TIMEOUT_MS, on_exec, w);
	} else if (h->http_get) {
		w->http = http_get_start(p, c, h->http_get, ms, on_http, w);
	} else if (h->tcp_socket) {
		w->net = tcp_check_start(p, c, h->tcp_socket, ms, on_net, w);
	} else if (h->grpc) {
		w->net = grpc_check_start(p, h->grpc, ms, on_net, w);
	}
}

/* Which probers there are */

/* A container that ran before this kubelet did keeps what was last reported of it. */
static void take_over(struct prober *w)
{
	const CoreV1__PodStatus *s = w->pod->spec->status;
	for (size_t i = 0; i < s->n_container_statuses; i++) {
		const CoreV1__ContainerStatus *c = s->container_statuses[i];
		const char *id = strstr(c->container_id ? c->container_id : "", "://");
		if (!id || strcmp(id + 3, w->container_id))
			continue;
		if ((w->probe.kind == PROBE_READINESS && c->ready) ||
		    (w->probe.kind == PROBE_STARTUP && c->started))
			w->probe.verdict = PROBE_SUCCESS;
	}
}

static void want(struct pod *p, const CoreV1__Container *c, enum probe_kind kind,
                 const struct runtime_container *rc)
{
	const CoreV1__Probe *s = probe_spec(c, kind);
	struct prober *w = find(p, c->name, kind);
	if (w && (!s || strcmp(w->container_id, rc->id))) {
		prober_free(w);
		w = NULL;
	}
	if (!s)
		return;
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			abort();
		w->pod = p;
		w->container = strdup(c->name);
		w->container_id = strdup(rc->id);
		loop_timer_init(&w->timer, p->k->loop, act, w);
		list_add_tail(&p->probers, &w->link);
		probe_init(&w->probe, kind, s, (uint64_t)(rc->started_ns / 1000000), now_real_ms());
		take_over(w);
	}
	w->wanted = true;
}

static void sync_container(struct pod *p, const CoreV1__Container *c)
{
	const struct runtime_container *rc = runtime_newest(&p->rt, c->name);
	bool running = rc && rc->state == CONTAINER_RUNNING;
	for (int kind = PROBE_STARTUP; running && kind <= PROBE_READINESS; kind++)
		want(p, c, (enum probe_kind)kind, rc);
	remember(p, c, running);
}

void probes_sync(struct pod *p)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	LIST_FOREACH (&p->probers, w, struct prober, link)
		w->wanted = false;
	for (size_t i = 0; i < s->n_init_containers; i++)
		sync_container(p, s->init_containers[i]);
	for (size_t i = 0; i < s->n_containers; i++)
		sync_container(p, s->containers[i]);
	LIST_FOREACH (&p->probers, w, struct prober, link) {
		if (!w->wanted)
			prober_free(w);
		else if (!loop_timer_active(&w->timer))
			schedule(w);
	}
}

void probes_stop_restarting(struct pod *p)
{
	LIST_FOREACH (&p->probers, w, struct prober, link)
		if (w->probe.kind != PROBE_READINESS)
			prober_free(w);
}

void probes_stop(struct pod *p)
{
	LIST_FOREACH (&p->probers, w, struct prober, link)
		prober_free(w);
}
