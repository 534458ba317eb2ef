/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/kubelet.h"

#include <string.h>

#include "common/base/log.h"
#include "kubelet/cgroup/cgroups.h"
#include "kubelet/image/puller.h"
#include "kubelet/eviction/eviction.h"
#include "kubelet/gc/gc.h"
#include "kubelet/logs/rotation.h"
#include "kubelet/node/node.h"
#include "kubelet/objects.h"
#include "kubelet/pod/files.h"
#include "kubelet/pod/pod.h"
#include "kubelet/server/server.h"
#include "kubelet/static/statics.h"
#include "kubelet/stats/stats.h"

enum { RUNTIME_RETRY_MS = 1000 };

struct hello {
	struct kubelet *k;
	struct loop_timer timer;
	bool complained;
};

static void begin(struct kubelet *k)
{
	cgroups_start(k->cgroups);
	if (cgroups_active(k->cgroups))
		node_event(k->node, false, "NodeAllocatableEnforced",
		           "Updated Node Allocatable limit across pods");
	statics_start(k->statics);
	pods_start(k->pods);
	eviction_start(k->eviction);
	gc_start(k->gc);
	log_rotation_start(k->log_rotation);
	node_start(k->node);
	informers_start(k->informers);
}

static void on_config(const struct cri_result *r, void *arg)
{
	(void)arg;
	if (r->code != RPC_OK)
		log_warning("The runtime did not take the pod CIDR", LOG_STR("err", r->text));
}

static void tell_cidr(struct kubelet *k)
{
	_cleanup_arena_ struct arena a = {0};
	if (!*k->config->pod_cidr)
		return;
	CriV1__UpdateRuntimeConfigRequest *q = CRI_NEW(&a, CriV1__UpdateRuntimeConfigRequest,
	                                               CRI_V1__UPDATE_RUNTIME_CONFIG_REQUEST__INIT);
	q->runtime_config = CRI_NEW(&a, CriV1__RuntimeConfig, CRI_V1__RUNTIME_CONFIG__INIT);
	q->runtime_config->network_config =
	    CRI_NEW(&a, CriV1__NetworkConfig, CRI_V1__NETWORK_CONFIG__INIT);
	q->runtime_config->network_config->pod_cidr = (char *)(uintptr_t)k->config->pod_cidr;
	cri_call(k->cri, CRI_UPDATE_RUNTIME_CONFIG, q, CRI_TIMEOUT_MS, on_config, k);
}

/* Newer runtimes tell which driver of cgroups they use; the flag counts for others. */
static void on_runtime_config(const struct cri_result *r, void *arg)
{
	struct kubelet *k = arg;
	const CriV1__RuntimeConfigResponse *m = (const void *)r->body;
	if (m && m->linux_)
		cgroups_set_driver(k->cgroups,
		                   m->linux_->cgroup_driver == CRI_V1__CGROUP_DRIVER__SYSTEMD
		                       ? CGROUP_SYSTEMD
		                       : CGROUP_CGROUPFS);
	begin(k);
}

static void on_version(const struct cri_result *r, void *arg)
{
	struct hello *h = arg;
	struct kubelet *k = h->k;
	const CriV1__VersionResponse *m = (const void *)r->body;
	if (!m) {
		if (!h->complained)
			log_warning("Waiting for the container runtime", LOG_STR("err", r->text));
		h->complained = true;
		loop_timer_start(&h->timer, RUNTIME_RETRY_MS);
		return;
	}
	k->runtime_name = arena_strdup(&k->daemon->arena, m->runtime_name);
	k->runtime_version = arena_strdup(&k->daemon->arena, m->runtime_version);
	log_info("Container runtime is there", LOG_STR("name", k->runtime_name),
	         LOG_STR("version", k->runtime_version));
	tell_cidr(k);
	CriV1__RuntimeConfigRequest q = CRI_V1__RUNTIME_CONFIG_REQUEST__INIT;
	cri_call(k->cri, CRI_RUNTIME_CONFIG, &q, CRI_TIMEOUT_MS, on_runtime_config, k);
}

static void say_hello(void *arg)
{
	struct hello *h = arg;
	CriV1__VersionRequest q = CRI_V1__VERSION_REQUEST__INIT;
	cri_call(h->k->cri, CRI_VERSION, &q, CRI_TIMEOUT_MS, on_version, h);
}

int kubelet_start(struct kubelet *k, struct daemon *d, const struct kubelet_config *c,
                  const struct kubeconfig *kc, struct err *err)
{
	k->config = c;
	k->daemon = d;
	k->loop = &d->loop;
	k->runtime_name = k->runtime_version = "";
	if (folder_make(c->root_dir, 0750, err) || folder_make(c->logs_dir, 0755, err))
		return -err->code;
	int r = client_new(&(struct client_options){d->rpc, k->loop, kc, "kubelet", 0}, &k->client,
	                   err);
	if (!r)
		r = cri_new(d->rpc, k->loop, c->runtime_endpoint, &k->cri, err);
	if (!r)
		r = eviction_new(k, &k->eviction, err);
	if (!r)
		r = log_rotation_new(k, &k->log_rotation, err);
	if (r)
		return r;
	worker_start(&k->disk, "disk");
	k->informers = informers_new(k->client);
	k->recorder = recorder_new(k->client, "kubelet", c->node_name);
	k->objects = objects_new(k->client);
	k->puller = puller_new(k);
	cgroups_new(k);
	stats_new(k);
	gc_new(k);
	statics_new(k);
	pods_new(k);
	node_new(k);
	r = server_start(k, &k->server, err);
	if (r)
		return r;
	stats_start(k->stats);
	struct hello *h = arena_new(&d->arena, struct hello);
	h->k = k;
	loop_timer_init(&h->timer, k->loop, say_hello, h);
	say_hello(h);
	return 0;
}

void kubelet_stop(struct kubelet *k)
{
	server_free(k->server);
	node_free(k->node);
	eviction_free(k->eviction);
	gc_free(k->gc);
	log_rotation_free(k->log_rotation);
	pods_free(k->pods);
	statics_free(k->statics);
	stats_free(k->stats);
	cgroups_free(k->cgroups);
	puller_free(k->puller);
	objects_free(k->objects);
	recorder_free(k->recorder);
	informers_free(k->informers);
	cri_free(k->cri);
	client_free(k->client);
	if (k->disk.started)
		worker_stop(&k->disk);
}
