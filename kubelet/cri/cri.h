/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The container runtime as asynchronous calls (CRI v1 over a unix socket): one function, a table of
 * methods, the messages of proto/cri.proto.
 *
 * Belongs to one loop. A call ends with exactly one `done`, never before cri_call has returned.
 * Requests are packed before cri_call returns. */
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/net/loop.h"
#include "common/net/rpc_core.h"
#include "proto/cri.pb-c.h"

enum cri_method {
	CRI_VERSION,
	CRI_STATUS,
	CRI_UPDATE_RUNTIME_CONFIG,
	CRI_RUN_POD_SANDBOX,
	CRI_STOP_POD_SANDBOX,
	CRI_REMOVE_POD_SANDBOX,
	CRI_POD_SANDBOX_STATUS,
	CRI_LIST_POD_SANDBOX,
	CRI_CREATE_CONTAINER,
	CRI_START_CONTAINER,
	CRI_STOP_CONTAINER,
	CRI_REMOVE_CONTAINER,
	CRI_LIST_CONTAINERS,
	CRI_CONTAINER_STATUS,
	CRI_EXEC_SYNC,
	CRI_EXEC,
	CRI_ATTACH,
	CRI_PORT_FORWARD,
	CRI_REOPEN_CONTAINER_LOG,
	CRI_UPDATE_CONTAINER_RESOURCES,
	CRI_PULL_IMAGE,
	CRI_IMAGE_STATUS,
	CRI_LIST_IMAGES,
	CRI_REMOVE_IMAGE,
	CRI_RUNTIME_CONFIG,
	CRI_LIST_CONTAINER_STATS,
	CRI_IMAGE_FS_INFO,
	CRI_METHOD_COUNT,
};

struct cri;
struct cri_call;

/* How a call ended; valid during the callback. */
struct cri_result {
	int code;                     /* enum rpc_code */
	const char *text;             /* the runtime's words when it failed */
	const ProtobufCMessage *body; /* the method's response; NULL when it failed */
	struct arena *arena;          /* holds body */
};

typedef void (*cri_done_fn)(const struct cri_result *r, void *arg);

enum { CRI_TIMEOUT_MS = 120000 };

/* endpoint: "unix:///run/containerd/containerd.sock". */
int cri_new(struct rpc_core *core, struct loop *loop, const char *endpoint, struct cri **ret,
            struct err *err);
void cri_free(struct cri *c);
/* timeout_ms 0: none. */
struct cri_call *cri_call(struct cri *c, enum cri_method m, const void *request,
                          uint32_t timeout_ms, cri_done_fn done, void *arg);
/* Told of each call that ended: the method in upstream's words ("run_podsandbox"), its code, how
 * long it took. */
typedef void (*cri_observe_fn)(const char *operation, int code, double seconds, void *arg);
void cri_observe(struct cri *c, cri_observe_fn fn, void *arg);
/* Gives the call up: done does not come. */
void cri_call_drop(struct cri_call *call);
/* "rpc error: code = NotFound desc = ...", as upstream prints a failed call. */
const char *cri_error_text(const struct cri_result *r, struct arena *a);

/* --- messages --- */

/* A message of `type` with its defaults, in the arena. */
#define CRI_NEW(a, type, INIT)                      \
	__extension__({                             \
		type *made_ = arena_new((a), type); \
		*made_ = (type)INIT;                \
		made_;                              \
	})

/* Any of CRI's map<string, string> entries: they have one layout. */
struct cri_pair {
	ProtobufCMessage base;
	char *key, *value;
};
/* Appends to a map field: cri_pair_add(a, &entry_descriptor, &m->labels, &m->n_labels, k, v). */
void cri_pair_add(struct arena *a, const ProtobufCMessageDescriptor *entry, void *array, size_t *n,
                  const char *key, const char *value);
/* The value, or "" when absent. */
const char *cri_pair_get(const void *array, size_t n, const char *key);

/* --- names of labels and annotations, shared with upstream's kubelet so that it could adopt --- */

#define LABEL_POD_NAME "io.kubernetes.pod.name"
#define LABEL_POD_NAMESPACE "io.kubernetes.pod.namespace"
#define LABEL_POD_UID "io.kubernetes.pod.uid"
#define LABEL_CONTAINER_NAME "io.kubernetes.container.name"
#define ANNOTATION_HASH "io.kubernetes.container.hash"
#define ANNOTATION_RESTART_COUNT "io.kubernetes.container.restartCount"
#define ANNOTATION_MESSAGE_PATH "io.kubernetes.container.terminationMessagePath"
#define ANNOTATION_MESSAGE_POLICY "io.kubernetes.container.terminationMessagePolicy"
#define ANNOTATION_POD_GRACE "io.kubernetes.pod.terminationGracePeriod"
#define ANNOTATION_PRE_STOP "io.kubernetes.container.preStopHandler"
