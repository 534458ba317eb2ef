/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Takes away what nobody needs: images when their disk fills up or they are too old, folders, logs
 * and cgroups of pods that are gone. Dead containers of living pods are each pod's own affair
 * (pod/collect.c). Images are looked at every five minutes, folders once a minute. On the loop;
 * folders are removed on the disk worker. */
#include "kubelet/gc/plan.h"
#include "kubelet/kubelet.h"

struct gc;

struct gc *gc_new(struct kubelet *k);
void gc_start(struct gc *g);
void gc_free(struct gc *g);
/* Where the runtime keeps images; NULL: not known. */
const char *gc_image_fs(const struct gc *g);
/* The node runs low on disk: removes every image that may go; done(arg) once, later. One at a
 * time. */
void gc_reclaim(struct gc *g, loop_fn done, void *arg);
