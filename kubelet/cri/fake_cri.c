/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/cri/fake_cri.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"

#define TEXT(s) ((char *)(uintptr_t)(s))

static void reply(struct rpc_call *call, const void *message)
{
	const ProtobufCMessage *m = message;
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *packed = malloc(n + 1);
	if (!packed)
		abort();
	protobuf_c_message_pack(m, packed);
	rpc_call_reply(call, slice_of(packed, n));
	free(packed);
}

static void not_found(struct rpc_call *call, const char *id)
{
	char text[100];
	snprintf(text, sizeof(text), "an error occurred when try to find \"%s\": not found", id);
	rpc_call_fail(call, RPC_NOT_FOUND, text, NULL, 0);
}

static struct fake_sandbox *sandbox(struct fake_cri *f, const char *id)
{
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++)
		if (f->sandboxes[i].config && !strcmp(f->sandboxes[i].id, id))
			return &f->sandboxes[i];
	return NULL;
}

static struct fake_container *container(struct fake_cri *f, const char *id)
{
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++)
		if (f->containers[i].made && !strcmp(f->containers[i].id, id))
			return &f->containers[i];
	return NULL;
}

static void stop(struct fake_container *c, int32_t exit_code)
{
	if (c->state != CRI_V1__CONTAINER_STATE__CONTAINER_RUNNING)
		return;
	c->state = CRI_V1__CONTAINER_STATE__CONTAINER_EXITED;
	c->exit_code = exit_code;
	c->finished_ns = clock_real_ns();
}

static void drop_container(struct fake_container *c)
{
	cri_v1__create_container_request__free_unpacked(c->made, NULL);
	*c = (struct fake_container){0};
}

/* The id that a request of one string field holds; all such requests have one layout. */
#define REQUEST(type, message) cri_v1__##type##_request__unpack(NULL, (message).len, (message).data)

static void on_version(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	(void)f;
	(void)message;
	CriV1__VersionResponse r = CRI_V1__VERSION_RESPONSE__INIT;
	r.version = TEXT("0.1.0");
	r.runtime_name = TEXT("fake");
	r.runtime_version = TEXT("1.0");
	r.runtime_api_version = TEXT("v1");
	reply(call, &r);
}

static void on_status(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	(void)f;
	(void)message;
	CriV1__StatusResponse r = CRI_V1__STATUS_RESPONSE__INIT;
	CriV1__RuntimeStatus s = CRI_V1__RUNTIME_STATUS__INIT;
	r.status = &s;
	reply(call, &r);
}

static void on_run_sandbox(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__RunPodSandboxRequest *q = REQUEST(run_pod_sandbox, message);
	CriV1__RunPodSandboxResponse r = CRI_V1__RUN_POD_SANDBOX_RESPONSE__INIT;
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++) {
		struct fake_sandbox *s = &f->sandboxes[i];
		if (s->config)
			continue;
		snprintf(s->id, sizeof(s->id), "s%u", f->next_id++);
		s->config = q->config;
		q->config = NULL;
		s->ready = true;
		s->created_ns = clock_real_ns();
		r.pod_sandbox_id = s->id;
		break;
	}
	cri_v1__run_pod_sandbox_request__free_unpacked(q, NULL);
	reply(call, &r);
}

static void on_stop_sandbox(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__StopPodSandboxRequest *q = REQUEST(stop_pod_sandbox, message);
	CriV1__StopPodSandboxResponse r = CRI_V1__STOP_POD_SANDBOX_RESPONSE__INIT;
	struct fake_sandbox *s = sandbox(f, q->pod_sandbox_id);
	if (s)
		s->ready = false;
	for (size_t i = 0; s && i < FAKE_THINGS_MAX; i++)
		if (f->containers[i].made && !strcmp(f->containers[i].made->pod_sandbox_id, s->id))
			stop(&f->containers[i], 137);
	cri_v1__stop_pod_sandbox_request__free_unpacked(q, NULL);
	reply(call, &r);
}

static void on_remove_sandbox(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__RemovePodSandboxRequest *q = REQUEST(remove_pod_sandbox, message);
	CriV1__RemovePodSandboxResponse r = CRI_V1__REMOVE_POD_SANDBOX_RESPONSE__INIT;
	struct fake_sandbox *s = sandbox(f, q->pod_sandbox_id);
	if (s) {
		cri_v1__pod_sandbox_config__free_unpacked(s->config, NULL);
		*s = (struct fake_sandbox){0};
	}
	cri_v1__remove_pod_sandbox_request__free_unpacked(q, NULL);
	reply(call, &r);
}

