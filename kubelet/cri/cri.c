/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/cri/cri.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/net/rpc_client.h"
#include "proto/pb_decode.h"

static const struct {
	const char *path;
	const char *operation; /* as metrics name it */
	const ProtobufCMessageDescriptor *response;
} methods[CRI_METHOD_COUNT] = {
#define RUNTIME(m, name, type) \
	[m] = {"/runtime.v1.RuntimeService/" name, #type, &cri_v1__##type##_response__descriptor}
#define IMAGE(m, name, type) \
	[m] = {"/runtime.v1.ImageService/" name, #type, &cri_v1__##type##_response__descriptor}
    RUNTIME(CRI_VERSION, "Version", version),
    RUNTIME(CRI_STATUS, "Status", status),
    RUNTIME(CRI_UPDATE_RUNTIME_CONFIG, "UpdateRuntimeConfig", update_runtime_config),
    RUNTIME(CRI_RUN_POD_SANDBOX, "RunPodSandbox", run_pod_sandbox),
    RUNTIME(CRI_STOP_POD_SANDBOX, "StopPodSandbox", stop_pod_sandbox),
    RUNTIME(CRI_REMOVE_POD_SANDBOX, "RemovePodSandbox", remove_pod_sandbox),
    RUNTIME(CRI_POD_SANDBOX_STATUS, "PodSandboxStatus", pod_sandbox_status),
    RUNTIME(CRI_LIST_POD_SANDBOX, "ListPodSandbox", list_pod_sandbox),
    RUNTIME(CRI_CREATE_CONTAINER, "CreateContainer", create_container),
    RUNTIME(CRI_START_CONTAINER, "StartContainer", start_container),
    RUNTIME(CRI_STOP_CONTAINER, "StopContainer", stop_container),
    RUNTIME(CRI_REMOVE_CONTAINER, "RemoveContainer", remove_container),
    RUNTIME(CRI_LIST_CONTAINERS, "ListContainers", list_containers),
    RUNTIME(CRI_CONTAINER_STATUS, "ContainerStatus", container_status),
    RUNTIME(CRI_EXEC_SYNC, "ExecSync", exec_sync),
    RUNTIME(CRI_EXEC, "Exec", exec),
    RUNTIME(CRI_ATTACH, "Attach", attach),
    RUNTIME(CRI_PORT_FORWARD, "PortForward", port_forward),
    RUNTIME(CRI_UPDATE_CONTAINER_RESOURCES, "UpdateContainerResources",
            update_container_resources),
    RUNTIME(CRI_REOPEN_CONTAINER_LOG, "ReopenContainerLog", reopen_container_log),
    IMAGE(CRI_PULL_IMAGE, "PullImage", pull_image),
    IMAGE(CRI_IMAGE_STATUS, "ImageStatus", image_status),
    IMAGE(CRI_LIST_IMAGES, "ListImages", list_images),
    IMAGE(CRI_REMOVE_IMAGE, "RemoveImage", remove_image),
    RUNTIME(CRI_RUNTIME_CONFIG, "RuntimeConfig", runtime_config),
    RUNTIME(CRI_LIST_CONTAINER_STATS, "ListContainerStats", list_container_stats),
    IMAGE(CRI_IMAGE_FS_INFO, "ImageFsInfo", image_fs_info),
#undef RUNTIME
#undef IMAGE
};

/* The most that a runtime may say at once: a list of a full node stays far below. */
enum { CRI_MESSAGE_BYTES = 64 << 20 };

struct cri {
	struct loop *loop;
	struct rpc_channel *channel;
	struct list calls;
	cri_observe_fn observe;
	void *observe_arg;
};

struct cri_call {
	struct list link;
	struct cri *cri;
	uint64_t began_ns;
	enum cri_method method;
	cri_done_fn done;
	void *arg;
	struct rpc_unary *rpc;
};

int cri_new(struct rpc_core *core, struct loop *loop, const char *endpoint, struct cri **ret,
            struct err *err)
{
	struct cri *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->loop = loop;
	list_init(&c->calls);
	/* containerd takes pings on an idle connection for abuse. */
	struct rpc_channel_options o = {
	    .max_recv_bytes = CRI_MESSAGE_BYTES,
	    .keepalive_time_ms = UINT32_MAX,
	    .authority = "localhost",
	};
	int r = rpc_channel_new(core, endpoint, &o, &c->channel, err);
	if (r) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void cri_free(struct cri *c)
{
	if (!c)
		return;
	LIST_FOREACH (&c->calls, call, struct cri_call, link)
		cri_call_drop(call);
	rpc_channel_unref(c->channel);
	free(c);
}

void cri_observe(struct cri *c, cri_observe_fn fn, void *arg)
{
	c->observe = fn;
	c->observe_arg = arg;
}

static void on_done(const struct rpc_result *r, void *arg)
{
	struct cri_call *call = arg;
	_cleanup_arena_ struct arena a = {0};
	struct cri_result result = {.code = r->code, .text = r->text, .arena = &a};
	struct err err = ERR_INIT;
	list_del(&call->link);
	if (r->code == RPC_OK) {
		const ProtobufCMessageDescriptor *desc = methods[call->method].response;
		int bad = pb_check(desc, r->message, NULL, &err);
		if (!bad) {
			ProtobufCAllocator allocator = pb_arena_allocator(&a);
			result.body = protobuf_c_message_unpack(desc, &allocator, r->message.len,
			                                        r->message.data);
		}
		if (!result.body) {
			result.code = RPC_INTERNAL;
			result.text = bad ? err.text : "the runtime's answer is malformed";
		}
	}
	if (call->cri->observe)
		call->cri->observe(methods[call->method].operation, result.code,
		                   (double)(clock_mono_ns() - call->began_ns) / 1e9,
		                   call->cri->observe_arg);
	call->done(&result, call->arg);
	free(call);
}

struct cri_call *cri_call(struct cri *c, enum cri_method m, const void *request,
                          uint32_t timeout_ms, cri_done_fn done, void *arg)
{
	struct cri_call *call = calloc(1, sizeof(*call));
	if (!call)
		abort();
	*call = (struct cri_call){
	    .cri = c, .began_ns = clock_mono_ns(), .method = m, .done = done, .arg = arg};
	list_add_tail(&c->calls, &call->link);
	const ProtobufCMessage *msg = request;
	_cleanup_buf_ struct buf packed = BUF_INIT;
	size_t n = protobuf_c_message_get_packed_size(msg);
	buf_reserve(&packed, n + 1);
	packed.len = protobuf_c_message_pack(msg, packed.data);
	call->rpc = rpc_unary_start(c->channel, &(struct rpc_unary_args){
	                                            .method = methods[m].path,
	                                            .message = buf_view(&packed),
	                                            .timeout_ms = timeout_ms,
	                                            .wait_for_ready = false,
	                                            .loop = c->loop,
	                                            .done = on_done,
	                                            .arg = call,
	                                        });
	return call;
}

void cri_call_drop(struct cri_call *call)
{
	if (!call)
		return;
	list_del(&call->link);
	rpc_unary_drop(call->rpc);
	free(call);
}

const char *cri_error_text(const struct cri_result *r, struct arena *a)
{
	return arena_printf(a, "rpc error: code = %s desc = %s", rpc_code_name(r->code), r->text);
}

void cri_pair_add(struct arena *a, const ProtobufCMessageDescriptor *entry, void *array, size_t *n,
                  const char *key, const char *value)
{
	struct cri_pair ***list = array;
	struct cri_pair *p = arena_new(a, struct cri_pair);
	protobuf_c_message_init(entry, p);
	p->key = arena_strdup(a, key);
	p->value = arena_strdup(a, value);
	*list = arena_grow(a, *list, *n * sizeof(**list), (*n + 1) * sizeof(**list));
	(*list)[(*n)++] = p;
}

const char *cri_pair_get(const void *array, size_t n, const char *key)
{
	struct cri_pair *const *list = array;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i]->key, key))
			return list[i]->value;
	return "";
}
