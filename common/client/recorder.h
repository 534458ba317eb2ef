/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Writes core/v1 Events about objects, with client-go's correlation: an event that was seen before
 * raises the count of the first one (a patch); more than ten alike in ten minutes become one
 * "(combined from similar events)"; a source that floods one object is cut to a burst of 25, then
 * one in five minutes. Events are best effort: at most 1000 wait, each is tried a few times. */
#include "common/client/client.h"

struct recorder;

/* What an event is about. NULL strings count as "". */
struct recorder_ref {
	const char *api_version, *kind; /* "v1", "Pod" */
	const char *ns, *name, *uid, *resource_version, *field_path;
};

/* component: "kubelet"; instance: the host, or NULL. */
struct recorder *recorder_new(struct client *c, const char *component, const char *instance);
void recorder_free(struct recorder *r);
/* warning false: "Normal". action: what was tried ("Binding"), or NULL. */
void recorder_event(struct recorder *r, const struct recorder_ref *ref, bool warning,
                    const char *reason, const char *action, const char *fmt, ...) _printf_(6, 7);