static CriV1__PodSandboxState state_of(const struct fake_sandbox *s)
{
	return s->ready ? CRI_V1__POD_SANDBOX_STATE__SANDBOX_READY
	                : CRI_V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
}

static void on_sandbox_status(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__PodSandboxStatusRequest *q = REQUEST(pod_sandbox_status, message);
	CriV1__PodSandboxStatusResponse r = CRI_V1__POD_SANDBOX_STATUS_RESPONSE__INIT;
	CriV1__PodSandboxStatus st = CRI_V1__POD_SANDBOX_STATUS__INIT;
	CriV1__PodSandboxNetworkStatus net = CRI_V1__POD_SANDBOX_NETWORK_STATUS__INIT;
	struct fake_sandbox *s = sandbox(f, q->pod_sandbox_id);
	if (s) {
		r.status = &st;
		st.id = s->id;
		st.metadata = s->config->metadata;
		st.state = state_of(s);
		st.created_at = s->created_ns;
		st.network = &net;
		net.ip = TEXT("10.9.8.7");
		reply(call, &r);
	} else {
		not_found(call, q->pod_sandbox_id);
	}
	cri_v1__pod_sandbox_status_request__free_unpacked(q, NULL);
}

/* Whether labels hold what a filter asks for. */
static bool selected(void *labels, size_t n, void *wanted, size_t n_wanted)
{
	CriV1__PodSandboxConfig__LabelsEntry **have = labels, **want = wanted;
	size_t found = 0;
	for (size_t i = 0; i < n_wanted; i++)
		for (size_t k = 0; k < n; k++)
			found += !strcmp(have[k]->key, want[i]->key) &&
			         !strcmp(have[k]->value, want[i]->value);
	return found == n_wanted;
}

static void on_list_sandboxes(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__ListPodSandboxRequest *q = REQUEST(list_pod_sandbox, message);
	CriV1__ListPodSandboxResponse r = CRI_V1__LIST_POD_SANDBOX_RESPONSE__INIT;
	CriV1__PodSandbox items[FAKE_THINGS_MAX], *list[FAKE_THINGS_MAX];
	r.items = list;
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++) {
		struct fake_sandbox *s = &f->sandboxes[i];
		if (!s->config || (q->filter && !selected(s->config->labels, s->config->n_labels,
		                                          q->filter->label_selector,
		                                          q->filter->n_label_selector)))
			continue;
		CriV1__PodSandbox *x = list[r.n_items] = &items[r.n_items];
		r.n_items++;
		*x = (CriV1__PodSandbox)CRI_V1__POD_SANDBOX__INIT;
		x->id = s->id;
		x->metadata = s->config->metadata;
		x->state = state_of(s);
		x->created_at = s->created_ns;
		x->n_labels = s->config->n_labels;
		x->labels = (void *)s->config->labels;
	}
	reply(call, &r);
	cri_v1__list_pod_sandbox_request__free_unpacked(q, NULL);
}

static void on_create(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__CreateContainerRequest *q = REQUEST(create_container, message);
	CriV1__CreateContainerResponse r = CRI_V1__CREATE_CONTAINER_RESPONSE__INIT;
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++) {
		struct fake_container *c = &f->containers[i];
		if (c->made)
			continue;
		*c = (struct fake_container){.made = q, .created_ns = clock_real_ns()};
		snprintf(c->id, sizeof(c->id), "c%u", f->next_id++);
		r.container_id = c->id;
		reply(call, &r);
		return;
	}
	cri_v1__create_container_request__free_unpacked(q, NULL);
	rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, "too many containers", NULL, 0);
}

static void on_start(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__StartContainerRequest *q = REQUEST(start_container, message);
	CriV1__StartContainerResponse r = CRI_V1__START_CONTAINER_RESPONSE__INIT;
	struct fake_container *c = container(f, q->container_id);
	if (c) {
		c->state = CRI_V1__CONTAINER_STATE__CONTAINER_RUNNING;
		c->started_ns = clock_real_ns();
		reply(call, &r);
	} else {
		not_found(call, q->container_id);
	}
	cri_v1__start_container_request__free_unpacked(q, NULL);
}

