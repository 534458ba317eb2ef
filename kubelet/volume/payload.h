/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of a configMap, secret, downwardAPI or projected volume hold. */
#include "kubelet/objects.h"
#include "kubelet/pod/pod.h"
#include "kubelet/volume/atomic_dir.h"

struct tokens;

/* Service account tokens of one pod, asked for when needed and renewed in time. */
struct tokens *tokens_new(struct pod *p, loop_fn wake, void *arg);
void tokens_free(struct tokens *t);
/* When one must be renewed; real clock; UINT64_MAX: there are none. */
uint64_t tokens_renewal_ms(const struct tokens *t);
enum object_state token_get(struct tokens *t, const CoreV1__ServiceAccountTokenProjection *s,
                            const char **ret, const char **ret_error);

struct payload_sources {
	struct pod *pod;
	struct tokens *tokens;
	loop_fn wake; /* when there is news */
	void *arg;
};

bool payload_is_volume(const CoreV1__VolumeSource *s);
/* Whether it belongs into memory: secrets and tokens. */
bool payload_is_secret(const CoreV1__VolumeSource *s);
enum object_state payload_collect(const struct payload_sources *from, const CoreV1__VolumeSource *s,
                                  struct arena *a, struct payload *ret, struct err *err);
