/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Pods made and deleted for an owner (kubernetes pkg/controller RealPodControl): with its events,
 * and with what is expected of the informer. */
#include "common/client/recorder.h"
#include "controller-manager/base/expect.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "proto/core_v1.pb-c.h"

struct pod_control {
	struct manager *m;
	struct client *client;
	struct recorder *recorder;
	const char *api_version, *kind; /* of the owners */
	struct expectations expect;
	struct map failures; /* owner uid -> why its last pod could not be made */
};

void pod_control_init(struct pod_control *c, struct manager *m, const char *account,
                      const char *component, const char *api_version, const char *kind);
void pod_control_deinit(struct pod_control *c);

struct recorder_ref pod_control_ref(const struct pod_control *c, const MetaV1__ObjectMeta *owner);
/* Why the owner's last pod could not be made; NULL when it could. */
const char *pod_control_failure(const struct pod_control *c, const MetaV1__ObjectMeta *owner);
/* The owner is gone. */
void pod_control_forget(struct pod_control *c, const char *owner_uid);
bool pod_control_pending(struct pod_control *c, const MetaV1__ObjectMeta *owner);
/* What informer handlers of pods tell. */
void pod_control_seen(struct pod_control *c, const struct informer_object *pod);
void pod_control_gone(struct pod_control *c, const struct informer_object *pod);
/* Of an update: a pod that is being deleted counts as gone already. True: another owner had it, who
 * must look too. */
bool pod_control_updated(struct pod_control *c, const struct informer_object *old,
                         const struct informer_object *pod);

/* A pod of the template, controlled by the owner, with generateName "owner-"; shares with both. */
CoreV1__Pod *pod_from_template(const struct pod_control *c, const MetaV1__ObjectMeta *owner,
                               const CoreV1__PodTemplateSpec *template, struct arena *a);

/* Called when all pods of a call have their answer. */
typedef void (*pods_done_fn)(size_t n_done, void *arg);

/* Makes n pods in batches that double while all goes well, so that an owner that cannot make pods
 * (quota, admission) does not flood the apiserver. Pods may repeat in the list. done may be NULL.
 */
void pods_make(struct pod_control *c, struct work *w, const MetaV1__ObjectMeta *owner,
               CoreV1__Pod *const *pods, size_t n, pods_done_fn done, void *arg);
void pods_remove(struct pod_control *c, struct work *w, const MetaV1__ObjectMeta *owner,
                 const CoreV1__Pod *const *pods, size_t n, pods_done_fn done, void *arg);
