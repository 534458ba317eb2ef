/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The volumes of a pod: emptyDir (disk and memory), hostPath, configMap, secret, downwardAPI and
 * projected (with service account tokens). Laid out as upstream's kubelet does:
 * root/pods/<uid>/volumes/kubernetes.io~<kind>/<name>.
 *
 * What a payload volume holds is written by volume/atomic_dir.h; secrets and tokens live on tmpfs.
 * ConfigMaps, secrets and tokens come from the apiserver: volumes_mount answers VOLUMES_WAIT then
 * and calls pod_sync when there is news. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "proto/core_v1.pb-c.h"

struct pod;
struct pod_volumes;

enum volume_state { VOLUMES_READY, VOLUMES_WAIT, VOLUMES_FAILED };

enum volume_state volumes_mount(struct pod *p);
/* Writes payload volumes again whose source has changed; renews tokens. In every turn. */
void volumes_refresh(struct pod *p);
/* The pod's object has changed: the next volumes_refresh looks at once. */
void volumes_stale(struct pod *p);
/* Unmounts everything; false: not yet possible, again later. */
bool volumes_unmount(struct pod *p);
/* Removes the pod's folder and its log folder, on the worker thread. */
void volumes_remove_dir(struct pod *p);
void volumes_free(struct pod_volumes *v);

/* Where the volume is on this machine, or NULL. */
const char *volume_path(const struct pod *p, const char *volume, struct arena *a);
/* Opens what lies in a volume without leaving it, whatever links lie there; -1 and errno on
 * failure. */
int volume_open_beneath(const char *volume_dir, const char *path, int flags);
/* The path behind a mount with a subPath, which is made when it is not there and does not leave the
 * volume whatever links lie in it; NULL and err on failure. */
const char *volume_subpath(struct pod *p, const char *container, size_t mount_i,
                           const char *volume_dir, const char *subpath, struct arena *a,
                           struct err *err);