static void on_stop(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__StopContainerRequest *q = REQUEST(stop_container, message);
	CriV1__StopContainerResponse r = CRI_V1__STOP_CONTAINER_RESPONSE__INIT;
	struct fake_container *c = container(f, q->container_id);
	if (c)
		stop(c, 143);
	reply(call, &r);
	cri_v1__stop_container_request__free_unpacked(q, NULL);
}

static void on_remove(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__RemoveContainerRequest *q = REQUEST(remove_container, message);
	CriV1__RemoveContainerResponse r = CRI_V1__REMOVE_CONTAINER_RESPONSE__INIT;
	struct fake_container *c = container(f, q->container_id);
	if (c)
		drop_container(c);
	reply(call, &r);
	cri_v1__remove_container_request__free_unpacked(q, NULL);
}

static void on_list_containers(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__ListContainersRequest *q = REQUEST(list_containers, message);
	CriV1__ListContainersResponse r = CRI_V1__LIST_CONTAINERS_RESPONSE__INIT;
	CriV1__Container items[FAKE_THINGS_MAX], *list[FAKE_THINGS_MAX];
	r.containers = list;
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++) {
		struct fake_container *c = &f->containers[i];
		const CriV1__ContainerConfig *m = c->made ? c->made->config : NULL;
		if (!m || (q->filter && !selected(m->labels, m->n_labels, q->filter->label_selector,
		                                  q->filter->n_label_selector)))
			continue;
		CriV1__Container *x = list[r.n_containers] = &items[r.n_containers];
		r.n_containers++;
		*x = (CriV1__Container)CRI_V1__CONTAINER__INIT;
		x->id = c->id;
		x->pod_sandbox_id = c->made->pod_sandbox_id;
		x->metadata = m->metadata;
		x->image = m->image;
		x->image_ref = TEXT("sha256:1");
		x->state = c->state;
		x->created_at = c->created_ns;
		x->n_labels = m->n_labels;
		x->labels = (void *)m->labels;
		x->n_annotations = m->n_annotations;
		x->annotations = (void *)m->annotations;
	}
	reply(call, &r);
	cri_v1__list_containers_request__free_unpacked(q, NULL);
}

static void on_container_status(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	CriV1__ContainerStatusRequest *q = REQUEST(container_status, message);
	CriV1__ContainerStatusResponse r = CRI_V1__CONTAINER_STATUS_RESPONSE__INIT;
	CriV1__ContainerStatus s = CRI_V1__CONTAINER_STATUS__INIT;
	struct fake_container *c = container(f, q->container_id);
	if (c) {
		r.status = &s;
		s.id = c->id;
		s.metadata = c->made->config->metadata;
		s.state = c->state;
		s.created_at = c->created_ns;
		s.started_at = c->started_ns;
		s.finished_at = c->finished_ns;
		s.exit_code = c->exit_code;
		s.image_ref = TEXT("sha256:1");
		reply(call, &r);
	} else {
		not_found(call, q->container_id);
	}
	cri_v1__container_status_request__free_unpacked(q, NULL);
}

static void on_image_status(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	(void)message;
	CriV1__ImageStatusResponse r = CRI_V1__IMAGE_STATUS_RESPONSE__INIT;
	CriV1__Image image = CRI_V1__IMAGE__INIT;
	image.id = TEXT("sha256:1");
	r.image = f->image_missing ? NULL : &image;
	reply(call, &r);
}

static void on_pull(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	(void)message;
	CriV1__PullImageResponse r = CRI_V1__PULL_IMAGE_RESPONSE__INIT;
	r.image_ref = TEXT("sha256:1");
	f->image_missing = false;
	reply(call, &r);
}

static void on_list_images(struct fake_cri *f, struct rpc_call *call, struct slice message)
{
	(void)f;
	(void)message;
	CriV1__ListImagesResponse r = CRI_V1__LIST_IMAGES_RESPONSE__INIT;
	reply(call, &r);
}

/* The server */

