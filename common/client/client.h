/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The apiserver's `Resources` service (proto/resources.proto) as asynchronous calls.
 *
 * A client belongs to one loop; all functions are called and call back there, exactly once and
 * never before they have returned. Objects travel as bare protobuf (no envelope), encoded with
 * pb_encode and decoded with pb_decode. The client connects to the first apiserver that answers and
 * to the next one when that breaks; calls wait for a connection until their timeout. It presents
 * the kubeconfig's certificate (read again when its files change) or token. */
#include "common/base/buf.h"
#include "common/daemon/kubeconfig.h"
#include "common/net/loop.h"
#include "common/net/rpc_core.h"
#include "proto/pb_decode.h"

struct client;
struct client_call;

struct client_options {
	struct rpc_core *core;
	struct loop *loop;
	const struct kubeconfig *kubeconfig; /* must outlive the client */
	const char *user_agent;              /* "kube-scheduler" */
	uint32_t timeout_ms;                 /* of unary calls; 0: 30 s */
};

int client_new(const struct client_options *o, struct client **ret, struct err *err);
/* Open calls are dropped: their callbacks do not come. */
void client_free(struct client *c);
struct loop *client_loop(const struct client *c);
/* The bearer token of calls from here on, in place of the kubeconfig's; copied. */
void client_set_token(struct client *c, const char *token);

struct client_resource {
	const char *group, *version, *name; /* {"apps", "v1", "deployments"}; core: group "" */
};

/* What a call is about. NULL strings count as "". */
struct client_target {
	struct client_resource resource;
	const char *ns, *name, *subresource;
};

/* How a call ended. Valid during the callback. */
struct client_result {
	enum err_code code;           /* ERR_OK, or what the Status' reason says */
	int http_status;              /* 200, 404 ...; 0: the apiserver was not reached */
	const char *reason, *message; /* of the Status; "" when it went well */
	int32_t retry_after_seconds;  /* the server's wish; 0: none */
	struct slice object;          /* bare protobuf of the object */
	const char *resource_version; /* of the object */
	bool is_status;               /* the object is gone: a delete that is complete */
	bool created;                 /* apply: it was created */
};

/* 0, or fills err and returns -code. */
int client_result_err(const struct client_result *r, struct err *err);

typedef void (*client_done_fn)(const struct client_result *r, void *arg);

enum client_patch_type {
	CLIENT_PATCH_JSON,
	CLIENT_PATCH_MERGE,
	CLIENT_PATCH_STRATEGIC,
	CLIENT_PATCH_APPLY,
};

struct client_write_options {
	const char *field_manager; /* NULL: from the user agent */
	bool dry_run;
	bool force; /* CLIENT_PATCH_APPLY */
};

struct client_delete_options {
	int64_t grace_period_seconds;       /* < 0: the kind's default */
	const char *uid, *resource_version; /* preconditions */
	const char *propagation_policy;     /* "Orphan", "Background", "Foreground" */
};

/* Each returns the call, valid until done begins; done may be NULL. Options may be NULL. Bytes are
 * copied before the function returns. */
struct client_call *client_get(struct client *c, const struct client_target *t, client_done_fn done,
                               void *arg);
struct client_call *client_create(struct client *c, const struct client_target *t,
                                  struct slice object, const struct client_write_options *o,
                                  client_done_fn done, void *arg);
/* The object carries its metadata.resourceVersion for optimistic locking. subresource "status"
 * updates the status. */
struct client_call *client_update(struct client *c, const struct client_target *t,
                                  struct slice object, const struct client_write_options *o,
                                  client_done_fn done, void *arg);
/* patch is JSON (YAML for apply). */
struct client_call *client_patch(struct client *c, const struct client_target *t,
                                 enum client_patch_type type, struct slice patch,
                                 const struct client_write_options *o, client_done_fn done,
                                 void *arg);
struct client_call *client_delete(struct client *c, const struct client_target *t,
                                  const struct client_delete_options *o, client_done_fn done,
                                  void *arg);
/* selectors of t's collection; NULL: all. */
struct client_call *client_delete_collection(struct client *c, const struct client_target *t,
                                             const struct client_delete_options *o,
                                             const char *label_selector, const char *field_selector,
                                             client_done_fn done, void *arg);
/* POST pods/binding: puts the pod (uid may be NULL) on a node. */
struct client_call *client_bind(struct client *c, const char *ns, const char *pod, const char *uid,
                                const char *node, client_done_fn done, void *arg);
/* Gives the call up: done does not come. Only before done has begun. */
void client_call_drop(struct client_call *call);

/* Encodes msg and calls client_create or client_update (`create` false). */
struct client_call *client_write_msg(struct client *c, bool create, const struct client_target *t,
                                     const struct schema_message *schema,
                                     const ProtobufCMessage *msg, client_done_fn done, void *arg);

/* --- lists and watches --- */

struct client_stream;

struct client_list_options {
	const char *label_selector, *field_selector;
	const char *resource_version, *resource_version_match;
	int64_t timeout_seconds; /* watches; 0: the server's choice */
};

enum client_event_type {
	CLIENT_ADDED,
	CLIENT_MODIFIED,
	CLIENT_DELETED,
	CLIENT_BOOKMARK, /* object only carries a resourceVersion */
};

struct client_list_ops {
	void (*on_item)(struct slice object, void *arg);
	/* result->resource_version: the list's. The stream is gone afterwards. */
	void (*on_end)(const struct client_result *r, void *arg);
};

struct client_watch_ops {
	/* DELETED carries the last state; revision is its new resourceVersion. */
	void (*on_event)(enum client_event_type type, struct slice object, int64_t revision,
	                 void *arg);
	/* Always comes: a watch ends by timeout (code OK), error (EXPIRED: list again), or a broken
	 * connection. The stream is gone afterwards. */
	void (*on_end)(const struct client_result *r, void *arg);
};

/* Options may not be NULL. */
struct client_stream *client_list(struct client *c, const struct client_target *t,
                                  const struct client_list_options *o,
                                  const struct client_list_ops *ops, void *arg);
/* Everything after o->resource_version, with bookmarks. */
struct client_stream *client_watch(struct client *c, const struct client_target *t,
                                   const struct client_list_options *o,
                                   const struct client_watch_ops *ops, void *arg);
/* No callback comes any more. Not within on_end. */
void client_stream_drop(struct client_stream *s);
