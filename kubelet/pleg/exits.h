/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tells at once when a container or a sandbox of a pod has ended: a pidfd of each one's first
 * process, all behind one epoll descriptor. While every running container is watched, the relist of
 * the runtime only has to catch what others do to it, and can be rare. On the loop. */
#include "kubelet/kubelet.h"

struct exits;
struct pod;

/* on_exit(arg): something has ended; the runtime may need a moment to know. */
struct exits *exits_new(struct kubelet *k, loop_fn on_exit, void *arg);
void exits_free(struct exits *e);
/* The pod was observed: watches what runs of it, and nothing else. */
void exits_sync(struct exits *e, const struct pod *p);
void exits_forget(struct exits *e, const struct pod *p);
/* All that runs of the pods that were given is watched. */
bool exits_complete(const struct exits *e);

/* The first process of those in cgroup.procs: that which is 1 in its own namespace, or else the
 * lowest number. `ns_pid` tells the number in the innermost namespace, 0 when it is gone. Pure. */
long exits_first_process(const char *procs, long (*ns_pid)(long pid));
