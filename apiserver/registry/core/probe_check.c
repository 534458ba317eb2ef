/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/pod_spec.h"

/* What probes and lifecycle hooks can run; the two messages list them differently. */
struct handler {
	const CoreV1__ExecAction *exec;
	const CoreV1__HTTPGetAction *http_get;
	const CoreV1__TCPSocketAction *tcp_socket;
	const CoreV1__GRPCAction *grpc;
	const CoreV1__SleepAction *sleep;
};

static void check_http(struct pod_scope *s, path_t p, const CoreV1__HTTPGetAction *h)
{
	check_required(s->errs, FIELD(p, "path"), h->path);
	check_port_or_name(s->errs, FIELD(p, "port"), h->port);
	check_enum(s->errs, FIELD(p, "scheme"), h->scheme, LIST("HTTP", "HTTPS"));
	for (size_t i = 0; i < h->n_http_headers; i++)
		check_name(s->errs, FIELD(p, "httpHeaders"), h->http_headers[i]->name,
		           names_http_header);
}

static void check_sleep(struct pod_scope *s, path_t p, const CoreV1__SleepAction *sleep)
{
	int64_t grace = s->spec->has_termination_grace_period_seconds
	                    ? s->spec->termination_grace_period_seconds
	                    : 30;

	if (sleep->seconds < 0 || sleep->seconds > grace)
		field_add(
		    s->errs, FIELD_INVALID, p,
		    arena_printf(s->errs->arena, "%lld", (long long)sleep->seconds),
		    "must be non-negative and less than terminationGracePeriodSeconds (%lld). "
		    "Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep.",
		    (long long)grace);
}

static void check_handler(struct pod_scope *s, path_t p, const struct handler *h)
{
	static const char more[] = "may not specify more than 1 handler type";
	int n = 0;

	if (h->exec) {
		if (n++)
			field_forbidden(s->errs, FIELD(p, "exec"), more);
		else if (!h->exec->n_command)
			field_required(s->errs, FIELD(p, "exec.command"), "");
	}
	if (h->http_get) {
		if (n++)
			field_forbidden(s->errs, FIELD(p, "httpGet"), more);
		else
			check_http(s, FIELD(p, "httpGet"), h->http_get);
	}
	if (h->tcp_socket) {
		if (n++)
			field_forbidden(s->errs, FIELD(p, "tcpSocket"), more);
		else
			check_port_or_name(s->errs, FIELD(p, "tcpSocket.port"),
			                   h->tcp_socket->port);
	}
	if (h->grpc) {
		if (n++)
			field_forbidden(s->errs, FIELD(p, "grpc"), more);
		else
			check_port(s->errs, FIELD(p, "grpc.port"), h->grpc->port);
	}
	if (h->sleep) {
		if (n++)
			field_forbidden(s->errs, FIELD(p, "sleep"), more);
		else
			check_sleep(s, FIELD(p, "sleep"), h->sleep);
	}
	if (!n)
		field_required(s->errs, p, "must specify a handler type");
}

static void check_probe(struct pod_scope *s, path_t p, const CoreV1__Probe *probe, bool readiness)
{
	if (!probe)
		return;
	check_handler(s, p,
	              &(struct handler){probe->handler->exec, probe->handler->http_get,
	                                probe->handler->tcp_socket, probe->handler->grpc, NULL});
	check_nonneg(s->errs, FIELD(p, "initialDelaySeconds"), probe->initial_delay_seconds);
	check_nonneg(s->errs, FIELD(p, "timeoutSeconds"), probe->timeout_seconds);
	check_nonneg(s->errs, FIELD(p, "periodSeconds"), probe->period_seconds);
	check_nonneg(s->errs, FIELD(p, "successThreshold"), probe->success_threshold);
	check_nonneg(s->errs, FIELD(p, "failureThreshold"), probe->failure_threshold);
	path_t grace = FIELD(p, "terminationGracePeriodSeconds");
	if (probe->has_termination_grace_period_seconds && readiness)
		field_invalid_int(s->errs, grace, probe->termination_grace_period_seconds,
		                  "must not be set for readinessProbes");
	else if (probe->has_termination_grace_period_seconds &&
	         probe->termination_grace_period_seconds <= 0)
		field_invalid_int(s->errs, grace, probe->termination_grace_period_seconds,
		                  "must be greater than 0");
	if (!readiness && probe->success_threshold != 1)
		field_invalid_int(s->errs, FIELD(p, "successThreshold"), probe->success_threshold,
		                  "must be 1");
}

static void check_hook(struct pod_scope *s, path_t p, const CoreV1__LifecycleHandler *h)
{
	if (h)
		check_handler(
		    s, p, &(struct handler){h->exec, h->http_get, h->tcp_socket, NULL, h->sleep});
}

/* Only containers that keep running have probes and hooks. */
static void forbid_probes(struct pod_scope *s, path_t p, const CoreV1__Container *c)
{
	static const char text[] =
	    "may not be set for init containers without restartPolicy=Always";

	if (c->lifecycle)
		field_forbidden(s->errs, FIELD(p, "lifecycle"), text);
	if (c->liveness_probe)
		field_forbidden(s->errs, FIELD(p, "livenessProbe"), text);
	if (c->readiness_probe)
		field_forbidden(s->errs, FIELD(p, "readinessProbe"), text);
	if (c->startup_probe)
		field_forbidden(s->errs, FIELD(p, "startupProbe"), text);
}

void probes_check(struct pod_scope *s, path_t p, const CoreV1__Container *c,
                  enum container_kind kind)
{
	if (kind == CONTAINER_INIT &&
	    !(c->restart_policy && !strcmp(c->restart_policy, "Always"))) {
		forbid_probes(s, p, c);
		return;
	}
	if (c->lifecycle) {
		check_hook(s, FIELD(p, "lifecycle.postStart"), c->lifecycle->post_start);
		check_hook(s, FIELD(p, "lifecycle.preStop"), c->lifecycle->pre_stop);
	}
	check_probe(s, FIELD(p, "livenessProbe"), c->liveness_probe, false);
	check_probe(s, FIELD(p, "readinessProbe"), c->readiness_probe, true);
	check_probe(s, FIELD(p, "startupProbe"), c->startup_probe, false);
}
