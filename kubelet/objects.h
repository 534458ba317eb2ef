/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* ConfigMaps and secrets that pods of this node refer to: each is watched by itself, because the
 * Node authorizer allows no more, from the first question until a minute after the last asker has
 * gone. One that is immutable is read once. */
#include <protobuf-c/protobuf-c.h>
#include "common/base/err.h"
#include "common/net/loop.h"

struct client;
struct objects;

enum object_kind { OBJECT_CONFIG_MAP, OBJECT_SECRET };
enum object_state { OBJECT_READY, OBJECT_WAIT, OBJECT_FAILED };

struct object_view {
	const ProtobufCMessage *msg; /* CoreV1__ConfigMap or CoreV1__Secret; until the next turn */
	bool missing;      /* with OBJECT_FAILED: there is none (an optional one may be) */
	const char *error; /* "configmap \"x\" not found" */
};

struct objects *objects_new(struct client *c);
void objects_free(struct objects *o);
/* fn(arg) is called whenever the answer may have changed, until objects_forget; also after
 * OBJECT_WAIT. */
enum object_state objects_get(struct objects *o, enum object_kind kind, const char *ns,
                              const char *name, loop_fn fn, void *arg, struct object_view *ret);
/* No callback with this arg comes any more. */
void objects_forget(struct objects *o, const void *arg);
