/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Writes core/v1 Events about objects, correlated as client-go does
 * (common/client/event_correlator.h).
 *
 * Guarantees: telling never blocks and never fails; events are written one at a time in the order
 * in which they were told; at most 1000 wait, more are dropped, and one that waits takes equal ones
 * in; one that the server did not take for want of a connection is tried 12 times, 10 s apart, one
 * that the server refused is not tried again. */
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
/* How many wait to be written, the one that is being written among them. */
size_t recorder_waiting(const struct recorder *r);
