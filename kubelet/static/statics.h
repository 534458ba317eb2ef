/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Static pods: manifests in a file or folder of this machine (--pod-manifest-path), run without the
 * apiserver's say, and shown there as mirror pods.
 *
 * The folder is read when it changes and every --file-check-frequency. A manifest that cannot be
 * read any more keeps the pod that it last described; one that is gone ends its pod. A changed
 * manifest is another pod: it starts when the old one has gone. A mirror that somebody deletes is
 * made again; one without a static pod is deleted. On the loop. */
#include "kubelet/kubelet.h"
#include "kubelet/static/manifest.h"

struct statics;

struct statics *statics_new(struct kubelet *k);
/* The runtime is there: reads the manifests. */
void statics_start(struct statics *s);
void statics_free(struct statics *s);
/* Looks again at what there is to do: a static pod has gone, the node is registered. */
void statics_wake(struct statics *s);

/* The apiserver has this mirror pod (any that names this node). */
void statics_on_mirror(struct statics *s, const CoreV1__Pod *mirror);
/* An object of this uid is gone; it need not be a mirror. */
void statics_mirror_gone(struct statics *s, const char *uid);
