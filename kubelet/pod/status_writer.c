/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the status of a pod to the apiserver: one write at a time, the newest state wins. The
 * write carries the resourceVersion that it was made from; a conflict waits for the newer object.
 */
#include <string.h>

#include "common/base/log.h"
#include "kubelet/node/node.h"
#include "kubelet/pod/pod.h"
#include "proto/msg.h"
#include "kubelet/static/statics.h"
#include "proto/schema_messages.h"

enum { RETRY_MIN_MS = 200, RETRY_MAX_MS = 10000 };

/* The newest object that is known. */
static CoreV1__Pod *newest(struct pod *p)
{
	return p->next ? p->next : p->spec;
}

CoreV1__PodStatus *pod_status_now(struct pod *p, struct arena *a)
{
	struct status_input in = {
	    .pod = newest(p),
	    .rt = &p->rt,
	    .memory = &p->memory,
	    .now_ms = now_real_ms(),
	    .host_ip = p->k->config->node_ip,
	    .start_seconds = p->seen_seconds,
	    .stopping = p->stopping,
	    .failed_reason = p->failed_reason,
	    .failed_message = p->failed_message,
	    .resize_type = p->resize_type,
	    .resize_reason = p->resize_reason,
	    .resize_message = p->resize_message,
	    .refused = p->failed_reason && !p->admitted,
	    .disruption_reason = p->disruption_reason,
	};
	return pod_status(&in, a);
}

bool pod_status_settled(struct pod *p)
{
	return p->gone || !p->status_wanted;
}

static void retry(struct pod *p)
{
	p->status_retry_ms =
	    p->status_retry_ms ? MIN(p->status_retry_ms * 2, RETRY_MAX_MS) : RETRY_MIN_MS;
	loop_timer_start(&p->status_timer, p->status_retry_ms);
}

static void on_written(const struct client_result *r, void *arg)
{
	struct pod *p = arg;
	p->status_in_flight = false;
	if (r->code == ERR_OK) {
		p->status_retry_ms = 0;
		/* What was written is what the apiserver has: it need not come by the watch first.
		 */
		struct arena a = {0};
		struct err err;
		ProtobufCMessage *msg = NULL;
		bool decoded = !pb_decode(&core_v1__pod_schema, r->object, &a, &msg, &err);
		if (decoded && p->is_static)
			statics_on_mirror(p->k->statics, (CoreV1__Pod *)msg);
		else if (decoded)
			pod_offer(p, (CoreV1__Pod *)msg, strtoll(r->resource_version, NULL, 10),
			          &a);
		arena_deinit(&a);
	} else if (r->code == ERR_NOT_FOUND) {
		p->status_wanted = false;
		log_v(2, "The pod of a status is gone", LOG_STR("pod", p->key));
	} else {
		struct err err = ERR_INIT;
		ERR_IGNORE(client_result_err(r, &err)); /* for the log */
		log_v(2, "Could not write a pod's status", LOG_STR("pod", p->key),
		      LOG_STR("err", err.text));
		retry(p);
		return;
	}
	if (p->status_again || r->code == ERR_OK)
		pod_status_sync(p);
	pod_sync_after(p, 0);
}

static void write_status(struct pod *p, CoreV1__PodStatus *s)
{
	CoreV1__Pod pod = *newest(p);
	pod.status = s;
	_cleanup_arena_ struct arena a = {0};
	if (p->is_static) {
		/* Also a status carries metadata: it must be the mirror's. */
		pod.metadata =
		    manifest_mirror(&pod, p->k->config->node_name, node_uid_of(p->k->node), &a)
		        ->metadata;
		pod.metadata->uid = p->mirror_uid;
	}
	struct client_target t = {{"", "v1", "pods"}, p->ns, p->name, "status"};
	p->status_in_flight = true;
	p->status_again = false;
	client_write_msg(p->k->client, false, &t, &core_v1__pod_schema, &pod.base, on_written, p);
}

void pod_status_sync(struct pod *p)
{
	if (p->gone || !p->rt_seen || !newest(p))
		return;
	if (p->status_in_flight) {
		p->status_again = true;
		return;
	}
	_cleanup_arena_ struct arena a = {0};
	CoreV1__PodStatus *s = pod_status_now(p, &a);
	const CoreV1__PodStatus *there = newest(p)->status;
	bool nowhere = p->is_static && !*p->mirror_uid;
	p->status_wanted =
	    !nowhere && !msg_equal(&core_v1__pod_status_schema, &s->base, &there->base);
	if (!p->status_wanted) {
		loop_timer_stop(&p->status_timer);
		return;
	}
	if (!loop_timer_active(&p->status_timer))
		write_status(p, s);
}

/* Deleting for good */

static void on_deleted(const struct client_result *r, void *arg)
{
	struct pod *p = arg;
	p->delete_in_flight = false;
	if (r->code == ERR_OK || r->code == ERR_NOT_FOUND || r->code == ERR_CONFLICT) {
		/* The watch tells that it is gone; when it does not, the next turn asks again. */
		pod_sync_after(p, 2000);
		return;
	}
	struct err err = ERR_INIT;
	ERR_IGNORE(client_result_err(r, &err)); /* for the log */
	log_error(&err, "Could not delete a pod", LOG_STR("pod", p->key));
	pod_sync_after(p, 1000);
}

void pod_delete_object(struct pod *p)
{
	if (p->delete_in_flight)
		return;
	struct client_target t = {{"", "v1", "pods"}, p->ns, p->name, ""};
	struct client_delete_options o = {.grace_period_seconds = 0, .uid = p->uid};
	p->delete_in_flight = true;
	client_delete(p->k->client, &t, &o, on_deleted, p);
}