static void on_call(struct rpc_call *call, struct slice message, void *arg)
{
	struct fake_method *m = arg;
	struct fake_cri *f = m->owner;
	m->calls++;
	switch (m->mood) {
	case FAKE_FINE:
		m->answer(f, call, message);
		break;
	case FAKE_HANGS:
		assert(f->n_hanging < FAKE_THINGS_MAX);
		f->hanging[f->n_hanging++] = call;
		break;
	case FAKE_FAILS:
		rpc_call_fail(call, RPC_UNKNOWN, "the fake fails", NULL, 0);
		break;
	case FAKE_GARBAGE:
		rpc_call_reply(call, slice_str("\x0a\xff\xff\xff\xff\x0fnonsense"));
		break;
	}
}

struct fake_method *fake_method(struct fake_cri *f, const char *name)
{
	for (size_t i = 0; i < FAKE_METHODS_MAX && f->methods[i].name; i++)
		if (!strcmp(strrchr(f->methods[i].name, '/') + 1, name))
			return &f->methods[i];
	abort();
}

void fake_cri_init(struct fake_cri *f, struct rpc_core *core, struct loop *loop,
                   const char *endpoint)
{
#define RUNTIME(m, fn)                                                \
	{                                                             \
		.name = "/runtime.v1.RuntimeService/" m, .answer = fn \
	}
#define IMAGE(m, fn)                                                \
	{                                                           \
		.name = "/runtime.v1.ImageService/" m, .answer = fn \
	}
	static const struct fake_method methods[] = {
	    RUNTIME("Version", on_version),
	    RUNTIME("Status", on_status),
	    RUNTIME("RunPodSandbox", on_run_sandbox),
	    RUNTIME("StopPodSandbox", on_stop_sandbox),
	    RUNTIME("RemovePodSandbox", on_remove_sandbox),
	    RUNTIME("PodSandboxStatus", on_sandbox_status),
	    RUNTIME("ListPodSandbox", on_list_sandboxes),
	    RUNTIME("CreateContainer", on_create),
	    RUNTIME("StartContainer", on_start),
	    RUNTIME("StopContainer", on_stop),
	    RUNTIME("RemoveContainer", on_remove),
	    RUNTIME("ListContainers", on_list_containers),
	    RUNTIME("ContainerStatus", on_container_status),
	    IMAGE("ImageStatus", on_image_status),
	    IMAGE("PullImage", on_pull),
	    IMAGE("ListImages", on_list_images),
	};
#undef RUNTIME
#undef IMAGE
	struct err err = ERR_INIT;
	*f = (struct fake_cri){.loop = loop};
	f->server = rpc_server_new(core, &(struct rpc_server_options){0});
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		f->methods[i] = methods[i];
		f->methods[i].owner = f;
		rpc_server_method(f->server, &(struct rpc_method){methods[i].name, RPC_UNARY,
		                                                  on_call, &f->methods[i], loop});
	}
	if (rpc_server_listen(f->server, endpoint, NULL, NULL, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	rpc_server_start(f->server);
}

static void on_stopped(void *arg)
{
	struct fake_cri *f = arg;
	f->stopped = true;
}

void fake_cri_deinit(struct fake_cri *f)
{
	for (unsigned i = 0; i < f->n_hanging; i++)
		rpc_call_fail(f->hanging[i], RPC_UNAVAILABLE, "the fake ends", NULL, 0);
	f->n_hanging = 0;
	rpc_server_stop(f->server, 0, f->loop, on_stopped, f);
	while (!f->stopped)
		loop_run_once(f->loop, true);
	rpc_server_free(f->server);
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++) {
		if (f->sandboxes[i].config)
			cri_v1__pod_sandbox_config__free_unpacked(f->sandboxes[i].config, NULL);
		if (f->containers[i].made)
			drop_container(&f->containers[i]);
	}
}

unsigned fake_sandboxes(const struct fake_cri *f)
{
	unsigned n = 0;
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++)
		n += f->sandboxes[i].config != NULL;
	return n;
}

unsigned fake_containers(const struct fake_cri *f)
{
	unsigned n = 0;
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++)
		n += f->containers[i].made != NULL;
	return n;
}

void fake_exit(struct fake_cri *f, const char *name, int32_t exit_code)
{
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++)
		if (f->containers[i].made &&
		    !strcmp(f->containers[i].made->config->metadata->name, name))
			stop(&f->containers[i], exit_code);
}

void fake_reboot(struct fake_cri *f)
{
	for (size_t i = 0; i < FAKE_THINGS_MAX; i++) {
		f->sandboxes[i].ready = false;
		if (f->containers[i].made)
			stop(&f->containers[i], 255);
	}
}
